// One stack as indented lines: the first frame of the program's own code leads (the caller prints it), its
// callers follow outward; allocator frames inside it and start-up frames outside are folded.
#pragma once

#include <span>
#include <string>

#include "analyses/stack_resolver.h"
#include "renderers/text_style.h"

namespace hl {

// "Session::open  net/session.cc:88", for a frame.
std::string frame_label(const ResolvedFrame& frame, const TextStyle& style, size_t width);

// Lines, each ending in a line break. `callers`: so many frames beyond the leading one.
std::string stack_lines(std::span<const ResolvedFrame> frames, size_t callers, size_t indent,
                        const TextStyle& style);

} // namespace hl
