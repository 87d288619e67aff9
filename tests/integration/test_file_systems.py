"""File systems that a trace may be recorded onto, each with room and full. Where memory cannot be shared safely
(copy on write, FUSE) the session file goes to a tmpfs, so that a full disk harms no program."""
import os
import re
import sys
import unittest
from pathlib import Path

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from disks import ROUNDS, WRITES_FAILED, Disks, can_mount
from harness import analyze, dump_lines, program, require, run


# Every page of the session file is written to again and again, with all of it written back in between.
OVERWRITE = "for round in 1 2 3 4 5 6; do sync; more 50000; done"


def mounts(make, options="loop"):
    """Skips where a file system in a file cannot be mounted: no right, no loop device, no such file system."""
    script = (f"cd $(mktemp -d) && truncate -s 320M i && mkdir d && {{ {make} i; }} >/dev/null 2>&1 && "
              f"mount -o {options} i d && umount d; status=$?; rm -r $PWD; exit $status")
    works = os.geteuid() == 0 and run(["unshare", "-m", "sh", "-c", script]).status == 0
    return unittest.skipUnless(works, f"{make} and mount -o {options} do not work here")


class Filled(Disks):
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


@can_mount
class FileSystems(Filled):
    def setUp(self):
        super().setUp()
        self.lower = self.scratch / "lower"
        self.lower.mkdir()

    def image(self, make, megabytes, options="loop"):
        """A command that mounts a file system in a file."""
        image = self.scratch / "image"
        return (f"rm -f {image}; truncate -s {megabytes}M {image} && "
                f"{make} {image} >/dev/null 2>&1 && mount -o {options} {image} {self.disk}")

    def overlay(self, below):
        """The same, and an overlay above it in its place."""
        return (f"{below} && mkdir {self.disk}/upper {self.disk}/work && mount -t overlay -o "
                f"lowerdir={self.lower},upperdir={self.disk}/upper,workdir={self.disk}/work none {self.disk}")

    def assert_all_is_recorded(self, mount):
        recorded = self.run_on_a_disk(mount, "")
        self.assert_runs_unharmed(recorded)
        self.assertEqual(set(os.listdir(self.kept)) - {"lost+found"}, {"t.hlt"}, recorded.explain())
        self.assert_nothing_lost(self.kept / "t.hlt")
        (self.kept / "t.hlt").unlink()

    def assert_a_full_disk_harms_nobody(self, mount, full=b"No space left on device"):
        """Filled while the program runs, which then writes to pages of the session file that were written back: one
        that must be copied finds no room."""
        fill = "dd if=/dev/urandom of=rest bs=64k; dd if=/dev/zero of=rest2 bs=1k\n"
        recorded = self.until_killed(fill + OVERWRITE, mount=mount, after="rm rest rest2")
        self.assert_one_line(recorded, WRITES_FAILED + full)
        return self.assert_counts(self.kept / "t.hlt", self.counts)

    @mounts("mkfs.ext4 -q")
    def test_ext4(self):
        mount = self.image("mkfs.ext4 -q", 64)
        self.assert_all_is_recorded(mount)
        self.assert_a_full_disk_harms_nobody(mount)

    @mounts("mkfs.xfs -q")
    def test_xfs(self):
        mount = self.image("mkfs.xfs -q", 320)
        self.assert_all_is_recorded(mount)
        self.assert_a_full_disk_harms_nobody(mount)

    @mounts("mkfs.btrfs -q")
    def test_btrfs(self):
        mount = self.image("mkfs.btrfs -q -M", 64)
        self.assert_all_is_recorded(mount)
        self.assert_a_full_disk_harms_nobody(mount)

    @mounts("mkfs.btrfs -q")
    def test_btrfs_that_compresses(self):
        self.assert_a_full_disk_harms_nobody(self.image("mkfs.btrfs -q -M", 64, "loop,compress-force=zstd"))

    @mounts("mkfs.ext4 -q")
    def test_overlay(self):
        mount = self.overlay(self.image("mkfs.ext4 -q", 64))
        self.assert_all_is_recorded(mount)
        self.assert_a_full_disk_harms_nobody(mount)

    @mounts("mkfs.btrfs -q")
    def test_overlay_above_btrfs(self):
        mount = self.overlay(self.image("mkfs.btrfs -q -M", 64))
        self.assert_all_is_recorded(mount)
        self.assert_a_full_disk_harms_nobody(mount)

    @mounts("mkfs.ext4 -q -O quota -E quotatype=usrquota", "loop,usrquota")
    def test_quota_of_a_user_is_used_up(self):
        """What the file system itself refuses one user while there is room for others."""
        mount = (self.image("mkfs.ext4 -q -O quota -E quotatype=usrquota", 64, "loop,usrquota") +
                 f" && setquota -u 12345 20000 20000 0 0 {self.disk} && chmod 777 {self.disk} {self.scratch}")
        self.assert_a_full_disk_harms_nobody(mount, full=b"Disk quota exceeded")

    @mounts("mkfs.ext4 -q")
    def test_what_is_below_the_file_system_is_full(self):
        """The disk is a file in a full tmpfs that never was given room: what fails is writing back, and the file
        system becomes read-only."""
        below = self.scratch / "below"
        below.mkdir()
        mount = (f"mount -t tmpfs -o size=24m none {below} && truncate -s 200M {below}/image && "
                 f"mkfs.ext4 -q {below}/image && mount -o loop {below}/image {self.disk}")
        recorded = self.until_killed(f"dd if=/dev/zero of={below}/rest bs=64k\n" + OVERWRITE, mount=mount)
        # Whether the recorder notices, which does not wait for the disk, is the kernel's affair.
        info = analyze("info", self.kept / "t.hlt")
        self.assertEqual(info["events"]["total"] + info["lost"]["events"], self.completed(self.counts) + 3,
                         recorded.explain())


