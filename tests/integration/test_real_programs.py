"""Real programs: recorded they print the same bytes, nothing is lost, and the numbers are plausible in detail."""
import re
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import HEAPLEDGER, PYTHON, SOURCE, analyze, clean_environment, functions, run
from running import end_with_all_below


class RealProgram(harness.TestCase):
    def record_same(self, command, at_least_calls, known=(), **arguments):
        """Records; output and status must be those of an unrecorded run. known: functions that must be in some stack."""
        recorded = self.assert_same_output(command, timeout=400, **arguments)
        info = self.assert_nothing_lost(recorded.trace)
        report = recorded.report()
        self.assertGreaterEqual(report["totals"]["allocation_calls"], at_least_calls)
        self.assertGreaterEqual(info["events"]["allocations"] + info["events"]["reallocations"], at_least_calls)
        seen = {name for site in report["sites"] for name in functions(site)}
        self.assertEqual(set(known) - seen, set(), "functions that must be in some stack")
        return recorded, report


class Python(RealProgram):
    def test_json_and_dict_work(self):
        environment = clean_environment(PYTHONMALLOC="malloc", PYTHONHASHSEED="0")
        self.record_same([PYTHON, str(SOURCE / "tests/bench/json_work.py"), "1"], 300_000,
                         ["_PyEval_EvalFrameDefault", "PyUnicode_New"], env=environment)

    def test_threads_subprocesses_and_ctypes(self):
        code = """
import concurrent.futures, ctypes, hashlib, json, re, sqlite3, subprocess, sys, zlib
def work(n):
    return hashlib.sha256(zlib.compress(json.dumps(list(range(n))).encode())).hexdigest()
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    print(list(pool.map(work, range(0, 2000, 100))))
print(subprocess.run(["/bin/echo", "child"], capture_output=True).stdout)
database = sqlite3.connect(":memory:")
database.execute("create table t(a)")
database.executemany("insert into t values(?)", ((i,) for i in range(5000)))
print(database.execute("select sum(a) from t").fetchone())
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
pointer = libc.malloc(ctypes.c_size_t(4321))
libc.free(ctypes.c_void_p(pointer))
print(re.sub("a+", "b", "caaandaab" * 50))
"""
        recorded, report = self.record_same([PYTHON, "-I", "-c", code], 1000,
                                            env=clean_environment(PYTHONHASHSEED="0"))
        self.assertTrue(any(site["bytes_requested"] == 4321 for site in report["sites"]), "malloc called by libffi")
        self.assertGreaterEqual(len(recorded.children()), 1)


@harness.require("g++")
class Compiler(RealProgram):
    def test_gxx_compiles_the_same_object_and_its_passes_are_recorded(self):
        source = self.scratch / "small.cpp"
        source.write_text(run([PYTHON, SOURCE / "tests/bench/make_heavy_cpp.py", "1", "2"]).stdout.decode())
        objects = [self.scratch / "alone.o", self.scratch / "recorded.o"]
        compile_to = ["g++", "-std=c++20", "-O1", "-c", str(source), "-o"]
        self.assertEqual(run([*compile_to, objects[0]], timeout=200).status, 0)
        recorded = self.record(*compile_to, str(objects[1]), timeout=400)
        self.assertEqual(objects[0].read_bytes(), objects[1].read_bytes())
        commands = {}
        for trace in recorded.children():
            info = self.assert_nothing_lost(trace)
            commands[re.search(r"cc1plus|\bas\b", str(info["command"]))[0]] = info
        self.assertGreater(commands["cc1plus"]["events"]["allocations"], 200_000)
        self.assertIn("as", commands)


@harness.require("git")
class Git(RealProgram):
    def test_status_of_a_large_tree(self):
        tree = self.scratch / "tree"
        for directory in range(100):
            folder = tree / f"d{directory % 10}" / f"sub{directory}"
            folder.mkdir(parents=True)
            for number in range(100):
                (folder / f"file{number}.txt").write_text(f"{directory} {number}\n")
        environment = clean_environment(HOME=self.scratch, GIT_CONFIG_NOSYSTEM="1")
        for command in ("init -q", "add .", "-c user.name=a -c user.email=a@b commit -q -m x"):
            self.assertEqual(run(["git", *command.split()], cwd=tree, env=environment).status, 0)
        for number in range(0, 100, 7):
            (tree / "d3" / "sub3" / f"file{number}.txt").write_text("changed, to another size\n")
        (tree / "new file").write_text("x")
        self.record_same(["git", "status", "--porcelain"], 1000, cwd=tree, env=environment)
        self.record_same(["git", "log", "--stat", "-p"], 10000, cwd=tree, env=environment, name="log.hlt")


@harness.require("sqlite3")
class Sqlite(RealProgram):
    def test_queries(self):
        script = """create table t(a integer primary key, b text, c real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 40000)
insert into t select i, hex(i * 7919) || i, i / 7.0 from n;
create index tb on t(b);
select count(*), sum(c), max(b) from t where b like '%1F%';
select b, group_concat(a) from t group by substr(b, 1, 2) order by 1 limit 20;
update t set b = b || b where a % 3 = 0; vacuum; pragma integrity_check;"""
        _, report = self.record_same(["sqlite3", ":memory:"], 50_000, stdin=script.encode())
        self.assertLess(report["at_exit"]["bytes"], 1_000_000)


