"""Inside a container: namespaces of its own, a root that cannot be written, little or no /dev/shm, a /proc with parts
missing or none at all, and a seccomp filter that refuses what Docker's default one refuses. The program runs as it
does there alone, all of it is recorded, and what the container does not permit is named."""
import subprocess
import sys
import time
import unittest

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import BUILD, HEAPLEDGER, SHIM, analyze, clean_environment, program, run, sites_through
from running import RunningTest, end_with_all_below, processes_below

# As container runtimes start one; in a user namespace, so that being root in it means little outside.
NAMESPACES = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--fork",
              "--kill-child"]
PROC = {"whole": "mount -t proc proc proc && for f in kcore keys timer_list; do "
                 "[ ! -e proc/$f ] || mount --bind /dev/null proc/$f; done && "
                 "mount --bind proc/sys proc/sys && mount -o remount,bind,ro proc/sys",
        "processes alone": "mount -t proc -o subset=pid proc proc",
        "none": "true"}
# What old and new default profiles of Docker, containerd and podman refuse, in the words of refusing.c.
DOCKER = ["ptrace=EPERM", "process_vm_readv=EPERM", "process_vm_writev=EPERM", "pidfd_getfd=EPERM", "pidfd_open=EPERM",
          "userfaultfd=EPERM", "personality=EPERM", "perf_event_open=EPERM", "kcmp=EPERM", "clone3=ENOSYS"]
# And what sandboxes do without that build on an old kernel's list.
OLD_KERNEL = [*DOCKER, "statx=ENOSYS", "close_range=ENOSYS", "memfd_create=ENOSYS", "membarrier=ENOSYS", "rseq=ENOSYS",
              "sched_setattr=EPERM", "sched_setaffinity=EPERM", "setpriority=EPERM"]
# A user without any right, whose files are those of whoever runs the test.
USER = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]


def container(proc, shm, out):
    """Shell words that make the root and enter it; the command is in "$@". /out is the host's `out`."""
    make_shm = f"mkdir dev/shm && mount -t tmpfs -o size={shm},mode=1777 none dev/shm" if shm else "true"
    return f"""set -e
root=$(mktemp -d) && mount -t tmpfs none $root && cd $root && mkdir usr proc dev tmp out old
mount --rbind /usr usr && mount -o remount,bind,ro usr
for name in bin lib lib64 sbin; do [ ! -e /$name ] || ln -s usr/$name $name; done
{{ {PROC[proc]}; }}
for name in null zero urandom; do touch dev/$name && mount --bind /dev/$name dev/$name; done
mount -t tmpfs -o mode=1777 none tmp && mkdir -p .{BUILD} && mount --bind {BUILD} .{BUILD} && mount -o remount,bind,ro .{BUILD}
mount --bind {out} out && {make_shm}
mount -o remount,ro $root && pivot_root . old && {{ umount -l old 2>/dev/null || [ ! -e /proc/self ]; }} && cd /out && exec "$@"
"""


def in_container(*command, out, proc="whole", shm="64m", refused=DOCKER, become=()):
    """The words that run a command in a container."""
    words = [*NAMESPACES, "sh", "-c", container(proc, shm, out), "sh", *become]
    if refused:
        words += [program("refusing"), *refused, "--"]
    return [*words, *command]


def works():
    return run(in_container("true", out="/tmp", refused=[])).status == 0


