"""Several runs a side: runs of one build are not told apart, a planted change is, and too few runs are said to be."""

import harness
from harness import HEAPLEDGER, PYTHON, SCALE, analyze, functions, program, run

RUNS = 5
ROUNDS = 2 if SCALE == 1 else 30
TOTALS = ("allocation_calls", "bytes_requested", "peak_bytes", "exit_bytes")
# Allocates by hash order: another seed, another course.
SCRIPT = "d = {}\nfor i in range(3000):\n  d[str(i)] = {str(i * 7), str(i)}\ns = sorted(set(d), key=hash)\n"


class ManyRuns(harness.TestCase):
    def runs(self, prefix, count, *command, env=None):
        return [self.record(*command, name=f"{prefix}{number}.hlt", env=env).trace for number in range(count)]

    def threaded(self, prefix, count, extra=0):
        return self.runs(prefix, count, program("noisy_threads"), extra)

    def python(self, prefix, count):
        environment = harness.clean_environment(PYTHONMALLOC="malloc", PYTHONHASHSEED="random")
        return self.runs(prefix, count, PYTHON, "-S", "-c", SCRIPT, env=environment)

    def diff(self, base, new, *options):
        return analyze("diff", "--base", *base, "--new", *new, options=options)

    def alarms(self, diff):
        """What of a comparison is told as a change: totals, then sites."""
        totals = [(name, total) for name, total in diff["totals"].items() if total["verdict"] in ("grew", "shrank")]
        sites = [(functions(site)[:4], name, metric) for site in diff["sites"] for name, metric in site["metrics"].items()
                 if metric["verdict"] in ("grew", "shrank")]
        self.assertEqual(len(sites), diff["runs"]["told_site_metrics"])
        return totals + sites

    def test_runs_of_one_build_raise_no_alarm(self):
        for make in (self.threaded, self.python):
            for number in range(ROUNDS):
                with self.subTest(program=make.__name__, round=number):
                    diff = self.diff(make(f"{make.__name__}-a-", RUNS), make(f"{make.__name__}-b-", RUNS), "--top", "0")
                    self.assertTrue(diff["runs"]["enough"])
                    noisy = [name for name in TOTALS if diff["totals"][name]["base_runs"]["low"]
                             != diff["totals"][name]["base_runs"]["high"]]
                    self.assertTrue(noisy, "the program is not noisy: the test tests nothing")
                    self.assertEqual(self.alarms(diff), [])

    def test_three_percent_more_at_the_peak_is_found_with_five_runs(self):
        base = self.threaded("base", RUNS)
        peak = analyze("report", base[0])["peak"]["bytes"]
        new = self.threaded("new", RUNS, peak * 3 // 100)
        diff = self.diff(base, new)
        total = diff["totals"]["peak_bytes"]
        self.assertEqual((total["verdict"], total["exact"]), ("grew", False), total)
        self.assertLess(total["q"], 0.05)
        self.assertAlmostEqual(total["shift"]["estimate"] / peak, 0.03, delta=0.02)
        self.assertLessEqual(total["shift"]["low"], total["shift"]["estimate"])
        self.assertGreater(total["shift"]["low"], 0)
        [site] = [site for site in diff["sites"] if site["metrics"]["peak_bytes"]["verdict"] == "grew"]
        self.assertTrue(any("load_extra" in name for name in functions(site)), functions(site))
        self.assertEqual(site["status"], "added")
        finished = run([HEAPLEDGER, "diff", "--base", *base, "--new", *new])
        self.assertRegex(finished.stdout.decode(), r"peak grew by \d+ KiB \(\+[23]\.\d %\): 96 % interval")
        self.assertLessEqual(max(map(len, finished.stdout.decode().splitlines())), 100)
        limited = run([HEAPLEDGER, "diff", "--base", *base, "--new", *new, "--max", "peak_bytes=+1%"])
        self.assertEqual(limited.status, 1, limited.explain())
        same = run([HEAPLEDGER, "diff", "--base", *base[:4], "--new", *self.threaded("again", 4), "--max", "peak_bytes=+0%"])
        self.assertEqual(same.status, 0, same.explain())

    def test_three_noisy_runs_are_said_to_be_too_few(self):
        base, new = self.threaded("base", 3), self.threaded("new", 3, 4 << 20)
        diff = self.diff(base, new)
        self.assertEqual(diff["totals"]["peak_bytes"]["verdict"], "undecided")
        self.assertFalse(diff["runs"]["enough"])
        self.assertAlmostEqual(diff["runs"]["smallest_p"], 0.1)
        text = run([HEAPLEDGER, "diff", "--base", *base, "--new", *new]).stdout.decode()
        self.assertIn("with 3 and 3 runs p cannot get below 0.10", " ".join(text.split()))
        # A limit is not excused by that.
        limited = run([HEAPLEDGER, "diff", "--base", *base, "--new", *new, "--max", "peak_bytes=+5%"])
        self.assertEqual(limited.status, 1, limited.explain())
        self.assertIn(b"too few to tell it from noise", limited.stderr)

    def test_runs_that_agree_are_exact(self):
        def python(prefix, count):
            return self.runs(prefix, 2, PYTHON, "-S", "-c", f"x = [0] * {count}",
                             env=harness.clean_environment(PYTHONHASHSEED="0"))
        same = self.diff(python("a", 1000), python("b", 1000))
        for name in TOTALS:
            self.assertEqual((same["totals"][name]["verdict"], same["totals"][name]["exact"]), ("same", True), name)
        more = self.diff(python("c", 1000), python("d", 1001))["totals"]["bytes_requested"]
        self.assertEqual((more["verdict"], more["exact"], more["delta"]), ("grew", True, 8))

    def test_one_run_may_stand_on_a_side(self):
        trace = self.record(program("exact_counts")).trace
        diff = self.diff([trace], [trace, trace])
        self.assertEqual(diff["totals"]["allocation_calls"]["verdict"], "same")
        self.assertEqual([len(diff["runs"][side]) for side in ("base", "new")], [1, 2])

    def test_wrong_usage(self):
        trace = self.record(program("exact_counts")).trace
        for wrong in (("--base", trace), ("--new", trace), (trace, trace, "--base", trace, "--new", trace)):
            self.assertEqual(run([HEAPLEDGER, "diff", *wrong]).status, 2, wrong)


if __name__ == "__main__":
    harness.main()
