// See pointer_graph.h.
#include "scan/pointer_graph.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <thread>

#include "scan/block_index.h"
#include "scan/interior_rescue.h"

namespace hl {
namespace {

constexpr uint64_t kWord = 8;
// Small blocks lie close together: one long read costs less than many short ones.
constexpr uint64_t kMaxGapBytes = 2048, kWindowBytes = 1u << 20;
// Below this a second thread costs more than it saves.
constexpr uint64_t kWorthTwoThreads = 32u << 20;
// Marks edges of roots among those of blocks.
constexpr uint64_t kRootEdge = uint64_t{1} << 63;

// Memory, a window at a time.
class Window {
 public:
  explicit Window(MemoryReader& memory) : memory_(memory), bytes_(kWindowBytes) {}

  // At most kWindowBytes. What cannot be read counts as zeros.
  void read(uint64_t address, uint64_t bytes) {
    MemoryReader::Piece piece{address, std::span(bytes_).first(bytes)};
    memory_.read({&piece, 1});
    if (piece.read_bytes == bytes)
      return;
    constexpr uint64_t kPage = 4096;
    for (uint64_t at = piece.read_bytes; at < bytes;) {
      const uint64_t next = std::min(bytes, ((address + at) & ~(kPage - 1)) + kPage - address);
      MemoryReader::Piece rest{address + at, std::span(bytes_).subspan(at, next - at)};
      memory_.read({&rest, 1});
      std::fill(rest.to.begin() + static_cast<ptrdiff_t>(rest.read_bytes), rest.to.end(), 0);
      unreadable_bytes_ += rest.to.size() - rest.read_bytes;
      at = next;
    }
  }
  // Where reading goes on: what lies before is nothing but zeros.
  uint64_t next_data(uint64_t address, uint64_t end) { return memory_.next_data(address, end); }
  uint64_t word(uint64_t at) const {
    uint64_t word;
    std::memcpy(&word, bytes_.data() + at, kWord);
    return word;
  }
  uint64_t unreadable_bytes() const { return unreadable_bytes_; }

 private:
  MemoryReader& memory_;
  std::vector<uint8_t> bytes_;
  uint64_t unreadable_bytes_ = 0;
};

// Edges of some blocks that follow each other.
class BlockPass {
 public:
  BlockPass(const std::vector<ScanBlock>& blocks, const BlockIndex& index, MemoryReader& memory,
            uint32_t options)
      : blocks_(blocks), index_(index), window_(memory), step_((options & kScanUnaligned) != 0 ? 1 : kWord),
        rescue_((options & kScanHeuristics) != 0) {
    candidates_.reserve(kCandidates);
  }

  void run(size_t from, size_t to) {
    next_start_ = from;
    starts.reserve(to - from);
    for (size_t next = from; next < to;) {
      // As many blocks as fit a window, if they lie close; or a part of a large one.
      const uint64_t start = blocks_[next].address;
      uint64_t stop = start;
      size_t end = next;
      while (end < to && blocks_[end].address - stop <= kMaxGapBytes &&
             blocks_[end].address + blocks_[end].bytes - start <= kWindowBytes) {
        stop = blocks_[end].address + blocks_[end].bytes;
        ++end;
      }
      if (end == next) {
        look_at_large(next++);
        continue;
      }
      window_.read(start, stop - start);
      for (; next < end; ++next)
        gather(next, blocks_[next].address - start, blocks_[next].bytes);
    }
    look_up();
    start_blocks_up_to(to);
  }

  std::vector<uint64_t> starts; // of each block's edges
  std::vector<uint32_t> edges;
  std::vector<InteriorPointer> interior; // for the rescue; `edge` is an index into edges
  uint64_t unreadable_bytes() const { return window_.unreadable_bytes(); }

 private:
  struct Candidate {
    uint64_t word;
    size_t source;
  };
  static constexpr size_t kCandidates = 128;

  void look_at_large(size_t block) {
    const ScanBlock& b = blocks_[block];
    const uint64_t end = b.address + b.bytes;
    for (uint64_t at = b.address; (at = window_.next_data(at, end)) < end; at += kWindowBytes) {
      const uint64_t bytes = std::min(kWindowBytes, end - at);
      window_.read(at, bytes);
      gather(block, 0, bytes);
    }
  }

  // Words of a block at [from, from + bytes) of the window. What may be a pointer waits until there are many,
  // so that the index's entries are on their way when they are asked for.
  void gather(size_t block, uint64_t from, uint64_t bytes) {
    for (uint64_t at = 0; at + kWord <= bytes; at += step_) {
      const uint64_t word = window_.word(from + at);
      if (!index_.in_range(word))
        continue;
      index_.prefetch(word);
      candidates_.push_back({word, block});
      if (candidates_.size() == kCandidates)
        look_up();
    }
  }

  void look_up() {
    for (const Candidate& candidate : candidates_) {
      const BlockIndex::Hit hit = index_.find(candidate.word);
      if (hit.block == BlockIndex::kNone || hit.block == candidate.source)
        continue;
      if (candidate.source >= next_start_)
        start_blocks_up_to(candidate.source + 1);
      else if (starts.size() != 0 && edges.size() != starts.back() && candidate.word == last_word_)
        continue; // the same pointer again
      last_word_ = candidate.word;
      if (!hit.start && rescue_)
        interior.push_back({candidate.word, hit.block, edges.size()});
      edges.push_back(hit.block | (hit.start ? 0 : PointerGraph::kInterior));
    }
    candidates_.clear();
  }
  void start_blocks_up_to(size_t end) {
    for (; next_start_ < end; ++next_start_)
      starts.push_back(edges.size());
  }

