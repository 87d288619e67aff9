"""However the program, the recorder or both end, at a random moment: every completed call is in the trace, once."""
import os
import random
import signal
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import SCALE, analyze, dump_lines, program
from running import RunningTest, recorder_below

ROUNDS = 3 * SCALE
SEED = int(os.environ.get("HEAPLEDGER_TEST_SEED", time.time_ns() & 0xffffffff))
RING = 64
MEMORY_CGROUPS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))


def expected_calls(count):
    """What programs/ends_somehow.c does: for each of a thread's first calls, (freed block or None, size)."""
    calls, blocks = [], 0
    while len(calls) < count:
        if blocks >= RING:
            calls.append((blocks - RING, None))
        calls.append((None, 24 + blocks % 1009))
        blocks += 1
    return calls[:count]


def make_memory_cgroup(limit_bytes):
    """A new cgroup that is limited so; raises OSError where this is not permitted."""
    for base in MEMORY_CGROUPS:
        for name in ("memory.limit_in_bytes", "memory.max"):
            group = base / f"heapledger-test-{os.getpid()}"
            if not base.exists() or (name == "memory.limit_in_bytes") != (base.name == "memory"):
                continue
            group.mkdir()
            try:
                (group / name).write_text(str(limit_bytes))
                return group
            except OSError:
                group.rmdir()
    raise OSError("no memory controller")


