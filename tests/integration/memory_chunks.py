"""Reads the memory samples of a trace by docs/format.md alone, with no code of the analyzer: usage rows, and memory
maps with their smaps text and page runs. For the tests that hold the recorder to what the kernel says."""
import ctypes
import struct

USAGE, RESIDENCY, SAMPLING = 19, 8, 20
CAUSES = ("unknown", "start", "periodic", "mark", "peak", "request", "exit")
FIELDS = ("size rss shared pss pss_anon pss_file pss_shmem pss_dirty shared_clean shared_dirty private_clean "
          "private_dirty anonymous lazy_free anon_huge_pages swap swap_pss locked rollup_rss cgroup_current cgroup_peak "
          "cgroup_max cgroup_high cgroup_swap cgroup_anon cgroup_file cgroup_kernel cgroup_high_events cgroup_max_events "
          "cgroup_oom_kills cgroup_pressure_us oom_score oom_score_adj machine_total machine_available "
          "machine_pressure_us minor_faults major_faults threads mappings page_tables").split()
CONSISTENT, ZERO_PAGES, NO_PAGES = 1, 2, 4
SWAPPED, ANONYMOUS, SHARED_ANONYMOUS, FILE = range(4)
UNREAD = 2**64 - 1

_zstd = ctypes.CDLL("libzstd.so.1")
_zstd.ZSTD_decompress.restype = ctypes.c_size_t


def unpack(frame, raw_bytes):
    out = ctypes.create_string_buffer(max(raw_bytes, 1))
    got = _zstd.ZSTD_decompress(out, ctypes.c_size_t(raw_bytes), frame, ctypes.c_size_t(len(frame)))
    assert got == raw_bytes, (got, raw_bytes)
    return out.raw[:raw_bytes]


class Leb:
    def __init__(self, data):
        self.data, self.at = data, 0

    def __call__(self):
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value


def chunks(path):
    """Kind and payload of each whole chunk."""
    for kind, payload, _ in placed_chunks(path):
        yield kind, payload


def placed_chunks(path):
    """Kind, payload and end (offset in the file) of each whole chunk."""
    with open(path, "rb") as file:
        data = file.read()
    at = 64
    while at + 64 <= len(data):
        kind, size = struct.unpack_from("<4xHxxQ", data, at)
        if at + 64 + size > len(data):
            return
        end = at + 64 + (size + 7) // 8 * 8
        yield kind, data[at + 64:at + 64 + size], end
        at = end


def usage_rows(path):
    """[{"ticks": ..., field: value}] of all usage chunks."""
    rows = []
    for kind, payload in chunks(path):
        if kind != USAGE:
            continue
        head, count, ticks, raw = struct.unpack_from("<IIQQ", payload)
        leb, last = Leb(unpack(payload[head:], raw)), [0] * len(FIELDS)
        for _ in range(count):
            ticks += leb()
            row, mask = {"ticks": ticks}, leb()
            for i, name in enumerate(FIELDS):
                if mask >> i & 1:
                    change = leb()
                    last[i] = (last[i] + (change >> 1 ^ -(change & 1))) % 2**64
                    row[name] = last[i]
            rows.append(row)
        assert leb.at == raw
    return rows


class Mapping:
    def __init__(self, header):
        words = header.split(None, 5)
        self.start, self.end = (int(word, 16) for word in words[0].split("-"))
        self.name = words[5].strip() if len(words) > 5 else ""
        self.fields = {}


class Map:
    """One memory map: cause, name, flags, own ranges, mappings with their smaps fields (bytes), page runs."""

    def __init__(self, payload):
        (head, name, cause, self.flags, self.ticks, self.end_ticks, self.cpu_ns, page, own, smaps, runs,
         raw) = struct.unpack_from("<IHBBQQQIIQQQ", payload)
        values = struct.unpack_from(f"<{(head - 64) // 8}Q", payload, 64)
        self.fields = {field: value for field, value in zip(FIELDS, values) if value != UNREAD}
        self.cause, self.name = CAUSES[cause], payload[head:head + name].decode()
        data = unpack(payload[head + name:], raw)
        self.own = [struct.unpack_from("<QQ", data, 16 * i) for i in range(own)]
        self.mappings = []
        for line in data[16 * own:16 * own + smaps].decode().splitlines():
            key, _, value = line.partition(":")
            if not "A" <= line[0] <= "Z":
                self.mappings.append(Mapping(line))
            elif value.endswith(" kB"):
                self.mappings[-1].fields[key] = int(value[:-3]) * 1024
        leb, at, self.runs = Leb(data[16 * own + smaps:]), 0, []
        for _ in range(runs):
            at += leb()
            packed = leb()
            self.runs.append((at * page, (at + packed // 4) * page, packed % 4))
            at += packed // 4
        assert leb.at == len(leb.data)

    def resident(self, start, end, states=(ANONYMOUS, SHARED_ANONYMOUS, FILE)):
        """Bytes of the range that the page runs say are resident, in one of these states."""
        return sum(min(to, end) - max(at, start) for at, to, state in self.runs
                   if state in states and at < end and to > start)

    def differing(self):
        """Mappings whose resident pages are not what smaps says: (name, by pages, by smaps)."""
        found = []
        for m in self.mappings:
            by_pages = self.resident(m.start, m.end)
            if by_pages != m.fields["Rss"]:
                found.append((hex(m.start), m.name, by_pages, m.fields["Rss"]))
        return found


def maps(path):
    return [Map(payload) for kind, payload in chunks(path) if kind == RESIDENCY]
