"""Nowhere to write: full, missing, forbidden and failing disks. The program runs unharmed, one line says why, what
was written stays readable, and what was lost is counted to the last event."""
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from disks import MOUNT, WRITES_FAILED, Disks, can_mount
from harness import HEAPLEDGER, as_root, clean_environment, pretend_to_be, program, run
from running import end_with_all_below


@can_mount
class FullDisks(Disks):
    def test_full_before_the_start(self):
        full = self.run_on_a_disk("-t tmpfs -o size=1m", "dd if=/dev/zero of=rest bs=4k 2>/dev/null")
        self.assert_runs_unharmed(full)
        self.assert_one_line(full, WRITES_FAILED + b"No space left on device")
        self.assertIn(b"there is no trace", full.stderr)
        self.assertEqual(sorted(os.listdir(self.kept)), ["rest"])

    def test_room_for_the_session_file_and_little_more(self):
        full = self.run_on_a_disk("-t tmpfs -o size=4m", "", "--pool-size=1")
        self.assert_runs_unharmed(full)
        self.assert_one_line(full, WRITES_FAILED + b"No space left on device")
        self.assert_recorded_and_lost_make_all(self.kept / "t.hlt")

    def test_filled_while_recording_and_never_emptied(self):
        counts = self.scratch / "counts"
        # The filler takes what is left once the program runs; then it may come to its end.
        fill = f"(until [ -s {counts} ]; do sleep 0.01; done; dd if=/dev/zero of=rest bs=64k; touch {counts}.go) 2>/dev/null &"
        full = self.run_on_a_disk("-t tmpfs -o size=24m", fill, "--pool-size=1",
                                  command=f"{program('until_killed')} {counts} 1000000 go", after="wait")
        self.assertEqual((full.status, full.stdout), (0, b""), full.explain())
        self.assert_one_line(full, WRITES_FAILED + b"No space left on device")
        self.assert_counts(self.kept / "t.hlt", counts)

    def test_filled_and_emptied_again_recording_goes_on(self):
        counts = self.scratch / "counts"
        trouble = (f"completed() {{ od -An -tu8 -N8 {counts} | tr -d ' '; }}\n"
                   f"(until [ -s {counts} ]; do sleep 0.01; done; dd if=/dev/zero of=rest bs=64k; at=$(completed)\n"
                   f"until [ $(completed) -gt $((at + 600000)) ]; do sleep 0.01; done; rm rest; touch {counts}.go) "
                   "2>/dev/null &")
        full = self.run_on_a_disk("-t tmpfs -o size=8m", trouble, "--pool-size=1",
                                  command=f"{program('until_killed')} {counts} 600000 go", after="wait")
        self.assertEqual((full.status, full.stdout), (0, b""), full.explain())
        info = self.assert_counts(self.kept / "t.hlt", counts)
        self.assertEqual(info["ended"]["how"], "exited", "it was closed after the disk had room again")


@can_mount
class UnfitPlaces(Disks):
    def test_file_system_that_cannot_hold_a_session_file(self):
        # ramfs cannot allocate ahead; the session file goes to a tmpfs, and nothing is lost.
        recorded = self.run_on_a_disk("-t ramfs", "")
        self.assert_runs_unharmed(recorded)
        self.assertEqual(os.listdir(self.kept), ["t.hlt"])
        self.assert_nothing_lost(self.kept / "t.hlt")

    def test_no_file_system_can_hold_a_session_file(self):
        recorded = self.run_on_a_disk("-t ramfs", "mount -t ramfs none /dev/shm; mount -t ramfs none /run")
        self.assert_runs_unharmed(recorded)
        self.assertRegex(recorded.stderr, rb"\Aheapledger: no room for the session file .*; running unrecorded\n\Z")
        self.assertEqual(os.listdir(self.kept), [])

    def test_read_only_directory(self):
        recorded = self.run_on_a_disk("-t tmpfs -o ro", "")
        self.assert_runs_unharmed(recorded)
        self.assertRegex(recorded.stderr,
                         rb"\Aheapledger: cannot write .*/t.hlt: Read-only file system; running unrecorded\n\Z")

    def test_working_directory_that_cannot_be_written(self):
        script = f"mount -t tmpfs -o ro none {self.disk}; cd {self.disk}; exec {HEAPLEDGER} record -- {program('random_calls')} 2000"
        recorded = run([*MOUNT, "sh", "-c", script])
        self.assert_runs_unharmed(recorded, 2000)
        path = recorded.stderr.split()[-1].decode()
        self.assertTrue(path.startswith("/var/tmp/heapledger-random_calls-"), recorded.explain())
        self.assert_nothing_lost(path)
        run(["rm", "-r", path])


