// The address space as lines, from low to high addresses: the segments of one file together, runs of small
// mappings folded.
#pragma once

#include <string>

#include "renderers/map_output.h"

namespace hl {

std::string map_picture(const MapAnswer& answer, const TextStyle& style);

// What a category is called in a sentence: "read-only data".
std::string category_words(const std::string& category);
// 118M, 4.2M, 340K, -; exact: every digit.
std::string short_bytes(uint64_t bytes, const TextStyle& style);
size_t short_bytes_width(const TextStyle& style);
// How it is known what a region is: "as the program named it"; empty: nothing need be said.
std::string evidence_words(const Region& region);

} // namespace hl
