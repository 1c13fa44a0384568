# The whole cluster is lost, and only the bucket is left. Sourced by run.sh.

lose_everything() {
  say "kubestash ends and its whole data directory is thrown away: objects, Secrets, databases"
  kill "$up_pid"
  wait "$up_pid" || true
  rm -rf "$work/data" "$work/kubeconfig" "$work/up.out"
  start_up
  kubectl get ns demo >/dev/null 2>&1 && die "the namespace demo survived"
  prepare_backend
}

# recover DRUID REPOSITORY: what the bucket tells comes back, and restores into a Druid that is made anew.
recover() {
  eventually 60 "the Repository to come back" kubectl get repository -n demo "$2"
  run kubectl wait -n demo "repository/$2" --for=condition=Ready --timeout=30s
  run kubectl get repository -n demo
  run kubectl get snapshots -n demo "-l=kubestash.com/repo-name=$2"
  run kubectl get backupstorage -n demo gcs-storage -o 'jsonpath={range .status.repositories[*]}{.name}: synced {.synced}{"\n"}{end}'
  sed -e "s/sample-druid\$/$1/" -e '/annotations:/,/blueprint.kubestash.com\/namespace/d' sample-druid.yaml >"$work/$1.yaml"
  run kubectl create -f deep-storage-config.yaml
  run kubectl apply -f "$work/$1.yaml"
  run kubectl wait -n demo "druid/$1" --for=jsonpath='{.status.phase}'=Ready --timeout=60s
  restore_into restore-recovered "$1" "$2"
  [[ $(contents "$1") == "$original" ]] || die "the recovered database differs"
  proved "an empty kubestash that points at the bucket brought Repositories and Snapshots back, and the restored database equals the lost one"
}
