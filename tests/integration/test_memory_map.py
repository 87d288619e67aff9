"""`heapledger map` of saved smaps texts: the sums hold, Android's rows are those made by hand."""
import json
import sys
from pathlib import Path

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import HEAPLEDGER, PYTHON, SOURCE, run

FIXTURES = SOURCE / "tests/fixtures"


class MemoryMap:
    def assert_adds_up(self, answer):
        """Sums over mappings as the kernel counts them equal sums over regions, and over categories."""
        sample = answer["samples"][answer["sample"]]
        for key in ("rss", "pss", "private_dirty", "private_clean", "shared_dirty", "shared_clean", "swap"):
            self.assertEqual(sum(region[key] for region in answer["regions"]), sample[key], key)
        for one in answer["samples"]:
            self.assertEqual(sum(numbers["rss"] for numbers in one["categories"].values()), one["rss"])
        end = 0
        for region in answer["regions"]:
            self.assertGreaterEqual(region["start"], end)
            self.assertEqual(region["end"] - region["start"], region["size"])
            end = region["end"]
        summary = answer["app_summary"]
        self.assertEqual(summary["total_pss"], sample["pss"] + sample["swap_pss"])
        self.assertEqual(sum(value for key, value in summary.items() if key != "total_pss"), summary["total_pss"])
        return sample


class SavedSmaps(MemoryMap, harness.TestCase):
    def test_an_android_phone_s_file(self):
        finished = run([HEAPLEDGER, "map", "--smaps", FIXTURES / "smaps_android_app.txt", "--json"])
        self.assertEqual(finished.status, 0, finished.explain())
        answer = json.loads(finished.stdout)
        sample = self.assert_adds_up(answer)
        kib = {key: value // 1024 for key, value in answer["app_summary"].items()}
        self.assertEqual(kib, {"java_heap": 13864, "native_heap": 23992, "code": 11636, "stack": 112, "graphics": 9000,
                               "private_other": 16066, "system": 7294, "total_pss": 81964})
        self.assertEqual(sample["categories"]["dart-heap"]["rss"], 15000 * 1024)
        self.assertEqual(sample["categories"]["dalvik-heap"]["private_dirty"], (12288 + 1000 + 40 + 512) * 1024)

    def test_standard_input_is_a_file_too_and_text_has_android_s_rows(self):
        text = (FIXTURES / "smaps_swap_huge_memfd.txt").read_bytes()
        finished = run([HEAPLEDGER, "map", "--smaps", "-"], stdin=text)
        self.assertEqual(finished.status, 0, finished.explain())
        lines = finished.stdout.decode().splitlines()
        self.assertRegex(next(line for line in lines if "Native Heap" in line), r"29\.3 MiB")
        self.assertRegex(next(line for line in lines if "footprint " in line), r"71\.6 MiB")
        self.assertLessEqual(max(map(len, lines)), 100)

    def test_its_own_memory_read_live(self):
        code = "import os; x = bytearray(5 << 20); os.write(1, open('/proc/self/smaps', 'rb').read())"
        text = run([PYTHON, "-I", "-c", code]).stdout
        answer = json.loads(run([HEAPLEDGER, "map", "--smaps", "-", "--json"], stdin=text).stdout)
        sample = self.assert_adds_up(answer)
        rss = sum(int(line.split()[1]) for line in text.decode().splitlines() if line.startswith("Rss:"))
        self.assertEqual(sample["rss"], rss * 1024)

    def test_what_is_no_smaps_is_refused(self):
        for text, reason in ((b"", b"no mapping"), (b"hello\n", b"no mapping"),
                             (Path("/proc/self/smaps_rollup").read_bytes(), b"smaps_rollup")):
            finished = run([HEAPLEDGER, "map", "--smaps", "-"], stdin=text)
            self.assertEqual(finished.status, 3)
            self.assertIn(reason, finished.stderr)
        self.assertEqual(run([HEAPLEDGER, "map", "--smaps", "/nonexistent"]).status, 3)
        self.assertEqual(run([HEAPLEDGER, "map", "--smaps", "-", "some.hlt"]).status, 2)


if __name__ == "__main__":
    harness.main()