@unittest.skipUnless(works(), "no right to make a container")
class Containers(RunningTest):
    def setUp(self):
        super().setUp()
        self.out = self.scratch / "out"
        self.out.mkdir()
        self.trace = self.out / "t.hlt"

    def record_in_container(self, *command, **container):
        """Asserts that the program does what it does there alone."""
        self.trace.unlink(missing_ok=True)
        alone = run(in_container(*command, out=self.out, **container))
        recorded = run(in_container(HEAPLEDGER, "record", "-o", "/out/t.hlt", "--", *command, out=self.out, **container))
        self.assertEqual((recorded.status, recorded.stdout), (alone.status, alone.stdout), recorded.explain())
        self.assertEqual(sorted(path.name for path in self.out.iterdir()), ["t.hlt"], recorded.explain())
        return recorded

    def assert_all_is_recorded(self, printed):
        """What random_calls prints: allocations, frees, bytes."""
        self.assert_nothing_lost(self.trace)
        report = analyze("report", self.trace)
        totals = report["totals"]
        self.assertEqual([totals[key] for key in ("allocation_calls", "free_calls", "bytes_requested")],
                         [int(number) for number in printed.split()])
        self.assertEqual(sum(site["allocation_calls"] for site in sites_through(report, "main")),
                         totals["allocation_calls"], "symbols are found")

    def test_all_is_recorded(self):
        for container in ({}, {"shm": None}, {"shm": None, "refused": OLD_KERNEL}, {"proc": "processes alone"},
                          {"proc": "none", "shm": None}, {"become": USER}):
            with self.subTest(**container):
                recorded = self.record_in_container(program("random_calls"), "20000", **container)
                self.assert_all_is_recorded(recorded.stdout)

    def test_leaks_are_found_on_a_copy_where_ptrace_is_refused(self):
        for refused, way in ((DOCKER, "copy"), (["process_vm_readv=EPERM"], "stopped")):
            with self.subTest(way):
                self.record_in_container(program("known_leaks"), refused=refused, become=USER)
                leaks = analyze("leaks", self.trace)
                self.assertEqual(leaks["scan"]["way"], way)
                self.assertEqual(leaks["definite"]["blocks"], 30)

    def test_without_proc_the_leaks_are_not_known(self):
        self.record_in_container(program("known_leaks"), proc="none")
        leaks = analyze("leaks", self.trace)
        self.assertEqual((leaks["scanned"], leaks["reason"]), (False, "there is no /proc here"))

    def test_a_bare_preload_finds_its_recorder_without_proc(self):
        script = (f"LD_PRELOAD={SHIM} HEAPLEDGER_DIR=/out {program('random_calls')} 20000; "
                  "for i in $(seq 300); do ls /out/*/session >/dev/null 2>&1 || break; sleep 0.1; done")
        recorded = run(in_container("sh", "-c", script, out=self.out, proc="none", shm=None))
        self.assertEqual(recorded.status, 0, recorded.explain())
        self.trace, = self.out.glob("heapledger-random_calls-*/random_calls.*.hlt")
        self.assert_all_is_recorded(recorded.stdout)

    def test_trace_where_no_session_file_can_be(self):
        """ramfs; the session file goes to /dev/shm or /tmp."""
        for shm in ("64m", None):
            with self.subTest(shm=shm):
                self.trace.unlink(missing_ok=True)
                script = (f"mkdir /tmp/r; mount -t ramfs none /tmp/r; cd /tmp/r; {HEAPLEDGER} record -o t.hlt "
                          f"{program('random_calls')} 20000; status=$?; cp t.hlt /out; ls /tmp /dev/shm >&2; exit $status")
                recorded = run(in_container("sh", "-c", script, out=self.out, shm=shm))
                self.assertEqual(recorded.status, 0, recorded.explain())
                self.assert_all_is_recorded(recorded.stdout)
                self.assertNotIn(b".session", recorded.stderr, "none is left")

    def start(self, *command, **container):
        """Starts a recording of until_killed in a container; its pid, as seen from outside."""
        self.counts = self.out / "counts"
        self.process = subprocess.Popen(
            [str(word) for word in in_container(*command, HEAPLEDGER, "record", "-o", "/out/t.hlt", "--leaks=none", "--",
                                                program("until_killed"), "/out/counts", "20000", "go", out=self.out,
                                                **container)],
            env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True)
        self.addCleanup(end_with_all_below, self.process)
        deadline = time.monotonic() + 60
        while not (self.counts.exists() and self.counts.stat().st_size):
            self.assertLess(time.monotonic(), deadline)
            self.assertIsNone(self.process.poll())
            time.sleep(0.01)
        [pid] = [pid for pid, name in processes_below(self.process.pid).items() if name == "until_killed"]
        return pid

    def finish(self):
        (self.out / "counts.go").touch()
        status = self.wait()
        self.assertEqual(status, 0, self.errors)
        completed = int.from_bytes(self.counts.read_bytes()[:8], "little")
        self.assertEqual(self.assert_nothing_lost(self.trace)["events"]["allocations"], completed)

    def test_snapshot_from_outside(self):
        pid = self.start()
        taken = run([HEAPLEDGER, "snapshot", pid, "--name", "outside"])
        self.assertEqual(taken.status, 0, taken.explain())
        self.assertIn(b"marked: outside; memory map taken", taken.stdout)
        self.finish()
        self.assertTrue(analyze("live", f"{self.trace}@mark:outside")["sites"], "the moment has a name")

    def test_snapshot_where_ptrace_is_refused_says_so(self):
        pid = self.start()
        taken = run([HEAPLEDGER, "snapshot", pid, "--leaks", "--name", "refused"])
        self.assertEqual((taken.status, taken.stdout), (3, b""), taken.explain())
        self.assertRegex(taken.stderr, rb"\Aheapledger snapshot: refused: not scanned: stopping it \(ptrace\) is refused\b.*"
                                       rb"--cap-add=SYS_PTRACE.*\n\Z")
        self.finish()


def time_namespace(offset_s, *command):
    return ["unshare", "--time", "--fork", "--monotonic", offset_s, "--boottime", offset_s, *command]


@unittest.skipUnless(run(time_namespace(1, "true")).status == 0, "no right to make a time namespace")
class TimeNamespaces(harness.TestCase):
    """The program's clocks are not the recorder's: ahead, or behind. It sleeps for what is to be told of it."""

    def test_times_are_told(self):
        uptime = int(float(open("/proc/uptime").read().split()[0]))
        for offset in (1_000_000, -(uptime // 2)):
            with self.subTest(offset=offset):
                began = time.monotonic_ns()
                recorded = self.record(*time_namespace(offset, "sleep", "0.3"), name=f"t{offset}.hlt")
                took = time.monotonic_ns() - began
                self.assertEqual(recorded.status, 0, recorded.explain())
                infos = [self.assert_nothing_lost(trace) for trace in (recorded.trace, *recorded.children())]
                self.assertEqual([info["problems"] for info in infos], [[]] * len(infos))
                [slept] = [info for info in infos if info["command"] == "sleep 0.3"]
                self.assertTrue(300e6 < slept["duration_ns"] < took, (slept["duration_ns"], took))
                self.assertGreater(slept["sampling"]["taken"]["statm"], 0)


if __name__ == "__main__":
    harness.main()
