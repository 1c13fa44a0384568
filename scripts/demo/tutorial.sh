# The steps of the tutorial. Sourced by run.sh, from the folder examples/.

prepare_backend() {
  run kubectl create ns demo
  printf 'demo-project' >"$work/GOOGLE_PROJECT_ID"
  # The emulator takes no credentials; the key only has to have the form of one.
  printf '{"type":"service_account","project_id":"demo-project","private_key_id":"0","private_key":"","client_email":"demo@example.org","token_uri":"http://127.0.0.1/token"}' \
    >"$work/GOOGLE_SERVICE_ACCOUNT_JSON_KEY"
  run kubectl create secret generic -n demo gcs-secret \
    --from-file="$work/GOOGLE_PROJECT_ID" --from-file="$work/GOOGLE_SERVICE_ACCOUNT_JSON_KEY"
  run kubectl apply -f backupstorage.yaml
  run kubectl apply -f retentionpolicy.yaml
  printf 'changeit' >"$work/RESTIC_PASSWORD"
  run kubectl create secret generic -n demo encrypt-secret --from-file="$work/RESTIC_PASSWORD"
  run kubectl wait -n demo backupstorage/gcs-storage --for=condition=Ready --timeout=30s
  run kubectl get backupstorage -n demo
}

# backup_succeeds CONFIGURATION [SESSION]: waits for the session (or any) of a configuration to succeed.
backup_succeeds() {
  eventually 60 "a backup session of $1" session_named "$1" "${2:-}"
  local session=${2:-$found_session} phase
  local deadline=$((SECONDS + 60))
  until phase=$(kubectl get backupsession -n demo "$session" -o 'jsonpath={.status.phase}') && [[ $phase =~ ^(Succeeded|Failed|Skipped)$ ]]; do
    ((SECONDS < deadline)) || die "backup session $session is still ${phase:-without a phase}"
    sleep 0.2
  done
  [[ $phase == Succeeded ]] || {
    kubectl describe backupsession -n demo "$session"
    kubectl logs -n demo "job/$session" || true
    die "backup session $session ended as $phase"
  }
}

session_named() {
  found_session=${2:-$(kubectl get backupsession -n demo -l "kubestash.com/invoker-name=$1" -o 'jsonpath={.items[0].metadata.name}')}
  [[ -n $found_session ]] && kubectl get backupsession -n demo "$found_session" -o name
}

# trigger CONFIGURATION: makes a BackupSession by hand and waits for its success.
trigger() {
  local name
  # A session is named after its second; on a fast machine that of the last one may not be over.
  free() { name="$1-frequent-backup-$(date +%s)" && ! kubectl get backupsession -n demo "$name" >/dev/null 2>&1; }
  eventually 10 "the next second" free "$1"
  printf '%s$ kubectl create -f - <<< "…BackupSession %s…"%s\n' "$bold" "$name" "$plain"
  kubectl create -f - <<YAML || die "the BackupSession was refused"
apiVersion: core.kubestash.com/v1alpha1
kind: BackupSession
metadata:
  name: $name
  namespace: demo
  labels:
    kubestash.com/invoker-name: $1
spec:
  invoker:
    apiGroup: core.kubestash.com
    kind: BackupConfiguration
    name: $1
  session: frequent-backup
  retryLeft: 0
YAML
  backup_succeeds "$1" "$name"
  last_session=$name
}

# show_backup CONFIGURATION REPOSITORY: the tables and YAML that the tutorial shows.
show_backup() {
  run kubectl get backupconfiguration -n demo
  run kubectl get backupconfiguration -n demo "$1" -o yaml
  run kubectl get backupsession -n demo
  run kubectl get repository -n demo "$2"
  run kubectl get snapshots -n demo "-l=kubestash.com/repo-name=$2"
  local snapshot
  snapshot=$(kubectl get snapshots -n demo "-l=kubestash.com/repo-name=$2" --sort-by=.status.snapshotTime -o 'jsonpath={.items[-1:].metadata.name}')
  run kubectl get snapshots -n demo "$snapshot" -oyaml
}

