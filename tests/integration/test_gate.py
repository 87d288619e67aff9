"""Limits as a gate: exit codes, JUnit files that a strict parser loads, GitHub's annotations where they belong."""
import json
import xml.etree.ElementTree as ElementTree  # expat: refuses what is not well-formed

import harness
import junit_schema
import sarif_schema
from harness import HEAPLEDGER, program, run


class Gate(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.recorded = self.record(program("random_calls"), "1000")
        metrics = run([HEAPLEDGER, "metrics", self.recorded.trace, "--json"])
        self.assertEqual(metrics.status, 0, metrics.explain())
        self.values = json.loads(metrics.stdout)["metrics"]
        self.junit = self.scratch / "results.xml"

    def gate(self, verb, *arguments):
        return run([HEAPLEDGER, verb, self.recorded.trace, *arguments])

    def results(self):
        root = ElementTree.fromstring(self.junit.read_bytes())
        self.assertEqual(root.tag, "testsuites")
        (suite,) = root
        cases = suite.findall("testcase")
        failed = [case for case in cases if case.find("failure") is not None]
        for element in (root, suite):
            self.assertEqual(element.get("tests"), str(len(cases)))
            self.assertEqual(element.get("failures"), str(len(failed)))
        junit_schema.validate(self, self.junit.read_bytes())
        return {case.get("name"): case.find("failure") for case in cases}

    def test_every_verb_with_limits_writes_what_came_of_them(self):
        calls, peak = self.values["allocation_calls"], self.values["peak_bytes"]
        for verb in ("report", "live", "metrics", "leaks"):
            finished = self.gate(verb, "--max", f"allocation_calls={calls}", "--max", f"peak_bytes={peak - 1}",
                                 "--junit", self.junit, "--github")
            self.assertEqual(finished.status, 1, finished.explain())
            results = self.results()
            self.assertEqual(set(results), {"allocation_calls", "peak_bytes"}, verb)
            self.assertIsNone(results["allocation_calls"])
            message = f"peak_bytes is {peak:,}, more than {peak - 1:,}"
            self.assertEqual(results["peak_bytes"].get("message"), message)
            self.assertEqual([line for line in finished.stdout.decode().splitlines() if line.startswith("::")],
                             [f"::error title=heapledger%3A peak_bytes::{message}"])
            self.assertEqual(finished.stderr.decode(), f"heapledger: limit exceeded: {message}\n")
            passed = self.gate(verb, "--max", f"peak_bytes={peak}", "--junit", self.junit, "--github")
            self.assertEqual(passed.status, 0, passed.explain())
            self.assertEqual(self.results(), {"peak_bytes": None})
            self.assertNotIn(b"::error", passed.stdout)

    def test_json_stays_one_object(self):
        finished = self.gate("report", "--json", "--max", "allocation_calls=0", "--github")
        self.assertEqual(finished.status, 1, finished.explain())
        self.assertEqual(json.loads(finished.stdout)["totals"]["allocation_calls"], self.values["allocation_calls"])
        self.assertIn(b"::error title=heapledger%3A allocation_calls::", finished.stderr)

    def test_annotations_only_when_asked_for(self):
        environment = harness.clean_environment(GITHUB_ACTIONS="true")
        finished = run([HEAPLEDGER, "report", self.recorded.trace, "--max", "allocation_calls=0"], env=environment)
        self.assertEqual(finished.status, 1, finished.explain())
        self.assertNotIn(b"::error", finished.stdout + finished.stderr)

    def test_a_gate_that_checks_nothing_is_wrong_usage(self):
        for option in (("--junit", self.junit), ("--github",)):
            for verb in ("report", "metrics", "leaks"):
                finished = self.gate(verb, *option)
                self.assertEqual(finished.status, 2, finished.explain())
                self.assertIn(b"there is no --max", finished.stderr)
        self.assertFalse(self.junit.exists())

    def test_a_file_that_cannot_be_written_is_said(self):
        finished = self.gate("report", "--max", "allocation_calls=1T", "--junit", self.scratch / "none" / "x.xml")
        self.assertEqual(finished.status, 2, finished.explain())
        self.assertIn(b"none/x.xml: No such file or directory", finished.stderr)


class Readers(harness.TestCase):
    """What judges the other tests' files refuses files that are wrong."""

    LOG = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [{"tool": {"driver": {"name": "x", "rules": [
        {"id": "r", "shortDescription": {"text": "S."}, "fullDescription": {"text": "S."}, "help": {"text": "H."}}]}},
        "results": [{"ruleId": "r", "ruleIndex": 0, "level": "note", "message": {"text": "A."},
                     "partialFingerprints": {"k/v1": "1"},
                     "locations": [{"physicalLocation": {"artifactLocation": {"uri": "a.c", "uriBaseId": "%SRCROOT%"}}}]}]}]}

    def test_sarif(self):
        sarif_schema.validate(self, self.LOG)
        for path, value in ((("version",), "2.0"), (("other",), 1), (("runs", 0, "results", 0, "level"), "bad"),
                            (("runs", 0, "results", 0, "message"), "text"), (("runs", 0, "tool"), {}),
                            (("runs", 0, "results", 0, "locations", 0, "physicalLocation", "region"), {"startLine": 0})):
            log = json.loads(json.dumps(self.LOG))
            place = log
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value
            self.assertEqual(len(sarif_schema.schema_problems(log)), 1, path)
        log = json.loads(json.dumps(self.LOG))
        del log["runs"][0]["tool"]["driver"]["rules"][0]["help"]  # code scanning wants it, the standard does not
        self.assertEqual([rule for rule, _ in sarif_schema.multitool_errors(log)], ["GH2012"])

    def test_junit(self):
        suite = '<testsuites><testsuite name="s" tests="1" failures="0"><testcase %s>%s</testcase></testsuite></testsuites>'
        self.assertEqual(junit_schema.validate(self, suite % ('name="a"', "")), {"a": None})
        for attributes, inner in (("", ""), ('name="a" other="1"', ""), ('name="a"', "<failed/>"),
                                  ('name="a"', "<system-out/><failure/>")):
            self.assertNotEqual(junit_schema.schema_problems(suite % (attributes, inner)), "", (attributes, inner))


if __name__ == "__main__":
    harness.main()
