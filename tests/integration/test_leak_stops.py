"""A program that is stopped to be scanned for leaks notices nothing: no call of its fails, no signal gets lost, and a
server goes on serving.
"""
import os
import shutil
import signal
import subprocess
import time
import unittest
from pathlib import Path

from harness import HEAPLEDGER, SCALE, TestCase, analyze, clean_environment, main, program, require, run
from running import processes_below, recorder_below


class Running:
    """A program being recorded, with pipes to its standard input and output."""

    def __init__(self, test, *command, options=("--leaks", "none")):
        self.trace = test.scratch / "t.hlt"
        self.executable = str(Path(command[0]).resolve())
        self.process = subprocess.Popen(
            [str(HEAPLEDGER), "record", "--quiet", "-o", str(self.trace), *options, "--", *map(str, command)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_environment(), start_new_session=True)
        test.addCleanup(self.end)
        self.pid = None

    def find_pid(self):
        """The recorded process's number: the child of the supervisor that runs the program."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for child in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
                try:
                    runs = os.readlink(f"/proc/{child}/exe")
                except OSError:  # it has ended
                    continue
                if runs == self.executable:
                    self.pid = int(child)
                    return self.pid
            time.sleep(0.01)
        raise AssertionError("the program did not start")

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            if self.pid:
                try:
                    os.kill(self.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.process.communicate()


def child_named(parent, name):
    """The pid of a child, also of one whose main thread has ended; None: there is none (yet)."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        try:
            if Path(f"/proc/{child}/comm").read_text() == name + "\n":
                return int(child)
        except OSError:  # it has ended
            continue
    return None


def state_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


class LeakStops(TestCase):
    def snapshot(self, pid, name):
        finished = run([HEAPLEDGER, "snapshot", pid, "--leaks", "--name", name], timeout=120)
        self.assertEqual(finished.status, 0, finished.explain())
        return finished

    def assert_scanned(self, trace, names):
        leaks = analyze("leaks", trace)
        scans = [scan for scan in leaks["scans"] if scan["name"] in names]
        self.assertEqual([scan["name"] for scan in scans], names)
        for scan in scans:
            self.assertEqual(scan["way"], "stopped", scan)
            self.assertEqual(scan["cause"], "outside")
            self.assertEqual(scan["unreadable_bytes"], 0)
        return scans

    def test_no_call_is_interrupted(self):
        """Threads in a dozen calls that block, in threads and programs being started, in malloc and computing."""
        running = Running(self, program("leak_waits"))
        self.assertEqual(running.process.stdout.readline(), b"ready\n")
        pid = running.find_pid()
        names = [f"scan-{i}" for i in range(8 * SCALE)]
        for name in names:
            self.snapshot(pid, name)
        output, _ = running.process.communicate(b"x", timeout=60)
        self.assertEqual(output, b"done\n")
        self.assertEqual(running.process.returncode, 0)
        for scan in self.assert_scanned(running.trace, names):
            self.assertGreaterEqual(scan["threads"], 17)

    def test_a_stopped_program_stays_stopped(self):
        running = Running(self, "/bin/cat")
        pid = running.find_pid()
        running.process.stdin.write(b"one\n")
        running.process.stdin.flush()
        self.assertEqual(running.process.stdout.readline(), b"one\n")
        os.kill(pid, signal.SIGSTOP)
        while state_of(pid) != "T":
            time.sleep(0.005)
        self.snapshot(pid, "stopped")
        self.assertEqual(state_of(pid), "T")
        os.kill(pid, signal.SIGCONT)
        output, _ = running.process.communicate(b"two\n", timeout=60)
        self.assertEqual(output, b"two\n")
        self.assert_scanned(running.trace, ["stopped"])

    def test_a_snapshot_of_a_process_whose_main_thread_has_ended(self):
        running = Running(self, program("main_thread_ends"), "wait")
        deadline = time.monotonic() + 60
        pid = None
        while pid is None or state_of(pid) != "Z":
            self.assertLess(time.monotonic(), deadline, "its main thread does not end")
            pid = child_named(running.process.pid, "main_thread_end")
        self.snapshot(pid, "late")
        running.process.communicate(b"", timeout=60)
        self.assertEqual(running.process.returncode, 0)
        [scan] = self.assert_scanned(running.trace, ["late"])
        self.assertEqual(scan["threads"], 1)

    @require("strace")
    def test_a_traced_program_is_left_alone(self):
        """Two cannot trace it: the scan says who does, and both go on."""
        running = Running(self, "/bin/cat")
        pid = running.find_pid()
        tracer = subprocess.Popen(["strace", "-qq", "-f", "-o", "/dev/null", "-p", str(pid)], stderr=subprocess.PIPE)
        self.addCleanup(tracer.communicate)
        self.addCleanup(tracer.kill)
        while f"TracerPid:\t{tracer.pid}\n" not in Path(f"/proc/{pid}/status").read_text():
            self.assertIsNone(tracer.poll(), "strace could not attach")
            time.sleep(0.005)
        finished = run([HEAPLEDGER, "snapshot", pid, "--leaks", "--name", "traced"], timeout=120)
        self.assertNotEqual(finished.status, 0, finished.explain())
        output, _ = running.process.communicate(b"two\n", timeout=60)
        self.assertEqual(output, b"two\n")
        leaks = analyze("leaks", running.trace)
        [scan] = leaks["scans"]
        self.assertEqual(scan["way"], "none")
        self.assertEqual(scan["reason"], f"the process is already traced by strace (process {tracer.pid}), and two "
                                         "cannot trace it: end that first")

    @require("redis-server", "redis-benchmark", "redis-cli")
    def test_a_busy_server_serves_on(self):
        """Scans of a redis-server with threads under load: no client sees an error."""
        path = self.scratch / "redis.sock"
        running = Running(self, shutil.which("redis-server", path=clean_environment()["PATH"]), "--port", "0",
                          "--unixsocket", path, "--save", "", "--io-threads", "2", "--io-threads-do-reads", "yes",
                          "--dir", self.scratch)
        pid = running.find_pid()
        deadline = time.monotonic() + 60
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        load = subprocess.Popen(["redis-benchmark", "-s", str(path), "-c", "20", "-l", "-q", "-r", "10000", "-d", "200",
                                 "-t", "set,get,lpush,lpop,sadd,hset"], stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, env=clean_environment())
        self.addCleanup(load.wait)
        self.addCleanup(load.kill)
        names = [f"scan-{i}" for i in range(5 if SCALE == 1 else 100)]
        for name in names:
            self.snapshot(pid, name)
            self.assertIsNone(load.poll(), "the clients gave up")
        load.send_signal(signal.SIGKILL)
        _, errors = load.communicate()
        self.assertEqual(errors, b"")
        finished = run(["redis-cli", "-s", path, "info", "stats"])
        self.assertIn(b"\r\ntotal_error_replies:0\r\n", finished.stdout)
        self.assertEqual(run(["redis-cli", "-s", path, "shutdown", "nosave"]).status, 0)
        running.process.communicate(timeout=60)
        self.assertEqual(running.process.returncode, 0)
        for scan in self.assert_scanned(running.trace, names):
            self.assertGreaterEqual(scan["threads"], 5)

    @unittest.skipIf(SCALE == 1, "measures: with HEAPLEDGER_TEST_SCALE alone")
    def test_a_large_heap_is_scanned_quickly(self):
        """1 GiB in four million blocks: the program stands still for less than two seconds."""
        recorded = self.record(program("leak_large_heap"), 1024)
        blocks = int(recorded.stdout)
        leaks = analyze("leaks", recorded.trace)
        [scan] = leaks["scans"]
        # But for libc's buffer of the output, which a rule knows.
        self.assertEqual(leaks["reachable"]["blocks"], blocks)
        self.assertEqual(scan["blocks"], blocks + 1)
        self.assertEqual(scan["unreadable_bytes"], 0)
        self.assertLess(scan["pause_ns"], 2_000_000_000)


class AtTheEnd(TestCase):
    def test_a_call_that_does_not_return_keeps_nobody_waiting(self):
        """What was recorded since it began is not final, and never will be."""
        recorded = self.record(program("endless_call"), 1_000_000, 1000, timeout=60)
        self.assert_nothing_lost(recorded.trace)
        leaks = analyze("leaks", recorded.trace)
        [scan] = leaks["scans"]
        self.assertEqual(scan["way"], "stopped", scan)
        self.assertEqual(scan["threads"], 2)
        self.assertGreaterEqual(leaks["reachable"]["blocks"], 1000)
        self.assertLess(scan["blocks"], 1100)

    def test_a_main_thread_that_ended_before_the_others(self):
        """The kernel tells a process's memory by the number of a thread that lives."""
        recorded = self.record(program("main_thread_ends"))
        leaks = analyze("leaks", recorded.trace)
        [scan] = leaks["scans"]
        self.assertEqual((scan["way"], scan["threads"], scan["unreadable_bytes"]), ("stopped", 1, 0), scan)
        self.assertEqual((leaks["definite"]["blocks"], leaks["definite"]["bytes"]), (2, 777 + 333))

    def signalled_in_a_long_scan(self, number):
        """The one scan of a program that gets the signal when it has stood still at its end for more than a second."""
        running = Running(self, program("leak_large_heap"), 256, options=())
        pid = running.find_pid()
        tracer = "0"
        while tracer == "0":
            self.assertIsNone(running.process.poll(), "it ended unscanned")
            status = Path(f"/proc/{pid}/status").read_text()
            tracer = status.split("TracerPid:", 1)[1].split()[0]
        [scanner] = [p for p, name in processes_below(recorder_below(running.process.pid)).items() if name == "heapledger"]
        os.kill(scanner, signal.SIGSTOP)
        time.sleep(1.5)  # signals of its first second do not count: they may belong to what ended the program
        os.kill(pid, number)
        os.kill(scanner, signal.SIGCONT)
        running.process.communicate(timeout=60)
        self.assertEqual(running.process.returncode, 128 + number)
        self.assert_nothing_lost(running.trace)
        [scan] = analyze("leaks", running.trace)["scans"]
        return scan["way"], scan["reason"]

    def test_a_program_that_is_asked_to_end_is_scanned_no_longer(self):
        self.assertEqual(self.signalled_in_a_long_scan(signal.SIGINT),
                         ("none", "given up when the program was asked to end (SIGINT)"))

    def test_a_program_that_is_killed_is_scanned_no_longer(self):
        self.assertEqual(self.signalled_in_a_long_scan(signal.SIGKILL),
                         ("none", "the process ended during the scan"))


if __name__ == "__main__":
    main()
