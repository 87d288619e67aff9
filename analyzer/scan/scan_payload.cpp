// See scan_payload.h.
#include "scan/scan_payload.h"

#include <algorithm>
#include <cstring>
#include <new>

#include <zstd.h>

#include "heapledger/block_events.h"

namespace hl {
namespace {

constexpr int kZstdLevel = 1;

void put_leb(std::vector<uint8_t>& out, uint64_t value) {
  uint8_t buffer[10];
  out.insert(out.end(), buffer, block_codec::put_leb(buffer, value));
}

std::vector<uint8_t> columns(const PointerGraph& graph, const Classification& found,
                             const std::vector<BlockContents>& contents) {
  std::vector<uint8_t> raw;
  for (const auto& root : found.roots)
    raw.push_back(static_cast<uint8_t>(root.kind));
  for (const auto& root : found.roots)
    put_leb(raw, root.tid);
  for (const auto& root : found.roots)
    put_leb(raw, root.address);
  uint64_t previous = 0;
  for (const ScanBlock& block : graph.blocks) {
    put_leb(raw, block.address - previous);
    previous = block.address;
  }
  for (const LeakClass c : found.classes)
    raw.push_back(static_cast<uint8_t>(c));
  for (const uint64_t holder : found.holders)
    put_leb(raw, holder);
  previous = 0;
  for (const BlockContents& example : contents) {
    put_leb(raw, example.block - previous);
    previous = example.block;
    raw.push_back(static_cast<uint8_t>(example.bytes.size()));
    raw.insert(raw.end(), example.bytes.begin(), example.bytes.end());
  }
  return raw;
}

} // namespace

std::vector<uint8_t> scan_payload(const ScanOutcome& outcome, const PointerGraph* graph,
                                  const Classification* found, const std::vector<BlockContents>& contents) {
  constexpr size_t kMaxText = UINT16_MAX;
  LeakScanPayload p{};
  p.payload_header_bytes = sizeof p;
  p.name_bytes = static_cast<uint16_t>(std::min(outcome.name.size(), kMaxText));
  p.reason_bytes = static_cast<uint16_t>(std::min(outcome.reason.size(), kMaxText));
  p.cause = static_cast<uint8_t>(outcome.cause);
  p.way = static_cast<uint8_t>(outcome.way);
  p.failure = static_cast<uint8_t>(outcome.failure);
  p.options = outcome.options;
  p.ticks = outcome.ticks;
  p.pause_ns = outcome.pause_ns;
  p.duration_ns = outcome.duration_ns;
  p.threads = outcome.threads;
  p.threads_inside = outcome.threads_inside;
  std::vector<uint8_t> raw;
  if (graph != nullptr && found != nullptr) {
    p.block_count = graph->blocks.size();
    for (size_t i = 0; i < graph->blocks.size(); ++i) {
      const uint64_t bytes = graph->blocks[i].bytes;
      p.block_bytes += bytes;
      const auto of_class = static_cast<size_t>(found->classes[i]) - static_cast<size_t>(LeakClass::definite);
      ++p.class_blocks[of_class];
      p.class_bytes[of_class] += bytes;
    }
    p.root_bytes = graph->root_bytes;
    p.unreadable_bytes = graph->unreadable_bytes;
    p.root_count = static_cast<uint32_t>(found->roots.size());
    p.contents_count = contents.size();
    raw = columns(*graph, *found, contents);
  }
  p.raw_bytes = raw.size();
  std::vector<uint8_t> out(sizeof p);
  std::memcpy(out.data(), &p, sizeof p);
  out.insert(out.end(), outcome.name.begin(), outcome.name.begin() + p.name_bytes);
  out.insert(out.end(), outcome.reason.begin(), outcome.reason.begin() + p.reason_bytes);
  if (!raw.empty()) {
    const size_t at = out.size();
    out.resize(at + ZSTD_compressBound(raw.size()));
    const size_t bytes = ZSTD_compress(out.data() + at, out.size() - at, raw.data(), raw.size(), kZstdLevel);
    if (ZSTD_isError(bytes) != 0)
      throw std::bad_alloc(); // the only way it can fail with room for the bound
    out.resize(at + bytes);
  }
  return out;
}

} // namespace hl
