"""Signal handlers that allocate, jump and fork in the middle of the recording of an event: nothing is lost or garbled."""
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import analyze, dump_lines, program, sites_through, total
from naive_replay import replay


def counted(stdout, label):
    """The allocations, frees and bytes of the line that a counting program printed under a label."""
    for line in stdout.decode().splitlines():
        words = line.split()
        if words[0] == label:
            return [int(word) for word in words[1:]]
    raise AssertionError(f"no line {label} in {stdout!r}")


class Signals(harness.TestCase):
    def test_a_storm_of_allocating_handlers_loses_no_event(self):
        recorded = self.record(program("signal_storm"), str(200000 * harness.SCALE), timeout=300)
        self.assert_nothing_lost(recorded.trace)
        allocations, frees, size = counted(recorded.stdout, "storm")
        handlers, = counted(recorded.stdout, "handlers")
        self.assertGreater(handlers, 1000, "the storm was none")
        report = recorded.report()
        loop = sites_through(report, "allocate_in_loop")
        handler = sites_through(report, "allocate_in_handler")
        self.assertEqual(total(handler, "allocation_calls"), 2 * handlers)
        self.assertEqual(total(loop, "allocation_calls") + total(handler, "allocation_calls")
                         - total([s for s in loop if s in handler], "allocation_calls"), allocations)
        naive = replay(line.decode() for line in dump_lines(recorded.trace)).result()
        self.assertEqual((naive["unknown_frees"], naive["double_allocations"]), ([], []))
        own_threads_blocks = naive["allocation_calls"] - allocations
        self.assertIn(own_threads_blocks, range(0, 4), "libc's own for the second thread")
        self.assertEqual(naive["free_calls"], frees)
        self.assertGreaterEqual(naive["bytes_requested"], size)

    def test_a_handler_that_jumps_out_leaves_recording_intact(self):
        recorded = self.record(program("longjmp_out"), str(3000 * harness.SCALE))
        allocations, _, size = counted(recorded.stdout, "after")
        sites = sites_through(recorded.report(), "allocate_afterwards")
        self.assertEqual(total(sites, "allocation_calls"), allocations)
        self.assertEqual(total(sites, "bytes_requested"), size)

    def test_a_handler_that_forks_leaves_the_parents_record_intact(self):
        forks = 60 * harness.SCALE
        recorded = self.record(program("fork_in_handler"), str(forks), timeout=200)
        allocations, frees, size = counted(recorded.stdout, "parent")
        self.assert_nothing_lost(recorded.trace)
        naive = replay(line.decode() for line in dump_lines(recorded.trace)).result()
        self.assertEqual([naive["allocation_calls"], naive["free_calls"], naive["bytes_requested"]],
                         [allocations, frees, size])
        self.assertEqual((naive["unknown_frees"], naive["double_allocations"]), ([], []))
        self.assertEqual(total(sites_through(recorded.report(), "allocate_in_child"), "allocation_calls"), 0)
        children = recorded.children()
        self.assertEqual(len(children), forks)
        for child in children:
            sites = sites_through(analyze("report", child), "allocate_in_child")
            self.assertEqual(total(sites, "bytes_requested"), 3 * 1234, child.name)

    def test_a_vfork_child_killed_inside_an_event_leaves_its_parent_recording(self):
        recorded = self.record(program("vfork_killed"), str(100 * harness.SCALE), timeout=200)
        allocations, _, size = counted(recorded.stdout, "parent")
        sites = sites_through(recorded.report(), "allocate_in_parent")
        self.assertEqual(total(sites, "allocation_calls"), allocations)
        self.assertEqual(total(sites, "bytes_requested"), size)


if __name__ == "__main__":
    harness.main()
