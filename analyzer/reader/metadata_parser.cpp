// See metadata_parser.h.
#include "reader/metadata_parser.h"

#include <algorithm>

#include "reader/payload_cursor.h"

namespace hl {
namespace {

std::vector<std::string> split_at_nul(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find('\0', at);
    if (end == std::string::npos)
      end = text.size();
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

// A text property written as a C string may carry its NUL.
std::string without_nul(std::string text) {
  if (const size_t nul = text.find('\0'); nul != std::string::npos)
    text.resize(nul);
  return text;
}

} // namespace

std::string to_text(const Uuid& uuid) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      text += '-';
    text += kDigits[uuid[i] >> 4];
    text += kDigits[uuid[i] & 15];
  }
  return text;
}

bool parse_header(std::span<const uint8_t> payload, TraceMetadata& out) {
  PayloadCursor cursor(payload);
  uint32_t header_bytes = 0;
  if (payload.size() < sizeof header_bytes)
    return false;
  std::memcpy(&header_bytes, payload.data(), sizeof header_bytes);
  if (header_bytes < 32 || !cursor.get_sized(out.header, header_bytes))
    return false;
  out.has_header = true;
  while (cursor.remaining() >= 8) {
    uint16_t tag = 0, reserved = 0;
    uint32_t bytes = 0;
    cursor.get(tag);
    cursor.get(reserved);
    cursor.get(bytes);
    const std::string value = cursor.text(bytes);
    if (cursor.failed())
      return false;
    switch (static_cast<HeaderTag>(tag)) {
    case HeaderTag::executable:
      out.executable = without_nul(value);
      break;
    case HeaderTag::argv:
      out.arguments = split_at_nul(value);
      break;
    case HeaderTag::working_directory:
      out.working_directory = without_nul(value);
      break;
    case HeaderTag::host:
      out.host = without_nul(value);
      break;
    case HeaderTag::session_path:
      out.session_path = without_nul(value);
      break;
    case HeaderTag::recorder_version:
      out.recorder_version = without_nul(value);
      break;
    case HeaderTag::name:
      out.name = without_nul(value);
      break;
    case HeaderTag::kernel:
      out.kernel = without_nul(value);
      break;
    case HeaderTag::environment:
      break;
    }
  }
  return true;
}

bool parse_clock(std::span<const uint8_t> payload, TraceMetadata& out) {
  PayloadCursor cursor(payload);
  ClockPair pair;
  while (cursor.remaining() >= sizeof pair && cursor.get(pair))
    out.clock_pairs.push_back(pair);
  return cursor.remaining() == 0;
}

bool parse_threads(std::span<const uint8_t> payload, TraceMetadata& out) {
  std::vector<ThreadSummary> threads;
  for (size_t at = 0; at + sizeof(ThreadEntry) <= payload.size();) {
    PayloadCursor cursor(payload.subspan(at));
    ThreadEntry entry;
    if (!cursor.get(entry) || entry.entry_bytes < sizeof entry || entry.entry_bytes > payload.size() - at)
      return false;
    const std::string name = cursor.text(entry.name_bytes);
    if (cursor.failed())
      return false;
    threads.push_back(
        {entry.thread_index, entry.tid, name, entry.first_ticks, entry.last_ticks, entry.events});
    at += entry.entry_bytes;
  }
  out.threads = std::move(threads);
  return true;
}

namespace {

// A payload that begins with its own size.
template <typename T> bool parse_sized(std::span<const uint8_t> payload, T& out) {
  uint32_t written = 0;
  if (payload.size() < sizeof written)
    return false;
  std::memcpy(&written, payload.data(), sizeof written);
  return written >= sizeof written && PayloadCursor(payload).get_sized(out, written);
}

} // namespace

bool parse_losses(std::span<const uint8_t> payload, TraceMetadata& out) {
  return (out.has_losses = parse_sized(payload, out.losses) || out.has_losses);
}
bool parse_status(std::span<const uint8_t> payload, TraceMetadata& out) {
  if (!parse_sized(payload, out.status))
    return out.has_status;
  out.has_status = true;
  out.unrecorded_path.clear();
  out.unrecorded_child.clear();
  if (out.status.payload_header_bytes <= payload.size()) {
    PayloadCursor paths(payload.subspan(out.status.payload_header_bytes));
    if (out.status.unrecorded_errno != 0)
      out.unrecorded_path = paths.text(std::min<uint64_t>(out.status.unrecorded_bytes, paths.remaining()));
    if (out.status.unrecorded_children != 0)
      out.unrecorded_child =
          paths.text(std::min<uint64_t>(out.status.unrecorded_child_bytes, paths.remaining()));
  }
  return true;
}
bool parse_recorder(std::span<const uint8_t> payload, TraceMetadata& out) {
  return (out.has_recorder = parse_sized(payload, out.recorder) || out.has_recorder);
}
bool parse_sampling(std::span<const uint8_t> payload, TraceMetadata& out) {
  return (out.has_sampling = parse_sized(payload, out.sampling) || out.has_sampling);
}

bool parse_unwind_check(std::span<const uint8_t> payload, TraceMetadata& out) {
  PayloadCursor cursor(payload);
  UnwindCheckPayload check;
  if (!cursor.get(check))
    return false;
  const std::string text = cursor.text(std::min<uint64_t>(check.text_bytes, cursor.remaining()));
  out.unwind_check = check;
  out.unwind_check_text = without_nul(text);
  out.has_unwind_check = true;
  return true;
}

bool parse_modules(std::span<const uint8_t> payload, ModuleTable& out) {
  for (size_t at = 0; at + sizeof(ModuleEntry) <= payload.size();) {
    PayloadCursor cursor(payload.subspan(at));
    ModuleEntry entry;
    if (!cursor.get(entry) || entry.entry_bytes < sizeof entry || entry.entry_bytes > payload.size() - at ||
        entry.build_id_bytes > 32)
      return false;
    TraceModule module;
    module.id = entry.id;
    module.load_bias = entry.load_bias;
    module.start = entry.start;
    module.end = entry.end;
    module.loaded_ticks = entry.loaded_ticks;
    module.unloaded_ticks = entry.unloaded_ticks;
    module.is_main = entry.is_main != 0;
    module.malloc_binding = entry.malloc_binding;
    module.path = cursor.text(entry.path_bytes);
    if (cursor.failed())
      return false;
    module.build_id.assign(entry.build_id, entry.build_id + entry.build_id_bytes);
    if (!out.set(std::move(module)))
      return false;
    at += entry.entry_bytes;
  }
  return true;
}

} // namespace hl
