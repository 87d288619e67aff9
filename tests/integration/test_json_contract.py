"""The keys of each verb's JSON are a contract: other tools read them. Keys may be added, never renamed or dropped."""
import json
import re
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import HEAPLEDGER, analyze, program, run

NUMBER, TEXT, TRUTH = (int, float), str, bool
FRAME = {"function": TEXT, "file": (str, type(None)), "line": (int, type(None)), "module": (str, type(None)),
         "inlined": TRUTH}
SITE = {"allocation_calls": NUMBER, "bytes_requested": NUMBER, "peak_bytes": NUMBER, "exit_bytes": NUMBER,
        "exit_blocks": NUMBER, "frames": [FRAME]}
INFO = {"format_version": int, "uuid": TEXT, "complete": TRUTH, "recovered": TRUTH, "running": TRUTH, "pid": int,
        "command": (str, list),
        "events": {"allocations": int, "frees": int, "reallocations": int, "maps": int, "unmaps": int},
        "lost": {"events": int, "by_cause": dict}, "threads": int, "stacks": int, "bytes_per_event": NUMBER,
        "duration_ns": int}
REPORT = {"totals": {"allocation_calls": int, "free_calls": int, "bytes_requested": int},
          "peak": {"bytes": int, "blocks": int, "time_ns": int}, "at_exit": {"bytes": int, "blocks": int},
          "temporary_allocations": int, "sites": [SITE]}
LIVE = {"bytes": int, "blocks": int, "sites": [{"frames": [FRAME]}]}
DELTA = {"base": NUMBER, "new": NUMBER, "delta": NUMBER}
DIFF = {"totals": {"allocation_calls": DELTA, "bytes_requested": DELTA, "peak_bytes": DELTA, "exit_bytes": DELTA},
        "sites": [{"status": TEXT, "match": (str, type(None)), "metrics": {"peak_bytes": DELTA}, "frames": [FRAME]}],
        "unmatched": {"base_bytes": int, "new_bytes": int}, "site_counts": dict, "by": TEXT,
        "base": {"uuid": TEXT, "moment": TEXT, "units": int}, "new": {"uuid": TEXT}}
SHIFT = {**DELTA, "verdict": TEXT, "exact": TRUTH, "base_runs": {"median": NUMBER, "low": NUMBER, "high": NUMBER},
         "new_runs": {"median": NUMBER, "low": NUMBER, "high": NUMBER},
         "shift": {"estimate": NUMBER, "low": NUMBER, "high": NUMBER, "confidence": NUMBER},
         "p": (int, float, type(None)), "q": (int, float, type(None))}
MANY_RUNS = {**DIFF, "totals": {"allocation_calls": SHIFT, "bytes_requested": SHIFT, "peak_bytes": SHIFT, "exit_bytes": SHIFT},
             "sites": [{"status": TEXT, "match": (str, type(None)), "metrics": {"peak_bytes": SHIFT}, "frames": [FRAME]}],
             "runs": {"base": [TEXT], "new": [TEXT], "smallest_p": NUMBER, "enough": TRUTH, "told_site_metrics": int}}

SAMPLE = {"time_ns": int, "rss": int, "pss": int, "private_dirty": int, "private_clean": int, "shared": int, "swap": int,
          "categories": {"heap": {"rss": int, "pss": int, "private_dirty": int}}}
MAP = {"samples": [SAMPLE], "sample": int, "samples_left_out": int,
       "app_summary": {"java_heap": int, "native_heap": int, "code": int, "stack": int, "graphics": int,
                       "private_other": int, "system": int, "total_pss": int},
       "apple": {"dirty": int, "clean": int, "swapped": int, "footprint": int},
       "regions": [{"start": int, "end": int, "size": int, "kind": TEXT, "category": TEXT, "evidence": TEXT, "rss": int}],
       "mapping_sites": [{"frames": [FRAME]}], "usage": [{"time_ns": int}], "oom": {"badness": int}}


