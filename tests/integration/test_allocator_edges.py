"""The edges of the allocators' contract: failures, wild sizes, blocks never seen, blocks freed by other threads, and
allocators that stand in front of ours. The program sees what it would see alone; the numbers are exact."""
import os
import sys
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import SCALE, SHIM, clean_environment, program, run, sites_through, total
from test_operator_new import JEMALLOC, MIMALLOC, TCMALLOC, needs

GIB = 1 << 30


class Edges(harness.TestCase):
    def record_edges(self, *arguments, **named):
        recorded = self.assert_same_output([program("allocator_edges"), *arguments], **named)
        self.assertEqual(recorded.status, 0, recorded.explain())
        self.assert_nothing_lost(recorded.trace)
        return recorded.report()

    def assert_totals(self, report, allocation_calls, free_calls, bytes_requested, peak):
        self.assertEqual({key: report["totals"][key] for key in ("allocation_calls", "free_calls", "bytes_requested")},
                         {"allocation_calls": allocation_calls, "free_calls": free_calls,
                          "bytes_requested": bytes_requested})
        self.assertEqual(report["peak"]["bytes"], peak)

    def test_sizes_near_all_of_memory_fail_as_they_would_alone(self):
        report = self.record_edges("sizes")
        self.assert_totals(report, 1, 1, 100, 100)

    def test_failures_for_want_of_address_space_free_nothing(self):
        report = self.record_edges("limited")
        self.assert_totals(report, 3, 3, 100 + (1 << 20) + 50, 100 + (1 << 20))
        self.assertEqual((report["unknown_frees"], report["missed_frees"]), (0, 0))

    def test_usable_sizes_are_the_allocators(self):
        self.record_edges("usable")

    def test_a_trillion_bytes_in_few_events(self):
        command = [program("allocator_edges"), "terabyte"]
        if run(command).status == 77:
            self.skipTest("this machine does not promise a terabyte")
        report = self.record_edges("terabyte")
        # A realloc holds the old block until it returns; but its bytes are counted once.
        self.assert_totals(report, 1010, 10, 1020 * GIB, 1010 * GIB)
        self.assertEqual(report["at_exit"], {"bytes": 1010 * GIB, "blocks": 1000})
        text = run([harness.HEAPLEDGER, "report", self.scratch / "t.hlt"])
        self.assertIn(b"The live heap peaked at 1010 GiB", text.stdout)

    def test_blocks_that_came_or_went_past_us_are_counted_as_such(self):
        report = self.record_edges("unseen")
        same, = [int(line) for line in run([program("allocator_edges"), "unseen"]).stdout.split()]
        self.assertEqual(report["totals"]["allocation_calls"], 100)
        self.assertEqual(report["unknown_frees"], 50)
        self.assertEqual(report["missed_frees"], 50 + 49, "each address was allocated twice in turn, 50 times")
        self.assertEqual(same, 50)

    def test_blocks_freed_by_other_threads_keep_their_order(self):
        # Enough that a plain counter before frees (stamps taken early) showed a few blocks in the wrong order each time.
        blocks = 1500000 * SCALE
        report = self.record_edges("handover", str(blocks), timeout=600)
        self.assertEqual((report["unknown_frees"], report["missed_frees"]), (0, 0))
        self.assertGreaterEqual(report["totals"]["allocation_calls"], blocks)
        # Beside those of the four threads and stdio-free main: what libc keeps for its threads.
        self.assertLessEqual(report["at_exit"]["blocks"], 8)

    def test_an_allocator_inside_the_program_is_warned_of(self):
        recorded = self.assert_same_output([program("static_allocator")])
        warnings = [line for line in recorded.stderr.splitlines() if b"warning" in line]
        self.assertEqual(len(warnings), 1, recorded.explain())
        self.assertRegex(warnings[0], rb"static_allocator has an allocator of its own \(it defines malloc\): .* invisible$")
        self.assertEqual(recorded.report()["totals"]["allocation_calls"], 0)
        info = self.assert_nothing_lost(recorded.trace)
        self.assertEqual(info["heap"], "static")
        self.assertEqual(info["unrecorded_heaps"], [{"module": program("static_allocator"), "how": "defines_malloc"}])
        text = run([harness.HEAPLEDGER, "info", recorded.trace]).stdout
        self.assertIn(b"static_allocator brings an allocator of its own", b" ".join(text.split()))
        plain = self.record(program("allocator_edges"), "usable", name="plain.hlt")
        self.assertNotIn(b"warning", plain.stderr)
        self.assertEqual(plain.info()["unrecorded_heaps"], [])
        self.assertEqual(plain.info()["heap"], "glibc")

    def test_an_allocator_inside_a_child_process_is_told_by_its_trace(self):
        recorded = self.record("/bin/sh", "-c", f"{program('static_allocator')}; :")
        child, = recorded.children()
        for trace, heaps in ((recorded.trace, []),
                             (child, [{"module": program("static_allocator"), "how": "defines_malloc"}])):
            self.assertEqual(self.assert_nothing_lost(trace)["unrecorded_heaps"], heaps)

    @needs(JEMALLOC)
    def test_an_allocator_preloaded_before_ours_is_told(self):
        environment = clean_environment(HEAPLEDGER_DIR=self.scratch, LD_PRELOAD=f"{JEMALLOC}:{SHIM}")
        self.assertEqual(run([program("allocator_edges"), "usable"], env=environment).status, 0)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not [
                trace for trace in self.scratch.glob("heapledger-*/*.hlt") if b"complete" in
                run([harness.HEAPLEDGER, "info", trace]).stdout]:
            time.sleep(0.05)
        trace, = self.scratch.glob("heapledger-*/*.hlt")
        info = harness.analyze("info", trace)
        self.assertEqual(info["heap"], "jemalloc")
        self.assertEqual([(os.path.realpath(heap["module"]), heap["how"]) for heap in info["unrecorded_heaps"]],
                         [(os.path.realpath(JEMALLOC), "defines_malloc")])

    def library_in_front_of_ours(self, library):
        """Without the supervisor: the allocator's malloc is found first, ours is never called."""
        environment = clean_environment(HEAPLEDGER_DIR=self.scratch)
        command = [program("allocator_edges"), "usable"]
        alone = run(command, env={**environment, "LD_PRELOAD": str(library)})
        both = run(command, env={**environment, "LD_PRELOAD": f"{library}:{SHIM}"})
        self.assertEqual((both.status, both.stdout, both.stderr), (alone.status, alone.stdout, alone.stderr))
        behind = self.record(*command, env={**environment, "LD_PRELOAD": str(library)})
        self.assertEqual(behind.stdout, alone.stdout)
        self.assert_nothing_lost(behind.trace)
        report = behind.report()
        self.assertEqual((report["unknown_frees"], report["missed_frees"]), (0, 0))
        rounds = len(alone.stdout.split()) // 2 - 1
        # The libraries allocate at their start, too.
        self.assertEqual(total(sites_through(report, "usable"), "allocation_calls"), 2 * rounds)
        self.assertIn(report["totals"]["free_calls"] - 2 * rounds, range(4), "theirs, and each of ours once")

    @needs(JEMALLOC)
    def test_jemalloc_in_front_and_behind(self):
        self.library_in_front_of_ours(JEMALLOC)

    @needs(TCMALLOC)
    def test_tcmalloc_in_front_and_behind(self):
        self.library_in_front_of_ours(TCMALLOC)

    @needs(MIMALLOC)
    def test_mimalloc_in_front_and_behind(self):
        self.library_in_front_of_ours(MIMALLOC)


if __name__ == "__main__":
    harness.main()
