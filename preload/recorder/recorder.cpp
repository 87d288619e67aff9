// See recorder.h.
#include "recorder.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "platform/clock.h"
#include "trace_names.h"

namespace hl {

namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kDrainIntervalNs = 1000 * kMs;
constexpr uint64_t kShortestSleepNs = 1 * kMs, kLongestSleepNs = 50 * kMs;
constexpr long kLetRunNs = 200'000;
constexpr uint64_t kWorthwhileBytes = 768 * 1024; // of blocks: about 100 k events, one good chunk
constexpr uint64_t kFreshMarkNs = 250 * kMs;
constexpr uint64_t kFirstProcessTimeoutNs = 10'000 * kMs;
constexpr uint32_t kManyMessages = 16;
constexpr uint32_t kSpareBlocks = 64;
constexpr uint32_t kMostKept = 64; // images whose definitions stay in the session file

} // namespace

Recorder::Recorder(SessionFile& session, const RecorderSettings& settings)
    : session_(session), settings_(settings), shop_{.session = session,
                                                    .codec = ChunkCodec(settings.zstd_level),
                                                    .encoder = {},
                                                    .zstd_level = settings.zstd_level,
                                                    .restarts = settings.restarts,
                                                    .cpu_before_ns = settings.cpu_before_ns},
      sampler_(session.header(), [this] { session_.wake_recorder(); }),
      scans_(session.header(), settings.scans, sampler_,
             [this](ProcessRecording& r) {
               const uint64_t ticks = stamp_unordered();
               discover_blocks();
               r.drain(ticks);
               return r.ready_for_scan();
             }),
      index_(session.header()), supervised_(settings.control_fd >= 0) {
  root_ended_ = !supervised_;
  started_ns_ = now_ns_ = idle_since_ns_ = sys::clock_ns(CLOCK_MONOTONIC);
  cgroups_ = find_memory_mount(read_small_file("/proc/self/mountinfo"));
  own_group_.look(cgroups_, read_small_file("/proc/self/cgroup"), read_small_file);
  SessionHeader& h = session_.header();
  h.recorder_generation.fetch_add(1, std::memory_order_relaxed);
  h.recorder_pid.store(static_cast<uint32_t>(getpid()), std::memory_order_relaxed);
  h.recorder_state.store(static_cast<uint32_t>(RecorderState::running), std::memory_order_release);
}

void Recorder::run() {
  while (pass()) {
    // Whoever waits for room has been served, or cannot be: it needs the processor, not another pass.
    const bool in_vain =
        drained_bytes_ == 0 && session_.header().space_waiters.load(std::memory_order_relaxed) != 0;
    // A wake that comes between a pass and the sleep is missed.
    if (scans_.busy()) {
      scans_.sleep(kShortestSleepNs);
    } else if (in_vain) {
      const timespec moment{0, kLetRunNs};
      nanosleep(&moment, nullptr);
    } else {
      session_.sleep_until_pressed(sampler_.is_asked() ? kShortestSleepNs : sleep_ns_);
    }
  }
  SessionHeader& h = session_.header();
  h.recorder_state.store(static_cast<uint32_t>(RecorderState::finished), std::memory_order_release);
  if (kept_ == 0)
    session_.unlink_file();
  ControlMessage m;
  m.kind = ControlKind::finished;
  m.processes = session_.header().totals.images.load(std::memory_order_relaxed);
  m.good = kept_ == 0 ? 1 : 0;
  send_message(settings_.control_fd, m);
}

