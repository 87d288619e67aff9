// Exactly once: which bytes of which block have been seen. A recorder that was killed and restarted may write
// a stretch twice; a session file holds blocks that chunks already carry. (sequence, from, to) decides.
//
// Memory: one entry a block that is still being filled, and the last kRemembered finished ones, which is more
// than any session file holds. Blocks listed in `pin` are never forgotten.
#pragma once

#include <cstdint>
#include <deque>
#include <unordered_map>
#include <unordered_set>

namespace hl {

class BlockCoverage {
 public:
  static constexpr size_t kRemembered = 1u << 16;

  struct Verdict {
    bool seen = false;            // all of it: drop it
    uint32_t skip_events = 0;     // that many events at its beginning were seen
    uint32_t missing_bytes = 0;   // between what was seen and `from`
    bool overlap_unclear = false; // it overlaps what was seen in a way that cannot be told apart: dropped
  };

  void pin(uint64_t sequence) { pinned_.insert(sequence); }

  Verdict add(uint64_t sequence, uint32_t from, uint32_t to, uint32_t events) {
    auto [found, is_new] = seen_.try_emplace(sequence);
    if (is_new)
      remember(sequence);
    Seen& seen = found->second;
    Verdict verdict;
    if (from > seen.to) {
      verdict.missing_bytes = from - seen.to;
    } else if (from == seen.to) {
      // It goes on where the last one ended.
    } else if (to <= seen.to) {
      verdict.seen = true;
      return verdict;
    } else if (from == 0 && seen.gapless && events >= seen.events) {
      verdict.skip_events = seen.events;
    } else {
      verdict.seen = verdict.overlap_unclear = true;
      return verdict;
    }
    if (verdict.missing_bytes != 0)
      seen.gapless = false;
    seen.events += events - verdict.skip_events;
    seen.to = to;
    return verdict;
  }

  // Bytes of the block that have been seen, from its beginning.
  uint32_t covered_bytes(uint64_t sequence) const {
    const auto found = seen_.find(sequence);
    return found == seen_.end() ? 0 : found->second.to;
  }

 private:
  struct Seen {
    uint32_t to = 0;
    uint32_t events = 0;
    bool gapless = true;
  };
  void remember(uint64_t sequence) {
    if (pinned_.contains(sequence))
      return;
    order_.push_back(sequence);
    if (order_.size() <= kRemembered)
      return;
    seen_.erase(order_.front());
    order_.pop_front();
  }

  std::unordered_map<uint64_t, Seen> seen_;
  std::deque<uint64_t> order_;
  std::unordered_set<uint64_t> pinned_;
};

} // namespace hl
