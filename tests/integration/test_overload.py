"""A pool that is too small, or a recorder that does not come: bounded waits, then drops, counted to the last event."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import analyze, program
from test_kills import OWN_NAMES, RECORDER_NAME, processes_below

ROUNDS = "200000"


class Overload(harness.TestCase):
    def run_with_a_stopped_recorder(self, *options):
        """Records random calls with the recorder stopped and a pool of 1 MiB; returns info, output and seconds."""
        trace = self.scratch / "t.hlt"
        gate = self.scratch / "gate"
        os.mkfifo(gate)
        process = subprocess.Popen(
            [str(harness.HEAPLEDGER), "record", "--quiet", "--pool-size=1", "-o", str(trace), *options, "--", "sh", "-c",
             f"read x <{gate}; exec {program('random_calls')} {ROUNDS}"],
            env=harness.clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            with open(gate, "w") as writer:  # opens once the shell reads
                recorder, = [pid for pid, name in processes_below(process.pid).items() if name == RECORDER_NAME]
                os.kill(recorder, signal.SIGSTOP)
                started = time.monotonic()
                writer.write("go\n")
            # The program is done when the supervisor has no children but our own.
            while set(processes_below(process.pid).values()) - OWN_NAMES and time.monotonic() < started + 60:
                time.sleep(0.02)
            seconds = time.monotonic() - started
            os.kill(recorder, signal.SIGCONT)
            output, errors = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        self.assertEqual(process.returncode, 0, errors)
        # The image after the exec keeps the name; the shell's own gave it up.
        return analyze("info", trace), output, seconds

    def assert_every_event_is_recorded_or_counted_as_lost(self, info):
        whole = self.record(program("random_calls"), ROUNDS, name="whole.hlt").info()
        self.assertEqual(whole["lost"]["events"], 0)
        self.assertGreater(info["lost"]["events"], 0, "the pool held everything: nothing was tested")
        # "other": the start of the thread, and the exit, for which there is no room either.
        kinds = ("allocations", "frees", "reallocations", "other")
        recorded = sum(info["events"][key] for key in kinds)
        self.assertEqual(recorded + info["lost"]["events"], sum(whole["events"][key] for key in kinds))
        causes = {cause for cause, count in info["lost"]["by_cause"].items() if count}
        self.assertEqual(causes, {"pool_exhausted"})

    def test_dropped_events_are_counted(self):
        info, _, seconds = self.run_with_a_stopped_recorder("--on-overload=drop")
        self.assertLess(seconds, 20, "the program is not held up")
        self.assert_every_event_is_recorded_or_counted_as_lost(info)

    def test_waits_are_bounded_in_total_and_then_events_are_dropped(self):
        info, _, seconds = self.run_with_a_stopped_recorder("--on-overload=wait", "--overload-wait=1")
        self.assertGreater(seconds, 0.9, "it waited")
        self.assertLess(seconds, 20, "but not again for every block")
        self.assert_every_event_is_recorded_or_counted_as_lost(info)

    def test_the_program_does_not_notice(self):
        alone = harness.run([program("random_calls"), ROUNDS])
        _, output, _ = self.run_with_a_stopped_recorder("--on-overload=drop")
        self.assertEqual(output, alone.stdout)


if __name__ == "__main__":
    harness.main()
