// See block_contents.h.
#include "scan/block_contents.h"

#include <algorithm>
#include <unordered_map>

namespace hl {
namespace {

constexpr size_t kMostExamples = 16384;

} // namespace

std::vector<BlockContents> example_contents(const PointerGraph& graph, const Classification& found,
                                            const std::function<uint32_t(uint64_t address)>& site_of,
                                            MemoryReader& memory) {
  std::unordered_map<uint64_t, size_t> oldest; // site << 8 | class
  for (size_t i = 0; i < graph.blocks.size(); ++i) {
    const uint64_t key =
        uint64_t{site_of(graph.blocks[i].address)} << 8 | static_cast<uint8_t>(found.classes[i]);
    const auto [entry, is_new] = oldest.try_emplace(key, i);
    if (!is_new && graph.blocks[i].birth_ticks < graph.blocks[entry->second].birth_ticks)
      entry->second = i;
  }
  std::vector<size_t> chosen;
  for (const auto& [key, block] : oldest)
    chosen.push_back(block);
  if (chosen.size() > kMostExamples) {
    std::stable_partition(chosen.begin(), chosen.end(),
                          [&](size_t block) { return found.classes[block] != LeakClass::reachable; });
    chosen.resize(kMostExamples);
  }
  std::sort(chosen.begin(), chosen.end());
  std::vector<BlockContents> contents;
  for (const size_t block : chosen) {
    std::vector<uint8_t> bytes(std::min<uint64_t>(graph.blocks[block].bytes, BlockContents::kMostBytes));
    MemoryReader::Piece piece{graph.blocks[block].address, bytes};
    memory.read({&piece, 1});
    bytes.resize(piece.read_bytes);
    if (!bytes.empty())
      contents.push_back({block, std::move(bytes)});
  }
  return contents;
}

} // namespace hl
