"""Stacks: each walk against libunwind's in real programs, both unwinders' reports, and stacks of frees."""
import re
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import PYTHON, clean_environment, functions, program, run, sites_through


class WalksEqualLibunwinds(harness.TestCase):
    def assert_no_walk_differs(self, *command, least_walks, least_share=0.7, **arguments):
        """Records in checking mode: walks of every image must have been compared, and none found different."""
        environment = {**(arguments.pop("env", None) or clean_environment()), "HEAPLEDGER_CHECK_UNWIND": "1"}
        recorded = self.record(*command, env=environment, timeout=500, **arguments)
        walks = 0
        for trace in [recorded.trace, *recorded.children()]:
            info = harness.analyze("info", trace)
            check = info["unwind_check"]
            self.assertEqual(check["differences"], 0, check["text"])
            walks += check["walks"]
            allocations = info["events"]["allocations"] + info["events"]["reallocations"]
            # All but those before libunwind was loaded, and those of handlers that interrupted a walk.
            self.assertGreaterEqual(check["walks"], allocations * least_share)
        self.assertGreaterEqual(walks, least_walks)

    def test_cxx_with_exceptions_and_threads(self):
        self.assert_no_walk_differs(program("cxx_program"), "40", "threads", least_walks=10_000)

    def test_python(self):
        code = "import json, re; print(len(re.sub('[0-4]', 'x', json.dumps([{'k%d' % i: [i]} for i in range(500)]))))"
        self.assert_no_walk_differs(PYTHON, "-S", "-c", code, env=clean_environment(PYTHONMALLOC="malloc"),
                                    least_walks=30_000)

    @harness.require("g++")
    def test_compiler(self):
        source = self.scratch / "small.cpp"
        source.write_text("#include <string>\n#include <vector>\n"
                          "template <int N> int f(int x) { std::vector<int> v(N, x); return v[0] + f<N - 1>(x); }\n"
                          "template <> int f<0>(int x) { return x; }\nint main(int c, char**) { return f<12>(c); }\n")
        self.assert_no_walk_differs("g++", "-std=c++20", "-O1", "-c", str(source), "-o", "/dev/null", least_walks=100_000)

    @harness.require("git")
    def test_git(self):
        environment = clean_environment(HOME=self.scratch, GIT_CONFIG_NOSYSTEM="1")
        for command in ("init -q", "-c user.name=a -c user.email=a@b commit -q --allow-empty -m x"):
            self.assertEqual(run(["git", *command.split()], cwd=self.scratch, env=environment).status, 0)
        for number in range(300):
            (self.scratch / f"file{number}").write_text(str(number))
        self.assert_no_walk_differs("git", "status", "--porcelain", cwd=self.scratch, env=environment, least_walks=500)

    @harness.require("sqlite3")
    def test_sqlite(self):
        self.assert_no_walk_differs("sqlite3", ":memory:", "create table t(a); insert into t values(1),(2);"
                                    "select sum(t.a), group_concat(u.a) from t, t as u, t as v;", least_walks=300)

    def test_handlers_inside_events(self):
        self.assert_no_walk_differs(program("signal_storm"), "4000", least_walks=2_000, least_share=0.1)


class Unwinders(harness.TestCase):
    def test_the_reference_unwinder_gives_the_same_sites(self):
        sites = []
        for unwinder in ("own", "libunwind"):
            recorded = self.record(program("exact_counts"), options=[f"--unwinder={unwinder}"], name=f"{unwinder}.hlt")
            sites.append(sorted((functions(site), site["allocation_calls"], site["bytes_requested"])
                                for site in sites_through(recorded.report(), "main")))
        self.assertEqual(sites[0], sites[1])


class Places(harness.TestCase):
    def test_a_place_that_is_nearly_all_of_it_is_told_apart_by_library_functions(self):
        recorded = self.record(program("library_calls"), "40")
        text = run([harness.HEAPLEDGER, "report", recorded.trace]).stdout.decode()
        peak = text[text.index("Most bytes at the peak"):text.index("Most allocation calls")]
        told = peak[peak.index("of it, by the library function that allocates:"):].splitlines()[1:3]
        self.assertIn("dir", told[0], text)
        self.assertIn("fopen", told[1], text)
        blocks = {word: sum(site["peak_bytes"] for site in recorded.report()["sites"]
                            if any(word in name for name in functions(site))) for word in ("opendir", "fopen")}
        self.assertGreater(blocks["opendir"], 40 * 1000)
        for line, amount in zip(told, blocks.values()):
            self.assertIn("%.3g" % (amount / (1 << 20 if amount >= 1 << 20 else 1 << 10)), line, text)


class FreeStacks(harness.TestCase):
    def dump(self, *options):
        recorded = self.record(program("exact_counts"), options=options)
        finished = run([harness.HEAPLEDGER, "dump", "--kind=free", "--stacks", recorded.trace])
        self.assertEqual(finished.status, 0, finished.explain())
        return finished.stdout.decode()

    def test_each_free_has_the_stack_of_who_freed(self):
        text = self.dump("--free-stacks")
        self.assertEqual(len(re.findall(r"\bkind=free\b.*\bstack=[1-9]", text)), len(re.findall(r"\bkind=free\b", text)))
        self.assertIn("use_malloc", text)
        self.assertNotIn("leave_behind", text, "which frees nothing")

    def test_by_option_only(self):
        self.assertEqual(re.findall(r"\bkind=free\b.*\bstack=[1-9]", self.dump("--no-free-stacks")), [])


if __name__ == "__main__":
    harness.main()