bool Recorder::pass() {
  now_ns_ = sys::clock_ns(CLOCK_MONOTONIC);
  drained_bytes_ = 0;
  session_.header().recorder_heartbeat.fetch_add(1, std::memory_order_relaxed);
  read_control();
  // Before looking for blocks: see ProcessRecording::low_water.
  const uint64_t pass_ticks = stamp_unordered();
  session_.header().coarse_clock.store(pass_ticks, std::memory_order_relaxed);
  discover_blocks();
  drain_all(pass_ticks);
  take_samples();
  go_on_with_scans();
  if (now_ns_ >= next_end_check_ns_) {
    notice_ends();
    next_end_check_ns_ = now_ns_ + 2 * kMs;
    many_messages_since_ns_ = 0;
    // After all that ended with the root were closed too.
    if (root_complete_)
      send_root_complete();
  }
  if (now_ns_ >= next_housekeeping_ns_) {
    expected_.forget_ended();
    for (auto& r : recordings_) {
      if (r->trace() == nullptr)
        r->open_trace(names_of(*r));
      search_for(*r);
      r->housekeep(now_ns_);
      watch_memory_of(*r);
      look_at_group_of(*r);
      write_usage(*r, false);
    }
    next_housekeeping_ns_ = now_ns_ + 1000 * kMs;
  }
  extend_ahead();
  plan_sleep();
  if (!recordings_.empty() || !root_ended_)
    return true;
  if (!any_seen_ && !supervised_)
    return now_ns_ - started_ns_ < kFirstProcessTimeoutNs;
  return expected_.any_left(session_.header().path, now_ns_);
}

void Recorder::read_control() {
  bool closed = false;
  uint32_t received = 0;
  while (const auto m = receive_message(settings_.control_fd, closed)) {
    received++;
    switch (m->kind) {
    case ControlKind::root_started:
      root_pid_ = static_cast<uint32_t>(m->child.pid);
      session_.header().root_pid.store(root_pid_, std::memory_order_relaxed);
      break;
    case ControlKind::root_ended:
      root_ended_ = true;
      [[fallthrough]];
    case ControlKind::reaped:
      reaped_[static_cast<uint32_t>(m->child.pid)] = m->child;
      break;
    default:
      break;
    }
  }
  if (closed)
    root_ended_ = true;
  // The channel was full, for we stood still: the supervisor has more ends to tell of, now that there is
  // room. Or there are so many ends: then these cannot wait for long.
  if (received < kManyMessages)
    return;
  if (many_messages_since_ns_ == 0)
    many_messages_since_ns_ = now_ns_;
  if (now_ns_ - many_messages_since_ns_ < 100 * kMs)
    next_end_check_ns_ = now_ns_ + 20 * kMs;
}

ProcessRecording* Recorder::recording_of(const BlockHeader& block) {
  for (auto& r : recordings_)
    if (r->slot() == block.process_slot && r->generation() == block.process_generation)
      return r.get();
  return nullptr;
}

void Recorder::discover_blocks() {
  const uint32_t words = (session_.blocks_available() + 63) / 64;
  std::vector<uint32_t> found;
  for (uint32_t word = 0; word < words; word++) {
    uint64_t fresh = session_.taken_word(word) & ~shop_.known_blocks[word];
    for (; fresh != 0; fresh &= fresh - 1)
      found.push_back(word * 64 + static_cast<uint32_t>(__builtin_ctzll(fresh)));
  }
  const auto kind_of = [this](uint32_t index) {
    // Acquire: pairs with the taker's release; the rest of the header is visible.
    return static_cast<BlockKind>(session_.block(index)->kind.load(std::memory_order_acquire));
  };
  for (const uint32_t index : found)
    if (kind_of(index) == BlockKind::process && adopt_process(index))
      shop_.know(index);
  for (const uint32_t index : found) {
    const BlockKind kind = kind_of(index);
    if (kind == BlockKind::nodes || kind == BlockKind::modules)
      shop_.know(index);
    if (kind != BlockKind::event)
      continue;
    ProcessRecording* const r = recording_of(*session_.block(index));
    if (r == nullptr)
      continue;
    r->add_event_block(index);
    shop_.know(index);
  }
}

void Recorder::locate(ProcessRecording& r) {
  std::vector<uint32_t> other_pids;
  const SessionProcess& p = r.process();
  for (const auto& other : recordings_)
    if (other.get() != &r &&
        (p.image_number == 0 || std::memcmp(other->process().uuid, p.parent_uuid, sizeof p.parent_uuid) != 0))
      other_pids.push_back(other->watch().pid());
  r.locate(root_pid_, std::move(other_pids));
}

