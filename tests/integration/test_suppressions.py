"""Leaks that somebody already knows of: rules from files of both dialects and from the program, their hits, wrong rules."""
import xml.etree.ElementTree as ElementTree

import harness
from harness import HEAPLEDGER, analyze, program, run

VALGRIND = """{
   stacks as Valgrind writes them
   Memcheck:Leak
   match-leak-kinds: definite
   fun:malloc
   ...
   fun:lost_by_stack_rule
   fun:main
}
{
   not about leaks
   Memcheck:Cond
   fun:main
}
"""


class Suppressions(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.recorded = self.record(program("known_leaks"))
        self.leak_file = self.scratch / "lsan.supp"
        self.leak_file.write_text("# known\nleak:lost_by_file_rule\nleak:never_there\n")
        self.stack_file = self.scratch / "valgrind.supp"
        self.stack_file.write_text(VALGRIND)

    def leaks(self, *options):
        answer = analyze("leaks", self.recorded.trace, "--no-growth", *options)
        self.assertTrue(answer["scanned"], answer["reason"])
        hits = {hit["rule"]: (hit["blocks"], hit["bytes"], hit["source"]) for hit in answer["suppressions"]
                if hit["source"] != "built-in"}
        return answer["definite"], hits

    def test_rules_of_all_kinds_add_up(self):
        definite, hits = self.leaks("--no-program-suppressions")
        self.assertEqual((definite, hits), ({"bytes": 10000, "blocks": 40}, {}))
        definite, hits = self.leaks()
        source = f"{program('known_leaks')} (__lsan_default_suppressions):2"
        of_program = {"leak:^lost_by_program_rule$": (10, 1000, source)}
        self.assertEqual((definite, hits), ({"bytes": 9000, "blocks": 30}, of_program))
        definite, hits = self.leaks("--suppressions", self.leak_file, "--suppressions", self.stack_file)
        self.assertEqual(definite, {"bytes": 4000, "blocks": 10})
        self.assertEqual(hits, of_program | {
            "leak:lost_by_file_rule": (10, 2000, f"{self.leak_file}:2"),
            "stacks as Valgrind writes them": (10, 3000, f"{self.stack_file}:1")})

    def test_limits_count_what_is_left_and_name_its_place(self):
        rules = ("--suppressions", self.leak_file, "--suppressions", self.stack_file)
        junit = self.scratch / "results.xml"
        finished = run([HEAPLEDGER, "leaks", self.recorded.trace, *rules, "--max", "definite.bytes=3999", "--junit", junit,
                        "--github"])
        self.assertEqual(finished.status, 1, finished.explain())
        cases = {case.get("classname"): case for case in ElementTree.fromstring(junit.read_bytes()).iter("testcase")}
        self.assertEqual(set(cases), {"heapledger.limits", "heapledger.leaks"})
        place = cases["heapledger.leaks"]
        self.assertTrue(place.get("file").endswith("programs/known_leaks.c"), place.attrib)
        self.assertEqual(place.find("failure").get("message"), "4,000 bytes in 10 blocks, definite")
        self.assertIn("lost_without_rule", place.find("failure").text)
        self.assertRegex(finished.stdout.decode(),
                         r"(?m)^::error file=\S*programs/known_leaks\.c,line=\d+,title=heapledger%3A definite%3A \w+")
        self.leak_file.write_text("leak:lost_\n")
        finished = run([HEAPLEDGER, "leaks", self.recorded.trace, "--suppressions", self.leak_file,
                        "--max", "definite.bytes=0", "--junit", junit])
        self.assertEqual(finished.status, 0, finished.explain())

    def test_a_wrong_rule_is_wrong_usage(self):
        for text, why in (("leak:fine\nlost_by_file_rule\n", ":2: a suppression reads leak:PATTERN, not 'lost_by_file_rule'"),
                          ("{\nname\nMemcheck:Leak\nfunc:main\n}\n", ":4: a frame is '...', fun:FUNCTION"),
                          (None, "No such file or directory")):
            path = self.scratch / "wrong.supp"
            path.unlink(missing_ok=True)
            if text is not None:
                path.write_text(text)
            finished = run([HEAPLEDGER, "leaks", self.recorded.trace, "--suppressions", path])
            self.assertEqual(finished.status, 2, finished.explain())
            self.assertIn(str(path), finished.stderr.decode())
            self.assertIn(why, finished.stderr.decode())


if __name__ == "__main__":
    harness.main()
