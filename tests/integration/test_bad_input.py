"""The analyzer trusts nothing it reads: exit code 3 with the file and a reason, or what could be recovered; no crash."""
import os
import random
import sys
from pathlib import Path

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import HEAPLEDGER, program, run

VERBS = ("info", "report", "live", "dump", "leaks", "map", "ledger", "fragmentation")


class BadInput(harness.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.good = None

    def good_trace(self):
        """A small whole trace with a few threads' events, recorded once."""
        if BadInput.good is None:
            BadInput.good = self.record(program("random_calls"), "3000", "2").trace.read_bytes()
        return BadInput.good

    def assert_refused(self, path, verbs=VERBS):
        for verb in verbs:
            finished = run([HEAPLEDGER, verb, path])
            self.assertEqual(finished.status, 3, f"{verb}: {finished.explain()}")
            message = finished.stderr.decode()
            self.assertIn(os.path.basename(str(path)), message, "the message names the file")
            self.assertEqual(len(message.strip().splitlines()), 1, message)
        return message

    def assert_survives(self, data, what):
        """Whatever the bytes, the analyzer answers or refuses; it neither crashes nor hangs nor grows without bound."""
        path = self.scratch / "damaged.hlt"
        path.write_bytes(data)
        statuses = set()
        for verb in VERBS:
            command = ["sh", "-c", 'ulimit -v 2000000; exec "$0" "$@"', HEAPLEDGER, verb, path, "--json"]
            finished = run(command, timeout=60)
            self.assertIn(finished.status, (0, 3), f"{what}, {verb}: {finished.explain()}")
            if finished.status == 3:
                self.assertNotEqual(finished.stderr.strip(), b"", f"{what}, {verb}: no reason given")
            statuses.add(finished.status)
        return statuses

    def test_missing_file(self):
        self.assertIn("No such file", self.assert_refused(self.scratch / "missing.hlt"))

    def test_empty_file(self):
        path = self.scratch / "empty.hlt"
        path.write_bytes(b"")
        self.assert_refused(path)

    def test_directory_without_traces(self):
        path = self.scratch / "emptydir"
        path.mkdir()
        self.assert_refused(path)

    def test_not_a_trace(self):
        for name, data in (("text.hlt", b"hello\n" * 1000), ("zeros.hlt", bytes(100000)),
                           ("elf.hlt", Path("/bin/true").read_bytes()), ("one.hlt", b"H")):
            path = self.scratch / name
            path.write_bytes(data)
            self.assert_refused(path)

    def test_unreadable_file(self):
        self.assert_refused("/proc/self/mem")

    def test_newer_version(self):
        path = self.scratch / "newer.hlt"
        path.write_bytes(self.good_trace())
        self.assertEqual(run([program("set_trace_version"), path, "1000"]).status, 0)
        message = self.assert_refused(path)
        self.assertIn("1000", message, "the message names the version")

    def test_truncated_at_many_points(self):
        good = self.good_trace()
        chooser = random.Random(1)
        points = {0, 1, 7, 8, 63, 64, 65, 127, 128, len(good) - 1, len(good) - 8, len(good) - 64}
        points |= {chooser.randrange(len(good)) for _ in range(40 * harness.SCALE)}
        recovered = 0
        for point in sorted(points):
            recovered += 0 in self.assert_survives(good[:point], f"cut at {point} of {len(good)}")
        self.assertGreater(recovered, len(points) // 2, "most cuts leave whole chunks, which must be read")

    def test_a_cut_trace_yields_its_whole_chunks_and_says_so(self):
        good = self.good_trace()
        path = self.scratch / "cut.hlt"
        path.write_bytes(good[:len(good) * 9 // 10])
        info = harness.analyze("info", path)
        self.assertFalse(info["complete"])

    def test_one_byte_flipped_at_many_points(self):
        good = self.good_trace()
        chooser = random.Random(2)
        points = list(range(64)) + [64 + offset for offset in range(0, 64, 4)]
        points += [chooser.randrange(len(good)) for _ in range(60 * harness.SCALE)]
        for point in points:
            data = bytearray(good)
            data[point] ^= 1 << chooser.randrange(8)
            self.assert_survives(bytes(data), f"bit flipped at {point} of {len(good)}")

    def test_a_stretch_overwritten(self):
        good = self.good_trace()
        chooser = random.Random(3)
        for _ in range(20 * harness.SCALE):
            start = chooser.randrange(len(good))
            stretch = bytes(chooser.randrange(256) for _ in range(chooser.randrange(1, 3000)))
            data = good[:start] + stretch[:len(good) - start] + good[start + len(stretch):]
            self.assert_survives(data, f"{len(stretch)} bytes overwritten at {start} of {len(good)}")

    def test_garbage_after_the_end(self):
        self.assertEqual(self.assert_survives(self.good_trace() + b"garbage" * 100, "garbage at the end"), {0})

    def test_wrong_usage(self):
        for arguments in ([], ["no-such-verb"], ["report", "--no-such-option"], ["report", "a@nonsense-moment"]):
            finished = run([HEAPLEDGER, *arguments])
            self.assertEqual(finished.status, 2, f"{arguments}: {finished.explain()}")


if __name__ == "__main__":
    harness.main()