// One that was hidden. A look at every process of the machine: in one percent of the time, or, when it is
// being waited for, in ten.
void Recorder::search_for(ProcessRecording& r) {
  const uint64_t began_ns = sys::clock_ns(CLOCK_MONOTONIC);
  if (r.located() || began_ns < next_search_ns_)
    return;
  locate(r);
  const uint64_t ended_ns = sys::clock_ns(CLOCK_MONOTONIC);
  next_search_ns_ = ended_ns + (root_ended_ ? 10 : 100) * (ended_ns - began_ns);
}

// false: not ready yet, or nothing that can be a process.
bool Recorder::adopt_process(uint32_t index) {
  const auto& p = *reinterpret_cast<const SessionProcess*>(session_.block(index));
  if (p.header.process_slot >= kMaxProcesses ||
      session_.process_entry(p.header.process_slot).load(std::memory_order_acquire) != index + 1 ||
      p.state.load(std::memory_order_acquire) < static_cast<uint32_t>(ProcessState::running))
    return false;
  // The application may have been quicker than the supervisor's message: which trace gets FILE's name hangs
  // on it.
  if (root_pid_ == 0 && supervised_ && !root_ended_)
    return false;
  if (root_pid_ == 0 && !any_seen_ && !supervised_)
    session_.header().root_pid.store(root_pid_ = p.pid, std::memory_order_relaxed);
  any_seen_ = true;
  auto r = std::make_unique<ProcessRecording>(shop_, index);
  locate(*r);
  r->open_trace(names_of(*r));
  expected_.arrived(r->watch().pid());
  index_.add(*r, "started", false);
  watch_memory_of(*r);
  if (r->is_root())
    look_at_group_of(*r);
  if ((r->counted().fetch_or(kImageCounted, std::memory_order_relaxed) & kImageCounted) == 0)
    session_.header().totals.images.fetch_add(1, std::memory_order_relaxed);
  recordings_.push_back(std::move(r));
  next_housekeeping_ns_ = 0;
  return true;
}

TraceNames Recorder::names_of(const ProcessRecording& recording) const {
  return choose_trace_names(session_.header(), recording, recordings_);
}

void Recorder::drain_all(uint64_t pass_ticks) {
  const SessionHeader& h = session_.header();
  const uint32_t limit = h.event_block_limit.load(std::memory_order_relaxed);
  const bool pressed = h.space_waiters.load(std::memory_order_relaxed) != 0 ||
                       (limit != 0 && h.event_blocks.load(std::memory_order_relaxed) * 2 >= limit);
  const bool due = now_ns_ >= next_drain_ns_, marks_due = now_ns_ >= next_mark_drain_ns_;
  marks_wait_ = false;
  for (auto& r : recordings_) {
    // Acquire: pairs with the release of who set it; the mark is committed. A storm of marks is drained a
    // hundred times a second, and wakes nobody meanwhile.
    std::atomic<uint32_t>& marks = r->process_for_marks().marks_waiting;
    const bool has_mark = marks.load(std::memory_order_relaxed) != 0;
    const bool marked = has_mark && marks_due && marks.exchange(0, std::memory_order_acquire) != 0;
    marks_wait_ |= has_mark && !marked;
    if (marked)
      next_mark_drain_ns_ = now_ns_ + 10 * kMs;
    const uint64_t pending = r->pending_bytes();
    if (pending == 0 && !due)
      continue;
    if (!due && !pressed && !marked && pending < kWorthwhileBytes)
      continue;
    r->drain(pass_ticks);
    note_mark(*r);
    drained_bytes_ += pending;
    if (pending >= kWorthwhileBytes)
      processor_.reconsider(r->watch().pid(), now_ns_);
    expect_children(*r);
  }
  if (due)
    next_drain_ns_ = now_ns_ + kDrainIntervalNs;
}

