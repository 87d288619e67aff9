// The parts of a trace that are not events: who was recorded, clocks, mappings, losses, and how it ended.
// Members of ProcessRecording; see process_recording.h.
#include <algorithm>
#include <cstring>

#include <elf.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "boot_id.h"
#include "platform/clock.h"
#include "process_recording.h"
#include "recorder_version.h"

namespace hl {

namespace {

template <typename T> void put_bytes(std::vector<uint8_t>& out, const T& value) {
  const auto* p = reinterpret_cast<const uint8_t*>(&value);
  out.insert(out.end(), p, p + sizeof(T));
}

void put_property(std::vector<uint8_t>& out, HeaderTag tag, std::string_view text) {
  put_bytes(out, static_cast<uint16_t>(tag));
  put_bytes(out, uint16_t{0});
  put_bytes(out, static_cast<uint32_t>(text.size()));
  out.insert(out.end(), text.begin(), text.end());
}

template <size_t N> std::string_view text_of(const char (&text)[N]) {
  return {text, strnlen(text, N)};
}

} // namespace

bool ProcessRecording::write_header() {
  const SessionHeader& session = shop_.session.header();
  HeaderPayload h{};
  h.header_bytes = sizeof(h);
  h.pid = process_.pid;
  h.global_pid = process_.global_pid.load(std::memory_order_relaxed);
  h.parent_pid = process_.parent_pid;
  h.image_number = process_.image_number;
#if defined(__x86_64__)
  h.architecture = EM_X86_64;
#elif defined(__aarch64__)
  h.architecture = EM_AARCH64;
#endif
  h.pointer_bytes = sizeof(void*);
  h.clock_kind = process_.clock_kind;
  h.page_bytes = session.page_bytes;
  h.usable_predictor = process_.usable_predictor;
  h.heap_kind = process_.heap_kind;
  h.module_epoch_source = process_.module_epoch_source;
  h.is_root = is_root_ ? 1 : 0;
  h.session_flags = session.flags;
  h.pid_namespace = known_pid_namespace(process_.pid_namespace);
  h.fork_ticks = process_.fork_ticks;
  std::memcpy(h.parent_uuid, process_.parent_uuid, sizeof(h.parent_uuid));
  std::memcpy(h.boot_id, session.boot_id, sizeof(h.boot_id));
  h.started = started_;

  std::vector<uint8_t> payload;
  put_bytes(payload, h);
  std::string_view text(process_.text, sizeof(process_.text));
  const auto take = [&text](uint32_t bytes) {
    const std::string_view taken = text.substr(0, bytes);
    text.remove_prefix(taken.size());
    return taken;
  };
  put_property(payload, HeaderTag::executable, take(process_.exe_bytes));
  const std::string_view argv = take(process_.argv_bytes);
  if ((session.flags & kSessionPrivateArgv) == 0)
    put_property(payload, HeaderTag::argv, argv);
  put_property(payload, HeaderTag::working_directory, take(process_.cwd_bytes));
  utsname system;
  if (uname(&system) == 0) {
    put_property(payload, HeaderTag::host, text_of(system.nodename));
    put_property(payload, HeaderTag::kernel, std::string(text_of(system.sysname)) + " " + system.release);
  }
  put_property(payload, HeaderTag::session_path, text_of(session.path));
  put_property(payload, HeaderTag::recorder_version, kRecorderVersion);
  put_property(payload, HeaderTag::name, text_of(session.name));
  return trace_->append({.kind = ChunkKind::header, .count = 1, .essential = true}, payload);
}

bool ProcessRecording::write_clock() {
  std::vector<ClockPair> pairs = {started_};
  // A process may end within a microsecond: the rate of its clock is that since the session began.
  if (clocks_agree_)
    pairs.push_back(shop_.session.header().created);
  pairs.push_back(read_clock_pair());
  std::vector<uint8_t> payload;
  for (const ClockPair& pair : pairs)
    put_bytes(payload, pair);
  return trace_->append({.kind = ChunkKind::clock,
                         .first_ticks = started_.ticks,
                         .last_ticks = pairs.back().ticks,
                         .count = pairs.size()},
                        payload);
}

bool ProcessRecording::write_maps() {
  const std::string text = watch_.maps();
  if (text.empty())
    return true;
  const uint64_t ticks = stamp_unordered();
  std::vector<uint8_t> payload;
  put_bytes(payload, MapsPayload{ticks, text.size()});
  shop_.codec.compress({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, payload);
  return trace_->append({.kind = ChunkKind::maps, .first_ticks = ticks, .last_ticks = ticks, .count = 1},
                        payload);
}

bool ProcessRecording::write_losses() {
  LossesPayload p{};
  p.payload_header_bytes = sizeof(p);
  bool changed = losses_written_[kLossCauses] == 0;
  for (uint32_t i = 0; i < kLossCauses; i++) {
    p.losses[i] = process_.losses[i].load(std::memory_order_relaxed);
    changed |= p.losses[i] != losses_written_[i];
  }
  for (uint32_t i = 0; i < kWalkEnds; i++)
    p.walk_ends[i] = process_.walk_ends[i].load(std::memory_order_relaxed);
  p.waits = process_.waits.load(std::memory_order_relaxed);
  p.waited_ns = process_.waited_ns.load(std::memory_order_relaxed);
  // While it runs only losses are news; at the end the whole is written.
  const bool ended = watch_.ended();
  if (!changed && !ended)
    return true;
  std::vector<uint8_t> payload;
  put_bytes(payload, p);
  if (!trace_->append({.kind = ChunkKind::losses, .count = 1}, payload))
    return false;
  std::copy(std::begin(p.losses), std::end(p.losses), losses_written_);
  losses_written_[kLossCauses] = 1;
  return true;
}

bool ProcessRecording::ready_for_scan() {
  if (trace_ == nullptr || trace_->closed() || !header_written_)
    return false;
  wrote(write_losses());
  return lost_events(LossCause::disk_full) == 0;
}

bool ProcessRecording::append_scan(const LeakScanPayload& head, std::span<const uint8_t> payload) {
  if (head.cause == static_cast<uint8_t>(ScanCause::exit) ||
      head.cause == static_cast<uint8_t>(ScanCause::abort) ||
      head.cause == static_cast<uint8_t>(ScanCause::signal)) {
    end_scan_ = head;
    const std::span<const uint8_t> reason = payload.subspan(head.payload_header_bytes + head.name_bytes);
    end_scan_reason_.assign(reinterpret_cast<const char*>(reason.data()), head.reason_bytes);
  }
  return trace_ != nullptr && !trace_->closed() && header_written_ &&
         wrote(trace_->append({.kind = ChunkKind::snapshot,
                               .first_ticks = head.ticks,
                               .last_ticks = head.ticks,
                               .count = head.block_count},
                              payload));
}

bool ProcessRecording::append_sample(const TakenSample& sample) {
  // What was looked at may be the next image already.
  const auto state = static_cast<ProcessState>(process_.state.load(std::memory_order_acquire));
  if (state == ProcessState::execing || state == ProcessState::drained)
    return false;
  const bool written = trace_ != nullptr && !trace_->closed() && header_written_ &&
                       trace_->has_room(sample.payload.size()) &&
                       wrote(trace_->append({.kind = ChunkKind::residency,
                                             .first_ticks = sample.ticks,
                                             .last_ticks = sample.end_ticks,
                                             .count = 1},
                                            sample.payload));
  samples_not_written_ += written ? 0 : 1;
  return written;
}

bool ProcessRecording::append_usage(std::span<const UsageRow> rows) {
  if (rows.empty())
    return true;
  begin_trace(); // a new image may be looked at before it has made an event
  const std::vector<uint8_t> payload = usage_payload(rows, shop_.codec);
  const bool written = trace_ != nullptr && !trace_->closed() && header_written_ &&
                       trace_->has_room(payload.size()) &&
                       wrote(trace_->append({.kind = ChunkKind::usage,
                                             .first_ticks = rows.front().ticks,
                                             .last_ticks = rows.back().ticks,
                                             .count = rows.size()},
                                            payload));
  samples_not_written_ += written ? 0 : 1;
  return written;
}

bool ProcessRecording::write_sampling(const SamplingPayload& stats) {
  if (stats.payload_header_bytes == 0 || trace_ == nullptr || trace_->closed() || !header_written_)
    return true;
  SamplingPayload p = stats;
  for (size_t i = 0; i < std::size(p.taken); i++) {
    p.taken[i] += sampling_before_.taken[i];
    p.cpu_ns[i] += sampling_before_.cpu_ns[i];
    p.refused[i] += sampling_before_.refused[i];
    p.failed[i] += sampling_before_.failed[i];
  }
  for (size_t i = 0; i < std::size(p.causes); i++)
    p.causes[i] += sampling_before_.causes[i];
  p.postponed += sampling_before_.postponed;
  p.not_written = samples_not_written_ + sampling_before_.not_written;
  p.own_unlisted_bytes = process_.own_memory_unlisted.load(std::memory_order_relaxed);
  if (std::memcmp(&p, &sampling_written_, sizeof p) == 0)
    return true;
  std::vector<uint8_t> payload;
  put_bytes(payload, p);
  if (!wrote(trace_->append({.kind = ChunkKind::sampling, .count = 1}, payload)))
    return false;
  sampling_written_ = p;
  return true;
}

void ProcessRecording::note_end() {
  if (!noted_exit_status_)
    noted_exit_status_ = watch_.exit_status();
}

bool ProcessRecording::write_threads() {
  std::vector<uint8_t> payload;
  std::vector<std::pair<uint32_t, ThreadTally>> threads(threads_.begin(), threads_.end());
  std::sort(threads.begin(), threads.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [index, thread] : threads) {
    const auto name = tally_.names.find(thread.tid);
    const std::string_view text = name == tally_.names.end() ? std::string_view() : name->second;
    const size_t padding = (8 - text.size() % 8) % 8;
    ThreadEntry e{};
    e.entry_bytes = static_cast<uint32_t>(sizeof(e) + text.size() + padding);
    e.thread_index = index;
    e.tid = thread.tid;
    e.name_bytes = static_cast<uint32_t>(text.size());
    e.first_ticks = thread.events == 0 ? 0 : thread.first_ticks;
    e.last_ticks = thread.last_ticks;
    e.events = thread.events;
    put_bytes(payload, e);
    payload.insert(payload.end(), text.begin(), text.end());
    payload.insert(payload.end(), padding, 0);
  }
  return trace_->append({.kind = ChunkKind::threads, .count = threads.size()}, payload);
}

bool ProcessRecording::write_unwind_check() {
  if ((shop_.session.header().flags & kSessionCheckUnwind) == 0)
    return true;
  UnwindCheckPayload p{};
  p.walks = process_.check_walks.load(std::memory_order_relaxed);
  for (size_t i = 0; i < 8; i++)
    p.differences[i] = process_.check_differences[i].load(std::memory_order_relaxed);
  p.text_bytes = std::min<uint64_t>(process_.check_text_bytes.load(std::memory_order_acquire),
                                    sizeof(process_.check_text));
  std::vector<uint8_t> payload;
  put_bytes(payload, p);
  payload.insert(payload.end(), process_.check_text, process_.check_text + p.text_bytes);
  return trace_->append({.kind = ChunkKind::unwind_check, .count = 1}, payload);
}

bool ProcessRecording::write_status(const ProcessEnd& end) {
  ProcessStatusPayload p{};
  p.payload_header_bytes = sizeof(p);
  p.how = end.how;
  p.code = end.code;
  p.oom_kills = end.oom_kills;
  p.ended = read_clock_pair();
  p.user_ns = end.user_ns;
  p.system_ns = end.system_ns;
  p.peak_rss_bytes = end.peak_rss_bytes;
  const bool unrecorded = end.how == 3 && tally_.unrecorded_errno != 0;
  p.unrecorded_errno = unrecorded ? static_cast<uint32_t>(tally_.unrecorded_errno) : 0;
  p.unrecorded_bytes = unrecorded ? static_cast<uint32_t>(tally_.unrecorded_path.size()) : 0;
  p.unrecorded_children = tally_.unrecorded_children;
  p.unrecorded_child_errno = static_cast<uint32_t>(tally_.unrecorded_child.error);
  p.unrecorded_child_bytes = static_cast<uint32_t>(tally_.unrecorded_child.path.size());
  std::vector<uint8_t> payload;
  put_bytes(payload, p);
  payload.insert(payload.end(), tally_.unrecorded_path.begin(),
                 tally_.unrecorded_path.begin() + p.unrecorded_bytes);
  payload.insert(payload.end(), tally_.unrecorded_child.path.begin(), tally_.unrecorded_child.path.end());
  return trace_->append({.kind = ChunkKind::process, .count = 1}, payload);
}

bool ProcessRecording::write_recorder_stats() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto ns = [](const timeval& t) {
    return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_usec) * 1000;
  };
  RecorderStatsPayload p{};
  p.payload_header_bytes = sizeof(p);
  p.restarts = shop_.restarts;
  p.cpu_ns = shop_.cpu_before_ns + ns(usage.ru_utime) + ns(usage.ru_stime);
  p.peak_rss_bytes = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
  p.events = tally_.events;
  p.raw_bytes = raw_bytes_;
  p.stored_bytes = trace_->bytes();
  p.bytes_requested = tally_.bytes_requested;
  p.zstd_level = static_cast<uint32_t>(shop_.zstd_level);
  std::vector<uint8_t> payload;
  put_bytes(payload, p);
  return trace_->append({.kind = ChunkKind::recorder, .count = 1}, payload);
}

} // namespace hl
