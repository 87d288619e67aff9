"""Allocator libraries with an operator new of their own: each C++ block is seen once, and nothing else changes."""
import re
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import BUILD, analyze, clean_environment, functions, program, run, sites_through, total

OPERATORS = BUILD / "lib" / "libheapledger-new.so"
LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
TCMALLOC, JEMALLOC, MIMALLOC = (LIBRARIES / name for name in
                                ("libtcmalloc_minimal.so.4", "libjemalloc.so.2", "libmimalloc.so.2.0"))

# function: (calls, bytes requested); the numbers of programs/operator_new.cpp. All is freed but what is left behind.
KNOWN = {
    "use_new": (1000, 1000 * 24),
    "use_new_array": (900, 900 * 40),
    "use_sized": (800, 800 * 56),
    "use_sized_array": (700, 700 * 72),
    "use_nothrow": (600, 600 * 88),
    "use_nothrow_array": (500, 500 * 104),
    "use_aligned": (400, 400 * 64),
    "use_aligned_array": (300, 300 * 192),
    "use_aligned_unsized": (200, 200 * 256),
    "use_aligned_nothrow": (100, 100 * 256),
    "use_aligned_nothrow_array": (90, 90 * 256),
    "leave_behind": (7, 7 * 111),
}
FAILURES = b"std::bad_alloc after 3 calls of the handler\nstd::bad_alloc, aligned\nnothing\nthrown by the handler\n"


def needs(library):
    return unittest.skipUnless(library.exists(), f"not installed: {library.name} (scripts/setup.sh installs it)")