// A map for the newest mark, if it is fresh: a mark that lay in a block while nobody drained tells of another
// moment.
void Recorder::note_mark(ProcessRecording& r) {
  const uint64_t ticks = std::exchange(r.tally().mark_ticks, 0);
  if (ticks == 0 || !sampler_.samples_by_itself() || scans_.pending(r))
    return;
  const std::string& name = r.tally().mark;
  if (const std::string sampled = std::exchange(r.tally().sampled_mark, {}); !name.empty() && sampled == name)
    return;
  const ClockPair &started = r.started(), now = read_clock_pair();
  const bool counts = static_cast<ClockKind>(r.process().clock_kind) != ClockKind::logical;
  if (name.starts_with("heapledger: ") ||
      (counts && ticks > started.ticks && now.monotonic_ns > started.monotonic_ns &&
       static_cast<double>(now.ticks - ticks) / static_cast<double>(now.ticks - started.ticks) *
               static_cast<double>(now.monotonic_ns - started.monotonic_ns) >
           static_cast<double>(kFreshMarkNs)))
    return;
  sampler_.ask(r.generation(), {.cause = SampleCause::mark, .name = name, .optional = true});
}

void Recorder::watch_memory_of(ProcessRecording& r) {
  if (r.watch().pid() != 0 && !sampler_.has(r.generation()) && !r.watch().ended())
    sampler_.add(r.generation(), r.watch(), r.process(), r.started().monotonic_ns);
}

// Which may change at any time.
void Recorder::look_at_group_of(ProcessRecording& r) {
  if (r.watch().pid() != 0 && !r.watch().ended())
    r.group_oom_kills().look(cgroups_, read_small_file(fmt::format("/proc/{}/cgroup", r.watch().pid())),
                             read_small_file);
}

void Recorder::take_samples() {
  for (TakenSample& sample : sampler_.collect()) {
    const auto r = std::find_if(recordings_.begin(), recordings_.end(),
                                [&sample](const auto& x) { return x->generation() == sample.process; });
    if (r == recordings_.end())
      continue;
    scans_.before_append(**r, sample);
    bool written = false;
    if (sample.good && younger_image(**r) == nullptr) {
      (*r)->begin_trace();
      written = (*r)->append_sample(sample);
    }
    scans_.sampled(**r, sample, written);
  }
}

ProcessRecording* Recorder::younger_image(ProcessRecording& r) const {
  const auto younger = std::find_if(recordings_.begin(), recordings_.end(), [&r](const auto& other) {
    return r.watch().pid() != 0 && other->watch().pid() == r.watch().pid() &&
           other->generation() > r.generation();
  });
  return younger == recordings_.end() ? nullptr : younger->get();
}

