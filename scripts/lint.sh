#!/usr/bin/env bash
# Formatting, clippy with warnings denied, and the licenses, sources and versions of the crates we are built from.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[2m%s\033[0m\n' "lint: $*" >&2; }

# rustfmt.toml has options that only a nightly one knows; the stable one checks everything else.
nightly() { rustup toolchain list 2>/dev/null | grep -q '^nightly'; }
nightly || rustup toolchain install nightly --profile minimal --component rustfmt >&2 || true
if nightly && cargo +nightly fmt --version >/dev/null 2>&1; then
  cargo +nightly fmt --all --check
else
  say "no nightly rustfmt: the order of imports and the width of comments are not checked"
  cargo fmt --all --check
fi

cargo clippy --workspace --all-targets --locked -- -D warnings

command -v cargo-deny >/dev/null || {
  say "installing cargo-deny"
  cargo install --quiet --locked cargo-deny >&2 || true
}
if command -v cargo-deny >/dev/null || [[ -x ${CARGO_HOME:-$HOME/.cargo}/bin/cargo-deny ]]; then
  cargo deny --log-level error check bans licenses sources
else
  say "no cargo-deny: licenses, sources and versions of crates are not checked"
fi
