"""An independent, slow and obvious replay of `heapledger dump`'s text: the analyzer's oracle.

It shares no code and no ideas with the analyzer: a dict of live blocks, and the rules that a correct record obeys.
Each line of the dump is one event: words KEY=VALUE, numbers decimal or 0x-hexadecimal. What it counts is what the
contract says: an allocation call is malloc, calloc, the aligned family and every realloc that returned a block; a free call
is a free of a block and every realloc of a block that succeeded.

usage: heapledger dump TRACE | naive_replay.py      prints the result as JSON
"""
import json
import sys

ALLOCATING = {"malloc", "calloc", "aligned"}


def fields_of(line):
    """The KEY=VALUE words of a line, numbers as int."""
    fields = {}
    for word in line.split():
        key, separator, value = word.partition("=")
        if not separator:
            continue
        try:
            fields[key] = int(value, 0)
        except ValueError:
            fields[key] = value
    return fields


class Replay:
    """The live heap after each event, and every rule the events broke."""

    def __init__(self):
        self.live = {}
        self.live_bytes = 0
        self.peak_bytes = 0
        self.peak_blocks = 0
        self.peak_time_ns = 0
        self.allocation_calls = 0
        self.free_calls = 0
        self.bytes_requested = 0
        self.events = 0
        self.unknown_frees = []
        self.double_allocations = []
        self.time_went_back = 0
        self.last_time = 0

    def _allocate(self, address, size, line):
        if address in self.live:
            self.double_allocations.append(line)
            self.live_bytes -= self.live[address]
        self.live[address] = size
        self.live_bytes += size
        self.allocation_calls += 1
        self.bytes_requested += size

    def _free(self, address, line):
        size = self.live.pop(address, None)
        if size is None:
            self.unknown_frees.append(line)
            return
        self.live_bytes -= size

    def feed(self, line):
        event = fields_of(line)
        kind = event.get("kind")
        if kind is None:
            return
        self.events += 1
        time = event.get("time", 0)
        if time < self.last_time:
            self.time_went_back += 1
        self.last_time = time
        if kind in ALLOCATING:
            self._allocate(event["address"], event["size"], line)
        elif kind == "realloc":
            if event.get("old", 0):
                self._free(event["old"], line)
                self.free_calls += 1
            self._allocate(event["address"], event["size"], line)
        elif kind == "realloc_begin":
            # A realloc with other threads' events between its two moments: the old block goes here, the line
            # kind=realloc that follows has no old=.
            self._free(event["old"], line)
            self.free_calls += 1
        elif kind == "free":
            self._free(event["address"], line)
            self.free_calls += 1
        if self.live_bytes > self.peak_bytes:
            self.peak_bytes = self.live_bytes
            self.peak_blocks = len(self.live)
            self.peak_time_ns = time

    def result(self):
        return {
            "events": self.events, "allocation_calls": self.allocation_calls, "free_calls": self.free_calls,
            "bytes_requested": self.bytes_requested, "peak_bytes": self.peak_bytes, "peak_blocks": self.peak_blocks,
            "exit_bytes": self.live_bytes, "exit_blocks": len(self.live), "unknown_frees": self.unknown_frees[:10],
            "double_allocations": self.double_allocations[:10], "time_went_back": self.time_went_back,
        }


def replay(lines):
    """Replays an iterable of dump lines (text)."""
    state = Replay()
    for line in lines:
        state.feed(line)
    return state


if __name__ == "__main__":
    json.dump(replay(sys.stdin).result(), sys.stdout, indent=1)
    print()
