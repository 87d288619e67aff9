"""Fails when the event path executes more instructions per event than its committed baseline allows.

Instructions, unlike time, are the same on a busy machine. The loop workload runs under callgrind recorded and
unrecorded, with two lengths each; differences of differences leave what one event adds, without start-up. The baseline is
instruction_baseline.json beside this file; a change for the better should lower it in the same commit, so that it stays won.

usage: instruction_gate.py [--update]    (HEAPLEDGER_BUILD: build directory)
"""
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("HEAPLEDGER_BUILD", HERE.parents[1] / "build" / "release")).resolve()
BASELINE = HERE / "instruction_baseline.json"
SHORT, LONG = 20_000, 60_000
EVENTS_PER_LOOP = 3
# Compilers of the same major version differ by this much; a real regression is a branch or a store more, 2 or above.
TOLERANCE = 0.03


def instructions(iterations, threads, recorded, scratch):
    """Instructions executed by the loop workload in all its threads, as callgrind counts them."""
    loop = [str(BUILD / "tests" / "bench" / "loop"), str(threads), str(iterations)]
    # The trace is the inner process's: valgrind itself must not be recorded, or its own start would count. The workload
    # may lie below a directory named heapledger, so the recorder is named whole.
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--trace-children=yes",
               "--trace-children-skip=*/bin/heapledger-recorder,*/bin/heapledger"]
    if recorded:
        command += ["/usr/bin/env", f"LD_PRELOAD={BUILD}/lib/libheapledger.so", f"HEAPLEDGER_DIR={scratch}"]
    environment = {key: value for key, value in os.environ.items()
                   if not key.startswith("HEAPLEDGER_") and key != "LD_PRELOAD"}
    finished = subprocess.run(command + loop, env=environment, capture_output=True, text=True, timeout=600, check=True)
    counts = re.findall(r"Collected : (\d+)", finished.stderr)
    if not counts:
        sys.exit(f"callgrind said nothing:\n{finished.stderr[-2000:]}")
    return int(counts[-1])


def per_event(threads, scratch):
    added = []
    for iterations in (SHORT, LONG):
        added.append(instructions(iterations, threads, True, scratch) - instructions(iterations, threads, False, scratch))
    return (added[1] - added[0]) / ((LONG - SHORT) * EVENTS_PER_LOOP * threads)


def main():
    with tempfile.TemporaryDirectory(prefix="heapledger-gate-") as scratch:
        measured = {"one_thread": round(per_event(1, scratch), 1), "two_threads": round(per_event(2, scratch), 1)}
    if sys.argv[1:] == ["--update"]:
        BASELINE.write_text(json.dumps(measured, indent=1) + "\n")
        print("baseline:", measured)
        return
    baseline = json.loads(BASELINE.read_text())
    status = 0
    for name, count in measured.items():
        limit = baseline[name] * (1 + TOLERANCE)
        verdict = "ok" if count <= limit else "TOO MANY"
        if count < baseline[name] * (1 - TOLERANCE):
            verdict = "ok; fewer than the baseline: run with --update to keep it so"
        print(f"{name}: {count} instructions per event, baseline {baseline[name]}: {verdict}")
        status |= count > limit
    sys.exit(status)


main()