@can_mount
@require("bindfs")
class UserSpace(Filled):
    """A process serves the disk: `backing` in another place."""

    def setUp(self):
        super().setUp()
        self.backing = self.scratch / "backing"
        self.backing.mkdir()
        mounted = f"mountpoint -q {self.disk}"
        self.mount = (f"mount -t tmpfs -o size=32m none {self.backing} && {{ bindfs -f {self.backing} {self.disk} & }}; server=$!; "
                      f"trap 'umount -l {self.disk}; kill -9 $server' EXIT; "
                      f"for try in $(seq 500); do {mounted} && break; sleep 0.01; done; {mounted}")

    def record_with(self, trouble):
        after = f"rm -f {self.backing}/rest; cp -a {self.backing}/t.hlt {self.kept}/; exit $status"
        return self.until_killed("more 300000; " + trouble, mount=self.mount, after=after)

    def test_all_is_recorded(self):
        recorded = self.record_with("true")
        info = self.assert_nothing_lost(self.kept / "t.hlt")
        self.assertEqual(info["events"]["total"], self.completed(self.counts) + 3)

    def test_full(self):
        recorded = self.record_with("dd if=/dev/zero of=rest bs=64k; more 200000")
        self.assert_one_line(recorded, WRITES_FAILED + b"No space left on device")
        self.assert_counts(self.kept / "t.hlt", self.counts)

    def test_its_process_dies(self):
        recorded = self.record_with("kill -9 $server; more 200000")
        self.assert_one_line(recorded, WRITES_FAILED)
        self.assert_counts(self.kept / "t.hlt", self.counts)

    def test_its_process_stands_still(self):
        """Like a network that is gone: writes neither succeed nor fail."""
        recorded = self.record_with("kill -STOP $server; more 700000; kill -CONT $server")
        info = analyze("info", self.kept / "t.hlt")
        gaps = sum(b" kind=lost " in line for line in dump_lines(self.kept / "t.hlt"))
        self.assertEqual(info["events"]["total"] - gaps + info["lost"]["events"], self.completed(self.counts) + 3)
        self.assertEqual({cause for cause, count in info["lost"]["by_cause"].items() if count}, {"pool_exhausted"})


if __name__ == "__main__":
    harness.main()
