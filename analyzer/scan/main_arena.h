// Finds glibc's main arena in libc's data. Its lists point to the headers of free chunks, and a header lies
// in what may be the last requested bytes of the block before: taken for pointers, they would make lost
// blocks look possibly lost. The symbol is not exported; the shape tells: 127 lists, of which the empty ones
// point to themselves.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace hl {

// `data` is the memory from `address` on. Empty: no arena is there, or of a libc that lays it out otherwise.
std::optional<std::pair<uint64_t, uint64_t>> find_main_arena(std::span<const uint8_t> data, uint64_t address);

} // namespace hl
