"""Whatever kills the program, the recorder or both: the record holds every event up to the last completed call."""
import os
import re
import signal
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import analyze, dump_lines, functions, program, total
from naive_replay import replay
from running import RECORDER_NAME, RunningTest, processes_below, recorder_below


class Kills(RunningTest):
    def start(self, last=None, milliseconds=700, options=()):
        """Starts until_killed under record; returns the pids of the program and the recorder. With `last`, the program
        ends by itself when it has made so many blocks after let_it_end()."""
        self.trace = self.scratch / "t.hlt"
        self.count_file = self.scratch / "count"
        self.start_recording("-o", self.trace, *options, "--", program("until_killed"), self.count_file,
                             *([last, "go"] if last else []))
        deadline = time.monotonic() + 60
        while self.completed() < 20000:
            self.assertLess(time.monotonic(), deadline, "the program does not get going")
            time.sleep(0.02)
        time.sleep(milliseconds / 1000)
        below = processes_below(self.process.pid)
        target = [pid for pid, name in below.items() if name == "until_killed"]
        self.assertEqual(len(target), 1, below)
        return target[0], recorder_below(self.process.pid)

    def let_it_end(self):
        Path(f"{self.count_file}.go").touch()

    def completed(self):
        try:
            data = self.count_file.read_bytes()
        except FileNotFoundError:
            return 0
        return struct.unpack_from("<Q", data)[0] if len(data) >= 8 else 0

    def assert_every_completed_call_is_recorded(self):
        completed = self.completed()
        report = analyze("report", self.trace)
        sites = [site for site in report["sites"] if functions(site)[0] == "allocate_until_killed"]
        # The call that was under way may be there or not: it was recorded but not yet spoken of.
        self.assertIn(total(sites, "allocation_calls"), (completed, completed + 1))
        naive = replay(line.decode() for line in dump_lines(self.trace)).result()
        self.assertEqual((naive["unknown_frees"], naive["double_allocations"]), ([], []))
        self.assertEqual(naive["allocation_calls"], report["totals"]["allocation_calls"])

    def test_program_killed(self):
        target, _ = self.start()
        os.kill(target, signal.SIGKILL)
        self.assertEqual(self.wait(), 128 + signal.SIGKILL)
        self.assert_every_completed_call_is_recorded()
        self.assertTrue(analyze("info", self.trace)["complete"], "the recorder lives and closes the trace")

    def test_recorder_killed_and_program_goes_on(self):
        _, recorder = self.start(last=100000, milliseconds=0)
        os.kill(recorder, signal.SIGKILL)
        killed_at = self.completed()
        self.let_it_end()
        self.assertEqual(self.wait(), 0)
        self.assertGreater(self.completed(), killed_at + 90000)
        self.assert_every_completed_call_is_recorded()
        self.assert_nothing_lost(self.trace)

    def test_recorder_killed_again_and_again(self):
        self.start(last=100000, milliseconds=0)
        killed = set()
        deadline = time.monotonic() + 60
        while len(killed) < 5:
            self.assertIsNone(self.process.poll(), "the program runs on")
            self.assertLess(time.monotonic(), deadline, f"no recorder after the {len(killed)}th was ever started")
            recorders = [pid for pid, name in processes_below(self.process.pid).items()
                         if name == RECORDER_NAME and pid not in killed]
            for pid in recorders:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            time.sleep(0.01)
        self.let_it_end()
        self.assertEqual(self.wait(), 0)
        self.assert_every_completed_call_is_recorded()

    def test_recorder_killed_then_program_killed(self):
        target, recorder = self.start()
        os.kill(recorder, signal.SIGKILL)
        os.kill(target, signal.SIGKILL)
        self.assertEqual(self.wait(), 128 + signal.SIGKILL)
        self.assert_every_completed_call_is_recorded()

    def test_everything_killed_at_once(self):
        target, recorder = self.start()
        for pid in (self.process.pid, recorder, target):
            os.kill(pid, signal.SIGSTOP)
        for pid in (self.process.pid, recorder, target):
            os.kill(pid, signal.SIGKILL)
        self.process.communicate(timeout=60)
        deadline = time.monotonic() + 60
        while os.path.exists(f"/proc/{target}/exe") and time.monotonic() < deadline:
            time.sleep(0.02)
        # Nobody is left to close anything: the trace and the session file beside it are the record.
        self.assert_every_completed_call_is_recorded()
        self.assertFalse(analyze("info", self.trace)["complete"])

    def test_program_kills_its_own_process_group(self):
        """What kill(0, SIGKILL) does: the supervisor stands in the program's group, the recorder does not."""
        target, recorder = self.start()
        os.killpg(os.getpgid(target), signal.SIGKILL)
        self.process.communicate(timeout=60)
        self.assertEqual(self.process.returncode, -signal.SIGKILL)
        deadline = time.monotonic() + 60
        while os.path.exists(f"/proc/{recorder}/exe") and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertFalse(os.path.exists(f"{self.trace}.session"), "the recorder closed the trace")
        self.assert_every_completed_call_is_recorded()
        self.assert_nothing_lost(self.trace)

    def test_supervisor_killed_program_goes_on_to_its_end(self):
        target, _ = self.start(last=100000, milliseconds=0)
        os.kill(self.process.pid, signal.SIGKILL)
        killed_at = self.completed()
        self.let_it_end()
        self.process.communicate(timeout=60)
        deadline = time.monotonic() + 60
        while os.path.exists(f"/proc/{target}/exe") and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertGreater(self.completed(), killed_at + 90000)
        # The recorder goes on as well, closes the trace and takes the session file away.
        while os.path.exists(f"{self.trace}.session") and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assert_every_completed_call_is_recorded()
        self.assert_nothing_lost(self.trace)

    def test_read_while_it_is_being_written(self):
        self.start()
        before = self.completed()
        deadline = time.monotonic() + 60
        recorded = 0
        while recorded < before:
            self.assertLess(time.monotonic(), deadline, f"{recorded} of {before} calls were ever seen")
            report = analyze("report", self.trace)
            sites = [site for site in report["sites"] if functions(site)[0] == "allocate_until_killed"]
            recorded = total(sites, "allocation_calls")
            self.assertLessEqual(recorded, self.completed() + 1)
        info = analyze("info", self.trace)
        self.assertTrue(info["running"])
        self.assertFalse(info["complete"])


