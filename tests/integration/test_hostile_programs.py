"""Programs that would notice, or be broken by, a recorder that is less than careful: they run as if alone."""
import os
import re
import resource
import shutil
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import SHIM, analyze, as_root, functions, pretend_to_be, program, require, run, sites_through, total


class Wait(harness.TestCase):
    def test_no_way_of_waiting_finds_the_recorder(self):
        self.assert_same_output([program("wait_sees_nothing")])
        self.assert_same_output([program("wait_sees_nothing"), "subreaper", "all"], name="subreaper.hlt")

    def test_a_program_with_children_finds_its_own_alone(self):
        for arguments in ([], ["subreaper"]):
            recorded = self.assert_same_output([program("own_processes"), *arguments], name="".join(arguments) + "own.hlt")
            self.assertEqual(recorded.stdout.count(b"stranger"), 0)
            self.assertEqual(len(recorded.children()), 7, "three, a group's, an orphan and its parent, a session's")
            for trace in recorded.children():
                self.assert_nothing_lost(trace)

    def test_nor_when_preloaded_without_a_supervisor(self):
        for arguments in ([], ["subreaper"]):
            alone = run([program("wait_sees_nothing"), *arguments])
            preloaded = run([program("wait_sees_nothing"), *arguments],
                            env=harness.clean_environment(LD_PRELOAD=SHIM, HEAPLEDGER_DIR=self.scratch))
            self.assertEqual((preloaded.status, preloaded.stdout), (alone.status, alone.stdout), arguments)


class OwnNames(harness.TestCase):
    def test_functions_of_a_program_that_are_named_like_libc_s(self):
        exported = run(["readelf", "-W", "--dyn-syms", program("own_libc_names")]).stdout.decode()
        for name in ("on_exit", "strlen", "dl_iterate_phdr"):
            self.assertRegex(exported, rf"FUNC +GLOBAL +DEFAULT +[0-9]+ {name}\n", "nobody could call it: nothing is tested")
        recorded = self.assert_same_output([program("own_libc_names")])
        self.assertEqual((recorded.status, recorded.stdout), (0, b""))
        for trace in (recorded.trace, *recorded.children()):
            self.assert_nothing_lost(trace)

    def test_nor_by_a_shim_without_a_supervisor(self):
        preloaded = run([program("own_libc_names")],
                        env=harness.clean_environment(LD_PRELOAD=SHIM, HEAPLEDGER_DIR=self.scratch))
        self.assertEqual((preloaded.status, preloaded.stdout), (0, b""))

    def test_functions_of_a_library_that_are_named_like_some_that_are_hooked(self):
        recorded = self.assert_same_output([program("unrelated_caller")])
        self.assertEqual((recorded.status, recorded.stdout.splitlines()[-1]), (0, b"17"))
        self.assert_nothing_lost(recorded.trace)

    def test_a_plugin_with_an_allocator_of_its_own(self):
        recorded = self.assert_same_output([program("plugin_host"), str(harness.PROGRAMS / "allocator_plugin.so")])
        self.assertEqual((recorded.status, recorded.stdout.split(b"\n")[0]), (0, b"je_malloc: mine"))
        self.assert_nothing_lost(recorded.trace)
        sites = sites_through(recorded.report(), "use_plugin")
        own = [site for site in sites if site["bytes_requested"] == 1234]
        self.assertEqual((total(own, "allocation_calls"), total(own, "exit_blocks")), (1, 0))

    @require("fakechroot")
    def test_a_preloaded_library_that_takes_the_loader_s_functions(self):
        # Its dl_iterate_phdr writes into the program's own read-only words once a root is set.
        root = self.scratch / "root"
        (root / "bin").mkdir(parents=True)
        shutil.copy("/bin/ls", root / "bin/ls")
        recorded = self.assert_same_output(["fakechroot", "/usr/sbin/chroot", str(root), "/bin/ls", "/"])
        self.assertEqual((recorded.status, recorded.stdout), (0, b"bin\n"))


class ForbiddenClock(harness.TestCase):
    def assert_counts(self, mode, events):
        recorded = self.record(program("clock_forbidden"), mode, str(events), name=mode + ".hlt")
        label, allocations, frees, size = recorded.stdout.split()
        self.assertEqual(label.decode(), mode)
        info = analyze("info", recorded.trace)
        self.assertEqual(info["lost"]["events"], 0, info["lost"])
        report = recorded.report()
        own = sites_through(report, "counted_malloc")
        self.assertEqual(total(own, "allocation_calls"), int(allocations))
        self.assertEqual(total(own, "bytes_requested"), int(size))
        self.assertEqual(total(own, "exit_blocks"), int(allocations) - int(frees))

    def test_time_stamp_counter_made_to_fault(self):
        self.assert_counts("tsc", 20000)

    def test_strict_seccomp(self):
        self.assert_counts("strict", 2000)

    def test_seccomp_filter_that_kills(self):
        self.assert_counts("filter", 2000)


