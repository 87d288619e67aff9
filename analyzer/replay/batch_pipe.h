// Runs an EventStream in a thread of its own, so that decoding and replaying overlap. A few batches go round;
// nothing is copied. An exception of the stream comes out of next().
#pragma once

#include <array>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "reader/event_stream.h"

namespace hl {

class BatchPipe {
 public:
  explicit BatchPipe(EventStream& stream) : stream_(stream), producer_([this] { produce(); }) {}
  ~BatchPipe() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    producer_.join();
  }
  BatchPipe(const BatchPipe&) = delete;
  BatchPipe& operator=(const BatchPipe&) = delete;

  // The next batch, valid until the next call; nullptr: there are no more.
  const EventBatch* next() {
    std::unique_lock lock(mutex_);
    if (holding_) {
      holding_ = false;
      ++released_;
      changed_.notify_all();
    }
    changed_.wait(lock, [this] { return produced_ > released_ || done_; });
    if (produced_ > released_) {
      holding_ = true;
      return &batches_[released_ % kBatches];
    }
    if (failure_)
      std::rethrow_exception(failure_);
    return nullptr;
  }

 private:
  static constexpr size_t kBatches = 4;

  void produce() {
    try {
      while (true) {
        EventBatch* batch;
        {
          std::unique_lock lock(mutex_);
          changed_.wait(lock, [this] { return produced_ - released_ < kBatches || stopping_; });
          if (stopping_)
            return;
          batch = &batches_[produced_ % kBatches];
        }
        if (!stream_.next(*batch))
          break;
        std::lock_guard lock(mutex_);
        ++produced_;
        changed_.notify_all();
      }
    } catch (...) {
      std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
    }
    std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }

  EventStream& stream_;
  std::array<EventBatch, kBatches> batches_;
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t produced_ = 0, released_ = 0;
  bool holding_ = false, done_ = false, stopping_ = false;
  std::exception_ptr failure_;
  std::thread producer_; // last: it starts when everything above is there
};

} // namespace hl
