#!/bin/bash
# What a day's work does not wait for: everything in scripts/test.sh with ten times the rounds of what is randomised and an
# hour a fuzzer; every recorded program again with recorder and analyzer under address and undefined-behaviour sanitizers
# (the shim itself is never sanitized: it lives in other programs); unit tests and verbs under Valgrind, which sees what
# the sanitizers do not, uninitialised memory; the whole benchmark. Eight hours and more on two cores.
#
#   HEAPLEDGER_TEST_SCALE=10   rounds of randomised tests, as a multiple
#   HEAPLEDGER_FUZZ_SECONDS=3600   for each fuzzer
#   scripts/nightly.sh [PART...]   tests, sanitized, valgrind, bench; all of them if none is named
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export HEAPLEDGER_TEST_SCALE=${HEAPLEDGER_TEST_SCALE:-10} HEAPLEDGER_FUZZ_SECONDS=${HEAPLEDGER_FUZZ_SECONDS:-3600}
failed=()

sanitized() {
  mkdir -p build
  if ! { cmake --preset asan && ninja -C build/asan -j "$(nproc)"; } >build/asan.log 2>&1; then
    tail -n 60 build/asan.log
    return 1
  fi
  # Left out: what limits address space (a sanitizer reserves terabytes of it) or preloads another allocator into
  # `record` itself, what reads the shim's file, what builds for itself, and what runs without /proc (sanitizers read
  # their options there). Leaks are not looked for: a recorder that is killed or traced cannot. Tests preload libraries.
  ASAN_OPTIONS="verify_asan_link_order=0:detect_leaks=0:detect_stack_use_after_return=1:log_path=$PWD/build/asan/report" \
    UBSAN_OPTIONS="print_stacktrace=1:log_path=$PWD/build/asan/report" HEAPLEDGER_TEST_SCALE=1 \
    ctest --test-dir build/asan -R '^integration\.' -E '^integration\.(allocator_edges|bad_input|containers|fragmentation|fragmentation_allocators|operator_new|scripts|shim_binary)$' \
    --output-on-failure -j "$(nproc)" --timeout 1800 --no-tests=error
  local status=$?
  # A finding in a recorder ends that recorder, which the next one makes good: so it is looked for by its report.
  if compgen -G "build/asan/report*" >/dev/null; then
    head -n 60 build/asan/report*
    rm -f build/asan/report*
    status=1
  fi
  return $status
}

under_valgrind() { # COMMAND...
  valgrind --quiet --error-exitcode=99 --track-origins=yes "$@" >/dev/null
  (($? != 99)) || { echo "under valgrind: $*" >&2; return 1; }
}

memory_checked() {
  command -v valgrind >/dev/null || { echo "valgrind is not installed (scripts/setup.sh)" >&2; return 1; }
  local status=0 test verb trace
  for test in build/release/tests/unit_*; do
    # Those that step, fork and jump at single instructions, race threads for minutes, or need pidfds and ptrace, are
    # not Valgrind's.
    case ${test##*/unit_} in *walk | module | *pool | *tree | *hostile | recorder | *scan*) continue ;; esac
    [[ -x $test && -f $test ]] && { under_valgrind "$test" || status=1; }
  done
  trace=$(mktemp -d) || return 1
  build/release/bin/heapledger record --quiet -o "$trace/t.hlt" -- build/release/tests/integration/cxx_program 40 threads >/dev/null
  for verb in info report live dump metrics leaks; do
    under_valgrind build/release/bin/heapledger "$verb" "$trace/t.hlt" || status=1
  done
  rm -r "$trace"
  return $status
}

part() { # NAME COMMAND...
  echo "==== $1"
  "${@:2}" || failed+=("$1")
}

(($# > 0)) || set -- tests sanitized valgrind bench
for name; do
  case $name in
    tests) part tests scripts/test.sh ;;
    sanitized) part sanitized sanitized ;;
    valgrind) part valgrind memory_checked ;;
    bench) part bench scripts/bench.sh ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
((${#failed[@]} == 0)) || { printf 'FAILED: %s\n' "${failed[@]}" >&2; exit 1; }
