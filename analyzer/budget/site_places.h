// Sites of a run put together by the first frame of the program's own code, as a budget names them.
#pragma once

#include <string>
#include <vector>

#include "diff/run_profile.h"

namespace hl {

struct SitePlace {
  std::string canonical; // name of the function, as builds have in common (diff/canonical_name.h)
  uint32_t frame = 0;    // index into RunProfile::frames
  MetricValues metrics;
};

// In no particular order.
std::vector<SitePlace> site_places(const RunProfile& profile);

// Whether `recorded` is the file that `named` means: equal, or ends in it after a slash.
bool is_file(std::string_view recorded, std::string_view named);

} // namespace hl