class OperatorNew(harness.TestCase):
    def assert_known_numbers(self, report, known=None):
        self.assertEqual((report["unknown_frees"], report["missed_frees"], report["lost"]["events"]), (0, 0, 0))
        for function, (calls, size) in (known or KNOWN).items():
            with self.subTest(function):
                sites = sites_through(report, function)
                self.assertEqual(total(sites, "allocation_calls"), calls)
                self.assertEqual(total(sites, "bytes_requested"), size)
                self.assertEqual(total(sites, "exit_blocks"), calls if function == "leave_behind" else 0)
        in_threads = [site for site in report["sites"] if site["bytes_requested"] % 33 == 0 and
                      any("use_in_threads" in name for name in functions(site))]
        self.assertEqual(sum(site["allocation_calls"] for site in in_threads), 4 * 250)
        self.assertEqual(total(in_threads, "exit_blocks"), 0)
        self.assertEqual(sites_through(report, "delete_null"), [])

    def record_with(self, library, *arguments, **named):
        recorded = self.record(program("operator_new"), *arguments, env=clean_environment(LD_PRELOAD=library), **named)
        self.assert_nothing_lost(recorded.trace)
        return recorded

    def assert_innermost_is_the_caller(self, report, *known):
        for function in known:
            for site in sites_through(report, function):
                self.assertEqual(functions(site)[0], function, "the caller of operator new, nothing of the allocator")

    def test_plain_program_is_recorded_as_if_the_library_did_not_exist(self):
        without = self.record(program("operator_new"), name="without.hlt")
        self.assertEqual(without.stdout, FAILURES)
        self.assert_known_numbers(without.report())
        # Forced upon it behind the shim, the second library steps aside: libstdc++'s operators are a layer over malloc.
        forced = self.record_with(OPERATORS)
        self.assertEqual(forced.stdout, FAILURES)
        with_library, plain = forced.report(), without.report()
        self.assert_known_numbers(with_library)
        self.assertEqual(with_library["totals"], plain["totals"])
        self.assertEqual(with_library["at_exit"], plain["at_exit"])
        self.assertEqual({tuple(functions(site)) for site in with_library["sites"]},
                         {tuple(functions(site)) for site in plain["sites"]})

    @needs(TCMALLOC)
    def test_tcmalloc(self):
        recorded = self.record_with(TCMALLOC)
        self.assertEqual(recorded.stdout, FAILURES)
        self.assert_known_numbers(recorded.report())
        self.assert_innermost_is_the_caller(recorded.report(), *KNOWN)

    @needs(TCMALLOC)
    def test_program_linked_with_tcmalloc(self):
        linked = harness.PROGRAMS / "operator_new_linked"
        self.assertTrue(linked.exists(), "tcmalloc was installed after the build was configured")
        recorded = self.record(linked)
        self.assertEqual(recorded.stdout, FAILURES)
        self.assert_known_numbers(recorded.report())

    @needs(JEMALLOC)
    def test_jemalloc_whose_delete_calls_free(self):
        recorded = self.record_with(JEMALLOC)
        self.assertEqual(recorded.stdout, FAILURES)
        self.assert_known_numbers(recorded.report())
        self.assert_innermost_is_the_caller(recorded.report(), "use_new", "use_sized_array", "use_nothrow")

    @needs(MIMALLOC)
    def test_mimalloc(self):
        # Debian's is compiled as C: where others throw, it aborts the program.
        recorded = self.record_with(MIMALLOC, "no-failure")
        self.assert_known_numbers(recorded.report())
        self.assert_innermost_is_the_caller(recorded.report(), "use_new", "use_sized_array", "use_nothrow")

    def test_an_arena_that_knows_nothing_of_malloc(self):
        recorded = self.record_with(harness.PROGRAMS / "liboperator_arena.so", "no-failure")
        report = recorded.report()
        # It has no aligned and nothrow operators: those of libstdc++ are used, the latter of which call its plain ones.
        self.assert_known_numbers(report)
        self.assert_innermost_is_the_caller(report, "use_new", "use_sized", "leave_behind")

    def test_a_layer_over_malloc_counts_once_with_its_headers(self):
        recorded = self.record_with(harness.PROGRAMS / "liboperator_layer.so", "no-failure")
        with_headers = {function: (calls, size + 16 * calls if "aligned" not in function else size)
                        for function, (calls, size) in KNOWN.items()}
        report = recorded.report()
        for function, (calls, size) in with_headers.items():
            with self.subTest(function):
                sites = sites_through(report, function)
                self.assertEqual((total(sites, "allocation_calls"), total(sites, "bytes_requested")), (calls, size))
        self.assertEqual((report["unknown_frees"], report["missed_frees"]), (0, 0))
        # Forced upon it, the library sees the same.
        forced = self.record(program("operator_new"), "no-failure", name="forced.hlt", env=clean_environment(
            LD_PRELOAD=f"{OPERATORS}:{harness.PROGRAMS / 'liboperator_layer.so'}")).report()
        self.assertEqual(forced["totals"], report["totals"])

    @needs(TCMALLOC)
    def test_children_inherit_what_was_decided_for_the_root(self):
        recorded = self.record("/bin/sh", "-c", f"{program('operator_new')}; exit 3", status=3,
                               env=clean_environment(LD_PRELOAD=TCMALLOC))
        traces = [trace for trace in recorded.children() if analyze("info", trace)["command"].endswith("operator_new")]
        self.assertEqual(len(traces), 1)
        self.assert_known_numbers(analyze("report", traces[0]))

    @needs(TCMALLOC)
    def test_is_preloaded_for_nobody_else(self):
        environment = clean_environment()
        show = ["/bin/sh", "-c", "echo $LD_PRELOAD"]
        self.assertNotIn(b"heapledger-new", self.record(*show, env=environment).stdout)
        environment["LD_PRELOAD"] = str(TCMALLOC)
        words = self.record(*show, env=environment, name="with.hlt").stdout.decode().strip().split(":")
        self.assertEqual([Path(word).name for word in words],
                         ["libheapledger.so", "libheapledger-new.so", TCMALLOC.name])

    def test_without_the_shim_it_only_passes_on(self):
        alone = run([program("operator_new")], env=clean_environment(LD_PRELOAD=OPERATORS))
        self.assertEqual((alone.status, alone.stdout), (0, FAILURES), alone.explain())


class OperatorLibraryBinary(unittest.TestCase):
    def readelf(self, *options):
        return subprocess.run(["readelf", "-W", *options, str(OPERATORS)], capture_output=True, text=True, check=True).stdout

    def test_needs_libc_alone_and_old_symbols(self):
        self.assertLessEqual(set(re.findall(r"\(NEEDED\).*\[(.*)\]", self.readelf("-d"))), {"libc.so.6"})
        versions = {tuple(map(int, version.split("."))) for version in
                    re.findall(r"GLIBC_(\d+(?:\.\d+)+)", self.readelf("-V"))}
        self.assertLessEqual(max(versions, default=(0,)), (2, 17), sorted(versions))

    def test_exports_every_operator_and_nothing_else(self):
        rows = [line.split() for line in self.readelf("--dyn-syms").splitlines()]
        exported = {words[7] for words in rows if len(words) >= 8 and words[4] in ("GLOBAL", "WEAK") and words[6] != "UND"}
        tails = {"", "RKSt9nothrow_t", "St11align_val_t", "St11align_val_tRKSt9nothrow_t"}
        news = {f"_Zn{kind}m{tail}" for kind in "wa" for tail in tails}
        deletes = {f"_Zd{kind}Pv{tail}" for kind in "la" for tail in tails | {"m", "mSt11align_val_t"}}
        self.assertEqual(exported, news | deletes)


if __name__ == "__main__":
    harness.main()
