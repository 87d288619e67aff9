"""The memory map of real programs: every resident byte in one region, managed heaps and stacks known for what they are."""
import json
import re
import sys
import unittest

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from books import check_ledger
from harness import HEAPLEDGER, PYTHON, SOURCE, analyze, clean_environment, program, run
from sarif_schema import MULTITOOL
from test_memory_map import MemoryMap

DOTNET_PROGRAM = MULTITOOL / "Sarif.Multitool"
SASS = SOURCE / "build/npm/node_modules/sass-embedded-linux-x64/dart-sass/sass"
MIB = 1 << 20


class RealPrograms(MemoryMap, harness.TestCase):
    def map_of(self, trace, *options):
        answer = analyze("map", trace, options=options)
        return answer, self.assert_adds_up(answer)

    def test_a_threaded_program_with_one_of_each(self):
        recorded = self.record(program("memory_regions"))
        answer, sample = self.map_of(recorded.trace)
        self.assertEqual(sample["cause"], "exit")
        self.assertTrue(sample["consistent"])
        large = int(recorded.stdout, 16)
        mapped = next(region for region in answer["regions"] if region["start"] <= large < region["end"])
        self.assertEqual((mapped["kind"], mapped["rss"]), ("heap_mapped", 4 * MIB + 4096))
        self.assertEqual(mapped["start"], large - 16)
        arenas = {region["start"] >> 26 for region in answer["regions"] if region["kind"] == "heap_arena"}
        self.assertEqual(len(arenas), 4)
        bss = sum(region["rss"] for region in answer["regions"]
                  if region["kind"] == "bss" and region["name"].endswith("memory_regions"))
        self.assertGreaterEqual(bss, 3 * MIB)
        self.assertLess(bss, 3 * MIB + 65536)
        shared = [region["rss"] for region in answer["regions"] if region["kind"] == "shared"]
        self.assertEqual(shared, [2 * MIB])
        by_site = {}
        for region in answer["regions"]:
            if region["kind"] == "anonymous" and "site" in region:
                frames = [frame["function"] for frame in answer["mapping_sites"][region["site"]]["frames"]]
                by_site[frames[0]] = by_site.get(frames[0], 0) + region["rss"]
        self.assertEqual(by_site.get("map_from_first_place(unsigned long)"), 2 * MIB, by_site)
        self.assertEqual(by_site.get("map_from_second_place(unsigned long)"), 5 * MIB, by_site)
        answer, _ = self.map_of(recorded.trace, "--largest")
        names = {region["name"] for region in answer["regions"] if region["kind"] == "thread_stack"}
        for number in range(4):
            self.assertTrue(any(name.endswith(f"(worker-{number})") for name in names), names)

    @harness.require("java", "javac")
    def test_a_java_virtual_machine(self):
        """The JVM's own count of what it committed and used (NativeMemoryTracking) bounds what is resident."""
        source = self.scratch / "Fill.java"
        source.write_text("""
public class Fill {
  public static void main(String[] words) {
    byte[][] kept = new byte[20000][];
    for (int i = 0; i < kept.length; ++i) { kept[i] = new byte[1000]; java.util.Arrays.fill(kept[i], (byte) i); }
    System.out.println(kept.length);
  }
}
""")
        self.assertEqual(run(["javac", "-d", self.scratch, source]).status, 0)
        recorded = self.record("java", "-Xmx64m", "-Xms64m", "-XX:NativeMemoryTracking=summary",
                               "-XX:+UnlockDiagnosticVMOptions", "-XX:+PrintNMTStatistics", "-cp", self.scratch, "Fill")
        said = recorded.stdout.decode()
        answer, sample = self.map_of(recorded.trace)
        size, rss, evidence = {}, {}, {}
        for region in answer["regions"]:
            if region["kind"] == "managed":
                size[region["name"]] = size.get(region["name"], 0) + region["end"] - region["start"]
                rss[region["name"]] = rss.get(region["name"], 0) + region["rss"]
                evidence.setdefault(region["name"], set()).add(region["evidence"])
        committed = {name.strip(): int(count) for name, count in
                     re.findall(r"-\s+([\w ]+) \(reserved=\d+, committed=(\d+)\)", said)}
        self.assertEqual(committed["Java Heap"], 64 * MIB)
        self.assertLessEqual(size["java-heap"], 64 * MIB)
        self.assertGreater(rss["java-heap"], 20 * MIB)
        self.assertIn("call", evidence["java-heap"])
        self.assertGreater(rss["java-code"], MIB // 5)
        self.assertLessEqual(rss["java-code"], committed["Code"] + MIB)
        # The archive of classes may be missing or lie at its default place; else these are told by where it is.
        if any(region["name"].endswith("classes.jsa") for region in answer["regions"]):
            self.assertGreater(rss["java-class-space"], 0)
            self.assertLess(rss["java-class-space"], committed["Class"] + MIB)
        check_ledger(self, recorded.trace)

    @unittest.skipUnless(DOTNET_PROGRAM.exists(), "the SARIF Multitool is not installed (scripts/setup.sh)")
    def test_a_dotnet_program_in_a_single_file(self):
        """The runtime is part of the program: known by the code that it maps."""
        log, out = self.scratch / "log.sarif", self.scratch / "out.sarif"
        results = [{"ruleId": f"R{i % 50}", "message": {"text": f"finding {i}"}} for i in range(10000)]
        log.write_text(json.dumps({"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "x"}}, "results": results}]}))
        environment = clean_environment(DOTNET_SYSTEM_GLOBALIZATION_INVARIANT="1",
                                        DOTNET_BUNDLE_EXTRACT_BASE_DIR=self.scratch)
        recorded = self.record(DOTNET_PROGRAM, "rewrite", log, "--output", out, env=environment)
        self.assertTrue(out.exists())
        answer, sample = self.map_of(recorded.trace)
        managed = [region for region in answer["regions"] if region["kind"] == "managed"]
        heap = sum(region["rss"] for region in managed if region["name"] == "dotnet-heap")
        self.assertGreater(heap, 5 * MIB)
        self.assertGreater(sum(region["rss"] for region in managed if region["name"] == "dotnet-code"), MIB)
        unexplained = sum(region["rss"] for region in answer["regions"] if region["kind"] in ("anonymous", "unknown"))
        self.assertLess(unexplained, heap // 10)
        check_ledger(self, recorded.trace)

    def test_python_with_threads(self):
        code = """
import threading, time
kept = [bytes(1000) for _ in range(20000)]
done = threading.Event()
def work():
    mine = [bytearray(700) for _ in range(4000)]
    done.wait()
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
time.sleep(1.5)
done.set()
"""
        recorded = self.record(PYTHON, "-I", "-c", code, env=clean_environment(PYTHONMALLOC="malloc"))
        answer, sample = self.map_of(recorded.trace, "--largest")
        self.assertGreater(sample["categories"]["heap"]["rss"], 20 * MIB)
        stacks = {region["tid"] for region in answer["regions"] if region["kind"] == "thread_stack" and region.get("tid")}
        self.assertEqual(len(stacks), 3)
        kinds = {region["kind"] for region in answer["regions"]}
        for kind in ("code", "data", "heap_brk", "heap_arena", "main_stack", "kernel", "own"):
            self.assertIn(kind, kinds)
        # What nothing explains is little.
        self.assertLess(sample["categories"].get("unknown", {"rss": 0})["rss"], sample["rss"] / 20)
        answer, sample = self.map_of(recorded.trace)
        self.assertTrue(sample["consistent"])
        self.assertEqual(sample["cause"], "exit")

    def test_maps_of_a_program_s_own_are_charged_to_their_call(self):
        code = """
import ctypes, time
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
place = libc.mmap(None, 24 << 20, 3, 0x22, -1, 0)
ctypes.memset(place, 1, 16 << 20)
time.sleep(0.3)
"""
        recorded = self.record(PYTHON, "-I", "-c", code)
        answer, sample = self.map_of(recorded.trace)
        sizes = [region["rss"] for region in answer["regions"] if region["kind"] == "anonymous" and "site" in region]
        self.assertIn(16 * MIB, sizes)
        self.assertGreaterEqual(sample["categories"]["anonymous"]["rss"], 16 * MIB)

    @harness.require("node")
    def test_javascript_s_heap_is_a_kind_of_its_own(self):
        code = "const a = []; for (let i = 0; i < 400000; i++) a.push({ i, s: 'x' + i }); setTimeout(() => 0, 1500);"
        recorded = self.record("node", "-e", code)
        _, sample = self.map_of(recorded.trace, "--largest")
        heap = sum(numbers["rss"] for name, numbers in sample["categories"].items() if name.startswith("v8-"))
        self.assertGreater(heap, 20 * MIB)

    @unittest.skipUnless(SASS.exists(), "Dart Sass is not installed (scripts/setup.sh fetches it by npm where it can)")
    def test_dart_s_heap_is_known_by_the_names_it_gave(self):
        sheet = "\n".join(f".c{i} {{ @for $k from 1 through 8 {{ .d#{{$k}} {{ width: $k * {i}px; }} }} }}" for i in range(900))
        recorded = self.record(str(SASS), "--stdin", "--no-source-map", stdin=sheet.encode())
        traces = [trace for trace in [recorded.trace, *recorded.children()]
                  if "sass.snapshot" in str(analyze("info", trace)["command"])]
        answer, sample = self.map_of(traces[-1], "--largest")
        dart = {name: numbers for name, numbers in sample["categories"].items() if name.startswith("dart-")}
        self.assertGreater(dart["dart-heap"]["rss"], 8 * MIB)
        self.assertGreater(sum(numbers["private_dirty"] for numbers in dart.values()), 0.8 * sample["private_dirty"])
        evidence = {region["evidence"] for region in answer["regions"] if region["category"] == "dart-heap"}
        self.assertLessEqual(evidence, {"given_name", "kernel_name", "call"})
        self.assertTrue(evidence & {"given_name", "kernel_name"})

    def test_without_samples_the_message_says_what_to_do(self):
        recorded = self.record("/bin/true", options=("--sample-budget", "0"))
        finished = run([HEAPLEDGER, "map", recorded.trace])
        self.assertEqual(finished.status, 3)
        self.assertIn(b"no samples", finished.stderr)

    def test_limits_on_sampled_memory(self):
        code = "x = bytearray(40 << 20); import time; time.sleep(1.5)"
        recorded = self.record(PYTHON, "-I", "-c", code)
        self.assertEqual(run([HEAPLEDGER, "map", recorded.trace, "--max", "peak_rss=20M"]).status, 1)
        self.assertEqual(run([HEAPLEDGER, "map", recorded.trace, "--max", "peak_rss=200M"]).status, 0)
        metrics = analyze("metrics", recorded.trace)["metrics"]
        self.assertGreater(metrics["rss_at_peak"], 40 * MIB)
        self.assertLessEqual(metrics["rss_at_peak"], metrics["peak_rss"])


if __name__ == "__main__":
    harness.main()
