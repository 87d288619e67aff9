#!/bin/bash
# The same tests as scripts/test.sh, longer: ten times the rounds of what is randomised, ten minutes a fuzzer, then
# the whole benchmark. For a machine that has the night; it finds what ten minutes do not.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
status=0
HEAPLEDGER_TEST_SCALE=${HEAPLEDGER_TEST_SCALE:-10} scripts/test.sh || status=1
scripts/bench.sh || status=1
exit $status
