#!/bin/sh
# Measures what heapledger costs, against the untraced run and heaptrack 1.4, and prints a table beside the limits.
#
#   scripts/bench.sh [--quick] [--rounds N] [--only PART...] [--json FILE]
#
# Takes about twenty minutes on two idle cores (--quick: one or two), writes build/bench.json unless told otherwise.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
"$root/scripts/setup.sh"
(cd "$root" && cmake --preset release >/dev/null && ninja -C build/release >/dev/null) || {
  echo "bench: the build failed; see: ninja -C build/release" >&2
  exit 1
}
case " $* " in
  *" --json "*) ;;
  *) set -- "$@" --json "$root/build/bench.json" ;;
esac
exec /usr/bin/python3 -B "$root/tests/bench/bench.py" "$@"
