// See main_arena.h.
#include "scan/main_arena.h"

#include <cstring>

namespace hl {
namespace {

// struct malloc_state of glibc 2.27 and later, x86_64: mutex, flags, have_fastchunks (16 bytes with padding),
// 10 fast bins, top, last remainder, 127 pairs of bins, bin map (16 bytes), next, next free, attached
// threads, two sizes. A bin's head is 16 bytes before its pair, so an empty pair holds its own address - 16
// twice.
constexpr uint64_t kBinsOffset = 16 + 10 * 8 + 2 * 8;
constexpr uint64_t kBins = 127;
constexpr uint64_t kNextOffset = kBinsOffset + kBins * 16 + 16;
constexpr uint64_t kArenaBytes = kNextOffset + 5 * 8;
// A heap with a free chunk of nearly every size is not seen in practice.
constexpr uint64_t kFewestEmpty = 32;

uint64_t word_at(std::span<const uint8_t> data, uint64_t at) {
  uint64_t word;
  std::memcpy(&word, data.data() + at, 8);
  return word;
}

} // namespace

std::optional<std::pair<uint64_t, uint64_t>> find_main_arena(std::span<const uint8_t> data,
                                                             uint64_t address) {
  const auto is_empty_bin = [&](uint64_t at) {
    const uint64_t own = address + at - 16;
    return word_at(data, at) == own && word_at(data, at + 8) == own;
  };
  const uint64_t first = (8 - address % 8) % 8;
  for (uint64_t at = first; at + kArenaBytes <= data.size(); at += 8) {
    // The last pair stands for chunks of half a MiB and more, or is not used at all: it ends the search
    // quickly.
    if (!is_empty_bin(at + kBinsOffset + (kBins - 1) * 16))
      continue;
    uint64_t empty = 0;
    for (uint64_t bin = 0; bin < kBins; ++bin)
      empty += is_empty_bin(at + kBinsOffset + bin * 16) ? 1 : 0;
    // One arena alone is its own successor; else the next one is another's, in memory of its own.
    const uint64_t next = word_at(data, at + kNextOffset);
    const bool successor =
        next == address + at || (next % 16 == 0 && next != 0 && next - address >= data.size());
    if (empty >= kFewestEmpty && successor && word_at(data, at + kBinsOffset - 16) % 16 == 0)
      return std::pair(address + at, address + at + kArenaBytes);
  }
  return {};
}

} // namespace hl
