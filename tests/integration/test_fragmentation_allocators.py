"""Fragmentation and ledger under tcmalloc (gperftools) and mimalloc: what the allocators say of themselves, and what the
kernel says of their pages before and after they give back what they can (docs/fragmentation.md states the tolerances)."""
import sys
from pathlib import Path

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from books import check_books, check_ledger, fragmentation
from harness import clean_environment, functions, program, require, run
from redis_server import RedisTestCase

PAGE = 4096
SLICE = 16  # pages of mimalloc's smallest run
TCMALLOC, MIMALLOC = "libtcmalloc_minimal.so.4", "libmimalloc.so.2"
ALLOCATORS = {"tcmalloc": TCMALLOC, "mimalloc": MIMALLOC}


def installed(library):
    return Path("/usr/lib/x86_64-linux-gnu", library).exists()


def require_library(library):
    return harness.unittest.skipUnless(installed(library), f"{library} is not installed")


class Pinned(harness.TestCase):
    """65 536 blocks of 240 bytes, every Nth kept: what is said to be kept, and what then really goes back."""

    def steps(self, library, every):
        recorded = self.record(program("pinned_elsewhere"), every, env=clean_environment(LD_PRELOAD=library))
        self.assertEqual(recorded.status, 0, recorded.explain())
        resident = {step: int(pages) for step, pages in map(str.split, recorded.stdout.decode().splitlines())}
        answers = {}
        for step in ("before", "released", "flushed"):
            options = ("--what-if", "keep_for_long") if step == "before" else ()
            answers[step] = fragmentation(f"{recorded.trace}@mark:{step}", *options)
            check_books(self, answers[step])
            self.assertTrue(answers[step]["sample"]["consistent"])
            self.assertEqual(answers[step]["confidence"], "good")
        return resident, answers, recorded.trace

    def check_tcmalloc(self, every):
        resident, answers, trace = self.steps(TCMALLOC, every)
        before, after = answers["before"]["page_4k"], answers["flushed"]["page_4k"]
        self.assertEqual(answers["before"]["allocator"], "tcmalloc")
        survivors = 65536 // every
        # A span of this class is one page of 8 KiB, and each survivor is alone on its.
        kept = survivors * 2
        blamed = answers["before"]["blame"][0]
        self.assertIn("keep_for_long", functions(blamed))
        self.assertEqual((blamed["exclusive_bytes"], blamed["survivors"]), (kept * PAGE - survivors * 240, survivors))
        self.assertEqual(answers["before"]["what_if"]["released_pages"], kept)
        # ReleaseFreeMemory gives back what is trimmable, but for what blocks in tcmalloc's caches keep: less than its
        # own limit for this one thread's, 512 KiB and more that the transfer cache holds.
        given_back = before["resident"] - after["resident"]
        self.assertLessEqual(given_back, before["trimmable"])
        self.assertGreater(given_back, before["trimmable"] - (800 << 10))
        self.assertLessEqual(resident["before"] - resident["flushed"], given_back // PAGE)
        self.assertEqual(after["resident"] - after["metadata"] - after["trimmable"], after["pinned_pages"] * PAGE)
        # Once the survivors are gone, their pages are, but for what new places in the caches keep.
        self.assertAlmostEqual(resident["flushed"] - resident["apart"], kept, delta=32)
        return trace

    @require_library(TCMALLOC)
    def test_tcmalloc_keeps_a_page_of_8k_for_each_survivor(self):
        self.check_tcmalloc(4096)
        trace = self.check_tcmalloc(256)
        text = run([harness.HEAPLEDGER, "fragmentation", f"{trace}@mark:before"])
        self.assertIn(b"MallocExtension_ReleaseFreeMemory() would give back up to 13.6 MiB", text.stdout)

    def check_mimalloc(self, every):
        resident, answers, trace = self.steps(MIMALLOC, every)
        before, after = answers["before"]["page_4k"], answers["flushed"]["page_4k"]
        self.assertEqual(answers["before"]["allocator"], "mimalloc")
        # A page of mimalloc's is 64 KiB with 255 blocks, so each survivor is alone on its.
        kept = 65536 // every * SLICE
        blamed = answers["before"]["blame"][0]
        self.assertIn("keep_for_long", functions(blamed))
        self.assertEqual((blamed["exclusive_pages"], blamed["survivors"]), (kept, 65536 // every))
        self.assertEqual(answers["before"]["what_if"]["released_pages"], kept)
        # mi_collect() gives nothing back before the delay is over; then what is trimmable goes, but for some slices that
        # it had put off anew. What is kept stays.
        self.assertEqual(resident["released"], resident["before"])
        self.assertGreaterEqual(resident["flushed"], kept)
        self.assertLessEqual(resident["flushed"], kept + 10 * SLICE)
        self.assertLessEqual(before["resident"] - after["resident"], before["trimmable"] + SLICE * PAGE)
        self.assertGreaterEqual(before["resident"] - after["resident"], before["trimmable"] - 10 * SLICE * PAGE)
        # Once the survivors are gone, so are their pages.
        self.assertLess(resident["apart"], 10 * SLICE)
        return trace

    @require_library(MIMALLOC)
    def test_mimalloc_keeps_64k_for_each_survivor(self):
        self.check_mimalloc(256)
        trace = self.check_mimalloc(4096)
        text = run([harness.HEAPLEDGER, "fragmentation", f"{trace}@mark:before"])
        self.assertIn(b"MIMALLOC_DECOMMIT_DELAY", text.stdout)


class RealPrograms(harness.TestCase):
    def test_python(self):
        script = "x = [bytes(i % 3000) for i in range(50000)]; del x[::2]; import json; json.dumps(list(range(1000)))"
        for name, library in ALLOCATORS.items():
            if not installed(library):
                continue
            with self.subTest(name):
                recorded = self.record(harness.PYTHON, "-c", script, name=name + ".hlt",
                                       env=clean_environment(LD_PRELOAD=library, PYTHONMALLOC="malloc"))
                self.assertEqual(recorded.status, 0, recorded.explain())
                answer = fragmentation(recorded.trace)
                check_books(self, answer)
                self.assertEqual(answer["allocator"], name)
                self.assertEqual(answer["timeline"][-1]["footprint_bytes"], answer["page_4k"]["resident"])
                ledger = check_ledger(self, recorded.trace)
                unknown = {account["account"]: account["bytes"] for account in ledger["accounts"]}["unknown"]
                self.assertLess(unknown, ledger["rss"] // 50)

    @harness.unittest.skipUnless((harness.PROGRAMS / "operator_new_linked").exists(), "tcmalloc is not installed")
    def test_a_program_linked_with_tcmalloc(self):
        recorded = self.record(program("operator_new_linked"))
        answer = fragmentation(recorded.trace)
        check_books(self, answer)
        self.assertEqual(answer["allocator"], "tcmalloc")
        check_ledger(self, recorded.trace)


class Redis(RedisTestCase):
    """Filled, then nine of ten keys deleted at random."""

    def emptied(self, library):
        report = self.scratch / "report"
        trace, _ = self.fill_and_delete(LD_PRELOAD=f"{program('malloc_report.so')}:{library}", MALLOC_REPORT=report)
        answer = fragmentation(f"{trace}@mark:emptied", "--top", "0")
        check_books(self, answer)
        check_ledger(self, f"{trace}@mark:emptied", "--top", "0")
        return answer, [line.split() for line in report.read_text().splitlines()]

    @require("redis-server")
    @require_library(TCMALLOC)
    def test_under_tcmalloc(self):
        answer, report = self.emptied(TCMALLOC)
        self.assertEqual((answer["allocator"], answer["confidence"]), ("tcmalloc", "good"))
        said = {words[1].partition(".")[2]: int(words[2]) for words in report if words[0] == "property"}
        pages = answer["page_4k"]
        # Live blocks by their usable sizes, to 2 %: slack that was never touched is in no account here.
        self.assertAlmostEqual(pages["live"] + pages["slack"] + answer["untouched_bytes"], said["current_allocated_bytes"],
                               delta=said["current_allocated_bytes"] * 0.02)
        # Free memory: what all of tcmalloc's caches say, and of the page heap what was ever touched. To 2 %.
        cached = sum(said[f"{cache}_cache_free_bytes"] for cache in ("central", "transfer", "thread"))
        waste = pages["stranded"] + pages["held"] + pages["trimmable"]
        self.assertGreater(waste, cached * 0.98)
        self.assertLess(waste, (cached + said["pageheap_free_bytes"]) * 1.02)
        # The resident heap without tcmalloc's own tables is what it obtained and did not give back.
        self.assertLess(pages["resident"] - pages["metadata"], said["heap_size"] - said["pageheap_unmapped_bytes"])
        self.assertGreater(pages["resident"] - pages["metadata"],
                           (said["heap_size"] - said["pageheap_unmapped_bytes"] - said["pageheap_free_bytes"]) * 0.98)
        self.assertGreater(pages["stranded"], 0.5 * pages["resident"])

    @require("redis-server")
    @require_library(MIMALLOC)
    def test_under_mimalloc(self):
        answer, report = self.emptied(MIMALLOC)
        self.assertEqual((answer["allocator"], answer["confidence"]), ("mimalloc", "good"))
        areas = [tuple(map(int, words[1:])) for words in report if words[0] == "area"]
        pages = answer["page_4k"]
        # Resident bytes (pagemap) of mimalloc's pages that hold a block, to 1 %.
        kept = sum(resident for resident, used, _ in areas if used)
        self.assertAlmostEqual(pages["pinned_pages"] * PAGE, kept, delta=kept * 0.01)
        blocks = sum(used * size for _, used, size in areas)
        live = pages["live"] + pages["slack"] + answer["untouched_bytes"]
        self.assertAlmostEqual(live, blocks, delta=blocks * 0.02)
        self.assertAlmostEqual(pages["stranded"], kept - blocks, delta=kept * 0.02)
        self.assertGreater(pages["stranded"], 0.5 * pages["resident"])


if __name__ == "__main__":
    harness.main()
