# The servers of the demo: a GCS emulator, kubestash itself, and an empty MySQL-compatible server to
# load a restored dump into. All on loopback, all stopped at the end. Sourced by run.sh.

pids=()

start_gcs() {
  local binary port
  binary=$(find "$root/.tools/venv" -type f -name 'fake-gcs-server-linux-amd64' | head -1)
  [[ -x $binary ]] || die "the GCS emulator is not installed; run: make tools"
  port=$(free_port)
  "$binary" -scheme http -host 127.0.0.1 -port "$port" -public-host "127.0.0.1:$port" \
    -backend filesystem -filesystem-root "$work/bucket" >"$work/gcs.log" 2>&1 &
  pids+=($!)
  export STORAGE_EMULATOR_HOST="http://127.0.0.1:$port"
  eventually 20 "the GCS emulator" curl_gcs storage/v1/b
  curl_gcs storage/v1/b -X POST -H 'Content-Type: application/json' -d '{"name":"kubestash-qa"}' >/dev/null \
    || die "the GCS emulator made no bucket"
  say "a GCS emulator listens on $STORAGE_EMULATOR_HOST, with the bucket kubestash-qa"
}

curl_gcs() {
  local path=$1
  shift
  curl -fsS --max-time 10 "$@" "$STORAGE_EMULATOR_HOST/$path"
}

# objects PREFIX: names of the objects in the bucket.
objects() {
  curl_gcs "storage/v1/b/kubestash-qa/o?prefix=$1" \
    | python3 -c 'import json, sys; [print(o["name"]) for o in json.load(sys.stdin).get("items", [])]'
}

# download PREFIX DIRECTORY: copies the objects under a prefix to files, without the prefix.
download() {
  python3 - "$STORAGE_EMULATOR_HOST" "$1" "$2" <<'PY'
import json, pathlib, sys, urllib.parse, urllib.request
host, prefix, directory = sys.argv[1:]
bucket = f"{host}/storage/v1/b/kubestash-qa/o"
listed = json.load(urllib.request.urlopen(f"{bucket}?prefix={urllib.parse.quote(prefix)}"))
for item in listed["items"]:
    file = pathlib.Path(directory, item["name"][len(prefix):])
    file.parent.mkdir(parents=True, exist_ok=True)
    name = urllib.parse.quote(item["name"], safe="")
    file.write_bytes(urllib.request.urlopen(f"{bucket}/{name}?alt=media").read())
PY
}

start_up() {
  "${KUBESTASH:-$root/target/release/kubestash}" up --data-dir "$work/data" --kubeconfig "$work/kubeconfig" \
    >"$work/up.out" 2>"$work/up.log" &
  up_pid=$!
  pids+=("$up_pid")
  eventually 30 "kubestash up" grep -q . "$work/up.out"
  cat "$work/up.out"
  export KUBECONFIG=$work/kubeconfig
}

# start_empty_mysql: a new server with nothing in it; $empty_mysql becomes the command that talks to it.
start_empty_mysql() {
  local dir=$work/empty
  install -d -o mysql -g mysql -m 700 "$dir" "$dir/data"
  mariadb-install-db --no-defaults --user=mysql --datadir="$dir/data" --tmpdir="$dir" --auth-root-authentication-method=normal \
    --skip-test-db >"$work/empty-install.log" 2>&1 || die "no empty database server could be made; see $work/empty-install.log"
  mariadbd --no-defaults --user=mysql --datadir="$dir/data" --tmpdir="$dir" --socket="$dir/s" --pid-file="$dir/pid" \
    --skip-networking --innodb-buffer-pool-size=32M >"$work/empty.log" 2>&1 &
  pids+=($!)
  empty_mysql=(mariadb --no-defaults --user=root --socket="$dir/s")
  eventually 30 "the empty database server" "${empty_mysql[@]}" -e 'SELECT 1'
}

# mysql_of DRUID: $source_mysql becomes the command that talks to the metadata store of a Druid. The
# password goes by a file that only we can read.
mysql_of() {
  local file=$work/$1.cnf url
  url=$(kubectl get appbinding -n demo "$1-mysql-metadata" -o 'jsonpath={.spec.clientConfig.url}')
  [[ $url =~ \(([^:]+):([0-9]+)\) ]] || die "the AppBinding of $1 has an address that is not understood: $url"
  (
    umask 077
    printf '[client]\nhost=%s\nport=%s\nuser=%s\npassword="%s"\n' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" \
      "$(secret demo "$1-mysql-metadata-auth" username)" "$(secret demo "$1-mysql-metadata-auth" password)" >"$file"
  )
  source_mysql=(mariadb --defaults-extra-file="$file")
}

stop_servers() {
  local pid
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  pids=()
}
