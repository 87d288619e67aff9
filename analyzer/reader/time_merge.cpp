// See time_merge.h.
#include "reader/time_merge.h"

#include <algorithm>

namespace hl {
namespace {

// Whether `a` must leave before `b`.
bool goes_first(const TraceEvent& a, const TraceEvent& b) {
  if (a.ticks != b.ticks)
    return a.ticks < b.ticks;
  return a.frees() && !b.frees();
}

} // namespace

void TimeMerge::Lane::compact() {
  if (head_ == steps_.size()) {
    steps_.clear();
    payload_.clear();
    head_ = 0;
    return;
  }
  if (head_ < 4096 || head_ < steps_.size() / 2)
    return;
  steps_.erase(steps_.begin(), steps_.begin() + static_cast<ptrdiff_t>(head_));
  head_ = 0;
  if (payload_.empty())
    return;
  std::vector<uint8_t> kept;
  for (TraceEvent& step : steps_) {
    if (step.kind != EventKind::extended)
      continue;
    const auto from = payload_.begin() + static_cast<ptrdiff_t>(step.address);
    step.address = kept.size();
    kept.insert(kept.end(), from, from + static_cast<ptrdiff_t>(step.size));
  }
  payload_ = std::move(kept);
}

TimeMerge::Lane& TimeMerge::lane(uint32_t thread_index, bool nested, uint64_t first_ticks) {
  const auto fits = [&](const Named& named) {
    return named.thread_index == thread_index && named.nested == nested &&
           (named.lane.tail_ticks() <= first_ticks) && !named.lane.refill;
  };
  if (last_used_ != nullptr && fits(*last_used_))
    return last_used_->lane;
  Named* reusable = nullptr;
  for (Named& named : lanes_) {
    if (fits(named)) {
      last_used_ = &named;
      return named.lane;
    }
    // Lanes of threads that are gone are taken over, so that their number is that of threads alive at once.
    if (reusable == nullptr && named.lane.empty() && named.lane.tail_ticks() <= first_ticks &&
        named.lane.tail_ticks() < emitted_ticks_ && !named.lane.refill)
      reusable = &named;
  }
  if (reusable == nullptr) {
    lanes_.emplace_back();
    reusable = &lanes_.back();
  }
  reusable->thread_index = thread_index;
  reusable->nested = nested;
  last_used_ = reusable;
  return reusable->lane;
}

void TimeMerge::emit(Lane& lane, size_t count, EventBatch& out) {
  const size_t first = out.events.size();
  const auto from = lane.steps_.begin() + static_cast<ptrdiff_t>(lane.head_);
  if (from->ticks < emitted_ticks_) {
    // Only the head can be older than what has left: the lane itself is in order.
    for (size_t i = 0; i < count && from[static_cast<ptrdiff_t>(i)].ticks < emitted_ticks_; ++i)
      ++out_of_order_;
  }
  out.events.insert(out.events.end(), from, from + static_cast<ptrdiff_t>(count));
  lane.head_ += count;
  emitted_ticks_ = std::max(emitted_ticks_, out.events.back().ticks);
  if (lane.payload_.empty())
    return;
  for (size_t i = first; i < out.events.size(); ++i) {
    TraceEvent& step = out.events[i];
    if (step.kind != EventKind::extended)
      continue;
    const auto bytes = lane.payload_.begin() + static_cast<ptrdiff_t>(step.address);
    step.address = out.payload.size();
    out.payload.insert(out.payload.end(), bytes, bytes + static_cast<ptrdiff_t>(step.size));
  }
}

bool TimeMerge::drain(uint64_t limit_ticks, size_t max_events, EventBatch& out) {
  const auto later = [](const Lane* a, const Lane* b) { return goes_first(b->front(), a->front()); };
  const auto ready = [limit_ticks](const Lane& lane) {
    return !lane.empty() && (lane.front().ticks < limit_ticks || limit_ticks == UINT64_MAX);
  };
  heap_.clear();
  for (Named& named : lanes_) {
    Lane& lane = named.lane;
    while (lane.empty() && lane.refill && lane.refill(lane)) {
    }
    if (ready(lane))
      heap_.push_back(&lane);
  }
  std::make_heap(heap_.begin(), heap_.end(), later);
  while (!heap_.empty() && out.events.size() < max_events) {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    Lane& lane = *heap_.back();
    heap_.pop_back();
    // The longest run that nobody else's next step interrupts.
    const size_t room = max_events - out.events.size();
    const size_t last = std::min(lane.steps_.size(), lane.head_ + room);
    size_t end = lane.head_ + 1;
    if (heap_.empty()) {
      if (limit_ticks == UINT64_MAX) {
        end = last;
      } else {
        while (end < last && lane.steps_[end].ticks < limit_ticks)
          ++end;
      }
    } else {
      const TraceEvent& rival = heap_.front()->front();
      while (end < last && goes_first(lane.steps_[end], rival))
        ++end;
    }
    emit(lane, end - lane.head_, out);
    while (lane.empty() && lane.refill) {
      lane.compact();
      if (!lane.refill(lane))
        break;
    }
    if (ready(lane)) {
      heap_.push_back(&lane);
      std::push_heap(heap_.begin(), heap_.end(), later);
    }
  }
  for (Named& named : lanes_)
    named.lane.compact();
  for (const Named& named : lanes_)
    if (ready(named.lane))
      return true;
  return false;
}

uint64_t TimeMerge::pending() const {
  uint64_t sum = 0;
  for (const Named& named : lanes_)
    sum += named.lane.steps_.size() - named.lane.head_;
  return sum;
}

} // namespace hl
