// See closing_lines.h.
#include "closing_lines.h"

#include <csignal>
#include <cstring>

#include <sys/wait.h>

#include <fmt/format.h>

#include "heapledger/trace_format.h"

namespace hl {

namespace {

std::string duration_text(uint64_t ns) {
  const double s = static_cast<double>(ns) / 1e9;
  const uint64_t whole = ns / 1'000'000'000;
  if (s < 60)
    return fmt::format("{:.{}f} s", s, s < 1 ? 3 : 1);
  if (whole < 3600)
    return fmt::format("{}m{:02}", whole / 60, whole % 60);
  return fmt::format("{}h{:02}", whole / 3600, whole / 60 % 60);
}

std::string bytes_text(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 999.5 && unit < 4)
    value /= 1000, unit++;
  return fmt::format("{:.{}f} {}", value, unit != 0 && value < 9.95 ? 1 : 0, kUnits[unit]);
}

const char* plural(uint64_t count) {
  return count == 1 ? "" : "s";
}

// 12 034 567
std::string count_text(uint64_t n) {
  std::string digits = std::to_string(n);
  for (size_t at = digits.size(); at > 3; at -= 3)
    digits.insert(at - 3, " ");
  return digits;
}

// It comes from a program: nothing of it may speak to the terminal.
std::string printable_name(std::string path) {
  for (char& c : path)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f)
      c = '?';
  return path;
}

std::string end_text(int status, uint32_t oom_kills) {
  if (!WIFSIGNALED(status))
    return fmt::format("exited {}", WEXITSTATUS(status));
  const char* const name = sigabbrev_np(WTERMSIG(status));
  const std::string oom = oom_kills == 0 ? "" : fmt::format(", cgroup oom_kill +{}", oom_kills);
  return fmt::format("killed (SIG{}{})", name == nullptr ? std::to_string(WTERMSIG(status)) : name, oom);
}

// What the scan right before the program's end has found; "" where there was none.
std::string leaks_text(const ControlMessage& m) {
  if (m.scan_way == static_cast<uint32_t>(ScanWay::none))
    return m.scan_failure == 0 ? "" : fmt::format("not scanned for leaks: {}\n", m.scan_reason);
  const auto part = [&m](LeakClass c, const char* words) {
    const size_t i = static_cast<size_t>(c) - 1;
    return m.class_blocks[i] == 0
               ? ""
               : fmt::format("{} in {} block{} {}, ", bytes_text(m.class_bytes[i]),
                             count_text(m.class_blocks[i]), plural(m.class_blocks[i]), words);
  };
  const std::string lost = part(LeakClass::definite, "lost (definitely)") +
                           part(LeakClass::indirect, "with them") +
                           part(LeakClass::possible, "possibly lost");
  return fmt::format("{}kept {}\n", lost.empty() ? "no leaks found, " : lost, bytes_text(m.class_bytes[3]));
}

} // namespace

std::string closing_lines(const ClosingFacts& f) {
  const ControlMessage& m = f.figures;
  std::string out = fmt::format("{} after {}", end_text(f.status, m.oom_kills), duration_text(f.duration_ns));
  if (!f.has_figures && f.session_lost)
    return out +
           fmt::format(
               "\nrecording ended before the program did: the session file {} is gone (its disk failed, or "
               "it was cut); what was recorded until then: {}\n",
               f.session, f.path);
  if (!f.has_figures)
    return out + fmt::format("\n{}  (incomplete: the recorder did not finish; what it lacks is in {})\n",
                             f.path, f.session);
  out += fmt::format("   cost {} CPU in the recorder", duration_text(m.recorder_cpu_ns));
  // Of next to nothing a share says nothing.
  if (f.application_cpu_ns >= 100'000'000)
    out += fmt::format(" ({:.0f} % of the application's)", 100.0 * static_cast<double>(m.recorder_cpu_ns) /
                                                               static_cast<double>(f.application_cpu_ns));
  out += fmt::format(", {}", bytes_text(m.recorder_rss_bytes));
  if (m.waits != 0)
    out += fmt::format(", waited {}", duration_text(m.waited_ns));
  if (f.recorder_restarts != 0)
    out += fmt::format(", recorder restarted {} time{}", f.recorder_restarts, plural(f.recorder_restarts));
  out += fmt::format("   lost {}", count_text(m.lost));
  if (m.lost_disk_full != 0)
    out += fmt::format(" ({} because the trace could not be written: {})", count_text(m.lost_disk_full),
                       m.write_error == 0 ? "is the disk full?" : std::strerror(m.write_error));
  const bool has_trace = m.text[0] != 0;
  if (m.good == 0 && has_trace)
    out += fmt::format("; the trace could not be closed, what it lacks is in {}", f.session);
  out += "\n";
  const uint64_t left = m.allocations > m.frees ? m.allocations - m.frees : 0;
  // A restarted recorder knows how many events its predecessors wrote, not which.
  if (m.restarts != 0)
    out += fmt::format("{} events", count_text(m.events));
  else
    out += fmt::format("{} allocation{} of {}, {} free{}: {} block{} not freed", count_text(m.allocations),
                       plural(m.allocations), bytes_text(m.bytes_requested), count_text(m.frees),
                       plural(m.frees), count_text(left), plural(left));
  // The program waited for it: without a word that would pass for its own time.
  if (m.scan_ns >= 50'000'000 && m.scan_ns * 20 >= f.duration_ns)
    out += fmt::format("; leak scan {}", duration_text(m.scan_ns));
  if (m.processes > 1)
    out += fmt::format("; {} process images", m.processes);
  if (m.still_recording != 0)
    out += fmt::format(" ({} still running and recorded)", m.still_recording);
  if (m.unrecorded != 0)
    out += fmt::format("\n{} program{} could not be recorded after giving up rights (user or root "
                       "directory): {}{}",
                       m.unrecorded, plural(m.unrecorded), m.unrecorded == 1 ? "" : "at last ",
                       printable_name(m.unrecorded_path));
  if (!has_trace)
    return out + fmt::format("\n{} could not be written: there is no trace\n", f.path);
  out +=
      "\n" + (f.memory.empty() ? "" : f.memory + "\n") + (f.leaks.empty() ? leaks_text(m) : f.leaks + "\n");
  const bool leaked = m.class_blocks[0] + m.class_blocks[2] != 0;
  out += fmt::format("{}  {}  →  heapledger {} {}\n", f.path, bytes_text(m.trace_bytes),
                     leaked ? "leaks" : "report", f.path);
  return out;
}

} // namespace hl
