"""One program (programs/diff_subject) built in many ways, for test_diff.py and the table of docs/diff.md.

Each build has its own copy of the sources in a directory of its own. A build is a name from BUILDS: compiler, flags,
and what is done to the sources or the binaries.
"""
import os
import shutil
import subprocess
from pathlib import Path

SUBJECT = Path(__file__).resolve().parent / "programs" / "diff_subject"
PARTS = ("subject", "libcodec.so", "libstore.so")


def _forty_lines_down(sources):
    for path in sources.glob("*.cpp"):
        path.write_text("\n" * 40 + path.read_text())


def _move_a_file(sources):
    (sources / "deep").mkdir()
    (sources / "store.cpp").rename(sources / "deep" / "store.cpp")


def _strip(directory):
    for part in PARTS:
        subprocess.run(["objcopy", "--only-keep-debug", part, part + ".debug"], cwd=directory, check=True)
        subprocess.run(["strip", "--strip-all", part], cwd=directory, check=True)
        subprocess.run(["objcopy", f"--add-gnu-debuglink={part}.debug", part], cwd=directory, check=True)


SPLIT = ("-O2", "-freorder-blocks-and-partition", "-fipa-sra", "-fipa-cp-clone", "-fpartial-inlining",
         "--param", "inline-unit-growth=0")
BUILDS = {
    "gcc-O0": dict(flags=("-O0",)),
    "clang-O0": dict(compiler="clang++", flags=("-O0",)),
    "gcc-O2": dict(),
    "gcc-O2-directory": dict(directory="elsewhere/deep/build"),
    "gcc-O2-lines": dict(change=_forty_lines_down),
    "gcc-O2-lambdas": dict(flags=("-O2", "-DLAMBDAS_REORDERED")),
    "gcc-O2-split": dict(flags=SPLIT),
    "gcc-O2-lto": dict(flags=("-O2", "-flto")),
    "gcc-O2-stripped": dict(finish=_strip),
    "clang-O2": dict(compiler="clang++"),
    "clang-O2-lto": dict(compiler="clang++", flags=("-O2", "-flto=thin", "-fuse-ld=lld")),
    "gcc-O3": dict(flags=("-O3",)),
    "clang-O3": dict(compiler="clang++", flags=("-O3",)),
    # Planted changes.
    "leaking": dict(flags=("-O2", "-DLEAKING")),
    "grown": dict(flags=("-O2", "-DGROWN")),
    "without-cache": dict(flags=("-O2", "-DWITHOUT_CACHE")),
    "renamed": dict(flags=("-O2", "-DRENAMED")),
    "moved": dict(change=_move_a_file),
}
LEVELS = {
    "O0": ["gcc-O0", "clang-O0"],
    "O2": ["gcc-O2", "gcc-O2-directory", "gcc-O2-lines", "gcc-O2-lambdas", "gcc-O2-split", "gcc-O2-lto",
           "gcc-O2-stripped", "clang-O2", "clang-O2-lto"],
    "O3": ["gcc-O3", "clang-O3"],
}


def build(name, root, place=None):
    """Builds NAME below ROOT, in PLACE or a directory of its own; the path of the program."""
    how = BUILDS[name]
    directory = Path(root) / (place or how.get("directory", name))
    sources = directory / "src"
    shutil.copytree(SUBJECT, sources)
    if "change" in how:
        how["change"](sources)
    command = [how.get("compiler", "g++"), "-std=c++17", "-g", *how.get("flags", ("-O2",)), "-I", str(sources)]
    environment = dict(os.environ, LC_ALL="C.UTF-8")

    def link(target, *arguments):
        subprocess.run([*command, *map(str, arguments), "-o", str(directory / target), f"-L{directory}",
                        "-Wl,-rpath,$ORIGIN", "-Wl,--build-id"], check=True, env=environment)

    def source(file):
        return next(sources.rglob(file))

    link("libcodec.so", "-fPIC", "-shared", source("codec.cpp"))
    link("libstore.so", "-fPIC", "-shared", source("store.cpp"), "-lcodec")
    link("subject", source("main.cpp"), source("session.cpp"), "-lstore", "-lcodec")
    if "finish" in how:
        how["finish"](directory)
    return directory / "subject"
