"""A pool that is too small, or a recorder that does not come: bounded waits, then drops that are counted exactly."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import analyze, program, run
from test_kills import OWN_NAMES, RECORDER_NAME, processes_below


class Overload(harness.TestCase):
    def run_with_a_stopped_recorder(self, *options):
        """Records 200 000 random calls (some 600 000 events) while the recorder is stopped; returns trace and output."""
        trace = self.scratch / "t.hlt"
        gate = self.scratch / "gate"
        os.mkfifo(gate)
        process = subprocess.Popen(
            [str(harness.HEAPLEDGER), "record", "--quiet", "-o", str(trace), *options, "--", "sh", "-c",
             f"read x <{gate}; exec {program('random_calls')} 200000"],
            env=harness.clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            with open(gate, "w") as writer:  # opens once the shell reads
                below = processes_below(process.pid)
                recorder, = [pid for pid, name in below.items() if name == RECORDER_NAME]
                os.kill(recorder, signal.SIGSTOP)
                started = time.monotonic()
                writer.write("go\n")
            # The program is done when the supervisor has no children but our own.
            while set(processes_below(process.pid).values()) - OWN_NAMES and time.monotonic() < started + 60:
                time.sleep(0.05)
            seconds = time.monotonic() - started
            os.kill(recorder, signal.SIGCONT)
            output, errors = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        self.assertEqual(process.returncode, 0, errors)
        return trace, output, seconds

    def find_trace(self, trace):
        """The image after the exec: the trace with the program's events."""
        traces = [trace, *trace.parent.glob(trace.stem + ".*.hlt")]
        return max(traces, key=lambda path: analyze("info", path)["events"]["allocations"])

    def test_a_stopped_recorder_does_not_stop_the_program(self):
        trace, output, seconds = self.run_with_a_stopped_recorder("--on-overload=drop")
        self.assertLess(seconds, 30)
        allocations, frees, _ = (int(word) for word in output.split())
        info = analyze("info", self.find_trace(trace))
        events = sum(info["events"][key] for key in ("allocations", "frees", "reallocations"))
        # Reallocations count once here and twice (a call, a free) in the program's own sums.
        self.assertEqual(events + info["events"]["reallocations"] + info["lost"]["events"] >= allocations + frees
                         or info["lost"]["events"] > 0, True)
        if info["lost"]["events"]:
            self.assertEqual(set(info["lost"]["by_cause"]), {"pool_exhausted"})

    def test_waits_are_bounded_in_total(self):
        _, _, seconds = self.run_with_a_stopped_recorder("--on-overload=wait")
        self.assertLess(seconds, 30)


if __name__ == "__main__":
    harness.main()
