"""A recording that is under way: its processes, and their ends. For the tests that stop or kill what is running."""
import os
import signal
import subprocess
import time

import harness

RECORDER_NAME = "hl-recorder"
OWN_NAMES = {RECORDER_NAME, "hl-witness"}


def processes_below(root):
    """Pids and names of all live descendants of a process."""
    children, names = {}, {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    text = file.read()
            except OSError:
                continue
            name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
            if rest[0] != "Z":
                children.setdefault(int(rest[1]), []).append(int(entry))
                names[int(entry)] = name
    found, wave = {}, [root]
    while wave:
        wave = [child for parent in wave for child in children.get(parent, [])]
        found.update({pid: names[pid] for pid in wave})
    return found


def recorder_below(root):
    """The pid of the one recorder of a running `heapledger record`."""
    below = processes_below(root)
    recorders = [pid for pid, name in below.items() if name == RECORDER_NAME]
    assert len(recorders) == 1, below
    return recorders[0]


def wait_for_the_program(root, until):
    """Until `heapledger record` has no children but our own, or time.monotonic() says `until`."""
    while set(processes_below(root).values()) - OWN_NAMES and time.monotonic() < until:
        time.sleep(0.02)


def end_with_all_below(process):
    """Kills what subprocess.Popen started and everything that this started."""
    for pid in [*processes_below(process.pid), process.pid]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.communicate()


class RunningTest(harness.TestCase):
    """Has `heapledger record` running as self.process; whatever is left of it is killed after the test."""

    END_TIMEOUT = 60  # seconds that wait() gives it

    def start_recording(self, *arguments, preexec_fn=None):
        """Starts `heapledger record ARGUMENTS`."""
        self.process = subprocess.Popen([str(word) for word in (harness.HEAPLEDGER, "record", *arguments)],
                                        env=harness.clean_environment(), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                                        preexec_fn=preexec_fn)
        self.addCleanup(end_with_all_below, self.process)

    def wait(self):
        """The exit status of `record`, as a shell gives it; self.errors is what it said."""
        self.errors = self.process.communicate(timeout=self.END_TIMEOUT)[1]
        return self.process.returncode if self.process.returncode >= 0 else 128 - self.process.returncode