// The longer a process lives, the more of its counters go into one chunk; `all`: it ends.
void Recorder::write_usage(ProcessRecording& r, bool all) {
  const uint64_t age_ns = now_ns_ - std::min(now_ns_, r.started().monotonic_ns);
  if (!all && now_ns_ < r.next_usage_ns())
    return;
  r.next_usage_ns() = now_ns_ + std::clamp(age_ns / 100, 2000 * kMs, 30'000 * kMs);
  r.append_usage(sampler_.collect_usage(r.generation(), 1));
  SamplingPayload stats = sampler_.stats(r.generation());
  if (stats.payload_header_bytes == 0) {
    // It could not even be found in /proc.
    stats.payload_header_bytes = sizeof stats;
    stats.budget_millionths = session_.header().sample_budget_millionths;
    std::fill(std::begin(stats.refused), std::end(stats.refused), 1);
  }
  r.write_sampling(stats);
}

void Recorder::go_on_with_scans() {
  // By number: a scan's flush may find new processes.
  for (size_t i = 0; i < recordings_.size(); i++) {
    ProcessRecording& r = *recordings_[i];
    scans_.poll(r, now_ns_);
    const uint64_t since_ns = scans_.keeps_from_ending_since_ns(r);
    if (!r.is_root() || !scans_.pending(r) || now_ns_ < next_scan_notice_ns_ ||
        (!root_ended_ && since_ns == 0))
      continue;
    ControlMessage m;
    m.kind = ControlKind::scanning;
    m.waited_ns = root_ended_ ? 0 : now_ns_ - since_ns;
    send_message(settings_.control_fd, m);
    next_scan_notice_ns_ = now_ns_ + 1000 * kMs;
  }
}

void Recorder::notice_ends() {
  for (size_t i = 0; i < recordings_.size();) {
    ProcessRecording& r = *recordings_[i];
    if (scans_.pending(r)) {
      if (r.watch().ended())
        r.note_end();
      i++;
      continue;
    }
    const ProcessRecording* const younger = younger_image(r);
    const auto state = static_cast<ProcessState>(r.process().state.load(std::memory_order_acquire));
    if (younger != nullptr)
      finish(i, younger->process().image_number > r.process().image_number, false);
    else if (r.ended(now_ns_, root_ended_))
      finish(i, state == ProcessState::execing, true);
    else
      i++;
  }
}

ProcessEnd Recorder::end_of(ProcessRecording& recording, bool replaced_by_exec) {
  ProcessEnd end;
  const auto set_status = [&end](int status) {
    end.how = WIFSIGNALED(status) ? 2 : 1;
    end.code = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
  };
  // Not of one that had the pid before.
  if (const auto it = reaped_.find(recording.watch().pid());
      it != reaped_.end() &&
      (!recording.clocks_agree() || it->second.at_ns >= recording.started().monotonic_ns)) {
    set_status(it->second.status);
    // Of the whole process: its last image's, then.
    if (!replaced_by_exec) {
      end.user_ns = it->second.user_ns;
      end.system_ns = it->second.system_ns;
      end.peak_rss_bytes = it->second.peak_rss_bytes;
      reaped_.erase(it);
    }
  } else if (const auto status = recording.watch().exit_status()) {
    set_status(*status);
  } else if (const auto noted = recording.noted_exit_status()) {
    set_status(*noted);
  } else if (recording.tally().exit_seen) {
    end.how = recording.tally().exit_kind == 3 ? 2 : 1;
    end.code = recording.tally().exit_kind == 3 ? 6 /* SIGABRT */ : recording.tally().exit_status & 0xff;
  }
  if (replaced_by_exec) {
    end.how = 3;
    end.code = -1;
  }
  // Files of /proc and /sys: not for each child that came to a good end.
  if (recording.is_root() || end.how == 0 || end.how == 2) {
    const auto kills = recording.group_oom_kills().since(cgroups_, read_small_file);
    end.oom_kills = kills ? *kills : own_group_.since(cgroups_, read_small_file).value_or(0);
  }
  return end;
}

// `was_last`: of its process; what replaced it by exec, if anything, was not recorded.
void Recorder::finish(size_t index, bool replaced_by_exec, bool was_last) {
  // The root's status is about to come from the supervisor: its next message is awaited for a moment.
  if (recordings_[index]->is_root() && supervised_ && (was_last || !replaced_by_exec)) {
    const uint64_t until = now_ns_ + 200 * kMs;
    while (!root_ended_ && sys::clock_ns(CLOCK_MONOTONIC) < until) {
      const timespec moment{0, 200'000};
      nanosleep(&moment, nullptr);
      read_control();
    }
  }
  // Blocks that were taken after this pass looked.
  discover_blocks();
  const std::unique_ptr<ProcessRecording> r = std::move(recordings_[index]);
  recordings_.erase(recordings_.begin() + static_cast<long>(index));
  if (r->trace() == nullptr)
    r->open_trace(names_of(*r));
  // Its last event may be what tells how it ended.
  r->drain_to_end();
  // Processes that found no room in the session have nobody else to tell.
  if (r->is_root() || root_ended_)
    r->count_loss(LossCause::process_slots,
                  session_.header().unrecorded_processes.exchange(0, std::memory_order_relaxed));
  write_usage(*r, true);
  sampler_.remove(r->generation());
  const ProcessEnd end = end_of(*r, replaced_by_exec);
  const bool good = r->finish(end);
  expect_children(*r);
  // Events are drained in any case; stack nodes and modules that could not be written are kept, for the
  // analyzer reads trace and session file as one. Without any trace they would explain nothing.
  const bool keep = !good && r->trace() != nullptr && kept_ < kMostKept;
  if (keep) {
    kept_++;
    r->uncount_what_stays();
  }
  count_end(*r, end, keep);
  index_.add(*r, "ended", good);
  if (r->is_root() && (was_last || !replaced_by_exec))
    note_root_complete(*r, end, good);
  // Last: from here on another process may take the block that process() is in.
  if (!keep)
    r->release_blocks();
}

// An image is counted once, whatever recorder dies at which moment; one that is kept is its successor's to
// finish, and to count.
void Recorder::count_end(ProcessRecording& r, const ProcessEnd& end, bool kept) {
  RunTotals& totals = session_.header().totals;
  const uint64_t lost = r.lost_events(), lost_disk_full = r.lost_events(LossCause::disk_full);
  if (kept) {
    kept_lost_ += lost;
    kept_lost_disk_full_ += lost_disk_full;
    return;
  }
  if ((r.counted().fetch_or(kEndCounted, std::memory_order_relaxed) & kEndCounted) != 0)
    return;
  totals.lost.fetch_add(lost, std::memory_order_relaxed);
  totals.lost_disk_full.fetch_add(lost_disk_full, std::memory_order_relaxed);
  const auto count_unrecorded = [&totals](uint32_t programs, const std::string& path) {
    totals.unrecorded.fetch_add(programs, std::memory_order_relaxed);
    std::strncpy(totals.unrecorded_path, path.c_str(), sizeof(totals.unrecorded_path) - 1);
  };
  if (r.tally().unrecorded_children != 0)
    count_unrecorded(r.tally().unrecorded_children, r.tally().unrecorded_child.path);
  if (end.how == 3 && r.tally().unrecorded_errno != 0)
    count_unrecorded(1, r.tally().unrecorded_path);
}

void Recorder::note_root_complete(ProcessRecording& r, const ProcessEnd& end, bool good) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto ns = [](const timeval& t) {
    return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_usec) * 1000;
  };
  ControlMessage m;
  m.kind = ControlKind::root_complete;
  m.child.pid = static_cast<int32_t>(r.watch().pid());
  m.good = good ? 1 : 0;
  m.events = r.tally().events;
  m.allocations = r.tally().allocations;
  m.frees = r.tally().frees;
  m.bytes_requested = r.tally().bytes_requested;
  m.trace_bytes = r.trace() == nullptr ? 0 : r.trace()->bytes();
  m.recorder_cpu_ns = settings_.cpu_before_ns + ns(usage.ru_utime) + ns(usage.ru_stime);
  m.recorder_rss_bytes = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
  m.waits = r.process().waits.load(std::memory_order_relaxed);
  m.waited_ns = r.process().waited_ns.load(std::memory_order_relaxed);
  m.oom_kills = end.oom_kills;
  m.restarts = settings_.restarts;
  m.write_error = r.write_error();
  if (r.end_scan()) {
    m.scan_way = r.end_scan()->way;
    m.scan_failure = r.end_scan()->failure;
    m.scan_ns = r.end_scan()->duration_ns;
    std::copy(std::begin(r.end_scan()->class_blocks), std::end(r.end_scan()->class_blocks), m.class_blocks);
    std::copy(std::begin(r.end_scan()->class_bytes), std::end(r.end_scan()->class_bytes), m.class_bytes);
    std::strncpy(m.scan_reason, r.end_scan_reason().c_str(), sizeof(m.scan_reason) - 1);
  }
  m.set_text(r.trace() == nullptr ? "" : r.trace()->path().c_str());
  root_complete_ = m;
}

