"""Who is scanned for leaks when, that nobody notices, and that nobody waits in vain: the way from a program's end, or a
question from outside, to the scan in its trace. A stand-in for the scanner (preload/recorder/tests/fake_scanner.cpp)
says which scans there were; what the real one finds is other tests' matter."""
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import BUILD, HEAPLEDGER, SCALE, Recorded, analyze, clean_environment, dump_lines, program, run
from running import processes_below, recorder_below

EXIT, ABORT, SIGNAL, PROGRAM, OUTSIDE = "1", "2", "3", "4", "5"
FAKE_SCANNER = BUILD / "tests" / "hl_fake_scanner"


class Scans(harness.TestCase):
    """Records with a copy of the recorder that finds the stand-in where it looks for the scanner."""

    def setUp(self):
        super().setUp()
        self.tree = self.scratch / "tree"
        (self.tree / "bin").mkdir(parents=True)
        (self.tree / "lib").mkdir()
        shutil.copy(FAKE_SCANNER, self.tree / "bin" / "heapledger")
        shutil.copy(BUILD / "bin" / "heapledger-recorder", self.tree / "bin")
        for library in (BUILD / "lib").glob("libheapledger*.so"):
            shutil.copy(library, self.tree / "lib")

    def behave(self, word):
        (self.tree / "bin" / "next").write_text(word + "\n")
        (self.tree / "bin" / "next").rename(self.tree / "bin" / "behaviour")

    def scans(self):
        """Cause and name of each scan since the last call."""
        log = self.tree / "bin" / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [tuple(line.split()[:2]) for line in lines]

    def command(self, *command, options=(), name="t.hlt"):
        return [self.tree / "bin" / "heapledger-recorder", "supervise", "-o", self.scratch / name, *options, "--", *command]

    def record(self, *command, options=(), name="t.hlt", status=0, timeout=60, **more):
        finished = run(self.command(*command, options=options, name=name), timeout=timeout, **more)
        if status is not None:
            self.assertEqual(finished.status, status, finished.explain())
        return Recorded(finished, self.scratch / name)

    def assert_scanned(self, causes, *command, options=(), status=0):
        """The command ends as it does alone, and its image was scanned for these causes. Returns the recording."""
        alone = run(command)
        self.assertEqual(alone.status, status, alone.explain())
        recorded = self.record(*command, options=("-q", *options), status=status, name=f"{time.monotonic_ns()}.hlt")
        self.assertEqual((recorded.stdout, recorded.stderr), (alone.stdout, alone.stderr))
        self.assertEqual([cause for cause, _ in self.scans()], causes, command)
        self.assert_nothing_lost(recorded.trace)
        return recorded

    def python(self, code):
        return (harness.PYTHON, "-S", "-c", code)


class Ends(Scans):
    def test_each_way_to_end_is_scanned_once(self):
        for code, cause, status in (("", EXIT, 0), ("sys.exit(3)", EXIT, 3), ("os._exit(4)", EXIT, 4),
                                   ("os.abort()", ABORT, 134), ("os.kill(os.getpid(), 15)", SIGNAL, 143),
                                   ("import ctypes; ctypes.string_at(8)", SIGNAL, 139)):
            recorded = self.assert_scanned([cause], *self.python("import os, sys\n" + code), status=status)
            ended = recorded.info()["ended"]
            self.assertEqual((ended["how"], ended["code"]),
                             ("signal", status - 128) if status > 128 else ("exited", status))
        self.assert_scanned([EXIT], program("last_moments"), "busy", status=4)
        self.assert_scanned([EXIT], program("last_moments"), "crash", status=9)
        # Not the end after all: the end that came was scanned, too.
        self.assert_scanned([ABORT, EXIT], program("last_moments"), "jump")

    def test_who_is_scanned_is_what_the_policy_says(self):
        shell = ("sh", "-c", "/bin/true; /bin/true; /bin/true")
        for policy, count in (("auto", 1), ("root", 1), ("all", 4), ("none", 0)):
            self.assert_scanned([EXIT] * count, *shell, options=(f"--leaks={policy}",))
        # A child that lives for a second is no helper any more.
        self.assert_scanned([EXIT, EXIT], "sh", "-c", "sleep 1.2; /bin/true")

    def test_the_image_that_an_exec_replaces_is_not_scanned(self):
        self.assert_scanned([EXIT], "sh", "-c", "exec /bin/true", options=("--leaks=all",))

    def test_many_children_that_end_at_once(self):
        children = 50
        self.assert_scanned([EXIT] * (children + 1), *self.python(f"""
import os
for i in range({children}):
    if os.fork() == 0:
        os._exit(i)
print(sorted(os.waitstatus_to_exitcode(os.wait()[1]) for i in range({children})))"""), options=("--leaks=all",))

    def test_a_child_that_outlives_the_program(self):
        recorded = self.record("sh", "-c", "(sleep 1.3; exit 0) & exit 3", options=("-q",), status=3)
        recorded.children()
        # The shell, its child that waited for sleep, and sleep.
        self.assertEqual([cause for cause, _ in self.scans()], [EXIT, EXIT, EXIT])

    def test_a_vfork_child_leaves_its_parent_unscanned(self):
        self.assert_scanned([EXIT], *self.python("""
import subprocess
print([subprocess.call(["/bin/false"]) for i in range(3)])"""), options=("--leaks=root",))

    def test_a_program_that_forbids_itself_system_calls_is_left_alone(self):
        self.assert_scanned([], *self.python("""
import ctypes
libc = ctypes.CDLL(None)
print(libc.prctl(38, 1, 0, 0, 0))  # PR_SET_NO_NEW_PRIVS"""), options=("--leaks=all",))

    def test_wrong_options_are_refused(self):
        for wrong in ("--leaks=some", "--leak-options=use_heap=1", "--leak-options=use_stacks"):
            self.assertEqual(run(self.command("/bin/true", options=(wrong,))).status, 2, wrong)
        self.record("/bin/true", options=("--leak-options", "use_stacks=0,use_unaligned=1"))

    def test_the_closing_lines_tell_the_totals(self):
        finished = self.record("/bin/true")
        self.assertIn(b"1.0 kB in 1 block lost (definitely), 2.0 kB in 2 blocks with them, "
                      b"3.0 kB in 3 blocks possibly lost, kept 4.0 kB\n", finished.stderr)
        self.behave("fail")
        self.assertIn(b"not scanned for leaks: the scanner ended with status 7\n", self.record("/bin/true").stderr)


