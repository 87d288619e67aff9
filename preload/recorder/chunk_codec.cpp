// See chunk_codec.h.
#include "chunk_codec.h"

#include <cstring>
#include <new>

#include <zstd.h>

namespace hl {

void ChunkCodec::FreeContext::operator()(ZSTD_CCtx_s* context) const { ZSTD_freeCCtx(context); }

ChunkCodec::ChunkCodec(int zstd_level) : context_(ZSTD_createCCtx()) {
  if (context_ == nullptr) throw std::bad_alloc();
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, zstd_level);
}

size_t ChunkCodec::compress(std::span<const uint8_t> raw, std::vector<uint8_t>& out) {
  const size_t at = out.size();
  out.resize(at + ZSTD_compressBound(raw.size()));
  const size_t bytes = ZSTD_compress2(context_.get(), out.data() + at, out.size() - at, raw.data(), raw.size());
  out.resize(at + (ZSTD_isError(bytes) ? 0 : bytes));
  return out.size() - at;
}

// Appends one column to payload_. Each part starts a zstd block of its own: low bytes are noise and high bytes are
// not, and one table for both would serve neither.
size_t ChunkCodec::compress_column(const RawColumn& column, uint8_t& compression) {
  const size_t raw_bytes = column.raw_bytes();
  const size_t at = payload_.size();
  size_t room = ZSTD_compressBound(raw_bytes) + 3 * 64;
  if (raw_bytes >= 64) {
    payload_.resize(at + room);
    ZSTD_outBuffer out{payload_.data() + at, room, 0};
    ZSTD_CCtx_reset(context_.get(), ZSTD_reset_session_only);
    ZSTD_CCtx_setPledgedSrcSize(context_.get(), raw_bytes);
    bool good = true;
    for (size_t i = 0; i < 3 && good; i++) {
      ZSTD_inBuffer in{column.parts[i].data(), column.parts[i].size(), 0};
      const size_t left = ZSTD_compressStream2(context_.get(), &out, &in, i == 2 ? ZSTD_e_end : ZSTD_e_flush);
      good = left == 0;
    }
    if (good && out.pos < raw_bytes) {
      payload_.resize(at + out.pos);
      compression = 1;
      return out.pos;
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
