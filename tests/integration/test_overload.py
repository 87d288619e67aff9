"""A pool that is too small, or a recorder that does not come: bounded waits, then drops, counted to the last event."""
import os
import signal
import struct
import subprocess
import sys
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import analyze, program
from running import end_with_all_below, recorder_below, wait_for_the_program

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
                recorder = recorder_below(process.pid)
                os.kill(recorder, signal.SIGSTOP)
                started = time.monotonic()
                writer.write("go\n")
            wait_for_the_program(process.pid, started + 60)
            seconds = time.monotonic() - started
            os.kill(recorder, signal.SIGCONT)
            output, errors = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                end_with_all_below(process)
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


class RealTime(harness.TestCase):
    def test_a_real_time_program_on_one_processor(self):
        """Whoever goes round instead of sleeping keeps all others from running."""
        def become_real_time():
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))

        try:
            alone = harness.run([program("random_calls"), ROUNDS], preexec_fn=become_real_time)
        except subprocess.SubprocessError:
            self.skipTest("real-time priorities are not permitted here")
        trace = self.scratch / "t.hlt"
        recorded = harness.run([harness.HEAPLEDGER, "record", "-q", "--pool-size=1", "-o", trace, "--",
                                program("random_calls"), ROUNDS], preexec_fn=become_real_time, timeout=60)
        self.assertEqual((recorded.status, recorded.stdout), (0, alone.stdout), recorded.explain())
        self.assert_nothing_lost(trace)


class SeveralThreads(harness.TestCase):
    """Two threads that say how many calls each has completed: the truth that recorded and lost must add up to."""

    def run_while_the_recorder_stands(self, *options, while_it_stands=0, afterwards=0):
        """Records ends_somehow with a pool of 1 MiB and stops the recorder. The program makes as many calls with it
        stopped as it is told; either it has ended by then, or the recorder goes on and it makes some more."""
        self.trace, counts = self.scratch / "t.hlt", self.scratch / "counts"

        def let_it_end_after(calls):
            with open(counts, "r+b") as file:
                file.seek(24)
                file.write(struct.pack("<Q", calls))

        counts.write_bytes(bytes(4096))
        process = subprocess.Popen([str(word) for word in (
            harness.HEAPLEDGER, "record", "--quiet", "--pool-size=1", "-o", self.trace, *options, "--",
            program("ends_somehow"), counts, "exit", 1 << 60)], env=harness.clean_environment(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.completed = lambda: struct.unpack_from("<QQ", counts.read_bytes(), 8)
        try:
            self.wait_for_calls(1000)
            recorder = recorder_below(process.pid)
            os.kill(recorder, signal.SIGSTOP)
            last = self.completed()[0] + while_it_stands
            if afterwards:
                self.wait_for_calls(last)
                os.kill(recorder, signal.SIGCONT)
                let_it_end_after(self.completed()[0] + afterwards)
            else:
                let_it_end_after(last)
                wait_for_the_program(process.pid, time.monotonic() + 90)
                os.kill(recorder, signal.SIGCONT)
            _, errors = process.communicate(timeout=90)
        finally:
            if process.poll() is None:
                end_with_all_below(process)
        self.assertEqual(process.returncode, 0, errors)
        info = analyze("info", self.trace)
        self.assertTrue(info["complete"])
        return info

    def wait_for_calls(self, calls):
        deadline = time.monotonic() + 60
        while self.completed()[0] < calls:
            self.assertLess(time.monotonic(), deadline, "the program does not go on")
            time.sleep(0.002)

    def assert_books_balance(self, info):
        heap = info["events"]["allocations"] + info["events"]["frees"] + info["events"]["other"]
        causes = {cause for cause, count in info["lost"]["by_cause"].items() if count}
        self.assertLessEqual(causes, {"pool_exhausted"})
        # Two starts of threads, exit, calloc of the second thread's table, and the call that exit interrupted.
        extra = heap + info["lost"]["events"] - sum(self.completed())
        self.assertIn(extra, range(3, 8), (info["events"], info["lost"], self.completed()))

    def test_a_storm_of_drops_adds_up_to_the_truth(self):
        info = self.run_while_the_recorder_stands("--on-overload=drop", while_it_stands=500000)
        self.assertGreater(info["lost"]["events"], 100000)
        self.assert_books_balance(info)

    def test_threads_that_wait_side_by_side_spend_the_budget_once(self):
        info = self.run_while_the_recorder_stands("--overload-wait=2.5", while_it_stands=500000)
        self.assertGreater(info["lost"]["events"], 100000)
        self.assert_books_balance(info)
        # Wall time of the process: not half of it for each thread, nor all of it for each (which would be 5 s).
        self.assertGreater(info["waits"]["ns"], 2.4e9)
        self.assertLess(info["waits"]["ns"], 4.5e9)

    def test_a_recorder_that_stands_for_a_while_and_comes_back(self):
        # More calls than the pool holds: so it has waited its second, and dropped.
        info = self.run_while_the_recorder_stands("--overload-wait=1", while_it_stands=1500000 * min(harness.SCALE, 4),
                                                  afterwards=1500000)
        self.assert_books_balance(info)
        self.assertGreater(info["lost"]["events"], 100000)
        # Afterwards all is well: the first thread's last calls are there, each of them.
        end = [line for line in harness.dump_lines(self.trace) if b" thread=1 kind=malloc " in line][-10000:]
        last = [dict(word.split(b"=", 1) for word in line.split() if b"=" in word) for line in end]
        sizes = [int(words[b"size"]) - 24 for words in last]
        self.assertGreater(len(sizes), 5000)
        self.assertEqual([(a + 1) % 1009 for a in sizes[:-1]], sizes[1:])


if __name__ == "__main__":
    harness.main()
