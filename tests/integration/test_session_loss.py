"""The session file goes away under a running program, which goes on as if nothing had happened; and what a program does
with SIGBUS for itself is what it does unrecorded."""
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from disks import Disks, can_mount, mounts
from harness import HEAPLEDGER, SHIM, analyze, clean_environment, program, run
from running import RunningTest, end_with_all_below, processes_below

ROUNDS = 20000
MODES = ("query own once stack default kill raise queue handled ignored blocked filtered many children").split()
GONE = b"recording ended before the program did: the session file "
can_have_a_namespace = unittest.skipUnless(run(["unshare", "-pf", "true"]).status == 0, "no right to a pid namespace")


class OwnBusErrors(harness.TestCase):
    def test_what_a_program_does_with_them_is_what_it_does_unrecorded(self):
        for options in ((), ("--leaks=none",)):
            for mode in MODES:
                with self.subTest(mode=mode, options=options):
                    name = f"{mode}{len(options)}.hlt"
                    self.assert_same_output([program("bus_errors"), mode], options=options, name=name)

    @can_have_a_namespace
    def test_first_process_of_a_namespace(self):
        # The kernel keeps signals of its own namespace from it, but for faults.
        for mode in ("query", "own", "default", "kill", "handled"):
            with self.subTest(mode=mode):
                self.assert_same_output(["unshare", "-pf", program("bus_errors"), mode], name=f"{mode}.hlt")


class SessionLost(RunningTest):
    def setUp(self):
        super().setUp()
        self.progress = self.scratch / "progress"
        self.trace = self.scratch / "t.hlt"

    def start(self, mode, rounds=ROUNDS, trace_bytes=0):
        """Until the program has made a few thousand rounds, and the trace is so long."""
        self.start_recording("-o", self.trace, "--", program("outlives_session"), mode, self.progress, rounds)
        deadline = time.monotonic() + 60
        while (int.from_bytes(self.progress.read_bytes()[:8] if self.progress.exists() else b"", "little") < 3000
               or self.trace.stat().st_size < trace_bytes):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        self.session = f"{self.trace}.session"

    def go_on(self):
        self.progress.with_suffix(".go").touch()
        began = time.monotonic()
        self.output, self.errors = self.process.communicate(timeout=self.END_TIMEOUT)
        return self.process.returncode, time.monotonic() - began

    def plain(self, mode, rounds=ROUNDS):
        progress = self.scratch / "plain"
        progress.with_suffix(".go").touch()
        return run([program("outlives_session"), mode, progress, rounds])

    def assert_unharmed(self, mode, rounds=ROUNDS):
        alone = self.plain(mode, rounds)
        self.assertEqual(alone.status, 42)
        status, seconds = self.go_on()
        self.assertEqual((status, self.output), (alone.status, alone.stdout), self.errors)
        self.assertIn(GONE + self.session.encode(), self.errors)
        self.assertTrue(self.errors.startswith(b"exited 42 after "), self.errors)
        self.assertLess(seconds, 20, "neither the program waits for a recorder, nor does record start one again and again")

    def test_session_file_cut_under_four_threads(self):
        # To nothing; within its header; within its first blocks.
        for size in (0, 4096, 70000, 300000):
            with self.subTest(size=size):
                self.start("threads")
                os.truncate(self.session, size)
                self.assert_unharmed("threads")
                for path in self.scratch.glob("*"):
                    path.unlink()

    def test_what_was_drained_stays_readable(self):
        self.start("threads", trace_bytes=50000)
        before = analyze("info", self.trace)["events"]["allocations"]
        os.truncate(self.session, 0)
        self.assert_unharmed("threads")
        info = analyze("info", self.trace)
        self.assertFalse(info["complete"])
        self.assertGreater(before, 1000)
        self.assertGreater(info["events"]["allocations"], 1000)
        self.assertEqual(analyze("report", self.trace)["totals"]["allocation_calls"],
                         info["events"]["allocations"] + info["events"]["reallocations"])

    def test_children_of_then_find_no_session_and_run(self):
        self.start("fork")
        os.truncate(self.session, 0)
        self.assert_unharmed("fork")

    def test_who_asks_the_recorder_meanwhile_is_told(self):
        self.start("threads")
        pids = {name: pid for pid, name in processes_below(self.process.pid).items()}
        os.kill(pids["hl-recorder"], signal.SIGSTOP)  # so that it is still being asked when the file goes
        asking = subprocess.Popen([HEAPLEDGER, "snapshot", str(pids["outlives_sessio"])],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
        while self.session not in Path(f"/proc/{asking.pid}/maps").read_text():
            self.assertIsNone(asking.poll(), "it has ended before it asked")
            time.sleep(0.001)
        os.truncate(self.session, 0)
        output, errors = asking.communicate(timeout=self.END_TIMEOUT)
        os.kill(pids["hl-recorder"], signal.SIGCONT)
        self.assertEqual((asking.returncode, output), (3, b""), errors)
        self.assertIn(b"is gone (cut short, or its disk failed)", errors)
        self.assert_unharmed("threads")

    def test_recorder_killed_at_the_same_moment(self):
        self.start("threads")
        recorder = [pid for pid, name in processes_below(self.process.pid).items() if name == "hl-recorder"]
        os.truncate(self.session, 0)
        for pid in recorder:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        self.assert_unharmed("threads")

    @can_have_a_namespace
    def test_nobody_records_a_first_process_of_a_namespace(self):
        """Its session file is made by the shim and nobody drains it."""
        directory = self.scratch / "sessions"
        directory.mkdir()
        self.process = subprocess.Popen(
            ["unshare", "-pf", "env", f"LD_PRELOAD={SHIM}", f"HEAPLEDGER_DIR={directory}", program("outlives_session"),
             "fork", str(self.progress), str(ROUNDS)], env=clean_environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(end_with_all_below, self.process)
        deadline = time.monotonic() + 60
        while int.from_bytes(self.progress.read_bytes()[:8] if self.progress.exists() else b"", "little") < 3000:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        session, = directory.rglob("*.session")
        os.truncate(session, 0)
        status, _ = self.go_on()
        alone = self.plain("fork")
        self.assertEqual((status, self.output), (alone.status, alone.stdout), self.errors)


@can_mount
class DiskShutDown(Disks):
    @mounts("mkfs.xfs -q")
    @harness.require("xfs_io")
    def test_disk_shuts_down_under_a_program(self):
        progress, image = self.scratch / "progress", self.scratch / "image"
        script = (
            f"truncate -s 320M {image} && mkfs.xfs -q {image} && mount -o loop {image} {self.disk} || exit 99\n"
            f"{HEAPLEDGER} record -o {self.disk}/t.hlt -- {program('outlives_session')} fork {progress} 500000 &\n"
            f"until [ -s {progress} ] && [ $(od -An -tu8 -N8 {progress}) -gt 3000 ]; do sleep 0.01; done\n"
            f"xfs_io -x -c shutdown {self.disk}; sync; touch {progress}.go; wait $!")
        recorded = run(["unshare", "-m", "bash", "-c", script], timeout=200)
        shutil.copy(progress, self.scratch / "plain")
        (self.scratch / "plain.go").touch()
        alone = run([program("outlives_session"), "fork", self.scratch / "plain", 500000])
        self.assertEqual((recorded.status, recorded.stdout), (alone.status, alone.stdout), recorded.explain())
        self.assertIn(GONE, recorded.stderr)


if __name__ == "__main__":
    harness.main()
