"""The bare LD_PRELOAD way: no supervisor; the shim starts a recorder itself or does without."""
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import SHIM, analyze, functions, program, run, sites_through, total


class Preload(harness.TestCase):
    def run_preloaded(self, command, **extra):
        """Runs a command with the shim preloaded; returns how it ended and the traces in its run directory."""
        environment = harness.clean_environment(LD_PRELOAD=SHIM, HEAPLEDGER_DIR=self.scratch, **extra)
        finished = run(command, env=environment)
        return finished, self.finished_traces(finished)

    def finished_traces(self, finished=None):
        deadline = time.monotonic() + 60
        # Without a supervisor nobody waits for the recorder but us: it is done when the trace says so.
        while time.monotonic() < deadline:
            traces = sorted(self.scratch.glob("heapledger-*/*.hlt"))
            try:
                if traces and not any(analyze("info", trace)["running"] for trace in traces):
                    return traces
            except harness.AnalyzerRefused:
                pass
            time.sleep(0.2)
        self.fail(f"no finished trace in {os.listdir(self.scratch)}\n{finished.explain() if finished else ''}")

    def test_counts_are_exact(self):
        finished, traces = self.run_preloaded([program("exact_counts")])
        self.assertEqual((finished.status, finished.stdout), (0, b""))
        self.assertEqual(len(traces), 1)
        report = analyze("report", traces[0])
        self.assertEqual(total(sites_through(report, "use_malloc"), "allocation_calls"), 1000)
        at_peak = {functions(site)[0]: site["peak_bytes"] for site in report["sites"] if site["peak_bytes"] > 1000}
        self.assertEqual(at_peak, {"make_peak": 64 * 1000000, "leave_behind": 11 * 111})

    def test_the_program_is_not_disturbed(self):
        alone = run([program("random_calls"), "30000", "3"])
        finished, traces = self.run_preloaded([program("random_calls"), "30000", "3"])
        self.assertEqual((finished.status, finished.stdout.split()[0] != b""), (alone.status, True))
        allocations = int(finished.stdout.split()[0])
        report = analyze("report", traces[0])
        own = [site for site in report["sites"] if "work" in " ".join(functions(site))]
        self.assertEqual(total(own, "allocation_calls"), allocations)

    def test_killed_program(self):
        environment = harness.clean_environment(LD_PRELOAD=SHIM, HEAPLEDGER_DIR=self.scratch)
        count = self.scratch / "count"
        process = subprocess.Popen([program("until_killed"), str(count)], env=environment)
        deadline = time.monotonic() + 60
        while not count.exists() or int.from_bytes(count.read_bytes()[:8], "little") < 200000:
            self.assertLess(time.monotonic(), deadline, "the program does not get going")
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        trace, = self.finished_traces()
        completed = int.from_bytes(count.read_bytes()[:8], "little")
        sites = sites_through(analyze("report", trace), "allocate_until_killed")
        self.assertIn(total(sites, "allocation_calls"), (completed, completed + 1))

    def test_a_shim_without_any_place_to_write_leaves_the_program_alone(self):
        environment = harness.clean_environment(LD_PRELOAD=SHIM, HEAPLEDGER_DIR="/proc/nonexistent",
                                                HEAPLEDGER_SESSION="/proc/nonexistent/session")
        finished = run([program("reports_itself"), "exit", "7"], env=environment)
        self.assertEqual(finished.status, 7)
        self.assertIn(b"argument 1: <exit>", finished.stdout)

    def test_a_limit_on_file_sizes_does_not_touch_the_program(self):
        # Alone in its directory the shim finds no recorder and makes and extends the session file itself: 8 MiB at first.
        shim = shutil.copy(SHIM, self.scratch)
        environment = harness.clean_environment(LD_PRELOAD=shim, HEAPLEDGER_DIR=self.scratch)
        for limit, session_bytes in ((65536, 0), (12 << 20, 8 << 20), (64 << 20, 24 << 20)):
            for session in self.scratch.glob("*.session"):
                session.unlink()
            finished = run([program("random_calls"), "400000", "2"], env=environment,
                           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
            self.assertEqual(finished.status, 0, finished.explain())
            sizes = [session.stat().st_size for session in self.scratch.glob("*.session")]
            if session_bytes == 0:
                self.assertEqual(sizes, [])
            else:
                self.assertEqual(len(sizes), 1)
                self.assertGreaterEqual(sizes[0], session_bytes)
                self.assertLessEqual(sizes[0], limit)


if __name__ == "__main__":
    harness.main()
