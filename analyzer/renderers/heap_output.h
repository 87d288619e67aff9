// `report` and `live`: the heap of a trace, at a moment, as text for people and as JSON.
#pragma once

#include <string>

#include "analyses/heap_replay.h"
#include "analyses/heap_report.h"
#include "renderers/json_writer.h"
#include "renderers/text_style.h"

namespace hl {

// Everything an answer about the heap is made of.
struct HeapAnswer {
  const Trace& trace;
  const HeapReplay& heap;
  const StackResolver& resolver;
  const Moment& moment; // up to which the trace was replayed
  GroupBy by = GroupBy::line;
  size_t top = 5;            // entries of a list; 0: all
  std::string run_note = {}; // a sentence about the run's other processes; may be empty
};

std::string report_text(const HeapAnswer& answer, const TextStyle& style);
void report_json(const HeapAnswer& answer, JsonWriter& json);

std::string live_text(const HeapAnswer& answer, const TextStyle& style);
void live_json(const HeapAnswer& answer, JsonWriter& json);

} // namespace hl