class Libraries(harness.TestCase):
    def test_cxx_library_loaded_late_and_privately(self):
        recorded = self.assert_same_output([program("late_cxx"), str(harness.PROGRAMS / "late_cxx_library.so")])
        self.assertEqual(recorded.stdout, b"42\n")
        sites = sites_through(recorded.report(), "allocate_in_late_library")
        array = [site for site in sites if site["bytes_requested"] == 800]
        self.assertEqual(total(array, "allocation_calls"), 1)

    def test_libraries_that_take_turns_at_one_address_keep_their_names(self):
        modules = self.scratch / "gconv"
        modules.mkdir()
        for name in ("reused_first", "reused_second"):
            os.symlink(harness.PROGRAMS / (name + ".so"), modules / (name + ".so"))
        (modules / "gconv-modules").write_text("module UTF-8// HLFIRST// reused_first 1\n"
                                               "module UTF-8// HLSECOND// reused_second 1\n")
        rounds = 1000 * harness.SCALE
        command = [program("library_reuse"), str(harness.PROGRAMS / "reused_first.so"),
                   str(harness.PROGRAMS / "reused_second.so"), str(rounds)]
        environment = harness.clean_environment(GCONV_PATH=modules)
        recorded = self.record(*command, env=environment)
        same = int(recorded.stdout.split(b"same address ")[1].split()[0])
        self.assertGreater(same, rounds // 2, "the libraries did not share an address: nothing was tested")
        report = recorded.report()
        # glibc tries a gconv step more than once; what each initialisation allocates is recorded as that library's.
        for function, size in (("allocate_in_first", 701), ("allocate_in_other", 702)):
            sites = sites_through(report, function)
            calls = total(sites, "allocation_calls")
            self.assertGreaterEqual(calls, 2 * rounds)
            self.assertEqual(total(sites, "bytes_requested"), calls * size, function)
        by_size = {size: [site for site in report["sites"] if site["bytes_requested"] == size * site["allocation_calls"]
                          and site["allocation_calls"]] for size in (701, 702)}
        self.assertEqual({functions(site)[0] for site in by_size[701]}, {"allocate_in_first"})
        self.assertEqual({functions(site)[0] for site in by_size[702]}, {"allocate_in_other"})
        # Libraries that come back are known: neither their modules nor their stacks are written down again.
        self.assertLess(self.assert_nothing_lost(recorded.trace)["stack_nodes"], 1000)


class Limits(harness.TestCase):
    def assert_pieces_recorded(self, recorded):
        """The 24 576 pieces of 1 000 bytes that memory_limits counts; stdio's buffers are other sites."""
        pieces = [site for site in recorded.report()["sites"]
                  if site["bytes_requested"] == 1000 * site["allocation_calls"]]
        self.assertEqual(recorded.stdout.split()[1:3], [b"24576", b"24576"])
        self.assertEqual((total(pieces, "allocation_calls"), total(pieces, "exit_blocks")), (24576, 0))

    def test_locked_memory_is_not_filled_with_reservations(self):
        alone = run([program("memory_limits"), "locked"])
        if alone.status == 77:
            self.skipTest("no right to lock memory")
        recorded = self.record(program("memory_limits"), "locked")
        resident = [int(run_.stdout.split()[-1]) for run_ in (alone, recorded)]
        self.assertLess(resident[1] - resident[0], 32 * 1024, "kB that being recorded keeps resident")
        self.assert_pieces_recorded(recorded)

    @require("musl-gcc")
    def test_a_program_with_another_libc_runs_unrecorded(self):
        source, path = self.scratch / "plain.c", self.scratch / "plain"
        source.write_text("#include <stdio.h>\n#include <stdlib.h>\nint main(void) {\n"
                          "  void* volatile p = realloc(calloc(3, 5), 100);\n  free(p);\n  puts(\"done\");\n  return 4;\n}\n")
        self.assertEqual(run(["musl-gcc", "-o", path, source]).status, 0)
        recorded = run([harness.HEAPLEDGER, "record", "-o", self.scratch / "t.hlt", "--", path])
        self.assertEqual((recorded.status, recorded.stdout), (4, b"done\n"), recorded.explain())
        self.assertRegex(recorded.stderr, rb"\Aheapledger: nothing was recorded: \S+ did not load the shim .*musl\?\)\n\Z")
        shell = self.record("/bin/sh", "-c", f"{path}; exit 5", status=5)
        self.assertEqual(shell.stdout, b"done\n", shell.explain())
        self.assert_nothing_lost(shell.trace)

    @as_root
    def test_a_limit_on_locked_memory_that_holds_the_program_alone(self):
        def within(kilobytes):
            def limit():
                pretend_to_be(12345)()
                resource.setrlimit(resource.RLIMIT_MEMLOCK, (kilobytes << 10, kilobytes << 10))
            return limit

        most_here = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
        if 0 <= most_here < 8 << 20:
            self.skipTest("no right to lock as much")

        self.scratch.chmod(0o777)
        held = (program("memory_limits"), "held")
        locked = {}
        # The first holds the program and us.
        for most in (65536, 8192) if most_here < 0 or most_here >= 64 << 20 else (8192,):
            alone = run(held, preexec_fn=within(most))
            self.assertEqual(alone.status, 0, alone.explain())
            trace = self.scratch / f"{most}.hlt"
            recorded = run([harness.HEAPLEDGER, "record", "-q", "-o", trace, "--", *held], preexec_fn=within(most))
            self.assertEqual(recorded.status, 0, recorded.explain())
            self.assert_nothing_lost(trace)
            locked[most] = [int(re.search(rb"locked-kB (\d+)", run_.stdout)[1]) for run_ in (alone, recorded)]
        for most, (by_itself, with_us) in locked.items():
            self.assertLess(abs(with_us - by_itself), 512, locked)
        # Less than the program has is refused, as ever.
        self.assertEqual(run(held, preexec_fn=within(1024)).status, 77)
        refused = run([harness.HEAPLEDGER, "record", "-q", "-o", self.scratch / "t.hlt", "--", *held], preexec_fn=within(1024))
        self.assertEqual(refused.status, 77, refused.explain())

    def test_little_address_space(self):
        recorded = self.record(program("memory_limits"), "limited")
        self.assert_pieces_recorded(recorded)

    def test_a_program_that_closes_every_descriptor_and_uses_their_numbers(self):
        code = ("import os\nos.closerange(3, 4096)\nfds = [os.open('/dev/null', os.O_WRONLY) for _ in range(50)]\n"
                "print(fds[0], fds[-1])\nx = [bytes(1000) for _ in range(20000)]\nprint(len(x))")
        recorded = self.assert_same_output([harness.PYTHON, "-S", "-c", code],
                                           env=harness.clean_environment(PYTHONMALLOC="malloc"))
        self.assertEqual(recorded.stdout, b"3 52\n20000\n")
        self.assert_nothing_lost(recorded.trace)

    def test_full_disk_does_not_touch_the_program(self):
        disk = self.scratch / "disk"
        disk.mkdir()
        script = (f"mount -t tmpfs -o size=1m none {disk} && dd if=/dev/zero of={disk}/rest bs=4k 2>/dev/null; "
                  f"exec {harness.HEAPLEDGER} record -o {disk}/t.hlt -- {program('random_calls')} 20000")
        if run(["unshare", "-m", "true"]).status != 0:
            self.skipTest("no right to mount")
        alone = run([program("random_calls"), "20000"])
        full = run(["unshare", "-m", "sh", "-c", script])
        self.assertEqual((full.status, full.stdout), (alone.status, alone.stdout), full.explain())
        self.assertIn(b"heapledger", full.stderr, "a line says why there is no trace")

    def test_a_disk_that_fills_up_midway_costs_events_but_not_the_program(self):
        if run(["unshare", "-m", "true"]).status != 0:
            self.skipTest("no right to mount")
        disk = self.scratch / "disk"
        disk.mkdir()
        script = (f"mount -t tmpfs -o size=24m none {disk} && "
                  f"{harness.HEAPLEDGER} record --on-overload=drop -o {disk}/t.hlt -- {program('random_calls')} 4000000; "
                  f"status=$?; cp {disk}/* {self.scratch}; exit $status")
        alone = run([program("random_calls"), "4000000"])
        full = run(["unshare", "-m", "sh", "-c", script], timeout=200)
        self.assertEqual((full.status, full.stdout), (alone.status, alone.stdout), full.explain())
        info = analyze("info", self.scratch / "t.hlt")
        self.assertGreater(info["lost"]["events"], 0, "12 million events do not fit 24 MiB")
        self.assertGreater(info["events"]["allocations"], 100_000, "what did fit is there")

    def test_small_file_size_limit_does_not_touch_the_program(self):
        import resource
        alone = run([program("random_calls"), "20000"])
        trace = self.scratch / "t.hlt"
        limited = run([harness.HEAPLEDGER, "record", "-o", trace, "--", program("random_calls"), "20000"],
                      preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)))
        self.assertEqual((limited.status, limited.stdout), (alone.status, alone.stdout), limited.explain())


if __name__ == "__main__":
    harness.main()