  const std::vector<ScanBlock>& blocks_;
  const BlockIndex& index_;
  Window window_;
  const uint64_t step_;
  const bool rescue_;
  std::vector<Candidate> candidates_;
  size_t next_start_ = 0; // block
  uint64_t last_word_ = 0;
};

class Builder {
 public:
  Builder(PointerGraph& graph, MemoryReader& memory, uint32_t options)
      : graph_(graph), index_(graph.blocks), memory_(memory), options_(options),
        step_((options & kScanUnaligned) != 0 ? 1 : kWord), rescue_((options & kScanHeuristics) != 0),
        window_(memory), seen_(graph.blocks.size()) {}

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
    graph_.unreadable_bytes += window_.unreadable_bytes();
  }

  void add_blocks() {
    const std::vector<ScanBlock>& blocks = graph_.blocks;
    uint64_t bytes = 0;
    for (const ScanBlock& b : blocks)
      bytes += b.bytes;
    BlockPass first(blocks, index_, memory_, options_);
    const std::unique_ptr<MemoryReader> twin = bytes >= kWorthTwoThreads ? memory_.twin() : nullptr;
    if (twin == nullptr) {
      first.run(0, blocks.size());
      take(first);
    } else {
      size_t middle = 0;
      for (uint64_t sum = 0; middle < blocks.size() && sum < bytes / 2; ++middle)
        sum += blocks[middle].bytes;
      BlockPass second(blocks, index_, *twin, options_);
      std::exception_ptr thrown;
      std::thread helper([&] {
        try {
          second.run(middle, blocks.size());
        } catch (...) {
          thrown = std::current_exception();
        }
      });
      try {
        first.run(0, middle);
      } catch (...) {
        thrown = std::current_exception(); // one of the two is enough
      }
      helper.join();
      if (thrown)
        std::rethrow_exception(thrown);
      take(first);
      take(second);
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
  void take(BlockPass& pass) {
    const uint64_t at = graph_.edges.size();
    if (graph_.edge_starts.empty()) {
      graph_.edge_starts = std::move(pass.starts);
      graph_.edges = std::move(pass.edges);
    } else {
      for (const uint64_t start : pass.starts)
        graph_.edge_starts.push_back(at + start);
      graph_.edges.insert(graph_.edges.end(), pass.edges.begin(), pass.edges.end());
    }
    for (InteriorPointer pointer : pass.interior) {
      pointer.edge += at;
      interior_.push_back(pointer);
    }
    graph_.unreadable_bytes += pass.unreadable_bytes();
  }

  void add_root_memory(const RootRange& root) {
    uint64_t at = root.start;
    const uint64_t end = root.start + root.bytes;
    if (root.kind == RootKind::mapping) {
      // Blocks that lie in a mapping of the program's own are looked at by themselves.
      auto block = std::lower_bound(graph_.blocks.begin(), graph_.blocks.end(), root.start,
                                    [](const ScanBlock& b, uint64_t a) { return b.address + b.bytes <= a; });
      for (; block != graph_.blocks.end() && block->address < end; ++block) {
        add_root_stretch(root, at, block->address);
        at = std::max(at, block->address + block->bytes);
      }
    }
    add_root_stretch(root, at, end);
  }

  void add_root_stretch(const RootRange& root, uint64_t from, uint64_t end) {
    from = (from + step_ - 1) / step_ * step_;
    for (; (from = window_.next_data(from, end)) < end; from += kWindowBytes) {
      const uint64_t bytes = std::min(kWindowBytes, end - from);
      window_.read(from, bytes);
      graph_.root_bytes += bytes;
      for (uint64_t at = 0; at + kWord <= bytes; at += step_)
        root_word(root, window_.word(at), from + at);
    }
  }

  void root_word(const RootRange& root, uint64_t word, uint64_t address) {
    const BlockIndex::Hit hit = index_.find(word);
    if (hit.block == BlockIndex::kNone)
      return;
    // Of start pointers one is enough. Of interior ones each may be the one that is rescued.
    uint8_t& seen = seen_[hit.block];
    if (hit.start || !rescue_) {
      const uint8_t bit = hit.start ? 1 : 2;
      if ((seen & bit) != 0)
        return;
      seen |= bit;
    } else {
      interior_.push_back({word, hit.block, graph_.root_edges.size() | kRootEdge});
    }
    graph_.root_edges.push_back(
        {hit.block | (hit.start ? 0 : PointerGraph::kInterior), root.kind, root.tid, address});
  }

  PointerGraph& graph_;
  const BlockIndex index_;
  MemoryReader& memory_;
  const uint32_t options_;
  const uint64_t step_;
  const bool rescue_;
  Window window_;
  std::vector<uint8_t> seen_; // bit 0: a start pointer, bit 1: an interior pointer from a root
  std::vector<InteriorPointer> interior_;
};

// Sorted by address; no byte belongs to two.
void put_in_order(std::vector<ScanBlock>& blocks) {
  const auto before = [](const ScanBlock& a, const ScanBlock& b) { return a.address < b.address; };
  if (!std::is_sorted(blocks.begin(), blocks.end(), before))
    std::sort(blocks.begin(), blocks.end(), before);
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
