#!/usr/bin/env bash
# Speed and size of the embedded system, and of the engine beside the real restic. Prints one table.
# Times include kubectl's own start (about 0.1 s). IDLE_SECONDS shortens the idle measurement.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/kubestash-bench.XXXXXX")
chmod 711 "$work"
keep=0
. "$root/scripts/demo/lib.sh"
. "$root/scripts/demo/servers.sh"
. "$root/scripts/demo/tutorial.sh"
idle_seconds=${IDLE_SECONDS:-300}

finish() {
  stop_servers
  if ((keep == 0)); then rm -rf "$work"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

rows=()
# row WHAT VALUE GOAL
row() { rows+=("$1|$2|$3"); printf '%-62s %14s   (goal %s)\n' "$1" "$2" "$3"; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f", b - a }'; }
cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

cd "$root/examples"
start_gcs >/dev/null
began=$(now)
start_up >/dev/null
row "up: first start, until ready" "$(since "$began") s" "1 s"
kill "$up_pid"; wait "$up_pid" || true
: >"$work/up.out"
began=$(now)
start_up >/dev/null
row "up: started again, until ready" "$(since "$began") s" "1 s"
{
  prepare_backend
  kubectl apply -f default-backupblueprint.yaml -f deep-storage-config.yaml
  sed '/annotations:/,/blueprint.kubestash.com\/namespace/d' sample-druid.yaml | kubectl apply -f -
  kubectl wait -n demo druid/sample-druid --for=jsonpath='{.status.phase}'=Ready --timeout=60s
  mysql_of sample-druid
  "${source_mysql[@]}" druid <metadata.sql
} >/dev/null

began=$(now)
kubectl annotate -n demo druid sample-druid blueprint.kubestash.com/name=druid-default-backup-blueprint \
  blueprint.kubestash.com/namespace=demo >/dev/null
backup_succeeds appbinding-sample-druid
row "annotation until the first session has Succeeded" "$(since "$began") s" "4 s"

times=()
for _ in 1 2 3 4 5; do
  sleep 1 # a session's name is its second
  began=$(now)
  trigger appbinding-sample-druid >/dev/null
  times+=("$(since "$began")")
done
row "session of a 3.75 MiB dump, median of 5" "$(printf '%s\n' "${times[@]}" | sort -n | sed -n 3p) s" "2 s"
row "component (dump, upload, check) of the last one" \
  "$(kubectl get snapshots.storage.kubestash.com -n demo --sort-by=.metadata.creationTimestamp -o jsonpath='{.items[-1:].status.components.dump.duration}')" "1 s"

# A hundred configurations, each with a repository of its own: once they have had their first backup, none may make the
# operator write.
for i in $(seq 100); do
  printf -- '---\n'
  kubectl get backupconfiguration -n demo appbinding-sample-druid -o json | python3 -c "
import json, sys
o = json.load(sys.stdin)
o['metadata'] = {'name': 'idle-$i', 'namespace': 'demo'}
del o['status']
s = o['spec']['sessions'][0]
s['scheduler']['schedule'] = '0 0 1 1 *'
s['repositories'][0].update(name='idle-$i', directory='idle/$i')
print(json.dumps(o))"
done >"$work/hundred.yaml"
began=$(now)
kubectl apply -f "$work/hundred.yaml" >/dev/null
all_ready() { (($(kubectl get backupconfiguration -n demo --no-headers | awk '$2 == "Ready"' | wc -l) >= 101)); }
# Every configuration has had its instant session, and none is without a final phase.
all_ended() {
  local phases
  phases=$(kubectl get backupsession -n demo -o 'jsonpath={range .items[*]}{.metadata.name} {.status.phase}{"\n"}{end}')
  (($(grep -c '^idle-' <<<"$phases") >= 100)) && ! grep -qvE ' (Succeeded|Failed|Skipped)$' <<<"$phases"
}
eventually 300 "100 configurations to be Ready" all_ready
eventually 600 "their instant sessions to end" all_ended
row "100 configurations applied until all their first sessions have ended" "$(since "$began") s" "-"
versions() { kubectl get "$(kubectl api-resources --verbs=list -o name | grep -vE '^(leases|events)' | paste -sd,)" -A -o json \
  | python3 -c 'import json,sys; [print(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"], o["metadata"]["resourceVersion"]) for o in json.load(sys.stdin)["items"]]' | sort; }
kubectl patch backupconfiguration -n demo appbinding-sample-druid --type=merge -p '{"spec":{"paused":true}}' >/dev/null
sleep 5
versions >"$work/before"
ticks=$(cpu_ticks "$up_pid")
sleep "$idle_seconds"
ticks=$(($(cpu_ticks "$up_pid") - ticks))
versions >"$work/after"
row "objects changed in $idle_seconds s of idleness, 101 configurations" "$(diff "$work/before" "$work/after" | grep -c '^[<>]' || true)" "0"
row "CPU of up in that time" "$(awk -v t="$ticks" -v s="$idle_seconds" -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.2f %%", 100 * t / hz / s }')" "1 %"
row "memory of up (RSS)" "$(awk '/VmRSS/ { printf "%.0f MB", $2 / 1000 }' "/proc/$up_pid/status")" "100 MB"
row "size of the binary" "$(awk -v s="$(stat -c %s "$root/target/release/kubestash")" 'BEGIN { printf "%.1f MB", s / 1e6 }')" "-"
. "$root/scripts/bench/restore.sh"
