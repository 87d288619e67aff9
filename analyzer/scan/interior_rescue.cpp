// See interior_rescue.h.
#include "scan/interior_rescue.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

namespace hl {
namespace {

constexpr size_t kBatch = 1024;
constexpr uint64_t kWord = 8;

class VirtualTables {
 public:
  VirtualTables(std::span<const FileRange> files, MemoryReader& memory) : files_(files), memory_(memory) {}

  // Does a virtual table begin at `address`? It lies in a file that is not code, and its first entry that is
  // not null is the address of code.
  bool begins_at(uint64_t address) {
    if (address % kWord != 0)
      return false;
    const FileRange* const place = find(address);
    if (place == nullptr || place->executable)
      return false;
    const auto [known, fresh] = known_.try_emplace(address, false);
    if (fresh) {
      uint64_t entries[4] = {};
      uint8_t bytes[sizeof entries] = {};
      MemoryReader::Piece piece{address, bytes};
      memory_.read({&piece, 1});
      std::memcpy(entries, bytes, piece.read_bytes / kWord * kWord);
      for (const uint64_t entry : entries) {
        if (entry == 0)
          continue;
        const FileRange* const code = find(entry);
        known->second = code != nullptr && code->executable;
        break;
      }
    }
    return known->second;
  }

 private:
  const FileRange* find(uint64_t address) const {
    const auto after = std::upper_bound(files_.begin(), files_.end(), address,
                                        [](uint64_t a, const FileRange& f) { return a < f.start; });
    return after == files_.begin() || address >= (after - 1)->end ? nullptr : &*(after - 1);
  }

  std::span<const FileRange> files_;
  MemoryReader& memory_;
  std::unordered_map<uint64_t, bool> known_;
};

struct Words {
  uint64_t head[3]; // of the block
  uint64_t there;   // where the pointer leads
};

bool is_rescued(const ScanBlock& block, uint64_t offset, const Words& words, VirtualTables& tables) {
  const uint64_t size = block.bytes;
  // std::string of the old kind: length, capacity, reference count, then capacity + 1 characters.
  if (offset == 3 * kWord && words.head[0] <= words.head[1] && words.head[1] == size - 3 * kWord - 1)
    return true;
  if (offset == kWord && words.head[0] == size - kWord)
    return true;
  if (offset == kWord && words.head[0] != 0 && (size - kWord) % words.head[0] == 0)
    return true;
  return offset % kWord == 0 && offset + kWord <= size && tables.begins_at(words.there) &&
         tables.begins_at(words.head[0]);
}

} // namespace

std::vector<uint64_t> rescued_edges(std::vector<InteriorPointer>& pointers,
                                    const std::vector<ScanBlock>& blocks, std::span<const FileRange> files,
                                    MemoryReader& memory) {
  std::vector<uint64_t> rescued;
  std::erase_if(pointers, [&](const InteriorPointer& p) {
    const ScanBlock& block = blocks[p.block];
    return (p.value - block.address) % kWord != 0 || block.bytes < 2 * kWord;
  });
  std::sort(pointers.begin(), pointers.end(), [](const InteriorPointer& a, const InteriorPointer& b) {
    return a.value != b.value ? a.value < b.value : a.edge < b.edge;
  });
  VirtualTables tables(files, memory);
  std::vector<Words> words;
  std::vector<MemoryReader::Piece> pieces;
  for (size_t at = 0; at < pointers.size();) {
    // A batch of different pointers: [at, end) with all their edges.
    words.assign(kBatch / 2, Words{});
    pieces.clear();
    size_t end = at, used = 0;
    for (; end < pointers.size(); ++end) {
      if (end != at && pointers[end].value == pointers[end - 1].value)
        continue;
      if (used == words.size())
        break;
      const ScanBlock& block = blocks[pointers[end].block];
      auto* const head = reinterpret_cast<uint8_t*>(words[used].head);
      auto* const there = reinterpret_cast<uint8_t*>(&words[used].there);
      pieces.push_back({block.address, {head, std::min<uint64_t>(3 * kWord, block.bytes / kWord * kWord)}});
      const uint64_t left = block.address + block.bytes - pointers[end].value;
      pieces.push_back({pointers[end].value, {there, left >= kWord ? kWord : 0}});
      ++used;
    }
    memory.read(pieces);
    size_t index = 0;
    bool good = false;
    for (size_t i = at; i < end; ++i) {
      if (i == at || pointers[i].value != pointers[i - 1].value) {
        const ScanBlock& block = blocks[pointers[i].block];
        good = is_rescued(block, pointers[i].value - block.address, words[index++], tables);
      }
      if (good)
        rescued.push_back(pointers[i].edge);
    }
    at = end;
  }
  return rescued;
}

} // namespace hl
