#!/usr/bin/env bash
# Speed of restores: a small one as a user waits for it, and a big one beside the database's own client that reads the
# same dump from a file. RESTORE_MIB is the size of the big one's dump. Part of run.sh; alone it starts what it needs.
set -euo pipefail
restore_mib=${RESTORE_MIB:-1024}
restore_rounds=${RESTORE_ROUNDS:-5}

if ! declare -F row >/dev/null; then
  root=$(cd "$(dirname "$0")/../.." && pwd)
  work=$(mktemp -d "${TMPDIR:-/tmp}/kubestash-bench.XXXXXX")
  chmod 711 "$work"
  . "$root/scripts/demo/lib.sh"
  . "$root/scripts/demo/servers.sh"
  . "$root/scripts/demo/tutorial.sh"
  trap 'stop_servers; rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM
  row() { printf '%-62s %14s   (goal %s)\n' "$1" "$2" "$3"; }
  since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f", b - a }'; }
  cd "$root/examples"
  start_up >/dev/null
  kubectl create ns demo >/dev/null
  kubectl create secret generic -n demo encrypt-secret --from-literal=RESTIC_PASSWORD=changeit >/dev/null
  kubectl apply -f retentionpolicy.yaml -f deep-storage-config.yaml >/dev/null
fi

# a_druid NAME: makes one without annotations, and $source_mysql the command that talks to its metadata store.
a_druid() {
  sed -e "s/sample-druid\$/$1/" -e '/annotations:/,/blueprint.kubestash.com\/namespace/d' sample-druid.yaml | kubectl apply -f -
  kubectl wait -n demo "druid/$1" --for=jsonpath='{.status.phase}'=Ready --timeout=60s
  mysql_of "$1"
}

# a_backup DRUID: backs it up once into the volume; $repository becomes the folder of the restic repository.
a_backup() {
  kubectl apply -f - <<YAML
apiVersion: core.kubestash.com/v1alpha1
kind: BackupConfiguration
metadata: {name: $1, namespace: demo}
spec:
  target: {apiGroup: kubedb.com, kind: Druid, name: $1, namespace: demo}
  backends:
  - {name: volume, storageRef: {name: bench-volume, namespace: demo}, retentionPolicy: {name: demo-retention, namespace: demo}}
  sessions:
  - name: frequent-backup
    scheduler: {schedule: "0 0 1 1 *", jobTemplate: {backoffLimit: 0}}
    repositories:
    - {name: $1, backend: volume, directory: /$1, encryptionSecret: {name: encrypt-secret, namespace: demo}}
    addon: {name: druid-addon, tasks: [{name: mysql-metadata-storage-backup}]}
YAML
  kubectl wait -n demo "backupconfiguration/$1" --for=jsonpath='{.status.phase}'=Ready --timeout=60s
  eventually 60 "the first session of $1" session_named "$1"
  kubectl wait -n demo "backupsession/$found_session" --for=jsonpath='{.status.phase}'=Succeeded --timeout=30m
  repository=$work/volume/$1/repository/v1/frequent-backup/dump
}

# a_restore DRUID: restores it from its repository; $took becomes the seconds from the creation to Succeeded.
restores=0
a_restore() {
  local name began
  restores=$((restores + 1)) name=bench-$restores
  began=$(now)
  sed -e "s/^  name: .*/  name: $name/" -e "s/^    name: sample-druid/    name: $1/" -e "s/^    repository: .*/    repository: $1/" \
    restores/restoresession.yaml | kubectl apply -f - >/dev/null
  kubectl wait -n demo "restoresession/$name" --for=jsonpath='{.status.phase}'=Succeeded --timeout=30m >/dev/null || {
    kubectl describe restoresession -n demo "$name"
    die "restore $name did not succeed"
  }
  took=$(since "$began")
}

median() { printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"; }

mkdir -p "$work/volume"
{
  kubectl apply -f - <<YAML
apiVersion: storage.kubestash.com/v1alpha1
kind: BackupStorage
metadata: {name: bench-volume, namespace: demo}
spec:
  storage:
    provider: local
    local: {hostPath: {path: $work/volume, type: Directory}, mountPath: /bench}
  runtimeSettings: {pod: {securityContext: {runAsUser: 0}}}
  usagePolicy: {allowedNamespaces: {from: All}}
YAML
  kubectl wait -n demo backupstorage/bench-volume --for=condition=Ready --timeout=30s
  a_druid bench-small
  "${source_mysql[@]}" druid <metadata.sql
  a_backup bench-small
} >/dev/null
times=()
for _ in 1 2 3 4 5; do
  a_restore bench-small
  times+=("$took")
done
row "restore of a 3.75 MiB dump, median of 5" "$(median "${times[@]}") s" "2 s"

# About 2.38 KiB of dump for each row, of which no two are alike.
rows=$((restore_mib * 1024 * 100 / 238))
{
  a_druid bench-big
  "${source_mysql[@]}" druid -e "
    INSERT INTO druid_segments
      (id, dataSource, created_date, start, \`end\`, partitioned, version, used, payload, used_status_last_updated)
    SELECT CONCAT('wikipedia_', seq, '_', SHA1(seq)), 'wikipedia', '2024-09-01T00:00:00.900Z', seq, seq + 1, 1,
      '2024-09-01T00:00:00.512Z', seq % 37 <> 36,
      JSON_OBJECT('dataSource', 'wikipedia', 'interval', CONCAT(seq, '/', seq + 1), 'version', SHA1(seq),
        'loadSpec', JSON_OBJECT('type', 's3_zip', 'bucket', 'druid', 'key', CONCAT('druid/segments/', SHA2(seq, 256), '/index.zip')),
        'dimensions', 'channel,cityName,comment,countryIsoCode,countryName,diffUrl,flags,isAnonymous,isMinor,isNew,isRobot,isUnpatrolled,metroCode,namespace,page,regionIsoCode,regionName,user',
        'metrics', 'count,added,deleted,delta', 'fingerprint', SHA2(CONCAT('state', seq), 512),
        'shardSpec', JSON_OBJECT('type', 'numbered', 'partitionNum', 0, 'partitions', 1),
        'columns', CONCAT(SHA2(seq + 1, 512), SHA2(seq + 2, 512), SHA2(seq + 3, 512)), 'size', 1000000 + seq * 7919 % 900000),
      '2024-09-01T00:00:00.900Z'
    FROM seq_1_to_$rows"
  a_backup bench-big
} >/dev/null
RESTIC_PASSWORD=changeit restic --no-cache -q -r "$repository" dump latest dumpfile.sql >"$work/dump.sql"
row "size of the big dump" "$(awk -v s="$(stat -c %s "$work/dump.sql")" 'BEGIN { printf "%.0f MiB", s / 1048576 }')" "$restore_mib MiB"

ours=() theirs=()
for _ in $(seq "$restore_rounds"); do
  began=$(now)
  "${source_mysql[@]}" --binary-mode --max-allowed-packet=1G druid <"$work/dump.sql"
  theirs+=("$(since "$began")")
  a_restore bench-big
  ours+=("$took")
done
row "the client alone, from a file, median of $restore_rounds" "$(median "${theirs[@]}") s" "-"
row "restore of the same dump" "$(median "${ours[@]}") s" "-"
row "ratio of the two" "$(awk -v a="$(median "${ours[@]}")" -v b="$(median "${theirs[@]}")" 'BEGIN { printf "%.2f", a / b }')" "1.15"
