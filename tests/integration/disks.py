"""Disks to record onto that fill up, fail or are missing: mounted for one command, gone with it. What the tests of
places that cannot be written to stand on."""
import os
import re
import struct
import unittest
from pathlib import Path

import harness
from harness import HEAPLEDGER, analyze, program, run

ROUNDS = 200_000
HEAP = ("allocations", "frees", "reallocations")
WRITES_FAILED = b"because the trace could not be written: "


def mount_command():
    """Words that run a command in a mount namespace of its own; None where that is not permitted."""
    for words in (["unshare", "-m"], ["unshare", "-Urm"]):
        if run([*words, "sh", "-c", "mount -t tmpfs none /mnt"]).status == 0:
            return words
    return None


MOUNT = mount_command()
can_mount = unittest.skipUnless(MOUNT, "no right to mount")


class Disks(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.disk = self.scratch / "disk"
        self.kept = self.scratch / "kept"
        self.disk.mkdir()
        self.kept.mkdir()

    namespaces = MOUNT
    become = ""  # words before a command that make another user run it

    def run_on_a_disk(self, mount, before, *options, command=None, output="t.hlt", after="", timeout=120):
        """Records random_calls onto a disk that ends with the call; what is on it at the end is in self.kept. `mount`:
        what `mount` takes for a disk without a device, or a whole command."""
        command = command or f"{program('random_calls')} {ROUNDS}"
        if mount.startswith("-"):
            mount = f"mount {mount} none {self.disk}"
        script = (f"{{ {mount}; }} && cd {self.disk} || exit 99\n{before}\n"
                  f"{self.become} {HEAPLEDGER} record -o {self.disk}/{output} {' '.join(options)} -- {command}\nstatus=$?\n{after}\n"
                  f"cp -a {self.disk}/. {self.kept}/\nexit $status\n")
        return run([*self.namespaces, "sh", "-c", script], timeout=timeout)

    def assert_runs_unharmed(self, recorded, rounds=ROUNDS):
        alone = run([program("random_calls"), str(rounds)])
        self.assertEqual((recorded.status, recorded.stdout), (alone.status, alone.stdout), recorded.explain())

    def completed(self, counts):
        """The calls of until_killed."""
        return struct.unpack_from("<Q", counts.read_bytes())[0]

    def assert_counts(self, trace, counts):
        """Every call that until_killed completed, its start, end and mapping, are in the trace or counted as lost."""
        info = analyze("info", trace)
        lost = info["lost"]["by_cause"]
        self.assertEqual({cause for cause, count in lost.items() if count}, {"disk_full"})
        self.assertEqual(info["events"]["total"] + lost["disk_full"], self.completed(counts) + 3)
        return info

    def assert_one_line(self, recorded, text):
        self.assertEqual(len([line for line in recorded.stderr.splitlines() if text in line]), 1, recorded.explain())

    def assert_recorded_and_lost_make_all(self, trace, rounds=ROUNDS):
        whole = self.record(program("random_calls"), rounds, name="whole.hlt").info()
        self.assertEqual(whole["lost"]["events"], 0)
        info = analyze("info", trace)
        recorded = sum(info["events"][key] for key in HEAP)
        lost = info["lost"]["by_cause"]
        self.assertEqual({cause for cause, count in lost.items() if count}, {"disk_full"})
        # Ends of threads and the like are events too; random_calls has none but its first thread's start.
        self.assertEqual(recorded + lost["disk_full"] + info["events"]["other"], sum(whole["events"][key] for key in HEAP)
                         + whole["events"]["other"])
        self.assertGreater(recorded, 20000, "what did fit is there")
        report = analyze("report", trace)
        self.assertEqual(report["totals"]["allocation_calls"], info["events"]["allocations"] +
                         info["events"]["reallocations"])
        return info


# Every page of the session file is written to again and again, with all of it written back in between.
OVERWRITE = "for round in 1 2 3 4 5 6; do sync; more 50000; done"


def mounts(make, options="loop"):
    """Skips where a file system in a file cannot be mounted: no right, no loop device, no such file system."""
    script = (f"cd $(mktemp -d) && truncate -s 320M i && mkdir d && {{ {make} i; }} >/dev/null 2>&1 && "
              f"mount -o {options} i d && umount d; status=$?; rm -r $PWD; exit $status")
    works = os.geteuid() == 0 and run(["unshare", "-m", "sh", "-c", script]).status == 0
    return unittest.skipUnless(works, f"{make} and mount -o {options} do not work here")


class Filled(Disks):
    """Disks on which something happens while a program is recorded."""

    def setUp(self):
        super().setUp()
        self.counts = self.scratch / "counts"

    def until_killed(self, trouble, *options, mount, after=""):
        """Records until_killed, which runs until `trouble` is done and makes 200 000 calls more. `trouble`: shell words
        that begin when the program runs; `more N` waits for N calls."""
        self.counts.unlink(missing_ok=True)
        over = f"[ -e {self.counts}.over ]"
        script = (f"rm -f {self.counts}.*\ncompleted() {{ od -An -tu8 -N8 {self.counts} | tr -d ' '; }}\n"
                  "more() { at=$(completed); "
                  f"until [ $(completed) -gt $((at + $1)) ] || {over}; do sleep 0.01; done; }}\n"
                  f"(until [ -s {self.counts} ] || {over}; do sleep 0.01; done\n{trouble}\n"
                  f"touch {self.counts}.go) >/dev/null 2>&1 & troubled=$!")
        recorded = self.run_on_a_disk(mount, script, "--pool-size=1", "--sample-budget=0", *options,
                                      command=f"{program('until_killed')} {self.counts} 200000 go",
                                      after=f"touch {self.counts}.over; wait $troubled; {after}")
        # A session file that stays because the trace could not be closed.
        for session in re.findall(rb" what it lacks is in (/\S+)", recorded.stderr):
            self.addCleanup(Path(session.decode()).unlink, missing_ok=True)
        self.assertEqual((recorded.status, recorded.stdout), (0, b""), recorded.explain())
        return recorded

    def image(self, make, megabytes, options="loop"):
        """A command that mounts a file system in a file."""
        image = self.scratch / "image"
        return (f"rm -f {image}; truncate -s {megabytes}M {image} && "
                f"{make} {image} >/dev/null 2>&1 && mount -o {options} {image} {self.disk}")

    def fill(self):
        return f"{self.become} dd if=/dev/urandom of=rest bs=64k; {self.become} dd if=/dev/zero of=rest2 bs=1k\n"

    def assert_a_full_disk_harms_nobody(self, mount, full=b"No space left on device"):
        """Filled while the program runs, which then writes to pages of the session file that were written back: one
        that must be copied finds no room."""
        recorded = self.until_killed(self.fill() + OVERWRITE, mount=mount, after="rm rest rest2")
        self.assert_one_line(recorded, WRITES_FAILED + full)
        return self.assert_counts(self.kept / "t.hlt", self.counts)
