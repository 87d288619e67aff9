#!/bin/sh
# scripts/wrap.sh [OPTIONS] [--] APP [ARGS...]: records APP; the twin of `heapledger record`.
#
# In a source checkout it first builds what is missing or out of date; in an installed tree it finds the programs
# beside itself. Then it becomes `heapledger record`: it does no more itself, because a shell can neither forward
# every signal nor leave standard input and the terminal alone. Nothing here writes to standard output, which is
# the application's. Whatever goes wrong, APP still runs, unrecorded, and one line on standard error says why.
set -u

here=$(cd "$(dirname "$0")" && pwd) || here=.

# Runs APP without recording it: what stands after our options. They are told apart here alone, so the list of
# options that take a value must match `heapledger record --help`.
run_unrecorded() {
  reason=$1
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      --) shift; break ;;
      -o | --output | --output-dir | --on-overload | --overload-wait | --pool-size | --zstd-level | --unwinder | \
        --leaks | --leak-options | --sample-budget)
        shift
        [ $# -gt 0 ] && shift
        ;;
      -*) shift ;;
      *) break ;;
    esac
  done
  echo "heapledger: $reason; running unrecorded" >&2
  [ $# -gt 0 ] || exit 2
  exec "$@"
}

# True if --quiet (or -q) stands among our options, that is before APP.
says_quiet() {
  for word in "$@"; do
    case $word in
      -q | --quiet) return 0 ;;
      --) return 1 ;;
      -*) ;;
    esac
  done
  return 1
}

# Installed: PREFIX/bin/heapledger-wrap.sh or PREFIX/share/heapledger/wrap.sh, with PREFIX/bin/heapledger.
for candidate in "$here/heapledger" "$here/../bin/heapledger" "$here/../../bin/heapledger"; do
  if [ -x "$candidate" ] && [ ! -e "$here/../CMakePresets.json" ]; then
    exec "$candidate" record "$@"
  fi
done

root=$(cd "$here/.." && pwd) || run_unrecorded "cannot enter $here/.." "$@"
build="$root/build/release"
[ -e "$root/CMakePresets.json" ] || run_unrecorded "no heapledger program beside $0" "$@"

# Compiles the three files that recording and reading need. Two wraps started at once take turns; the caller's
# descriptors 0 and 1 are kept out of the build, or ninja might eat the application's input.
build_programs() {
  for tool in g++ cmake ninja; do
    if ! command -v "$tool" >/dev/null 2>&1; then
      echo "heapledger: $tool is missing: running scripts/setup.sh --build-only first" >&2
      "$root/scripts/setup.sh" --build-only >&2 || return 1
      break
    fi
  done
  if [ ! -e "$build/build.ninja" ]; then
    if ! configure_release; then
      echo "heapledger: configuring failed; trying again after scripts/setup.sh --build-only" >&2
      "$root/scripts/setup.sh" --build-only >&2 || return 1
      configure_release || return 1
    fi
  fi
  ninja -C "$build" bin/heapledger bin/heapledger-recorder lib/libheapledger.so \
    lib/libheapledger-new.so
}
configure_release() { (cd "$root" && cmake --preset release); }

mkdir -p "$build" 2>/dev/null
log="$build/wrap.log"
# A checkout one may only read, but built: use it as it is.
if ( : >>"$log" ) 2>/dev/null; then
  if [ ! -x "$build/bin/heapledger" ]; then
    says_quiet "$@" || echo "heapledger: building first (once; log: $log)" >&2
  fi
  if ! (
    if command -v flock >/dev/null 2>&1; then
      exec 9>"$build/.wrap-lock"
      flock 9
    fi
    build_programs >"$log.$$" 2>&1 </dev/null 9>&-
  ); then
    mv "$log.$$" "$log"
    tail -n 15 "$log" >&2
    run_unrecorded "building failed (log: $log)" "$@"
  fi
  mv "$log.$$" "$log"
fi

[ -x "$build/bin/heapledger" ] || run_unrecorded "$build/bin/heapledger is not built and $build cannot be written" "$@"
exec "$build/bin/heapledger" record "$@"