class RealScanner(harness.TestCase):
    def test_the_closing_lines_name_the_worst_leak(self):
        recorded = self.record(program("last_moments"), "lose")
        self.assertRegex(recorded.stderr, rb"\nlost 11\.7 KiB in 12 blocks, .*; top: 11\.7 KiB lose ")
        self.assertIn(b"  heapledger leaks ", recorded.stderr)

    def test_a_name_too_long_for_the_closing_line_gives_way_to_the_numbers(self):
        recorded = run([harness.HEAPLEDGER, "record", "-o", self.scratch / "t.hlt", "--", program("long_name")])
        line = [line for line in recorded.stderr.decode().splitlines() if line.startswith("lost ")][0]
        self.assertRegex(line, r"\Alost 4\.88 KiB in 5 blocks; top: 4\.88 KiB "
                               r"lose_in_a_function_whose_name_is\w*…\w*cut_it_short\Z")
        self.assertLessEqual(len(line), 100)


class Trouble(Scans):
    def test_a_scanner_that_fails_changes_nothing_for_the_program(self):
        for word in ("fail", "die", "empty", "nonsense"):
            self.behave(word)
            self.assert_scanned([EXIT], *self.python("print(1); raise SystemExit(5)"), status=5)
        (self.tree / "bin" / "heapledger").unlink()
        self.assert_scanned([], *self.python("print(1); raise SystemExit(5)"), status=5)

    def start(self, *command):
        process = subprocess.Popen([str(word) for word in self.command(*command, options=("-q",))],
                                   env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def until(self, condition):
        deadline = time.monotonic() + 30
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.005)

    def test_a_terminal_shows_what_keeps_the_program_from_ending(self):
        """A line that comes after two seconds and goes away again."""
        self.behave("hold")
        terminal, theirs = os.openpty()
        self.addCleanup(os.close, terminal)
        process = subprocess.Popen([str(word) for word in self.command("/bin/true")], env=clean_environment(),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        self.addCleanup(process.kill)
        shown = b""
        while b" looking for leaks" not in shown:
            shown += os.read(terminal, 4096)
        self.assertRegex(shown, rb"^\r\x1b\[Kheapledger: true is at its end; looking for leaks")
        self.behave("good")
        while b"exited 0" not in shown:
            shown += os.read(terminal, 4096)
        self.assertRegex(shown, rb"\r\x1b\[Kexited 0")
        self.assertEqual(process.wait(30), 0)

    def test_a_recorder_killed_during_a_scan_has_a_successor_that_scans(self):
        self.behave("hold")
        process = self.start(*self.python("raise SystemExit(6)"))
        log = self.tree / "bin" / "log"
        self.until(lambda: log.exists() and log.read_text())
        os.kill(recorder_below(process.pid), signal.SIGKILL)
        self.until(lambda: len(log.read_text().splitlines()) == 2)
        self.behave("good")
        self.assertEqual(process.wait(30), 6)
        self.assert_nothing_lost(self.scratch / "t.hlt")

    def test_who_waits_for_a_recorder_that_stands_still_goes_on(self):
        process = self.start(*self.python("import sys; sys.stdin.read(); raise SystemExit(7)"))
        self.until(lambda: (self.scratch / "t.hlt").exists())
        recorder = recorder_below(process.pid)
        os.kill(recorder, signal.SIGSTOP)
        try:
            process.stdin.close()
            process.stdin = None
            # The program has ended, though nobody has recorded it yet.
            self.until(lambda: not any(name.startswith("python") for name in processes_below(process.pid).values()))
        finally:
            os.kill(recorder, signal.SIGCONT)
        self.assertEqual(process.wait(30), 7)
        self.assert_nothing_lost(self.scratch / "t.hlt")


class Signals(Scans):
    """Programs do not see our handlers; see boot/fatal_signals.h."""

    def test_the_dispositions_are_what_they_are_alone(self):
        self.assert_scanned([SIGNAL], *self.python("""
import os, signal
print([(n, signal.getsignal(n)) for n in range(1, 65) if n not in (32, 33)])
signal.signal(15, lambda *_: print("handled"))
os.kill(os.getpid(), 15)
print(signal.signal(15, signal.SIG_IGN) is not None)
os.kill(os.getpid(), 15)
print(signal.signal(15, signal.SIG_DFL), signal.getsignal(15), flush=True)
os.kill(os.getpid(), 15)
print("not reached")"""), status=143)

    def test_a_handler_of_the_programs_own_is_not_disturbed(self):
        self.assert_scanned([EXIT], "bash", "-c", 'trap "echo got; exit 3" TERM; kill -TERM $$; echo no', status=3)
        self.assert_scanned([EXIT], "bash", "-c", 'trap "" TERM HUP; kill -TERM $$; kill -HUP $$; echo alive')
        self.assert_scanned([EXIT], "nohup", "sh", "-c", "kill -HUP $$; echo alive")

    def test_each_deadly_signal_ends_with_its_own_status(self):
        for number in (1, 2, 3, 4, 6, 7, 8, 11, 15, 24):
            cause = ABORT if number == 6 else SIGNAL
            self.assert_scanned([cause], *self.python(f"""
import os, resource, signal
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
signal.signal({number}, signal.SIG_DFL)
os.kill(os.getpid(), {number})"""), status=128 + number)
        # These end a program too, and are left alone.
        for number in (10, 12, 13, 14):
            self.assert_scanned([], *self.python(f"""
import os, signal
signal.signal({number}, signal.SIG_DFL)
os.kill(os.getpid(), {number})"""), status=128 + number)

    def test_a_handler_that_runs_once_and_raises_again(self):
        self.assert_scanned([SIGNAL], program("last_moments"), "once", status=143)

    def test_a_blocked_signal_stays_pending_and_can_be_waited_for(self):
        self.assert_scanned([SIGNAL], *self.python("""
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [15])
os.kill(os.getpid(), 15)
print(signal.sigwait([15]))
os.kill(os.getpid(), 15)
print(signal.sigpending(), flush=True)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [15])
print("not reached")"""), status=143)

    def test_children_die_of_what_they_are_sent(self):
        self.assert_scanned([EXIT], *self.python("""
import os, signal, subprocess
for number in (1, 2, 3, 15):
    child = subprocess.Popen(["sleep", "60"])
    child.send_signal(number)
    print(child.wait())
print(os.system("kill -INT $$"))
child = os.fork()
if child == 0:
    signal.pause()
os.kill(child, 15)
print(os.wait()[1])"""))

    def test_pid_1_of_a_namespace_is_not_killed_by_what_the_kernel_keeps_from_it(self):
        if run(["unshare", "-fp", "true"]).status != 0:
            self.skipTest("no pid namespace can be made")
        self.assert_scanned([EXIT], "unshare", "-fp", "sh", "-c", "kill -TERM $$; echo alive")

    def test_a_stack_that_overflows_ends_as_ever(self):
        # There is no stack for a handler, and so none is called.
        self.assert_scanned([], program("last_moments"), "overflow", status=139)

    def test_sigterm_to_the_supervisor_yields_a_scan(self):
        process = subprocess.Popen([str(word) for word in self.command("sleep", "60", options=("-q",))],
                                   env=clean_environment(), stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        deadline = time.monotonic() + 30
        while not (self.scratch / "t.hlt").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(30), 143)
        self.assertEqual(self.scans(), [(SIGNAL, "-")])


class FromInside(Scans):
    def test_snapshots_and_pauses(self):
        alone = run([program("last_moments"), "snapshots"])
        self.assertEqual((alone.status, alone.stdout), (0, b"0\n0\n"))
        recorded = self.record(program("last_moments"), "snapshots", options=("-q",))
        self.assertEqual(recorded.stdout, b"1\n1\n")
        self.assertEqual(self.scans(), [(PROGRAM, "second"), (EXIT, "-")])
        self.assert_nothing_lost(recorded.trace)
        lines = dump_lines(recorded.trace)
        names = [line.split(b'name="')[1].split(b'"')[0] for line in lines if b" kind=mark " in line]
        self.assertEqual(names, [b"first", b"second", b"heapledger: paused", b"heapledger: resumed", b"end"])
        counters = [line for line in lines if b" kind=counter " in line]
        self.assertEqual(len(counters), 1)
        self.assertIn(b'name="allocations while paused"', counters[0])
        self.assertIn(b"value=100", counters[0])

        def blocks(moment, function):
            live = analyze("live", f"{recorded.trace}@mark:{moment}")
            return harness.total(harness.sites_through(live, function), "blocks")
        self.assertEqual(blocks("second", "early"), 10)
        self.assertEqual(blocks("end", "early"), 10 - 5 - 1 + 1)
        self.assertEqual(blocks("end", "unseen"), 0)
        # The nine that were allocated and freed in between.
        self.assertEqual(recorded.report()["unknown_frees"], 9)


class FromOutside(Scans):
    def setUp(self):
        super().setUp()
        self.process = subprocess.Popen(
            [str(word) for word in self.command(*self.python("print(1, flush=True); input()"), options=("-q",))],
            env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.process.communicate)
        self.addCleanup(self.process.kill)
        self.assertEqual(self.process.stdout.readline(), b"1\n")
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.pid, = (pid for pid in children if Path(f"/proc/{pid}/comm").read_text().startswith("python"))

    def finish(self):
        self.process.communicate(b"\n", timeout=30)
        self.assertEqual(self.process.returncode, 0)
        return [line for line in dump_lines(self.scratch / "t.hlt") if b" kind=mark " in line]

    def test_marks_and_snapshots(self):
        self.assertEqual(run([HEAPLEDGER, "mark", self.pid, "lunch"]).status, 0)
        self.assertEqual(run([HEAPLEDGER, "snapshot", self.pid, "--name", "tea"]).stdout,
                         b"marked: tea; memory map taken\n")
        self.assertEqual(self.scans(), [])
        found = run([HEAPLEDGER, "snapshot", self.pid, "--leaks"])
        self.assertEqual(found.status, 0, found.explain())
        self.assertTrue(found.stdout.startswith(b"snapshot-3: 1,000 B in 1 block definitely lost, "), found.explain())
        self.assertEqual(self.scans(), [(OUTSIDE, "snapshot-3")])
        for i in range(20 * SCALE):
            self.assertEqual(run([HEAPLEDGER, "snapshot", self.pid, "--leaks"]).status, 0)
        self.behave("fail")
        failed = run([HEAPLEDGER, "snapshot", self.pid, "--leaks", "--name", "broken"])
        self.assertEqual((failed.status, failed.stdout, failed.stderr),
                         (3, b"", b"heapledger snapshot: broken: not scanned: the scanner failed\n"))
        self.behave("good")
        self.scans()
        marks = self.finish()
        self.assertEqual(self.scans(), [(EXIT, "-")])
        self.assertEqual(len(marks), 4 + 20 * SCALE)
        self.assertIn(b'name="lunch"', marks[0])
        self.assertIn(b'name="tea"', marks[1])
        info = self.assert_nothing_lost(self.scratch / "t.hlt")
        self.assertEqual(info["threads"], 1)
        live = analyze("live", f"{self.scratch / 't.hlt'}@mark:lunch")
        self.assertGreater(live["blocks"], 0)

    def test_errors_are_clear(self):
        for pid, words in (("4194303", b"there is no process 4194303"), (str(os.getpid()), b"not being recorded")):
            finished = run([HEAPLEDGER, "snapshot", pid])
            self.assertEqual(finished.status, 3)
            self.assertIn(words, finished.stderr)
        recorder = recorder_below(self.process.pid)
        os.kill(recorder, signal.SIGSTOP)
        try:
            finished = run([HEAPLEDGER, "mark", self.pid, "x"])
        finally:
            os.kill(recorder, signal.SIGCONT)
        self.assertEqual((finished.status, finished.stderr), (3, b"heapledger mark: its recorder does not run\n"))
        self.assertEqual(self.finish(), [])


if __name__ == "__main__":
    harness.main()
