# One entry point. `make` lists the targets.
SHELL := bash
.ONESHELL:
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

TOOLS := $(CURDIR)/.tools/venv/bin
export PATH := $(TOOLS):$(PATH):/usr/sbin:$(CURDIR)/.tools/mysql-bin

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

.PHONY: tools
tools: ## install what is missing, from the package managers
	@scripts/tools.sh

.PHONY: build
build: ## build target/release/kubestash
	cargo build --release --locked -p kubestash

.PHONY: demo
demo: tools build ## run the whole tutorial with real parts, and prove the backups
	@scripts/demo/run.sh

.PHONY: test
test: tools ## run every test
	cargo test --workspace --locked --no-fail-fast

.PHONY: lint
lint: tools ## check formatting, and clippy with warnings denied, and the crates we are built from
	@scripts/lint.sh

.PHONY: audit
audit: ## look for known faults in the crates we are built from (asks github.com)
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny check advisories

.PHONY: bench
bench: tools build ## measure speed and size, beside restic where there is something to compare
	@scripts/bench/run.sh

.PHONY: generate
generate: ## write the generated files anew (CRDs); a test fails when they are stale
	UPDATE=1 cargo test --locked -p kubestash-api
