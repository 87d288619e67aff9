// Where stack nodes live: the node blocks of this process in the session file, reached by id.
//
// Blocks come from a callback (emit/ knows the pool and the process's directory); their addresses are cached
// here and never change, since blocks of a living process are never returned and the session's view never
// moves. Ids are handed out by the process's node counter in the file, so that the recorder sees how many
// there are.
#pragma once

#include <atomic>
#include <stdint.h>

#include "heapledger/session_layout.h"

namespace hl {

struct StackKey {
  uint32_t parent, module;
  uint64_t pc; // with kNodeExactPc, kNodeGuessed
};
static_assert(sizeof(StackKey) == 16);

class NodeStorage {
 public:
  // Returns node block number `position` of this process, taking one from the pool if there is none yet; the
  // same block for every caller. nullptr if there is no room. Must neither lock nor allocate.
  using ProvideBlock = NodeBlock* (*)(void* context, uint32_t position);

  void init(ProvideBlock provide, void* context, std::atomic<uint32_t>* node_count) {
    provide_ = provide;
    context_ = context;
    node_count_ = node_count;
    for (auto& block : blocks_)
      if (block.load(std::memory_order_relaxed))
        block.store(nullptr, std::memory_order_relaxed);
  }

  // The node of an id that was handed out; nullptr for any other.
  StackNode* node(StackId id) const {
    const uint32_t index = id - 1;
    if (index >= kMaxNodes)
      return nullptr;
    NodeBlock* block = blocks_[index / kNodesPerBlock].load(std::memory_order_acquire);
    return block ? &block->nodes[index % kNodesPerBlock] : nullptr;
  }

  // Is it the node with this key?
  bool holds(StackId id, const StackKey& key) const {
    const StackNode* const there = node(id);
    // Relaxed pc: whoever led here did so by an acquire that made the filled node visible.
    return there != nullptr && there->pc.load(std::memory_order_relaxed) == key.pc &&
           there->parent == key.parent && there->module == key.module;
  }

  // How many nodes with lower ids lie before that of `id` without a gap.
  static uint32_t nodes_before(StackId id) { return (id - 1) % kNodesPerBlock; }

  // A new id with an empty node, or 0 if there is no room.
  StackId allocate(StackNode*& node) {
    if (node_count_ == nullptr)
      return 0;
    // Look before taking a number, so that numbers are not used up while there is no room.
    if (block_for(node_count_->load(std::memory_order_relaxed)) == nullptr)
      return 0;
    // Relaxed: the number alone says nothing; a node counts from when its pc is stored.
    const uint32_t index = node_count_->fetch_add(1, std::memory_order_relaxed);
    NodeBlock* block = block_for(index);
    if (block == nullptr)
      return 0;
    node = &block->nodes[index % kNodesPerBlock];
    return index + 1;
  }

  // `n` new ids, one after the other, with empty nodes: the first, or 0 if there is no room for all of them.
  // n <= kLongestRun.
  StackId allocate_run(uint32_t n) {
    if (node_count_ == nullptr)
      return 0;
    // A run lies in two blocks at most; see allocate().
    const auto has_room = [&](uint32_t index) {
      return block_for(index) != nullptr && block_for(index + n - 1) != nullptr;
    };
    if (!has_room(node_count_->load(std::memory_order_relaxed)))
      return 0;
    const uint32_t index = node_count_->fetch_add(n, std::memory_order_relaxed);
    return has_room(index) ? index + 1 : 0;
  }
  // As many may be numbered and not yet filled for each thread, which the recorder has to remember.
  static constexpr uint32_t kLongestRun = 64;
  static_assert(kLongestRun <= kNodesPerBlock);

  static constexpr uint32_t kMaxNodes = kNodeDirectoryEntries * kNodesPerBlock;

 private:
  NodeBlock* block_for(uint32_t index) {
    if (index >= kMaxNodes)
      return nullptr;
    std::atomic<NodeBlock*>& slot = blocks_[index / kNodesPerBlock];
    NodeBlock* block = slot.load(std::memory_order_acquire);
    if (block == nullptr && (block = provide_(context_, index / kNodesPerBlock)) != nullptr)
      slot.store(block, std::memory_order_release); // racing stores write the same address
    return block;
  }

  ProvideBlock provide_ = nullptr;
  void* context_ = nullptr;
  std::atomic<uint32_t>* node_count_ = nullptr;
  std::atomic<NodeBlock*> blocks_[kNodeDirectoryEntries] = {};
};

} // namespace hl
