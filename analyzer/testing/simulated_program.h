// A made-up program for tests of analyses: allocates and frees by site on a clock of its own, sets marks, and
// is written as a trace. Addresses are handed out again the way allocators do it: the last one freed first.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "testing/trace_builder.h"

namespace hl::testing {

class SimulatedProgram {
 public:
  explicit SimulatedProgram(uint64_t ns_per_event = 1000) : ns_per_event_(ns_per_event) { builder_.begin(); }

  TraceBuilder& builder() { return builder_; }
  // A stack of its own below `parent`.
  StackId stack(StackId parent = 0) { return builder_.node(parent, 0, 0x400000 + 16 * ++stacks_); }

  uint64_t allocate(StackId stack, uint64_t size, uint32_t thread = 1) {
    auto& free = free_[(size + 15) / 16];
    uint64_t address;
    if (free.empty()) {
      address = top_;
      top_ += (size + 31) / 16 * 16;
    } else {
      address = free.back();
      free.pop_back();
    }
    sizes_[address] = size;
    add(thread, malloc_event(tick(), address, size, stack));
    return address;
  }
  void release(uint64_t address, StackId stack = 0, uint32_t thread = 1) {
    free_[(sizes_[address] + 15) / 16].push_back(address);
    add(thread, free_event(tick(), address, stack));
  }
  void wait(uint64_t ns) { now_ += ns; }
  void mark(const std::string& name) {
    builder_.add_extended(1, tick(), ExtendedKind::mark, {}, name, 0);
    count();
  }
  uint64_t now_ns() const { return now_; }

  void write(const std::string& path) {
    builder_.flush(UINT64_MAX);
    builder_.clock({{kStartTicks + now_, kStartTicks + now_, kStartTicks + now_, kStartWallNs + now_}});
    builder_.close().write(path);
  }

 private:
  uint64_t tick() { return now_ += ns_per_event_; }
  void add(uint32_t thread, const Event& event) {
    builder_.add(thread, event);
    count();
  }
  void count() {
    if (++in_chunk_ == kMaxEventsPerChunk) {
      builder_.flush(now_);
      in_chunk_ = 0;
    }
  }

  TraceBuilder builder_;
  uint64_t ns_per_event_;
  uint64_t now_ = 0;
  uint64_t stacks_ = 0;
  uint64_t top_ = 0x555555560000;
  uint32_t in_chunk_ = 0;
  std::map<uint64_t, std::vector<uint64_t>> free_;
  std::unordered_map<uint64_t, uint64_t> sizes_;
};

} // namespace hl::testing
