// What `report` and `live` have in common: open, replay to the moment, resolve stacks, answer.
#pragma once

#include "cli/trace_options.h"
#include "renderers/heap_output.h"

namespace hl {

struct HeapQuestion {
  TraceOptions options;
  std::string by = "line";
  std::optional<size_t> top;

  void add_options(CLI::App& app);
  // Prints what one of the two makes of the answer, by --json; returns the exit code.
  int answer(std::string (*text)(const HeapAnswer&, const TextStyle&),
             void (*json)(const HeapAnswer&, JsonWriter&)) const;
};

// A sentence on the run's other processes, where it has some; else empty.
std::string note_on_run(const OpenedTrace& opened);

} // namespace hl
