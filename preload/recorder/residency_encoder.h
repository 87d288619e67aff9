// Payloads of usage and residency chunks, as trace_format.h has them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chunk_codec.h"
#include "heapledger/trace_format.h"
#include "memory_text.h"

struct ZSTD_CCtx_s;

namespace hl {

struct UsageRow {
  uint64_t ticks = 0;
  UsageFields fields;
};

// Memory of the recording itself, inside the process: addresses.
using OwnRange = std::pair<uint64_t, uint64_t>;

// One moment of a process's memory map, before it is packed.
struct ResidencyParts {
  ResidencyPayload head{}; // sizes and counts are filled in here
  std::string_view name;
  std::span<const OwnRange> own; // by address, not overlapping
  std::string_view smaps;
  std::span<const uint8_t> page_runs; // of PageRuns
  UsageFields fields;
};

// The payload of a usage chunk; rows by time. Empty if there are none.
std::vector<uint8_t> usage_payload(std::span<const UsageRow> rows, ChunkCodec& codec);

// Packs residency payloads; not for two threads at once. zstd's memory (1 MiB) lives as long as this does.
class ResidencyEncoder {
 public:
  ResidencyEncoder();

  // Empty: there was no memory for it.
  std::vector<uint8_t> residency(const ResidencyParts& parts);

 private:
  // Appends one zstd frame of all pieces.
  bool pack(std::span<const std::string_view> pieces, std::vector<uint8_t>& out);

  struct FreeContext {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_CCtx_s, FreeContext> context_;
};

} // namespace hl
