// See chunk_codec.h.
#include "chunk_codec.h"

#define ZSTD_STATIC_LINKING_ONLY   // ZSTD_c_literalCompressionMode

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

#include <zstd.h>

namespace hl {

void ChunkCodec::FreeContext::operator()(ZSTD_CCtx_s* context) const { ZSTD_freeCCtx(context); }

namespace {
constexpr int kNoiseLevel = -30;   // looks for repetitions in every thirtieth place only
}

ChunkCodec::ChunkCodec(int zstd_level) : level_(zstd_level), context_(ZSTD_createCCtx()) {
  if (context_ == nullptr) throw std::bad_alloc();
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, zstd_level);
  // Literals are entropy-coded at negative levels too.
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_literalCompressionMode, ZSTD_ps_enable);
}

size_t ChunkCodec::compress(std::span<const uint8_t> raw, std::vector<uint8_t>& out) {
  const size_t at = out.size();
  out.resize(at + ZSTD_compressBound(raw.size()));
  const size_t bytes = ZSTD_compress2(context_.get(), out.data() + at, out.size() - at, raw.data(), raw.size());
  out.resize(at + (ZSTD_isError(bytes) ? 0 : bytes));
  return out.size() - at;
}

namespace {

// Is there nothing to find but the frequency of byte values, or not even that? By the entropy of single bytes.
bool is_noise(std::span<const uint8_t> bytes) {
  if (bytes.size() < 1024) return false;
  uint32_t counts[4][256] = {};
  const size_t sampled = std::min<size_t>(bytes.size(), 16384) & ~size_t{3};
  for (size_t i = 0; i < sampled; i += 4)
    for (size_t k = 0; k < 4; k++) counts[k][bytes[i + k]]++;
  double bits = 0;
  for (size_t v = 0; v < 256; v++) {
    const uint32_t count = counts[0][v] + counts[1][v] + counts[2][v] + counts[3][v];
    if (count != 0) bits -= count * std::log2(static_cast<double>(count) / static_cast<double>(sampled));
  }
  return bits > 6.5 * static_cast<double>(sampled);
}

}  // namespace

// Appends one column to payload_. Each part is a zstd frame of its own (a decoder takes frames that follow each
// other as one): low bytes are noise and high bytes are not, one table for both would serve neither, and where
// there is noise a search for repetitions finds nothing and costs most.
size_t ChunkCodec::compress_column(const RawColumn& column, uint8_t& compression) {
  const size_t raw_bytes = column.raw_bytes();
  const size_t at = payload_.size();
  if (raw_bytes >= 64) {
    bool good = true;
    for (size_t i = 0; i < 3 && good; i++) {
      const std::span<const uint8_t> part = column.parts[i];
      if (part.empty()) continue;
      ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, is_noise(part) ? kNoiseLevel : level_);
      good = compress(part, payload_) != 0;
    }
    if (good && payload_.size() - at < raw_bytes) {
      compression = 1;
      return payload_.size() - at;
    }
    payload_.resize(at);
  }
  for (const auto& part : column.parts) payload_.insert(payload_.end(), part.begin(), part.end());
  compression = 0;
  return raw_bytes;
}

std::span<const uint8_t> ChunkCodec::events_payload(EventColumnsEncoder& encoder, uint64_t low_water_ticks) {
  const auto columns = encoder.columns();
  const auto segments = encoder.segments();
  EventsPayload head{};
  head.payload_header_bytes = sizeof(head);
  head.segment_count = static_cast<uint32_t>(segments.size());
  head.event_count = encoder.events();
  head.segment_bytes = sizeof(EventSegment);
  head.column_count = static_cast<uint16_t>(columns.size());
  head.low_water_ticks = low_water_ticks;
  payload_.resize(sizeof(head) + segments.size_bytes() + columns.size() * sizeof(ColumnEntry));
  uint8_t* p = payload_.data();
  std::memcpy(p, &head, sizeof(head));
  if (!segments.empty()) std::memcpy(p + sizeof(head), segments.data(), segments.size_bytes());
  size_t entry_at = sizeof(head) + segments.size_bytes();
  for (const RawColumn& column : columns) {
    ColumnEntry entry{};
    entry.id = static_cast<uint8_t>(column.id);
    entry.codec = kColumnCodecPredicted;
    entry.values = column.values;
    entry.raw_bytes = static_cast<uint32_t>(column.raw_bytes());
    entry.stored_bytes = static_cast<uint32_t>(compress_column(column, entry.compression));
    std::memcpy(payload_.data() + entry_at, &entry, sizeof(entry));
    entry_at += sizeof(entry);
  }
  return payload_;
}

}  // namespace hl
