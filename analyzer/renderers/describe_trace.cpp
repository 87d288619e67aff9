// See describe_trace.h.
#include "renderers/describe_trace.h"

#include <cstring>

#include "reader/extended_payload.h"

namespace hl {

std::string command_line(const TraceMetadata& metadata) {
  std::string command;
  for (const std::string& argument : metadata.arguments)
    command += (command.empty() ? "" : " ") + argument;
  if (command.empty())
    command = metadata.executable.empty() ? metadata.name : metadata.executable;
  return command.empty() ? "unknown program" : command;
}

std::string ending(const Trace& trace) {
  if (trace.running())
    return "still running";
  const TraceMetadata& metadata = trace.metadata();
  if (!metadata.has_status)
    return "";
  const int code = metadata.status.code;
  std::string text;
  switch (metadata.status.how) {
  case 1:
    text = code < 0 ? "exited" : "exited with status " + std::to_string(code);
    break;
  case 2: {
    const char* name = code > 0 ? ::sigabbrev_np(code) : nullptr;
    text = name != nullptr ? "killed by SIG" + std::string(name) : "killed by signal " + std::to_string(code);
    break;
  }
  case 3:
    text = "replaced by exec";
    break;
  case 4:
    text = "still running when the recording ended";
    break;
  default:
    return "";
  }
  if (metadata.status.oom_kills != 0)
    text += ", " + plural(metadata.status.oom_kills, "OOM kill") + " in its cgroup";
  return text;
}

std::vector<std::string> caveats(const Trace& trace, const LossSummary& lost,
                                 const EventStream::Counters& stream) {
  std::vector<std::string> lines;
  if (trace.running())
    lines.push_back("The program is still being recorded: this is what has been written so far.");
  const bool had_recorder = (trace.metadata().header.session_flags & kSessionRecorderless) == 0;
  if (trace.recovered() && trace.session() != nullptr && had_recorder)
    lines.push_back("The recorder was killed; " + plural(stream.recovered_events, "event") +
                    " came from the session file " + trace.session()->path() + ".");
  if (lost.total() != 0) {
    std::string line = plural(lost.total(), "event") + (lost.total() == 1 ? " is missing:" : " are missing:");
    for (size_t i = 0; i < lost.by_cause.size(); ++i)
      if (lost.by_cause[i] != 0)
        line += " " + with_thousands(lost.by_cause[i]) + " " +
                std::string(name_of(static_cast<LossCause>(i))) + ",";
    line.back() = '.';
    lines.push_back(line);
  }
  for (const Problem& problem : trace.problems().kept()) {
    if (problem.kind == ProblemKind::not_closed && (trace.running() || trace.session() != nullptr))
      continue;
    std::string line = printable(problem.text);
    if (!line.empty() && line[0] >= 'a' && line[0] <= 'z')
      line[0] = static_cast<char>(line[0] - 'a' + 'A');
    lines.push_back(line + ".");
  }
  if (trace.problems().total() > trace.problems().kept().size())
    lines.push_back("... and " + with_thousands(trace.problems().total() - trace.problems().kept().size()) +
                    " more problems.");
  if (stream.duplicate_segments != 0)
    lines.push_back("Events written twice by a restarted recorder were counted once (" +
                    with_thousands(stream.duplicate_segments) + " times).");
  if (stream.unknown_stacks != 0)
    lines.push_back("The stacks of " + plural(stream.unknown_stacks, "event") + " are not in the trace.");
  return lines;
}

void write_lost(JsonWriter& json, const LossSummary& lost) {
  json.key("lost").begin_object().member("events", lost.total()).key("by_cause").begin_object();
  for (size_t i = 0; i < lost.by_cause.size(); ++i) {
    const bool known = i < static_cast<size_t>(LossCause::count_);
    if (known || lost.by_cause[i] != 0)
      json.member(known ? std::string(name_of(static_cast<LossCause>(i))) : "cause_" + std::to_string(i),
                  lost.by_cause[i]);
  }
  json.end_object().end_object();
}

void write_problems(JsonWriter& json, const Trace& trace) {
  static constexpr std::string_view kKinds[] = {"damaged",         "truncated",   "not_closed",
                                                "missing_session", "bad_session", "gap",
                                                "unknown_stack",   "order",       "clock"};
  json.key("problems").begin_array();
  for (const Problem& problem : trace.problems().kept())
    json.begin_object()
        .member("kind", kKinds[static_cast<size_t>(problem.kind)])
        .member("offset", problem.offset)
        .member("text", problem.text)
        .end_object();
  json.end_array();
}

} // namespace hl
