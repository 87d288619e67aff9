// `fragmentation`: what of the resident heap is waste, who keeps it, what to do about it.
#pragma once

#include <string>
#include <vector>

#include "fragmentation/blamed_places.h"
#include "renderers/heap_output.h"

namespace hl {

struct FragmentationAnswer {
  HeapAnswer heap; // `heap.by`: how `places` are put together
  const FragmentationStudy& study;
  const std::vector<BlamedPlace>& places;
  // --what-if; empty pattern: not asked for.
  std::string pattern = {};
  WhatIf apart = {};
  size_t apart_sites = 0;
};

std::string fragmentation_text(const FragmentationAnswer& answer, const TextStyle& style);
void fragmentation_json(const FragmentationAnswer& answer, JsonWriter& json);

// What to do, where it is certain that it helps.
struct FragmentationAdvice {
  std::string_view kind; // place_apart, malloc_trim, arena_max, mmap_threshold
  uint64_t bytes;        // place_apart, malloc_trim: given back; else: that it is about
  std::string text;
};
std::vector<FragmentationAdvice> fragmentation_advice(const FragmentationAnswer& answer,
                                                      const TextStyle& style);

// "exit", "peak" ...
std::string_view sample_cause_name(SampleCause cause);
// Which sample, when, how far it can be trusted; a sentence.
std::string sample_sentence(const FragmentationAnswer& answer, const TextStyle& style);

} // namespace hl
