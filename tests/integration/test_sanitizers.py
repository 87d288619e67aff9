"""Programs with a sanitizer built in, which brings an allocator of its own: they are left alone, and say what they say
alone, stack for stack. What they start, and what started them, is recorded."""
import ctypes
import re
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import HEAPLEDGER, SOURCE, analyze, require, run

KINDS = {"address": "AddressSanitizer", "thread": "ThreadSanitizer", "memory": "MemorySanitizer", "leak": "LeakSanitizer"}


def without_random_addresses():
    """Where the kernel spreads them widely, some sanitizers refuse to run now and then."""
    ctypes.CDLL(None).personality(0x0040000)  # ADDR_NO_RANDOMIZE; where it is forbidden, all is as it was


def normal(text):
    """Without addresses, process and thread numbers."""
    return [line for line in re.sub(rb"0x[0-9a-f]+|==\d+==|pid=\d+|(tid=|T)\d+", b"", text).splitlines() if line.strip()]


class Sanitizers(harness.TestCase):
    def compile(self, compiler, kind):
        path = self.scratch / f"{compiler}-{kind}"
        built = run([compiler, "-w", "-g", f"-fsanitize={kind}", "-o", path,
                     SOURCE / "tests/integration/programs/sanitized.cpp", "-lpthread"])
        if built.status != 0:
            self.skipTest(f"{compiler} has no -fsanitize={kind}: {built.stderr[-300:].decode()}")
        return path

    def assert_left_alone(self, compiler, kind):
        path = self.compile(compiler, kind)
        reports = 0
        for arguments in ((), ("x",)):
            alone = run([path, *arguments], preexec_fn=without_random_addresses)
            reports += b"Sanitizer: " in alone.stderr
            recorded = run([HEAPLEDGER, "record", "-q", "-o", self.scratch / "t.hlt", "--", path, *arguments],
                           preexec_fn=without_random_addresses)
            self.assertEqual(recorded.status, alone.status, recorded.explain())
            self.assertEqual((normal(recorded.stdout), normal(recorded.stderr)), (normal(alone.stdout), normal(alone.stderr)))
        self.assertGreater(reports, 0, "it had nothing to say")
        told = run([HEAPLEDGER, "record", "-o", self.scratch / "t.hlt", "--", path]).stderr
        self.assertRegex(told, f"heapledger: warning: \\S+ is built with {KINDS[kind]}, .* not recorded".encode())
        # Some start a program that finds names for their report: that is recorded.
        self.assertRegex(told, f"heapledger: (nothing was|not) recorded: \\S+ is built with {KINDS[kind]}\n".encode())

    def test_gcc_address(self):
        self.assert_left_alone("g++", "address")

    def test_gcc_thread(self):
        self.assert_left_alone("g++", "thread")

    def test_gcc_leak(self):
        self.assert_left_alone("g++", "leak")

    @require("clang++")
    def test_clang_address(self):
        self.assert_left_alone("clang++", "address")

    @require("clang++")
    def test_clang_thread(self):
        self.assert_left_alone("clang++", "thread")

    @require("clang++")
    def test_clang_memory(self):
        self.assert_left_alone("clang++", "memory")

    def test_amid_others(self):
        """A test runner, say: what it starts besides is recorded, and so is what the sanitized program starts."""
        path = self.compile("g++", "address")
        script = f"ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 {path}; /bin/ls / >/dev/null; exit 5"
        recorded = self.record("/bin/sh", "-c", script, status=5)
        self.assertIn(b"done\n", recorded.stdout, recorded.explain())
        self.assert_nothing_lost(recorded.trace)
        self.assertIn("/bin/ls /", [analyze("info", trace)["command"] for trace in recorded.children()])


if __name__ == "__main__":
    harness.main()
