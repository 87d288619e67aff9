"""Code of every origin: loaded early or late, bound lazily or deeply, stripped, undescribed, written by the program."""
import shutil
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import SCALE, analyze, clean_environment, program, total
from test_stack_shapes import IN_MAIN, TestCase, chains

LIBRARY = str(harness.PROGRAMS / "loaded_library.so")
GUESSED_FRAME = 4  # in unwind_check.by_kind


class Loading(TestCase):
    """Blocks by size: 1400 constructor, 1401 destructor, 1402 and 1403 resolvers, 1405 for the caller, 1406 plugin."""

    def sizes(self, report):
        return {size: sum(chains(report, size).values()) for size in range(1400, 1407) if chains(report, size)}

    def assert_chains_begin(self, report, times):
        for size, inner in ((1400, ("allocate_in_library", "construct")), (1401, ("allocate_in_library", "destruct")),
                            (1403, ("allocate_in_library", "resolve_outside")),
                            (1405, ("allocate_for_caller", "main")),
                            (1406, ("allocate_in_plugin", "allocate_here", "open_plugin", "main"))):
            found = chains(report, size)
            self.assertEqual(sum(found.values()), times, size)
            self.assertEqual({chain[:len(inner)] for chain in found}, {inner})
            self.assertTrue(all(chain[-1] in ("_start", "_dl_start_user") for chain in found), found)

    def test_a_linked_library_that_allocates_before_anything_is_relocated(self):
        for binding, environment in (("lazy", {}), ("lazy", {"LD_BIND_NOW": "1"}), ("now", {})):
            env = clean_environment(**environment)
            command = [program("code_loading_" + binding), "linked"]
            name = binding + "".join(environment) + ".hlt"
            recorded = self.assert_same_output(command, env=env, name=name)
            self.assertEqual(recorded.stdout, b"linked 3\n")
            report = recorded.report()
            self.assert_chains_begin(report, 1)
            # The resolver inside the library runs before this process could be recorded; that is said.
            self.assertEqual(chains(report, 1402), {})
            lost = recorded.info()["lost"]
            self.assertEqual((lost["events"], lost["by_cause"]["early_boot"]), (1, 1))
            self.assertEqual(report["unknown_frees"], 0)
            checked = self.record(*command, env={**env, "HEAPLEDGER_CHECK_UNWIND": "1"}, name="checked.hlt")
            check = checked.info()["unwind_check"]
            self.assertEqual(check["differences"], 0, check["text"])

    def test_opened_again_and_again(self):
        rounds = 100 * SCALE
        command = [program("code_loading"), "opened", LIBRARY, str(rounds)]
        recorded = self.assert_same_output(command)
        self.assertEqual(recorded.stdout.split(), [b"opened", str(3 * rounds).encode()])
        self.assert_nothing_lost(recorded.trace)
        report = recorded.report()
        self.assert_chains_begin(report, rounds)
        self.assertEqual(sum(chains(report, 1402).values()), rounds)
        self.assertEqual(report["unknown_frees"], 0)
        self.assertEqual(recorded.info()["unrecorded_heaps"], [])
        # While ld.so relocates a library it tells nobody where it is: the resolver inside is walked by a guess.
        checked = self.record(*command, env=clean_environment(HEAPLEDGER_CHECK_UNWIND="1"), name="checked.hlt")
        check = checked.info()["unwind_check"]
        self.assertEqual(check["differences"], check["by_kind"][GUESSED_FRAME], check["text"])
        self.assertLessEqual(check["differences"], rounds)

    def test_bound_deeply(self):
        """RTLD_DEEPBIND binds the library's malloc to libc, past any preloaded library: not seen, but not misread."""
        rounds = 50 * SCALE
        recorded = self.assert_same_output([program("code_loading"), "deep", LIBRARY, str(rounds)])
        self.assertEqual(recorded.stdout.split(), [b"deep", str(3 * rounds).encode()])
        self.assert_nothing_lost(recorded.trace)
        report = recorded.report()
        self.assertEqual({size: n for size, n in self.sizes(report).items() if size != 1404}, {1406: rounds})
        self.assertEqual(report["unknown_frees"], rounds, "what the program freed for the library")
        self.assertEqual(recorded.info()["unrecorded_heaps"], [{"module": LIBRARY, "how": "bound_elsewhere"}])


