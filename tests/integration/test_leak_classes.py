"""Lost or kept: the class of every block of programs/leak_cases.cpp, beside what Valgrind and LeakSanitizer say.

The three are asked about one program. Where they differ, the difference stands here with its reason (and in
docs/leaks.md, "Compared with Valgrind and LeakSanitizer").
"""
import re
import xml.etree.ElementTree
from collections import Counter

from harness import PROGRAMS, TestCase, analyze, clean_environment, functions, main, program, require, run

DEFINITE, INDIRECT, POSSIBLE, REACHABLE = "definite", "indirect", "possible", "reachable"

# Of each function of the program: its blocks by class.
EXPECTED = {
    "nine_1_start": {REACHABLE: 1},
    "nine_2_start_start": {REACHABLE: 2},
    "nine_3_nothing": {DEFINITE: 1},
    "nine_4_lost_start": {DEFINITE: 1, INDIRECT: 1},
    "nine_5_interior": {POSSIBLE: 1},
    "nine_6_start_interior": {REACHABLE: 1, POSSIBLE: 1},
    "nine_7_interior_start": {POSSIBLE: 2},
    "nine_8_interior_interior": {POSSIBLE: 2},
    "nine_9_lost_interior": {DEFINITE: 1, INDIRECT: 1},
    "lost_cycle": {DEFINITE: 1, INDIRECT: 2},
    "lost_cycle_with_tail": {DEFINITE: 1, INDIRECT: 3},
    "lost_way_into_cycle": {DEFINITE: 1, INDIRECT: 2},
    "lost_tree": {DEFINITE: 1, INDIRECT: 6},
    "lost_two_parents": {DEFINITE: 2, INDIRECT: 1},
    "lost_points_to_itself": {DEFINITE: 1},
    "lost_empty": {DEFINITE: 1},
    "kept_cycle": {REACHABLE: 2},
    "kept_empty": {REACHABLE: 1},
    "kept_fiber_stack": {REACHABLE: 1},
    "middle_of_string": {REACHABLE: 1},
    "middle_of_length64": {REACHABLE: 1},
    "middle_of_new_array": {REACHABLE: 1},
    "middle_of_two_bases": {REACHABLE: 1},
    "at_odd_address": {DEFINITE: 1},
    "in_register": {REACHABLE: 1},
    "on_live_stack": {REACHABLE: 1},
    "on_dead_stack": {DEFINITE: 1},
    "in_own_thread_local": {REACHABLE: 1},
    "in_live_thread_local": {REACHABLE: 1},
    "in_dead_thread_local": {DEFINITE: 1},
    "in_library_thread_local": {REACHABLE: 1},
    "in_library_live_thread_local": {REACHABLE: 1},
    "in_first_key": {REACHABLE: 1},
    "in_late_key": {REACHABLE: 1},
    "in_mapping": {REACHABLE: 1},
    "in_shared_mapping": {REACHABLE: 1},
    "in_fiber_on_heap": {REACHABLE: 1},
    "in_fiber_on_mapping": {REACHABLE: 1},
    "behind_requested_bytes": {REACHABLE: 1, DEFINITE: 1},
    "in_freed_block": {DEFINITE: 1},
}

VALGRIND_CLASSES = {"Leak_DefinitelyLost": DEFINITE, "Leak_IndirectlyLost": INDIRECT,
                    "Leak_PossiblyLost": POSSIBLE, "Leak_StillReachable": REACHABLE}


def is_loader(path):
    return path is not None and "/ld-linux" in path


def case_of(names):
    """The function of the program that stands in the stack; None: none."""
    return next((name for name in names if name in EXPECTED), None)


def classes(leaks):
    """Of each function of the program, its blocks by class. What the loader allocated meanwhile does not count."""
    found = {}
    for site in leaks["sites"]:
        case = case_of(functions(site))
        if case is not None and not is_loader(site["frames"][0]["module"]):
            found.setdefault(case, Counter())[site["class"]] += site["blocks"]
    return {case: dict(counts) for case, counts in found.items()}


