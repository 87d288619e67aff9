"""Disks to record onto that fill up, fail or are missing: mounted for one command, gone with it. What the tests of
places that cannot be written to stand on."""
import struct
import unittest

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

    def run_on_a_disk(self, mount, before, *options, command=None, output="t.hlt", after="", timeout=120):
        """Records random_calls onto a disk that ends with the call; what is on it at the end is in self.kept. `mount`:
        what `mount` takes for a disk without a device, or a whole command."""
        command = command or f"{program('random_calls')} {ROUNDS}"
        if mount.startswith("-"):
            mount = f"mount {mount} none {self.disk}"
        script = (f"{{ {mount}; }} && cd {self.disk} || exit 99\n{before}\n"
                  f"{HEAPLEDGER} record -o {self.disk}/{output} {' '.join(options)} -- {command}\nstatus=$?\n{after}\n"
                  f"cp -a {self.disk}/. {self.kept}/\nexit $status\n")
        return run([*MOUNT, "sh", "-c", script], timeout=timeout)

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
