#!/usr/bin/python3
"""The table of docs/diff.md: one program built in many ways, each build compared with another of itself, by
heapledger and by heaptrack_print --diff.

Nothing was changed, so whatever a tool reports as changed it could not match. Its share is counted in allocation
calls: of both runs' calls, those whose stacks are not told to be the same. heaptrack's is taken from the stacks of its
flame graph of the difference; twice, since it wants equal paths: of the builds as they are, and of the same builds made
one after another in one directory.
"""
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
import diff_builds  # noqa: E402
from harness import HEAPLEDGER, clean_environment  # noqa: E402

PAIRS = [("gcc-O2", "gcc-O2-directory"), ("gcc-O2", "gcc-O2-stripped"), ("gcc-O2", "gcc-O2-lambdas"),
         ("gcc-O2", "gcc-O2-lines"), ("gcc-O2", "gcc-O2-lto"), ("gcc-O2", "gcc-O2-split"), ("gcc-O2", "gcc-O3"),
         ("gcc-O2", "clang-O2"), ("clang-O2", "clang-O2-lto"), ("gcc-O0", "clang-O0"), ("gcc-O0", "gcc-O2"),
         ("clang-O0", "clang-O2"), ("gcc-O0", "clang-O3")]


def call(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True,
                          env=clean_environment()).stdout


def heapledger_shares(base, new):
    """Percent of calls by tier; unmatched also counts sites that were matched with other numbers."""
    diff = json.loads(call(HEAPLEDGER, "diff", base, new, "--json", "--top", "0"))
    shares = {"exact": 0, "canonical": 0, "fuzzy": 0, "unmatched": 0}
    calls = 0
    for site in diff["sites"]:
        numbers = site["metrics"]["allocation_calls"]
        calls += numbers["base"] + numbers["new"]
        shares["unmatched"] += abs(numbers["delta"])
        if site["match"]:
            shares[site["match"]] += 2 * min(numbers["base"], numbers["new"])
    return {tier: 100 * share / calls for tier, share in shares.items()}


def flame_graph(*arguments):
    with tempfile.NamedTemporaryFile() as out:
        call("heaptrack_print", *arguments, "-F", out.name, "--flamegraph-cost-type", "allocations")
        return [int(line.rsplit(None, 1)[1]) for line in Path(out.name).read_text().splitlines() if line.strip()]


def heaptrack_unmatched(base, new):
    calls = sum(flame_graph(base)) + sum(flame_graph(new))
    return 100 * sum(abs(cost) for cost in flame_graph("-d", base, new)) / calls


def main():
    with tempfile.TemporaryDirectory(prefix="heapledger-diff-") as directory:
        root = Path(directory)
        for name in {name for pair in PAIRS for name in pair}:
            subject = diff_builds.build(name, root)
            call(HEAPLEDGER, "record", "--quiet", "-o", root / f"{name}.hlt", "--", subject)
            call("heaptrack", "-o", root / f"{name}.apart", subject)
            call("heaptrack", "-o", root / f"{name}.here", diff_builds.build(name, root, "here"))
            shutil.rmtree(root / "here")
        print("| base | new | exact | canonical | fuzzy | not matched | heaptrack | heaptrack, one directory |")
        print("|---|---|--:|--:|--:|--:|--:|--:|")
        for base, new in PAIRS:
            ours = heapledger_shares(root / f"{base}.hlt", root / f"{new}.hlt")
            theirs = [heaptrack_unmatched(root / f"{base}.{place}.zst", root / f"{new}.{place}.zst")
                      for place in ("apart", "here")]
            print(f"| {base} | {new} | " + " | ".join(f"{share:.1f} %" for share in [*ours.values(), *theirs]) + " |")


if __name__ == "__main__":
    main()
