// Each node's first child, by the node's id: 4 bytes a node, in pages that are mapped when one of their nodes
// gets a child. Any thread, any signal handler, no lock.
#pragma once

#include <atomic>
#include <stdint.h>

#include "heapledger/event.h"
#include "heapledger/session_layout.h"
#include "stacks/index_memory.h"

namespace hl {

class FirstChildren {
 public:
  // Where the first child of `parent` is kept, 0 if it has none; nullptr without memory for it.
  std::atomic<StackId>* place_below(StackId parent) {
    const uint32_t page_index = parent / kIdsPerPage;
    if (page_index >= kPages)
      return nullptr;
    Page* page = pages_[page_index].load(std::memory_order_acquire);
    if (page == nullptr) [[unlikely]] {
      page = make_page(pages_[page_index]);
      if (page == nullptr)
        return nullptr;
    }
    return &page->first_child[parent % kIdsPerPage];
  }

  // Forgets all. No other thread may run; all memory stays mapped, see StackTree::reset().
  void reset() {
    for (const auto& entry : pages_) {
      if (Page* const page = entry.load(std::memory_order_relaxed))
        IndexMemory::clear(page, sizeof(Page));
    }
  }

  uint64_t bytes() const { return mapped_pages_.load(std::memory_order_relaxed) * sizeof(Page); }

 private:
  static constexpr uint32_t kIdsPerPage = 16384;
  struct Page {
    std::atomic<StackId> first_child[kIdsPerPage];
  };
  static constexpr uint32_t kPages = kNodeDirectoryEntries * kNodesPerBlock / kIdsPerPage + 1;

  [[gnu::noinline]] Page* make_page(std::atomic<Page*>& entry) {
    auto* const page = static_cast<Page*>(IndexMemory::map(sizeof(Page)));
    if (page == nullptr)
      return nullptr;
    Page* expected = nullptr;
    // Release: whoever sees the page sees it blank. A loser takes the winner's.
    if (entry.compare_exchange_strong(expected, page, std::memory_order_acq_rel)) {
      mapped_pages_.fetch_add(1, std::memory_order_relaxed);
      return page;
    }
    IndexMemory::unmap(page, sizeof(Page));
    return expected;
  }

  std::atomic<Page*> pages_[kPages] = {};
  std::atomic<uint64_t> mapped_pages_{0};
};

} // namespace hl
