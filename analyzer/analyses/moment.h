// Moments of a trace: TRACE@exit, @peak, @mark:NAME, @+90s, @14:03:07.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "reader/trace.h"
#include "replay/replay.h"

namespace hl {

struct Moment {
  enum class Kind : uint8_t { exit, peak, mark, after_start, wall_clock };
  Kind kind = Kind::exit;
  std::string mark; // mark
  uint64_t ns = 0;  // after_start: since the start; wall_clock: since midnight, local time
  std::string text = "exit";
};

// nullopt: not a moment. Spans: a number with ns, us, ms, s, m, h or d; without one, seconds; "1h30m" adds
// up.
std::optional<Moment> parse_moment(std::string_view text);
std::optional<uint64_t> parse_span_ns(std::string_view text);

struct NamedTrace {
  std::string path;
  Moment moment;
};
// Splits TRACE@MOMENT. An existing file or directory of the whole name wins; otherwise what follows the last
// @ must be a moment: `bad_moment` is what is not. TRACE may be empty (@peak: of the newest run).
NamedTrace split_moment(const std::string& argument, std::string& bad_moment);

// Where a replay must stop; but for exit, last_ticks is the moment itself. Peak and marks take a pass of
// their own over the trace. nullopt: there is no such moment in this trace, `why` says why.
std::optional<ReplayLimits> resolve_moment(const Trace& trace, const Moment& moment, std::string& why);

} // namespace hl
