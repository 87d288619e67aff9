"""wrap.sh and the end of a run: the program behaves as if it ran alone, and the record is where it was promised."""
import os
import select
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import SOURCE, analyze, clean_environment, program, run


class WrapCase(harness.TestCase):
    """Gives an installed tree: wrap.sh beside (a link to) the built programs, so that no test depends on a build."""

    def setUp(self):
        super().setUp()
        installed = self.scratch / "installed" / "bin"
        installed.mkdir(parents=True)
        self.wrap = installed / "heapledger-wrap"
        shutil.copy(SOURCE / "scripts" / "wrap.sh", self.wrap)
        os.symlink(harness.HEAPLEDGER, installed / "heapledger")
        self.runs = self.scratch / "runs"
        self.runs.mkdir()
        self.environment = clean_environment(HEAPLEDGER_DIR=self.runs)

    def wrapped(self, *arguments, **options):
        options.setdefault("env", self.environment)
        return run([self.wrap, *arguments], **options)

    def shell(self, script, **options):
        """Runs a shell script in which $WRAP is the program under test."""
        return run(["bash", "-c", script], env={**self.environment, "WRAP": str(self.wrap)}, **options)

    def traces(self):
        return sorted(self.runs.glob("heapledger-*/*.hlt"))


class ExitStatus(WrapCase):
    def test_status_is_the_programs(self):
        for status in (0, 1, 7, 125, 255):
            self.assertEqual(self.wrapped("sh", "-c", f"exit {status}").status, status)

    def test_128_plus_the_signal(self):
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGINT, signal.SIGHUP):
            finished = self.shell(f'"$WRAP" {program("reports_itself")} signal {int(number)} >/dev/null 2>&1; echo $?')
            self.assertEqual(int(finished.stdout.split()[-1]), 128 + number, number)

    def test_126_and_127_as_a_shell(self):
        plain = self.scratch / "not-executable"
        plain.write_text("x")
        for command, status in ((str(plain), 126), ("/", 126), ("no-such-command-anywhere", 127), ("/no/such/file", 127)):
            finished = self.wrapped(command)
            self.assertEqual(finished.status, status, finished.explain())
            self.assertIn(command.encode(), finished.stderr)
            self.assertEqual(finished.stdout, b"")

    def test_no_program_is_wrong_usage(self):
        self.assertEqual(self.wrapped().status, 2)

    def test_the_record_is_complete_when_wrap_ends(self):
        self.wrapped(program("exact_counts"))
        trace, = self.traces()
        self.assert_nothing_lost(trace)


