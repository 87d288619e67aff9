#!/usr/bin/env python3
"""Programs that the kernel shows to nobody but the administrator: not dumpable, or of another user by now.

They cannot be stopped by ptrace, and a /proc mounted with hidepid does not show them at all. Nothing of theirs may be
taken to have ended for that, and their end must not wait for what cannot come.
"""
import os

import harness
from harness import HEAPLEDGER, Recorded, analyze, as_root, program, run

# An administrator as of most containers.
NO_PTRACE = ["setpriv", "--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace"] if os.geteuid() == 0 else []
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


class Undumpable(harness.TestCase):

    def record_without_ptrace(self, *command, directory=None, leaks="all"):
        trace = (directory or self.scratch) / "t.hlt"
        finished = run([*NO_PTRACE, HEAPLEDGER, "record", "--leaks", leaks, "-o", trace, "--", program("undumpable"),
                        *command])
        if finished.status == 77:
            self.skipTest("no right to do it")
        self.assertEqual((finished.status, finished.stdout), (0, b"done\n"), finished.explain())
        return Recorded(finished, trace)

    def assert_copied(self, trace):
        leaks = analyze("leaks", trace)
        self.assertTrue(leaks["scanned"], leaks["reason"])
        self.assertEqual(leaks["scan"]["way"], "copy")
        return leaks

    @as_root
    def test_what_proc_hides_is_not_taken_to_have_ended(self):
        self.scratch.chmod(0o777)
        script = (f"mount -t proc -o hidepid=2 proc /proc || exit 77; cd {self.scratch}; "
                  f"exec {' '.join(NOBODY)} {HEAPLEDGER} record -o t.hlt -- {program('undumpable')} hidden")
        finished = run(["unshare", "-m", "sh", "-c", script])
        if finished.status == 77:
            self.skipTest("no right to mount")
        self.assertEqual((finished.status, finished.stdout), (0, b"done\n"), finished.explain())
        recorded = Recorded(finished, self.scratch / "t.hlt")
        traces = [*recorded.children(), recorded.trace]
        infos = [self.assert_nothing_lost(trace) for trace in traces]
        self.assertEqual([info["problems"] for info in infos], [[]] * 5)
        sizes = {}
        for trace in traces:
            for site in analyze("report", trace)["sites"]:
                if "churn" in harness.functions(site):
                    sizes[trace.name] = sizes.get(trace.name, 0) + site["allocation_calls"]
        self.assertEqual(sorted(sizes.values()), [1000] * 4 + [2000])
        self.assert_copied(recorded.trace)

    def test_copies_of_several_at_once(self):
        recorded = self.record_without_ptrace("children", "16")
        children = recorded.children()
        self.assertEqual(len(children), 16)
        for trace in children:
            leaks = self.assert_copied(trace)
            self.assertEqual(leaks["definite"]["blocks"], 7)
        self.assertEqual([path.name for path in self.scratch.iterdir() if ".copy" in path.name], [])

    @as_root
    def test_the_copy_of_another_user(self):
        self.scratch.chmod(0o755)
        self.assertEqual(self.assert_copied(self.record_without_ptrace("user").trace)["definite"]["blocks"], 7)

    @as_root
    def test_how_another_users_children_ended(self):
        """Of those /proc says 0, whatever it was."""
        recorded = self.record_without_ptrace("ends", leaks="none")
        ends = [analyze("info", trace)["ended"] for trace in recorded.children()]
        self.assertEqual([(end["how"], end["code"]) for end in ends[:2]], [("exited", 0), ("exited", 3)])
        # A signal's number is told to strangers since Linux 6.15, and before not at all.
        self.assertNotEqual(ends[2]["how"], "exited")
        self.assertIn(ends[2]["code"], (-1, 15))

    @as_root
    def test_who_cannot_open_the_copys_file_says_so(self):
        """Instead of being waited for."""
        private = self.scratch / "private"
        private.mkdir(mode=0o700)
        (self.scratch / "root").mkdir()
        for command in (["user"], ["root", str(self.scratch / "root")]):
            with self.subTest(command=command[0]):
                recorded = self.record_without_ptrace(*command, directory=private)
                leaks = analyze("leaks", recorded.trace)
                self.assertFalse(leaks["scanned"])
                self.assertIn("the process cannot open", leaks["reason"])


if __name__ == "__main__":
    harness.main()
