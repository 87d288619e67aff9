// `map`: the memory of a process at a moment, as text for people and as JSON.
#pragma once

#include <string>

#include "analyses/memory_report.h"
#include "renderers/heap_output.h"

namespace hl {

struct MapAnswer {
  const MemoryReport& report;
  const HeapAnswer* heap = nullptr; // nullptr: a saved smaps text, without a trace
  std::string source = {};          // of that: its file's name
  bool all = false;                 // every region on a line of its own
};

std::string map_text(const MapAnswer& answer, const TextStyle& style);
void map_json(const MapAnswer& answer, JsonWriter& json);

} // namespace hl
