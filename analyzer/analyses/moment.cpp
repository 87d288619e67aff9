// See moment.h.
#include "analyses/moment.h"

#include <charconv>
#include <cmath>
#include <ctime>
#include <filesystem>

#include "replay/batch_pipe.h"

namespace hl {
namespace {

constexpr uint64_t kDayNs = 86400ull * 1'000'000'000;

// hh:mm[:ss[.fraction]] -> ns since midnight
std::optional<uint64_t> parse_time_of_day(std::string_view text) {
  uint64_t parts[2] = {0, 0};
  double seconds = 0;
  for (int i = 0; i < 2; ++i) {
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, parts[i]);
    if (error != std::errc() || rest == text.data() || rest - text.data() > 2)
      return {};
    text.remove_prefix(static_cast<size_t>(rest - text.data()));
    if (i == 0 || !text.empty()) {
      if (text.empty() || text.front() != ':')
        return {};
      text.remove_prefix(1);
    }
  }
  if (!text.empty()) {
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error != std::errc() || rest != text.data() + text.size())
      return {};
  }
  if (parts[0] > 23 || parts[1] > 59 || !(seconds >= 0 && seconds < 61))
    return {};
  return (parts[0] * 3600 + parts[1] * 60) * 1'000'000'000 +
         static_cast<uint64_t>(std::llround(seconds * 1e9));
}

// The first moment at or after the start of the trace at which the local clock shows this time of day.
uint64_t wall_ns_of(const Trace& trace, uint64_t since_midnight_ns) {
  const uint64_t start = trace.clock().wall_ns(trace.clock().start_ticks());
  const std::time_t start_seconds = static_cast<std::time_t>(start / 1'000'000'000);
  std::tm local{};
  ::localtime_r(&start_seconds, &local);
  const uint64_t start_of_day =
      static_cast<uint64_t>(local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec) * 1'000'000'000 +
      start % 1'000'000'000;
  // A time of day names a whole second: the one the trace began in counts as reached.
  const uint64_t ahead = (since_midnight_ns + kDayNs - start_of_day) % kDayNs;
  if (kDayNs - ahead < 1'000'000'000)
    return start;
  return start + ahead;
}

} // namespace

std::optional<uint64_t> parse_span_ns(std::string_view text) {
  if (text.empty())
    return {};
  double total = 0;
  for (bool first = true; !text.empty(); first = false) {
    double value = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || !(value >= 0))
      return {};
    text.remove_prefix(static_cast<size_t>(rest - text.data()));
    size_t unit_length = 0;
    while (unit_length < text.size() && text[unit_length] >= 'a' && text[unit_length] <= 'z')
      ++unit_length;
    const std::string_view unit = text.substr(0, unit_length);
    text.remove_prefix(unit_length);
    double scale;
    if (unit == "ns")
      scale = 1;
    else if (unit == "us")
      scale = 1e3;
    else if (unit == "ms")
      scale = 1e6;
    else if (unit == "s" || unit.empty())
      scale = 1e9;
    else if (unit == "m" || unit == "min")
      scale = 60e9;
    else if (unit == "h")
      scale = 3600e9;
    else if (unit == "d")
      scale = 86400e9;
    else
      return {};
    total += value * scale;
    if (unit.empty() && !(first && text.empty()))
      return {};
  }
  if (!(total < 9e18))
    return {};
  return static_cast<uint64_t>(std::llround(total));
}

std::optional<Moment> parse_moment(std::string_view text) {
  Moment moment;
  moment.text = std::string(text);
  if (text == "exit" || text == "end")
    return moment;
  if (text == "peak") {
    moment.kind = Moment::Kind::peak;
    return moment;
  }
  if (text.substr(0, 5) == "mark:" && text.size() > 5) {
    moment.kind = Moment::Kind::mark;
    moment.mark = std::string(text.substr(5));
    return moment;
  }
  if (!text.empty() && text.front() == '+') {
    const auto span = parse_span_ns(text.substr(1));
    if (!span)
      return {};
    moment.kind = Moment::Kind::after_start;
    moment.ns = *span;
    return moment;
  }
  if (const auto time_of_day = parse_time_of_day(text)) {
    moment.kind = Moment::Kind::wall_clock;
    moment.ns = *time_of_day;
    return moment;
  }
  return {};
}

NamedTrace split_moment(const std::string& argument, std::string& bad_moment) {
  std::error_code error;
  const size_t at = argument.rfind('@');
  if (at == std::string::npos || std::filesystem::exists(argument, error))
    return {argument, {}};
  if (const auto moment = parse_moment(std::string_view(argument).substr(at + 1)))
    return {argument.substr(0, at), *moment};
  // An @ in a directory's name belongs to the path.
  if (argument.find('/', at) == std::string::npos)
    bad_moment = argument.substr(at + 1);
  return {argument, {}};
}

std::optional<ReplayLimits> resolve_moment(const Trace& trace, const Moment& moment, std::string& why) {
  ReplayLimits limits;
  switch (moment.kind) {
  case Moment::Kind::exit:
    return limits;
  case Moment::Kind::after_start: {
    // The last tick that is not later.
    limits.last_ticks = trace.clock().ticks_at_ns(moment.ns + 1) - 1;
    return limits;
  }
  case Moment::Kind::wall_clock: {
    limits.last_ticks = trace.clock().ticks_at_wall_ns(wall_ns_of(trace, moment.ns) + 1) - 1;
    return limits;
  }
  case Moment::Kind::peak:
  case Moment::Kind::mark:
    break;
  }
  EventStream stream(trace, {});
  BatchPipe pipe(stream);
  Replay replay({}, trace.clock().start_ticks());
  while (const EventBatch* batch = pipe.next())
    replay.consume(*batch);
  replay.finish();
  const ReplayResult& result = replay.result();
  if (moment.kind == Moment::Kind::peak) {
    limits.last_step = result.peak_step;
    limits.last_ticks = result.peak_ticks;
    return limits;
  }
  std::string known;
  for (const ReplayResult::Mark& mark : result.marks) {
    if (mark.name == moment.mark) {
      limits.last_step = mark.step;
      limits.last_ticks = mark.ticks;
      return limits;
    }
    if (known.size() < 200)
      known += (known.empty() ? "" : ", ") + mark.name;
  }
  why = "no mark '" + moment.mark + "' in this trace" +
        (known.empty() ? "; it has no marks" : "; there are: " + known);
  return {};
}

} // namespace hl
