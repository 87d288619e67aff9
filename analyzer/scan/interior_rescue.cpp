// See interior_rescue.h.
#include "scan/interior_rescue.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

namespace hl {
namespace {

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

struct Head {
  uint64_t words[3]; // the block's first
};

// What the head of a block and the pointer's offset in it tell alone.
bool is_rescued_by_head(const Head& head, uint64_t offset, uint64_t size) {
  const uint64_t* const words = head.words;
  // std::string of the old kind: length, capacity, reference count, then capacity + 1 characters.
  if (offset == 3 * kWord && words[0] <= words[1] && words[1] == size - 3 * kWord - 1)
    return true;
  if (offset == kWord && words[0] == size - kWord)
    return true;
  return offset == kWord && words[0] != 0 && (size - kWord) % words[0] == 0;
}

// Reads the `count` places that `place(i)` tells, an address and where to, in the order of their addresses.
// Those that lie close together are read as one: a piece costs the kernel, or a copied process, as much as a
// page.
template <typename Place> void read_nearby(MemoryReader& memory, size_t count, Place place) {
  constexpr uint64_t kNear = 4096; // no page that may not be there lies between
  constexpr uint64_t kMostBytes = 65536;
  constexpr size_t kMostRuns = 1024;
  std::vector<uint8_t> buffer(kMostBytes);
  std::vector<MemoryReader::Piece> runs;
  for (size_t first = 0; first < count;) {
    runs.clear();
    uint64_t used = 0, end = 0; // of the buffer; of the last run
    size_t after = first;
    for (; after < count; ++after) {
      const MemoryReader::Piece next = place(after);
      const bool joins = !runs.empty() && next.address - end < kNear;
      const uint64_t more = next.to.size() + (joins ? next.address - end : 0);
      if (used + more > kMostBytes || (!joins && runs.size() == kMostRuns))
        break;
      if (!joins)
        runs.push_back({next.address, {buffer.data() + used, 0}});
      runs.back().to = {runs.back().to.data(), runs.back().to.size() + more};
      used += more;
      end = next.address + next.to.size();
    }
    memory.read(runs);
    const MemoryReader::Piece* run = runs.data();
    for (; first < after; ++first) {
      MemoryReader::Piece piece = place(first);
      if (piece.address >= run->address + run->to.size())
        ++run;
      const uint64_t at = piece.address - run->address;
      if (at + piece.to.size() <= run->read_bytes)
        std::memcpy(piece.to.data(), run->to.data() + at, piece.to.size());
      else
        memory.read({&piece, 1}); // it, or what lies before it, cannot be read
    }
  }
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
  // Pointers into one block stand together now; of each block its head is read, once.
  const auto begins_block = [&](size_t i) { return i == 0 || pointers[i].block != pointers[i - 1].block; };
  std::vector<uint32_t> heads_of;
  for (size_t i = 0; i < pointers.size(); ++i) {
    if (begins_block(i))
      heads_of.push_back(pointers[i].block);
  }
  std::vector<Head> heads(heads_of.size());
  read_nearby(memory, heads.size(), [&](size_t i) -> MemoryReader::Piece {
    const ScanBlock& block = blocks[heads_of[i]];
    const uint64_t bytes = std::min<uint64_t>(sizeof(Head), block.bytes / kWord * kWord);
    return {block.address, {reinterpret_cast<uint8_t*>(heads[i].words), bytes}};
  });

  // A pointer to a base class other than the first leads to a virtual table's address, and so does the
  // block's own: only below such heads is it worth a look at where a pointer leads.
  VirtualTables tables(files, memory);
  std::vector<size_t> asked; // indices of `pointers`
  size_t head = 0;
  bool begins_with_table = false;
  for (size_t i = 0; i < pointers.size(); ++i) {
    const InteriorPointer& pointer = pointers[i];
    const ScanBlock& block = blocks[pointer.block];
    if (begins_block(i)) {
      head += i != 0;
      begins_with_table = tables.begins_at(heads[head].words[0]);
    }
    const uint64_t offset = pointer.value - block.address;
    if (is_rescued_by_head(heads[head], offset, block.bytes))
      rescued.push_back(pointer.edge);
    else if (begins_with_table && offset + kWord <= block.bytes)
      asked.push_back(i);
  }
  std::vector<uint64_t> there(asked.size());
  read_nearby(memory, there.size(), [&](size_t i) -> MemoryReader::Piece {
    return {pointers[asked[i]].value, {reinterpret_cast<uint8_t*>(&there[i]), kWord}};
  });
  for (size_t i = 0; i < asked.size(); ++i) {
    if (tables.begins_at(there[i]))
      rescued.push_back(pointers[asked[i]].edge);
  }
  return rescued;
}

} // namespace hl
