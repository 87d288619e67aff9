// Turns finished columns and texts into compressed chunk payloads. One instance serves all traces of a
// recorder: the compressor's memory (about 1 MiB at level 1) is the recorder's largest.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "heapledger/event_columns.h"

struct ZSTD_CCtx_s;

namespace hl {

class ChunkCodec {
 public:
  explicit ChunkCodec(int zstd_level);

  // The payload of an events chunk; valid until the next call.
  std::span<const uint8_t> events_payload(EventColumnsEncoder& encoder, uint64_t low_water_ticks);
  // Appends the compressed bytes to `out`; returns how many.
  size_t compress(std::span<const uint8_t> raw, std::vector<uint8_t>& out);

 private:
  struct PartHabit {
    uint32_t until_trial = 0;
    bool plain = false;
  };
  bool compress_part(std::span<const uint8_t> part, PartHabit& habit);
  size_t compress_column(const RawColumn& column, uint8_t& compression);

  const int level_;
  struct FreeContext {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_CCtx_s, FreeContext> context_;
  std::vector<uint8_t> payload_;
  std::array<PartHabit, 8 * 3> habits_; // by column and part
};

} // namespace hl
