#!/bin/bash
# Everything the project checks about itself: sets up, builds, runs all tests. README's second command and .ci/run.
#
#   scripts/test.sh          setup, release build, all of ctest; the unit tests under address and undefined-behaviour
#                            sanitizers, the threaded ones under the thread sanitizer, and half a minute of each
#                            fuzzer; under 25 minutes on two cores
#   scripts/test.sh --quick  setup, release build, all of ctest
#
# Ends with ctest's own summary; exit status 0 only if every part passed. Every part runs even when an earlier one
# failed, so that one look shows all. HEAPLEDGER_TEST_SCALE (default 1) lengthens the randomised tests, and
# HEAPLEDGER_FUZZ_SECONDS (default 20 for each fuzzer, times the scale) the fuzzers: nightly.sh.
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
quick=no
case "${1:-}" in
  --quick) quick=yes ;;
  "") ;;
  *) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
scale=${HEAPLEDGER_TEST_SCALE:-1}
fuzz_seconds=${HEAPLEDGER_FUZZ_SECONDS:-$((20 * scale))}
jobs=$(nproc)
failed=()

step() { # NAME COMMAND...: runs it, remembers a failure, says how long it took
  local name=$1 start=$SECONDS
  shift
  echo "== $name"
  if "$@"; then
    echo "== $name: passed in $((SECONDS - start)) s"
  else
    failed+=("$name")
    echo "== $name: FAILED after $((SECONDS - start)) s"
  fi
}

build_quietly() { # PRESET TARGETS...: the log is shown only when something is wrong
  local preset=$1 log="$root/build/$1.log"
  shift
  mkdir -p "$root/build"
  if cmake --preset "$preset" >"$log" 2>&1 && ninja -C "build/$preset" -j "$jobs" "$@" >>"$log" 2>&1; then
    return 0
  fi
  tail -n 60 "$log"
  return 1
}

# Sanitizers and preloading do not mix, so under them run the unit tests alone, all of them or those NAMED.
sanitized() { # PRESET [NAME...]
  local preset=$1
  shift
  cmake --preset "$preset" >/dev/null || return 1
  local names=("$@")
  # unit.module forks from a handler in mid-walk: under ASan such a child may wait for the sanitizer's own locks for ever.
  ((${#names[@]})) || mapfile -t names < <(ninja -C "build/$preset" -t targets all | sed -n 's/^unit_\([a-z_]*\): phony$/\1/p' | grep -vx module)
  build_quietly "$preset" "${names[@]/#/unit_}" &&
    TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1" ASAN_OPTIONS="detect_stack_use_after_return=1" \
      ctest --test-dir "build/$preset" -R "^unit\\.($(IFS='|'; echo "${names[*]}"))$" --output-on-failure -j "$jobs" \
      --timeout 600 --no-tests=error
}

fuzz() { # SECONDS each; a corpus that is committed is where it starts, what it finds stays in build/
  build_quietly fuzz fuzz_trace fuzz_session fuzz_symbolizer fuzz_codec fuzz_cfi fuzz_suppressions fuzz_smaps fuzz_profile fuzz_budget ||
    return 1
  local fuzzer name corpus status=0
  while IFS= read -r fuzzer; do
    name=$(basename "$fuzzer")
    corpus="build/fuzz/found/$name"
    mkdir -p "$corpus"
    local seeds=()
    [[ -d tests/fuzz/corpus/${name#fuzz_} ]] && seeds=("tests/fuzz/corpus/${name#fuzz_}")
    if ! "$fuzzer" -max_total_time="$1" -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 \
         -artifact_prefix="build/fuzz/" "$corpus" "${seeds[@]}" >"build/fuzz/$name.log" 2>&1; then
      tail -n 40 "build/fuzz/$name.log"
      status=1
    fi
    echo "$name: $(sed -n 's/^stat::number_of_executed_units: */runs: /p' "build/fuzz/$name.log")"
  done < <(find build/fuzz -name 'fuzz_*' -type f -perm -u+x)
  return $status
}

# The machine's own interpreter and tools: a version manager's shims would otherwise be what gets recorded.
scripts/setup.sh || exit 1
step "release build" build_quietly release all
if [[ $quick = no ]]; then
  if command -v clang++ >/dev/null; then
    step "fuzzers, $fuzz_seconds s each" fuzz "$fuzz_seconds"
  fi
  # The asan preset has the undefined-behaviour sanitizer too; what runs threads goes under tsan as well.
  step "unit tests under asan and ubsan" sanitized asan
  step "threaded unit tests under tsan" sanitized tsan stack_tree block_pool reader_time_merge replay_replay
fi

# Last, so that the closing lines are ctest's. Integration tests count events and bytes, not seconds, but a few watch
# timeouts: two at a time is what two cores bear.
ctest --test-dir build/release --output-on-failure -j "$jobs" --timeout $((900 * scale)) --no-tests=error ||
  failed+=("tests")
if ((${#failed[@]})); then
  printf 'FAILED: %s\n' "${failed[@]}" >&2
  exit 1
fi
