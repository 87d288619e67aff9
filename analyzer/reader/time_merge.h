// Brings the steps of many threads into one order, in bounded memory.
//
// Each lane holds steps of one thread (signal handlers inside our code have lanes of their own), oldest
// first. Steps below the low-water mark are final: the recorder promised that nothing older will follow.
// They leave in the order of their stamps; at equal stamps releases leave before acquisitions, since a free
// is stamped before the real call and an allocation after it. Within a lane nothing is ever reordered.
//
// What must not happen here: any idea of what the steps mean beyond that.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <vector>

#include "reader/trace_event.h"

namespace hl {

class TimeMerge {
 public:
  class Lane {
   public:
    // Appends a step; a stamp below the lane's last is raised to it (damage: a lane is always in order).
    void push(TraceEvent event) {
      if (event.ticks < tail_ticks_)
        event.ticks = tail_ticks_;
      tail_ticks_ = event.ticks;
      steps_.push_back(event);
    }
    // For an extended step: keeps a copy of its payload and returns what goes into TraceEvent::address.
    uint64_t keep_payload(std::span<const uint8_t> bytes) {
      const uint64_t at = payload_.size();
      payload_.insert(payload_.end(), bytes.begin(), bytes.end());
      return at;
    }
    bool empty() const { return head_ == steps_.size(); }
    uint64_t tail_ticks() const { return tail_ticks_; }

    // Called when the lane runs empty: pushes more steps (true) or has no more (false).
    std::function<bool(Lane&)> refill;

   private:
    friend class TimeMerge;
    const TraceEvent& front() const { return steps_[head_]; }
    void compact();

    std::vector<TraceEvent> steps_;
    size_t head_ = 0;
    std::vector<uint8_t> payload_;
    uint64_t tail_ticks_ = 0;
  };

  // The lane for steps of this thread that begin at first_ticks. A thread whose stretches do not follow each
  // other (damage) gets a further lane.
  Lane& lane(uint32_t thread_index, bool nested, uint64_t first_ticks);

  // Appends steps older than `limit_ticks` to `out` until it holds `max_events` or none is left.
  // true: there may be more below the limit.
  bool drain(uint64_t limit_ticks, size_t max_events, EventBatch& out);

  // Steps that wait.
  uint64_t pending() const;
  // Steps that left although an older one came later.
  uint64_t out_of_order() const { return out_of_order_; }

 private:
  struct Named {
    uint32_t thread_index;
    bool nested;
    Lane lane;
  };
  void emit(Lane& lane, size_t count, EventBatch& out);

  std::deque<Named> lanes_; // references stay valid
  std::vector<Lane*> heap_;
  Named* last_used_ = nullptr;
  uint64_t emitted_ticks_ = 0;
  uint64_t out_of_order_ = 0;
};

} // namespace hl
