// See process_recording.h. The slowly changing parts of a trace (header, clocks, maps, ends) are written in
// trace_summaries.cpp.
#include "process_recording.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "platform/clock.h"
#include "process_search.h"

namespace hl {

namespace {

constexpr uint64_t kMaxChunkRawBytes = 1u << 20;
// A thread's store of floor_ticks may be delayed in its store buffer; 3 M ticks are about a millisecond.
constexpr uint64_t kFloorMarginTicks = 3'000'000;
constexpr uint64_t kStaleFloorNs = 30'000'000'000;
// Addresses are coded as differences of at most 62 bits; nothing real is wider than 57.
constexpr uint64_t kAddressMask = ~((uint64_t{1} << 57) - 1);

} // namespace

void Workshop::give_back(const std::vector<uint32_t>& indexes) {
  if (indexes.empty())
    return;
  for (const uint32_t index : indexes) {
    known_blocks[index / 64] &= ~(uint64_t{1} << (index % 64));
    session.give_back(index);
  }
  session.wake_waiters();
}

ProcessRecording::ProcessRecording(Workshop& workshop, uint32_t block_index)
    : shop_(workshop), process_(*reinterpret_cast<SessionProcess*>(workshop.session.block(block_index))),
      block_index_(block_index), slot_(process_.header.process_slot), generation_(process_.generation),
      started_(process_.started), definitions_(workshop.session, process_) {
  translate_start();
}

// What it was forked or executed from, while that is recorded.
const SessionProcess* ProcessRecording::origin() const {
  if (process_.parent_slot >= kMaxProcesses)
    return nullptr;
  const uint32_t entry = shop_.session.process_entry(process_.parent_slot).load(std::memory_order_acquire);
  if (entry == 0 || entry > shop_.session.blocks_available())
    return nullptr;
  const auto* const found = reinterpret_cast<const SessionProcess*>(shop_.session.block(entry - 1));
  return std::memcmp(found->uuid, process_.parent_uuid, sizeof found->uuid) == 0 ? found : nullptr;
}

void ProcessRecording::locate(uint32_t root_pid, std::vector<uint32_t> other_pids) {
  const SessionHeader& session = shop_.session.header();
  std::optional<uint32_t> pid = process_.pid;
  if (process_.pid_namespace != session.pid_namespace) {
    const SessionProcess* const from = origin();
    const uint32_t origin_pid = from == nullptr ? 0 : from->global_pid.load(std::memory_order_relaxed);
    if (process_.image_number != 0 && origin_pid != 0)
      pid = origin_pid; // exec keeps it
    else
      pid = find_process({.pid = process_.pid,
                          .pid_namespace = process_.pid_namespace,
                          .born_before_ns = clocks_agree_ ? started_.boottime_ns : 0,
                          .parent = origin_pid,
                          .session_path = session.path,
                          .others = std::move(other_pids)});
  }
  located_ = pid.has_value();
  if (!located_)
    return;
  process_.global_pid.store(*pid, std::memory_order_relaxed);
  watch_.open(*pid, clocks_agree_ ? started_.boottime_ns : 0);
  is_root_ = *pid != 0 && *pid == root_pid;
}

// Its own clocks may be those of a time namespace; its ticks and CLOCK_REALTIME are everybody's.
void ProcessRecording::translate_start() {
  constexpr uint64_t kReadingApartNs = 10'000'000;
  const ClockPair& created = shop_.session.header().created;
  const ClockPair now = read_clock_pair();
  const uint64_t ticks = started_.ticks;
  clocks_agree_ = static_cast<ClockKind>(process_.clock_kind) != ClockKind::logical &&
                  ticks > created.ticks && ticks < now.ticks;
  if (!clocks_agree_)
    return;
  const double share =
      static_cast<double>(ticks - created.ticks) / static_cast<double>(now.ticks - created.ticks);
  const auto translate = [share](uint64_t from, uint64_t to, uint64_t& own) {
    const uint64_t ours = from + static_cast<uint64_t>(share * static_cast<double>(to - from));
    if (std::max(own, ours) - std::min(own, ours) > kReadingApartNs)
      own = ours;
  };
  translate(created.monotonic_ns, now.monotonic_ns, started_.monotonic_ns);
  translate(created.boottime_ns, now.boottime_ns, started_.boottime_ns);
}

// Where its pid cannot be found out nobody tells us of its end: then only a long silence of a process that
// said it is ending, or that outlived what was asked for, is taken for one.
bool ProcessRecording::ended(uint64_t now_ns, bool root_ended) {
  if (located_)
    return watch_.ended();
  constexpr uint64_t kSilenceNs = 30'000'000'000;
  const bool ending =
      process_.state.load(std::memory_order_acquire) == static_cast<uint32_t>(ProcessState::ending);
  return (ending || root_ended) && now_ns > last_commit_ns_ + kSilenceNs;
}

EventBlock* ProcessRecording::event_block(uint32_t index) const {
  return reinterpret_cast<EventBlock*>(shop_.session.block(index));
}

bool ProcessRecording::open_trace(const TraceNames& names) {
  if (trace_ != nullptr)
    return true;
  for (uint32_t attempt = 0;; attempt++) {
    const std::string path = names(attempt);
    if (path.empty())
      return false;
    trace_ = TraceFile::create(path, process_.uuid, shop_.session.header().uuid);
    if (trace_ == nullptr && errno != EEXIST) {
      open_error_ = errno;
      return false;
    }
    if (trace_ == nullptr)
      trace_ = TraceFile::reopen(path, process_.uuid,
                                 [this](const ChunkHeader& chunk, std::span<const uint8_t> payload) {
                                   continue_from(chunk, payload);
                                 });
    if (trace_ == nullptr)
      continue;
    // Blocks that were found before the trace was.
    for (OpenBlock& b : blocks_)
      if (const auto it = drained_before_.find(b.sequence); it != drained_before_.end())
        skip_to(b, it->second);
    return true;
  }
}

void ProcessRecording::continue_from(const ChunkHeader& chunk, std::span<const uint8_t> payload) {
  definitions_.already_written(chunk, payload);
  if (chunk.kind == static_cast<uint16_t>(ChunkKind::sampling) && payload.size() == sizeof sampling_before_)
    std::memcpy(&sampling_before_, payload.data(), sizeof sampling_before_);
  if (chunk.kind == static_cast<uint16_t>(ChunkKind::header))
    header_written_ = true;
  if (chunk.kind != static_cast<uint16_t>(ChunkKind::events) || payload.size() < sizeof(EventsPayload))
    return;
  EventsPayload head;
  std::memcpy(&head, payload.data(), sizeof(head));
  if (head.segment_bytes < sizeof(EventSegment) || head.payload_header_bytes > payload.size())
    return;
  payload = payload.subspan(head.payload_header_bytes);
  for (uint32_t i = 0; i < head.segment_count && payload.size() >= head.segment_bytes; i++) {
    EventSegment s;
    std::memcpy(&s, payload.data(), sizeof(s));
    payload = payload.subspan(head.segment_bytes);
    if (s.process_generation != generation_)
      continue;
    uint32_t& drained = drained_before_[s.sequence];
    drained = std::max(drained, s.to_bytes);
    ThreadTally& thread = threads_[s.thread_index];
    thread.tid = s.tid;
    thread.events += s.events;
    thread.first_ticks = std::min(thread.first_ticks, chunk.first_ticks);
    thread.last_ticks = std::max(thread.last_ticks, chunk.last_ticks);
    tally_.events += s.events;
  }
  announced_low_water_ = std::max(announced_low_water_, head.low_water_ticks);
}

void ProcessRecording::add_event_block(uint32_t index) {
  const EventBlock* const b = event_block(index);
  OpenBlock open{};
  open.index = index;
  open.sequence = b->header.sequence;
  open.tid = b->header.tid;
  open.thread_index = b->header.thread_index;
  open.flags = b->header.flags;
  open.cursor = {b->header.base_ticks, b->header.base_address, 0};
  if (const auto it = drained_before_.find(open.sequence); it != drained_before_.end()) {
    skip_to(open, it->second);
    drained_before_.erase(it);
  }
  blocks_.insert(std::upper_bound(blocks_.begin(), blocks_.end(), open.sequence,
                                  [](uint64_t s, const OpenBlock& x) { return s < x.sequence; }),
                 open);
}

// Decodes what an earlier recorder has written, for the cursor behind it.
void ProcessRecording::skip_to(OpenBlock& block, uint32_t bytes) {
  const EventBlock* const b = event_block(block.index);
  bytes = std::min(bytes, kEventPayloadBytes);
  BlockDecoder decoder(b->payload, b->payload + bytes, {b->header.base_ticks, b->header.base_address, 0},
                       static_cast<UsablePredictor>(process_.usable_predictor));
  Event e;
  block.drained_events = 0;
  while (decoder.next(e))
    block.drained_events++;
  block.damaged = decoder.damaged();
  block.cursor = decoder.cursor();
  block.drained_bytes = bytes;
}

uint64_t ProcessRecording::pending_bytes() const {
  uint64_t bytes = 0;
  for (const OpenBlock& b : blocks_) {
    const uint32_t committed = event_block(b.index)->committed_bytes.load(std::memory_order_relaxed);
    if (committed > b.drained_bytes)
      bytes += committed - b.drained_bytes;
  }
  return bytes;
}

uint32_t ProcessRecording::held_blocks() const {
  return static_cast<uint32_t>(std::count_if(blocks_.begin(), blocks_.end(), [this](const OpenBlock& b) {
    return event_block(b.index)->sealed.load(std::memory_order_relaxed) == 0;
  }));
}

// Below the result no event will come that is not committed now. Two kinds of threads matter: those outside
// our code will take their next stamp after `pass_ticks`; those inside have announced a floor before they
// took a stamp.
uint64_t ProcessRecording::low_water(uint64_t pass_ticks) {
  if (static_cast<ClockKind>(process_.clock_kind) == ClockKind::logical)
    return 0;
  uint64_t low = pass_ticks - kFloorMarginTicks;
  const uint64_t now_ns = sys::clock_ns(CLOCK_MONOTONIC);
  const auto has_newer_block = [this](uint32_t thread_index, uint32_t flags, uint64_t sequence) {
    return std::any_of(blocks_.begin(), blocks_.end(), [&](const OpenBlock& b) {
      return b.thread_index == thread_index && b.flags == flags && b.sequence > sequence;
    });
  };
  for (OpenBlock& b : blocks_) {
    if ((b.flags & kBlockLogicalClock) != 0)
      return 0;
    // Acquire: the committed bytes read afterwards are at least as new.
    const uint64_t floor = event_block(b.index)->floor_ticks.load(std::memory_order_acquire);
    if (floor != b.floor) {
      b.floor = floor;
      b.floor_since_ns = now_ns;
    }
    if (floor == 0 || now_ns - b.floor_since_ns > kStaleFloorNs)
      continue;
    if (b.sealed && has_newer_block(b.thread_index, b.flags, b.sequence))
      continue;
    low = std::min(low, floor - kFloorMarginTicks);
  }
  std::erase_if(left_floors_, [&](const LeftFloor& f) {
    return now_ns - f.since_ns > kStaleFloorNs || has_newer_block(f.thread_index, f.flags, f.sequence);
  });
  for (const LeftFloor& f : left_floors_)
    low = std::min(low, f.floor - kFloorMarginTicks);
  return low;
}

void ProcessRecording::begin_trace() {
  if (trace_ == nullptr || trace_->closed() || header_written_ || !wrote(write_header()))
    return;
  header_written_ = true;
  wrote(write_clock());
}

void ProcessRecording::drain(uint64_t pass_ticks) {
  for (OpenBlock& b : blocks_)
    // Acquire: pairs with the release of the thread that sealed it; its last commit is seen below.
    b.sealed = event_block(b.index)->sealed.load(std::memory_order_acquire) != 0;
  const uint64_t low = low_water(pass_ticks);
  uint64_t pending = 0;
  for (OpenBlock& b : blocks_) {
    // Acquire: pairs with the commit's release; the bytes and the nodes they name are visible.
    b.committed_bytes =
        std::min(event_block(b.index)->committed_bytes.load(std::memory_order_acquire), kEventPayloadBytes);
    if (b.committed_bytes > b.drained_bytes)
      pending += b.committed_bytes - b.drained_bytes;
  }
  if (trace_ != nullptr && !trace_->closed()) {
    begin_trace();
    wrote(definitions_.write(*trace_, shop_.codec));
  }
  if (pending != 0) {
    shop_.encoder.reset(static_cast<UsablePredictor>(process_.usable_predictor));
    for (size_t i = 0; i < blocks_.size(); i++) {
      if (blocks_[i].committed_bytes <= blocks_[i].drained_bytes)
        continue;
      drain_block(blocks_[i]);
      if (shop_.encoder.raw_bytes() >= kMaxChunkRawBytes ||
          shop_.encoder.events() + kEventPayloadBytes / 2 > kMaxEventsPerChunk) {
        // The rest of this pass may be older than `low`.
        flush(announced_low_water_);
        return_drained();
        i = static_cast<size_t>(-1); // blocks_ has changed; what was drained is skipped
      }
    }
    if (low > announced_low_water_)
      announced_low_water_ = low;
    flush(announced_low_water_);
  }
  return_drained();
}

void ProcessRecording::drain_block(OpenBlock& b) {
  const EventBlock* const block = event_block(b.index);
  if (b.damaged) {
    b.drained_bytes = b.committed_bytes;
    return;
  }
  EventSegment segment{};
  segment.process_slot = slot_;
  segment.process_generation = generation_;
  segment.sequence = b.sequence;
  segment.from_bytes = b.drained_bytes;
  segment.to_bytes = b.committed_bytes;
  segment.tid = b.tid;
  segment.thread_index = b.thread_index;
  segment.flags = b.flags;
  segment.base_ticks = b.cursor.ticks;
  segment.base_address = b.cursor.address;
  segment.base_stack = b.cursor.stack;
  shop_.encoder.begin_segment(segment);
  BlockDecoder decoder(block->payload + b.drained_bytes, block->payload + b.committed_bytes, b.cursor,
                       static_cast<UsablePredictor>(process_.usable_predictor));
  ThreadTally& thread = threads_[b.thread_index];
  thread.tid = b.tid;
  // Relaxed: stored before the commit that was acquired.
  const uint32_t written = block->events.load(std::memory_order_relaxed);
  // Decoded a little ahead of the encoder, whose tables are larger than the nearest cache.
  constexpr uint32_t kAhead = 12, kDeeperAhead = 6, kRing = 16;
  struct Decoded {
    uint64_t address;
    bool is_plain;
    PlainEvent plain;
    Event event; // if it is not plain
  };
  Decoded ring[kRing];
  uint32_t decoded = 0, events = 0, plain_events = 0;
  uint64_t first_plain_ticks = 0, last_plain_ticks = 0;
  for (bool more = true; more || events < decoded;) {
    if (more) {
      Decoded& d = ring[decoded % kRing];
      d.is_plain = decoder.next_plain(d.plain);
      uint64_t addresses = d.address = d.plain.address;
      if (!d.is_plain) [[unlikely]] {
        more = decoder.next(d.event);
        d.event.thread_index = b.thread_index;
        d.address = d.event.address;
        addresses = d.event.address | d.event.old_address;
      }
      if (more && ((addresses & kAddressMask) != 0 || b.drained_events + decoded >= written)) [[unlikely]] {
        b.damaged = true;
        more = false;
      }
      if (more) {
        shop_.encoder.prefetch(d.address);
        decoded++;
        if (decoded > kDeeperAhead)
          shop_.encoder.prefetch_deeper(ring[(decoded - kDeeperAhead) % kRing].address);
        if (decoded - events < kAhead)
          continue;
      }
      if (events == decoded)
        break;
    }
    const Decoded& d = ring[events % kRing];
    if (events++ == 0)
      thread.first_ticks = std::min(thread.first_ticks, d.is_plain ? d.plain.ticks : d.event.ticks);
    if (d.is_plain) [[likely]] {
      tally_.count(d.plain);
      shop_.encoder.add_plain(d.plain);
      if (plain_events++ == 0)
        first_plain_ticks = d.plain.ticks;
      last_plain_ticks = d.plain.ticks;
    } else {
      tally_.count(d.event);
      shop_.encoder.add(d.event);
    }
  }
  if (plain_events != 0)
    shop_.encoder.cover(plain_events, first_plain_ticks, last_plain_ticks);
  thread.last_ticks = std::max(thread.last_ticks, decoder.cursor().ticks);
  thread.events += events;
  tally_.events += events;
  b.drained_events += events;
  b.unflushed_events += events;
  b.cursor = decoder.cursor();
  b.drained_bytes = b.committed_bytes;
  b.damaged |= decoder.damaged();
  if (b.damaged) {
    // What follows in this block hangs on the bytes that make no sense.
    const uint32_t lost = written > b.drained_events ? written - b.drained_events : 1;
    process_.losses[static_cast<uint32_t>(LossCause::damaged)].fetch_add(lost, std::memory_order_relaxed);
  }
}

void ProcessRecording::flush(uint64_t low_water_ticks) {
  EventColumnsEncoder& encoder = shop_.encoder;
  if (encoder.segments().empty())
    return;
  raw_bytes_ += encoder.raw_bytes();
  const bool good = trace_ != nullptr && !trace_->closed() && header_written_ &&
                    trace_->append({.kind = ChunkKind::events,
                                    .first_ticks = encoder.events() == 0 ? 0 : encoder.first_ticks(),
                                    .last_ticks = encoder.last_ticks(),
                                    .count = encoder.events(),
                                    .essential = true},
                                   shop_.codec.events_payload(encoder, low_water_ticks));
  if (!good)
    process_.losses[static_cast<uint32_t>(LossCause::disk_full)].fetch_add(encoder.events(),
                                                                           std::memory_order_relaxed);
  for (OpenBlock& b : blocks_) {
    if (b.unflushed_events == 0)
      continue;
    b.lost_events = good ? 0 : b.lost_events + b.unflushed_events;
    b.unflushed_events = 0;
  }
  encoder.reset(static_cast<UsablePredictor>(process_.usable_predictor));
}

void ProcessRecording::write_mark(std::string_view name) {
  const auto predictor = static_cast<UsablePredictor>(process_.usable_predictor);
  const bool logical = static_cast<ClockKind>(process_.clock_kind) == ClockKind::logical;
  uint8_t payload[512];
  name = name.substr(0, sizeof(payload) - 10);
  uint8_t* const text = block_codec::put_leb(payload, name.size());
  std::memcpy(text, name.data(), name.size());
  Event e;
  e.kind = EventKind::extended;
  e.extended_kind = ExtendedKind::mark;
  e.payload = payload;
  e.payload_bytes = static_cast<uint32_t>(text - payload + static_cast<ptrdiff_t>(name.size()));
  e.ticks = e.ticks_before =
      logical ? shop_.session.header().logical_clock.fetch_add(1, std::memory_order_acq_rel) : stamp_after();
  // A stretch of a block that there is not: its number is taken, so that nobody else's is mistaken for it.
  EventSegment segment{};
  segment.process_slot = slot_;
  segment.process_generation = generation_;
  segment.sequence = process_.next_block_sequence.fetch_add(1, std::memory_order_relaxed);
  segment.to_bytes = e.payload_bytes;
  segment.flags = logical ? kBlockLogicalClock : 0u;
  segment.base_ticks = e.ticks;
  shop_.encoder.reset(predictor);
  shop_.encoder.begin_segment(segment);
  shop_.encoder.add(e);
  tally_.count(e);
  tally_.events++;
  flush(announced_low_water_);
}

// After flush(): what is sealed and drained is in the trace.
void ProcessRecording::return_drained() {
  std::vector<uint32_t> returned;
  std::erase_if(blocks_, [&](const OpenBlock& b) {
    if (!b.sealed || b.drained_bytes < b.committed_bytes)
      return false;
    if (b.floor != 0)
      left_floors_.push_back({b.thread_index, b.flags, b.sequence, b.floor, b.floor_since_ns});
    returned.push_back(b.index);
    return true;
  });
  shop_.give_back(returned);
}

void ProcessRecording::reclaim_dead_threads() {
  // Only in our own namespace are its threads' numbers those of /proc.
  if (!located_ || process_.pid_namespace != shop_.session.header().pid_namespace)
    return;
  for (OpenBlock& b : blocks_) {
    const uint32_t committed = event_block(b.index)->committed_bytes.load(std::memory_order_relaxed);
    if (committed != b.drained_bytes) {
      b.idle_checks = 0;
      continue;
    }
    if (++b.idle_checks < 2)
      continue;
    // Gone, or its tid belongs to a younger thread by now.
    const bool replaced = std::any_of(blocks_.begin(), blocks_.end(), [&b](const OpenBlock& other) {
      return other.tid == b.tid && other.thread_index > b.thread_index;
    });
    if (!replaced && watch_.has_thread(b.tid))
      continue;
    b.sealed = true;
    b.floor = 0;
    b.committed_bytes = committed;
  }
  return_drained();
}

void ProcessRecording::uncount_what_stays() {
  for (const OpenBlock& b : blocks_)
    process_.losses[static_cast<uint32_t>(LossCause::disk_full)].fetch_sub(b.lost_events,
                                                                           std::memory_order_relaxed);
}

uint64_t ProcessRecording::lost_events() const {
  uint64_t lost = 0;
  for (const auto& count : process_.losses)
    lost += count.load(std::memory_order_relaxed);
  return lost;
}

void ProcessRecording::housekeep(uint64_t now_ns) {
  if (last_commit_ns_ == 0 || tally_.events != events_at_housekeeping_)
    last_commit_ns_ = now_ns;
  events_at_housekeeping_ = tally_.events;
  reclaim_dead_threads();
  // Every block an earlier recorder had begun has been found by now.
  if (trace_ != nullptr)
    drained_before_.clear();
  if (trace_ == nullptr || trace_->closed() || !header_written_)
    return;
  wrote(definitions_.write_unloaded(*trace_));
  if (now_ns >= next_clock_ns_) {
    wrote(write_clock());
    next_clock_ns_ = now_ns + 10'000'000'000;
  }
  const bool ending =
      process_.state.load(std::memory_order_acquire) == static_cast<uint32_t>(ProcessState::ending);
  const uint32_t modules = process_.module_count.load(std::memory_order_relaxed);
  if (now_ns >= next_maps_ns_ &&
      (modules != maps_modules_ || next_maps_ns_ == 0 || ending || tally_.maps_changed)) {
    wrote(write_maps());
    maps_modules_ = modules;
    tally_.maps_changed = false;
    next_maps_ns_ = now_ns + 5'000'000'000;
  }
  wrote(write_losses());
}

void ProcessRecording::drain_to_end() {
  for (OpenBlock& b : blocks_)
    b.floor_since_ns = 0;
  drain(stamp_unordered() + kFloorMarginTicks);
}

bool ProcessRecording::finish(const ProcessEnd& end) {
  if (trace_ == nullptr || !header_written_)
    return false;
  if (trace_->closed())
    return true;
  bool good = true;
  good &= wrote(definitions_.write(*trace_, shop_.codec));
  good &= wrote(definitions_.write_unloaded(*trace_));
  // An empty chunk of events says that nothing follows.
  shop_.encoder.reset(static_cast<UsablePredictor>(process_.usable_predictor));
  good &= wrote(trace_->append({.kind = ChunkKind::events, .essential = true},
                               shop_.codec.events_payload(shop_.encoder, ~uint64_t{0})));
  good &= wrote(write_threads());
  good &= wrote(write_clock());
  good &= wrote(write_losses());
  good &= wrote(write_unwind_check());
  good &= wrote(write_status(end));
  good &= wrote(write_recorder_stats());
  good &= wrote(trace_->finish(tally_.events));
  return good;
}

void ProcessRecording::release_blocks() {
  SessionFile& session = shop_.session;
  // Its silence alone told of its end: should it live, it must not write into what others were given.
  const bool may_live = !located_ && process_.state.load(std::memory_order_acquire) !=
                                         static_cast<uint32_t>(ProcessState::ending);
  process_.state.store(static_cast<uint32_t>(ProcessState::drained), std::memory_order_release);
  uint32_t mine = block_index_ + 1;
  session.process_entry(slot_).compare_exchange_strong(mine, 0, std::memory_order_acq_rel);
  blocks_.clear();
  if (may_live)
    return;
  std::vector<uint32_t> returned;
  for (uint32_t i = 0; i < session.blocks_available(); i++) {
    if (i == block_index_ || !session.is_taken(i))
      continue;
    const BlockHeader* const b = session.block(i);
    // Acquire: pairs with the taker's release of `kind`; a block without one is being taken by somebody else.
    if (b->kind.load(std::memory_order_acquire) == static_cast<uint32_t>(BlockKind::free) ||
        b->process_slot != slot_ || b->process_generation != generation_)
      continue;
    returned.push_back(i);
  }
  returned.push_back(block_index_);
  shop_.give_back(returned);
}

// A trace that cannot be written is tried again; nothing else is to be done about it here.
bool ProcessRecording::wrote(bool good) {
  return good;
}

} // namespace hl
