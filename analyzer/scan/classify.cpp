// See classify.h.
#include "scan/classify.h"

#include <algorithm>
#include <limits>

namespace hl {
namespace {

constexpr uint32_t kInterior = PointerGraph::kInterior, kTarget = PointerGraph::kTarget;

// What explains best why a block is kept, first: a name in the program's data says more than a stack slot.
int rank(RootKind kind) {
  switch (kind) {
  case RootKind::global:
    return 0;
  case RootKind::tls:
    return 1;
  case RootKind::mapping:
    return 2;
  case RootKind::loader_block:
    return 3;
  case RootKind::stack:
    return 4;
  case RootKind::reg:
    return 5;
  case RootKind::unknown:
    break;
  }
  return 6;
}

class Classifier {
 public:
  explicit Classifier(const PointerGraph& graph)
      : graph_(graph), count_(static_cast<uint32_t>(graph.blocks.size())) {
    out_.classes.assign(count_, LeakClass::unknown);
    out_.holders.assign(count_, 0);
  }

  Classification run() {
    find_reachable();
    find_possible();
    find_lost();
    return std::move(out_);
  }

 private:
  bool known(uint32_t block) const { return out_.classes[block] != LeakClass::unknown; }

  void reach(uint32_t block, LeakClass as, uint64_t holder) {
    out_.classes[block] = as;
    out_.holders[block] = holder;
    queue_.push_back(block);
  }
  uint64_t root_holder(const PointerGraph::RootEdge& edge) {
    out_.roots.push_back(edge);
    return 2 * (out_.roots.size() - 1) + 1;
  }

  // Start pointers alone, breadth first: ways are as short as can be.
  void find_reachable() {
    std::vector<uint32_t> order;
    for (uint32_t i = 0; i < graph_.root_edges.size(); ++i)
      order.push_back(i);
    std::stable_sort(order.begin(), order.end(), [this](uint32_t a, uint32_t b) {
      return rank(graph_.root_edges[a].kind) < rank(graph_.root_edges[b].kind);
    });
    for (const uint32_t i : order) {
      const PointerGraph::RootEdge& edge = graph_.root_edges[i];
      if ((edge.target & kInterior) == 0 && !known(edge.target))
        reach(edge.target, LeakClass::reachable, root_holder(edge));
    }
    for (uint32_t block = 0; block < count_; ++block)
      if (graph_.blocks[block].is_root && !known(block))
        reach(block, LeakClass::reachable,
              root_holder({block, RootKind::loader_block, 0, graph_.blocks[block].address}));
    while (next_ < queue_.size()) {
      const uint32_t from = queue_[next_++];
      for (const uint32_t edge : graph_.edges_of(from))
        if ((edge & kInterior) == 0 && !known(edge))
          reach(edge, LeakClass::reachable, 2 * uint64_t{from} + 2);
    }
    for (const uint32_t i : order) {
      const PointerGraph::RootEdge& edge = graph_.root_edges[i];
      if ((edge.target & kInterior) != 0 && !known(edge.target & kTarget))
        reach(edge.target & kTarget, LeakClass::possible, root_holder(edge));
    }
  }

  // An interior pointer on the way. queue_ holds every reachable block, then those that roots point into.
  void find_possible() {
    for (size_t at = 0; at < queue_.size(); ++at) {
      const uint32_t from = queue_[at];
      for (const uint32_t edge : graph_.edges_of(from))
        if (!known(edge & kTarget))
          reach(edge & kTarget, LeakClass::possible, 2 * uint64_t{from} + 2);
    }
  }

  // What is left: lost. Strongly connected components (Tarjan, SIAM J. Comput. 1972, without recursion);
  // those that nothing else points to are lost by themselves, the rest with them.
  void find_lost() {
    constexpr uint32_t kUnseen = 0;
    struct Frame {
      uint32_t block;
      uint64_t edge;
    };
    std::vector<uint32_t> lost, number(count_, kUnseen), low(count_), component(count_);
    for (uint32_t block = 0; block < count_; ++block)
      if (!known(block))
        lost.push_back(block);
    std::vector<Frame> frames;
    std::vector<uint32_t> stack;
    std::vector<uint32_t> oldest; // by component
    uint32_t numbers = 0;
    constexpr uint32_t kOnStack = std::numeric_limits<uint32_t>::max();
    const auto enter = [&](uint32_t block) {
      number[block] = low[block] = ++numbers;
      component[block] = kOnStack;
      stack.push_back(block);
      frames.push_back({block, graph_.edge_starts[block]});
    };
    for (const uint32_t start : lost) {
      if (number[start] != kUnseen)
        continue;
      enter(start);
      while (!frames.empty()) {
        Frame& frame = frames.back();
        const uint32_t block = frame.block;
        if (frame.edge != graph_.edge_starts[block + 1]) {
          const uint32_t to = graph_.edges[frame.edge++] & kTarget;
          if (known(to))
            continue;
          if (number[to] == kUnseen)
            enter(to);
          else if (component[to] == kOnStack)
            low[block] = std::min(low[block], number[to]);
          continue;
        }
        frames.pop_back();
        if (!frames.empty())
          low[frames.back().block] = std::min(low[frames.back().block], low[block]);
        if (low[block] != number[block])
          continue;
        uint32_t first = block;
        for (uint32_t member = kOnStack; member != block;) {
          member = stack.back();
          stack.pop_back();
          component[member] = static_cast<uint32_t>(oldest.size());
          if (older(member, first))
            first = member;
        }
        oldest.push_back(first);
      }
    }
    std::vector<bool> pointed_to(oldest.size());
    for (const uint32_t block : lost)
      for (const uint32_t edge : graph_.edges_of(block))
        if (!known(edge & kTarget) && component[edge & kTarget] != component[block])
          pointed_to[component[edge & kTarget]] = true;
    std::vector<uint32_t> leaders;
    for (uint32_t c = 0; c < oldest.size(); ++c)
      if (!pointed_to[c])
        leaders.push_back(oldest[c]);
    std::sort(leaders.begin(), leaders.end(), [this](uint32_t a, uint32_t b) { return older(a, b); });
    // All leaders first: one never goes with another.
    for (const uint32_t leader : leaders)
      out_.classes[leader] = LeakClass::definite;
    for (const uint32_t leader : leaders) {
      queue_.assign(1, leader);
      for (size_t at = 0; at < queue_.size(); ++at)
        for (const uint32_t edge : graph_.edges_of(queue_[at]))
          if (!known(edge & kTarget))
            reach(edge & kTarget, LeakClass::indirect, 2 * uint64_t{leader} + 2);
    }
  }

  bool older(uint32_t a, uint32_t b) const {
    const ScanBlock &x = graph_.blocks[a], &y = graph_.blocks[b];
    return x.birth_ticks != y.birth_ticks ? x.birth_ticks < y.birth_ticks : x.address < y.address;
  }

  const PointerGraph& graph_;
  const uint32_t count_;
  Classification out_;
  std::vector<uint32_t> queue_;
  size_t next_ = 0;
};

} // namespace

Classification classify(const PointerGraph& graph) {
  return Classifier(graph).run();
}

} // namespace hl
