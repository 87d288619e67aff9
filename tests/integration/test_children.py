"""One trace per process image: fork, clone, vfork, posix_spawn, exec, orphans; pid namespaces."""
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import HEAPLEDGER, analyze, functions, program, total

# image: (bytes of each block, blocks); half of the blocks are freed. The numbers of programs/children.c
IMAGES = {"parent": (101, 20), "forked": (102, 30), "raw": (103, 40), "execed": (104, 50), "spawned": (105, 60),
          "vforked": (106, 70), "again": (107, 80), "orphan": (108, 90)}


def own_allocations(trace):
    """Calls by size of block of what allocate_as did, and live blocks at the end."""
    report = analyze("report", trace)
    sites = [site for site in report["sites"] if "allocate_as" in functions(site)]
    calls = {}
    for site in sites:
        size = site["bytes_requested"] // site["allocation_calls"]
        calls[size] = calls.get(size, 0) + site["allocation_calls"]
    return calls, total(sites, "exit_blocks")


class Children(harness.TestCase):
    def test_one_trace_per_process_image(self):
        recorded = self.record(program("children"))
        pids = {line.split()[0].decode(): int(line.split()[1]) for line in recorded.stdout.splitlines()}
        self.assertEqual(set(pids), set(IMAGES))
        found = {}
        for trace in recorded.children():
            info = analyze("info", trace)
            calls, live = own_allocations(trace)
            for name, (size, blocks) in IMAGES.items():
                if size in calls and info["pid"] == pids[name]:
                    self.assertEqual(calls[size], blocks, name)
                    found[name] = (trace, calls, live)
        calls, live = own_allocations(recorded.trace)
        self.assertEqual((calls, live), ({101: 20}, 10), "the root's trace holds the root's events alone")
        self.assertEqual(set(found), set(IMAGES) - {"parent"})
        self.assertNotEqual(found["execed"][0], found["again"][0], "an exec begins a new image")
        for name in ("execed", "again", "spawned", "vforked"):
            size, blocks = IMAGES[name]
            self.assertEqual(found[name][1:], ({size: blocks}, blocks // 2), name)

    def test_every_trace_of_the_tree_is_whole(self):
        recorded = self.record(program("children"))
        for trace in [recorded.trace, *recorded.children()]:
            self.assert_nothing_lost(trace)

    def test_traces_name_their_process(self):
        recorded = self.record(program("children"))
        for trace in recorded.children():
            self.assertEqual(analyze("info", trace)["pid"], int(trace.name.split(".")[1]), trace.name)

    def test_a_child_noticed_late_is_its_own_parents(self):
        recorded = self.record(program("late_child"))
        pids = {line.split()[0].decode(): int(line.split()[1]) for line in recorded.stdout.splitlines()}
        infos = {trace: analyze("info", trace) for trace in [recorded.trace, *recorded.children()]}
        middle = [info for info in infos.values() if info["pid"] == pids["middle"]]
        late = [(trace, info) for trace, info in infos.items() if info["pid"] == pids["late"]]
        self.assertEqual((len(middle), len(late)), (1, 1))
        trace, info = late[0]
        self.assertEqual(info["parent_uuid"], middle[0]["uuid"])
        self.assertEqual((info["arguments"], info["executable"]), (middle[0]["arguments"], middle[0]["executable"]))
        self.assertEqual(info["ended"]["code"], 0)
        sites = [site for site in analyze("report", trace)["sites"] if "allocate_late" in functions(site)]
        self.assertEqual(total(sites, "allocation_calls"), 50)
        self.assertEqual(sum(info["arguments"][1:2] == ["filler"] for info in infos.values()), 8)

    def test_what_a_child_frees_of_its_parents_blocks_is_called_so(self):
        code = ("import os\nblocks = [bytearray(9000) for i in range(50)]\nchild = os.fork()\ndel blocks\n"
                "child or os._exit(0)\nos.wait()")
        recorded = self.record(harness.PYTHON, "-S", "-c", code)
        child, = recorded.children()
        said = {trace: harness.run([HEAPLEDGER, "report", trace]).stdout.decode() for trace in (child, recorded.trace)}
        self.assertIn(" frees of blocks that its parent allocated before the fork", said[child])
        self.assertNotIn(" frees of blocks", said[recorded.trace])

    def test_no_follow_records_the_root_alone(self):
        recorded = self.record(program("children"), options=["--no-follow"])
        self.assertEqual(recorded.children(), [])
        self.assertEqual(own_allocations(recorded.trace)[0], {101: 20})

    def test_the_first_child_of_a_new_pid_namespace_is_the_programs(self):
        alone = harness.run([program("pid_namespace")])
        if alone.status == 77:
            self.skipTest("no right to unshare")
        recorded = self.record(program("pid_namespace"), name="ns.hlt")
        self.assertEqual(recorded.stdout, alone.stdout)
        counts = [analyze("report", trace)["totals"]["allocation_calls"] for trace in recorded.children()]
        self.assertEqual(sorted(count for count in counts if count >= 500), [500, 500, 500])

    def test_sandboxes_of_which_nothing_is_to_be_seen(self):
        """Their blocks are not given to others while they live, and their end is noticed."""
        empty = self.scratch / "empty"
        empty.mkdir()
        for user in ([], ["unshare", "--user", "--map-user=1000", "--map-group=1000"]):
            with self.subTest(user=user):
                trace = self.scratch / f"sandboxes{len(user)}.hlt"
                recorded = harness.Recorded(harness.run([*user, HEAPLEDGER, "record", "-q", "-o", trace, "--",
                                                         program("sandboxes"), empty]), trace)
                if recorded.status == 77:
                    self.skipTest("no right to make namespaces")
                self.assertEqual(recorded.status, 0, recorded.explain())
                *sandboxes, zygote, outside = [line.split() for line in recorded.stdout.decode().splitlines()]
                self.assertEqual([words[:2] for words in sandboxes], [["sandbox", "4000"]] * 6)
                self.assertEqual(zygote, ["zygote", "ended", "with", "0"])
                traces = [*recorded.children(), trace]
                infos = [self.assert_nothing_lost(trace) for trace in traces]
                self.assertEqual([info["problems"] for info in infos], [[]] * len(infos))
                counts = [analyze("report", trace)["totals"]["allocation_calls"] for trace in traces]
                self.assertEqual(counts, [4000] * 6 + [int(outside[1])])


if __name__ == "__main__":
    harness.main()
