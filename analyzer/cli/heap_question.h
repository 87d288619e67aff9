// What `report` and `live` have in common: open, replay to the moment, resolve stacks, answer.
#pragma once

#include <functional>

#include "cli/trace_options.h"
#include "renderers/heap_output.h"

namespace hl {

struct HeapQuestion {
  TraceOptions options;
  std::string by = "line";
  std::optional<size_t> top;

  void add_options(CLI::App& app);
  // `print` gets the answer; returns the exit code.
  int answer(const std::function<void(const HeapAnswer&)>& print) const;
};

} // namespace hl
