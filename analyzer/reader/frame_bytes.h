// What comes out of the zstd frame at the end of a payload, when its size is only claimed.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hl {

// false: not one whole frame of exactly `raw_bytes` bytes. Regular data shrink ten thousand times, so the
// claimed size proves nothing: memory grows with what really comes out.
bool unpack_frame(std::span<const uint8_t> packed, uint64_t raw_bytes, std::vector<uint8_t>& raw);

} // namespace hl
