// What samples may cost: a share of one processor, measured as CPU time of the thread that takes them. One
// budget for all recorded processes.
//
// A token bucket for each kind of reading, so that one map of 90 ms does not silence the cheap readings for
// seconds: a bucket fills with its share of the budget as time passes, up to two seconds' worth, begins with
// a small allowance (short programs are sampled, too), and may be overdrawn by the one reading that emptied
// it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace hl {

// In the order of SamplingPayload's arrays.
enum class SampleKind : uint8_t { statm = 0, rollup = 1, map = 2 };
inline constexpr size_t kSampleKinds = 3;

class SampleBudget {
 public:
  // `millionths` of one processor; 0: nothing is allowed.
  SampleBudget(uint32_t millionths, uint64_t now_ns) : millionths_(millionths), filled_ns_(now_ns) {
    for (size_t i = 0; i < kSampleKinds; i++)
      tokens_ns_[i] = millionths == 0 ? 0 : kAllowanceNs * kPercent[i] / 100;
  }

  uint32_t millionths() const { return millionths_; }

  // `reserve`: leave a quarter of what the bucket can hold to readings that matter more.
  bool allows(SampleKind kind, uint64_t now_ns, bool reserve = false) {
    fill(now_ns);
    const auto i = static_cast<size_t>(kind);
    return millionths_ != 0 && tokens_ns_[i] > (reserve ? most_ns(i) / 4 : 0);
  }
  void charge(SampleKind kind, uint64_t cpu_ns) {
    tokens_ns_[static_cast<size_t>(kind)] -= static_cast<int64_t>(cpu_ns);
  }
  // Until allows() may say true; 2^64-1: never.
  uint64_t wait_ns(SampleKind kind, bool reserve = false) const {
    const auto i = static_cast<size_t>(kind);
    if (millionths_ == 0)
      return ~uint64_t{0};
    const int64_t missing = (reserve ? most_ns(i) / 4 : 0) - tokens_ns_[i];
    return missing < 0
               ? 0
               : static_cast<uint64_t>(missing + 1) * 100 / kPercent[i] * 1'000'000 / millionths_ + 1'000'000;
  }

 private:
  static constexpr std::array<uint8_t, kSampleKinds> kPercent{15, 25, 60};
  static constexpr int64_t kAllowanceNs = 10'000'000;
  static constexpr uint64_t kMostFillNs = 2'000'000'000; // as much is saved up

  int64_t most_ns(size_t i) const {
    return std::max(kAllowanceNs, static_cast<int64_t>(kMostFillNs / 1'000'000 * millionths_)) * kPercent[i] /
           100;
  }
  void fill(uint64_t now_ns) {
    const uint64_t passed_ns = std::min(now_ns - filled_ns_, uint64_t{3'600'000'000'000});
    filled_ns_ = now_ns;
    for (size_t i = 0; i < kSampleKinds; i++) {
      remainder_[i] += passed_ns * millionths_ / 100 * kPercent[i];
      tokens_ns_[i] = std::min(most_ns(i), tokens_ns_[i] + static_cast<int64_t>(remainder_[i] / 1'000'000));
      remainder_[i] %= 1'000'000;
    }
  }

  uint32_t millionths_;
  uint64_t filled_ns_;
  std::array<int64_t, kSampleKinds> tokens_ns_{};
  std::array<uint64_t, kSampleKinds> remainder_{}; // millionths of a ns
};

} // namespace hl
