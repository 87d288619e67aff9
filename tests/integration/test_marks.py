"""Marks: moments that the program itself names by the public C interface, which costs nothing when nobody listens."""
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import analyze, dump_lines, program, run, sites_through

ROUNDS, ROUND_BLOCKS, KEPT_BYTES, PASSING_BYTES = 6, 50, 333, 100


class Marks(harness.TestCase):
    # Executables that are not position-independent resolve weak symbols in another way.
    PROGRAMS = ("marks", "marks_fixed_address", "marks_cxx")

    def blocks_at(self, trace, moment):
        live = analyze("live", f"{trace}@mark:{moment}")
        own = sites_through(live, "keep") + sites_through(live, "keep()")
        return sum(site["blocks"] for site in own), sum(site["bytes"] for site in own), live

    def test_the_live_heap_at_a_mark_is_exact(self):
        for name in self.PROGRAMS:
            recorded = self.record(program(name), ROUNDS, name=f"{name}.hlt")
            self.assertEqual(recorded.stdout, b"recorded\n", recorded.explain())
            before = self.blocks_at(recorded.trace, "begin")
            self.assertEqual(before[0], 0)
            for done in range(ROUNDS):
                blocks, size, live = self.blocks_at(recorded.trace, f"round {done}")
                self.assertEqual((blocks, size), (done + 1, (done + 1) * KEPT_BYTES))
                self.assertEqual(live["blocks"] - before[2]["blocks"], done + 1)
            blocks, _, live = self.blocks_at(recorded.trace, "in the middle of round 1")
            self.assertEqual(blocks, 2)
            self.assertEqual(live["blocks"] - before[2]["blocks"], 2 + ROUND_BLOCKS)
            self.assertEqual(live["bytes"] - before[2]["bytes"], 2 * KEPT_BYTES + ROUND_BLOCKS * PASSING_BYTES)

    def test_each_mark_is_an_event_with_its_name(self):
        recorded = self.record(program("marks"), ROUNDS)
        marks = [line for line in dump_lines(recorded.trace) if b" kind=mark " in line]
        self.assertEqual(len(marks), ROUNDS + 3)
        self.assertIn(b'name="in the middle of round 1"', marks[2])

    def test_an_unknown_mark_is_refused_with_the_names_there_are(self):
        recorded = self.record(program("marks"), 1)
        finished = run([harness.HEAPLEDGER, "live", f"{recorded.trace}@mark:lunch"])
        self.assertEqual(finished.status, 2, finished.explain())
        self.assertIn(b"begin", finished.stderr)

    def test_without_a_recorder_the_program_runs_as_ever(self):
        for name in self.PROGRAMS:
            alone = run([program(name), ROUNDS])
            self.assertEqual((alone.status, alone.stdout), (0, b"alone\n"), name)


if __name__ == "__main__":
    harness.main()
