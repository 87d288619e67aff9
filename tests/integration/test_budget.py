"""Budgets: what fails and how it is told, the patch that accepts it, whose code it is, baselines in place of traces."""
import json
import shutil
import subprocess
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
import junit_schema
import sarif_schema
from harness import HEAPLEDGER, SOURCE, program, require, run

CACHE = 1000000


@require("patch", "git", "g++")
class Budget(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.repository = self.scratch / "repository"
        (self.repository / ".github").mkdir(parents=True)
        (self.repository / ".git").mkdir()
        (self.repository / ".github" / "CODEOWNERS").write_text("* @everyone\n/programs/ @core @me # ours\n")
        (self.repository / "programs").mkdir()
        shutil.copy(SOURCE / "tests" / "integration" / "programs" / "budget_subject.cpp", self.repository / "programs")
        self.trace = self.record(program("budget_subject"), CACHE, name="base.hlt").trace
        self.larger = self.record(program("budget_subject"), CACHE * 11 // 10, name="larger.hlt").trace
        self.smaller = self.record(program("budget_subject"), CACHE // 2, name="smaller.hlt").trace
        self.budget = self.repository / "budget.json"

    def check(self, trace, *options):
        return run([HEAPLEDGER, "check", trace, "--budget", "budget.json", *options], cwd=self.repository)

    def answer(self, trace, *options):
        finished = self.check(trace, "--json", *options)
        self.assertIn(finished.status, (0, 1), finished.explain())
        answer = json.loads(finished.stdout)
        self.assertEqual(answer["passed"], finished.status == 0)
        return answer

    def made(self):
        finished = self.check(self.trace, "--update-budget")
        self.assertEqual(finished.status, 0, finished.explain())
        return json.loads(self.budget.read_text())

    def test_a_first_budget_holds_and_has_totals_places_and_tests(self):
        self.assertEqual(self.check(self.trace).status, 2)  # there is none yet
        budget = self.made()
        self.assertEqual(budget["version"], 1)
        self.assertEqual(budget["metrics"]["definite.bytes"], {"max": 0})
        [site] = budget["sites"]
        self.assertEqual((site["function"], site["file"]), ("app::Cache::fill", "programs/budget_subject.cpp"))
        self.assertEqual(site["metrics"]["peak_bytes"], {"base": CACHE, "tolerance": "2%"})
        self.assertEqual(budget["tests"]["parse"]["allocation_calls"]["base"], 51)  # 50 lines and their vector
        self.assertEqual(budget["tests"]["parse"]["peak_bytes"]["base"], 50 * 1000 + 50 * 8)
        self.assertEqual(budget["tests"]["keep"]["allocation_calls"]["base"], 1)
        self.assertEqual(budget["tests"]["keep"]["peak_bytes"]["base"], 1000)
        self.assertEqual(set(budget["tests"]), {"parse", "keep"})
        held = self.check(self.trace)
        self.assertEqual(held.status, 0, held.explain())
        self.assertTrue(held.stdout.startswith(b"Within budget: "), held.stdout)

    def test_growth_fails_with_place_owner_and_a_patch_that_accepts_it(self):
        self.made()
        finished = self.check(self.larger)
        self.assertEqual(finished.status, 1, finished.explain())
        text = finished.stdout.decode()
        self.assertRegex(text, r"\AOver budget: 2 of \d+ checks\.\n")
        self.assertRegex(text, r"app::Cache::fill +programs/budget_subject\.cpp:\d+ +@core @me")
        self.assertLessEqual(max(map(len, text.splitlines())), 100)
        patch = text[text.index("--- a/budget.json"):]
        before = self.budget.read_text()
        for command in (["patch", "-p1"], ["git", "apply"]):
            self.budget.write_text(before)
            if command[0] == "git":  # a real repository
                shutil.rmtree(self.repository / ".git", ignore_errors=True)
                run(["git", "init", "-q", "."], cwd=self.repository)
            applied = run(command, stdin=patch.encode(), cwd=self.repository)
            self.assertEqual(applied.status, 0, applied.explain())
            self.assertEqual(self.check(self.larger).status, 0, command)
            changed = [line for line in before.splitlines() if line not in self.budget.read_text().splitlines()]
            self.assertEqual(len(changed), 2, changed)  # the total and the place
        by_patch = self.budget.read_text()
        self.budget.write_text(before)
        self.assertEqual(self.check(self.larger, "--update-budget").status, 0)
        self.assertEqual(self.budget.read_text(), by_patch)

    def test_an_improvement_asks_for_a_lower_budget_unless_the_ratchet_is_off(self):
        self.made()
        finished = self.check(self.smaller)
        self.assertEqual(finished.status, 1, finished.explain())
        self.assertIn("lower the budget", " ".join(finished.stdout.decode().split()))
        verdicts = {check["name"]: check["verdict"] for check in self.answer(self.smaller)["checks"]}
        self.assertEqual(verdicts["peak_bytes"], "under")
        self.assertEqual(verdicts["definite.bytes"], "held")
        self.budget.write_text(self.budget.read_text().replace('"ratchet": "5%"', '"ratchet": false'))
        self.assertEqual(self.check(self.smaller).status, 0)
        self.budget.write_text(self.budget.read_text().replace('"ratchet": false', '"ratchet": "5%"'))
        self.assertEqual(self.check(self.smaller, "--update-budget").status, 0)
        self.assertEqual(self.check(self.smaller).status, 0)
        self.assertEqual(self.check(self.trace).status, 1)  # the gain is kept

    def test_new_tests_join_on_update_and_missing_ones_are_told(self):
        self.budget.write_text('{"version": 1, "tests": {"gone": {"peak_bytes": {"max": 5}}}}\n')
        self.assertEqual(self.check(self.trace).status, 2)  # nothing it could check
        self.assertEqual(self.check(self.trace, "--all-tests").status, 1)
        self.assertEqual(self.check(self.trace, "--update-budget").status, 0)
        self.assertEqual(set(json.loads(self.budget.read_text())["tests"]), {"gone", "keep", "parse"})
        self.assertEqual(self.check(self.trace).status, 0)
        self.assertEqual(self.check(self.trace, "--all-tests").status, 1)

    def test_a_baseline_is_small_and_stands_for_its_trace(self):
        self.made()
        baseline = self.scratch / "main.baseline"
        written = run([HEAPLEDGER, "check", self.trace, "--write-baseline", baseline])
        self.assertEqual(written.status, 0, written.explain())
        self.assertLess(baseline.stat().st_size, 300 << 10)
        (self.scratch / "link").symlink_to("/dev/stdout")  # which must not be replaced
        printed = run([HEAPLEDGER, "check", self.trace, "--write-baseline", self.scratch / "link"])
        self.assertEqual(printed.stdout, baseline.read_bytes(), printed.explain())
        diff = harness.analyze("diff", baseline, self.larger)
        self.assertEqual(diff["totals"]["peak_bytes"]["delta"], CACHE // 10)
        self.assertEqual(harness.analyze("diff", baseline, self.trace)["sites"],
                         harness.analyze("diff", self.trace, self.trace)["sites"])
        peak = next(check for check in self.answer(self.larger, "--baseline", baseline)["checks"]
                    if check["name"] == "peak_bytes")
        [place] = peak["places"]  # what grew, not what is large
        self.assertEqual((place["change"], place["owner"], place["file"]),
                         (CACHE // 10, "@core @me", "programs/budget_subject.cpp"))
        # Per-test budgets want the trace itself.
        self.assertEqual(self.check(baseline).status, 2)

    def test_every_output_is_what_its_readers_want(self):
        self.made()
        sarif, junit, markdown = (self.scratch / name for name in ("s.sarif", "j.xml", "m.md"))
        finished = self.check(self.larger, "--sarif", sarif, "--junit", junit, "--markdown", markdown, "--github")
        self.assertEqual(finished.status, 1, finished.explain())
        self.assertRegex(finished.stdout.decode(),
                         r"(?m)^::error file=programs/budget_subject.cpp,line=\d+,title=heapledger%3A peak_bytes::")
        log = json.loads(sarif.read_text())
        sarif_schema.validate(self, log)
        results = log["runs"][0]["results"]
        self.assertEqual([result["ruleId"] for result in results], ["budget/over", "budget/over"])
        self.assertEqual(results[0]["locations"][0]["physicalLocation"]["artifactLocation"],
                         {"uri": "programs/budget_subject.cpp", "uriBaseId": "%SRCROOT%"})
        failed = [name for name, failure in junit_schema.validate(self, junit.read_bytes()).items() if failure is not None]
        self.assertEqual(failed, ["peak_bytes", "app::Cache::fill programs/budget_subject.cpp peak_bytes"])
        text = markdown.read_text()
        self.assertTrue(text.startswith("### heapledger: Over budget: 2 of "), text)
        self.assertIn("| `app::Cache::fill  programs/budget_subject.cpp:", text)
        self.assertIn("@core @me", text)
        self.assertIn("```diff\n--- a/budget.json", text)
        answer = self.answer(self.larger)
        self.assertEqual(answer["failures"], 2)
        documented = (SOURCE / "docs" / "json.md").read_text()
        documented = documented[documented.index("\n## check"):]
        documented = documented[:documented.index("\n## ", 3)]
        over = next(check for check in answer["checks"] if check["verdict"] == "over")
        for key in (*answer, *over, *over["places"][0]):
            self.assertIn(f"`{key}`", documented)

    def test_a_difference_is_told_in_every_form(self):
        sarif, markdown = self.scratch / "d.sarif", self.scratch / "d.md"
        junit = self.scratch / "d.xml"
        finished = run([HEAPLEDGER, "diff", self.trace, self.larger, "--max", "peak_bytes=+2%", "--max",
                        "allocation_calls=+2%", "--sarif", sarif, "--junit", junit, "--markdown", markdown],
                       cwd=self.repository)
        self.assertEqual(finished.status, 1, finished.explain())
        results = junit_schema.validate(self, junit.read_bytes())
        self.assertRegex(results["peak_bytes"], r"peak_bytes went from [\d,]+ B to [\d,]+ B .*, more than \+2%")
        self.assertIsNone(results["allocation_calls"])
        log = json.loads(sarif.read_text())
        sarif_schema.validate(self, log)
        results = log["runs"][0]["results"]
        self.assertEqual([(result["ruleId"], result["level"]) for result in results],
                         [("diff/limit", "error"), ("diff/grew", "note")])
        for result in results:
            self.assertEqual(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
                             "programs/budget_subject.cpp")
        text = markdown.read_text()
        self.assertRegex(text, r"\A### heapledger: 1 of 2 limits exceeded, peak \+97\.7 KiB \(\+\d\.\d %\)\n")
        self.assertRegex(text, r"\| \+97\.7 KiB \| 977 KiB \| 1\.05 MiB \| `app::Cache::fill  programs/budget_subject\.cpp:\d+` "
                               r"\| @core @me \|")
        # No place of the code is to blame for RSS: then it is about the trace.
        finished = run([HEAPLEDGER, "diff", self.trace, "../larger.hlt", "--max", "peak_rss_bytes=1k", "--by",
                        "temporary_allocations", "--sarif", sarif], cwd=self.repository)
        self.assertEqual(finished.status, 1, finished.explain())
        log = json.loads(sarif.read_text())
        sarif_schema.validate(self, log)
        [result] = log["runs"][0]["results"]
        self.assertEqual(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "../larger.hlt")
        same = run([HEAPLEDGER, "diff", self.trace, self.trace, "--sarif", sarif, "--markdown", markdown])
        self.assertEqual(same.status, 0, same.explain())
        self.assertEqual(json.loads(sarif.read_text())["runs"][0]["results"], [])
        self.assertTrue(markdown.read_text().startswith("### heapledger: peak unchanged\n"))

    def test_a_fingerprint_stays_when_lines_and_numbers_change(self):
        def fingerprints(trace, subject):
            sarif = self.scratch / "s.sarif"
            self.assertEqual(self.check(trace, "--sarif", sarif).status, 1, subject)
            log = json.loads(sarif.read_text())
            sarif_schema.validate(self, log)
            return [result["partialFingerprints"] for result in log["runs"][0]["results"]]
        self.made()
        first = fingerprints(self.larger, "first")
        self.assertEqual(len(first), 2)
        # The same program with forty lines on top, in another directory.
        moved = self.scratch / "elsewhere" / "programs"
        moved.mkdir(parents=True)
        text = (self.repository / "programs" / "budget_subject.cpp").read_text()
        (moved / "budget_subject.cpp").write_text("\n" * 40 + text)
        subprocess.run(["g++", "-O2", "-g", "-I", SOURCE / "include", "-o", moved / "subject",
                        moved / "budget_subject.cpp"], check=True)
        self.assertEqual(fingerprints(self.record(moved / "subject", CACHE * 12 // 10, name="m.hlt").trace, "moved"), first)

    def test_tests_over_budget_name_the_places(self):
        self.budget.write_text(json.dumps({"version": 1, "tests": {
            "parse": {"allocation_calls": {"max": 50}, "peak_bytes": {"max": 50000}, "free_calls": {"max": 1}},
            "keep": {"exit_bytes": {"max": 999}, "bytes_requested": {"max": 999}}}}))
        checks = {check["name"]: check for check in self.answer(self.trace)["checks"]}
        places = {name: [(place["function"].split("(")[0], place["file"], place["owner"], place["value"])
                         for place in check["places"]] for name, check in checks.items()}
        ours = ("programs/budget_subject.cpp", "@core @me")
        self.assertEqual(places["parse allocation_calls"], [("app::parse_line", *ours, 50), ("main", *ours, 1)])
        self.assertEqual(places["parse peak_bytes"], [("app::parse_line", *ours, 50000), ("main", *ours, 400)])
        self.assertEqual(places["keep exit_bytes"], [("app::parse_line", *ours, 1000)])
        self.assertEqual(places["keep bytes_requested"], [("app::parse_line", *ours, 1000)])
        self.assertEqual(places["parse free_calls"], [])  # frees need not carry stacks

    def test_every_number_of_metrics_may_have_a_budget(self):
        metrics = harness.analyze("metrics", self.trace)["metrics"]
        known = {name: value for name, value in metrics.items() if value is not None}
        self.assertGreater(len(known), 60)
        self.assertIn("ledger.unknown_bytes", known)
        self.assertIn("stranded_2m_bytes", known)
        self.budget.write_text(json.dumps({"version": 1, "metrics": {name: {"max": value} for name, value in known.items()}}))
        answer = self.answer(self.trace)
        self.assertTrue(answer["passed"], [check["message"] for check in answer["checks"] if not check["passed"]])
        self.assertEqual({check["name"]: check["value"] for check in answer["checks"]}, known)
        over = [name for name in ("longest_realloc_chain", "stranded_bytes", "duration", "peak_rss") if known[name] != 0]
        self.budget.write_text(json.dumps({"version": 1, "metrics": {name: {"max": known[name] - 1} for name in over}}))
        self.assertEqual(self.answer(self.trace)["failures"], len(over))
        # What a saved profile cannot tell is said.
        baseline = self.scratch / "main.baseline"
        self.assertEqual(run([HEAPLEDGER, "check", self.trace, "--write-baseline", baseline]).status, 0)
        refused = self.check(baseline)
        self.assertEqual(refused.status, 2)
        self.assertIn(b"the trace alone tells duration, a saved profile does not", refused.stderr)

    def test_what_is_wrong_with_a_budget_is_said_exactly(self):
        for text, message in (("{\n", "budget.json: line 2, column 1: syntax error"),
                              ('{"version": 1,\n "metrics": {"peak": {"max": 1}}}',
                               "budget.json: line 2, column 22, at /metrics/peak: there is no such metric; `heapledger metrics` lists"),
                              ('{"version": 1, "sites": [{"function": "f", "metrics": {"peak_rss_bytes": {"max": 1}}}]}',
                               "at /sites/0/metrics/peak_rss_bytes: there is no such metric of sites"),
                              ('{"version": 1, "tests": {"parse": {"peak_rss": {"max": 1}}}}',
                               "at /tests/parse/peak_rss: there is no such metric of tests; they have allocation_calls")):
            self.budget.write_text(text)
            finished = self.check(self.trace)
            self.assertEqual(finished.status, 2, finished.explain())
            self.assertIn(message, finished.stderr.decode())
        self.budget.write_text('{"version": 1, "metrics": {"peak_bytes": {"max": "1G"}}}')
        self.assertEqual(self.check(self.scratch / "none.hlt").status, 3)
        self.assertEqual(run([HEAPLEDGER, "check", self.trace]).status, 2)


if __name__ == "__main__":
    harness.main()
