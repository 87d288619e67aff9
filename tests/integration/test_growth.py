"""Growth in memory that can still be reached: a planted leak is named, with its path; caches and pools are not."""
import re
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import SCALE, analyze, program, run

RUNS_WITHOUT_LEAK = 3 if SCALE == 1 else 20
THREADS, REQUESTS, SESSIONS_PER_REQUEST, SESSION_BYTES = 2, 4000, 10, 200
TIMEOUT_EVERY = 500  # of a thread's sessions; each opens two in all, so one in 501 is forgotten
FORGOTTEN = THREADS * REQUESTS * SESSIONS_PER_REQUEST // TIMEOUT_EVERY
OPENED = THREADS * REQUESTS * SESSIONS_PER_REQUEST + FORGOTTEN
OUTPUT = b"opened %d, forgotten %d\n" % (OPENED, FORGOTTEN)
MARK_EVERY, MARKS = 200, REQUESTS // 200


def short(function):
    """The name without parameters and namespaces."""
    return re.sub(r"\(.*", "", function.replace("(anonymous namespace)::", ""))


def growing(leaks, confidence="high"):
    """Places that are said to grow: {function: place}."""
    return {short(place["function"]): place for place in leaks["places"]
            if place["growth"]["verdict"] == "growing" and place["growth"]["confidence"] == confidence}


class Growth(harness.TestCase):
    maxDiff = None  # a false alarm is to be told with all its numbers

    def serve(self, timeout_every, mark_every=0, options=()):
        recorded = self.record(program("leaks_service"), THREADS, REQUESTS, timeout_every, mark_every,
                               options=options)
        self.assert_nothing_lost(recorded.trace)
        return recorded

    def place(self, leaks, function):
        places = [place for place in leaks["places"] if short(place["function"]) == function]
        self.assertEqual(len(places), 1, [place["function"] for place in leaks["places"]])
        return places[0]

    def assert_all_forgotten(self, survivors):
        """By generation of birth. At the last boundary a session of each thread may be open."""
        self.assertGreaterEqual(sum(survivors), FORGOTTEN)
        self.assertLessEqual(sum(survivors), FORGOTTEN + THREADS)

    def check_leak(self, leaks):
        """The forgotten sessions, and the nodes of the map that keeps them, and nothing else."""
        self.assertEqual(set(growing(leaks)), {"Session::open", "handle_timeout"})
        for function, size in (("Session::open", SESSION_BYTES), ("handle_timeout", None)):
            place = self.place(leaks, function)
            self.assertEqual(place["blocks"], FORGOTTEN)
            self.assertEqual(place["growth"]["oldest_deaths"], 0)
            self.assertGreaterEqual(place["growth"]["generations_with_survivors"], 0.6)
            self.assertGreater(place["growth"]["low"], 0)
            self.assertLessEqual(place["growth"]["low"], place["growth"]["bytes_per_second"])
            self.assertLessEqual(place["growth"]["bytes_per_second"], place["growth"]["high"])
            if size:
                self.assertEqual(place["bytes"], FORGOTTEN * size)
                self.assert_all_forgotten(place["growth"]["survivors"])

    def test_a_leak_in_a_rare_path_is_named_and_the_caches_beside_it_are_not(self):
        recorded = self.serve(TIMEOUT_EVERY, options=["--free-stacks"])
        self.assertEqual(recorded.stdout, OUTPUT)
        leaks = analyze("leaks", recorded.trace, options=["--by", "function"])
        self.assertEqual(leaks["growth"]["kind"], "time")
        self.check_leak(leaks)
        self.assertEqual(self.place(leaks, "Cache::put")["growth"]["verdict"], "bounded")
        # Why they were not freed.
        missing = self.place(leaks, "Session::open")["missing_free"]
        self.assertEqual(missing["survivors"], FORGOTTEN)
        self.assertEqual(missing["freed_blocks"], OPENED - FORGOTTEN)
        self.assertEqual([(short(by["function"]), by["blocks"]) for by in missing["freed_by"]],
                         [("Session::close", OPENED - FORGOTTEN)])
        self.assertEqual(missing["distinction"]["kind"], "function")
        self.assertEqual(short(missing["distinction"]["function"]), "handle_timeout")
        self.assertEqual((missing["distinction"]["share_of_survivors"], missing["distinction"]["share_of_freed"]), (1, 0))
        self.assertRegex(missing["sentence"], r"^80,000 siblings were freed by .*Session::close; "
                                              r"the 160 survivors all came through .*handle_timeout$")
        text = run([harness.HEAPLEDGER, "leaks", recorded.trace, "--reachable", "--by", "function"]).stdout.decode()
        self.assertIn("survivors all came through", " ".join(text.split()))
        self.assertLessEqual(max(map(len, text.splitlines())), 100)

    def test_marks_make_iterations_and_say_what_stayed_of_each(self):
        recorded = self.serve(TIMEOUT_EVERY, MARK_EVERY)
        leaks = analyze("leaks", recorded.trace, options=["--by", "function"])
        self.assertEqual((leaks["growth"]["kind"], leaks["growth"]["mark"]), ("marks", "served"))
        self.check_leak(leaks)
        generations = leaks["growth"]["generations"]
        self.assertEqual(len(generations), MARKS + 1)
        self.assertEqual([g["name"] for g in generations[1:-1]], [f"served {i}" for i in range(1, MARKS)])
        # The first thread forgets the same number in each iteration; the other one as many, give or take its pace.
        survivors = self.place(leaks, "Session::open")["growth"]["survivors"]
        self.assertEqual(len(survivors), MARKS + 1)
        each = MARK_EVERY * SESSIONS_PER_REQUEST // TIMEOUT_EVERY
        for of_one in survivors[1:-1]:
            self.assertGreaterEqual(of_one, each)
        self.assert_all_forgotten(survivors)
        # Without stacks of frees it is said what would tell more, and no more is claimed.
        missing = self.place(leaks, "Session::open")["missing_free"]
        self.assertFalse(missing["free_stacks"])
        self.assertEqual(missing["freed_by"], [])
        self.assertIn("--free-stacks", missing["hint"])
        self.assertRegex(missing["sentence"], r"^80,000 siblings were freed; the 160 survivors all came through ")
        text = run([harness.HEAPLEDGER, "leaks", recorded.trace]).stdout.decode()
        self.assertIn("What stayed after each iteration", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 100)

    def test_a_service_without_a_leak_gives_no_alarm(self):
        for turn in range(RUNS_WITHOUT_LEAK):
            recorded = self.serve(0, MARK_EVERY if turn % 3 == 2 else 0)
            self.assertEqual(recorded.stdout, b"opened %d, forgotten 0\n" % (THREADS * REQUESTS * SESSIONS_PER_REQUEST))
            leaks = analyze("leaks", recorded.trace, options=["--by", "function"])
            self.assertIsNone(leaks["growth"]["too_short"])
            self.assertEqual(growing(leaks), {}, f"run {turn}")

    def test_a_short_run_is_not_guessed_about(self):
        recorded = self.record(program("leaks_service"), 1, 20, 5, 0)
        leaks = analyze("leaks", recorded.trace, options=["--by", "function"])
        self.assertIsNotNone(leaks["growth"]["too_short"])
        self.assertEqual({place["growth"]["verdict"] for place in leaks["places"]}, {"too_short"})


if __name__ == "__main__":
    harness.main()