class LeakClasses(TestCase):
    def leaks(self, *options, name="t.hlt"):
        recorded = self.record(program("leak_cases"), options=options, name=name)
        self.assertEqual(recorded.stdout, b"done\n")
        leaks = analyze("leaks", recorded.trace)
        self.assertTrue(leaks["scanned"], leaks["reason"])
        return leaks

    def assert_classes(self, found, expected):
        for case in sorted(expected):
            self.assertEqual(found.get(case), expected[case], case)
        self.assertEqual(sorted(found), sorted(expected))

    def test_every_case(self):
        self.assert_same_output([program("leak_cases")], name="same.hlt")
        leaks = self.leaks()
        self.assert_classes(classes(leaks), EXPECTED)
        self.assertEqual(leaks["scan"]["way"], "stopped")
        self.assertEqual(leaks["scan"]["cause"], "exit")
        self.assertEqual(leaks["scan"]["threads"], 5)
        self.assertEqual(leaks["scan"]["threads_inside"], 0)
        # Classes and totals are of the same blocks.
        for kind in (DEFINITE, INDIRECT, POSSIBLE, REACHABLE):
            for what in ("blocks", "bytes"):
                self.assertEqual(leaks[kind][what],
                                 sum(site[what] for site in leaks["sites"] if site["class"] == kind))

    @require("strace")
    def test_a_copy_is_scanned_where_ptrace_is_refused(self):
        """strace traces the program, so nobody else may. What the copy lacks is the registers of other threads."""
        recorded = self.record("strace", "-qq", "-o", "/dev/null", program("leak_cases"), options=["--leaks", "all"])
        self.assertEqual(recorded.stdout, b"done\n")
        [trace] = [path for path in recorded.children() if any(
            scan["way"] == "copy" for scan in analyze("leaks", path)["scans"])]
        leaks = analyze("leaks", trace)
        self.assertTrue(leaks["scanned"], leaks["reason"])
        self.assert_classes(classes(leaks), {**EXPECTED, "in_register": {DEFINITE: 1}})
        self.assertEqual(leaks["scan"]["threads"], 5)
        self.assertEqual([path.name for path in self.scratch.iterdir() if ".copy" in path.name], [])

    @require("valgrind")
    def test_as_valgrind_says(self):
        out = self.scratch / "valgrind.xml"
        finished = run(["valgrind", "--leak-check=full", "--show-leak-kinds=all", "--num-callers=40", "--xml=yes",
                        f"--xml-file={out}", program("leak_cases")], timeout=300)
        self.assertEqual(finished.stdout, b"done\n", finished.explain())
        found = {}
        for error in xml.etree.ElementTree.parse(out).getroot().iter("error"):
            kind = VALGRIND_CLASSES.get(error.findtext("kind"))
            if kind is None:
                continue
            frames = list(error.find("stack").iter("frame"))
            case = case_of([frame.findtext("fn") for frame in frames])
            # The first frame is Valgrind's malloc.
            if case is not None and not any(is_loader(frame.findtext("obj")) for frame in frames[:3]):
                found.setdefault(case, Counter())[kind] += int(error.findtext("xwhat/leakedblocks"))
        self.assert_classes({case: dict(counts) for case, counts in found.items()}, EXPECTED)

    def test_as_leaksanitizer_says(self):
        """It knows lost and not lost. Any pointer into a block keeps it, and mappings of the program keep nothing."""
        if not (PROGRAMS / "leak_cases_lsan").exists():
            self.skipTest("the compiler has no -fsanitize=leak")
        finished = run([program("leak_cases_lsan")], timeout=120, env=clean_environment(
            LSAN_OPTIONS="exitcode=0:fast_unwind_on_malloc=0:malloc_context_size=40"))
        self.assertEqual(finished.stdout, b"done\n", finished.explain())
        reported = {}
        for entry in re.split(rb"\n\n", finished.stderr):
            head = re.search(rb"(Direct|Indirect) leak of \d+ byte\(s\) in (\d+) object", entry)
            names = [name.decode() for name in re.findall(rb"#\d+ 0x\w+ in (\w+)", entry)]
            if head and case_of(names):
                reported[case_of(names)] = reported.get(case_of(names), 0) + int(head.group(2))
        leaks = self.leaks("--leak-options", "mappings=0")
        lost = {case: counts.get(DEFINITE, 0) + counts.get(INDIRECT, 0) for case, counts in classes(leaks).items()}
        lost = {case: blocks for case, blocks in lost.items() if blocks}
        self.assertEqual(reported, {**lost, **LEAKSANITIZER_DIFFERS})

    def test_what_does_not_count_keeps_nothing(self):
        """Without a kind of roots, what was kept from there alone is lost, and nothing else changes."""
        for option, cases in {
                "use_registers=0": ["in_register"],
                "use_stacks=0": ["on_live_stack"],
                "use_tls=0": ["in_own_thread_local", "in_live_thread_local", "in_first_key"],
                "mappings=0": ["in_mapping", "in_shared_mapping", "in_fiber_on_mapping"],
        }.items():
            with self.subTest(option):
                found = classes(self.leaks("--leak-options", option, name=option + ".hlt"))
                changed = {case: {DEFINITE: 1} for case in cases}
                if option == "use_tls=0":
                    changed["in_late_key"] = {INDIRECT: 1}  # lost with libc's block of late keys
                self.assert_classes(found, {**EXPECTED, **changed})

    def test_first_bytes_of_an_example(self):
        """Only where they were asked for when recording. The block points to itself: so its own address is there."""
        def example(*options):
            leaks = analyze("leaks", self.record(program("leak_cases"), options=options, name="c.hlt").trace,
                            options=["--contents"])
            return next(site["example"] for site in leaks["sites"] if case_of(functions(site)) == "lost_points_to_itself")
        kept = example("--leak-options", "contents=1")
        contents = bytes.fromhex(kept["contents"])
        self.assertEqual(len(contents), min(64, kept["bytes"]))
        self.assertEqual(int.from_bytes(contents[:8], "little"), kept["address"])
        self.assertEqual(example()["contents"], "")

    def test_pointers_at_any_byte(self):
        found = classes(self.leaks("--leak-options", "use_unaligned=1"))
        self.assertEqual(found["at_odd_address"], {REACHABLE: 1})

    def test_pointers_into_the_middle(self):
        """Without the rescues they are what they are."""
        found = classes(self.leaks("--leak-options", "heuristics=0"))
        changed = {case: {POSSIBLE: 1} for case in EXPECTED if case.startswith("middle_")}
        self.assert_classes(found, {**EXPECTED, **changed})


# Lost blocks by function, where LeakSanitizer says something else under the same toggles.
LEAKSANITIZER_DIFFERS = {
}

if __name__ == "__main__":
    main()
