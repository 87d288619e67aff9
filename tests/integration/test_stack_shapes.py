"""Stacks of every shape, from exceptions to fibers: frame by frame as the program made them, and equal to libunwind's.

Each program allocates a known number of blocks of known sizes; the sites of a size are compared with the chains of
functions that must have led there, and the checking mode compares every walk of the same run.
"""
import re
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import SCALE, analyze, clean_environment, program

IN_MAIN = ("main", "__libc_start_call_main", "__libc_start_main_impl", "_start")
IN_THREAD = ("start_thread", "clone3")
SIGNAL_FRAME = "(signal)"
GUESSED = " (guessed)"


def plain(frame):
    """A frame's function without namespace and arguments; libc's signal restorer has no name of its own."""
    name = re.sub(r"\(anonymous namespace\)::| \[clone [^]]*\]", "", frame["function"])
    if re.match(r"__restore_rt|libc\.so\.6\+0x", name):
        return SIGNAL_FRAME
    return re.sub(r"\(.*\)$", "", name) + (GUESSED if frame.get("guessed") else "")


def chains(report, size):
    """{chain of functions, innermost first: allocations} of blocks of this size; frames may be inlined ones."""
    result = {}
    for site in report["sites"]:
        if site["allocation_calls"] and site["bytes_requested"] == size * site["allocation_calls"]:
            chain = tuple(plain(frame) for frame in site["frames"])
            result[chain] = result.get(chain, 0) + site["allocation_calls"]
    return result


class TestCase(harness.TestCase):
    def record_checked(self, *command, differences=0, **arguments):
        """Twice: recorded as usual, then in checking mode. The output is the program's own, nothing is lost, and no
        walk differs from libunwind's. Returns the report of the usual run, and the info of the checked one."""
        recorded = self.assert_same_output(list(command), **arguments)
        self.assert_nothing_lost(recorded.trace)
        environment = {**(arguments.get("env") or clean_environment()), "HEAPLEDGER_CHECK_UNWIND": "1"}
        checked = self.record(*command, env=environment, name="checked.hlt", timeout=300)
        self.assertEqual(checked.stdout, recorded.stdout)
        info = self.assert_nothing_lost(checked.trace)
        check = info["unwind_check"]
        self.assertGreater(check["walks"], 0)
        self.assertEqual(check["differences"], differences, check["text"])
        return analyze("report", recorded.trace, options=["--top=0"]), info


class Shapes(TestCase):
    def test_exceptions_through_and_across_frames(self):
        rounds = 300 * SCALE
        report, _ = self.record_checked(program("stack_shapes"), "exceptions", str(rounds))
        outer = ("exceptions", *IN_MAIN), ("throw_in_thread", *IN_THREAD)
        caught = "rethrow_across", "catch_outermost"
        for size, inner in ((1002, ("allocate", *["throw_at"] * 5, *caught)), (1003, ("allocate", *caught)),
                            (1004, ("allocate", "catch_outermost")), (1005, ("allocate", "catch_outermost"))):
            self.assertEqual(chains(report, size), {inner + end: rounds for end in outer}, size)
        # Destructors run by the unwinder, one frame farther out each time.
        self.assertEqual(chains(report, 1001),
                         {("allocate", "Guard::~Guard", *["throw_at"] * left, *caught, *end): rounds
                          for left in range(1, 6) for end in outer})

    def test_longjmp_over_remembered_frames(self):
        rounds = 200 * SCALE
        report, _ = self.record_checked(program("stack_shapes"), "jumps", str(rounds))
        end = ("land", "jumps", *IN_MAIN)
        levels = [5 + i % 20 for i in range(rounds)]
        self.assertEqual(chains(report, 1010),
                         {("allocate", *["dive_and_jump"] * n, *end): sum(level + 1 >= n for level in levels)
                          for n in range(1, 26)})
        self.assertEqual(chains(report, 1011), {("allocate", *end): rounds})

    def test_alloca_and_realigned_frames(self):
        rounds = 200 * SCALE
        report, _ = self.record_checked(program("stack_shapes"), "frames", str(rounds))
        for size, function in ((1020, "in_alloca"), (1021, "in_realigned"), (1022, "in_realigned_alloca")):
            self.assertEqual(chains(report, size), {("allocate", *[function] * 6, "frames", *IN_MAIN): rounds})

    def test_handlers_on_either_stack_and_inside_one_another(self):
        rounds = 200 * SCALE
        report, _ = self.record_checked(program("stack_shapes"), "handlers", str(rounds))
        end = ("interrupt_all", "interrupt_thread", *IN_THREAD)
        raised = (SIGNAL_FRAME, "__pthread_kill_implementation", "raise")
        inner = ("allocate", "allocate_in_handler")
        by_raise = (*raised, "interrupted_by_raise", *end)
        self.assertEqual(chains(report, 1030),
                         {(*inner, "on_plain_signal", *by_raise): 2 * rounds,
                          (*inner, "on_plain_signal", *raised, "on_outer_signal", *by_raise): 2 * rounds})
        self.assertEqual(chains(report, 1031), {(*inner, "on_alternate_stack", *by_raise): 2 * rounds})
        for size in (1032, 1033):
            self.assertEqual(chains(report, size), {(*inner, "on_outer_signal", *by_raise): 2 * rounds})
        # Interrupted at its first instruction: neither its name nor its caller may be its neighbour's.
        self.assertEqual(chains(report, 1034), {(*inner, "on_fault", SIGNAL_FRAME, "fault_at_once",
                                                 "interrupted_by_fault", *end): 2 * rounds})


