// See leak_scan.h.
#include "reader/leak_scan.h"

#include <algorithm>

#include "reader/frame_bytes.h"
#include "reader/payload_cursor.h"

namespace hl {
namespace {

// Beyond this no address space holds the blocks.
constexpr uint64_t kMaxRawBytes = uint64_t{1} << 36;

bool parse_columns(PayloadCursor& raw, LeakScan& scan) {
  const uint64_t roots = scan.facts.root_count, blocks = scan.facts.block_count;
  if (roots > raw.remaining() / 3 || blocks > raw.remaining() / 3)
    return false;
  scan.roots.resize(roots);
  for (auto& root : scan.roots) {
    uint8_t kind = 0;
    raw.get(kind);
    root.kind = static_cast<RootKind>(kind);
  }
  for (auto& root : scan.roots)
    root.tid = static_cast<uint32_t>(raw.leb());
  for (auto& root : scan.roots)
    root.address = raw.leb();
  scan.addresses.resize(blocks);
  uint64_t previous = 0;
  for (auto& address : scan.addresses) {
    const uint64_t delta = raw.leb();
    address = previous + delta;
    if (address < previous || (delta == 0 && &address != scan.addresses.data()))
      return false;
    previous = address;
  }
  scan.classes.resize(blocks);
  for (auto& c : scan.classes) {
    uint8_t value = 0;
    raw.get(value);
    c = value > static_cast<uint8_t>(LeakClass::reachable) ? LeakClass::unknown
                                                           : static_cast<LeakClass>(value);
  }
  scan.holders.resize(blocks);
  for (auto& holder : scan.holders) {
    holder = raw.leb();
    if (holder != LeakScan::kNoHolder && (LeakScan::is_root(holder) ? LeakScan::root_of(holder) >= roots
                                                                    : LeakScan::block_of(holder) >= blocks))
      return false;
  }
  if (scan.facts.contents_count > raw.remaining() / 2)
    return false;
  scan.contents.resize(scan.facts.contents_count);
  previous = 0;
  for (auto& example : scan.contents) {
    uint8_t bytes = 0;
    const uint64_t step = raw.leb();
    raw.get(bytes);
    const auto taken = raw.take(bytes);
    if (step >= blocks - previous || (step == 0 && &example != scan.contents.data()))
      return false;
    example.block = previous += step;
    example.bytes.assign(taken.begin(), taken.end());
  }
  return !raw.failed();
}

} // namespace

std::span<const uint8_t> LeakScan::contents_of(uint64_t address) const {
  const auto at = std::lower_bound(addresses.begin(), addresses.end(), address);
  if (at == addresses.end() || *at != address)
    return {};
  const auto block = static_cast<uint64_t>(at - addresses.begin());
  const auto example = std::lower_bound(contents.begin(), contents.end(), block,
                                        [](const Contents& c, uint64_t b) { return c.block < b; });
  return example == contents.end() || example->block != block ? std::span<const uint8_t>()
                                                              : std::span(example->bytes);
}

std::optional<LeakScan> parse_leak_scan(std::span<const uint8_t> payload, bool with_blocks) {
  PayloadCursor cursor(payload);
  LeakScan scan;
  uint32_t header_bytes = 0;
  if (payload.size() < sizeof header_bytes)
    return std::nullopt;
  PayloadCursor(payload).get(header_bytes);
  // Beyond the fields of the first version nothing is needed.
  constexpr size_t kLeastBytes = 96;
  if (header_bytes < kLeastBytes || !cursor.get_sized(scan.facts, header_bytes))
    return std::nullopt;
  scan.name = cursor.text(scan.facts.name_bytes);
  scan.reason = cursor.text(scan.facts.reason_bytes);
  if (cursor.failed())
    return std::nullopt;
  if (!with_blocks || scan.facts.raw_bytes == 0)
    return scan.facts.raw_bytes == 0 && scan.facts.block_count != 0 ? std::nullopt
                                                                    : std::optional(std::move(scan));
  const auto packed = cursor.take(cursor.remaining());
  std::vector<uint8_t> raw;
  if (scan.facts.raw_bytes > kMaxRawBytes || !unpack_frame(packed, scan.facts.raw_bytes, raw))
    return std::nullopt;
  PayloadCursor columns(raw);
  return parse_columns(columns, scan) ? std::optional(std::move(scan)) : std::nullopt;
}

namespace {

std::optional<LeakScan> read_scan(const Trace& trace, const ChunkPlace& place, bool with_blocks) {
  std::vector<uint8_t> payload;
  if (!read_payload(*trace.file(), place, payload, trace.problems()))
    return std::nullopt;
  auto scan = parse_leak_scan(payload, with_blocks);
  if (!scan)
    trace.problems().add(ProblemKind::damaged, place.offset,
                         "the leak scan at byte " + std::to_string(place.offset) +
                             " cannot be what it claims to be");
  else
    scan->place = place;
  return scan;
}

} // namespace

std::vector<LeakScan> list_leak_scans(const Trace& trace) {
  std::vector<LeakScan> scans;
  for (const ChunkPlace& place : trace.snapshot_chunks())
    if (auto scan = read_scan(trace, place, false))
      scans.push_back(std::move(*scan));
  return scans;
}

std::optional<LeakScan> load_leak_scan(const Trace& trace, const LeakScan& listed) {
  return read_scan(trace, listed.place, true);
}

} // namespace hl
