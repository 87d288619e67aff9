"""Limits of one user or one directory on a disk that has room for others. Like a full disk: the program runs
unharmed, one line says why, what was written stays readable, losses are counted; and recording goes on where somebody
lifts the limit. Needs a kernel with quotas (CONFIG_QFMT_V2, CONFIG_XFS_QUOTA)."""
import os
import sys
import unittest

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from disks import OVERWRITE, WRITES_FAILED, Filled, can_mount, mounts
from harness import HEAPLEDGER, require, run

USER, PROJECT = 12345, 77
LIMIT_KB = 20000
AS_USER = f"setpriv --reuid {USER} --regid {USER} --clear-groups"

EXT4_USER = "mkfs.ext4 -q -O quota -E quotatype=usrquota", "loop,usrquota"
EXT4_PROJECT = "mkfs.ext4 -q -O quota,project -E quotatype=prjquota", "loop,prjquota"
XFS_USER = "mkfs.xfs -q", "loop,uquota"
XFS_PROJECT = "mkfs.xfs -q", "loop,pquota"

DISK_QUOTA = b"Disk quota exceeded"
NO_SPACE = b"No space left on device"


def can_become_user():
    return os.geteuid() == 0 and run([*AS_USER.split(), HEAPLEDGER, "--version"]).status == 0


@can_mount
@require("setquota", "xfs_quota", "setpriv")
@unittest.skipUnless(can_become_user(), "not root, or other users cannot run what was built here")
class Quotas(Filled):
    become = AS_USER

    def limit(self, kind, kilobytes=LIMIT_KB):
        """A command that sets the limit; 0: none."""
        if "xfs" in kind[0]:
            who = f"-p bhard={kilobytes}k {PROJECT}" if kind == XFS_PROJECT else f"-u bhard={kilobytes}k {USER}"
            return f"xfs_quota -x -c 'limit {who}' {self.disk}"
        who = f"-P {PROJECT}" if kind == EXT4_PROJECT else f"-u {USER}"
        return f"setquota {who} {kilobytes} {kilobytes} 0 0 {self.disk}"

    def limited(self, kind):
        """A command that mounts a disk with a limit."""
        member = {EXT4_PROJECT: f"chattr -p {PROJECT} +P {self.disk}",
                  XFS_PROJECT: f"xfs_quota -x -c 'project -s -p {self.disk} {PROJECT}' {self.disk} >/dev/null"}
        return (f"{self.image(kind[0], 320, kind[1])} && {member.get(kind, 'true')} && {self.limit(kind)} && "
                f"chmod 777 {self.disk} {self.scratch}")

    def check(self, kind, reason=DISK_QUOTA):
        with self.subTest("used up before the start"):
            recorded = self.run_on_a_disk(self.limited(kind), self.fill() + ":")
            self.assert_runs_unharmed(recorded)
            self.assert_one_line(recorded, WRITES_FAILED + reason)
            self.assertIn(b"there is no trace", recorded.stderr)
            left = set(os.listdir(self.kept)) - {"lost+found"}
            self.assertLessEqual(left, {"rest", "rest2"})
            for name in left:
                (self.kept / name).unlink()
        with self.subTest("used up while the program runs"):
            info = self.assert_a_full_disk_harms_nobody(self.limited(kind), full=reason)
            self.assertGreater(info["events"]["total"], 1000, "what was written stays readable")
        with self.subTest("used up and lifted"):
            trouble = f"more 100000; {self.fill()}{OVERWRITE}; more 600000; {self.limit(kind, 0)}; more 600000"
            recorded = self.until_killed(trouble, mount=self.limited(kind), after="rm rest rest2")
            self.assert_one_line(recorded, WRITES_FAILED + reason)
            info = self.assert_counts(self.kept / "t.hlt", self.counts)
            self.assertEqual(info["ended"]["how"], "exited", "it was closed after the limit was gone")

    @mounts(*EXT4_USER)
    def test_user_on_ext4(self):
        self.check(EXT4_USER)

    @mounts(*EXT4_PROJECT)
    def test_project_on_ext4(self):
        self.check(EXT4_PROJECT)

    @mounts(*XFS_USER)
    def test_user_on_xfs(self):
        self.check(XFS_USER)

    @mounts(*XFS_PROJECT)
    def test_project_on_xfs(self):
        """xfs itself gives the limit of a directory as a full disk, also in df."""
        self.check(XFS_PROJECT, NO_SPACE)


if __name__ == "__main__":
    harness.main()
