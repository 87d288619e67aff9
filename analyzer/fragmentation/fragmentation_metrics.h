// The named numbers of fragmentation, for `metrics` and --max.
#pragma once

#include <vector>

#include "analyses/metrics.h"
#include "fragmentation/fragmentation_study.h"

namespace hl {

std::vector<Metric> fragmentation_metrics(const FragmentationStudy& study);

} // namespace hl