class Fibers(TestCase):
    FIBERS, STEPS = 24, 16

    def assert_each_step_on_its_own_stack(self, mode, rounds, end):
        report, info = self.record_checked(program("fibers"), mode, str(rounds))
        expected = {}
        for round_ in range(rounds):
            for step in range(self.STEPS):
                chain = ("allocate_in_step",) * (1 + step % 5 + round_ % 3) + ("fiber_body", *end)
                expected[chain] = expected.get(chain, 0) + self.FIBERS
        self.assertEqual(chains(report, 1100), expected)
        # Exactly the threads' own stacks, with nothing of the fibers that they carried.
        self.assertEqual(chains(report, 1101),
                         {("allocate_in_host", "host", *IN_THREAD): self.FIBERS * self.STEPS * rounds})
        return info

    def test_coroutines_that_wander_between_threads(self):
        # libc's __start_context, which has no name in a stripped libc.
        self.assert_each_step_on_its_own_stack("coroutines", 6 * SCALE, ("enter_coroutine", SIGNAL_FRAME))

    def test_fibers_switched_by_hand(self):
        self.assert_each_step_on_its_own_stack("described", 6 * SCALE, ("start_described",))

    def test_fibers_without_call_frame_information_end_with_a_marker(self):
        rounds = 6 * SCALE
        info = self.assert_each_step_on_its_own_stack(
            "undescribed", rounds, ("start_undescribed", "[stack ends: no unwind information]"))
        self.assertEqual(info["walk_ends"]["no_rule"], self.FIBERS * self.STEPS * rounds)


class DeepRecursion(TestCase):
    DEPTH = 100_000
    LEFT_OUT = "[frames left out: deeper than the limit]"

    def assert_both_ends(self, report, innermost, ways=("first_way_in", "second_way_in")):
        """Every deep stack shows where it stands and how it came there, and says once that its middle is missing."""
        calls = dict.fromkeys(ways, 0)
        for chain, count in chains(report, 1200).items():
            middle = [name for name in chain[chain.index("go_down"):] if name != self.LEFT_OUT]
            if self.LEFT_OUT in chain:
                self.assertEqual(chain.count(self.LEFT_OUT), 1)
                cut = chain.index(self.LEFT_OUT)
                self.assertGreaterEqual(cut, 128, "innermost frames kept")
                self.assertEqual(len(chain) - cut - 1, 192, "outermost frames kept")
            self.assertLessEqual(len(chain), 737)
            self.assertEqual(chain[:len(innermost)], innermost)
            way = middle[-4]
            self.assertIn(way, calls, chain[-8:])
            self.assertEqual(tuple(middle[-3:]), ("recurse", *IN_THREAD))
            self.assertEqual(set(middle[:-4]), {"go_down"})
            calls[way] += count
        return calls

    def test_a_first_event_at_the_bottom(self):
        report, _ = self.record_checked(program("deep_recursion"), "bottom", str(self.DEPTH))
        self.assertEqual(self.assert_both_ends(report, ("allocate_deep", "go_down")),
                         {"first_way_in": 3, "second_way_in": 3})

    def test_events_on_the_way_down_and_up(self):
        report, _ = self.record_checked(program("deep_recursion"), "ways", str(self.DEPTH))
        events = 3 * (self.DEPTH // 100 * 2 + 2)
        self.assertEqual(self.assert_both_ends(report, ("allocate_deep", "go_down")),
                         {"first_way_in": events, "second_way_in": events})

    def test_a_handler_at_the_bottom(self):
        report, _ = self.record_checked(program("deep_recursion"), "handler", str(self.DEPTH))
        self.assertEqual(self.assert_both_ends(report, ("allocate_deep", "on_signal", SIGNAL_FRAME)),
                         {"first_way_in": 3, "second_way_in": 3})

    def test_little_deeper_than_what_is_remembered(self):
        for depth in (500, 729, 730, 731, 732, 733, 900, 930, 2000):
            report, _ = self.record_checked(program("deep_recursion"), "bottom", str(depth), name=f"{depth}.hlt")
            whole = chains(report, 1200)
            self.assertEqual(sum(whole.values()), 6)
            if depth + 6 <= 736:
                self.assertEqual({len(chain) for chain in whole}, {depth + 6})
            else:
                self.assertEqual({chain[-4] for chain in whole}, {"first_way_in", "second_way_in"}, depth)


if __name__ == "__main__":
    harness.main()
