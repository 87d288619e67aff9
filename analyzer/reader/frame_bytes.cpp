// See frame_bytes.h.
#include "reader/frame_bytes.h"

#include <algorithm>
#include <memory>

#include <zstd.h>

namespace hl {

bool unpack_frame(std::span<const uint8_t> packed, uint64_t raw_bytes, std::vector<uint8_t>& raw) {
  raw.clear();
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  ZSTD_inBuffer in{packed.data(), packed.size(), 0};
  for (size_t hint = 1; hint != 0;) {
    const size_t at = raw.size(), room = std::min<uint64_t>(raw_bytes - at, std::max<size_t>(at, 1 << 20));
    raw.resize(at + room);
    ZSTD_outBuffer out{raw.data() + at, room, 0};
    hint = ZSTD_decompressStream(context.get(), &out, &in);
    raw.resize(at + out.pos);
    if (ZSTD_isError(hint) != 0 || (hint != 0 && out.pos == 0))
      return false;
  }
  return raw.size() == raw_bytes && in.pos == in.size;
}

} // namespace hl
