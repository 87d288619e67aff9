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
