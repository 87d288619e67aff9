// See chunk_codec.h.
#include "chunk_codec.h"

#define ZSTD_STATIC_LINKING_ONLY // ZSTD_c_literalCompressionMode

#include <cstring>
#include <new>

#include <zstd.h>

namespace hl {

void ChunkCodec::FreeContext::operator()(ZSTD_CCtx_s* context) const {
  ZSTD_freeCCtx(context);
}

namespace {
constexpr int kPlainLevel = -100; // entropy coding, and a look for repetitions in every hundredth place only
constexpr size_t kSmallestTrial = 16384;
constexpr uint32_t kTrialInterval = 31;
} // namespace

ChunkCodec::ChunkCodec(int zstd_level) : level_(zstd_level), context_(ZSTD_createCCtx()) {
  if (context_ == nullptr)
    throw std::bad_alloc();
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, zstd_level);
  // Literals are entropy-coded at negative levels too.
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_literalCompressionMode, ZSTD_ps_enable);
}

size_t ChunkCodec::compress(std::span<const uint8_t> raw, std::vector<uint8_t>& out) {
  const size_t at = out.size();
  out.resize(at + ZSTD_compressBound(raw.size()));
  const size_t bytes =
      ZSTD_compress2(context_.get(), out.data() + at, out.size() - at, raw.data(), raw.size());
  out.resize(at + (ZSTD_isError(bytes) ? 0 : bytes));
  return out.size() - at;
}

// Each part is a zstd frame of its own (a decoder takes frames that follow each other as one): low bytes are
// noise and high bytes are not, and one table for both would serve neither. Where a search for repetitions
// gains nothing it would cost most; both ways are tried now and then, and the better one is kept meanwhile.
bool ChunkCodec::compress_part(std::span<const uint8_t> part, PartHabit& habit) {
  const size_t at = payload_.size();
  const auto with_level = [&](int level) {
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, level);
    return compress(part, payload_);
  };
  if (part.size() >= kSmallestTrial && habit.until_trial-- == 0) {
    habit.until_trial = kTrialInterval;
    const size_t plain = with_level(kPlainLevel);
    payload_.resize(at);
    const size_t searched = with_level(level_);
    habit.plain = plain != 0 && plain <= searched + searched / 32;
    return searched != 0;
  }
  return with_level(habit.plain ? kPlainLevel : level_) != 0;
}

size_t ChunkCodec::compress_column(const RawColumn& column, uint8_t& compression) {
  const size_t raw_bytes = column.raw_bytes();
  const size_t at = payload_.size();
  if (raw_bytes >= 64) {
    bool good = true;
    for (size_t i = 0; i < 3 && good; i++)
      if (!column.parts[i].empty())
        good = compress_part(column.parts[i], habits_[static_cast<size_t>(column.id) * 3 + i]);
    if (good && payload_.size() - at < raw_bytes) {
      compression = 1;
      return payload_.size() - at;
    }
    payload_.resize(at);
  }
  for (const auto& part : column.parts)
    payload_.insert(payload_.end(), part.begin(), part.end());
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
  if (!segments.empty())
    std::memcpy(p + sizeof(head), segments.data(), segments.size_bytes());
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

} // namespace hl
