// See pointer_graph.h.
#include "scan/pointer_graph.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "scan/block_index.h"
#include "scan/interior_rescue.h"

namespace hl {
namespace {

constexpr uint64_t kWord = 8;
// Small blocks lie close together: one long read costs less than many short ones.
constexpr uint64_t kMaxGapBytes = 2048, kWindowBytes = 1u << 20;
// Of the edges in RootEdge order when rescued: kept apart from those of blocks.
constexpr uint64_t kRootEdge = uint64_t{1} << 63;

class Builder {
 public:
  Builder(PointerGraph& graph, MemoryReader& memory, uint32_t options)
      : graph_(graph), index_(graph.blocks), memory_(memory), step_((options & kScanUnaligned) != 0 ? 1 : kWord),
        rescue_((options & kScanHeuristics) != 0), window_(kWindowBytes), seen_(graph.blocks.size()) {}

  void add_roots(std::span<const RootRange> roots) {
    for (const RootRange& root : roots) {
      if (root.words.empty()) {
        add_root_memory(root);
        continue;
      }
      graph_.root_bytes += root.words.size() * kWord;
      for (size_t i = 0; i < root.words.size(); ++i)
        root_word(root, root.words[i], root.start + i);
    }
  }

  void add_blocks() {
    const std::vector<ScanBlock>& blocks = graph_.blocks;
    graph_.edge_starts.reserve(blocks.size() + 1);
    size_t next = 0; // block
    while (next < blocks.size()) {
      // As many blocks as fit a window, if they lie close; or a part of a large one.
      const uint64_t start = blocks[next].address;
      size_t end = next;
      uint64_t stop = start;
      while (end < blocks.size() && blocks[end].address - stop <= kMaxGapBytes &&
             blocks[end].address + blocks[end].bytes - start <= kWindowBytes) {
        stop = blocks[end].address + blocks[end].bytes;
        ++end;
      }
      if (end == next) {
        add_large_block(static_cast<uint32_t>(next++));
        continue;
      }
      read_window(start, stop - start);
      for (; next < end; ++next) {
        begin_block();
        const ScanBlock& b = blocks[next];
        const uint64_t at = b.address - start;
        if (at >= window_read_)
          graph_.unreadable_bytes += b.bytes;
        else
          block_words(static_cast<uint32_t>(next), at, std::min(b.bytes, window_read_ - at));
      }
    }
    graph_.edge_starts.push_back(graph_.edges.size());
  }

  void rescue_interior(std::span<const FileRange> files) {
    for (const uint64_t edge : rescued_edges(interior_, graph_.blocks, files, memory_)) {
      if ((edge & kRootEdge) != 0)
        graph_.root_edges[edge & ~kRootEdge].target &= PointerGraph::kTarget;
      else
        graph_.edges[edge] &= PointerGraph::kTarget;
    }
  }

 private:
  void read_window(uint64_t address, uint64_t bytes) {
    MemoryReader::Piece piece{address, std::span(window_).first(bytes)};
    memory_.read({&piece, 1});
    window_read_ = piece.read_bytes;
    if (window_read_ == bytes)
      return;
    // A hole somewhere in it: what lies behind the hole is read page by page, the rest counts as zeros.
    std::fill(window_.begin() + static_cast<ptrdiff_t>(window_read_), window_.begin() + static_cast<ptrdiff_t>(bytes), 0);
    constexpr uint64_t kPage = 4096;
    for (uint64_t at = ((address + window_read_) & ~(kPage - 1)) + kPage - address; at < bytes; at += kPage) {
      MemoryReader::Piece rest{address + at, std::span(window_).subspan(at, std::min(kPage, bytes - at))};
      memory_.read({&rest, 1});
    }
    graph_.unreadable_bytes += std::min(kPage, bytes - window_read_);
    window_read_ = bytes;
  }

  void begin_block() { graph_.edge_starts.push_back(graph_.edges.size()); }

  void add_large_block(uint32_t block) {
    begin_block();
    const ScanBlock& b = graph_.blocks[block];
    for (uint64_t at = 0; at < b.bytes; at += kWindowBytes) {
      const uint64_t bytes = std::min(kWindowBytes, b.bytes - at);
      read_window(b.address + at, bytes);
      block_words(block, 0, window_read_);
    }
  }

