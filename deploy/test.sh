#!/usr/bin/env bash
# Runs all tests, with nextest where it is installed and with cargo's own runner elsewhere.
set -euo pipefail
cd "$(dirname "$0")/.."
if command -v cargo-nextest >/dev/null 2>&1; then
  exec cargo nextest run --workspace --no-fail-fast "$@"
fi
exec cargo test --workspace --no-fail-fast "$@"