void Recorder::send_root_complete() {
  const RunTotals& totals = session_.header().totals;
  root_complete_->processes = totals.images.load(std::memory_order_relaxed);
  // Of all that was recorded so far: a loss in a child is one too.
  root_complete_->lost = totals.lost.load(std::memory_order_relaxed) + kept_lost_;
  root_complete_->lost_disk_full =
      totals.lost_disk_full.load(std::memory_order_relaxed) + kept_lost_disk_full_;
  for (const auto& r : recordings_) {
    root_complete_->lost += r->lost_events();
    root_complete_->lost_disk_full += r->lost_events(LossCause::disk_full);
  }
  root_complete_->still_recording = static_cast<uint32_t>(recordings_.size());
  root_complete_->unrecorded = totals.unrecorded.load(std::memory_order_relaxed);
  static_assert(sizeof totals.unrecorded_path == sizeof root_complete_->unrecorded_path);
  std::memcpy(root_complete_->unrecorded_path, totals.unrecorded_path, sizeof totals.unrecorded_path);
  send_message(settings_.control_fd, *root_complete_);
  root_complete_.reset();
}

void Recorder::expect_children(ProcessRecording& recording) {
  const SessionHeader& h = session_.header();
  if ((h.flags & kSessionNoFollow) == 0 && recording.process().pid_namespace == h.pid_namespace)
    for (const uint32_t pid : recording.tally().forked)
      if (std::none_of(recordings_.begin(), recordings_.end(),
                       [pid](const auto& r) { return r->watch().pid() == pid; }))
        expected_.expect(pid, now_ns_);
  recording.tally().forked.clear();
}