class UndescribedCode(TestCase):
    def record_guessed(self, *command):
        """As record_checked, where libunwind differs outside of guessed frames alone."""
        recorded = self.assert_same_output(list(command))
        self.assert_nothing_lost(recorded.trace)
        checked = self.record(*command, env=clean_environment(HEAPLEDGER_CHECK_UNWIND="1"), name="checked.hlt")
        check = checked.info()["unwind_check"]
        self.assertEqual(check["differences"], check["by_kind"][GUESSED_FRAME], check["text"])
        return analyze("report", recorded.trace, options=["--top=0"])

    def test_assembly(self):
        rounds = 500 * SCALE
        report = self.record_guessed(program("odd_code"), "assembly", str(rounds))
        self.assertEqual(chains(report, 1300), {("with_frame_pointer", "call_assembly (guessed)", *IN_MAIN): rounds})
        self.assertEqual(chains(report, 1301),
                         {("without_frame_pointer", "[stack ends: no unwind information]"): rounds})

    def test_code_that_the_program_writes_itself(self):
        rounds = 1000 * SCALE
        report = self.record_guessed(program("odd_code"), "generated", str(rounds))
        sites = [site for site in report["sites"] if "call_generated" in harness.functions(site)]
        self.assertEqual(total(sites, "allocation_calls"), rounds)
        self.assertEqual(total(sites, "bytes_requested"), sum(1310 + i % 4 for i in range(rounds)))
        for site in sites:
            names = harness.functions(site)
            self.assertEqual(names[1:], ["call_generated", "run_generated", *IN_MAIN])
            self.assertTrue(names[0].startswith("0x"), names)
            self.assertEqual([frame.get("guessed", False) for frame in site["frames"]], [False, True] + 5 * [False])

    def test_a_program_without_unwind_information(self):
        """Neither tables nor frame pointers nor symbols: its stacks end early, its numbers are the same."""
        totals = []
        for name in ("exact_counts", "exact_counts_bare"):
            recorded = self.assert_same_output([program(name)], name=name + ".hlt")
            self.assert_nothing_lost(recorded.trace)
            totals.append(recorded.report()["totals"])
        self.assertEqual(totals[0], totals[1])

    def test_an_executable_with_holes_between_its_segments(self):
        """Mapped by the kernel at fixed addresses, nothing between the segments: it is one module all the same."""
        recorded = self.assert_same_output([program("exact_counts_holes")])
        sites = [site for site in recorded.report()["sites"] if "main" in harness.functions(site)]
        self.assertGreater(len(sites), 2)
        for site in sites:
            self.assertEqual(harness.functions(site)[-1], "_start")
            self.assertFalse(any(frame.get("guessed", False) for frame in site["frames"]))

    @harness.require("strip")
    def test_stripped_of_everything(self):
        """Symbols gone, section headers too: the walk needs neither, and stacks keep their depths."""
        depths = []
        for stripped in (False, True):
            path = str(self.scratch / f"shapes{stripped}")
            shutil.copy(program("stack_shapes"), path)
            if stripped:
                self.assertEqual(harness.run(["strip", "--strip-all", path]).status, 0)
                with open(path, "r+b") as file:  # e_shoff; e_shentsize, e_shnum, e_shstrndx
                    file.seek(0x28)
                    file.write(bytes(8))
                    file.seek(0x3a)
                    file.write(bytes(6))
            report, _ = self.record_checked(path, "exceptions", "50", name=f"{stripped}.hlt")
            found = {}
            for size in range(1001, 1006):
                for chain, count in chains(report, size).items():
                    key = size, len(chain), chain[-2]  # in libc, which has its symbols still
                    found[key] = found.get(key, 0) + count
            depths.append(found)
        self.assertEqual(depths[0], depths[1])
        self.assertEqual(sum(depths[0].values()), 2 * 50 * 9)
        text = harness.run([harness.HEAPLEDGER, "report", self.scratch / "True.hlt"]).stdout.decode()
        self.assertIn(" of start-up", text)
        self.assertNotIn("< __libc_start", text, "_start has no name, and is folded all the same")

    @harness.require("node")
    def test_node(self):
        """V8's generated code has frame pointers and no description: libunwind loses its way in it, and we say that we
        guess. Nor have node's static constructors (docs/unwinding.md): there libunwind finds the return address."""
        script = "let s=0; for (let i=0;i<500;i++) s+=Buffer.alloc(64).length; console.log(s)"
        recorded = self.assert_same_output(["node", "-e", script])
        self.assert_nothing_lost(recorded.trace)
        checked = self.record("node", "-e", script, env=clean_environment(HEAPLEDGER_CHECK_UNWIND="1"),
                              name="checked.hlt", timeout=300)
        check = checked.info()["unwind_check"]
        ours_shorter, *others = check["by_kind"][:GUESSED_FRAME]
        self.assertEqual(others, [0, 0, 0], check["text"])
        self.assertLess(ours_shorter, 100, check["text"])
        self.assertLess(check["differences"], check["walks"] / 50)


if __name__ == "__main__":
    harness.main()
