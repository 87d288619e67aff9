"""What the built shim needs and shows: libc alone, old symbol versions, little thread-local storage, no stray symbols."""
import re
import subprocess
import sys
import unittest

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import harness
from harness import SHIM


def readelf(*options):
    return subprocess.run(["readelf", "-W", *options, str(SHIM)], capture_output=True, text=True, check=True).stdout


class ShimBinary(unittest.TestCase):
    def test_needs_libc_alone(self):
        needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", readelf("-d")))
        # musl takes itself for it, and would find no ld-linux-x86-64.so.2.
        self.assertEqual(needed, {"libc.so.6"})

    def test_calls_nothing_that_a_program_may_define(self):
        imported = set()
        for line in readelf("--dyn-syms").splitlines():
            words = line.split()
            if len(words) >= 8 and words[6] == "UND":
                imported.add(words[7].split("@")[0])
        # Variables, errno, and what the C compiler's start files name.
        self.assertEqual(imported - {"_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable", "__gmon_start__",
                                     "__cxa_finalize"},
                         {"__environ", "environ", "__errno_location", "__libc_stack_end", "_r_debug", "_dl_debug_addr"})

    def test_symbol_versions_up_to_glibc_2_17(self):
        versions = {tuple(map(int, version.split("."))) for version in re.findall(r"GLIBC_(\d+(?:\.\d+)+)", readelf("-V"))}
        self.assertTrue(versions)
        self.assertLessEqual(max(versions), (2, 17), sorted(versions))

    def test_thread_local_storage_up_to_64_bytes(self):
        segments = re.findall(r"^\s*TLS\s+\S+\s+\S+\s+\S+\s+0x(\S+)\s+0x(\S+)", readelf("-l"), re.MULTILINE)
        self.assertLessEqual(sum(int(size, 16) for _, size in segments), 64)

    def test_exports_nothing_but_c_functions_that_it_interposes_or_offers(self):
        exported = set()
        for line in readelf("--dyn-syms").splitlines():
            words = line.split()
            if len(words) >= 8 and words[4] in ("GLOBAL", "WEAK", "UNIQUE") and words[6] != "UND":
                exported.add(words[7].split("@")[0])
        self.assertIn("malloc", exported)
        mangled = {name for name in exported if name.startswith("_Z")}
        self.assertEqual(mangled, set(), "a C++ symbol would take the place of the program's own")
        own = {name for name in exported if name.startswith("heapledger_")}
        # Everything else must be a function that exists elsewhere, or it could collide with the program's.
        families = {name for name in exported if re.match(r"(mi|je|tc)_|__(libc|rtld)_", name)}
        libc = subprocess.run(["readelf", "-W", "--dyn-syms", "/lib/x86_64-linux-gnu/libc.so.6"], capture_output=True,
                              text=True, check=True).stdout
        known = {word.split("@")[0] for line in libc.splitlines() for word in line.split()[7:8]}
        c23 = {"free_sized", "free_aligned_sized"}
        versions = {name for name in exported if name.startswith("HEAPLEDGER")}
        self.assertEqual(exported - own - families - known - c23 - versions - {"cfree"}, set())

    def test_every_function_of_the_design_is_interposed(self):
        exported = {line.split()[7].split("@")[0] for line in readelf("--dyn-syms").splitlines()
                    if len(line.split()) >= 8 and line.split()[6] != "UND"}
        wanted = """malloc calloc realloc reallocarray free cfree memalign posix_memalign aligned_alloc valloc pvalloc
            free_sized free_aligned_sized mmap mmap64 munmap mremap brk sbrk madvise mprotect prctl exit _exit abort
            fork execve execv execvp posix_spawn posix_spawnp pthread_setname_np""".split()
        self.assertEqual(set(wanted) - exported, set())

    def test_no_executable_stack_no_text_relocations(self):
        self.assertNotRegex(readelf("-d"), r"TEXTREL")
        self.assertRegex(readelf("-l"), r"GNU_STACK\s+\S+\s+\S+\s+\S+\s+\S+\s+\S+\s+RW\s")

    def test_an_event_on_a_remembered_stack_takes_at_most_512_bytes_of_stack(self):
        # The compiler's frames along the path of a hit, from the caller's call instruction inwards.
        code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", str(SHIM)], capture_output=True, text=True,
                              check=True).stdout
        functions = {name: body for name, body in re.findall(r"^[0-9a-f]+ <([^>]+)>:\n(.*?)(?:\n\n|\Z)", code,
                                                             re.MULTILINE | re.DOTALL)}

        def frame_bytes(part):
            names = [name for name in functions if part == name or (part.startswith("*") and part[1:] in name)]
            self.assertTrue(names or part.startswith("*"), part)  # a helper may have been inlined
            sizes = [8 + 8 * len(re.findall(r"\bpush\b", functions[name])) +
                     max([int(n, 16) for n in re.findall(r"\bsub +\$0x([0-9a-f]+),%rsp", functions[name])], default=0)
                     for name in names]
            return max(sizes, default=0)

        for hook in ("malloc", "calloc", "free"):
            path = [hook, f"hl_hook_{hook}", f"*{hook}_body", "*13capture_stackERNS"]
            self.assertLessEqual(sum(map(frame_bytes, path)), 512, hook)

    def test_runs_nothing_at_unload(self):
        # A destructor of the shim would run before those of libraries that still free.
        sizes = [int(size) for size in re.findall(r"\(FINI_ARRAYSZ\)\s+(\d+)", readelf("-d"))]
        self.assertLessEqual(sum(sizes), 8, "at most the compiler's own frame_dummy twin")


if __name__ == "__main__":
    harness.main()
