// See stack_text.h.
#include "renderers/stack_text.h"

#include <algorithm>

namespace hl {
namespace {

std::string place_of(const ResolvedFrame& frame) {
  if (!frame.file.empty())
    return printable(short_path(frame.file)) + (frame.line != 0 ? ":" + std::to_string(frame.line) : "");
  // A name of the form module+0x12 says it already.
  if (frame.module.empty() || frame.function.find("+0x") != std::string_view::npos)
    return "";
  const size_t slash = frame.module.rfind('/');
  return "in " + printable(slash == std::string_view::npos ? frame.module : frame.module.substr(slash + 1));
}

} // namespace

std::string frame_label(const ResolvedFrame& frame, const TextStyle& style, size_t width) {
  if (frame.marker)
    return style.dim(frame.function);
  const std::string function = printable(short_function(frame.function));
  const std::string place = place_of(frame);
  std::string notes;
  if (frame.inlined)
    notes += " [inlined]";
  if (frame.guessed)
    notes += " [guessed]";
  size_t room = width;
  const size_t extra = (place.empty() ? 0 : display_width(place) + 2) + display_width(notes);
  room = room > extra + 12 ? room - extra : 12;
  std::string label = fit(function, room, style);
  if (!place.empty())
    label += "  " + style.dim(place);
  if (!notes.empty())
    label += style.dim(notes);
  return label;
}

std::string stack_lines(std::span<const ResolvedFrame> frames, size_t callers, size_t indent,
                        const TextStyle& style) {
  if (frames.empty())
    return "";
  const FoldedStack folded = StackResolver::fold(frames);
  const std::string margin(indent, ' ');
  std::string out;
  const size_t first = folded.first_shown + 1;
  const size_t end = std::max(folded.end_shown, std::min(first, frames.size()));
  const size_t shown_end = end > first + callers + 1 ? first + callers : end;
  for (size_t i = first; i < shown_end; ++i)
    out += margin + style.dim("< ") + frame_label(frames[i], style, style.width - indent - 2) + "\n";
  std::string notes;
  const auto note = [&notes](const std::string& text) { notes += (notes.empty() ? "" : ", ") + text; };
  if (end > shown_end)
    note(std::to_string(end - shown_end) + " more callers");
  // The innermost frame is malloc itself or what stands for it: that much everybody knows.
  if (folded.first_shown > 0) {
    const ResolvedFrame& through = frames[folded.first_shown - 1];
    note("through " + fit(printable(short_function(through.function)), 40, style) +
         (folded.first_shown > 1 ? " and " + std::to_string(folded.first_shown - 1) + " inner" : ""));
  }
  if (folded.end_shown < frames.size() && folded.end_shown >= first) {
    size_t runtime = 0;
    for (size_t i = folded.end_shown; i < frames.size(); ++i) {
      if (frames[i].marker)
        note(std::string(frames[i].function));
      else
        ++runtime;
    }
    if (runtime != 0)
      note(std::to_string(runtime) + " of start-up");
  }
  if (!notes.empty())
    out += margin + style.dim("  (" + notes + ")") + "\n";
  return out;
}

} // namespace hl
