# A Druid that keeps its metadata in PostgreSQL: its data and its Kubernetes objects, back in another namespace under
# another name. Sourced by run.sh.

# psql_of NAMESPACE DRUID: $psql and $pg_dump become the commands that talk to its metadata store. The password goes by
# a file that only we can read.
psql_of() {
  local file=$work/$1-$2.pgpass url host port user
  url=$(kubectl get appbinding -n "$1" "$2-pg-metadata" -o 'jsonpath={.spec.clientConfig.url}')
  [[ $url =~ //([^:/]+):([0-9]+) ]] || die "the AppBinding of $1/$2 has an address that is not understood: $url"
  host=${BASH_REMATCH[1]} port=${BASH_REMATCH[2]} user=$(secret "$1" "$2-pg-metadata-auth" username)
  (
    umask 077
    printf '%s:%s:*:%s:%s\n' "$host" "$port" "$user" \
      "$(secret "$1" "$2-pg-metadata-auth" password | sed 's/[\\:]/\\&/g')" >"$file"
  )
  psql=(env "PGPASSFILE=$file" psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 -h "$host" -p "$port" -U "$user" -d druid)
  pg_dump=(env "PGPASSFILE=$file" pg_dump -h "$host" -p "$port" -U "$user" --exclude-table=druid_config druid)
}

# pg_contents NAMESPACE DRUID: a checksum of every definition and row that a backup holds by default.
pg_contents() {
  psql_of "$1" "$2"
  "${pg_dump[@]}" >"$work/pg-contents-$1-$2" || die "pg_dump of $1/$2 failed"
  # These lines have a key that is new in each dump.
  sed -E '/^\\(un)?restrict /d' "$work/pg-contents-$1-$2" | sha256sum | cut -d' ' -f1
}

# fill_postgres: segments, rules and binary payloads.
fill_postgres() {
  "${psql[@]}" <<'SQL' || die "the metadata set could not be loaded into PostgreSQL"
INSERT INTO druid_segments (id, dataSource, created_date, start, "end", partitioned, version, used, payload, used_status_last_updated)
SELECT 'wikipedia_' || n, 'wikipedia', '2024-09-19T10:00:00.000Z', '2016-06-27T00:00:00.000Z', '2016-06-28T00:00:00.000Z',
       true, '2024-09-19T10:00:00.000Z', n % 10 <> 0,
       convert_to('{"dataSource":"wikipedia","size":' || n * 977 || ',"name":"Zürich 🐘"}', 'UTF8') || decode('00ff5c27', 'hex'),
       '2024-09-19T10:00:00.000Z'
FROM generate_series(1, 5000) AS n;
INSERT INTO druid_rules (id, dataSource, version, payload)
VALUES ('r1', 'wikipedia', '2024-09-19T10:00:00.000Z', convert_to('[{"type":"loadForever"}]', 'UTF8'));
SQL
}

postgres_backup() {
  run kubectl apply -f sample-druid-postgres.yaml
  run kubectl wait -n demo druid/sample-druid-postgres --for=jsonpath='{.status.phase}'=Ready --timeout=60s
  psql_of demo sample-druid-postgres
  fill_postgres
  pg_original=$(pg_contents demo sample-druid-postgres)
  sed -e 's/mysql-metadata-storage/postgres-metadata-storage/' -e 's/name: sample-druid/&-postgres/' \
    -e 's/gcs-druid-repo/gcs-druid-postgres/' -e 's#directory: /druid#&-postgres#' \
    application-backup.yaml >"$work/postgres-backup.yaml"
  run kubectl apply -f "$work/postgres-backup.yaml"
  backup_succeeds sample-druid-postgres-backup
  run kubectl get snapshots -n demo -l=kubestash.com/repo-name=gcs-druid-postgres
  run kubectl get snapshots -n demo -l=kubestash.com/repo-name=gcs-druid-postgres \
    -o 'jsonpath={range .items[*].status.components}dump: {.dump.phase}, manifest: {.manifest.phase}{"\n"}{end}'
}

postgres_restore() {
  run kubectl create ns dev
  sed -e 's/mysql-metadata-storage/postgres-metadata-storage/' -e 's/gcs-druid-repo/gcs-druid-postgres/' \
    -e 's/name: restore-sample-druid-application/name: restore-application/' restores/application-restore.yaml >"$work/postgres-restore.yaml"
  run kubectl apply -f "$work/postgres-restore.yaml"
  restore_succeeds restore-application
  run kubectl wait -n dev druid/restored-druid --for=jsonpath='{.status.phase}'=Ready --timeout=60s
  run kubectl get druids.kubedb.com,postgreses.kubedb.com,secrets -n dev
  [[ $(pg_contents dev restored-druid) == "$pg_original" ]] || die "the application's database in the namespace dev differs"
  proved "a Druid with PostgreSQL came back in another namespace under another name, objects and data, equal to the original"
}
