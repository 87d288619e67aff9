"""Fragmentation: the accounts against what the kernel and the allocators say themselves."""
import sys
import xml.etree.ElementTree

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from books import check_books, fragmentation
from harness import functions, program, require, run
from redis_server import RedisTestCase

PAGE = 4096


class Accounts(harness.TestCase):
    def test_every_256th_block_keeps_its_page(self):
        recorded = self.record(program("pinned_pages"))
        before_pages, after_pages, pinned, on_large_pages_without = map(int, recorded.stdout.split())
        self.assertEqual(pinned, 256)
        before = fragmentation(f"{recorded.trace}@mark:before", "--what-if", "keep_for_long")
        after = fragmentation(f"{recorded.trace}@mark:after")
        for answer, truth in ((before, before_pages), (after, after_pages)):
            check_books(self, answer)
            self.assertEqual(answer["sample"]["consistent"], True)
            self.assertEqual(answer["confidence"], "exact")
            pages = answer["page_4k"]
            self.assertEqual(pages["resident_pages"], truth, "as pagemap says")
            self.assertEqual((pages["pinned_pages"], pages["live"]), (pinned, 256 * 240))
            self.assertEqual(pages["stranded"], pinned * PAGE - 256 * 256)
            # All of it is charged to the function that keeps blocks, and to nobody else.
            self.assertEqual(len(answer["blame"]), 1)
            blamed = answer["blame"][0]
            self.assertIn("keep_for_long", functions(blamed))
            self.assertEqual((blamed["exclusive_bytes"], blamed["survivors"]), (pages["stranded"], 256))
            self.assertIn("use_in_a_burst", functions(blamed["holes"][0]["block"]))
        self.assertEqual(before["malloc_trim_bytes"], (before_pages - after_pages) * PAGE)
        self.assertEqual(before["page_4k"]["trimmable"], (before_pages - pinned - 1) * PAGE)
        self.assertEqual(after["malloc_trim_bytes"], 0)
        self.assertEqual(after["page_4k"]["trimmable"], 0)
        # 2 MiB pages: nothing could be given back, but for an end of the heap that has one to itself.
        self.assertEqual(before["page_2m"]["trimmable"], on_large_pages_without * PAGE)
        # Elsewhere, they take 16 pages and release exactly these 256.
        apart = before["what_if"]
        self.assertEqual((apart["blocks"], apart["released_pages"], apart["room_bytes"]), (256, pinned, 16 * PAGE))
        self.assertEqual(apart["page_4k"]["pinned_pages"], 16)

    def test_limits_and_words(self):
        recorded = self.record(program("pinned_pages"))
        command = [harness.HEAPLEDGER, "fragmentation", f"{recorded.trace}@mark:before"]
        text = run(command)
        self.assertEqual(text.status, 0, text.explain())
        self.assertIn(b"keep 100 % of what is stranded", text.stdout)
        self.assertIn(b"malloc_trim(0) would give back 15.0 MiB", text.stdout)
        self.assertTrue(all(len(line) <= 100 for line in text.stdout.decode().splitlines()), text.explain())
        self.assertEqual(run([*command, "--max", "stranded_bytes=1M"]).status, 0)
        self.assertEqual(run([*command, "--max", "stranded_bytes=100k"]).status, 1)
        self.assertEqual(run([*command, "--max", "no_such_thing=1"]).status, 2)

    def test_python_and_its_books(self):
        recorded = self.record(harness.PYTHON, "-c", "x = [bytes(i % 3000) for i in range(50000)]; del x[::2]",
                               env=harness.clean_environment(PYTHONMALLOC="malloc"))
        answer = fragmentation(recorded.trace)
        check_books(self, answer)
        self.assertEqual(answer["confidence"], "exact")
        self.assertEqual(answer["timeline"][-1]["footprint_bytes"], answer["page_4k"]["resident"],
                         "the pages of the heap add up to the kernel's Rss of its mappings")


class Redis(RedisTestCase):
    """Filled, then nine of ten keys deleted at random."""

    @require("redis-server")
    def test_under_jemalloc(self):
        trace, info = self.fill_and_delete()
        answer = fragmentation(f"{trace}@mark:emptied", "--top", "0")
        self.assertEqual((answer["allocator"], answer["confidence"]), ("jemalloc", "good"))
        pages = answer["page_4k"]
        self.assertEqual(sum(entry["stranded_bytes"] for entry in answer["blame"]), pages["stranded"])
        # jemalloc's active pages less what redis counts as its own (usable sizes): to 5 % of the former. Blocks in
        # thread caches are free here; to jemalloc they are allocated, and pages with nothing else are active until it
        # empties those caches, when it sees fit, and dirty from then on.
        by_jemalloc = info["allocator_active"] - info["used_memory"]
        pinned, tolerance = pages["stranded"] + pages["slack"], info["allocator_active"] * 0.05
        self.assertGreater(by_jemalloc, pinned - tolerance)
        self.assertLess(by_jemalloc, pinned + pages["trimmable"] + tolerance)
        self.assertGreater(pages["stranded"], 0.5 * pages["resident"])

    @require("redis-server")
    def test_under_glibc(self):
        report = self.scratch / "malloc.xml"
        # libc first: its malloc is found before that of the jemalloc that redis is linked to.
        trace, _ = self.fill_and_delete(LD_PRELOAD=f"{program('malloc_report.so')}:libc.so.6", MALLOC_REPORT=report)
        answer = fragmentation(f"{trace}@mark:emptied", "--top", "0")
        self.assertEqual(answer["allocator"], "glibc")
        pages = answer["page_4k"]
        self.assertEqual(sum(entry["stranded_bytes"] for entry in answer["blame"]), pages["stranded"])
        totals = {}
        for total in xml.etree.ElementTree.parse(report).getroot().findall("total"):
            totals[total.get("type")] = int(total.get("size"))
        # What glibc says is free, the tops of its heaps included, to 2 %: blocks in thread caches are in use to it and
        # free here, and a little of what is free was never touched.
        free = totals["fast"] + totals["rest"]
        self.assertAlmostEqual(answer["external"]["free_bytes"], free, delta=free * 0.02)
        waste = pages["stranded"] + pages["held"] + pages["trimmable"]
        self.assertAlmostEqual(waste, free, delta=free * 0.02)
        self.assertGreater(pages["stranded"], 0.25 * pages["resident"])


if __name__ == "__main__":
    harness.main()
