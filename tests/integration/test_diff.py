"""Comparing runs: one program built a dozen ways is the same program, and what was changed is told as what it is."""
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import diff_builds
from harness import HEAPLEDGER, TestCase, analyze, clean_environment, functions, main, program, require, run


@require("g++", "clang++", "ld.lld", "objcopy")
class Builds(TestCase):
    """Every build is recorded once for all tests of this class."""

    @classmethod
    def setUpClass(cls):
        cls.root = Path(tempfile.mkdtemp(prefix="heapledger-diff-"))
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.traces = {}
        for name in diff_builds.BUILDS:
            subject = diff_builds.build(name, cls.root)
            trace = cls.root / (name + ".hlt")
            finished = run([HEAPLEDGER, "record", "--quiet", "-o", trace, "--", subject])
            assert finished.status == 0, finished.explain()
            cls.traces[name] = trace

    def diff(self, base, new, *options):
        return analyze("diff", self.traces[base], self.traces[new], options=("--top", "0", *options))

    def changed(self, diff):
        return [site for site in diff["sites"] if site["status"] != "same"]

    def assert_balanced(self, diff):
        """The sites' numbers add up to the totals, on both sides and in every measure that sites have."""
        for metric in ("allocation_calls", "bytes_requested", "peak_bytes", "exit_bytes", "temporary_allocations"):
            for side in ("base", "new"):
                self.assertEqual(sum(site["metrics"][metric][side] for site in diff["sites"]),
                                 diff["totals"][metric][side], (metric, side))
            self.assertEqual(diff["totals"][metric]["delta"],
                             diff["totals"][metric]["new"] - diff["totals"][metric]["base"])

    def test_builds_of_one_level_have_the_same_sites(self):
        for level, names in diff_builds.LEVELS.items():
            for base, new in itertools.combinations(names, 2):
                with self.subTest(level=level, base=base, new=new):
                    diff = self.diff(base, new)
                    counts = diff["site_counts"]
                    self.assertEqual([counts[status] for status in ("added", "removed", "grew", "shrank")],
                                     [0, 0, 0, 0], self.changed(diff))
                    self.assertGreater(counts["same"], 30)
                    self.assertEqual(diff["unmatched"]["base_bytes"], 0)
                    self.assert_balanced(diff)

    def test_across_levels_at_most_a_hundredth_stays_unmatched(self):
        for left, right in itertools.combinations(diff_builds.LEVELS.values(), 2):
            for base, new in itertools.product(left, right):
                with self.subTest(base=base, new=new):
                    diff = self.diff(base, new, "--by", "bytes_requested")
                    for side in ("base", "new"):
                        self.assertLessEqual(diff["unmatched"][side + "_bytes"],
                                             0.01 * diff["totals"]["bytes_requested"][side])
                    self.assert_balanced(diff)

    def test_builds_that_differ_in_lines_or_directory_alone_match_exactly(self):
        for other in ("gcc-O2-lines", "gcc-O2-directory", "gcc-O2-stripped", "gcc-O2-lambdas"):
            with self.subTest(other=other):
                diff = self.diff("gcc-O2", other)
                self.assertEqual({site["match"] for site in diff["sites"]}, {"exact"})
                self.assertEqual(diff["moved_files"], [])
                self.assertEqual(diff["renames"], [])

    def test_a_new_leak_is_a_new_site(self):
        diff = self.diff("gcc-O2", "leaking", "--by", "definite.bytes")
        [site] = [site for site in self.changed(diff) if site["status"] == "added"]
        self.assertIn("remember_client", "".join(functions(site)))
        self.assertEqual(site["metrics"]["allocation_calls"], {"base": 0, "new": 200, "delta": 200})
        self.assertGreaterEqual(site["metrics"]["definite.bytes"]["new"], 199 * 100)
        self.assertEqual(diff["site_counts"]["removed"], 0)
        self.assertEqual(diff["sites"][0], site)
        text = run([HEAPLEDGER, "diff", self.traces["gcc-O2"], self.traces["leaking"]]).stdout.decode()
        self.assertRegex(text, r"KiB definitely lost \(0 B → 19\.\d KiB\), all of it from one new place:\s+"
                               r"session::\(anon\)::remember_client")

    def test_a_suppressed_leak_is_no_leak(self):
        rules = self.scratch / "rules"
        rules.write_text("leak:remember_client\n")
        pair = [self.traces["gcc-O2"], self.traces["leaking"]]
        for options, status in (((), 1), (("--suppressions", rules), 0)):
            finished = run([HEAPLEDGER, "diff", *pair, "--max", "definite.bytes=+0", *options])
            self.assertEqual(finished.status, status, finished.explain())
        told = self.diff("gcc-O2", "leaking", "--suppressions", str(rules))
        self.assertEqual(told["totals"]["definite.bytes"]["delta"], 0)
        self.assertEqual(told["totals"]["allocation_calls"]["delta"], 200)
        budget = self.scratch / "budget.json"
        budget.write_text('{"version": 1, "metrics": {"definite.bytes": {"max": 1000}}}')
        for options, status in (((), 1), (("--suppressions", rules), 0)):
            finished = run([HEAPLEDGER, "check", pair[1], "--budget", budget, *options])
            self.assertEqual(finished.status, status, finished.explain())

    def test_a_site_that_grew_by_a_tenth_grew_by_a_tenth(self):
        diff = self.diff("gcc-O2", "grown")
        [site] = self.changed(diff)
        self.assertEqual((site["status"], site["match"]), ("grew", "exact"))
        self.assertEqual(site["metrics"]["bytes_requested"], {"base": 400000, "new": 440000, "delta": 40000})
        self.assertIn("read_body", functions(site)[0])

    def test_a_cache_that_is_gone_is_gone(self):
        diff = self.diff("gcc-O2", "without-cache")
        removed = [site for site in diff["sites"] if site["status"] == "removed"]
        self.assertTrue(all("store::fill(int)" in functions(site) for site in removed), removed)
        self.assertGreaterEqual(sum(site["metrics"]["peak_bytes"]["base"] for site in removed),
                                sum(range(1000, 1400)))
        self.assertLess(diff["totals"]["peak_bytes"]["delta"], -sum(range(1000, 1400)))
        self.assertEqual(diff["site_counts"]["grew"] + diff["site_counts"]["shrank"], 0)

    def test_a_renamed_function_is_one_function_and_suggested(self):
        diff = self.diff("gcc-O2", "renamed")
        self.assertEqual(self.changed(diff), [])
        matched = [site for site in diff["sites"] if site["match"] == "fuzzy"]
        self.assertEqual(len(matched), 2)  # it allocates for two callers' lines
        [suggestion] = diff["renames"]
        self.assertIn("read_header", suggestion["base"])
        self.assertIn("read_request_header", suggestion["new"])
        renames = self.scratch / "renames"
        renames.write_text(f"# by hand\n{suggestion['base']} = {suggestion['new']}\n")
        told = self.diff("gcc-O2", "renamed", "--renames", str(renames))
        self.assertEqual([site for site in told["sites"] if site["match"] == "fuzzy"], [])
        self.assertEqual(told["renames"], [])

    def test_a_moved_file_is_a_moved_file(self):
        diff = self.diff("gcc-O2", "moved")
        self.assertEqual(self.changed(diff), [])
        [moved] = diff["moved_files"]
        self.assertTrue(moved["base"].endswith("/src/store.cpp"), moved)
        self.assertTrue(moved["new"].endswith("/src/deep/store.cpp"), moved)


