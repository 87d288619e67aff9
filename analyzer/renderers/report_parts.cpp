// See report_parts.h.
#include "renderers/report_parts.h"

#include <algorithm>

#include "renderers/stack_text.h"

namespace hl {

std::string place_text(const SiteGroup& group, const TextStyle& style) {
  std::string text = fit(printable(short_function(group.function)), 48, style);
  if (!group.file.empty())
    text += " (" + printable(short_path(group.file)) +
            (group.line != 0 ? ":" + std::to_string(group.line) : "") + ")";
  return text;
}

std::string list_head(size_t number, const std::string& amount, const std::string& share,
                      const std::string& detail, const TextStyle& style) {
  return "  " + pad_left(std::to_string(number), 2) + "  " + pad_left(style.bold(amount), 10) +
         pad_left(share, 8) + "  " + pad_right(style.dim(detail), 16) + "  ";
}

std::string more_places(size_t count, const std::string& amount) {
  return plural(count, "more place") + (count == 1 ? " holds" : " hold") + " the other " + amount;
}

std::string group_label(const SiteGroup& group, const TextStyle& style, size_t width) {
  ResolvedFrame frame;
  frame.function = group.function;
  frame.file = group.file;
  frame.line = group.line;
  frame.module = group.function == group.module ? std::string_view() : group.module;
  return frame_label(frame, style, width);
}

std::string rule(const std::string& title, const std::string& amount, const TextStyle& style) {
  return "\n" + style.title(title) + (amount.empty() ? "" : "  " + style.dim(amount)) + "\n";
}

// What is wrong with the record stands right below the verdict, in a line; the details come last.
std::string warning_line(const HeapAnswer& answer, const TextStyle& style) {
  std::string text;
  const auto add = [&text](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (answer.heap.lost.total() != 0)
    add(plural(answer.heap.lost.total(), "event") + " lost");
  const ProblemLog& problems = answer.trace.problems();
  if (problems.has(ProblemKind::damaged) || problems.has(ProblemKind::truncated) ||
      problems.has(ProblemKind::gap))
    add("the trace is damaged");
  if (problems.has(ProblemKind::missing_session))
    add("the session file with the last events is missing");
  if (answer.trace.running())
    add("still being recorded");
  if (answer.heap.result().implicit_frees != 0)
    add(plural(answer.heap.result().implicit_frees, "free") + " missed");
  return text.empty() ? "" : style.warning("Incomplete: " + text + ". See the end of this report.") + "\n";
}

std::string headline(const HeapAnswer& answer, const TextStyle& style) {
  const TraceMetadata& metadata = answer.trace.metadata();
  const ReplayResult& result = answer.heap.result();
  std::string who = "pid " + std::to_string(metadata.header.pid);
  const std::string end = ending(answer.trace);
  if (!end.empty())
    who += ", " + end;
  who += ", " + human_ns(duration_ns(answer.trace, result.last_ticks));
  const size_t room = style.width > who.size() + 12 ? style.width - who.size() - 2 : 10;
  std::string out = pad_right(style.bold(fit(printable(command_line(metadata)), room, style)), room) + "  " +
                    style.dim(who) + "\n";
  if (answer.moment.kind != Moment::Kind::exit)
    out +=
        style.dim("at " + answer.moment.text + ": " + human_ns(answer.trace.clock().ns(result.last_ticks)) +
                  " after the start, " + clock_time(answer.trace.clock().wall_ns(result.last_ticks))) +
        "\n";
  return out;
}

std::string unknown_part(const HeapAnswer& answer, const TextStyle& style) {
  const ReplayResult& result = answer.heap.result();
  const TraceMetadata& metadata = answer.trace.metadata();
  std::vector<std::string> lines = caveats(answer.trace, answer.heap.lost, answer.heap.stream);
  if (result.unknown_frees != 0)
    lines.push_back(plural(result.unknown_frees, "free") +
                    (metadata.header.fork_ticks != 0 && lines.empty()
                         ? " of blocks that its parent allocated before the fork: they are in its trace."
                         : " of blocks whose allocation is not in the trace."));
  if (result.implicit_frees != 0)
    lines.push_back(plural(result.implicit_frees, "allocation") +
                    " came where a block was live: its free was not seen, and it was taken as freed.");
  if (metadata.has_losses) {
    static constexpr std::pair<WalkEnd, const char*> kEnds[] = {
        {WalkEnd::no_rule, "at code without unwind information"},
        {WalkEnd::bad_cfa, "at inconsistent unwind information"},
        {WalkEnd::unreadable, "at unreadable stack memory"},
        {WalkEnd::depth_cap, "at the depth limit"},
        {WalkEnd::node_space, "for want of room for stacks"}};
    for (const auto& [end, where] : kEnds)
      if (const uint64_t count = metadata.losses.walk_ends[static_cast<size_t>(end)]; count != 0)
        lines.push_back(plural(count, "stack walk") + " ended early " + where + ".");
    if (const uint64_t count = metadata.losses.walk_ends[static_cast<size_t>(WalkEnd::frame_pointer_guess)];
        count != 0)
      lines.push_back(plural(count, "stack walk") +
                      " hold frames found by frame pointer alone (marked [guessed]).");
  }
  const auto troubles = answer.resolver.troubles();
  constexpr size_t kModulesShown = 6;
  for (size_t i = 0; i < std::min(troubles.size(), kModulesShown); ++i)
    if (troubles[i].status != ModuleStatus::kPseudo)
      lines.push_back("Names in " + printable(troubles[i].path) + ": " + troubles[i].reason + ".");
  if (troubles.size() > kModulesShown)
    lines.push_back("... and " + with_thousands(troubles.size() - kModulesShown) +
                    " more modules without full symbols.");
  std::string out = rule("Lost or unknown", lines.empty() ? "nothing" : "", style);
  for (const std::string& line : lines)
    out += wrapped(line, "  - ", "    ", style);
  return out;
}

} // namespace hl