class Successors(RunningTest):
    """What a recorder knew of the whole run, its successor knows too."""

    def start_tree(self, script, *options):
        self.traces = self.scratch / "traces"
        self.traces.mkdir()
        self.start_recording("-o", self.traces / "%p.hlt", *options, "--", "sh", "-c", script, "sh", self.scratch,
                             program("ends_somehow"))

    def wait_until(self, what, condition):
        deadline = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.01)

    def infos(self):
        return [analyze("info", path) for path in self.traces.glob("*.hlt")]

    def kill_recorder(self):
        recorder = recorder_below(self.process.pid)
        os.kill(recorder, signal.SIGKILL)

        def another_there():
            below = processes_below(self.process.pid)
            return any(name == RECORDER_NAME and pid != recorder for pid, name in below.items())
        self.wait_until("nobody succeeds the recorder", another_there)

    def test_images_and_losses_of_a_predecessor_count(self):
        counts, go = self.scratch / "counts", self.scratch / "go"
        counts.write_bytes(bytes(4096))
        self.start_tree("""
            "$2" "$1/counts" exit 1152921504606846976
            touch "$1/first"
            until [ -e "$1/go" ]; do sleep 0.02; done""", "--pool-size=1", "--on-overload=drop")

        def calls():
            return struct.unpack_from("<Q", counts.read_bytes(), 8)[0]
        self.wait_until("the program does not start", lambda: calls() > 1000)
        recorder = recorder_below(self.process.pid)
        os.kill(recorder, signal.SIGSTOP)
        last = calls() + 200000
        with open(counts, "r+b") as file:
            file.seek(24)
            file.write(struct.pack("<Q", last))
        self.wait_until("the program does not end", (self.scratch / "first").exists)
        os.kill(recorder, signal.SIGCONT)

        def closed():
            return any(info["command"].startswith(str(program("ends_somehow"))) and info["complete"] for info in self.infos())
        self.wait_until("its trace is not closed", closed)
        self.kill_recorder()
        time.sleep(0.2)
        self.kill_recorder()
        go.touch()
        self.assertEqual(self.wait(), 0, self.errors)
        infos = self.infos()
        lost = sum(info["lost"]["events"] for info in infos)
        self.assertGreater(lost, 10000)
        said = re.sub(r"(?<=\d)\s(?=\d)", "", self.errors.decode())
        self.assertIn(f"recorder restarted 2 times   lost {lost}", said)
        self.assertIn(f"; {len(infos)} process images", said)
        root = [info for info in infos if info["root"]]
        self.assertEqual([info["recorder"]["restarts"] for info in root], [2])

    def test_ends_that_a_stopped_recorder_could_not_be_told_of(self):
        os.mkfifo(self.scratch / "gate")
        orphans = 200
        self.start_tree(f"""
            i=0
            while [ $i -lt {orphans} ]; do
                (sh -c 'read line < "$1/gate"; exit $2' orphan "$1" $((i % 100)) &)
                i=$((i + 1))
            done
            touch "$1/started"
            until [ -e "$1/go" ]; do sleep 0.02; done
            exit 77""", "--pool-size=64")
        self.wait_until("they do not start", (self.scratch / "started").exists)
        time.sleep(0.5)
        recorder = recorder_below(self.process.pid)
        os.kill(recorder, signal.SIGSTOP)
        with open(self.scratch / "gate", "w"):
            pass
        (self.scratch / "go").touch()
        self.wait_until("they do not end", lambda: "sh" not in processes_below(self.process.pid).values())
        os.kill(recorder, signal.SIGCONT)
        self.assertEqual(self.wait(), 77, self.errors)
        ends = [info["ended"] for info in self.infos() if info["arguments"][3:4] == ["orphan"]]
        self.assertEqual(sorted(end["code"] for end in ends), sorted(i % 100 for i in range(orphans)))
        # The kernel's figures, which only a parent is told.
        self.assertEqual([end for end in ends if end["peak_rss_bytes"] == 0], [])
        root = [info["ended"] for info in self.infos() if info["root"]]
        self.assertEqual([end["code"] for end in root], [77])
        self.assertGreater(root[0]["peak_rss_bytes"], 0)


if __name__ == "__main__":
    harness.main()
