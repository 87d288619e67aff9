"""The ledger of real programs: accounts that add up to the kernel's Rss of the same moment, to the byte, and what only
each of them can show."""
import re
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from books import check_ledger
from harness import HEAPLEDGER, SOURCE, analyze, clean_environment, program, run
from running import end_with_all_below, processes_below

SASS = SOURCE / "build/npm/node_modules/sass-embedded-linux-x64/dart-sass/sass"


def accounts(ledger):
    return {account["account"]: account["bytes"] for account in ledger["accounts"]}


class Ledger(harness.TestCase):
    def ledger_of(self, trace, *options):
        """Of the last sample; the books balance, and so do those of each account."""
        return check_ledger(self, trace, *options)

    def test_a_program_with_known_memory(self):
        recorded = self.record(program("ledger_subject"))
        self.assertEqual(recorded.status, 0, recorded.explain())
        said = {words[0]: int(words[1]) for words in (line.split() for line in recorded.stdout.decode().splitlines())}
        ledger = self.ledger_of(recorded.trace)
        found = accounts(ledger)
        # What the kernel told the program itself, before the recorder's last look: it grew by little since.
        self.assertLess(abs(ledger["rss"] - said["rss"]), 512 * 1024)
        # Live and touched; live and never touched; mapped and touched; free, but pinned.
        self.assertGreaterEqual(found["live"], said["touched"])
        self.assertLess(found["live"], said["touched"] + 200 * 1024)
        self.assertGreaterEqual(ledger["untouched"], said["untouched"] - 8192)
        self.assertLess(ledger["untouched"], said["untouched"] + 200 * 1024)
        self.assertEqual(found["anonymous"], said["mapped"])
        self.assertGreaterEqual(found["stranded"], said["pinned"] * 9 // 10)
        self.assertGreater(found["heapledger"], 0)
        self.assertLess(found["unknown"], ledger["rss"] // 50)
        mapper = next(account for account in ledger["accounts"] if account["account"] == "anonymous")["owners"][0]
        self.assertTrue(any(frame["function"].startswith("map_some") for frame in mapper["frames"]), mapper)
        pinner = next(account for account in ledger["accounts"] if account["account"] == "stranded")["owners"][0]
        self.assertTrue(any(frame["function"].startswith("pin_pages") for frame in pinner["frames"]), pinner)

    def test_accounts_are_metrics_with_limits(self):
        recorded = self.record(program("ledger_subject"))
        ledger = self.ledger_of(recorded.trace)
        metrics = analyze("metrics", recorded.trace)["metrics"]
        for account, count in accounts(ledger).items():
            self.assertEqual(metrics[f"ledger.{account}_bytes"], count, account)
        self.assertEqual(metrics["ledger.rss_bytes"], ledger["rss"])
        stranded = accounts(ledger)["stranded"]
        for value, status in ((stranded, 0), (stranded - 1, 1)):
            finished = run([HEAPLEDGER, "ledger", recorded.trace, "--no-course", "--max", f"ledger.stranded_bytes={value}"])
            self.assertEqual(finished.status, status, finished.explain())
        self.assertEqual(run([HEAPLEDGER, "ledger", recorded.trace, "--max", "ledger.nothing_bytes=1"]).status, 2)
        unsampled = self.record(program("ledger_subject"), options=("--sample-budget", "0", "--leaks", "none"),
                                name="unsampled.hlt")
        self.assertIsNone(analyze("metrics", unsampled.trace)["metrics"]["ledger.stranded_bytes"])

    def test_threads_with_arenas_of_their_own(self):
        ledger = self.ledger_of(self.record(program("memory_regions")).trace)
        found = accounts(ledger)
        self.assertGreater(found["live"], 4 << 20)
        self.assertGreater(found["anonymous"], 2 << 20)
        heaps = {owner["name"] for account in ledger["accounts"] if account["account"] == "allocator"
                 for owner in account["owners"]}
        self.assertIn("further arenas", heaps)
        self.assertLess(found["unknown"], ledger["rss"] // 20)

    def test_numbers_seen_elsewhere(self):
        recorded = self.record(program("ledger_subject"))
        ledger = self.ledger_of(recorded.trace, "--saw", "40M:top")
        [best, *_] = ledger["saw"]["meanings"]
        self.assertEqual((best["tool"], best["shown"], best["bytes"]), ("top", "RES", ledger["rss"]))
        for tool in ("ps", "smem", "heaptrack", "dumpsys", "instruments", "jemalloc", "mallinfo"):
            for meaning in analyze("ledger", recorded.trace, options=["--saw", f"1M:{tool}"])["saw"]["meanings"]:
                parts = sum(part["bytes"] for part in meaning["contains"] + meaning["beyond"])
                self.assertEqual(parts - sum(part["bytes"] for part in meaning["less"]), meaning["bytes"], meaning)
        report = analyze("report", recorded.trace)
        seen = analyze("ledger", recorded.trace, options=["--saw", f"{report['peak']['bytes']}:heaptrack"])["saw"]
        self.assertEqual(seen["meanings"][0]["bytes"], report["peak"]["bytes"])
        for wrong in ("M:top", "12M:abacus", "12M:"):
            self.assertEqual(run([HEAPLEDGER, "ledger", recorded.trace, "--saw", wrong]).status, 2, wrong)

    def test_the_closing_lines_say_what_memory_was(self):
        """Of programs that were there for a second; the sum is that of the largest sample."""
        recorded = self.record("python3", "-c", "import time; x = bytearray(20 << 20); time.sleep(1.2)")
        said = re.search(rb"^RSS ([\d.]+) MiB at most = (.*)$", recorded.stderr, re.MULTILINE)
        self.assertIsNotNone(said, recorded.stderr)
        largest = analyze("ledger", recorded.trace, options=["--largest"])
        self.assertAlmostEqual(float(said.group(1)), largest["rss"] / 2**20, delta=0.06)
        self.assertNotIn(b"RSS", self.record("/bin/true").stderr)

    def test_a_trace_without_samples_says_what_to_do(self):
        recorded = self.record("/bin/true", options=["--sample-budget", "0"])
        finished = run([HEAPLEDGER, "ledger", recorded.trace])
        self.assertEqual(finished.status, 3)
        self.assertRegex(finished.stderr, rb"no samples of the process's memory; record without --sample-budget 0")

    def test_python(self):
        ledger = self.ledger_of(self.record("python3", "-c", "x = [str(i) * 50 for i in range(50000)]; import os; os._exit(0)",
                                            env=clean_environment(PYTHONMALLOC="malloc")).trace)
        found = accounts(ledger)
        self.assertGreater(found["live"], ledger["rss"] // 4)
        self.assertLess(found["unknown"], ledger["rss"] // 20)

    def snapshot_of(self, *command, until):
        """Records the command with its input held open, asks for a sample once `until(words)` is true of a process below
        and that process has come to rest, lets it end, and returns the ledger of that sample."""
        trace = self.scratch / "idle.hlt"
        process = subprocess.Popen([str(word) for word in [HEAPLEDGER, "record", "-q", "-o", trace, "--", *command]],
                                   stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=clean_environment())
        self.addCleanup(end_with_all_below, process)
        deadline, pid, before = time.monotonic() + 60, None, None
        while time.monotonic() < deadline:
            time.sleep(0.3)
            for candidate in processes_below(process.pid):
                try:
                    words = Path(f"/proc/{candidate}/cmdline").read_text().split("\0")
                    ticks = Path(f"/proc/{candidate}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
                except OSError:
                    continue
                if until(words):
                    pid, at_rest, before = candidate, before == (candidate, ticks), (candidate, ticks)
                    break
            else:
                continue
            if at_rest:
                break
        asked = run([HEAPLEDGER, "snapshot", pid, "--name", "idle"])
        self.assertEqual(asked.status, 0, asked.explain())
        process.stdin.close()
        process.wait(60)
        return trace, self.ledger_of(f"{trace}@mark:idle")

    @harness.require("node")
    def test_node(self):
        code = "globalThis.a=[]; for (let i=0; i<2e5; i++) a.push({i}); process.stdin.on('end', () => 0).resume()"
        _, ledger = self.snapshot_of("node", "-e", code, until=lambda words: words[0] == "node")
        found = accounts(ledger)
        self.assertGreater(found["managed"], 4 << 20)
        self.assertLess(found["unknown"], ledger["rss"] // 10)

    @harness.require("redis-server", "redis-cli")
    def test_redis_while_it_runs(self):
        """jemalloc; asked for from outside, beside what the kernel says of the idle server at that time."""
        socket = self.scratch / "s"
        trace = self.scratch / "redis.hlt"
        server = subprocess.Popen([HEAPLEDGER, "record", "-q", "-o", trace, "redis-server", "--port", "0", "--unixsocket",
                                   socket, "--save", "", "--daemonize", "no", "--hz", "1"],
                                  stdout=subprocess.DEVNULL, env=clean_environment())
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        client = ["redis-cli", "-s", socket]
        deadline = time.monotonic() + 60
        while run([*client, "ping"]).stdout != b"PONG\n" and time.monotonic() < deadline:
            time.sleep(0.05)
        filled = run([*client, "eval", "for i = 1, 100000 do redis.call('set', 'key:' .. i, string.rep('x', 100)) end return 1",
                      "0"])
        self.assertEqual(filled.stdout, b"1\n", filled.explain())
        pid = int(re.search(rb"process_id:(\d+)", run([*client, "info", "server"]).stdout).group(1))

        def kernels_rss():
            with open(f"/proc/{pid}/smaps_rollup") as file:
                return int(re.search(r"^Rss:\s+(\d+) kB", file.read(), re.MULTILINE).group(1)) * 1024
        before = kernels_rss()
        asked = run([HEAPLEDGER, "snapshot", pid, "--name", "filled"])
        self.assertEqual(asked.status, 0, asked.explain())
        after = kernels_rss()
        run([*client, "shutdown", "nosave"])
        self.assertEqual(server.wait(60), 0)
        ledger = self.ledger_of(f"{trace}@mark:filled")
        slack = 1 << 20  # the server's own timers, and the shim's pages that the mark touches
        self.assertGreaterEqual(ledger["rss"], before - slack)
        self.assertLessEqual(ledger["rss"], max(before, after) + slack)
        found = accounts(ledger)
        self.assertGreater(found["live"], 10 << 20)
        self.assertLess(found["unknown"], ledger["rss"] // 20)

    @unittest.skipUnless(SASS.exists(), "Dart Sass is not installed (scripts/setup.sh fetches it by npm where it can)")
    def test_dart(self):
        """Dart's heap is an account of its own, and little private memory is left unexplained."""
        trace, ledger = self.snapshot_of(SASS, "--stdin", "--no-source-map",
                                         until=lambda words: any("sass.snapshot" in word for word in words))
        managed = next(account for account in ledger["accounts"] if account["account"] == "managed")
        self.assertTrue(any("dart" in owner["name"] for owner in managed["owners"]), managed["owners"])
        self.assertGreater(managed["bytes"], 2 << 20)
        [categories] = [sample["categories"] for sample in analyze("map", trace)["samples"] if sample["name"] == "idle"]
        dirty = sum(category["private_dirty"] for category in categories.values())
        unexplained = categories.get("unknown", {"private_dirty": 0})["private_dirty"]
        self.assertLess(unexplained, dirty // 5, categories)


if __name__ == "__main__":
    harness.main()