class Limits(TestCase):
    def setUp(self):
        super().setUp()
        self.base = self.record("/usr/bin/python3", "-S", "-c", "x = [0] * 100000", name="a.hlt").trace
        self.new = self.record("/usr/bin/python3", "-S", "-c", "x = [0] * 200000", name="b.hlt").trace

    def status(self, *options):
        return run([HEAPLEDGER, "diff", self.base, self.new, *options])

    def test_growth_beyond_a_limit_is_status_one(self):
        self.assertEqual(self.status("--max", "peak_bytes=+2%").status, 1)
        self.assertEqual(self.status("--max", "peak_bytes=+64k").status, 1)
        self.assertEqual(self.status("--max", "peak_bytes=+16M").status, 0)
        self.assertEqual(self.status("--max", "peak_bytes=1k").status, 1)
        self.assertEqual(self.status("--max", "peak_bytes=1G", "--max", "allocation_calls=+5%").status, 0)
        finished = self.status("--max", "peak_bytes=+2%")
        self.assertRegex(finished.stderr.decode(), r"limit exceeded: peak_bytes went from [\d,]+ B to [\d,]+ B "
                                                   r"\(\+[\d,]+ B, \+[\d.]+ %\), more than \+2%")

    def test_a_limit_that_cannot_be_is_wrong_usage(self):
        for wrong in ("peak_bytes", "peak_bytes=", "peak_bytes=+x", "peak_bytes=+%", "nothing=+2%", "=+2%"):
            with self.subTest(limit=wrong):
                self.assertEqual(self.status("--max", wrong).status, 2)
        self.assertEqual(self.status("--github").status, 2)
        self.assertEqual(self.status("--by", "nothing").status, 2)
        self.assertEqual(self.status("--per", "no such mark").status, 2)
        self.assertEqual(run([HEAPLEDGER, "diff", self.base]).status, 2)
        self.assertEqual(run([HEAPLEDGER, "diff", self.base, self.scratch / "none.hlt"]).status, 3)

    def test_the_parts_at_fault_are_in_the_junit_file(self):
        junit = self.scratch / "j.xml"
        self.assertEqual(self.status("--max", "peak_bytes=+2%", "--junit", str(junit)).status, 1)
        self.assertIn('name="peak_bytes"', junit.read_text())
        # list_repeat, where its symbols are installed.
        self.assertRegex(junit.read_text(), r">\+800,000 B  .*(list|python3\S*\+0x)")


