#!/usr/bin/env bash
# Starts everything with demo tenants, asks one question as the enterprise tenant over REST and WebSocket, and shows the
# answer with its sources and the timeline of the task. Ends then, or with --stay stays up until Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."
nooble=target/release/nooble
data=${NOOBLE_DATA_DIR:-.nooble}
question=${QUESTION:-How many requests per minute may a free tenant make?}

say() { printf '==> %s\n' "$*"; }


mkdir -p "$data"
say "starting nooble up --demo (data in $data, log in $data/nooble.log)"
"$nooble" up --demo --data-dir "$data" ${NOOBLE_UP_ARGS:-} >"$data/nooble.log" 2>&1 &
server=$!
stop() { kill -TERM "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for _ in $(seq 600); do
  if grep -q "^ready " "$data/nooble.log"; then break; fi
  if ! kill -0 "$server" 2>/dev/null; then
    say "nooble did not start:"
    tail -n 20 "$data/nooble.log"
    exit 1
  fi
  sleep 0.1
done
grep -q "^ready " "$data/nooble.log" || { say "the demo was not ready within 60 s; see $data/nooble.log"; exit 1; }

say "asking as the enterprise tenant"
"$nooble" chat --data-dir "$data" --tier enterprise --require-sources "$question"

[ "${1:-}" = --stay ] || exit 0
"$nooble" demo --data-dir "$data"
say "up until Ctrl-C"
wait "$server"
