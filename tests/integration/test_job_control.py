"""At a terminal (tmux): interactive programs, Ctrl-C, Ctrl-Z and fg, background jobs that want to read."""
import re
import subprocess
import sys
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import HEAPLEDGER, clean_environment, program


@harness.require("tmux", "bash")
class JobControl(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.socket = str(self.scratch / "tmux")
        environment = clean_environment(HEAPLEDGER_DIR=self.scratch, TERM="screen", PS1="prompt> ",
                                        RUN=f"{HEAPLEDGER} record --quiet --")
        environment.pop("TMUX", None)
        self.environment = environment
        self.tmux("new-session", "-d", "-x", "150", "-y", "50", "bash --norc --noprofile -i")
        self.addCleanup(self.tmux, "kill-server")
        self.type("PS1='prompt'$'> '; clear")
        self.wait_for(r"^prompt>")

    def tmux(self, *words):
        return subprocess.run(["tmux", "-S", self.socket, "-f", "/dev/null", *words], env=self.environment,
                              capture_output=True, text=True, timeout=20).stdout

    def type(self, text):
        self.tmux("send-keys", "-l", text)
        self.tmux("send-keys", "Enter")

    def press(self, key):
        self.tmux("send-keys", key)

    def screen(self):
        return self.tmux("capture-pane", "-p", "-S", "-200")

    def wait_for(self, pattern, seconds=60):
        """Waits until the screen shows the pattern; what was typed shows as well, so patterns must differ from it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            text = self.screen()
            if re.search(pattern, text, re.MULTILINE):
                return text
            time.sleep(0.1)
        self.fail(f"never saw {pattern!r} on this screen:\n{self.screen()}")

    def wait_until_in_foreground(self, program):
        """Until the terminal belongs to a process group that has a program of this name in it."""
        shell = self.tmux("display-message", "-p", "#{pane_pid}").strip()
        deadline = time.monotonic() + 60
        names = []
        while program not in names:
            self.assertLess(time.monotonic(), deadline, (names, self.screen()))
            time.sleep(0.05)
            with open(f"/proc/{shell}/stat") as file:
                group = file.read().rsplit(")", 1)[1].split()[5]
            listed = subprocess.run(["ps", "-eo", "pgid=,comm="], capture_output=True, text=True).stdout.splitlines()
            names = [line.split()[1] for line in listed if line.split()[0] == group]

    def test_interactive_program(self):
        self.type(f"$RUN {harness.PYTHON} -q")
        self.wait_for(r"^>>>")
        self.type("print(6 * 7, __import__('sys').stdin.isatty(), __import__('os').get_terminal_size().columns)")
        self.wait_for(r"^42 True 150$")
        self.press("C-d")
        self.type("echo status=$?")
        self.wait_for(r"^status=0$")

    def test_ctrl_c(self):
        self.type("$RUN sleep 100")
        self.wait_until_in_foreground("sleep")
        self.press("C-c")
        self.type("echo status=$?")
        self.wait_for(r"^status=130$")

    def test_ctrl_c_that_the_program_handles_does_not_end_it(self):
        self.type(f"$RUN {harness.PYTHON} -q")
        self.wait_for(r"^>>>")
        self.press("C-c")
        self.wait_for(r"^KeyboardInterrupt$")
        self.type("print(40 + 3)")
        self.wait_for(r"^43$")
        self.press("C-d")

    def test_ctrl_z_and_foreground(self):
        count = self.scratch / "count"
        self.type(f"$RUN {program('until_killed')} {count}")
        self.wait_until_counting(count)
        self.press("C-z")
        self.wait_for(r"Stopped")
        self.wait_for(r"prompt> ?$")
        stopped_at = self.stable_count(count)
        self.type("jobs; echo still=here")
        self.wait_for(r"^still=here$")
        self.assertEqual(count.read_bytes()[:8], stopped_at, "the program is stopped, not only its supervisor")
        self.type("fg")
        deadline = time.monotonic() + 60
        while count.read_bytes()[:8] == stopped_at:
            self.assertLess(time.monotonic(), deadline, "fg did not continue the program")
            time.sleep(0.1)
        self.press("C-c")
        self.type("echo status=$?")
        self.wait_for(r"^status=130$")

    def wait_until_counting(self, count):
        deadline = time.monotonic() + 60
        while not count.exists() or count.read_bytes()[:8] in (b"", bytes(8)):
            self.assertLess(time.monotonic(), deadline, self.screen())
            time.sleep(0.05)

    def stable_count(self, count):
        before = None
        for _ in range(50):
            now = count.read_bytes()[:8]
            if now == before:
                return now
            before = now
            time.sleep(0.1)
        self.fail("the count does not come to rest")

    def test_background_job_that_reads_the_terminal_stops(self):
        self.type("$RUN cat &")
        for _ in range(60):  # the shell says so before a prompt
            self.type("")
            time.sleep(0.2)
            if re.search(r"Stopped\s.*cat", self.screen()):
                break
        self.wait_for(r"Stopped\s.*cat")
        self.type("fg")
        self.wait_until_in_foreground("cat")
        self.type("hello from fg")
        self.wait_for(r"^hello from fg\n(.*\n)*hello from fg$")
        self.press("C-d")
        self.type("echo status=$?")
        self.wait_for(r"^status=0$")

    def test_terminal_is_the_shells_again_afterwards(self):
        for _ in range(3):
            self.type("$RUN true")
        self.type("$RUN sh -c 'echo asked; read line </dev/tty; echo read=$line'")
        self.wait_for(r"^asked$")
        self.type("typed")
        self.wait_for(r"^read=typed$")
        self.type("read -p 'the shell reads: ' answer; echo answer=$answer")
        self.wait_for(r"^the shell reads:")
        self.type("mine")
        self.wait_for(r"^answer=mine$")


if __name__ == "__main__":
    harness.main()