class Refused(Disks):
    def assert_unrecorded(self, recorded, reason, rounds=2000):
        self.assert_runs_unharmed(recorded, rounds)
        self.assertRegex(recorded.stderr, rb"\Aheapledger: " + reason + rb"; running unrecorded\n\Z")

    def test_missing_directory(self):
        trace = self.scratch / "missing" / "t.hlt"
        recorded = run([HEAPLEDGER, "record", "-o", trace, "--", program("random_calls"), "2000"])
        self.assert_unrecorded(recorded, b"cannot write .*missing/t.hlt: No such file or directory")

    def test_output_that_is_a_directory(self):
        recorded = run([HEAPLEDGER, "record", "-o", self.disk, "--", program("random_calls"), "2000"])
        self.assert_unrecorded(recorded, b"-o (.*/disk) names a directory; -o \\1/%p.hlt makes traces in it, .*")

    def test_output_that_would_be_a_directory(self):
        recorded = run([HEAPLEDGER, "record", "-o", f"{self.disk}/new/", "--", program("random_calls"), "2000"])
        self.assert_unrecorded(recorded, b"-o (.*/disk/new)/ names a directory; -o \\1/%p.hlt makes .*")

    def test_output_that_is_no_file(self):
        pipe = self.scratch / "pipe"
        os.mkfifo(pipe)
        recorded = run([HEAPLEDGER, "record", "-o", pipe, "--", program("random_calls"), "2000"])
        self.assert_unrecorded(recorded, b"cannot write .*/pipe: it exists and is no regular file")

    def test_output_that_is_a_link_to_what_is_no_file(self):
        """As root, /dev/stdout would be moved away."""
        (self.scratch / "link").symlink_to("/dev/null")
        recorded = run([HEAPLEDGER, "record", "-o", self.scratch / "link", "--", program("random_calls"), "2000"])
        self.assert_unrecorded(recorded, b"cannot write .*/link: it exists and is no regular file")
        self.assertEqual(os.readlink(self.scratch / "link"), "/dev/null")

    def test_output_that_the_program_writes_to(self):
        out = self.scratch / "out"
        (self.scratch / "link").symlink_to("out")
        for name in ("out", "link"):
            recorded = run(["sh", "-c", f'{HEAPLEDGER} record -o {name} -- /bin/echo said >out'], cwd=self.scratch)
            self.assertEqual(recorded.status, 0, recorded.explain())
            self.assertIn(b"the program's own input or output is that file; running unrecorded\n", recorded.stderr)
            self.assertEqual(out.read_text(), "said\n")

    def test_run_directory_that_cannot_be_where_it_was_asked_for(self):
        (self.scratch / "file").touch()
        for name, reason in (("file", "Not a directory"), ("missing/directory", "No such file or directory")):
            recorded = run([HEAPLEDGER, "record", "--output-dir", name, "--", program("random_calls"), "2000"],
                           cwd=self.scratch)
            self.assert_runs_unharmed(recorded, 2000)
            self.assertIn(f"heapledger: cannot use {name}: {reason}\n".encode(), recorded.stderr)
        for directory in self.scratch.glob("heapledger-random_calls-*"):
            self.assert_nothing_lost(directory)
        self.assertEqual(len(list(self.scratch.glob("heapledger-random_calls-*"))), 2)

    def test_output_with_a_name_too_long(self):
        for name in ("x" * 300, "x" * 252 + "%p"):
            recorded = run([HEAPLEDGER, "record", "-o", self.scratch / name, "--", program("random_calls"), "2000"])
            self.assert_unrecorded(recorded, b"cannot write .*: File name too long")

    @as_root
    def test_directory_without_the_right_to_write(self):
        """Said at once, and not after hours of recording."""
        self.scratch.chmod(0o755)
        (self.scratch / "mine").touch()
        for name, reason in (("t.hlt", b"cannot write .*/t.hlt: Permission denied"),
                             ("%p.hlt", b"cannot write .*/[0-9]+.hlt: Permission denied"),
                             ("mine", b".*/mine exists and cannot be renamed: .*")):
            recorded = run([HEAPLEDGER, "record", "-o", self.scratch / name, "--", program("random_calls"), "2000"],
                           preexec_fn=pretend_to_be(65534))
            self.assert_unrecorded(recorded, reason)

    def test_quota_that_no_session_file_fits(self):
        recorded = run([HEAPLEDGER, "record", "-o", self.scratch / "t.hlt", "--", program("random_calls"), "2000"],
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)))
        self.assert_unrecorded(recorded, b"no room for the session file .*: File too large")
        self.assertEqual(sorted(path.name for path in self.scratch.iterdir()), ["disk", "kept"])

    def test_quota_that_the_trace_outgrows(self):
        limit = 3600 << 10  # the session file takes 3 328 KiB
        trace = self.scratch / "t.hlt"
        rounds = 900000
        recorded = run([HEAPLEDGER, "record", "--pool-size=1", "-o", trace, "--", program("random_calls"), str(rounds)],
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        self.assert_runs_unharmed(recorded, rounds)
        self.assert_one_line(recorded, WRITES_FAILED + b"File too large")
        self.assertLessEqual(trace.stat().st_size, limit)
        self.assert_recorded_and_lost_make_all(trace, rounds)


class FailingDisk(Disks):
    """EIO, by a library preloaded into the recorder."""

    def record_with_failing_writes(self, limit, trouble=None, **environment):
        """Records until_killed; with `trouble`, it runs until this was done, and makes `limit` calls then."""
        self.trigger, self.counts = self.scratch / "trigger", self.scratch / "counts"
        environment = clean_environment(LD_PRELOAD=harness.PROGRAMS / "failing_writes.so", FAILING_WRITES=self.trigger,
                                        **environment)
        # A sample that cannot be written costs no event, and the one write that fails here is to cost some.
        process = subprocess.Popen([HEAPLEDGER, "record", "--pool-size=1", "--sample-budget=0", "-o",
                                    self.scratch / "t.hlt", "--",
                                    program("until_killed"), self.counts, str(limit), *(["go"] if trouble else [])],
                                   env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            if trouble:
                trouble()
                Path(f"{self.counts}.go").touch()
            stdout, stderr = process.communicate(timeout=90)
        finally:
            if process.poll() is None:
                end_with_all_below(process)
        finished = harness.Finished(process.returncode, stdout, stderr)
        self.assertEqual(finished.status, 0, finished.explain())
        return finished

    def wait_for_bytes(self, path, at_least):
        deadline = time.monotonic() + 60
        while not path.exists() or path.stat().st_size < at_least:
            self.assertLess(time.monotonic(), deadline, path)
            time.sleep(0.005)

    def begin_to_fail(self):
        self.wait_for_bytes(self.scratch / "t.hlt", 100000)
        self.trigger.touch()
        self.wait_for_bytes(self.trigger, 1)

    def assert_much_was_written(self):
        info = self.assert_counts(self.scratch / "t.hlt", self.counts)
        self.assertGreater(info["events"]["allocations"], 20000, "what was written stays readable")
        return info

    def test_writes_fail_for_good(self):
        finished = self.record_with_failing_writes(200000, self.begin_to_fail)
        self.assert_one_line(finished, WRITES_FAILED + b"Input/output error")
        # The trace could not be closed: what is missing of it is in the session file, which stays.
        self.assertTrue((self.scratch / "t.hlt.session").exists())
        self.assertFalse(self.assert_much_was_written()["complete"])

    def test_writes_fail_for_a_while(self):
        def trouble():
            self.begin_to_fail()
            self.trigger.unlink()
        finished = self.record_with_failing_writes(500000, trouble)
        self.assert_one_line(finished, WRITES_FAILED + b"Input/output error")
        info = self.assert_much_was_written()
        self.assertFalse((self.scratch / "t.hlt.session").exists())
        self.assertEqual(info["ended"]["how"], "exited")

    def test_server_that_has_no_room_and_says_so_late(self):
        def trouble():
            self.begin_to_fail()
            self.trigger.unlink()
        finished = self.record_with_failing_writes(500000, trouble, FAILING_WRITES_LATE=1)
        self.assert_one_line(finished, WRITES_FAILED + b"No space left on device")
        info = self.assert_much_was_written()
        self.assertEqual(info["ended"]["how"], "exited")

    def test_server_that_never_has_room(self):
        self.scratch.joinpath("trigger").touch()
        finished = self.record_with_failing_writes(50000, FAILING_WRITES_LATE=1)
        self.assert_one_line(finished, WRITES_FAILED + b"No space left on device")
        self.assertIn(b"there is no trace", finished.stderr)

    def test_no_write_ever_succeeds(self):
        self.scratch.joinpath("trigger").touch()
        finished = self.record_with_failing_writes(50000)
        self.assert_one_line(finished, WRITES_FAILED + b"Input/output error")
        self.assertIn(b"there is no trace", finished.stderr)
        self.assertFalse((self.scratch / "t.hlt").exists())


if __name__ == "__main__":
    harness.main()
