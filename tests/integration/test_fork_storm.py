"""Forks, vforks and spawns while other threads allocate: no deadlock, no disturbed parent, every child's own trace."""
import re
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import analyze, program, sites_through, total


def counts_of(output, label):
    """allocations, frees and bytes of a line that print_counts() of counting.h wrote."""
    return tuple(map(int, re.search(label.encode() + rb" (\d+) (\d+) (\d+)\n", output).groups()))


def recorded_counts(trace, function="counted_malloc"):
    report = analyze("report", trace)
    own = sites_through(report, function)
    calls = total(own, "allocation_calls")
    return calls, calls - total(own, "exit_blocks"), total(own, "bytes_requested")


class ForkStorm(harness.TestCase):
    def test_forks_while_threads_allocate(self):
        forks = 50 * harness.SCALE
        recorded = self.record(program("fork_storm"), str(forks), "3", timeout=100 + forks)
        self.assertIn(b"forks %d\n" % forks, recorded.stdout)
        self.assert_nothing_lost(recorded.trace)
        self.assertEqual(recorded_counts(recorded.trace), counts_of(recorded.stdout, "parent"))
        children = recorded.children()
        self.assertEqual(len(children), forks)
        # Pids may wrap round; the order of the forks is that of the children's starts.
        infos = sorted(((self.assert_nothing_lost(trace), trace) for trace in children),
                       key=lambda pair: pair[0]["started_realtime_ns"])
        parent = recorded.info()
        for i, (info, trace) in enumerate(infos):
            self.assertEqual(info["parent_uuid"], parent["uuid"])
            self.assertEqual((info["ended"]["how"], info["ended"]["code"]), ("exited", i % 100), trace)
            blocks = 10 + i % 7 * 2
            threads = 2 if i % 5 == 0 else 1
            self.assertEqual(info["threads"], threads, trace)
            self.assertEqual(recorded_counts(trace, "allocate_in_child"),
                             (blocks * threads, blocks * threads // 2, 77 * blocks * threads), trace)

    def test_children_that_borrow_memory_leave_their_parent_as_it_was(self):
        rounds = 6 * harness.SCALE
        recorded = self.record(program("borrowed_memory"), str(rounds), timeout=100 + rounds)
        self.assertIn(b"children %d failed %d\n" % (6 * rounds, rounds), recorded.stdout)
        info = self.assert_nothing_lost(recorded.trace)
        self.assertEqual((info["ended"]["how"], info["ended"]["code"]), ("exited", 0))
        self.assertEqual(info["threads"], 2, "a borrower counts as its parent's thread")
        # What a vfork child does before it execs is recorded as its parent's, in whose memory it happens.
        self.assertEqual(recorded_counts(recorded.trace), counts_of(recorded.stdout, "parent"))
        report = recorded.report()
        self.assertEqual(total(sites_through(report, "allocate_in_borrower"), "allocation_calls"), 4 * 3 * rounds)
        images = [trace for trace in recorded.children() if analyze("info", trace)["command"].endswith(" image")]
        self.assertEqual(len(images), 3 * rounds)
        for trace in images:
            self.assertEqual(self.assert_nothing_lost(trace)["ended"]["code"], 7, trace)
            self.assertEqual(recorded_counts(trace), (33, 33, 33 * 66), trace)


if __name__ == "__main__":
    harness.main()
