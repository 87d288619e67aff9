"""The analyzer's replay against an independent naive one over the text of `dump`: totals, peak, order of events."""
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import program, dump_lines
from naive_replay import replay


class ReplayOracle(harness.TestCase):
    def assert_replays_agree(self, recorded):
        """Totals, peak and end equal; no event breaks the rules of a correct record."""
        naive = replay(line.decode() for line in dump_lines(recorded.trace)).result()
        report = recorded.report()
        totals = report["totals"]
        self.assertEqual(naive["unknown_frees"], [])
        self.assertEqual(naive["double_allocations"], [])
        self.assertEqual(naive["time_went_back"], 0)
        for key in ("allocation_calls", "free_calls", "bytes_requested"):
            self.assertEqual(totals[key], naive[key], key)
        self.assertEqual(report["peak"]["bytes"], naive["peak_bytes"])
        self.assertEqual(report["peak"]["blocks"], naive["peak_blocks"])
        self.assertEqual(report["at_exit"], {"bytes": naive["exit_bytes"], "blocks": naive["exit_blocks"]})
        return naive

    def test_one_thread(self):
        self.assert_replays_agree(self.record(program("random_calls"), str(50000 * harness.SCALE)))

    def test_blocks_that_wander_between_threads(self):
        recorded = self.record(program("random_calls"), str(40000 * harness.SCALE), "4")
        naive = self.assert_replays_agree(recorded)
        allocations, frees, size = (int(word) for word in recorded.stdout.split())
        # Each thread's own stack and TLS are mapped, but its dtv is calloc'ed by libc: counted on top of the program's.
        self.assertGreaterEqual(naive["allocation_calls"], allocations)
        self.assertLessEqual(naive["allocation_calls"], allocations + 3)
        self.assertGreaterEqual(naive["free_calls"], frees)
        self.assertGreaterEqual(naive["bytes_requested"], size)

    def test_cxx_with_threads(self):
        self.assert_replays_agree(self.record(program("cxx_program"), "100", "threads"))

    def test_real_program(self):
        environment = harness.clean_environment(PYTHONMALLOC="malloc", PYTHONHASHSEED="0")
        self.assert_replays_agree(self.record(
            harness.PYTHON, "-S", "-c", "import json; print(len(json.dumps([{'a': i, 'b': [i] * 3} for i in range(2000)])))",
            env=environment))

    def test_live_set_at_moments_equals_a_naive_prefix(self):
        recorded = self.record(program("random_calls"), "5000")
        lines = [line.decode() for line in dump_lines(recorded.trace)]
        end = replay(lines)
        for share in (0.25, 0.5, 0.75):
            moment_ns = int(end.last_time * share)
            prefix = replay(line for line in lines if naive_time(line) <= moment_ns)
            live = harness.analyze("live", f"{recorded.trace}@+{moment_ns}ns")
            self.assertEqual((live["bytes"], live["blocks"]), (prefix.live_bytes, len(prefix.live)), share)


def naive_time(line):
    from naive_replay import fields_of
    return fields_of(line).get("time", 0)


if __name__ == "__main__":
    harness.main()