def differences(value, shape, path="$"):
    """What of a shape a JSON value lacks, as a list of sentences."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f"{path} is no object"]
        found = []
        for key, inner in shape.items():
            found += differences(value[key], inner, f"{path}.{key}") if key in value else [f"{path}.{key} is missing"]
        return found
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{path} is no array"]
        return [problem for index, item in enumerate(value) for problem in differences(item, shape[0], f"{path}[{index}]")]
    if shape is not TRUTH and isinstance(value, bool):
        return [f"{path} is a truth value"]
    return [] if isinstance(value, shape) else [f"{path} is {value!r}"]


class JsonContract(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.recorded = self.record(program("exact_counts"))

    def assert_shape(self, value, shape):
        self.assertEqual(differences(value, shape)[:10], [])

    def test_map(self):
        self.assert_shape(analyze("map", self.recorded.trace), MAP)

    def test_info(self):
        info = analyze("info", self.recorded.trace)
        self.assert_shape(info, INFO)
        self.assertEqual(info["format_version"], 1)
        self.assertTrue(info["complete"])
        self.assertFalse(info["running"])
        self.assertFalse(info["recovered"])
        self.assertIn("exact_counts", str(info["command"]))
        self.assertRegex(info["uuid"], r"^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$")
        # malloc and its kin; realloc counts apart, whether it made a block or moved one
        self.assertEqual(info["events"]["reallocations"] + info["events"]["allocations"], 1244)
        self.assertEqual(info["threads"], 1)

    def test_report(self):
        report = self.recorded.report()
        self.assert_shape(report, REPORT)
        totals = report["totals"]
        for key in ("allocation_calls", "bytes_requested"):
            self.assertEqual(sum(site[key] for site in report["sites"]), totals[key], "sites add up to totals")
        self.assertEqual(sum(site["peak_bytes"] for site in report["sites"]), report["peak"]["bytes"])
        self.assertEqual(sum(site["exit_bytes"] for site in report["sites"]), report["at_exit"]["bytes"])
        self.assertEqual(sum(site["exit_blocks"] for site in report["sites"]), report["at_exit"]["blocks"])

    def test_live(self):
        self.assert_shape(analyze("live", self.recorded.trace), LIVE)

    def test_diff(self):
        trace = self.recorded.trace
        diff = analyze("diff", trace, trace)
        self.assert_shape(diff, DIFF)
        self.assertEqual(diff["totals"]["allocation_calls"], {"base": 1244, "new": 1244, "delta": 0})
        self.assertEqual({site["status"] for site in diff["sites"]}, {"same"})
        text = run([HEAPLEDGER, "diff", trace, trace]).stdout.decode()
        self.assertLessEqual(max(len(line) for line in text.splitlines()), 100)

    def test_diff_of_several_runs(self):
        trace = self.recorded.trace
        other = self.record(program("random_calls"), "1000", name="other.hlt").trace
        diff = analyze("diff", "--base", trace, trace, "--new", trace, other)
        self.assert_shape(diff, MANY_RUNS)
        with_nulls = [metric for site in diff["sites"] for metric in site["metrics"].values()]
        self.assertEqual({key for metric in with_nulls for key in metric}, set(SHIFT))
        self.assert_documented(diff, "diff", ("base", "new"))
        self.assert_documented(analyze("diff", trace, other), "diff", ("base", "new"))

    def assert_documented(self, answer, section, free):
        """Every key of an answer is in its section of docs/json.md. Names of metrics and tiers are keys as well."""
        text = (harness.SOURCE / "docs" / "json.md").read_text()
        text = text[text.index(f"\n## {section}\n"):]
        text = text[:text.index("\n## ", 4)] + "`function` `file` `line` `module` `inlined` `guessed` `marker`"
        words = set(re.findall(r"[a-z_.]+", " ".join(re.findall(r"`[^`]+`", text))))

        def keys(value):
            if isinstance(value, dict):
                for key, inner in value.items():
                    yield key
                    yield from keys(inner)
            elif isinstance(value, list):
                for inner in value[:50]:
                    yield from keys(inner)
        self.assertEqual({key for key in keys(answer)} - words - set(free), set())

    def test_metrics_can_be_limits(self):
        finished = run([HEAPLEDGER, "metrics", self.recorded.trace])
        self.assertEqual(finished.status, 0, finished.explain())
        values = dict(re.findall(r"^(\S+)[\s=:]+(\d+)", finished.stdout.decode(), re.MULTILINE))
        self.assertIn("1244", values.values())
        name = next(name for name, value in values.items() if value == "1244")
        for limit, status in ((1243, 1), (1244, 0)):
            finished = run([HEAPLEDGER, "report", self.recorded.trace, "--max", f"{name}={limit}"])
            self.assertEqual(finished.status, status, finished.explain())
        self.assertEqual(run([HEAPLEDGER, "report", self.recorded.trace, "--max", "no.such.metric=1"]).status, 2)

    def test_dump_is_text_one_event_a_line(self):
        lines = harness.dump_lines(self.recorded.trace)
        info = analyze("info", self.recorded.trace)
        heap = [line for line in lines if re.search(rb"\bkind=(malloc|calloc|aligned|realloc)\b", line)]
        self.assertEqual(len(heap), info["events"]["allocations"] + info["events"]["reallocations"])

    def test_text_fits_a_hundred_columns(self):
        for verb in ("info", "report", "live", "map"):
            text = run([HEAPLEDGER, verb, self.recorded.trace]).stdout.decode()
            self.assertGreater(len(text), 100, verb)
            self.assertLessEqual(max(len(line) for line in text.splitlines()), 100, verb)

    def test_run_directory_and_newest_run(self):
        environment = harness.clean_environment(HEAPLEDGER_DIR=self.scratch / "runs")
        (self.scratch / "runs").mkdir()
        for count in ("1000", "2000"):
            finished = run([HEAPLEDGER, "record", "--", program("random_calls"), count], env=environment)
            self.assertEqual(finished.status, 0, finished.explain())
            allocations = int(finished.stdout.split()[0])
            directory = max((self.scratch / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
            for command in ([HEAPLEDGER, "report", "--json", directory], [HEAPLEDGER, "report", "--json"]):
                answer = run(command, cwd=self.scratch / "runs", env=environment)
                self.assertEqual(answer.status, 0, answer.explain())
                self.assertEqual(json.loads(answer.stdout)["totals"]["allocation_calls"], allocations, command)


if __name__ == "__main__":
    harness.main()
