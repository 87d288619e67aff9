"""What the processes of a command that does not end are doing, for the message of the test that gave up waiting."""
import os
from pathlib import Path


def _read(path):
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _threads(pid):
    for task in sorted(Path(f"/proc/{pid}/task").glob("*")):
        stat = _read(task / "stat").rsplit(")", 1)[-1].split()
        if len(stat) > 12:
            ticks = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
            yield f"    {task.name} {_read(task / 'comm')}: {stat[0]}, {ticks:.2f} s CPU, {_read(task / 'wchan')}, " \
                  f"syscall {_read(task / 'syscall')}"


def describe(root):
    """A paragraph for the process and each of its descendants: command line, signals, who traces it, threads."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        stat = _read(entry / "stat").rsplit(")", 1)[-1].split()
        if len(stat) > 1:
            parents.setdefault(int(stat[1]), []).append(int(entry.name))
    lines, wave = [], [root]
    while wave:
        for pid in wave:
            command = _read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ")
            status = dict(line.split(":\t", 1) for line in _read(Path(f"/proc/{pid}/status")).splitlines() if ":\t" in line)
            words = ", ".join(f"{key} {status[key]}" for key in ("TracerPid", "SigPnd", "ShdPnd", "SigBlk") if key in status)
            lines += [f"  {pid} {command[:200]} ({words})", *_threads(pid)]
        wave = [child for pid in wave for child in parents.get(pid, [])]
    return "\n".join(lines)