  // Words of `block` at [from, from + bytes) of the window.
  void block_words(uint32_t block, uint64_t from, uint64_t bytes) {
    const size_t first_edge = graph_.edges.size();
    uint32_t last = UINT32_MAX;
    for (uint64_t at = 0; at + kWord <= bytes; at += step_) {
      uint64_t word;
      std::memcpy(&word, window_.data() + from + at, kWord);
      const uint32_t target = index_.find(word);
      if (target == BlockIndex::kNone || target == block)
        continue;
      const bool interior = word != graph_.blocks[target].address;
      const uint32_t edge = target | (interior ? PointerGraph::kInterior : 0);
      if (edge == last && graph_.edges.size() != first_edge && word == last_word_)
        continue;
      last = edge;
      last_word_ = word;
      if (interior && rescue_)
        interior_.push_back({word, target, graph_.edges.size()});
      graph_.edges.push_back(edge);
    }
  }

  void add_root_memory(const RootRange& root) {
    // Blocks that lie in a mapping of the program's own are asked for themselves.
    uint64_t at = root.start;
    const uint64_t end = root.start + root.bytes;
    if (root.kind != RootKind::mapping) {
      add_root_stretch(root, at, end);
      return;
    }
    auto block = std::lower_bound(graph_.blocks.begin(), graph_.blocks.end(), root.start,
                                  [](const ScanBlock& b, uint64_t a) { return b.address + b.bytes <= a; });
    for (; block != graph_.blocks.end() && block->address < end; ++block) {
      add_root_stretch(root, at, block->address);
      at = std::max(at, block->address + block->bytes);
    }
    add_root_stretch(root, at, end);
  }

  void add_root_stretch(const RootRange& root, uint64_t from, uint64_t end) {
    from = (from + step_ - 1) / step_ * step_;
    for (; from < end; from += kWindowBytes) {
      const uint64_t bytes = std::min(kWindowBytes, end - from);
      read_window(from, bytes);
      graph_.root_bytes += window_read_;
      for (uint64_t at = 0; at + kWord <= window_read_; at += step_) {
        uint64_t word;
        std::memcpy(&word, window_.data() + at, kWord);
        root_word(root, word, from + at);
      }
    }
  }

  void root_word(const RootRange& root, uint64_t word, uint64_t address) {
    const uint32_t target = index_.find(word);
    if (target == BlockIndex::kNone)
      return;
    const bool interior = word != graph_.blocks[target].address;
    // Of start pointers one is enough. Of interior ones each may be the one that is rescued.
    uint8_t& seen = seen_[target];
    if (!interior) {
      if ((seen & 1) != 0)
        return;
      seen |= 1;
    } else if (!rescue_) {
      if ((seen & 2) != 0)
        return;
      seen |= 2;
    } else {
      interior_.push_back({word, target, graph_.root_edges.size() | kRootEdge});
    }
    graph_.root_edges.push_back({target | (interior ? PointerGraph::kInterior : 0), root.kind, root.tid, address});
  }

  PointerGraph& graph_;
  const BlockIndex index_;
  MemoryReader& memory_;
  const uint64_t step_;
  const bool rescue_;
  std::vector<uint8_t> window_;
  uint64_t window_read_ = 0;
  uint64_t last_word_ = 0;
  std::vector<uint8_t> seen_; // bit 0: a start pointer, bit 1: an interior pointer from a root
  std::vector<InteriorPointer> interior_;
};

// Sorted by address; no byte belongs to two.
void put_in_order(std::vector<ScanBlock>& blocks) {
  std::sort(blocks.begin(), blocks.end(),
            [](const ScanBlock& a, const ScanBlock& b) { return a.address < b.address; });
  size_t kept = 0;
  for (const ScanBlock& block : blocks) {
    if (kept != 0 && block.address - blocks[kept - 1].address < std::max<uint64_t>(blocks[kept - 1].bytes, 1))
      continue;
    blocks[kept++] = block;
  }
  blocks.resize(std::min<size_t>(kept, PointerGraph::kTarget));
}

} // namespace

PointerGraph build_pointer_graph(std::vector<ScanBlock> blocks, std::span<const RootRange> roots,
                                 std::span<const FileRange> files, MemoryReader& memory, uint32_t options) {
  PointerGraph graph;
  put_in_order(blocks);
  graph.blocks = std::move(blocks);
  Builder builder(graph, memory, options);
  builder.add_roots(roots);
  builder.add_blocks();
  if ((options & kScanHeuristics) != 0)
    builder.rescue_interior(files);
  return graph;
}

} // namespace hl