class InputAndOutput(WrapCase):
    def test_standard_output_is_the_programs_alone(self):
        finished = self.shell('x=$("$WRAP" printf "%s-" a "b c" "" "*"); echo "<$x>"')
        self.assertEqual(finished.stdout, b"<a-b c--*->\n")

    def test_pipeline(self):
        data = os.urandom(3_000_000)
        finished = self.shell('cat | "$WRAP" cat | "$WRAP" cat', stdin=data)
        self.assertEqual(finished.stdout == data, True, "3 MB through two recorded programs")

    def test_what_the_program_closes_is_closed(self):
        """Who waits for the end of its output, or for the word that it is ready, does not wait for ours."""
        for close in ("exec >&-", "exec <&- >&-", "exec {given}>&-"):
            with self.subTest(close=close):
                output, given = os.pipe()
                go_on, let_go_on = os.pipe()
                script = f"{close.format(given=given)}; read word <&{go_on}; exit 7"
                program = subprocess.Popen([self.wrap, "-q", "--", "sh", "-c", script], env=self.environment,
                                           stdin=subprocess.DEVNULL, stdout=given if "{" not in close else None,
                                           pass_fds=[go_on, *([given] if "{" in close else [])])
                os.close(given)
                ended, _, _ = select.select([output], [], [], 60)
                self.assertEqual(ended and os.read(output, 1), b"", "its end, while it runs")
                self.assertIsNone(program.poll())
                os.write(let_go_on, b"go on\n")
                self.assertEqual(program.wait(60), 7)
                for descriptor in (output, go_on, let_go_on):
                    os.close(descriptor)

    def test_input_that_the_program_does_not_read_is_left_for_the_next(self):
        finished = self.shell('"$WRAP" --quiet sh -c "read x; echo first: \\$x"; cat', stdin=b"one\ntwo\nthree\n")
        self.assertEqual(finished.stdout, b"first: one\ntwo\nthree\n")

    def test_a_broken_pipe_ends_the_program(self):
        finished = self.shell('"$WRAP" yes | head -n 2; echo ${PIPESTATUS[0]}')
        self.assertEqual(finished.stdout, b"y\ny\n%d\n" % (128 + signal.SIGPIPE))

    def test_the_program_sees_its_surroundings_unchanged(self):
        for arguments in ((), ("", "a b", "*", "-o", "--", "--quiet")):
            command = [program("reports_itself"), *arguments]
            self.assertEqual(self.wrapped("--", *command).stdout, run(command).stdout)
        script = 'trap "" HUP USR1; exec %s' + program("reports_itself")
        alone, recorded = self.shell(script % ""), self.shell(script % '"$WRAP" ')
        self.assertIn(b"signal 1 is ignored", alone.stdout)
        self.assertEqual(recorded.stdout, alone.stdout)

    def test_no_descriptor_of_ours_is_open_in_the_program(self):
        script = 'ls -l /proc/self/fd | sed "s/.* \\([0-9]*\\) ->.*/\\1/" | sort -n'
        alone, recorded = self.shell(f"sh -c '{script}' 7</dev/null"), self.shell(f"\"$WRAP\" sh -c '{script}' 7</dev/null")
        self.assertEqual(recorded.stdout, alone.stdout)

    def test_environment_is_unchanged_but_for_ours(self):
        alone, recorded = self.shell("env"), self.shell('"$WRAP" env')
        keep = [line for line in recorded.stdout.splitlines()
                if not line.startswith((b"LD_PRELOAD=", b"HEAPLEDGER_", b"_=", b"WRAP="))
                and line != b"ASAN_OPTIONS=verify_asan_link_order=0"]
        self.assertEqual(sorted(keep), sorted(line for line in alone.stdout.splitlines()
                                              if not line.startswith((b"HEAPLEDGER_", b"_=", b"WRAP="))))

    def test_words_of_a_service_manager_are_for_the_program(self):
        """sd_listen_fds and sd_watchdog_enabled compare them with their own pid."""
        ask = "echo $((LISTEN_PID == $$)) $((WATCHDOG_PID == $$)) $LISTEN_FDS"
        script = f"LISTEN_FDS=1 LISTEN_PID=%s WATCHDOG_PID=%s exec $WRAP -q -- sh -c '{ask}'"
        self.assertEqual(self.shell(script % ("$$", "$$")).stdout, b"1 1 1\n")
        self.assertEqual(self.shell(script % ("1", "$$")).stdout, b"0 1 1\n", "another's stays another's")

    def test_other_preloads_stay(self):
        other = harness.PROGRAMS / "exit_order_library.so"
        finished = run([self.wrap, "sh", "-c", "echo $LD_PRELOAD"], env={**self.environment, "LD_PRELOAD": str(other)})
        self.assertIn(str(other).encode(), finished.stdout)


