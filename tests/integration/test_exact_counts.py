"""Known numbers of calls, bytes, peak and stacks, exactly: programs that count for themselves, and Valgrind."""
import re
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import analyze, functions, program, run, sites_through, total

# function: (allocation calls, bytes requested, blocks at exit); the numbers of programs/exact_counts.c
KNOWN = {
    "use_malloc": (1000, 1000 * 100, 0),
    "use_calloc": (50, 50 * 7 * 13, 0),
    "use_realloc": (10 * 5, 10 * (16 + 160 + 1600 + 300000 + 8), 0),
    "use_reallocarray": (20 * 2, 20 * (3 * 11 + 5 * 11), 0),
    "use_memalign": (5, 5 * 256, 0),
    "use_posix_memalign": (5, 5 * 256, 0),
    "use_aligned_alloc": (5, 5 * 256, 0),
    "use_valloc": (5, 5 * 256, 0),
    "use_pvalloc": (5, 5 * 256, 0),
    "use_malloc_of_zero": (3, 0, 0),
    "fail": (1, 24, 0),
    "make_peak": (64, 64 * 1000000, 0),
    "leave_behind": (11, 11 * 111, 11),
}


class ExactCounts(harness.TestCase):
    def test_every_allocation_function_in_known_numbers(self):
        recorded = self.record(program("exact_counts"))
        self.assertEqual(recorded.stdout, b"")
        self.assert_nothing_lost(recorded.trace)
        report = recorded.report()
        totals = report["totals"]
        self.assertEqual(totals["allocation_calls"], sum(calls for calls, _, _ in KNOWN.values()))
        self.assertEqual(totals["bytes_requested"], sum(size for _, size, _ in KNOWN.values()))
        # All is freed but what leave_behind left.
        self.assertEqual(totals["free_calls"], totals["allocation_calls"] - 11)
        self.assertEqual(report["at_exit"], {"bytes": 11 * 111, "blocks": 11})
        self.assertEqual(report["peak"]["bytes"], 64 * 1000000 + 11 * 111)
        self.assertEqual(report["peak"]["blocks"], 64 + 11)

    def test_every_site_by_name(self):
        report = self.record(program("exact_counts")).report()
        for function, (calls, size, at_exit) in KNOWN.items():
            with self.subTest(function):
                sites = sites_through(report, function)
                self.assertEqual(total(sites, "allocation_calls"), calls)
                self.assertEqual(total(sites, "bytes_requested"), size)
                self.assertEqual(total(sites, "exit_blocks"), at_exit)
                for site in sites:
                    names = functions(site)
                    self.assertEqual(names[0], function, "innermost first: the caller of the allocation function")
                    self.assertIn("main", names)
                    self.assertTrue(site["frames"][0]["file"].endswith("exact_counts.c"), site["frames"][0])
                    self.assertTrue(site["frames"][0]["module"].endswith("exact_counts"), site["frames"][0])
        at_peak = {functions(site)[0]: site["peak_bytes"] for site in report["sites"] if site["peak_bytes"]}
        self.assertEqual(at_peak, {"make_peak": 64 * 1000000, "leave_behind": 11 * 111})

    def test_lines_are_those_of_the_calls(self):
        source = (harness.SOURCE / "tests/integration/programs/exact_counts.c").read_text().splitlines()
        report = self.record(program("exact_counts")).report()
        for function, call in (("use_malloc", "malloc(100)"), ("use_calloc", "calloc(7, 13)"),
                               ("make_peak", "malloc(1000000)"), ("leave_behind", "malloc(111)")):
            line = next(number for number, text in enumerate(source, 1) if call in text)
            self.assertEqual({site["frames"][0]["line"] for site in sites_through(report, function)}, {line}, call)

    def test_usable_sizes_do_not_count_as_requested(self):
        # 11 blocks of 111 bytes use 120 each; live and report speak of requested bytes.
        recorded = self.record(program("exact_counts"))
        live = analyze("live", recorded.trace)
        self.assertEqual((live["bytes"], live["blocks"]), (11 * 111, 11))

    def test_live_at_the_peak_equals_the_peak(self):
        recorded = self.record(program("exact_counts"))
        live = analyze("live", f"{recorded.trace}@peak")
        self.assertEqual((live["bytes"], live["blocks"]), (64 * 1000000 + 11 * 111, 75))

    def test_a_program_that_allocates_nothing(self):
        report = self.record(program("late_cxx"), status=2).report()
        self.assertEqual(report["totals"]["allocation_calls"], 0)
        self.assertEqual(report["peak"]["bytes"], 0)
        self.assertEqual(report["sites"], [])


class ExitOrder(harness.TestCase):
    def test_what_destructors_and_atexit_functions_free_is_not_live_at_exit(self):
        recorded = self.record(program("exit_order"))
        report = recorded.report()
        # libstdc++ keeps its emergency pool; everything else but 123 bytes is freed by the last destructor.
        own = [site for site in report["sites"] if any("exit_order" in (f["module"] or "") for f in site["frames"])]
        self.assertEqual(total(own, "exit_bytes"), 123)
        self.assertEqual(total(own, "allocation_calls"), 5)
        self.assertEqual({name for site in own if site["exit_blocks"] for name in functions(site)[:1]},
                         {"(anonymous namespace)::leave_one_behind()"})


@harness.require("valgrind")
class ValgrindAgrees(harness.TestCase):
    def heap_usage(self, *command):
        # Without the frees that Valgrind itself makes at exit.
        finished = run(["valgrind", "--run-libc-freeres=no", "--run-cxx-freeres=no", *command], timeout=300)
        text = finished.stderr.decode()
        match = re.search(r"total heap usage: ([\d,]+) allocs, ([\d,]+) frees, ([\d,]+) bytes allocated", text)
        self.assertIsNotNone(match, text)
        return [int(number.replace(",", "")) for number in match.groups()]

    def assert_equal_to_valgrind(self, *command, timeout=120):
        recorded = self.record(*command, timeout=timeout)
        self.assert_nothing_lost(recorded.trace)
        totals = recorded.report()["totals"]
        self.assertEqual([totals["allocation_calls"], totals["free_calls"], totals["bytes_requested"]],
                         self.heap_usage(*command))
        return recorded

    def test_random_calls(self):
        recorded = self.assert_equal_to_valgrind(program("random_calls"), "30000")
        totals = recorded.report()["totals"]
        counted = [int(word) for word in recorded.stdout.split()]
        self.assertEqual([totals["allocation_calls"], totals["free_calls"], totals["bytes_requested"]], counted)

    def test_containers_exceptions_and_streams(self):
        self.assert_equal_to_valgrind(program("cxx_program"), "200")

    def test_real_program(self):
        self.assert_equal_to_valgrind("/usr/bin/sqlite3", ":memory:",
                                      "create table t(a, b); with recursive n(i) as (select 1 union all "
                                      "select i + 1 from n where i < 3000) insert into t select i, hex(i * 7919) from n;"
                                      "create index ti on t(b); select count(*), sum(length(b)) from t where b > '3';")


if __name__ == "__main__":
    harness.main()
