// Profiles of runs by hand, for tests.
#pragma once

#include <initializer_list>
#include <string>
#include <unordered_map>

#include "diff/run_profile.h"

namespace hl::testing {

struct MadeFrame {
  std::string function;
  std::string file = "/src/app/main.cpp";
  uint32_t line = 1;
  std::string module = "/opt/app";
  uint8_t flags = 0;
};

class ProfileMaker {
 public:
  ProfileMaker() {
    using enum ProfileMetric;
    for (const ProfileMetric metric : {allocation_calls, bytes_requested, peak_bytes, peak_blocks, exit_bytes,
                                       exit_blocks, temporary_allocations, definite_bytes, definite_blocks}) {
      profile.of_run.add(metric);
      profile.of_sites.add(metric);
    }
    profile.command = "app";
  }

  // A site with this stack, innermost first: `calls` calls, `bytes` requested, all of them live at the peak.
  // Equal stacks add up. Returns the site.
  uint32_t site(std::initializer_list<MadeFrame> frames, uint64_t calls, uint64_t bytes) {
    uint32_t node = 0;
    for (auto frame = std::rbegin(frames); frame != std::rend(frames); ++frame)
      node = child(node, add(*frame));
    const auto [found, is_new] = sites_.try_emplace(node, static_cast<uint32_t>(profile.sites.size()));
    if (is_new)
      profile.sites.push_back({node, {}});
    using enum ProfileMetric;
    for (MetricValues* values : {&profile.sites[found->second].metrics, &profile.totals}) {
      (*values)[allocation_calls] += calls;
      (*values)[bytes_requested] += bytes;
      (*values)[peak_bytes] += bytes;
      (*values)[peak_blocks] += calls;
    }
    return found->second;
  }

  RunProfile profile;

 private:
  uint32_t text(const std::string& value) {
    for (uint32_t i = 0; i < profile.strings.size(); ++i)
      if (profile.strings[i] == value)
        return i;
    profile.strings.push_back(value);
    return static_cast<uint32_t>(profile.strings.size() - 1);
  }
  uint32_t add(const MadeFrame& made) {
    ProfileFrame frame;
    frame.function = text(made.function);
    frame.file = text(made.file);
    frame.line = made.line;
    frame.flags = made.flags;
    for (frame.module = 1; frame.module < profile.modules.size(); ++frame.module)
      if (profile.modules[frame.module].path == made.module)
        break;
    if (frame.module == profile.modules.size())
      profile.modules.push_back({made.module, "", made.module == "/opt/app"});
    for (uint32_t i = 1; i < profile.frames.size(); ++i)
      if (profile.frames[i] == frame)
        return i;
    profile.frames.push_back(frame);
    return static_cast<uint32_t>(profile.frames.size() - 1);
  }
  uint32_t child(uint32_t parent, uint32_t frame) {
    const auto [found, is_new] =
        nodes_.try_emplace(uint64_t{parent} << 32 | frame, static_cast<uint32_t>(profile.nodes.size()));
    if (is_new)
      profile.nodes.push_back({parent, frame});
    return found->second;
  }
  std::unordered_map<uint64_t, uint32_t> nodes_;
  std::unordered_map<uint32_t, uint32_t> sites_;
};

} // namespace hl::testing
