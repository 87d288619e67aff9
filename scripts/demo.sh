#!/bin/sh
# README's first command: on a fresh machine installs what is missing, builds, records a real program (Python doing
# JSON work, each object a malloc) and prints where its memory went and what it left behind.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
"$root/scripts/setup.sh" --build-only
command -v /usr/bin/python3 >/dev/null || { echo "demo: it records /usr/bin/python3, which is not installed" >&2; exit 1; }
HEAPLEDGER_DIR=${HEAPLEDGER_DIR:-${TMPDIR:-/tmp}}
export HEAPLEDGER_DIR
run=$(mktemp -d "$HEAPLEDGER_DIR/heapledger-demo-XXXXXX")
PYTHONMALLOC=malloc "$root/scripts/wrap.sh" -o "$run/python3.hlt" -- /usr/bin/python3 "$root/tests/bench/json_work.py" 2
[ -e "$run/python3.hlt" ] || { echo "demo: nothing was recorded, see above" >&2; exit 1; }
exec "$root/build/release/bin/heapledger" report "$run/python3.hlt"