class Cache(TestCase):
    def test_a_second_diff_reads_what_the_first_kept(self):
        trace = self.record("/usr/bin/python3", "-S", "-c", "x = [0] * 1000").trace
        first = analyze("diff", trace, trace)
        [kept] = self.scratch.glob("*.profile")
        written = kept.stat().st_mtime_ns
        second = analyze("diff", trace, trace)
        self.assertEqual(first, second)
        self.assertEqual(kept.stat().st_mtime_ns, written)
        # The file alone stands for the run.
        alone = analyze("diff", kept, trace)
        self.assertEqual(alone["totals"], first["totals"])
        self.assertEqual(alone["sites"], first["sites"])

    def test_a_damaged_or_foreign_file_is_made_anew(self):
        trace = self.record("/usr/bin/python3", "-S", "-c", "x = [0] * 1000").trace
        first = analyze("diff", trace, trace)
        [kept] = self.scratch.glob("*.profile")
        whole = kept.read_bytes()
        damaged = bytearray(whole)
        damaged[len(damaged) // 2] ^= 1
        for content in (bytes(damaged), whole[:100], b"", b"something else"):
            kept.write_bytes(content)
            self.assertEqual(analyze("diff", trace, trace), first)
            self.assertEqual(kept.read_bytes(), whole)
        kept.write_bytes(bytes(damaged))
        self.assertEqual(run([HEAPLEDGER, "diff", kept, trace]).status, 3)
        other = self.record("/usr/bin/python3", "-S", "-c", "x = [0] * 5000", name="o.hlt").trace
        analyze("diff", other, other)
        [foreign] = self.scratch.glob("o.hlt.*.profile")
        shutil.copy(foreign, kept)
        self.assertEqual(analyze("diff", trace, trace), first)

    def test_comparing_an_old_run_does_not_make_it_the_newest(self):
        environment = clean_environment(HEAPLEDGER_DIR=self.scratch)
        for argument in ("older", "newer"):
            finished = run([HEAPLEDGER, "record", "--quiet", "--", "/bin/echo", argument], env=environment)
            self.assertEqual(finished.status, 0, finished.explain())
            runs = list(self.scratch.glob("heapledger-*"))
            older = runs[0] if argument == "older" else older
            time.sleep(0.05)  # so that modification times can be told apart
        self.assertEqual(len(runs), 2)
        analyze("diff", older, older)
        self.assertEqual(len(list(older.glob("*.profile"))), 1)
        finished = run([HEAPLEDGER, "info", "--json"], env=environment)
        self.assertIn("newer", json.loads(finished.stdout)["command"])

    def test_without_permission_nothing_is_kept_and_nothing_fails(self):
        trace = self.record("/usr/bin/python3", "-S", "-c", "x = [0] * 1000").trace
        finished = run([HEAPLEDGER, "diff", trace, trace, "--no-cache"])
        self.assertEqual(finished.status, 0, finished.explain())
        self.assertEqual(list(self.scratch.glob("*.profile")), [])
        if os.geteuid() != 0:  # root may write anywhere
            self.scratch.chmod(0o500)
            finished = run([HEAPLEDGER, "diff", trace, trace])
            self.scratch.chmod(0o700)
            self.assertEqual((finished.status, finished.stderr), (0, b""))


class Samples(TestCase):
    def test_stranded_bytes_are_those_of_fragmentation_and_of_sites(self):
        traces = [self.record(program("pinned_pages"), name=name).trace for name in ("a.hlt", "b.hlt")]
        diff = analyze("diff", *traces, options=("--by", "stranded_bytes", "--top", "0"))
        [keeps] = [site for site in diff["sites"] if "keep_for_long" in functions(site)]
        self.assertGreater(keeps["metrics"]["stranded_bytes"]["new"], 255 * (4096 - 2 * 256))
        for side, trace in zip(("base", "new"), traces):
            pages = analyze("fragmentation", trace)["page_4k"]
            self.assertEqual(diff["totals"]["stranded_bytes"][side], pages["stranded"])
            self.assertEqual(sum(site["metrics"]["stranded_bytes"][side] for site in diff["sites"]), pages["stranded"])
            metrics = analyze("metrics", trace)["metrics"]
            self.assertEqual(diff["totals"]["rss_at_peak_bytes"][side], metrics["rss_at_peak"])
        # The same again from the cache.
        self.assertEqual(analyze("diff", *traces, options=("--by", "stranded_bytes", "--top", "0")), diff)
        limited = run([HEAPLEDGER, "diff", *traces, "--max", "stranded_bytes=100k"])
        self.assertEqual(limited.status, 1, limited.explain())
        self.assertIn(b"stranded_bytes went from ", limited.stderr)

    def test_without_samples_there_are_none(self):
        trace = self.record(program("exact_counts"), options=("--sample-budget", "0")).trace
        totals = analyze("diff", trace, trace)["totals"]
        self.assertNotIn("stranded_bytes", totals)
        self.assertNotIn("rss_at_peak_bytes", totals)
        self.assertEqual(run([HEAPLEDGER, "diff", trace, trace, "--max", "stranded_bytes=+1%"]).status, 2)


class Moments(TestCase):
    def test_two_moments_of_one_trace(self):
        trace = self.record(program("marks"), 6).trace
        diff = analyze("diff", f"{trace}@mark:round 1", f"{trace}@mark:round 4")
        self.assertEqual((diff["by"], diff["base"]["moment"], diff["new"]["moment"]),
                         ("exit_bytes", "mark:round 1", "mark:round 4"))
        [kept] = [site for site in diff["sites"] if "keep" in functions(site)]
        self.assertEqual((kept["status"], kept["match"]), ("grew", "exact"))
        self.assertEqual(kept["metrics"]["exit_blocks"], {"base": 2, "new": 5, "delta": 3})
        self.assertEqual(kept["metrics"]["exit_bytes"]["delta"], 3 * 333)
        for side, moment in (("base", "round 1"), ("new", "round 4")):
            self.assertEqual(diff["totals"]["exit_bytes"][side], analyze("live", f"{trace}@mark:{moment}")["bytes"])

    def test_per_unit_of_work(self):
        def served(name, *arguments):
            return self.record(program("units_of_work"), *arguments, name=name).trace
        few, many, dearer = served("few.hlt", 500), served("many.hlt", 1000), served("dearer.hlt", 1000, 64)
        # Twice the units are twice the calls, but the same for each.
        self.assertAlmostEqual(analyze("diff", few, many)["totals"]["allocation_calls"]["delta"], 500 * 6, delta=5)
        diff = analyze("diff", few, many, options=("--per", "unit", "--by", "allocation_calls", "--top", "0"))
        self.assertEqual((diff["per"], diff["base"]["units"], diff["new"]["units"]), ("unit", 500, 1000))
        for function in ("parse", "answer"):
            sites = [site for site in diff["sites"] if any(function in name for name in functions(site))]
            self.assertTrue(sites)
            for site in sites:
                self.assertEqual((site["status"], site["match"]), ("same", "exact"), site)
        self.assertEqual(diff["totals"]["allocation_calls"], {"base": 6, "new": 6, "delta": 0})
        self.assertEqual(diff["site_counts"]["same"], len(diff["sites"]))
        self.assertTrue(any(site.get("set_up") for site in diff["sites"]))  # stdout's buffer, at least
        text = run([HEAPLEDGER, "diff", few, many, "--per", "unit", "--by", "allocation_calls"]).stdout.decode()
        self.assertIn("No change: 6 allocation calls per unit.", text)
        self.assertEqual(diff["totals"]["peak_bytes"]["delta"], 0)
        held = run([HEAPLEDGER, "diff", few, many, "--per", "unit", "--max", "allocation_calls=+0%"])
        self.assertEqual(held.status, 0, held.explain())
        # A unit that costs one call more is found, whatever the number of units.
        diff = analyze("diff", few, dearer, options=("--per", "unit", "--by", "allocation_calls", "--top", "0"))
        [site] = [site for site in diff["sites"] if site["status"] == "added"]
        self.assertIn("log_unit", "".join(functions(site)))
        self.assertEqual(site["metrics"]["allocation_calls"], {"base": 0, "new": 1, "delta": 1})
        self.assertEqual(site["metrics"]["bytes_requested"], {"base": 0, "new": 64, "delta": 64})
        limited = run([HEAPLEDGER, "diff", few, dearer, "--per", "unit", "--max", "allocation_calls=+10%"])
        self.assertEqual(limited.status, 1, limited.explain())
        text = run([HEAPLEDGER, "diff", few, dearer, "--per", "unit", "--by", "allocation_calls"]).stdout.decode()
        self.assertRegex(text, r"\+1 allocation calls per unit \(6 → 7, \+16\.7 %\), all of it from one new place:\s+"
                               r"\(anon\)::log_unit")
        refused = run([HEAPLEDGER, "diff", few, many, "--per", "round 3"])
        self.assertEqual(refused.status, 2)
        self.assertIn(b"the base run has no mark 'round 3'", refused.stderr)


if __name__ == "__main__":
    main()
