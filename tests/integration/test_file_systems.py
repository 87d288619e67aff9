"""File systems that a trace may be recorded onto, each with room and full. Where memory cannot be shared safely
(copy on write, FUSE) the session file goes to a tmpfs, so that a full disk harms no program."""
import os
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from disks import OVERWRITE, WRITES_FAILED, Filled, can_mount, mounts
from harness import analyze, dump_lines, require


@can_mount
class FileSystems(Filled):
    def setUp(self):
        super().setUp()
        self.lower = self.scratch / "lower"
        self.lower.mkdir()

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
        self.record_with("true")
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
        self.record_with("kill -STOP $server; more 700000; kill -CONT $server")
        info = analyze("info", self.kept / "t.hlt")
        gaps = sum(b" kind=lost " in line for line in dump_lines(self.kept / "t.hlt"))
        self.assertEqual(info["events"]["total"] - gaps + info["lost"]["events"], self.completed(self.counts) + 3)
        self.assertEqual({cause for cause, count in info["lost"]["by_cause"].items() if count}, {"pool_exhausted"})


if __name__ == "__main__":
    harness.main()