class Ends(RunningTest):
    END_TIMEOUT = 90

    def start(self, way, calls, within=None):
        """Starts ends_somehow under record; returns its pid once it runs."""
        self.place = self.scratch / f"{way}-{time.monotonic_ns()}"
        self.place.mkdir()
        self.trace, self.count_file = self.place / "t.hlt", self.place / "counts"
        self.count_file.write_bytes(bytes(4096))
        self.start_recording("-o", self.trace, "--", program("ends_somehow"), self.count_file, way, calls,
                             preexec_fn=within)
        self.until(lambda: self.counts()[0] != 0, "the program does not get going")
        return self.counts()[0]

    def until(self, condition, why, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertTrue(self.process.poll() is None or condition(), why)
            self.assertLess(time.monotonic(), deadline, why)
            time.sleep(0.001)

    def counts(self):
        """The program's pid, and the calls that either thread has completed."""
        return struct.unpack_from("<QQQ", self.count_file.read_bytes())

    def let_it_end_after(self, more):
        """The first thread is to make so many more calls. Returns how many that will be at least."""
        calls = self.counts()[1] + more
        with open(self.count_file, "r+b") as file:
            file.seek(24)
            file.write(struct.pack("<Q", calls))
        return calls

    def assert_each_completed_call_is_recorded_once(self, trace=None, sizes_known=None):
        """Reads the whole dump: of each thread the calls it had completed, in order, and at most the one under way."""
        completed = self.counts()[1:]
        threads = {}
        for line in dump_lines(trace or self.trace):
            words = dict(word.split(b"=", 1) for word in line.split() if b"=" in word)
            if words[b"kind"] in (b"malloc", b"free"):
                threads.setdefault(int(words[b"thread"]), []).append(words)
        for thread, events in sorted(threads.items()):
            done = completed[thread - 1]
            # The call that was under way may be there or not: it was recorded but not yet spoken of.
            self.assertIn(len(events), (done, done + 1), f"thread {thread}")
            addresses = []
            for number, (words, (freed, size)) in enumerate(zip(events, expected_calls(len(events)))):
                where = f"thread {thread}, call {number} of {done}"
                if freed is not None:
                    self.assertEqual((words[b"kind"], words[b"address"]), (b"free", addresses[freed]), where)
                else:
                    self.assertEqual(words[b"kind"], b"malloc", where)
                    if sizes_known is None or number < sizes_known:
                        self.assertEqual(int(words[b"size"]), size, where)
                    addresses.append(words[b"address"])
        self.assertEqual([thread for thread, done in enumerate(completed, 1) if done > 1 and thread not in threads], [])
        report = analyze("report", trace or self.trace)
        self.assertEqual((report["unknown_frees"], report["missed_frees"]), (0, 0))

    def assert_closing(self, trace, complete):
        info = analyze("info", trace)
        self.assertEqual(info["lost"]["events"], 0, info["lost"])
        self.assertEqual(info["complete"], complete)
        self.assertFalse(info["running"])
        return info

    def rounds(self, one_round):
        for number in range(ROUNDS):
            with self.subTest(round=number, seed=SEED):
                self.random = random.Random(f"{SEED} {self.id()} {number}")
                one_round()

    def a_while(self):
        return self.random.randrange(1, 30000)

    def wait_for_a_while(self):
        calls = self.a_while()
        self.until(lambda: self.counts()[1] >= calls, "the program does not go on")

    # Killed from outside.

    def test_program_killed(self):
        def one_round():
            target = self.start("stay", 1 << 60)
            self.wait_for_a_while()
            os.kill(target, signal.SIGKILL)
            self.assertEqual(self.wait(), 128 + signal.SIGKILL)
            self.assert_each_completed_call_is_recorded_once()
            self.assert_closing(self.trace, complete=True)
        self.rounds(one_round)

    def test_recorder_killed_and_recording_goes_on(self):
        def one_round():
            self.start("exit", 1 << 60)
            recorder = recorder_below(self.process.pid)
            self.wait_for_a_while()
            os.kill(recorder, signal.SIGKILL)
            calls = self.let_it_end_after(20000)
            self.assertEqual(self.wait(), 0, self.errors)
            self.assertGreaterEqual(self.counts()[1], calls)
            self.assert_each_completed_call_is_recorded_once()
            self.assert_closing(self.trace, complete=True)
        self.rounds(one_round)

    def test_program_and_recorder_killed(self):
        def one_round():
            pids = [self.start("stay", 1 << 60), recorder_below(self.process.pid)]
            self.wait_for_a_while()
            self.random.shuffle(pids)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            self.assertEqual(self.wait(), 128 + signal.SIGKILL)
            self.assert_each_completed_call_is_recorded_once()
            self.assert_closing(self.trace, complete=True)
        self.rounds(one_round)

    def test_all_killed_and_nobody_left_to_close_anything(self):
        def one_round():
            pids = [self.start("stay", 1 << 60), recorder_below(self.process.pid), self.process.pid]
            self.wait_for_a_while()
            self.random.shuffle(pids)
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            self.process.communicate(timeout=60)
            for pid in pids:
                deadline = time.monotonic() + 60
                while os.path.exists(f"/proc/{pid}/exe") and time.monotonic() < deadline:
                    time.sleep(0.002)
            self.assert_each_completed_call_is_recorded_once()
            info = self.assert_closing(self.trace, complete=False)
            self.assertTrue(info["recovered"], "the session file is read as one with the trace")
        self.rounds(one_round)

    # Ended by its own doing.

    def end_by_itself(self, way, status, calls=None):
        self.start(way, calls or self.a_while())
        self.assertEqual(self.wait(), status, self.errors)

    def end_in_rounds(self, way, status):
        def one_round():
            self.end_by_itself(way, status)
            self.assert_each_completed_call_is_recorded_once()
            self.assert_closing(self.trace, complete=True)
        self.rounds(one_round)

    def test_segmentation_fault(self):
        self.end_in_rounds("segv", 128 + signal.SIGSEGV)

    def test_abort(self):
        self.end_in_rounds("abort", 128 + signal.SIGABRT)

    def test__exit(self):
        self.end_in_rounds("_exit", 21)

    def test_quick_exit(self):
        self.end_in_rounds("quick_exit", 22)

    def test__exit_of_a_thread_while_another_allocates(self):
        self.end_in_rounds("thread__exit", 23)

    def test_exec_by_a_thread_while_another_allocates(self):
        def one_round():
            self.end_by_itself("exec", 0)
            self.assert_closing(self.trace, complete=True)  # of /bin/true
            before, = self.place.glob("t.*.0.hlt")
            self.assert_each_completed_call_is_recorded_once(before)
            self.assert_closing(before, complete=True)
        self.rounds(one_round)

    def test_out_of_address_space(self):
        def one_round():
            calls = self.a_while()
            self.end_by_itself("memory", 128 + signal.SIGABRT, calls)
            self.assert_each_completed_call_is_recorded_once(sizes_known=0)
            self.assert_closing(self.trace, complete=True)
        self.rounds(one_round)

    def out_of_memory_in_a_cgroup(self, all_within):
        try:
            group = make_memory_cgroup(96 << 20)
        except OSError as error:
            self.skipTest(f"no cgroup of its own can be made: {error}")

        def enter():
            (group / "cgroup.procs").write_text(str(os.getpid()))

        def one_round():
            calls = 30000 + self.a_while()
            target = self.start("cgroup", calls, within=enter if all_within else None)
            if not all_within:
                (group / "cgroup.procs").write_text(str(target))
            self.assertEqual(self.wait(), 128 + signal.SIGKILL)
            self.assert_each_completed_call_is_recorded_once(sizes_known=0)
            self.assert_closing(self.trace, complete=True)
            if all_within:
                # Of a recorder that was killed as well nobody can say how many kills it had seen.
                self.assertRegex(self.errors, b"oom_kill \\+|recorder restarted")
        try:
            self.rounds(one_round)
        finally:
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                try:
                    group.rmdir()
                    break
                except OSError:
                    time.sleep(0.05)

    def test_out_of_memory_in_a_cgroup(self):
        self.out_of_memory_in_a_cgroup(all_within=False)

    def test_out_of_memory_in_a_cgroup_that_is_the_recorders_too(self):
        self.out_of_memory_in_a_cgroup(all_within=True)


if __name__ == "__main__":
    harness.main()
