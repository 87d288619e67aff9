"""Samples of a program's memory: what the recorder notes is what the kernel says, at the moments it should, at no
more than its budget, and whatever becomes of the program or of the recorder."""
import os
import signal
import sys
import time
import uuid
from pathlib import Path

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import HEAPLEDGER, analyze, program, run
from memory_chunks import (ANONYMOUS, CONSISTENT, FILE, NO_PAGES, RESIDENCY, SHARED_ANONYMOUS, ZERO_PAGES, maps,
                           placed_chunks, usage_rows)
from running import RunningTest, recorder_below

MIB = 1 << 20
SHAPES = program("memory_shapes")


def named(samples, name):
    found, = [sample for sample in samples if sample.name == name]
    return found


class Pages(harness.TestCase):
    def assert_adds_up(self, sample):
        self.assertTrue(sample.flags & CONSISTENT, sample.name)
        self.assertFalse(sample.flags & NO_PAGES)
        self.assertTrue(sample.flags & ZERO_PAGES)
        self.assertEqual(sample.differing(), [], sample.name)
        self.assertEqual(sample.fields["rollup_rss"], sum(m.fields["Rss"] for m in sample.mappings))
        self.assertEqual(sample.fields["mappings"], len(sample.mappings))

    def shapes_of(self, recorded):
        return {name: (int(address, 16), int(size), int(resident)) for name, address, size, resident in
                (line.split() for line in recorded.stdout.decode().splitlines())}

    def test_page_runs_of_every_kind_of_mapping_sum_to_its_rss(self):
        recorded = self.record(SHAPES, "shapes", self.scratch / "file", options=("--leaks=all",))
        shapes = self.shapes_of(recorded)
        self.assertEqual(len(shapes), 13)
        samples = maps(recorded.trace)
        for name in ("shapes", "forked"):
            self.assert_adds_up(named(samples, name))
        last, = [sample for sample in samples if sample.cause == "exit"]
        self.assert_adds_up(last)
        sample = named(samples, "shapes")
        for name, (start, size, resident) in shapes.items():
            if resident >= 0:
                self.assertEqual(sample.resident(start, start + size), resident, name)
        start, size, _ = shapes["private_file"]
        self.assertEqual(sample.resident(start, start + size, (ANONYMOUS,)), size // 4)
        start, size, _ = shapes["memfd"]
        self.assertEqual(sample.resident(start, start + size, (FILE,)), size // 2)

        # The fork shares what neither side has written since.
        start, size, _ = shapes["inherited"]
        self.assertEqual(sample.resident(start, start + size, (ANONYMOUS,)), size)
        forked = named(samples, "forked")
        self.assertEqual(forked.resident(start, start + size, (SHARED_ANONYMOUS,)), size // 2)
        self.assertEqual(forked.resident(start, start + size, (ANONYMOUS,)), size // 2)
        child, = recorded.children()
        inside = named(maps(child), "child")
        self.assert_adds_up(inside)
        self.assertEqual(inside.resident(start, start + size, (SHARED_ANONYMOUS,)), size // 2)
        self.assertEqual(inside.resident(start, start + size, (ANONYMOUS,)), size // 2)

    def test_a_snapshot_amid_threads_stands_still(self):
        recorded = self.record(SHAPES, "threads")
        samples = maps(recorded.trace)
        for name in ("one", "two", "three", "four", "five"):
            self.assert_adds_up(named(samples, name))
        self.assert_nothing_lost(recorded.trace)

    def test_a_process_whose_main_thread_has_ended_adds_up_at_its_end(self):
        recorded = self.record(program("main_thread_ends"))
        last, = [sample for sample in maps(recorded.trace) if sample.cause == "exit"]
        self.assert_adds_up(last)
        rows = usage_rows(recorded.trace)
        self.assertGreater(rows[-1]["rss"], 1 << 20)
        self.assertGreater(rows[-1]["ticks"] - rows[0]["ticks"], (last.ticks - rows[0]["ticks"]) / 2)

    def test_a_map_at_a_mark_shows_what_was_written_before_it(self):
        recorded = self.record(SHAPES, "mark")
        start, size, _ = self.shapes_of(recorded)["full"]
        sample = named(maps(recorded.trace), "full")
        self.assertEqual(sample.cause, "mark")
        self.assertEqual(sample.resident(start, start + size), size)

    def test_the_shims_own_memory_is_listed(self):
        recorded = self.record(SHAPES, "threads")
        sample = named(maps(recorded.trace), "five")
        self.assertGreater(len(sample.own), 0)
        # A thread's state alone is more than a page, and five threads have one each.
        self.assertGreater(sum(end - start for start, end in sample.own), 5 * 4096)
        for start, end in sample.own:
            # The kernel may keep a page of it apart, that which a fork clears.
            unnamed = sum(max(0, min(end, m.end) - max(start, m.start)) for m in sample.mappings if m.name == "")
            self.assertEqual(unnamed, end - start)
        self.assertEqual(recorded.info()["sampling"]["own_unlisted_bytes"], 0)

    def test_real_programs_add_up_at_their_end(self):
        for command in ((harness.PYTHON, "-c", "x = [bytearray(5000) for _ in range(5000)]"),
                        ("/bin/bash", "-c", "for i in 1 2 3; do :; done"), ("/usr/bin/perl", "-e", "my @a = (1) x 1e6;")):
            recorded = self.record(*command, name=Path(command[0]).name + ".hlt")
            last, = [sample for sample in maps(recorded.trace) if sample.cause == "exit"]
            self.assert_adds_up(last)
            # A page of table at least for each 2 MiB with a page there, and no more than two for each mapping and level.
            spans = {at >> 21 for start, end, _ in last.runs for at in range(start, end, 4096)}
            self.assertGreaterEqual(last.fields["page_tables"], 4096 * len(spans))
            self.assertLess(last.fields["page_tables"], 4096 * (len(spans) + 8 * len(last.mappings)))
            self.assertEqual(analyze("ledger", recorded.trace)["page_tables"], last.fields["page_tables"])
            oom = analyze("map", recorded.trace)["oom"]
            self.assertEqual((oom["page_tables"], oom["page_tables_counted"]), (last.fields["page_tables"], True))


class Moments(RunningTest):
    def start_waiting(self, *options, seconds=30):
        self.trace = self.scratch / "t.hlt"
        self.start_recording("-q", "-o", self.trace, *options, "--", SHAPES, "wait", seconds)
        self.assertEqual(self.process.stdout.readline(), b"waiting\n")
        self.wait_until(self.trace.exists)
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.pid, = (int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text() == "memory_shapes\n")

    def wait_until(self, condition):
        deadline = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), deadline, "it never came about")
            time.sleep(0.05)

    def test_a_program_that_is_killed_leaves_its_growth(self):
        self.start_waiting("--leaks=none")
        # It stops growing at 128 MiB; a budget that was spent on the way there has to fill again.
        self.wait_until(lambda: any(sample.fields["rollup_rss"] > 128 * MIB for sample in maps(self.trace)))
        self.wait_until(lambda: any(row.get("rss", 0) > 128 * MIB for row in usage_rows(self.trace)))
        os.kill(self.pid, signal.SIGKILL)
        self.assertEqual(self.wait(), 137)
        rows, samples = usage_rows(self.trace), maps(self.trace)
        self.assertEqual([row["ticks"] for row in rows], sorted(row["ticks"] for row in rows))
        self.assertGreater(rows[-1]["rss"], 4 * rows[0]["rss"])
        causes = {sample.cause for sample in samples}
        self.assertIn("start", causes)
        self.assertIn("peak", causes)
        self.assertNotIn("exit", causes)
        # Of a peak no more than a twentieth and a MiB is missed by the highest map.
        highest = max(sample.fields["rollup_rss"] for sample in samples)
        self.assertGreater(highest, max(row["rss"] for row in rows) / 1.05 - 2 * MIB)
        info = analyze("info", self.trace)["sampling"]
        self.assertEqual(info["maps_in_trace"], len(samples))
        self.assertEqual(info["taken"]["maps"], len(samples))
        self.assertEqual(info["budget_millionths"], 10000)
        self.assertEqual(sum(info["causes"].values()), len(samples))

    def test_without_a_budget_there_are_samples_on_request_alone(self):
        self.start_waiting("--sample-budget", "0")
        time.sleep(0.3)
        marked = run([HEAPLEDGER, "snapshot", self.pid, "--name", "asked"])
        self.assertEqual(marked.status, 0, marked.explain())
        self.assertIn(b"memory map taken, it stood still for", marked.stdout)
        os.kill(self.pid, signal.SIGKILL)
        self.wait()
        self.assertEqual(usage_rows(self.trace), [])
        sample, = maps(self.trace)
        self.assertEqual((sample.cause, sample.name), ("request", "asked"))
        self.assertTrue(sample.flags & CONSISTENT)
        self.assertEqual(sample.differing(), [])

    def test_a_new_recorder_goes_on_sampling(self):
        self.start_waiting("--leaks=none")
        self.wait_until(lambda: usage_rows(self.trace))
        before = usage_rows(self.trace)[-1]["ticks"]
        taken_before = len(maps(self.trace))
        os.kill(recorder_below(self.process.pid), signal.SIGKILL)
        self.wait_until(lambda: usage_rows(self.trace)[-1]["ticks"] > before)
        marked = run([HEAPLEDGER, "snapshot", self.pid, "--name", "after"])
        self.assertEqual(marked.status, 0, marked.explain())
        os.kill(self.pid, signal.SIGTERM)
        self.wait()
        samples = maps(self.trace)
        self.assertGreater(len(samples), taken_before)
        self.assertEqual(named(samples, "after").differing(), [])
        self.assert_nothing_lost(self.trace)

    def test_a_mark_from_outside_comes_with_a_map(self):
        self.start_waiting()
        self.assertEqual(run([HEAPLEDGER, "mark", self.pid, "lunch"]).status, 0)
        self.assertEqual(named(maps(self.trace), "lunch").cause, "mark")


    def test_samples_survive_the_death_of_all_who_took_part(self):
        self.start_waiting()
        self.assertEqual(run([HEAPLEDGER, "snapshot", self.pid, "--name", "asked"]).status, 0)
        taken = maps(self.trace)
        for pid in (self.process.pid, recorder_below(self.process.pid), self.pid):
            os.kill(pid, signal.SIGKILL)
        self.wait()
        left = maps(self.trace)
        self.assertEqual([sample.ticks for sample in left[:len(taken)]], [sample.ticks for sample in taken])
        shown = analyze("map", f"{self.trace}@mark:asked")
        self.assertEqual(len(shown["samples"]), len(left))
        asked = named(left, "asked")
        self.assertEqual(shown["samples"][shown["sample"]]["rss"], asked.fields["rollup_rss"])
        ledger = analyze("ledger", f"{self.trace}@mark:asked")
        self.assertEqual(ledger["rss"], asked.fields["rollup_rss"])
        self.assertEqual(sum(account["bytes"] for account in ledger["accounts"]), ledger["rss"])


class CutShort(harness.TestCase):
    def test_a_trace_cut_anywhere_shows_the_samples_before_the_cut(self):
        recorded = self.record(SHAPES, "threads")
        content = recorded.trace.read_bytes()
        ends = [end for kind, _, end in placed_chunks(recorded.trace) if kind == RESIDENCY]
        self.assertGreaterEqual(len(ends), 6)
        cut = self.scratch / "cut.hlt"
        for count, end in enumerate(ends, 1):
            # Behind the sample; in the chunk that follows; and a byte before the end of the next sample.
            for at in (end, end + 70, ends[count] - 9 if count < len(ends) else len(content) - 9):
                cut.write_bytes(content[:at])
                left = maps(cut)
                self.assertEqual(len(left), count)
                answer = analyze("map", cut)
                self.assertEqual([sample["rss"] for sample in answer["samples"]],
                                 [sample.fields["rollup_rss"] for sample in left])
                ledger = analyze("ledger", cut)
                self.assertIn(ledger["rss"], [sample.fields["rollup_rss"] for sample in left])
                self.assertEqual(sum(account["bytes"] for account in ledger["accounts"]), ledger["rss"])
                self.assertFalse(analyze("info", cut)["complete"])
        # Before the first one it is said that there is none.
        cut.write_bytes(content[:ends[0] - 9])
        refused = run([HEAPLEDGER, "map", cut])
        self.assertEqual(refused.status, 3)
        self.assertIn(b"no samples", refused.stderr)


class Ends(harness.TestCase):
    def test_who_is_not_scanned_is_sampled_before_the_end(self):
        recorded = self.record("/bin/true", options=("--leaks=none",))
        sample, = [sample for sample in maps(recorded.trace) if sample.cause == "exit"]
        # Its one thread waits, so all stands still.
        self.assertTrue(sample.flags & CONSISTENT)
        self.assertEqual(sample.differing(), [])

    def test_nobody_is_held_up_without_a_budget(self):
        recorded = self.record("/bin/true", options=("--leaks=none", "--sample-budget=0"))
        self.assertEqual(maps(recorded.trace), [])
        self.assertEqual(recorded.info()["sampling"]["taken"], {"statm": 0, "rollup": 0, "maps": 0})

    def test_a_budget_out_of_bounds_is_wrong_usage(self):
        for value in ("-1", "101", "0.001", "much", ""):
            finished = run([HEAPLEDGER, "record", f"--sample-budget={value}", "/bin/true"])
            self.assertEqual(finished.status, 2, value)
            self.assertIn(b"wrong value for --sample-budget", finished.stderr)

    def test_the_limit_of_a_cgroup_is_read(self):
        group, limit = self.make_group()
        group_procs = group / "cgroup.procs"

        def enter():
            group_procs.write_text(str(os.getpid()))
        finished = run([HEAPLEDGER, "record", "-q", "-o", self.scratch / "t.hlt", SHAPES, "mark"], preexec_fn=enter)
        self.assertEqual(finished.status, 0, finished.explain())
        sample, = [sample for sample in maps(self.scratch / "t.hlt") if sample.cause == "exit"]
        self.assertEqual(sample.fields["cgroup_max"], limit)
        self.assertGreater(sample.fields["cgroup_current"], 0)
        self.assertGreater(sample.fields["cgroup_peak"], 32 * MIB)
        self.assertEqual(sample.fields["cgroup_oom_kills"], 0)

    def make_group(self):
        """A group below our own, in another with a limit of 200 MiB."""
        limit = 200 * MIB
        groups = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
        if "memory" in groups:
            top, file = Path("/sys/fs/cgroup/memory" + groups["memory"]), "memory.limit_in_bytes"
        else:
            top, file = Path("/sys/fs/cgroup" + groups.get("", "/")), "memory.max"
        outer = top / f"heapledger-test-{uuid.uuid4().hex}"
        try:
            outer.mkdir()
            self.addCleanup(outer.rmdir)
            (outer / file).write_text(str(limit))
            inner = outer / "inner"
            inner.mkdir()
            self.addCleanup(self.leave, inner)
        except OSError as error:
            self.skipTest(f"no memory cgroup can be made here: {error}")
        return inner, limit

    def leave(self, group):
        deadline = time.monotonic() + 20
        while (group / "cgroup.procs").read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        group.rmdir()


if __name__ == "__main__":
    harness.main()
