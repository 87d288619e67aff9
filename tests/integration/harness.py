"""What the integration tests stand on: recording a program, asking the analyzer, comparing.

The tests run the programs that users run, with no access to internals: `heapledger record`, the analyzer's verbs with
--json, files on disk. Standard library only, and /usr/bin/python3, which is on every Debian. Each theme is one file,
one ctest test. HEAPLEDGER_BUILD names the build directory (default: build/release); HEAPLEDGER_TEST_SCALE multiplies
the rounds of randomised tests; HEAPLEDGER_KEEP=1 leaves the scratch directories of failed tests behind.

A test here must be able to fail: it states numbers or bytes, never "some".
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import hang_report

SOURCE = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("HEAPLEDGER_BUILD", SOURCE / "build" / "release")).resolve()
HEAPLEDGER = BUILD / "bin" / "heapledger"
RECORDER = BUILD / "bin" / "heapledger-recorder"
SHIM = BUILD / "lib" / "libheapledger.so"
PROGRAMS = BUILD / "tests" / "integration"
SCALE = int(os.environ.get("HEAPLEDGER_TEST_SCALE", "1"))
PYTHON = "/usr/bin/python3"


def program(name):
    """The path of a test program compiled from tests/integration/programs."""
    path = PROGRAMS / name
    assert path.exists(), f"{path} is not built"
    return str(path)


def clean_environment(**extra):
    """This process's environment without anything that speaks to heapledger or preloads something else."""
    environment = {key: value for key, value in os.environ.items()
                   if not key.startswith("HEAPLEDGER_") and key not in ("LD_PRELOAD", "PYTHONMALLOC")}
    # Version managers put shims first in PATH: shell scripts, that would be recorded in place of the program.
    environment["PATH"] = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    environment["LC_ALL"] = "C.UTF-8"
    environment.update({key: str(value) for key, value in extra.items()})
    return environment


class Finished:
    """How a command ended: status as a shell gives it (128+N for signal N), and what it printed, as bytes."""

    def __init__(self, returncode, stdout, stderr):
        self.signal = -returncode if returncode < 0 else 0
        self.status = 128 - returncode if returncode < 0 else returncode
        self.stdout = stdout
        self.stderr = stderr

    def explain(self):
        return "status %d\n--- stdout\n%s\n--- stderr\n%s" % (
            self.status, self.stdout[-2000:].decode(errors="replace"), self.stderr[-4000:].decode(errors="replace"))


