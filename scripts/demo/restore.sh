# It comes back: over the original, into a new Druid, and after the whole cluster is lost. Sourced by run.sh.

# contents DRUID: checksums and definitions of every table, but for the users of the Druid, which a backup does not
# hold by default.
contents() {
  mysql_of "$1"
  local table
  while read -r table; do
    if [[ $table == druid_config ]]; then
      "${source_mysql[@]}" -N druid -e "SELECT name, SHA2(payload, 256) FROM druid_config WHERE name NOT LIKE 'basic%' ORDER BY name"
      continue
    fi
    "${source_mysql[@]}" -N druid -e "CHECKSUM TABLE \`$table\` EXTENDED; SHOW CREATE TABLE \`$table\`"
  done < <("${source_mysql[@]}" -N druid -e 'SHOW TABLES') >"$work/contents-$1"
  sed 's/^druid\.//' "$work/contents-$1" | sha256sum | cut -d' ' -f1
}

# restore_into NAME DRUID REPOSITORY: restores the latest Snapshot of a repository, and waits for it.
restore_into() {
  sed -e "s/^  name: .*/  name: $1/" -e "/^  target:/,/^  [a-z]*:\$/s/^    name: .*/    name: $2/" \
    -e "s/^    repository: .*/    repository: $3/" restores/restoresession.yaml >"$work/$1.yaml"
  run kubectl apply -f "$work/$1.yaml"
  restore_succeeds "$1"
}

# restore_succeeds NAME: waits for a RestoreSession to succeed.
restore_succeeds() {
  local phase deadline=$((SECONDS + 90))
  until phase=$(kubectl get restoresession -n demo "$1" -o 'jsonpath={.status.phase}') && [[ $phase =~ ^(Succeeded|Failed|Invalid)$ ]]; do
    ((SECONDS < deadline)) || die "restore $1 is still ${phase:-without a phase}"
    sleep 0.2
  done
  [[ $phase == Succeeded ]] || {
    kubectl describe restoresession -n demo "$1"
    kubectl logs -n demo "job/$1" || true
    die "restore $1 ended as $phase"
  }
  run kubectl get restoresession -n demo "$1"
}

restore_original() {
  local before after
  before=$(contents sample-druid-2)
  say "lose the database"
  run "${source_mysql[@]}" -e 'DROP DATABASE druid'
  restore_into restore-original sample-druid-2 customize-blueprint
  after=$(contents sample-druid-2)
  [[ $before == "$after" ]] || die "the restored database differs"
  proved "the lost database came back over the original: equal checksums and definitions of every table"
  original=$before
}

restore_new() {
  sed -e 's/sample-druid$/restored-druid/' -e '/annotations:/,/blueprint.kubestash.com\/namespace/d' \
    -e 's/^spec:/spec:\n  init:\n    waitForInitialRestore: true/' sample-druid.yaml >"$work/restored-druid.yaml"
  run kubectl apply -f "$work/restored-druid.yaml"
  restore_into restore-new restored-druid customize-blueprint
  run kubectl wait -n demo druid/restored-druid --for=jsonpath='{.status.phase}'=Ready --timeout=60s
  [[ $(contents restored-druid) == "$original" ]] || die "the new Druid's database differs"
  proved "a new Druid was Provisioning until it was restored, and equals the original"
}
