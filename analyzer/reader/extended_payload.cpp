// See extended_payload.h.
#include "reader/extended_payload.h"

#include "reader/payload_cursor.h"

namespace hl {
namespace {

std::string_view text_of(PayloadCursor& cursor) {
  const uint64_t bytes = cursor.leb();
  const auto taken = cursor.take(bytes);
  return {reinterpret_cast<const char*>(taken.data()), taken.size()};
}

} // namespace

bool is_mapping_kind(ExtendedKind kind) {
  switch (kind) {
  case ExtendedKind::mmap:
  case ExtendedKind::munmap:
  case ExtendedKind::mremap:
  case ExtendedKind::brk:
  case ExtendedKind::sbrk:
  case ExtendedKind::madvise:
  case ExtendedKind::mprotect:
  case ExtendedKind::vma_name:
    return true;
  default:
    return false;
  }
}

bool parse_mapping_call(ExtendedKind kind, std::span<const uint8_t> payload, MappingCall& out) {
  PayloadCursor cursor(payload);
  out = MappingCall{};
  switch (kind) {
  case ExtendedKind::mmap:
    out.address = cursor.leb();
    out.length = cursor.leb();
    out.protection = cursor.leb();
    out.flags = cursor.leb();
    out.descriptor = unzigzag(cursor.leb());
    out.offset = cursor.leb();
    out.ticks_before_delta = cursor.leb();
    break;
  case ExtendedKind::munmap:
    out.address = cursor.leb();
    out.length = cursor.leb();
    break;
  case ExtendedKind::mremap:
    out.old_address = cursor.leb();
    out.old_length = cursor.leb();
    out.address = cursor.leb();
    out.length = cursor.leb();
    out.flags = cursor.leb();
    out.ticks_before_delta = cursor.leb();
    break;
  case ExtendedKind::brk:
    out.address = cursor.leb();
    break;
  case ExtendedKind::sbrk:
    out.increment = unzigzag(cursor.leb());
    out.address = cursor.leb();
    break;
  case ExtendedKind::madvise:
    out.address = cursor.leb();
    out.length = cursor.leb();
    out.advice = cursor.leb();
    break;
  case ExtendedKind::mprotect:
    out.address = cursor.leb();
    out.length = cursor.leb();
    out.protection = cursor.leb();
    break;
  case ExtendedKind::vma_name:
    out.address = cursor.leb();
    out.length = cursor.leb();
    out.kernel_result = unzigzag(cursor.leb());
    out.name = text_of(cursor);
    break;
  default:
    return false;
  }
  return !cursor.failed();
}

bool parse_process_call(ExtendedKind kind, std::span<const uint8_t> payload, ProcessCall& out) {
  PayloadCursor cursor(payload);
  out = ProcessCall{};
  switch (kind) {
  case ExtendedKind::thread_start:
  case ExtendedKind::fork:
  case ExtendedKind::lost:
  case ExtendedKind::trim:
    out.a = cursor.leb();
    out.b = cursor.leb();
    break;
  case ExtendedKind::exit:
    out.signed_value = unzigzag(cursor.leb());
    out.b = cursor.leb();
    break;
  case ExtendedKind::thread_exit:
  case ExtendedKind::exec_failed:
  case ExtendedKind::child_exec_failed:
  case ExtendedKind::tag_push:
  case ExtendedKind::weight:
    out.a = cursor.leb();
    break;
  case ExtendedKind::thread_name:
  case ExtendedKind::child_exec:
    out.a = cursor.leb();
    out.text = text_of(cursor);
    break;
  case ExtendedKind::exec:
  case ExtendedKind::mark:
    out.text = text_of(cursor);
    break;
  case ExtendedKind::counter:
    out.text = text_of(cursor);
    out.signed_value = unzigzag(cursor.leb());
    break;
  default:
    return false;
  }
  return !cursor.failed();
}

std::string_view name_of(EventKind kind) {
  switch (kind) {
  case EventKind::malloc:
    return "malloc";
  case EventKind::calloc:
    return "calloc";
  case EventKind::realloc:
    return "realloc";
  case EventKind::aligned:
    return "aligned";
  case EventKind::free:
    return "free";
  case EventKind::none:
  case EventKind::extended:
    break;
  }
  return "";
}

std::string_view name_of(ExtendedKind kind) {
  static constexpr std::string_view kNames[] = {
      "",        "mmap",       "munmap",           "mremap",       "brk",         "sbrk",
      "madvise", "mprotect",   "vma_name",         "thread_start", "thread_name", "thread_exit",
      "fork",    "exec",       "exec_failed",      "exit",         "mark",        "counter",
      "lost",    "tag_push",   "tag_pop",          "domain_alloc", "domain_free", "weight",
      "trim",    "child_exec", "child_exec_failed"};
  const auto index = static_cast<size_t>(kind);
  return index < std::size(kNames) ? kNames[index] : std::string_view();
}

std::string_view name_of(LossCause cause) {
  static constexpr std::string_view kNames[] = {"pool_exhausted", "no_session",    "thread_state",
                                                "nested_signal",  "forked_midway", "early_boot",
                                                "disk_full",      "damaged",       "process_slots"};
  const auto index = static_cast<size_t>(cause);
  return index < std::size(kNames) ? kNames[index] : std::string_view("other");
}

std::string_view name_of(WalkEnd end) {
  static constexpr std::string_view kNames[] = {"outermost",  "no_rule",   "bad_cfa",
                                                "unreadable", "depth_cap", "frame_pointer_guess",
                                                "node_space", "nested"};
  const auto index = static_cast<size_t>(end);
  return index < std::size(kNames) ? kNames[index] : std::string_view("other");
}

} // namespace hl
