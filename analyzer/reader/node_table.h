// The stack tree of one process image. A stack is the id of its innermost node; following parents gives the
// frames outward. Parents have smaller ids than their children, so every walk ends. A node that says
// otherwise (a program that forks in the middle of a walk can leave one) is where its stacks are cut; how
// many, is counted.
//
// Two threads may have inserted the same node at once, under two ids: canonical() maps both, and all that
// hangs below them, to one, so that equal stacks are equal ids for everything downstream.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "heapledger/event.h"
#include "heapledger/session_layout.h"

namespace hl {

struct TraceNode {
  uint32_t parent = 0;
  uint32_t module = 0; // instance id, 0 none, kMarkerModule
  uint64_t pc = 0;     // with kNodeExactPc and kNodeGuessed; 0: not defined
};

class NodeTable {
 public:
  static constexpr uint32_t kMaxId = kNodeDirectoryEntries * kNodesPerBlock;

  // A nodes chunk. false: the payload cannot be one.
  bool add_chunk(std::span<const uint8_t> payload);
  // false: no such node can be.
  bool set(uint32_t id, const TraceNode& node);

  // After the last add: computes canonical ids.
  void finish();

  // 0 for an id that is not defined.
  StackId canonical(uint32_t id) const { return id < canonical_.size() ? canonical_[id] : 0; }
  bool defined(uint32_t id) const { return id < nodes_.size() && nodes_[id].pc != 0; }
  // defined(id) only.
  const TraceNode& operator[](uint32_t id) const { return nodes_[id]; }
  // Distinct nodes, after finish().
  uint32_t count() const { return count_; }
  // Nodes whose parent cannot be: they count as outermost.
  uint32_t cut() const { return cut_; }
  // Ids are below; many may be undefined.
  uint32_t size() const { return static_cast<uint32_t>(nodes_.size()); }

 private:
  std::vector<TraceNode> nodes_; // by id; [0] is none
  std::vector<uint32_t> canonical_;
  uint32_t count_ = 0, cut_ = 0;
};

} // namespace hl