@harness.require("redis-server", "redis-benchmark", "redis-cli")
class Redis(RealProgram):
    """redis links jemalloc: its blocks come from je_malloc behind malloc's name, and BGSAVE forks with a live heap."""

    def test_server_under_benchmark(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        trace = self.scratch / "redis.hlt"
        server = subprocess.Popen([str(HEAPLEDGER), "record", "-o", str(trace), "--", "redis-server", "--port", port,
                                   "--save", "", "--dir", str(self.scratch), "--daemonize", "no"],
                                  env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            deadline = time.monotonic() + 60
            while run(["redis-cli", "-p", port, "ping"]).stdout != b"PONG\n":
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.1)
            bench = run(["redis-benchmark", "-p", port, "-q", "-n", "20000", "-t", "set,get,lpush,sadd,hset", "-d", "300",
                         "-r", "5000"], timeout=200)
            self.assertEqual(bench.status, 0, bench.explain())
            self.assertEqual(run(["redis-cli", "-p", port, "set", "a key", "a value"]).stdout, b"OK\n")
            self.assertEqual(run(["redis-cli", "-p", port, "get", "a key"]).stdout, b"a value\n")
            run(["redis-cli", "-p", port, "bgsave"])
            while b"rdb_bgsave_in_progress:0" not in run(["redis-cli", "-p", port, "info", "persistence"]).stdout:
                self.assertLess(time.monotonic(), deadline + 60)
                time.sleep(0.1)
            self.assertTrue((self.scratch / "dump.rdb").exists())
            run(["redis-cli", "-p", port, "shutdown", "nosave"])
            server.communicate(timeout=30)
            self.assertEqual(server.returncode, 0)
        finally:
            if server.poll() is None:
                end_with_all_below(server)
        self.assert_nothing_lost(trace)
        report = analyze("report", trace)
        self.assertGreater(report["totals"]["allocation_calls"], 100_000)
        children = sorted(self.scratch.glob("redis.*.hlt"))
        self.assertEqual(len(children), 1, "BGSAVE's child has a trace of its own")


@harness.require("z3")
class Z3(RealProgram):
    def test_solves_the_same(self):
        script = """(declare-const x Int)(declare-const y Int)(declare-const z Int)
(assert (and (> x 10) (< y (* 3 x)) (= (+ x y z) 100) (> (* 2 z) y)))
(declare-fun f (Int) Int)
(assert (forall ((n Int)) (=> (and (>= n 0) (< n 20)) (> (f (+ n 1)) (+ (f n) n)))))
(assert (= (f 0) x))(check-sat)(get-model)
(push)(declare-const b (_ BitVec 32))(assert (= (bvmul b #x00010001) #xdeadbeef))(check-sat)(pop)"""
        self.record_same(["z3", "-in", "-T:60"], 10_000, stdin=script.encode())


@harness.require("node")
class Node(RealProgram):
    def test_javascript_with_workers(self):
        code = """const { Worker, isMainThread, parentPort } = require('worker_threads');
const zlib = require('zlib'), crypto = require('crypto');
const work = n => crypto.createHash('sha256').update(zlib.deflateSync(Buffer.from(
  JSON.stringify([...Array(n).keys()].map(i => ({ i, s: 'x'.repeat(i % 50) })))))).digest('hex');
if (isMainThread) {
  const w = new Worker(process.argv[1]);
  w.on('message', m => { console.log(work(3000), m); });
} else parentPort.postMessage(work(2000));
"""
        script = self.scratch / "work.js"
        script.write_text(code)
        self.record_same(["node", str(script)], 5_000)


SASS = SOURCE / "build/npm/node_modules/sass-embedded-linux-x64/dart-sass/sass"


@unittest.skipUnless(SASS.exists(), "Dart Sass is not installed (scripts/setup.sh fetches it by npm where it can)")
class DartSass(RealProgram):
    """AOT-compiled Dart: no CFI in its own code, its heap is mmapped and named through prctl, malloc is the VM's."""

    def test_compiles_and_both_its_mallocs_and_its_named_mappings_appear(self):
        sheet = "@use 'sass:math';\n" + "\n".join(
            f"@mixin m{i}($x) {{ width: math.div($x, {i + 1}) + {i}px; &:hover {{ color: mix(red, blue, {i % 100}%); }} }}\n"
            f".c{i} {{ @for $k from 1 through 8 {{ .d#{{$k}} {{ @include m{i}($k * 1px); }} }} }}" for i in range(150))
        recorded, report = self.record_same([str(SASS), "--stdin", "--no-source-map"], 500, stdin=sheet.encode())
        # The launcher is a shell script that ends by exec: the VM is another image of the same pid.
        traces = [trace for trace in [recorded.trace, *recorded.children()]
                  if "sass.snapshot" in str(analyze("info", trace)["command"])]
        text = b"\n".join(line for trace in traces for line in harness.dump_lines(trace))
        self.assertRegex(text, rb"kind=mmap\b")
        self.assertRegex(text, rb"kind=vma_name\b.*dart")


if __name__ == "__main__":
    harness.main()