first_part() {
  run kubectl apply -f default-backupblueprint.yaml
  run kubectl create -f deep-storage-config.yaml
  run kubectl apply -f sample-druid.yaml
  run kubectl wait -n demo druid/sample-druid --for=jsonpath='{.status.phase}'=Ready --timeout=60s
  backup_succeeds appbinding-sample-druid
  say "the instant backup saw an empty Druid; load a metadata set, and back up twice more"
  mysql_of sample-druid
  "${source_mysql[@]}" druid <metadata.sql || die "the metadata set could not be loaded"
  trigger appbinding-sample-druid
  trigger appbinding-sample-druid
  show_backup appbinding-sample-druid default-blueprint
  proved "one annotation made the BackupConfiguration appbinding-sample-druid, and three sessions succeeded"
}

second_part() {
  run kubectl apply -f customize-backupblueprint.yaml
  run kubectl delete backupblueprints.core.kubestash.com -n demo druid-default-backup-blueprint
  run kubectl delete druid -n demo sample-druid
  run kubectl apply -f sample-druid-2.yaml
  run kubectl wait -n demo druid/sample-druid-2 --for=jsonpath='{.status.phase}'=Ready --timeout=60s
  backup_succeeds appbinding-sample-druid-2
  mysql_of sample-druid-2
  "${source_mysql[@]}" druid <metadata.sql || die "the metadata set could not be loaded"
  trigger appbinding-sample-druid-2
  show_backup appbinding-sample-druid-2 customize-blueprint
  proved "the second blueprint's variables were filled from annotations"
}

tutorial_cleanup() {
  # The first blueprint and the first Druid went in the second part: these two errors, and no others, are expected.
  expect_gone kubectl delete backupblueprints.core.kubestash.com -n demo druid-default-backup-blueprint
  run kubectl delete backupblueprints.core.kubestash.com -n demo druid-customize-backup-blueprint
  run kubectl delete backupstorage -n demo gcs-storage
  run kubectl delete secret -n demo gcs-secret
  run kubectl delete secret -n demo encrypt-secret
  run kubectl delete retentionpolicies.storage.kubestash.com -n demo demo-retention
  expect_gone kubectl delete druid -n demo sample-druid
  run kubectl delete druid -n demo sample-druid-2
  # Beyond the tutorial: what the restore made.
  run kubectl delete druid -n demo restored-druid
  run kubectl delete restoresession -n demo restore-original restore-new
}

expect_gone() {
  printf '%s$ %s%s\n' "$bold" "$*" "$plain"
  local output
  if output=$("$@" 2>&1); then die "this was expected to be gone already: $output"; fi
  printf '%s\n' "$output"
  [[ $output == *NotFound* ]] || die "an unexpected error"
}

check_what_remains() {
  local kind left
  for kind in backupblueprints backupstorages retentionpolicies druids.kubedb.com mysqls.kubedb.com backupsessions backupconfigurations; do
    eventually 30 "$kind to be gone" test_gone "$kind"
  done
  left=$(kubectl get secret -n demo -o name)
  [[ $left == secret/deep-storage-config ]] || die "these Secrets remain, and only deep-storage-config should: $left"
  local prefix
  for prefix in default-blueprint demo/sample-druid-2; do
    [[ -n $(objects "blueprint/$prefix/repository/v1/frequent-backup/dump/snapshots/") ]] || die "the backups in blueprint/$prefix are gone"
    [[ -n $(objects "blueprint/$prefix/snapshots/") ]] || die "the Snapshot YAML in blueprint/$prefix is gone"
  done
  pgrep -u mysql -f "$work/data/databases" >/dev/null && die "a database server still runs"
  proved "after the tutorial's cleanup the objects are gone and every backup is still in the bucket"
}

test_gone() { [[ -z $(kubectl get "$1" -A -o name) ]]; }
