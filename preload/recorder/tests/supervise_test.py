"""`heapledger-recorder supervise` from outside: the application behaves as if it ran alone, and its trace is whole.

usage: supervise_test.py BUILD_DIRECTORY [TEST...]
"""
import glob
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = os.path.abspath(sys.argv[1])
RECORDER = f"{BUILD}/bin/heapledger-recorder"
WRITER = f"{BUILD}/tests/hl_fake_writer"
CHECK = f"{BUILD}/tests/hl_trace_check"


def wait_until(condition, seconds=20):
    """Polls; the bound only matters to a failing test."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


def children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


def recorder_of(supervisor):
    return next((pid for pid in children_of(supervisor) if name_of(pid) == "hl-recorder"), None)


def app_of(supervisor, name):
    return next((pid for pid in children_of(supervisor) if name_of(pid) == name), None)


def facts(path):
    text = subprocess.run([CHECK, path], capture_output=True, text=True).stdout
    return {key: int(value) for key, value in re.findall(r"(\w+) (-?\d+)", text.splitlines()[0].split(": ", 1)[1])}


class Supervise(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory(prefix="hl-supervise-")
        self.out = self.place.name + "/out.hlt"

    def tearDown(self):
        self.place.cleanup()

    def record(self, *words, options=("-q",), **settings):
        settings.setdefault("env", {**os.environ, "HEAPLEDGER_DIR": self.place.name})
        return subprocess.run([RECORDER, "supervise", *options, *words], capture_output=True, text=True, timeout=60,
                              **settings)

    def start(self, *words, options=("-q",), **settings):
        settings.setdefault("env", {**os.environ, "HEAPLEDGER_DIR": self.place.name})
        return subprocess.Popen([RECORDER, "supervise", *options, *words], stdout=subprocess.PIPE, text=True, **settings)

    def test_exit_statuses_are_the_applications(self):
        self.assertEqual(self.record("sh", "-c", "exit 3").returncode, 3)
        self.assertEqual(self.record("sh", "-c", "kill -KILL $$").returncode, 128 + 9)
        self.assertEqual(self.record("/nowhere/at-all").returncode, 127)
        self.assertEqual(self.record("/etc/passwd").returncode, 126)
        self.assertEqual(self.record("--", "sh", "-c", "exit 4").returncode, 4)

    def test_an_application_that_cannot_start_leaves_no_directory(self):
        self.record("/nowhere/at-all")
        self.assertEqual(os.listdir(self.place.name), [])

    def test_wrong_usage(self):
        for words in (["--nonsense", "true"], [], ["--zstd-level", "x", "true"], ["-o"]):
            self.assertEqual(self.record(*words, options=()).returncode, 2)

    def test_standard_streams_are_the_applications(self):
        done = self.record("cat", input="through\n")
        self.assertEqual((done.stdout, done.stderr), ("through\n", ""))
        loud = self.record("echo", "hi", options=())
        self.assertEqual(loud.stdout, "hi\n")
        self.assertIn("exited 0", loud.stderr)
        self.assertIn("lost 0", loud.stderr)
        self.assertIn(self.place.name, loud.stderr)

    def test_a_run_directory_has_a_trace_per_image_and_an_index_and_no_session_file(self):
        self.record("sh", "-c", "ls / >/dev/null; exec true")
        (directory,) = glob.glob(self.place.name + "/heapledger-sh-*")
        names = sorted(os.listdir(directory))
        self.assertNotIn("session", names)
        self.assertIn("index.jsonl", names)
        traces = [n for n in names if n.endswith(".hlt")]
        self.assertGreaterEqual(len(traces), 3, names)   # sh, ls, true; and the fork before ls unless it was a vfork
        self.assertTrue(any(n.startswith("ls.") for n in traces) and any(n.startswith("true.") for n in traces), names)
        for name in traces:
            self.assertEqual(facts(f"{directory}/{name}")["closed"], 1, name)

    def test_an_existing_file_is_kept(self):
        with open(self.out, "w") as file:
            file.write("precious")
        self.record("true", options=("-q", "-o", self.out))
        with open(self.out + ".~1~") as file:
            self.assertEqual(file.read(), "precious")
        self.assertEqual(facts(self.out)["closed"], 1)

    def test_where_nothing_can_be_written_the_application_runs_unrecorded(self):
        done = self.record("echo", "alive", options=("-q", "-o", "/proc/nowhere/x.hlt"))
        self.assertEqual((done.returncode, done.stdout), (0, "alive\n"))
        self.assertRegex(done.stderr, r"\Aheapledger: .*; running unrecorded\n\Z")

    def test_the_users_own_preloads_stay_behind_ours(self):
        done = self.record("sh", "-c", "echo $LD_PRELOAD", env={**os.environ, "HEAPLEDGER_DIR": self.place.name,
                                                                "LD_PRELOAD": "libm.so.6"})
        self.assertRegex(done.stdout, r"\A/\S+/libheapledger\.so:libm\.so\.6\n\Z")

    def test_a_signal_to_the_supervisor_reaches_the_application_once(self):
        script = "trap 'n=$((n+1))' TERM; echo ready; i=0; while [ $i -lt 15 ]; do sleep 0.1; i=$((i+1)); done; echo n=$n"
        run = self.start("bash", "-c", script)
        self.assertEqual(run.stdout.readline(), "ready\n")
        run.send_signal(signal.SIGTERM)
        self.assertEqual(run.stdout.read(), "n=1\n")
        self.assertEqual(run.wait(), 0)
        run.stdout.close()

    def test_a_signal_to_the_group_reaches_the_application_once(self):
        script = "trap 'n=$((n+1))' USR1; echo ready; i=0; while [ $i -lt 15 ]; do read -t 0.1 <>/dev/zero; i=$((i+1)); done; echo n=$n"
        run = self.start("bash", "-c", script, start_new_session=True)
        self.assertEqual(run.stdout.readline(), "ready\n")
        os.killpg(run.pid, signal.SIGUSR1)
        self.assertEqual(run.stdout.read(), "n=1\n")
        self.assertEqual(run.wait(), 0)
        run.stdout.close()

    def test_events_survive_the_recorder_being_killed(self):
        run = self.start(WRITER, "400000", "2", "4000000", options=("-q", "-o", self.out))
        kills = 0
        for _ in range(6):
            previous = recorder_of(run.pid)
            time.sleep(0.1)
            if previous and run.poll() is None:
                os.kill(previous, signal.SIGKILL)
                kills += 1
                wait_until(lambda: recorder_of(run.pid) not in (None, previous) or run.poll() is not None)
        self.assertEqual(run.wait(), 0)
        run.stdout.close()
        self.assertGreater(kills, 1)
        f = facts(self.out)
        self.assertEqual((f["readable"], f["closed"], f["events"], f["out_of_order"], f["below_low_water"]), (1, 1, 800000, 0, 0))
        self.assertFalse(os.path.exists(self.out + ".session"))

    def test_events_survive_the_application_being_killed(self):
        self.assertEqual(self.record(WRITER, "100000", "2", "0", "kill", options=("-q", "-o", self.out)).returncode, 137)
        f = facts(self.out)
        self.assertEqual((f["closed"], f["events"], f["out_of_order"], f["how"], f["code"]), (1, 200000, 0, 2, 9))

    def test_events_survive_supervisor_recorder_and_application_being_killed(self):
        run = self.start(WRITER, "2000000", "1", "3000000", options=("-q", "-o", self.out))
        wait_until(lambda: os.path.exists(self.out) and app_of(run.pid, "hl_fake_writer"))
        victims = [recorder_of(run.pid), app_of(run.pid, "hl_fake_writer")]
        os.kill(run.pid, signal.SIGKILL)
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        run.wait()
        run.stdout.close()
        self.assertTrue(os.path.exists(self.out + ".session"), "the session file holds what the trace lacks")
        self.assertEqual(facts(self.out)["readable"], 1)

    def test_children_that_outlive_the_application_go_on_being_recorded(self):
        done = self.record("sh", "-c", "(sleep 1; ls / >/dev/null) & exit 6", options=("-q", "-o", self.out),
                           stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 6)
        self.assertEqual(facts(self.out)["closed"], 1)
        self.assertTrue(wait_until(lambda: not os.path.exists(self.out + ".session")))
        heads = b""
        for path in glob.glob(self.place.name + "/out.*.hlt"):
            with open(path, "rb") as file:
                heads += file.read(2000)
        self.assertIn(b"/ls", heads)

    def test_orphans_do_not_hold_the_pipe_of_the_application_open(self):
        done = self.record("sh", "-c", "echo text; sleep 3 >/dev/null 2>&1 </dev/null &")
        self.assertEqual(done.stdout, "text\n")

    def test_job_control_on_a_terminal(self):
        """Plays the shell: own group in the foreground, Ctrl-Z, bg/fg, Ctrl-C."""
        shell, terminal = pty.fork()
        if shell == 0:
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            job = os.fork()
            if job == 0:
                os.setpgid(0, 0)
                os.tcsetpgrp(0, os.getpid())
                signal.signal(signal.SIGTTOU, signal.SIG_DFL)
                os.execv(RECORDER, [RECORDER, "supervise", "-q", "-o", self.out, "cat"])
            _, status = os.waitpid(job, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                os._exit(1)
            os.tcsetpgrp(0, os.getpgrp())
            os.write(1, b"STOPPED\n")
            os.read(0, 100)
            os.tcsetpgrp(0, job)
            os.killpg(job, signal.SIGCONT)
            _, status = os.waitpid(job, os.WUNTRACED)
            os._exit(os.waitstatus_to_exitcode(status) if not os.WIFSTOPPED(status) else 2)
        seen = b""

        def read_until(mark):
            nonlocal seen
            while mark not in seen:
                seen += os.read(terminal, 1000)
            seen = seen[seen.index(mark) + len(mark):]

        os.write(terminal, b"one\n")
        read_until(b"one\r\none")
        os.write(terminal, b"\x1a")
        read_until(b"STOPPED")
        os.write(terminal, b"fg\n")
        read_until(b"fg")
        # cat may not be in the foreground yet; what is typed waits in the terminal.
        os.write(terminal, b"two\n")
        read_until(b"two\r\ntwo")
        os.write(terminal, b"\x03")
        _, status = os.waitpid(shell, 0)
        os.close(terminal)
        self.assertEqual(os.waitstatus_to_exitcode(status), 128 + signal.SIGINT)
        self.assertEqual(facts(self.out)["closed"], 1)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
