# Proves a backup with the real restic client and a real, empty database server. Sourced by run.sh.

# prove DRUID DIRECTORY: the newest backup under DIRECTORY is sound and equals the live database.
prove() {
  local druid=$1 directory=$2 target=$work/restored-$1
  say "objects in the bucket:"
  objects "blueprint/$directory/" | sed -E 's#/(data|index|keys|snapshots)/[^.]*$#/\1/…#' | sort | uniq -c
  export RESTIC_PASSWORD_FILE=$work/RESTIC_PASSWORD
  # restic talks to Google only, never to an emulator, so it gets the same objects as files.
  local repository=$work/downloaded-$1
  download "blueprint/$directory/repository/v1/frequent-backup/dump/" "$repository"
  say "downloaded blueprint/$directory/repository/v1/frequent-backup/dump from the bucket"
  run restic --no-cache -r "$repository" check --read-data
  run restic --no-cache -r "$repository" snapshots
  run restic --no-cache -r "$repository" restore latest --target "$target" --host host-0
  local dump=$target/dumpfile.sql
  [[ -s $dump ]] || die "restic restored an empty dump"
  say "the dump has $(stat -c %s "$dump") bytes"
  [[ -n ${empty_mysql[*]:-} ]] || start_empty_mysql
  "${empty_mysql[@]}" -e 'DROP DATABASE IF EXISTS druid; CREATE DATABASE druid CHARACTER SET utf8mb4'
  "${empty_mysql[@]}" druid <"$dump" || die "the restored dump does not load"
  compare_databases
  proved "$directory: restic checks it clean, restores it, and the copy equals the original in $compared tables"
}

# compare_databases: every table of the copy equals the original in rows, checksum and definition.
compare_databases() {
  local table rows filled=0
  compared=0
  [[ $(ask "${empty_mysql[@]}" -- "SELECT COUNT(*) FROM druid_config WHERE name LIKE 'basic%'") == 0 ]] \
    || die "Druid's users are in the backup, although the default args leave them out"
  same druid_config "SELECT name, SHA2(payload, 256) FROM druid_config WHERE name NOT LIKE 'basic%' ORDER BY name"
  while read -r table; do
    [[ $table == druid_config ]] && continue
    rows=$(ask "${source_mysql[@]}" -- "SELECT COUNT(*) FROM \`$table\`")
    same "$table" "SELECT COUNT(*) FROM \`$table\`"
    same "$table" "CHECKSUM TABLE \`$table\` EXTENDED"
    same "$table" "SHOW CREATE TABLE \`$table\`"
    compared=$((compared + 1))
    ((rows == 0)) || filled=$((filled + 1))
    printf '  %-24s %8d rows, same checksum and definition\n' "$table" "$rows"
  done < <("${source_mysql[@]}" -N druid -e 'SHOW TABLES')
  ((filled >= 6)) || die "only $filled tables have rows; at least 6 were loaded"
}

ask() {
  local command=()
  while [[ $1 != -- ]]; do
    command+=("$1")
    shift
  done
  "${command[@]}" -N druid -e "$2"
}

same() {
  local original copy
  original=$(ask "${source_mysql[@]}" -- "$2")
  copy=$(ask "${empty_mysql[@]}" -- "$2")
  [[ $original == "$copy" ]] || die "$1 differs: $2 gives $original there and $copy in the copy"
}
