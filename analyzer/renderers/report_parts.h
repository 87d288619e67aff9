// The parts that every text about a heap has in common: who was recorded, what is wrong with the record,
// headings, what was lost or is unknown.
#pragma once

#include <string>

#include "renderers/describe_trace.h"
#include "renderers/heap_output.h"

namespace hl {

// Command, pid, ending, duration; of another moment than the end: that too. Ends in a line break.
std::string headline(const HeapAnswer& answer, const TextStyle& style);
// Incompleteness in one line; empty: nothing is wrong.
std::string warning_line(const HeapAnswer& answer, const TextStyle& style);
// A heading with an empty line before it.
std::string rule(const std::string& title, const std::string& amount, const TextStyle& style);
// What a numbered line of a list begins with: number, amount, share of the whole, detail, in columns.
std::string list_head(size_t number, const std::string& amount, const std::string& share,
                      const std::string& detail, const TextStyle& style);
// "12 more places hold the other 3.4 KiB".
std::string more_places(size_t count, const std::string& amount);
// "Session::open (session.cc:88)": where a sentence names a group.
std::string place_text(const SiteGroup& group, const TextStyle& style);
// The frame a group is named after, in at most `width` columns.
std::string group_label(const SiteGroup& group, const TextStyle& style, size_t width);
// "Lost or unknown", each a line.
std::string unknown_part(const HeapAnswer& answer, const TextStyle& style);

} // namespace hl