void Recorder::extend_ahead() {
  SessionHeader& h = session_.header();
  // Each living thread may hold a block that stays half empty; only what goes beyond that is on its way.
  uint32_t held = 0;
  for (const auto& r : recordings_)
    held += r->held_blocks();
  const uint32_t limit = settings_.pool_bytes / kBlockBytes + 2 * held;
  const bool raised = limit > h.event_block_limit.exchange(limit, std::memory_order_relaxed);
  const uint32_t events = h.event_blocks.load(std::memory_order_relaxed);
  const uint32_t taken = h.blocks_taken.load(std::memory_order_relaxed);
  const uint32_t others = taken > events ? taken - events : 0;
  const uint32_t wanted = limit + others + others / 4 + kSpareBlocks;
  const bool needed = wanted > session_.blocks_available();
  const bool extended = needed && session_.extend_to(wanted);
  // Relaxed: who waits looks again after each slice of its wait.
  h.cannot_extend.store(needed && !extended ? 1 : 0, std::memory_order_relaxed);
  if (raised || extended)
    session_.wake_waiters();
}

// As long as a quarter of the pool lasts at the rate of this pass; ever longer while nothing comes.
void Recorder::plan_sleep() {
  const SessionHeader& h = session_.header();
  uint64_t pending = drained_bytes_;
  for (const auto& r : recordings_)
    pending += r->pending_bytes();
  const uint64_t room = uint64_t{h.event_block_limit.load(std::memory_order_relaxed)} * kBlockBytes / 4;
  if (pending > 16 * 1024)
    idle_since_ns_ = now_ns_;
  if (pending > room / 2)
    sleep_ns_ = kShortestSleepNs;
  else if (pending > room / 8)
    sleep_ns_ = std::min(sleep_ns_, 4 * kMs);
  else
    sleep_ns_ = std::min(sleep_ns_ * 2, now_ns_ - idle_since_ns_ < 500 * kMs ? 8 * kMs : kLongestSleepNs);
  // A program that ends as soon as it began is not kept waiting for our next look.
  if (supervised_ && now_ns_ - started_ns_ < 100 * kMs)
    sleep_ns_ = kShortestSleepNs;
  if (marks_wait_)
    sleep_ns_ =
        std::min(sleep_ns_, next_mark_drain_ns_ - std::min(now_ns_, next_mark_drain_ns_) + kShortestSleepNs);
  // The supervisor waits for the root's trace.
  if (root_ended_ && supervised_ &&
      std::any_of(recordings_.begin(), recordings_.end(), [](const auto& r) { return r->is_root(); }))
    sleep_ns_ = kShortestSleepNs;
}

} // namespace hl