def run(command, timeout=120, env=None, stdin=b"", cwd=None, preexec_fn=None):
    """Runs a command to its end in a session of its own; a hang is killed with all it started and fails the test."""
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=env if env is not None else clean_environment(), cwd=cwd,
                               start_new_session=True, preexec_fn=preexec_fn)
    try:
        stdout, stderr = process.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        doing = hang_report.describe(process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
        raise AssertionError("%s hung for %d s\n%s\n--- processes\n%s" % (
            " ".join(map(str, command)), timeout, Finished(process.returncode, stdout, stderr).explain(), doing)) from None
    return Finished(process.returncode, stdout, stderr)


class AnalyzerRefused(Exception):
    """The analyzer ended with another status than 0 where a result was wanted."""

    def __init__(self, finished):
        super().__init__(finished.explain())
        self.finished = finished


def analyze(verb, *traces, options=(), timeout=300):
    """The object that `heapledger VERB TRACE... --json` prints."""
    finished = run([HEAPLEDGER, verb, *traces, "--json", *options], timeout=timeout)
    if finished.status != 0:
        raise AnalyzerRefused(finished)
    return json.loads(finished.stdout)


def dump_lines(trace, timeout=300):
    """The lines of `heapledger dump`, as bytes."""
    finished = run([HEAPLEDGER, "dump", trace], timeout=timeout)
    if finished.status != 0:
        raise AnalyzerRefused(finished)
    return finished.stdout.splitlines()


def functions(site):
    """The function names of a site's frames, innermost first."""
    return [frame["function"] for frame in site["frames"]]


def sites_through(report, function):
    """The sites of a report whose stacks contain the function."""
    return [site for site in report["sites"] if function in functions(site)]


def total(sites, key):
    return sum(site[key] for site in sites)


class Recorded(Finished):
    """A finished run under `heapledger record -o`: how it ended, and its traces."""

    def __init__(self, finished, trace):
        self.__dict__.update(finished.__dict__)
        self.trace = trace

    def children(self):
        """Traces of child processes and of images before an exec: t.PID.N.hlt beside t.hlt.

        `record` ends with the program; the last traces of its children may be closed a moment later, and then the
        session file is deleted.
        """
        session = Path(str(self.trace) + ".session")
        deadline = time.monotonic() + 60
        while session.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        return sorted(path for path in self.trace.parent.glob(self.trace.stem + ".*.hlt"))

    def info(self):
        return analyze("info", self.trace)

    def report(self):
        return analyze("report", self.trace)


def as_root(test):
    """Skips what root alone can do, and what another user cannot: reach a build in somebody's private directory."""
    reachable = all(folder.stat().st_mode & 0o001 for folder in (BUILD, *BUILD.parents))
    test = unittest.skipUnless(reachable, "other users cannot reach this build")(test)
    return unittest.skipUnless(os.geteuid() == 0, "only root can change who it is")(test)


def pretend_to_be(uid):
    """For subprocess: gives up root."""
    def give_up():
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    return give_up


class TestCase(unittest.TestCase):
    """Gives each test a scratch directory, and the words the themes share."""

    maxDiff = 4000
    longMessage = True

    def setUp(self):
        self.scratch = Path(tempfile.mkdtemp(prefix="heapledger-test-"))
        self.addCleanup(self._remove_scratch)
        self.assertTrue(HEAPLEDGER.exists(), f"{HEAPLEDGER} is not built")

    def _remove_scratch(self):
        result = self._outcome.result
        failed = any(case is self for case, _ in result.failures + result.errors)
        if failed and os.environ.get("HEAPLEDGER_KEEP"):
            print("kept:", self.scratch, file=sys.stderr)
        else:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def record(self, *command, options=(), name="t.hlt", status=0, timeout=120, env=None, stdin=b"", cwd=None):
        """Records a command into scratch/NAME; asserts its exit status unless status is None."""
        trace = self.scratch / name
        finished = run([HEAPLEDGER, "record", "-o", trace, *options, "--", *command], timeout=timeout,
                       env=env if env is not None else clean_environment(), stdin=stdin, cwd=cwd)
        if status is not None:
            self.assertEqual(finished.status, status, finished.explain())
        self.assertTrue(trace.exists(), "no trace was written\n" + finished.explain())
        return Recorded(finished, trace)

    def assert_nothing_lost(self, trace, complete=True):
        """The trace is whole: closed cleanly (if it should be) and not an event lost."""
        info = analyze("info", trace)
        self.assertEqual(info["lost"]["events"], 0, info["lost"])
        self.assertEqual(info["complete"], complete, "closed cleanly")
        return info

    def assert_same_output(self, command, **arguments):
        """Recorded or not, the command prints the same bytes and ends with the same status. Returns the recording."""
        env = arguments.get("env")
        alone = run(command, env=env, stdin=arguments.get("stdin", b""), cwd=arguments.get("cwd"),
                    timeout=arguments.get("timeout", 120))
        recorded = self.record(*command, status=None, **arguments)
        self.assertEqual(recorded.status, alone.status, recorded.explain())
        self.assertEqual(recorded.stdout, alone.stdout)
        return recorded


def require(*commands):
    """Skips the test, saying why, where a program it needs is not installed (scripts/setup.sh installs them)."""
    missing = [command for command in commands if not shutil.which(command, path=clean_environment()["PATH"])]
    return unittest.skipIf(missing, "not installed: " + ", ".join(missing))


def main():
    """Runs the calling file's tests; the verbose list is what ctest shows when one fails."""
    unittest.main(verbosity=2, buffer=False)
