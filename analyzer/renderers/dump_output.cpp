// See dump_output.h.
#include "renderers/dump_output.h"

#include <algorithm>
#include <charconv>

#include "reader/extended_payload.h"
#include "renderers/text_style.h"

namespace hl {
namespace {

constexpr size_t kBufferBytes = 1u << 18;

} // namespace

DumpOutput::DumpOutput(const Trace& trace, DumpOptions options, std::FILE* out)
    : trace_(trace), options_(std::move(options)), out_(out) {
  buffer_.reserve(kBufferBytes + 4096);
  if (options_.json)
    buffer_ += "{\"events\":[";
}

void DumpOutput::name_field(std::string_view name) {
  if (options_.json) {
    buffer_ += ",\"";
    buffer_ += name;
    buffer_ += "\":";
  } else {
    buffer_ += ' ';
    buffer_ += name;
    buffer_ += '=';
  }
}

void DumpOutput::field(std::string_view name, uint64_t value) {
  char digits[24];
  name_field(name);
  buffer_.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

void DumpOutput::hex_field(std::string_view name, uint64_t value) {
  char digits[24];
  name_field(name);
  buffer_ += options_.json ? "\"0x" : "0x";
  buffer_.append(digits, std::to_chars(digits, digits + sizeof digits, value, 16).ptr);
  if (options_.json)
    buffer_ += '"';
}

void DumpOutput::signed_field(std::string_view name, int64_t value) {
  char digits[24];
  name_field(name);
  buffer_.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

// A word of our own: nothing in it needs quoting.
void DumpOutput::word_field(std::string_view name, std::string_view word) {
  name_field(name);
  if (options_.json)
    buffer_ += '"';
  buffer_ += word;
  if (options_.json)
    buffer_ += '"';
}

// In quotes, with \" and \\ escaped; what cannot be printed becomes '?'.
void DumpOutput::text_field(std::string_view name, std::string_view text) {
  name_field(name);
  buffer_ += '"';
  for (const char c : printable(text)) {
    if (c == '"' || c == '\\')
      buffer_ += '\\';
    buffer_ += c;
  }
  buffer_ += '"';
}

void DumpOutput::frames_field(StackId stack) {
  if (options_.resolver == nullptr || stack == 0)
    return;
  const auto [found, is_new] = frame_texts_.try_emplace(stack);
  if (is_new) {
    for (const ResolvedFrame& frame : options_.resolver->frames(stack)) {
      if (!found->second.empty())
        found->second += " < ";
      found->second += frame.function;
      if (frame.line != 0)
        found->second += " (" + short_path(frame.file) + ":" + std::to_string(frame.line) + ")";
    }
  }
  text_field("frames", found->second);
}

void DumpOutput::begin_line(uint64_t ticks, uint32_t thread, std::string_view kind) {
  char digits[24];
  if (options_.json)
    buffer_ += any_line_ ? ",\n{\"time\":" : "\n{\"time\":";
  else
    buffer_ += "time=";
  buffer_.append(digits, std::to_chars(digits, digits + sizeof digits, trace_.clock().ns(ticks)).ptr);
  field("thread", thread);
  word_field("kind", kind);
  any_line_ = true;
}

void DumpOutput::end_line() {
  if (options_.json)
    buffer_ += '}';
  else
    buffer_ += '\n';
}

bool DumpOutput::wanted(std::string_view kind) const {
  return options_.kinds.empty() ||
         std::find(options_.kinds.begin(), options_.kinds.end(), kind) != options_.kinds.end();
}

void DumpOutput::line(const TraceEvent& event, const EventBatch& batch, uint64_t old_address,
                      uint64_t before_ticks) {
  if (event.ticks < options_.from_ticks || event.ticks > options_.to_ticks)
    return;
  if (event.kind == EventKind::extended) {
    const std::string_view name = name_of(event.extended_kind);
    const std::string other =
        name.empty() ? "extended_" + std::to_string(static_cast<unsigned>(event.extended_kind)) : "";
    if (!wanted(name.empty() ? other : name))
      return;
    begin_line(event.ticks, event.thread_index, name.empty() ? other : name);
    extended_fields(event, batch);
  } else {
    if (!wanted(name_of(event.kind)))
      return;
    begin_line(event.ticks, event.thread_index, name_of(event.kind));
    hex_field("address", event.address);
    if (event.kind != EventKind::free) {
      field("size", event.size);
      field("usable", event.usable);
    }
    if (event.kind == EventKind::aligned)
      field("alignment", event.alignment);
    if (old_address != 0)
      hex_field("old", old_address);
    if (before_ticks != event.ticks)
      field("before", trace_.clock().ns(before_ticks));
  }
  if (event.stack != 0)
    field("stack", event.stack);
  if ((event.flags & kStepNested) != 0)
    field("nested", 1);
  frames_field(event.stack);
  end_line();
}

void DumpOutput::extended_fields(const TraceEvent& event, const EventBatch& batch) {
  const std::span<const uint8_t> payload = batch.payload_of(event);
  const ExtendedKind kind = event.extended_kind;
  MappingCall map;
  ProcessCall call;
  if (is_mapping_kind(kind)) {
    if (!parse_mapping_call(kind, payload, map)) {
      field("damaged", 1);
      return;
    }
    hex_field("address", map.address);
    if (kind != ExtendedKind::brk && kind != ExtendedKind::sbrk)
      field("length", map.length);
    if (kind == ExtendedKind::mremap) {
      hex_field("old", map.old_address);
      field("old_length", map.old_length);
    }
    if (kind == ExtendedKind::mmap || kind == ExtendedKind::mprotect)
      field("prot", map.protection);
    if (kind == ExtendedKind::mmap || kind == ExtendedKind::mremap) {
      hex_field("flags", map.flags);
      field("before", trace_.clock().ns(event.ticks - std::min(event.ticks, map.ticks_before_delta)));
    }
    if (kind == ExtendedKind::mmap) {
      signed_field("fd", map.descriptor);
      field("offset", map.offset);
    }
    if (kind == ExtendedKind::madvise)
      field("advice", map.advice);
    if (kind == ExtendedKind::sbrk)
      signed_field("increment", map.increment);
    if (kind == ExtendedKind::vma_name) {
      signed_field("result", map.kernel_result);
      text_field("name", map.name);
    }
    return;
  }
  if (!parse_process_call(kind, payload, call)) {
    field("payload_bytes", payload.size());
    return;
  }
  switch (kind) {
  case ExtendedKind::thread_start:
    field("tid", call.a);
    hex_field("handle", call.b);
    break;
  case ExtendedKind::thread_name:
    field("tid", call.a);
    text_field("name", call.text);
    break;
  case ExtendedKind::thread_exit:
    field("tid", call.a);
    break;
  case ExtendedKind::fork: {
    static constexpr std::string_view kHow[] = {"fork", "vfork", "clone", "posix_spawn"};
    field("child", call.a);
    word_field("how", call.b < std::size(kHow) ? kHow[call.b] : "unknown");
    break;
  }
  case ExtendedKind::exec:
    text_field("path", call.text);
    break;
  case ExtendedKind::child_exec:
    text_field("path", call.text);
    field("errno", call.a);
    break;
  case ExtendedKind::exec_failed:
  case ExtendedKind::child_exec_failed:
    field("errno", call.a);
    break;
  case ExtendedKind::exit: {
    static constexpr std::string_view kHow[] = {"exit", "_exit", "quick_exit", "abort"};
    signed_field("status", call.signed_value);
    word_field("how", call.b < std::size(kHow) ? kHow[call.b] : "unknown");
    break;
  }
  case ExtendedKind::mark:
    text_field("name", call.text);
    break;
  case ExtendedKind::counter:
    text_field("name", call.text);
    signed_field("value", call.signed_value);
    break;
  case ExtendedKind::lost:
    word_field("cause", name_of(static_cast<LossCause>(std::min<uint64_t>(call.a, kLossCauses))));
    field("count", call.b);
    break;
  case ExtendedKind::trim:
    field("pad", call.a);
    field("result", call.b);
    break;
  default:
    field("value", call.a);
    break;
  }
}

void DumpOutput::flush_held() {
  if (!holding_)
    return;
  holding_ = false;
  split_[held_.thread_index] = held_.ticks;
  if (held_.ticks < options_.from_ticks || held_.ticks > options_.to_ticks || !wanted("realloc"))
    return;
  begin_line(held_.ticks, held_.thread_index, "realloc_begin");
  hex_field("old", held_.address);
  if (held_.stack != 0)
    field("stack", held_.stack);
  end_line();
}

void DumpOutput::write_out() {
  if (std::fwrite(buffer_.data(), 1, buffer_.size(), out_) != buffer_.size())
    failed_ = true;
  buffer_.clear();
}

bool DumpOutput::consume(const EventBatch& batch) {
  for (const TraceEvent& event : batch.events) {
    if (event.ticks > options_.to_ticks) {
      return false;
    }
    if (event.is_release()) {
      if (event.kind != EventKind::realloc)
        continue; // the second half of mmap and mremap says it all
      flush_held();
      held_ = event;
      holding_ = true;
      continue;
    }
    const bool second_half = event.kind == EventKind::realloc && (event.flags & kStepAfterRelease) != 0;
    if (second_half && holding_ && held_.thread_index == event.thread_index) {
      holding_ = false;
      line(event, batch, held_.address, held_.ticks);
    } else {
      flush_held();
      uint64_t before = event.ticks;
      if (second_half)
        before = split_[event.thread_index];
      line(event, batch, 0, before);
    }
    if (buffer_.size() >= kBufferBytes) {
      write_out();
      if (failed_)
        return false; // finish() would fail alike
    }
  }
  return true;
}

void DumpOutput::finish() {
  flush_held();
  if (options_.json)
    buffer_ += "\n]}\n";
  write_out();
  if (std::fflush(out_) != 0)
    failed_ = true;
}

} // namespace hl
