#!/usr/bin/env bash
# The whole tutorial with real parts: every table below is what the real kubectl printed in this run.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/scripts/demo
work=$(mktemp -d "${TMPDIR:-/tmp}/kubestash-demo.XXXXXX")
chmod 711 "$work"
keep=0
# shellcheck source=lib.sh
. "$here/lib.sh"
. "$here/servers.sh"
. "$here/tutorial.sh"
. "$here/proof.sh"
. "$here/restore.sh"
. "$here/recovery.sh"
. "$here/postgres.sh"

finish() {
  local code=$?
  stop_servers
  if ((keep)) || ((code)); then
    [[ $code -ne 0 && $keep -eq 0 ]] && printf '\nfailed; logs and data are kept in %s\n' "$work" >&2
  else
    rm -rf "$work"
  fi
}
trap finish EXIT
trap 'exit 130' INT TERM

cd "$root/examples"
step "Start a GCS emulator and kubestash"
start_gcs
start_up

step "Prepare the backend"
prepare_backend
step "First part: the default blueprint"
first_part
step "Prove the first backup with the real restic"
prove sample-druid default-blueprint
step "Second part: a blueprint with variables"
second_part
step "Prove the second backup with the real restic"
prove sample-druid-2 demo/sample-druid-2
step "Restore over the original"
restore_original
step "Restore into a new Druid"
restore_new
step "Clean up as the tutorial does"
tutorial_cleanup
check_what_remains
step "Lose everything but the bucket"
lose_everything
step "Recover from the bucket"
recover recovered-druid customize-blueprint
step "Back up a Druid with PostgreSQL, and its Kubernetes objects"
postgres_backup
step "Restore the application into another namespace"
postgres_restore
finish_step

printf '\n%s== What was proved ==%s\n' "$bold" "$plain"
printf '✓ %s\n' "${facts[@]}"
printf '\n%s== How long each step took ==%s\n' "$bold" "$plain"
printf '%s\n' "${summary[@]}"
