// One run, as far as another is compared with it: its sites as logical frames with inlined calls expanded,
// every measure of each site, and the totals. Made from a trace (profile_builder.h), kept in a small file
// (profile_file.h), matched with another's (site_matching.h).
//
// Names are kept as they were recorded; what makes them comparable is found out when they are compared, so
// that a better rule needs no new profile.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analyses/metrics.h"

namespace hl {

// Measures of a run and of each site. Added to at the end; files name them by text.
enum class ProfileMetric : uint8_t {
  allocation_calls,
  bytes_requested,
  peak_bytes, // of a site: live at the process's peak
  peak_blocks,
  exit_bytes, // live at the profile's moment, which usually is the end
  exit_blocks,
  temporary_allocations,
  definite_bytes, // lost by the scan at that moment, without what is suppressed
  definite_blocks,
  stranded_bytes, // free bytes on resident pages that its blocks keep, at the sample nearest the moment
  free_calls,
  peak_rss_bytes,    // most resident memory of the process (VmHWM)
  rss_at_peak_bytes, // most resident memory sampled right after the live heap's peak
};
inline constexpr size_t kProfileMetrics = 13;

struct ProfileMetricFacts {
  ProfileMetric metric;
  std::string_view name;  // as `heapledger metrics` has it: "definite.bytes"
  std::string_view label; // in a table for people
  MetricUnit unit;
  bool of_sites; // false: of the whole run alone
  bool flow;     // grows with the work done: divided by it where runs differ in length
  bool sampled;  // as of a sample of the process's memory: runs of one program differ by when it was taken
};
const std::array<ProfileMetricFacts, kProfileMetrics>& profile_metrics();
inline const ProfileMetricFacts& facts(ProfileMetric metric) {
  return profile_metrics()[static_cast<size_t>(metric)];
}
std::optional<ProfileMetric> parse_profile_metric(std::string_view name);

struct MetricValues {
  std::array<uint64_t, kProfileMetrics> values{};
  uint64_t& operator[](ProfileMetric metric) { return values[static_cast<size_t>(metric)]; }
  uint64_t operator[](ProfileMetric metric) const { return values[static_cast<size_t>(metric)]; }
  void add(const MetricValues& other) {
    for (size_t i = 0; i < kProfileMetrics; ++i)
      values[i] += other.values[i];
  }
};

// Which measures a profile has.
class MetricMask {
 public:
  void add(ProfileMetric metric) { bits_ |= uint32_t{1} << static_cast<unsigned>(metric); }
  bool has(ProfileMetric metric) const { return (bits_ >> static_cast<unsigned>(metric) & 1) != 0; }
  friend bool operator==(const MetricMask&, const MetricMask&) = default;

 private:
  uint32_t bits_ = 0;
};

enum ProfileFrameFlags : uint8_t {
  kFrameInlined = 1,   // into the next one outward
  kFrameGuessed = 2,   // found by frame pointer
  kFrameMarker = 4,    // not a frame: says what is missing here
  kFrameAllocator = 8, // class of the frame (symbols/frame_classify.h); none of the three: the program's own
  kFrameRuntime = 16,
  kFrameLibrary = 32,
};

struct ProfileModule {
  std::string path;     // as recorded
  std::string build_id; // lower-case hexadecimal; empty: none recorded
  bool is_main = false;
};

struct ProfileFrame {
  uint32_t function = 0; // index into strings
  uint32_t file = 0;     // index into strings; the empty text: not known
  uint32_t module = 0;   // index into modules; the one without a path: none
  uint32_t line = 0;     // 0: not known
  uint8_t flags = 0;     // ProfileFrameFlags

  bool own() const { return (flags & (kFrameAllocator | kFrameRuntime | kFrameLibrary | kFrameMarker)) == 0; }
  friend bool operator==(const ProfileFrame&, const ProfileFrame&) = default;
};

// A stack is its innermost node; parents, which have smaller indices, lead outward. Node 0 is the end.
struct ProfileNode {
  uint32_t parent = 0;
  uint32_t frame = 0; // index into frames
};

struct ProfileSite {
  uint32_t node = 0; // 0: the stack is not known
  MetricValues metrics;
};

struct RunProfile {
  // Who was recorded.
  std::string uuid, command, executable, host;
  uint32_t pid = 0;
  uint64_t started_realtime_ns = 0;
  uint64_t duration_ns = 0; // up to the moment
  std::string moment = "exit";
  bool complete = true;
  uint64_t lost_events = 0;
  bool scanned = false;              // definite_* are known
  std::vector<std::string> troubles; // modules of its own that could not be named well

  std::vector<std::string> strings{1};
  std::vector<ProfileModule> modules{1};
  std::vector<ProfileFrame> frames{1};
  std::vector<ProfileNode> nodes{1};
  std::vector<ProfileSite> sites; // distinct nodes

  MetricMask of_sites, of_run;
  MetricValues totals;

  struct Mark {
    std::string name;
    uint64_t count;
  };
  std::vector<Mark> marks; // by name
  uint64_t mark_count(std::string_view name) const;

  std::string_view function(const ProfileFrame& frame) const { return strings[frame.function]; }
  std::string_view file(const ProfileFrame& frame) const { return strings[frame.file]; }
  const ProfileModule& module(const ProfileFrame& frame) const { return modules[frame.module]; }
  // Frames of a node's stack, innermost first, as indices into frames.
  std::vector<uint32_t> stack(uint32_t node) const;
  // The frame a stack is named after: the innermost own one, else the best stand-in; 0: there is none.
  uint32_t leading_frame(uint32_t node) const;
};

} // namespace hl
