// See trace_names.h.
#include "trace_names.h"

#include <algorithm>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "run_place.h"

namespace hl {

namespace {

constexpr uint32_t kMostAttempts = 1000;

std::string file_name_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  std::string name(slash == std::string_view::npos ? path : path.substr(slash + 1));
  for (char& c : name)
    if (static_cast<unsigned char>(c) <= ' ' || c == '/' || c == 0x7f)
      c = '_';
  return name.empty() ? "unnamed" : name.substr(0, 64);
}

} // namespace

TraceNames choose_trace_names(const SessionHeader& session, const ProcessRecording& recording,
                              const std::vector<std::unique_ptr<ProcessRecording>>& recordings) {
  const SessionProcess& p = recording.process();
  std::string stem, wanted;
  const auto numbered = [&stem](uint32_t image) { return fmt::format("{}.{}.hlt", stem, image); };
  if (session.output[0] != 0) {
    const std::string own = with_pid(session.output, std::to_string(p.pid));
    const bool named_by_pid = own != session.output;
    stem = own.ends_with(".hlt") && own.size() > 4 ? own.substr(0, own.size() - 4) : own;
    if (!named_by_pid)
      stem += fmt::format(".{}", p.pid);
    if (recording.is_root() || named_by_pid) {
      // FILE is the newest image: what it was before exec gives the name up. Several images of a busy moment
      // are found in any order.
      bool newest = true;
      for (const auto& other : recordings) {
        if (other->trace() == nullptr || other->trace()->path() != own)
          continue;
        if (other->process().image_number > p.image_number)
          newest = false;
        else
          other->trace()->rename_to(numbered(other->process().image_number));
      }
      if (newest)
        wanted = own;
    }
  } else {
    stem = fmt::format("{}/{}.{}", session.directory,
                       file_name_of({p.text, std::min<size_t>(p.exe_bytes, sizeof(p.text))}), p.pid);
  }
  return [stem, wanted, image = p.image_number](uint32_t attempt) -> std::string {
    if (!wanted.empty() && attempt-- == 0)
      return wanted;
    if (attempt == 0)
      return fmt::format("{}.{}.hlt", stem, image);
    return attempt < kMostAttempts ? fmt::format("{}.{}-{}.hlt", stem, image, attempt + 1) : "";
  };
}

} // namespace hl
