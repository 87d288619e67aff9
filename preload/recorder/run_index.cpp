// See run_index.h.
#include "run_index.h"

#include <algorithm>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

namespace hl {

namespace {

std::string json_text(std::string_view s) {
  std::string out = "\"";
  for (const char c : s) {
    if (c == '"' || c == '\\')
      out += '\\', out += c;
    else if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else
      out += c;
  }
  return out + "\"";
}

} // namespace

RunIndex::~RunIndex() {
  if (fd_ >= 0)
    close(fd_);
}

void RunIndex::add(ProcessRecording& r, const char* event, bool clean) {
  if (session_.output[0] != 0 || session_.directory[0] == 0)
    return;
  const SessionProcess& p = r.process();
  std::string uuid;
  for (const uint8_t b : p.uuid)
    uuid += fmt::format("{:02x}", b);
  const std::string file =
      r.trace() == nullptr ? "" : r.trace()->path().substr(r.trace()->path().rfind('/') + 1);
  const std::string line = fmt::format(
      "{{\"event\":\"{}\",\"file\":{},\"uuid\":\"{}\",\"pid\":{},\"parent_pid\":{},\"image\":{},\"root\":{},"
      "\"executable\":{},\"complete\":{},\"events\":{}}}\n",
      event, json_text(file), uuid, p.pid, p.parent_pid, p.image_number, r.is_root(),
      json_text({p.text, std::min<size_t>(p.exe_bytes, sizeof(p.text))}), clean, r.tally().events);
  if (fd_ < 0)
    fd_ = open((std::string(session_.directory) + "/index.jsonl").c_str(),
               O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd_ < 0)
    return;
  // One write a line; a torn line on a full disk is skipped by readers.
  const ssize_t written = write(fd_, line.data(), line.size());
  static_cast<void>(written);
}

} // namespace hl
