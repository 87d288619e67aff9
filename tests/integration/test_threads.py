"""Threads: exact counts with thousands of short-lived ones, order across threads, small stacks, the loader's lock."""
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import analyze, dump_lines, program, sites_through, total
from naive_replay import replay


class Threads(harness.TestCase):
    def test_thousands_of_threads_come_and_go(self):
        threads = 1600 * harness.SCALE
        recorded = self.record(program("thread_churn"), str(threads), timeout=200)
        info = self.assert_nothing_lost(recorded.trace)
        _, allocations, frees, size = recorded.stdout.split()
        report = recorded.report()
        own = sites_through(report, "counted_malloc")
        self.assertEqual(total(own, "allocation_calls"), int(allocations))
        self.assertEqual(total(own, "bytes_requested"), int(size))
        self.assertEqual(total(own, "exit_blocks"), int(allocations) - int(frees))
        self.assertEqual(info["threads"], threads + 1)
        # 20 rounds, one at its end, one left to main; and one in the destructor of the key.
        self.assertEqual(total(sites_through(report, "at_thread_exit"), "allocation_calls"), threads)

    def test_hundreds_at_once_and_destructors_that_allocate(self):
        waves, at_once = 4 * harness.SCALE, 500
        recorded = self.assert_same_output([program("many_threads"), str(waves), str(at_once)], timeout=200)
        info = self.assert_nothing_lost(recorded.trace)
        _, allocations, frees, size = recorded.stdout.splitlines()[1].split()
        self.assertEqual(info["threads"], waves * at_once + 1)
        report = recorded.report()
        own = sites_through(report, "counted_malloc")
        self.assertEqual(total(own, "allocation_calls"), int(allocations))
        self.assertEqual(total(own, "bytes_requested"), int(size))
        self.assertEqual(total(own, "exit_blocks"), int(allocations) - int(frees))
        # Three rounds of the key's destructor, one of the object's.
        in_rounds = [site for site in own if site["bytes_requested"] == 41 * site["allocation_calls"]]
        self.assertEqual(total(in_rounds, "allocation_calls"), 3 * waves * at_once)
        in_object = [site for site in own if site["bytes_requested"] == 43 * site["allocation_calls"]]
        self.assertEqual(total(in_object, "allocation_calls"), waves * at_once)
        # Waiting side by side counts once, against the budget after which events are dropped.
        self.assertLessEqual(info["waits"]["ns"], info["duration_ns"])

    def test_no_free_of_an_unknown_address_and_no_double_allocation(self):
        recorded = self.record(program("thread_churn"), "400")
        naive = replay(line.decode() for line in dump_lines(recorded.trace)).result()
        self.assertEqual((naive["unknown_frees"], naive["double_allocations"]), ([], []))

    def test_stacks_of_sixteen_kibibytes_still_start(self):
        recorded = self.assert_same_output([program("small_stacks")])
        self.assertEqual(recorded.stdout.count(b"started"), 4)
        self.assert_nothing_lost(recorded.trace)

    def test_nothing_hangs_when_everything_takes_the_loaders_lock(self):
        recorded = self.record(program("loader_storm"), harness.PROGRAMS / "reused_first.so",
                               str(1000 * harness.SCALE), timeout=60 + 10 * harness.SCALE)
        self.assertEqual(recorded.stdout, b"finished\n")
        self.assert_nothing_lost(recorded.trace)
        naive = replay(line.decode() for line in dump_lines(recorded.trace)).result()
        self.assertEqual((naive["unknown_frees"], naive["double_allocations"]), ([], []))
        self.assertEqual(analyze("report", recorded.trace)["totals"]["allocation_calls"], naive["allocation_calls"])


if __name__ == "__main__":
    harness.main()