class Signals(WrapCase):
    def start(self, script):
        process = subprocess.Popen([str(self.wrap), "--quiet", "bash", "-c", script], env=self.environment,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return process

    def test_sigterm_reaches_the_program(self):
        process = self.start('trap "echo got TERM; exit 5" TERM; echo ready; while :; do sleep 0.05; done')
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.stdout.read(), b"got TERM\n")
        self.assertEqual(process.wait(30), 5)
        for trace in self.traces():
            self.assertTrue(analyze("info", trace)["complete"], trace)

    def test_other_signals_reach_the_program_and_only_once(self):
        process = self.start("n=0; trap 'n=$((n+1)); echo $n' USR1 HUP; trap 'echo got $n; exit 0' TERM; echo ready\n"
                             "while :; do sleep 0.05; done")
        for sent, number in enumerate((signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR1), 1):
            process.send_signal(number)
            self.assertEqual(process.stdout.readline(), b"%d\n" % sent)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.stdout.read(), b"got 3\n")
        self.assertEqual(process.wait(30), 0)

    def test_an_interrupt_of_the_whole_group_arrives_once(self):
        # As the terminal does it: wrap and the program both get it from the kernel.
        process = self.start('n=0; trap "n=\\$((n+1))" INT; echo ready\nfor i in $(seq 20); do sleep 0.05; done; echo got $n')
        os.killpg(process.pid, signal.SIGINT)
        self.assertIn(b"got 1\n", process.stdout.read())
        self.assertEqual(process.wait(30), 0)

    def test_a_word_to_its_parent_reaches_ours(self):
        """Who starts it waits for the signal. The program stays for a moment: what came back to it would end it then."""
        script = "trap 'echo got USR1' USR1; $WRAP -q -- sh -c 'kill -USR1 $PPID; sleep 0.5; echo alive; exit 3'; echo $?"
        self.assertEqual(self.shell(script).stdout, b"alive\ngot USR1\n3\n")
        queue = ("import ctypes, os, time; ctypes.CDLL(None).sigqueue(os.getppid(), 36, ctypes.c_void_p(4711)); "
                 "time.sleep(0.5); print('alive')")
        started = ("import signal, subprocess, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [36]); "
                   "process = subprocess.Popen(sys.argv[1:]); info = signal.sigtimedwait([36], 60); "
                   "print(info.si_signo, process.wait(), flush=True)")
        finished = run([harness.PYTHON, "-c", started, self.wrap, "-q", "--", harness.PYTHON, "-c", queue], env=self.environment)
        self.assertEqual(finished.stdout, b"alive\n36 0\n", finished.explain())

    def start_telling_its_pid(self, script):
        process = subprocess.Popen([self.wrap, "-q", "--", harness.PYTHON, "-c",
                                    "import os, signal, time; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); "
                                    "print(os.getpid(), flush=True)\n" + script],
                                   env=self.environment, stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        return process, int(process.stdout.readline())

    def assert_seen_to_stop(self, process):
        pid, status = os.waitpid(process.pid, os.WUNTRACED)
        self.assertEqual((pid, os.WIFSTOPPED(status) and os.WSTOPSIG(status)), (process.pid, signal.SIGSTOP))

    def test_who_started_it_sees_it_stop_and_lets_it_go_on(self):
        process, _ = self.start_telling_its_pid("os.kill(os.getpid(), signal.SIGSTOP); print('on', flush=True); os._exit(7)")
        self.assert_seen_to_stop(process)
        process.send_signal(signal.SIGCONT)
        self.assertEqual((process.stdout.readline(), process.wait(60)), (b"on\n", 7))

    def test_somebody_else_stops_it_and_lets_it_go_on(self):
        process, pid = self.start_telling_its_pid("while not signal.sigtimedwait([signal.SIGTERM], 9): pass\nos._exit(8)")
        for _ in range(10):
            os.kill(pid, signal.SIGSTOP)
            self.assert_seen_to_stop(process)
            os.kill(pid, signal.SIGCONT)
            self.assertTrue(os.WIFCONTINUED(os.waitpid(process.pid, os.WCONTINUED)[1]))
        for _ in range(1000):
            os.kill(pid, signal.SIGSTOP)
            os.kill(pid, signal.SIGCONT)
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 8)

    def test_killed_while_it_is_stopped(self):
        process, pid = self.start_telling_its_pid("time.sleep(1000)")
        os.kill(pid, signal.SIGSTOP)
        self.assert_seen_to_stop(process)
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(process.wait(60), 128 + signal.SIGKILL)

    def test_the_end_of_who_started_it(self):
        """PR_SET_PDEATHSIG, which also a signal that cannot be passed on may be."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(signal=number):
                starter = ("import ctypes, subprocess, sys; "
                           f"subprocess.run(sys.argv[1:], preexec_fn=lambda: ctypes.CDLL(None).prctl(1, {number:d}))")
                process = subprocess.Popen([harness.PYTHON, "-c", starter, self.wrap, "-q", "--", "sh", "-c",
                                            "echo ready; exec sleep 100"], env=self.environment, stdout=subprocess.PIPE)
                self.addCleanup(process.stdout.close)
                self.assertEqual(process.stdout.readline(), b"ready\n")
                process.kill()
                ended, _, _ = select.select([process.stdout], [], [], 60)
                self.assertEqual(ended and process.stdout.read(), b"", "the program holds it no more")
                process.wait()

    def test_sigterm_that_kills(self):
        process = self.start("echo ready; exec sleep 60")
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
        self.assertIn(code, (-signal.SIGTERM, 128 + signal.SIGTERM))


class WhereTheRecordGoes(WrapCase):
    def test_run_directory_name_and_closing_line(self):
        finished = self.wrapped(program("exact_counts"))
        directory, = self.runs.iterdir()
        self.assertRegex(directory.name, r"^heapledger-exact_counts-\d{8}-\d{6}-\d+$")
        self.assertIn(str(directory).encode(), finished.stderr)
        self.assertEqual(finished.stdout, b"")
        self.assertEqual(directory.stat().st_mode & 0o077, 0, "the record holds the program's data: for its user alone")

    def test_two_runs_at_once_do_not_meet(self):
        script = " & ".join(['"$WRAP" %s 20000 >/dev/null' % program("random_calls")] * 6) + " & wait"
        self.assertEqual(self.shell(script).status, 0)
        self.assertEqual(len(list(self.runs.iterdir())), 6)
        for trace in self.traces():
            self.assert_nothing_lost(trace)

    def test_output_option_and_nothing_is_overwritten(self):
        trace = self.scratch / "mine.hlt"
        self.assertEqual(self.wrapped("-o", trace, "--", "true").status, 0)
        first = trace.read_bytes()
        again = self.wrapped("-o", trace, "--", "sh", "-c", "exit 3")
        self.assertEqual(again.status, 3, "the program runs in any case")
        self.assertIn(first, [path.read_bytes() for path in self.scratch.glob("mine.hlt.*")], "the older one is kept")
        self.assertNotEqual(trace.read_bytes(), first)
        for path in self.scratch.glob("mine*"):
            self.assert_nothing_lost(path)

    def test_quiet_says_nothing(self):
        finished = self.wrapped("--quiet", program("exact_counts"))
        self.assertEqual((finished.status, finished.stdout, finished.stderr), (0, b"", b""))
        self.assertEqual(len(self.traces()), 1)

    def test_without_a_directory_the_working_directory(self):
        environment = clean_environment()
        finished = run([self.wrap, "true"], env=environment, cwd=self.runs)
        self.assertEqual(finished.status, 0)
        directory, = self.runs.iterdir()
        self.assertTrue(directory.name.startswith("heapledger-true-"))
        self.assertIn(str(directory).encode(), finished.stderr, "the absolute path is printed")

    def is_complete(self, trace):
        try:
            return analyze("info", trace)["complete"]
        except harness.AnalyzerRefused:  # so new that nothing is in it yet
            return False

    def test_children_that_outlive_the_program_go_on_being_recorded(self):
        script = f"(sleep 1; exec {program('exact_counts')}) >/dev/null 2>&1 </dev/null & exit 4"
        finished = self.wrapped("--quiet", "bash", "-c", script)
        self.assertEqual(finished.status, 4)
        deadline = time.monotonic() + 60
        counts = []
        while 1244 not in counts and time.monotonic() < deadline:
            time.sleep(0.3)
            counts = [analyze("report", trace)["totals"]["allocation_calls"] for trace in self.traces()
                      if self.is_complete(trace)]
        self.assertIn(1244, counts, "the orphan's trace is whole")


class WhenHeapledgerFails(WrapCase):
    def test_the_program_runs_unrecorded_when_there_is_no_heapledger(self):
        (self.wrap.parent / "heapledger").unlink()
        finished = self.wrapped("-o", self.scratch / "x.hlt", "--", "sh", "-c", "cat; exit 6", stdin=b"through")
        self.assertEqual((finished.status, finished.stdout), (6, b"through"))
        self.assertEqual(len(finished.stderr.splitlines()), 1, finished.stderr)

    def test_the_program_runs_unrecorded_when_building_fails(self):
        checkout = self.scratch / "checkout"
        (checkout / "scripts").mkdir(parents=True)
        shutil.copy(SOURCE / "scripts" / "wrap.sh", checkout / "scripts")
        (checkout / "CMakePresets.json").write_text("{}")
        setup = checkout / "scripts" / "setup.sh"
        setup.write_text("#!/bin/sh\nexit 1\n")
        setup.chmod(0o755)
        finished = run([checkout / "scripts" / "wrap.sh", "--quiet", "sh", "-c", "cat; exit 6"], stdin=b"through",
                       env=self.environment)
        self.assertEqual((finished.status, finished.stdout), (6, b"through"), finished.explain())
        self.assertIn(b"building failed", finished.stderr.splitlines()[-1])
        self.assertIn(b"unrecorded", finished.stderr.splitlines()[-1])

    def test_the_program_runs_unrecorded_when_nothing_can_be_written(self):
        finished = self.wrapped("-o", "/proc/no/such/place/x.hlt", "--", "sh", "-c", "echo out; exit 6")
        self.assertEqual((finished.status, finished.stdout), (6, b"out\n"), finished.explain())
        self.assertNotEqual(finished.stderr, b"")

    def test_a_broken_shim_is_no_reason_not_to_run(self):
        copy = self.scratch / "broken"
        for folder in ("bin", "lib"):
            (copy / folder).mkdir(parents=True)
        for path in (harness.HEAPLEDGER, harness.RECORDER):
            shutil.copy(path, copy / "bin")
        (copy / "lib" / "libheapledger.so").write_text("not a library")
        finished = run([copy / "bin" / "heapledger", "record", "-o", self.scratch / "x.hlt", "--", "sh", "-c",
                        "echo out; exit 6"], env=self.environment)
        self.assertEqual((finished.status, finished.stdout), (6, b"out\n"), finished.explain())


if __name__ == "__main__":
    harness.main()
