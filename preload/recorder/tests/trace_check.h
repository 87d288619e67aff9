// Reads a trace of FakeShim's numbered events and says whether each is there exactly once and in order. A
// reader of its own, so that the recorder's tests need nothing of the analyzer.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include <zstd.h>

#include "heapledger/event_columns.h"
#include "heapledger/trace_format.h"

namespace hl {

struct TraceFacts {
  bool readable = false, closed = false;
  std::map<uint32_t, uint64_t> events; // by thread_index
  uint64_t out_of_order = 0;           // events that are not the successor of their thread's last one
  uint64_t below_low_water = 0;
  uint64_t unknown_stacks = 0;
  uint64_t nodes = 0, modules = 0, all_events = 0;
  std::map<uint16_t, uint32_t> chunks; // by kind
  LossesPayload losses{};
  ProcessStatusPayload status{};
  HeaderPayload header{};
  std::vector<LeakScanPayload> scans;
  std::vector<std::string> scan_reasons;
  std::string why;
};

inline TraceFacts check_trace(const std::string& path) {
  TraceFacts f;
  std::vector<uint8_t> file;
  if (FILE* in = std::fopen(path.c_str(), "rb")) {
    uint8_t buffer[65536];
    size_t got;
    while ((got = std::fread(buffer, 1, sizeof(buffer), in)) > 0)
      file.insert(file.end(), buffer, buffer + got);
    std::fclose(in);
  }
  TracePreamble preamble;
  if (file.size() < sizeof(preamble))
    return f.why = "short", f;
  std::memcpy(&preamble, file.data(), sizeof(preamble));
  if (preamble.magic != kTraceMagic)
    return f.why = "magic", f;
  EventColumnsDecoder decoder;
  uint64_t low_water = 0;
  uint32_t known_nodes = 0;
  std::vector<std::vector<uint8_t>> raw(8);
  size_t at = sizeof(preamble);
  f.readable = true;
  while (at + sizeof(ChunkHeader) <= file.size()) {
    ChunkHeader h;
    std::memcpy(&h, file.data() + at, sizeof(h));
    if (h.magic != kChunkMagic || h.payload_bytes > file.size() - at - sizeof(h))
      return f.why = "chunk", f.readable = false, f;
    const std::span<const uint8_t> payload(file.data() + at + sizeof(h), h.payload_bytes);
    at += sizeof(h) + (h.payload_bytes + 7) / 8 * 8;
    f.chunks[h.kind]++;
    const auto kind = static_cast<ChunkKind>(h.kind);
    if (kind == ChunkKind::end)
      f.closed = true;
    if (kind == ChunkKind::modules)
      f.modules += h.count;
    if (kind == ChunkKind::losses)
      std::memcpy(&f.losses, payload.data(), sizeof(f.losses));
    if (kind == ChunkKind::process)
      std::memcpy(&f.status, payload.data(), sizeof(f.status));
    if (kind == ChunkKind::header)
      std::memcpy(&f.header, payload.data(), sizeof(f.header));
    if (kind == ChunkKind::snapshot) {
      LeakScanPayload scan;
      std::memcpy(&scan, payload.data(), sizeof(scan));
      f.scans.push_back(scan);
      f.scan_reasons.emplace_back(
          reinterpret_cast<const char*>(payload.data()) + sizeof(scan) + scan.name_bytes, scan.reason_bytes);
    }
    if (kind == ChunkKind::nodes) {
      f.nodes += h.count;
      NodesPayload n;
      std::memcpy(&n, payload.data(), sizeof(n));
      known_nodes = std::max(known_nodes, n.first_id + n.id_count - 1);
    }
    if (kind != ChunkKind::events)
      continue;
    EventsPayloadView view;
    if (!view.parse(payload))
      return f.why = "events", f.readable = false, f;
    std::array<EventColumnsDecoder::Column, 8> columns;
    for (const auto& c : view.columns) {
      raw[c.entry.id].resize(c.entry.raw_bytes);
      if (c.entry.compression == 0)
        std::copy(c.stored.begin(), c.stored.end(), raw[c.entry.id].begin());
      else if (ZSTD_decompress(raw[c.entry.id].data(), c.entry.raw_bytes, c.stored.data(), c.stored.size()) !=
               c.entry.raw_bytes)
        return f.why = "zstd", f.readable = false, f;
      columns[c.entry.id] = {c.entry.values, raw[c.entry.id]};
    }
    Event e;
    if (!decoder.begin(view.segments, columns, UsablePredictor::glibc64))
      return f.why = "columns", f.readable = false, f;
    while (decoder.next(e)) {
      uint64_t& seen = f.events[e.thread_index];
      if (e.size != seen)
        f.out_of_order++;
      seen = e.size + 1;
      if (e.ticks_before < low_water)
        f.below_low_water++;
      if (e.stack > known_nodes)
        f.unknown_stacks++;
      f.all_events++;
    }
    if (decoder.damaged())
      return f.why = "damaged", f.readable = false, f;
    low_water = std::max(low_water, view.payload.low_water_ticks);
  }
  return f;
}

} // namespace hl
