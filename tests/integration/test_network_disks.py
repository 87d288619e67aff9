"""Traces on NFS: a server of this machine's own kernel, in network and mount namespaces of the test's own. The program
maps nothing of the server, so that nothing there can stop it; what the server refuses late is counted. Needs a kernel
with nfsd and NFS 4, and nfs-kernel-server, which setup.sh does not install: it would start a server."""
import os
import sys
import unittest

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from disks import WRITES_FAILED, Filled
from harness import analyze, dump_lines, require, run

# With the first process in it, all of a pid namespace ends.
NAMESPACES = ["unshare", "-mnpf", "--kill-child", "--mount-proc"]


def serves_nfs():
    """A kernel that can be client and server, and the right to be both."""
    script = "modprobe -aq nfsd nfs nfsv4; mount -t nfsd none /proc/fs/nfsd && grep -qw nfs4 /proc/filesystems"
    return os.geteuid() == 0 and run([*NAMESPACES, "sh", "-c", script]).status == 0


@require("exportfs", "rpc.nfsd", "rpc.mountd", "mount.nfs4")
@unittest.skipUnless(serves_nfs(), "no right to serve NFS, or a kernel without it")
class Nfs(Filled):
    namespaces = NAMESPACES

    def setUp(self):
        super().setUp()
        self.backing = self.scratch / "backing"
        self.backing.mkdir()

    def export(self, options="no_root_squash"):
        return f"exportfs -i -o rw,no_subtree_check,fsid=0,insecure,{options} 127.0.0.1:{self.backing}"

    def serve(self, mount_options="hard", export_options="no_root_squash"):
        """A command that starts a server with 32 MB and mounts them."""
        state = "/var/lib/nfs"
        return (f"mount -t tmpfs -o size=32m none {self.backing} && chmod 1777 {self.backing} && ip link set lo up && "
                f"mount -t tmpfs none {state} && mkdir {state}/v4recovery {state}/rpc_pipefs && touch {state}/etab && "
                f"mount -t rpc_pipefs none {state}/rpc_pipefs && mount -t nfsd none /proc/fs/nfsd && "
                f"{self.export(export_options)} && {{ rpc.mountd -F >/dev/null 2>&1 & }} && rpc.nfsd -N 3 -G 10 -L 10 2 && "
                f"trap 'umount -fl {self.disk}; rpc.nfsd 0' EXIT && "
                f"mount -t nfs4 -o timeo=20,retrans=1,{mount_options} 127.0.0.1:/ {self.disk} && "
                # A server that has just started lets nobody open a file for ten seconds.
                f"touch {self.backing}/first && chmod 666 {self.backing}/first && touch {self.disk}/first && rm {self.backing}/first")

    def record_with(self, trouble, after="", **options):
        after += f"\nrm -f {self.backing}/rest; cp -a {self.backing}/t.hlt {self.kept}/; exit $status"
        return self.until_killed("more 300000; " + trouble, mount=self.serve(**options), after=after)

    def fill(self):
        return f"dd if=/dev/zero of={self.backing}/rest bs=64k; "

    def test_all_is_recorded(self):
        self.record_with("true")
        info = self.assert_nothing_lost(self.kept / "t.hlt")
        self.assertEqual(info["events"]["total"], self.completed(self.counts) + 3)

    def test_no_room_on_the_server(self):
        """Writes succeed all the same: the client only has them in its memory."""
        recorded = self.record_with(self.fill() + "more 400000")
        self.assert_one_line(recorded, WRITES_FAILED + b"No space left on device")
        self.assert_counts(self.kept / "t.hlt", self.counts)

    def test_no_room_on_the_server_for_a_while(self):
        recorded = self.record_with(self.fill() + f"more 400000; rm {self.backing}/rest; more 600000")
        self.assert_one_line(recorded, WRITES_FAILED + b"No space left on device")
        info = self.assert_counts(self.kept / "t.hlt", self.counts)
        self.assertEqual(info["ended"]["how"], "exited")

    def test_no_room_before_the_start(self):
        recorded = self.run_on_a_disk(self.serve(), self.fill() + ":")
        self.assert_runs_unharmed(recorded)
        self.assert_one_line(recorded, WRITES_FAILED + b"No space left on device")
        self.assertIn(b"there is no trace", recorded.stderr)

    def assert_recorded_and_lost_are_all(self, recorded, causes, perhaps=frozenset()):
        info = analyze("info", self.kept / "t.hlt")
        gaps = sum(b" kind=lost " in line for line in dump_lines(self.kept / "t.hlt"))
        self.assertEqual(info["events"]["total"] - gaps + info["lost"]["events"], self.completed(self.counts) + 3,
                         recorded.explain())
        self.assertEqual({cause for cause, count in info["lost"]["by_cause"].items() if count} - perhaps, causes)

    def test_server_that_cannot_be_reached_for_a_while(self):
        """The recorder waits; the program does for two seconds."""
        recorded = self.record_with("ip link set lo down; more 700000; ip link set lo up; sleep 8; more 300000")
        self.assert_recorded_and_lost_are_all(recorded, {"pool_exhausted"})

    def test_soft_mount_of_a_server_that_cannot_be_reached_for_a_while(self):
        """Whether the recorder waits or is told that a write failed is the client's affair."""
        recorded = self.record_with("ip link set lo down; more 700000; sleep 10; ip link set lo up; sleep 8; more 300000",
                                    mount_options="soft")
        self.assert_recorded_and_lost_are_all(recorded, {"pool_exhausted"}, {"disk_full"})

    def record_with_changed_export(self, trouble, end_of_trouble, reason):
        recorded = self.record_with(f"{trouble}; exportfs -f; more 500000; {end_of_trouble}; exportfs -f; more 500000")
        self.assert_one_line(recorded, WRITES_FAILED + reason)
        return self.assert_counts(self.kept / "t.hlt", self.counts)

    def test_export_withdrawn_for_a_while(self):
        info = self.record_with_changed_export(f"exportfs -u 127.0.0.1:{self.backing}", self.export(), b"Permission denied")
        self.assertEqual(info["ended"]["how"], "exited")

    def test_stale_handle(self):
        """Once it is stale, it stays so."""
        self.record_with_changed_export(f"mount -t tmpfs none {self.backing}", f"umount -l {self.backing}",
                                        b"Stale file handle")

    def test_root_has_no_rights_on_the_server(self):
        recorded = self.run_on_a_disk(self.serve(export_options="root_squash"), f"chmod 755 {self.backing}")
        self.assert_runs_unharmed(recorded)
        self.assert_one_line(recorded, WRITES_FAILED + b"Permission denied")
        self.assertIn(b"there is no trace", recorded.stderr)

    def test_root_is_nobody_on_the_server(self):
        recorded = self.run_on_a_disk(self.serve(export_options="root_squash"), "")
        self.assert_runs_unharmed(recorded)
        self.assert_nothing_lost(self.kept / "t.hlt")


if __name__ == "__main__":
    harness.main()
