"""Trees of processes as people run them: builds, git, chains of exec, daemons, programs that change what they may do."""
import json
import os
import re
import resource
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import HEAPLEDGER, analyze, as_root, dump_lines, pretend_to_be, program, run, sites_through, total


def own_calls(trace, function="allocate"):
    """Allocation calls and blocks left at the end of a site function."""
    sites = sites_through(analyze("report", trace), function)
    return total(sites, "allocation_calls"), total(sites, "exit_blocks")


class Trees(harness.TestCase):
    SOURCES = 5

    def make_project(self, name):
        """A small C project with a Makefile: a compiler, an assembler and a linker for a program that prints 30."""
        project = self.scratch / name
        project.mkdir()
        numbers = range(1, self.SOURCES + 1)
        for i in numbers:
            (project / f"part{i}.c").write_text(f"int part{i}(int x) {{ return x * {2 * i}; }}\n")
        (project / "main.c").write_text(
            "#include <stdio.h>\n" + "".join(f"int part{i}(int);\n" for i in numbers) +
            'int main(void) { printf("%d\\n", ' + " + ".join(f"part{i}(1)" for i in numbers) + "); return 0; }\n")
        objects = " ".join(f"part{i}.o" for i in numbers) + " main.o"
        (project / "Makefile").write_text(f"prog: {objects}\n\tgcc -o $@ {objects}\n"
                                          "%.o: %.c\n\tgcc -O1 -c $< -o $@\nmain.o: Makefile\n")
        return project

    def finished_run(self, directory):
        """The run directory made in `directory`, once all of its children's traces are closed."""
        found, = directory.glob("heapledger-*")
        deadline = time.monotonic() + 60
        while (found / "session").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def record_run(self, command, cwd, name):
        directory = self.scratch / name
        finished = run([HEAPLEDGER, "record", "--output-dir", directory, "--", *command], cwd=cwd, timeout=200)
        return finished, self.finished_run(directory)

    @harness.require("make", "gcc")
    def test_a_build_has_one_trace_per_process_image(self):
        alone = self.make_project("alone")
        expected = run(["make", "-j2"], cwd=alone)
        project = self.make_project("recorded")
        finished, directory = self.record_run(["make", "-j2"], project, "make")
        self.assertEqual(finished.status, expected.status, finished.explain())
        self.assertEqual(sorted(finished.stdout.splitlines()), sorted(expected.stdout.splitlines()))
        for built in ("prog", "part1.o"):
            self.assertEqual((project / built).read_bytes(), (alone / built).read_bytes(), "the same is built")
        self.assertEqual(run([project / "prog"]).stdout, b"30\n")

        info = analyze("info", directory)
        images = info["processes"]
        programs = [os.path.basename(image["command"].split()[0]) for image in images]
        counts = {name: programs.count(name) for name in set(programs)}
        objects = self.SOURCES + 1
        self.assertEqual(counts, {"make": 1, "gcc": objects + 1, "cc1": objects, "as": objects, "collect2": 1, "ld": 1})
        by_uuid = {image["uuid"]: name for image, name in zip(images, programs)}
        parents = {(name, by_uuid.get(image["parent_uuid"])) for image, name in zip(images, programs)}
        self.assertEqual(parents, {("make", None), ("gcc", "make"), ("cc1", "gcc"), ("as", "gcc"), ("collect2", "gcc"),
                                   ("ld", "collect2")}, "the tree is that of the processes")
        files = sorted(str(path) for path in directory.glob("*.hlt"))
        self.assertEqual(sorted(image["path"] for image in images), files)
        for image in images:
            one = self.assert_nothing_lost(image["path"])
            self.assertEqual((one["ended"]["how"], one["ended"]["code"]), ("exited", 0), image["command"])
            self.assertEqual(Path(image["path"]).name.split(".")[-3:-1], [str(image["pid"]), str(image["image_number"])])

        # The tree as people read it: a child stands below its parent, further to the right.
        text = run([HEAPLEDGER, "info", directory]).stdout.decode().split("processes in this run\n")[1]
        depths = {}
        for line in filter(str.strip, text.splitlines()):
            pid, command = re.match(r"\s*(\d+)\s+[\d.,]+ \w+(\s+.*)", line).groups()
            depths[int(pid)] = len(command) - len(command.lstrip())
        of_pid = {image["pid"]: (image, name) for image, name in zip(images, programs)}
        levels = sorted({(depth, of_pid[pid][1]) for pid, depth in depths.items()})
        self.assertEqual(len(depths), len(images))
        first = depths[info["pid"]]
        self.assertEqual({name: (depth - first) // 2 for depth, name in levels},
                         {"make": 0, "gcc": 1, "cc1": 2, "as": 2, "collect2": 2, "ld": 3})

        # index.jsonl alone says the same: each image started and ended, complete.
        index = [json.loads(line) for line in (directory / "index.jsonl").read_text().splitlines()]
        for event in ("started", "ended"):
            self.assertEqual(sorted(str(directory / entry["file"]) for entry in index if entry["event"] == event), files)
        self.assertTrue(all(entry["complete"] for entry in index if entry["event"] == "ended"))

    @harness.require("git")
    def test_git_clone_of_a_local_repository(self):
        origin = self.scratch / "origin"
        environment = harness.clean_environment(HOME=self.scratch, GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@b",
                                                GIT_COMMITTER_NAME="a", GIT_COMMITTER_EMAIL="a@b", GIT_CONFIG_NOSYSTEM=1)
        self.make_project("origin")
        for words in (["init", "-q", "."], ["add", "."], ["commit", "-q", "-m", "all"]):
            self.assertEqual(run(["git", *words], cwd=origin, env=environment).status, 0)
        url = f"file://{origin}"
        alone = run(["git", "clone", "-q", url, self.scratch / "alone"], env=environment)
        recorded = self.record("git", "clone", "-q", url, self.scratch / "recorded", env=environment, status=None)
        self.assertEqual((recorded.status, recorded.stdout), (alone.status, alone.stdout), recorded.explain())
        for name in ("Makefile", "main.c"):
            self.assertEqual((self.scratch / "recorded" / name).read_bytes(), (origin / name).read_bytes())
        commands = set()
        for trace in [recorded.trace, *recorded.children()]:
            info = self.assert_nothing_lost(trace)
            self.assertIn((info["ended"]["how"], info["ended"]["code"]), (("exited", 0), ("exec", -1)), info["command"])
            commands.add(" ".join(os.path.basename(word) for word in info["command"].split()[:2]))
        for expected in ("git clone", "git index-pack", "git-upload-pack origin", "git pack-objects"):
            self.assertTrue(any(command.startswith(expected.split()[0]) and expected.split()[1] in command
                                for command in commands), (expected, commands))

    def test_names_with_the_pid(self):
        recorded = run([HEAPLEDGER, "record", "-o", self.scratch / "t.%p.hlt", "--", "/bin/sh", "-c",
                        f"{program('exact_counts')} >/dev/null; exec {program('exact_counts')} >/dev/null"])
        self.assertEqual(recorded.status, 0, recorded.explain())
        deadline = time.monotonic() + 60
        while list(self.scratch.glob("*.session")) and time.monotonic() < deadline:
            time.sleep(0.05)
        names = sorted(path.name for path in self.scratch.iterdir())
        infos = {name: self.assert_nothing_lost(self.scratch / name) for name in names}
        root = next(info["pid"] for info in infos.values() if info["root"])
        child = next(info["pid"] for info in infos.values() if info["pid"] != root)
        self.assertEqual(names, sorted([f"t.{root}.hlt", f"t.{root}.0.hlt", f"t.{child}.hlt"]))
        self.assertEqual([info["pid"] for info in infos.values()], [int(name.split(".")[1]) for name in names])
        self.assertIn(f"/t.{root}.hlt".encode(), recorded.stderr, "the path that is printed exists")
        # Nothing is overwritten: the same names again, in a world where they are taken.
        before = {name: (self.scratch / name).read_bytes() for name in names}
        run([HEAPLEDGER, "record", "-q", "-o", self.scratch / "t.%p.hlt", "--", "/bin/true"])
        self.assertEqual({name: (self.scratch / name).read_bytes() for name in names}, before)

    def test_the_clock_of_a_process_of_a_moment_is_known(self):
        recorded = self.record("/bin/sh", "-c", "i=0; while [ $i -lt 100 ]; do (:); i=$((i+1)); done")
        infos = [self.assert_nothing_lost(trace) for trace in (recorded.trace, *recorded.children())]
        self.assertEqual(len(infos), 101)
        self.assertEqual([info["problems"] for info in infos], [[]] * 101)


class ExecChains(harness.TestCase):
    def test_every_image_of_a_chain_has_a_trace_and_the_users_preloads(self):
        preloads = f"{harness.PROGRAMS}/reused_second.so:{harness.PROGRAMS}/reused_first.so"
        environment = harness.clean_environment(LD_PRELOAD=preloads)
        recorded = self.assert_same_output([program("exec_chain")], env=environment)
        self.assertEqual(recorded.stdout.count(b"preloads: reused_second.so reused_first.so\n"), 9)
        images = {}
        for trace in [*recorded.children(), recorded.trace]:
            info = self.assert_nothing_lost(trace)
            images[info["image_number"]] = (info, trace)
        self.assertEqual(sorted(images), list(range(9)))
        for number, (info, trace) in images.items():
            self.assertEqual(info["pid"], images[0][0]["pid"])
            self.assertEqual(own_calls(trace, "allocate_as_image"), (10 + 2 * number, 5 + number))
            self.assertEqual((info["ended"]["how"], info["ended"]["code"]), ("exec", -1) if number < 8 else ("exited", 0))
            self.assertEqual(info["parent_uuid"], images[number - 1][0]["uuid"] if number else None)
            calls = [re.search(rb' kind=(exec\w*)(?: path=("[^"]*"))?', line) for line in dump_lines(trace)]
            nowhere = ("exec", '"/nonexistent/program"')
            failing = [nowhere, ("exec_failed", None), ("exec", '"no-such-program-anywhere"'), ("exec_failed", None),
                       nowhere, ("exec_failed", None)]
            program_path = '""' if number == 7 else f'"{program("exec_chain")}"'
            self.assertEqual([tuple(word and word.decode() for word in call.groups()) for call in calls if call],
                             failing + ([("exec", program_path)] if number < 8 else []), number)
        self.assertEqual(images[8][1], recorded.trace, "-o names the last image of the root")

    def test_no_follow_takes_ours_alone_out_of_the_childrens_environment(self):
        own = harness.PROGRAMS / "reused_first.so"
        script = "env | grep -E '^(LD_PRELOAD|HEAPLEDGER)' ; /bin/sh -c 'env; true' | grep -E '^(LD_PRELOAD|HEAPL)'"
        for preloads, expected in ((str(own), f"LD_PRELOAD={own}\n" * 2), (None, "")):
            environment = harness.clean_environment(**({"LD_PRELOAD": preloads} if preloads else {}))
            recorded = self.record("/bin/sh", "-c", script + "; true", options=["--no-follow"], env=environment,
                                   name=f"t{len(expected)}.hlt")
            self.assertEqual(recorded.stdout.decode(), expected)
            self.assertEqual(recorded.children(), [])

    def test_what_the_root_becomes_is_followed_all_the_same(self):
        recorded = self.record("/bin/sh", "-c", "exec " + program("exec_chain"), options=["--no-follow"])
        self.assertEqual(own_calls(recorded.trace, "allocate_as_image"), (26, 13))


class Daemons(harness.TestCase):
    def test_a_daemon_that_leaves_everything_is_recorded_to_its_end(self):
        said = self.scratch / "said"
        recorded = self.record(program("daemonize"), said)
        self.assertEqual(recorded.stdout, b"parent done\n")
        self.assertFalse(said.exists(), "record ends with the program, not with its daemon")
        Path(f"{said}.go").touch()  # the daemon waits for this
        children = recorded.children()
        fd, daemon, worker = map(int, said.read_text().split())
        self.assertEqual(fd, 3, "no descriptor of ours in the daemon")
        found = {}
        for trace in children:
            info = self.assert_nothing_lost(trace)
            found[info["pid"]] = (own_calls(trace), info["ended"]["how"], info["ended"]["code"])
        self.assertEqual(own_calls(recorded.trace), (20, 10))
        self.assertEqual(found.pop(daemon), ((500, 250), "exited", 0))
        self.assertEqual(found.pop(worker), ((70, 35), "exited", 3))
        # The one in between allocates nothing itself; whether an event of it is there hangs on libc.
        self.assertTrue(all(calls == (0, 0) for calls, _, _ in found.values()), found)
        self.assertFalse(os.path.exists(str(recorded.trace) + ".session"), "all was closed")


class ChangedRights(harness.TestCase):
    def assert_recorded(self, mode, blocks, arguments=(), calls=3):
        alone = run([program("changed_rights"), mode, str(blocks), *arguments])
        if alone.status == 77:
            self.skipTest("no right to " + mode)
        recorded = self.assert_same_output([program("changed_rights"), mode, str(blocks), *map(str, arguments)])
        self.assert_nothing_lost(recorded.trace)
        self.assertEqual(own_calls(recorded.trace), (calls * blocks, calls * blocks // 2))
        return recorded

    def assert_forked_child(self, recorded, blocks):
        forked = [trace for trace in recorded.children() if own_calls(trace) == (blocks // 10, blocks // 20)]
        self.assertEqual(len(forked), 1)
        self.assertEqual(self.assert_nothing_lost(forked[0])["ended"]["code"], 5)

    def assert_says_what_ran_unrecorded(self, recorded, path):
        line = f"1 program could not be recorded after giving up rights (user or root directory): {path}\n"
        self.assertIn(line.encode(), recorded.stderr)
        unrecorded = [analyze("info", trace)["unrecorded_exec"] for trace in recorded.children()]
        self.assertEqual([entry["path"] for entry in unrecorded if entry], [path])

    def test_user_namespace_for_which_one_must_be_single_threaded(self):
        recorded = self.assert_recorded("userns", 1000)
        self.assertIn(b"executed child ended with 6\n", recorded.stdout)
        self.assert_forked_child(recorded, 1000)

    def test_filter_that_kills_at_any_new_process_or_file(self):
        self.assert_recorded("forbidden", 300_000 * harness.SCALE, calls=2)

    @harness.require("gcc")
    def test_chroot(self):
        root = self.scratch / "root"
        root.mkdir()
        (self.scratch / "static.c").write_text("int main(void) { return 6; }\n")
        if run(["gcc", "-static", self.scratch / "static.c", "-o", root / "static"]).status != 0:
            self.skipTest("no static libc")
        recorded = self.assert_recorded("chroot", 1000, [root])
        self.assertIn(b"executed child ended with 6\n", recorded.stdout)
        self.assert_forked_child(recorded, 1000)
        self.assert_says_what_ran_unrecorded(recorded, "/static")

    @as_root
    def test_giving_up_root(self):
        recorded = self.assert_recorded("drop", 1000)
        self.assertIn(b"executed child ended with 6\n", recorded.stdout)
        self.assert_forked_child(recorded, 1000)
        self.assert_says_what_ran_unrecorded(recorded, program("changed_rights"))

    def assert_names_unrecorded_children(self, recorded, programs, path):
        line = (f"{programs} program{'s' if programs > 1 else ''} could not be recorded after giving up rights (user or "
                f"root directory): {'at last ' if programs > 1 else ''}{path}\n")
        self.assertIn(line.encode(), recorded.stderr)
        info = recorded.info()
        self.assertEqual(info["unrecorded_children"], {
            "programs": programs, "path": path, "reason": "it had given up the right to open the session file"})
        self.assertIsNone(info["unrecorded_exec"])
        said = run([HEAPLEDGER, "info", recorded.trace]).stdout.decode()
        self.assertIn(f"{programs} program{'s, at last' if programs > 1 else ''} that it started", said)

    @as_root
    def test_vfork_and_spawned_children_of_what_gave_up_root(self):
        recorded = self.assert_recorded("borrowers", 1000)
        self.assertEqual(recorded.stdout.splitlines()[:5], [
            b"vfork child ended with 6", b"vfork child ended with 80", b"spawned child ended with 6",
            b"spawned child ended with 6", b"spawn of nothing: 1"])
        self.assert_names_unrecorded_children(recorded, 3, program("changed_rights"))
        self.assertEqual(recorded.children(), [])

    @as_root
    def test_vfork_child_that_gives_up_root(self):
        recorded = self.assert_recorded("inside", 1000, calls=2)
        self.assertIn(b"vfork child ended with 6\n", recorded.stdout)
        self.assert_names_unrecorded_children(recorded, 1, program("changed_rights"))

    def test_vfork_child_with_a_filter_is_not_asked(self):
        recorded = self.assert_recorded("filtered", 1000, calls=2)
        self.assertIn(b"vfork child ended with 6\n", recorded.stdout)
        self.assertIsNone(recorded.info()["unrecorded_children"])
        self.assertEqual(len(recorded.children()), 1, "the next image is recorded")

    @as_root
    def test_a_run_names_what_gave_up_root(self):
        # What anybody may execute, while the session file stays root's.
        recorded = run([HEAPLEDGER, "record", "--output-dir", self.scratch / "run", "--", "/bin/sh", "-c",
                        f"{program('exact_counts')} >/dev/null; setpriv --reuid 12345 --clear-groups /bin/true; true"])
        self.assertEqual(recorded.status, 0, recorded.explain())
        self.assertIn(b"1 program could not be recorded after giving up rights (user or root directory): /bin/true\n",
                      recorded.stderr)
        directory, = (self.scratch / "run").glob("heapledger-*")
        info = analyze("info", directory)
        found = [image["unrecorded_exec"] for image in info["processes"] if image["unrecorded_exec"]]
        self.assertEqual(found, [{"path": "/bin/true", "reason": "it had given up the right to open the session file"}])
        self.assertIn("then /bin/true, unrecorded", run([HEAPLEDGER, "info", directory]).stdout.decode())

    @as_root
    def test_a_program_that_becomes_one_without_rights_has_a_whole_trace(self):
        recorded = self.record("setpriv", "--reuid", "12345", "--clear-groups", "/bin/sh", "-c", "exit 3", status=3)
        self.assertIn(b"(user or root directory): /bin/sh\n", recorded.stderr)
        self.assertNotIn(b"incomplete", recorded.stderr)
        self.assertEqual(self.assert_nothing_lost(recorded.trace)["ended"]["how"], "exec")

    @as_root
    def test_limits_on_processes(self):
        """The recorder, its sampler, the witness and the scanner count as well; the program runs in any case."""
        self.scratch.chmod(0o777)
        command = ("/bin/echo", "it ran")
        seen = []
        for most in range(1, 9):
            def limit(most=most):
                pretend_to_be(45678 + most)()  # whose processes of the last round may not have ended
                resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
            finished = run([HEAPLEDGER, "record", "-o", self.scratch / f"{most}.hlt", "--", *command], preexec_fn=limit)
            self.assertEqual((finished.status, finished.stdout), (0, b"it ran\n"), finished.explain())
            recorded = (self.scratch / f"{most}.hlt").exists()
            self.assertEqual(b"; running unrecorded\n" in finished.stderr, not recorded, finished.explain())
            seen.append(recorded)
        self.assertEqual(seen, sorted(seen))
        self.assertEqual((seen[0], seen[-1]), (False, True))

    def test_limits_on_descriptors(self):
        seen = []
        for most in range(4, 25):
            def limit(most=most):
                resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
            finished = run([HEAPLEDGER, "record", "-o", self.scratch / f"{most}.hlt", "--", "/bin/echo", "it ran"],
                           preexec_fn=limit)
            self.assertEqual((finished.status, finished.stdout), (0, b"it ran\n"), finished.explain())
            recorded = b"; running unrecorded\n" not in finished.stderr
            if recorded:
                self.assert_nothing_lost(self.scratch / f"{most}.hlt")
            seen.append(recorded)
        self.assertEqual(seen, sorted(seen))
        self.assertEqual((seen[0], seen[-1]), (False, True))

    @as_root
    def test_setuid_program_runs_unrecorded(self):
        # The loader ignores our library there, and says nothing.
        os.chmod(self.scratch, 0o777)
        identity = self.scratch / "id"
        shutil.copy("/usr/bin/id", identity)
        os.chown(identity, 12346, 12346)
        os.chmod(identity, 0o4755)
        alone = run([identity, "-u"], preexec_fn=pretend_to_be(12345))
        self.assertEqual(alone.stdout, b"12346\n", "this file system knows setuid")
        direct = run([HEAPLEDGER, "record", "-o", self.scratch / "t.hlt", "--", identity, "-u"], cwd="/",
                     preexec_fn=pretend_to_be(12345))
        self.assertEqual((direct.status, direct.stdout), (0, b"12346\n"), direct.explain())
        self.assertIn(b"nothing was recorded", direct.stderr)
        self.assertFalse((self.scratch / "t.hlt").exists())
        # As a child it is ignored, and the rest of the tree recorded.
        script = f"{identity} -u; {program('exact_counts')} > /dev/null"
        child = run([HEAPLEDGER, "record", "-q", "-o", self.scratch / "c.hlt", "--", "/bin/sh", "-c", script + "; true"],
                    cwd="/", preexec_fn=pretend_to_be(12345))
        self.assertEqual((child.status, child.stdout, child.stderr), (0, b"12346\n", b""))
        info = self.assert_nothing_lost(self.scratch / "c.hlt")
        self.assertEqual(info["ended"]["code"], 0)


if __name__ == "__main__":
    harness.main()
