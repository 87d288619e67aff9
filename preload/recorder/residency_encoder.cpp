// See residency_encoder.h.
#include "residency_encoder.h"

#include <algorithm>
#include <cstring>
#include <new>

#include <zstd.h>

#include "heapledger/block_events.h"

namespace hl {

namespace {

constexpr int kZstdLevel = 1;
constexpr size_t kNameLimit = 480;

template <typename T> std::string_view bytes_of(const T& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size() * sizeof(*bytes.data())};
}

} // namespace

void ResidencyEncoder::FreeContext::operator()(ZSTD_CCtx_s* context) const {
  ZSTD_freeCCtx(context);
}

ResidencyEncoder::ResidencyEncoder() : context_(ZSTD_createCCtx()) {
  if (context_ == nullptr)
    throw std::bad_alloc();
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, kZstdLevel);
}

bool ResidencyEncoder::pack(std::span<const std::string_view> pieces, std::vector<uint8_t>& out) {
  ZSTD_CCtx_reset(context_.get(), ZSTD_reset_session_only);
  size_t raw_bytes = 0;
  for (const std::string_view piece : pieces)
    raw_bytes += piece.size();
  const size_t at = out.size();
  out.resize(at + ZSTD_compressBound(raw_bytes));
  ZSTD_outBuffer to{out.data() + at, out.size() - at, 0};
  for (size_t i = 0; i < pieces.size(); i++) {
    ZSTD_inBuffer from{pieces[i].data(), pieces[i].size(), 0};
    const bool last = i + 1 == pieces.size();
    size_t left = 1;
    while (from.pos < from.size || (last && left != 0)) {
      left = ZSTD_compressStream2(context_.get(), &to, &from, last ? ZSTD_e_end : ZSTD_e_continue);
      if (ZSTD_isError(left) != 0 || (to.pos == to.size && left != 0 && from.pos == from.size))
        return false;
    }
  }
  out.resize(at + to.pos);
  return true;
}

std::vector<uint8_t> usage_payload(std::span<const UsageRow> rows, ChunkCodec& codec) {
  if (rows.empty())
    return {};
  std::vector<uint8_t> raw;
  UsageFields last;
  last.values.fill(0);
  uint64_t ticks = rows.front().ticks;
  const auto put = [&raw](uint64_t value) {
    uint8_t buffer[10];
    raw.insert(raw.end(), buffer, block_codec::put_leb(buffer, value));
  };
  for (const UsageRow& row : rows) {
    put(row.ticks - ticks);
    ticks = row.ticks;
    uint64_t mask = 0;
    for (uint32_t i = 0; i < kUsageFields; i++)
      if (row.fields.values[i] != kFieldUnread)
        mask |= uint64_t{1} << i;
    put(mask);
    for (uint32_t i = 0; i < kUsageFields; i++) {
      if ((mask >> i & 1) == 0)
        continue;
      put(zigzag(static_cast<int64_t>(row.fields.values[i] - last.values[i])));
      last.values[i] = row.fields.values[i];
    }
  }
  const UsagePayload head{sizeof(UsagePayload), static_cast<uint32_t>(rows.size()), rows.front().ticks,
                          raw.size()};
  std::vector<uint8_t> out(sizeof head);
  std::memcpy(out.data(), &head, sizeof head);
  codec.compress(raw, out);
  return out;
}

std::vector<uint8_t> ResidencyEncoder::residency(const ResidencyParts& parts) {
  static_assert(sizeof(OwnRange) == 16);
  const std::string_view name = parts.name.substr(0, kNameLimit);
  ResidencyPayload head = parts.head;
  head.payload_header_bytes = sizeof head;
  head.name_bytes = static_cast<uint16_t>(name.size());
  head.own_ranges = static_cast<uint32_t>(parts.own.size());
  head.smaps_bytes = parts.smaps.size();
  head.raw_bytes = parts.own.size_bytes() + parts.smaps.size() + parts.page_runs.size();
  std::copy(parts.fields.values.begin(), parts.fields.values.end(), head.fields);
  std::vector<uint8_t> out(sizeof head + name.size());
  std::memcpy(out.data(), &head, sizeof head);
  std::copy(name.begin(), name.end(), out.begin() + sizeof head);
  const std::string_view pieces[] = {bytes_of(parts.own), parts.smaps, bytes_of(parts.page_runs)};
  if (!pack(pieces, out))
    out.clear();
  out.shrink_to_fit();
  return out;
}

} // namespace hl
