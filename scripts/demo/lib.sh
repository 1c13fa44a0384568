# Shell functions of the demo: what it prints, how it waits, how it fails. Sourced by run.sh.

bold=$'\033[1m' dim=$'\033[2m' green=$'\033[32m' red=$'\033[31m' plain=$'\033[0m'
if [[ ! -t 1 ]]; then bold='' dim='' green='' red='' plain=''; fi

summary=()
step_name='' step_started=0

# now: seconds with milliseconds, for the times of the summary.
now() { date +%s.%3N; }

# step NAME: ends the step before and starts this one.
step() {
  finish_step
  step_name=$1 step_started=$(now)
  printf '\n%s== %s ==%s\n' "$bold" "$1" "$plain"
}

finish_step() {
  [[ -z $step_name ]] && return
  summary+=("$(awk -v a="$step_started" -v b="$(now)" 'BEGIN { printf "%7.1f s", b - a }')  $step_name")
  step_name=''
}

say() { printf '%s%s%s\n' "$dim" "$*" "$plain"; }
proved() { printf '%s✓ %s%s\n' "$green" "$*" "$plain"; facts+=("$*"); }
facts=()

# die REASON: stops the demo and says where the logs are.
die() {
  printf '\n%sfailed: %s%s\n' "$red" "$*" "$plain" >&2
  [[ -n $step_name ]] && printf 'in step: %s\n' "$step_name" >&2
  keep=1
  printf 'logs and data are kept in %s (up.log is the log of kubestash)\n' "$work" >&2
  exit 1
}

# run COMMAND…: shows a command as a user would type it, and runs it.
run() {
  printf '%s$ %s%s\n' "$bold" "$*" "$plain"
  "$@" || die "the command above ended with an error"
}

# eventually SECONDS WHAT COMMAND…: waits until the command succeeds.
eventually() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>"$work/eventually.err"; do
    ((SECONDS < deadline)) || die "waited too long for $what: $(tail -3 "$work/eventually.err")"
    sleep 0.2
  done
}

# free_port: a port of loopback that nobody listens on.
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# secret NAMESPACE NAME KEY: a value of a Secret, for a file that only we can read.
secret() { kubectl get secret -n "$1" "$2" -o "jsonpath={.data.$3}" | base64 -d; }
