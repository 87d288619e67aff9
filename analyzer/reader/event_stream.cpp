// See event_stream.h.
#include "reader/event_stream.h"

#include <zstd.h>

#include <algorithm>
#include <map>

#include "reader/extended_payload.h"

namespace hl {
namespace {

// A chunk claims at most that much; the recorder's have 2^17 events and a few MiB.
constexpr uint32_t kMaxChunkEvents = 1u << 23;
constexpr uint32_t kMaxRawColumnBytes = 128u << 20;

bool decompress(const EventsPayloadView::Column& column, std::vector<uint8_t>& raw) {
  if (column.entry.raw_bytes > kMaxRawColumnBytes)
    return false;
  if (column.entry.compression == 0) {
    if (column.stored.size() != column.entry.raw_bytes)
      return false;
    raw.assign(column.stored.begin(), column.stored.end());
    return true;
  }
  if (column.entry.compression != 1)
    return false;
  raw.resize(column.entry.raw_bytes);
  if (raw.empty())
    return column.stored.empty() || ZSTD_getFrameContentSize(column.stored.data(), column.stored.size()) == 0;
  return ZSTD_decompress(raw.data(), raw.size(), column.stored.data(), column.stored.size()) == raw.size();
}

} // namespace

EventStream::EventStream(const Trace& trace, EventStreamOptions options)
    : trace_(trace), options_(options),
      predictor_(static_cast<UsablePredictor>(trace.metadata().header.usable_predictor)) {
  for (const ChunkPlace& place : trace.event_chunks())
    bytes_total_ += place.payload_bytes;
  if (trace.session() != nullptr) {
    for (const SessionEventBlock& block : trace.session()->event_blocks(*trace.session_image())) {
      coverage_.pin(block.sequence);
      bytes_total_ += block.committed_bytes;
    }
  }
}

void EventStream::push(TimeMerge::Lane& lane, const Event& event) {
  TraceEvent step;
  step.ticks = event.ticks;
  step.address = event.address;
  step.size = event.size;
  step.usable = event.usable;
  step.stack = trace_.nodes().canonical(event.stack);
  step.thread_index = event.thread_index;
  step.alignment = event.alignment;
  step.kind = event.kind;
  step.extended_kind = event.extended_kind;
  step.flags = (event.flags & kEventNested) != 0 ? kStepNested : 0;
  step.reserved = 0;
  if (step.stack == 0 && event.stack != 0) [[unlikely]]
    ++counters_.unknown_stacks;
  ++counters_.events;
  if (event.ticks > counters_.last_ticks)
    counters_.last_ticks = event.ticks;

  if (event.kind == EventKind::realloc && event.old_address != 0) {
    TraceEvent release = step;
    release.ticks = std::min(event.ticks_before, event.ticks);
    release.address = event.old_address;
    release.flags |= kStepRelease;
    lane.push(release);
    step.flags |= kStepAfterRelease;
  } else if (event.kind == EventKind::extended) [[unlikely]] {
    const std::span<const uint8_t> bytes(event.payload, event.payload_bytes);
    step.size = bytes.size();
    MappingCall call;
    const bool replaces =
        (event.extended_kind == ExtendedKind::mremap || event.extended_kind == ExtendedKind::mmap) &&
        parse_mapping_call(event.extended_kind, bytes, call) &&
        (event.extended_kind == ExtendedKind::mremap || (call.flags & kMapFixed) != 0);
    if (replaces) {
      TraceEvent release = step;
      release.ticks = event.ticks - std::min(event.ticks, call.ticks_before_delta);
      release.flags |= kStepRelease;
      release.address = lane.keep_payload(bytes);
      lane.push(release);
      step.flags |= kStepAfterRelease;
    }
    step.address = lane.keep_payload(bytes);
  }
  lane.push(step);
}

void EventStream::decode_chunk(const ChunkPlace& place) {
  ProblemLog& problems = trace_.problems();
  const auto damaged = [&](uint64_t events) {
    counters_.damaged_events += events;
    problems.add(ProblemKind::damaged, place.offset,
                 "the events chunk at byte " + std::to_string(place.offset) + " is damaged; " +
                     std::to_string(events) + " events are missing");
  };
  if (!read_payload(*trace_.file(), place, payload_, problems)) {
    counters_.damaged_events += std::min<uint64_t>(place.count, place.payload_bytes * 8);
    return;
  }
  if (!view_.parse(payload_) || view_.payload.event_count > kMaxChunkEvents) {
    damaged(std::min<uint64_t>(place.count, place.payload_bytes * 8));
    return;
  }
  std::array<EventColumnsDecoder::Column, 8> columns;
  for (const EventsPayloadView::Column& column : view_.columns) {
    if (column.entry.id >= columns.size() || column.entry.codec > kColumnCodecPredicted)
      continue;
    std::vector<uint8_t>& raw = raw_columns_[column.entry.id];
    if (!decompress(column, raw)) {
      damaged(view_.payload.event_count);
      return;
    }
    columns[column.entry.id] = {column.entry.values, raw};
  }
  if (!decoder_.begin(view_.segments, columns, predictor_)) {
    damaged(view_.payload.event_count);
    return;
  }

  size_t segment = ~size_t{0};
  TimeMerge::Lane* lane = nullptr;
  uint32_t skip = 0;
  uint64_t decoded = 0;
  Event event;
  while (decoder_.next(event)) {
    ++decoded;
    if (lane == nullptr || decoder_.segment() != segment) {
      segment = decoder_.segment();
      const EventSegment& s = view_.segments[segment];
      const auto verdict = coverage_.add(s.sequence, s.from_bytes, s.to_bytes, s.events);
      skip = verdict.seen ? s.events : verdict.skip_events;
      if (verdict.seen)
        ++counters_.duplicate_segments;
      if (verdict.overlap_unclear)
        problems.add(ProblemKind::gap, place.offset,
                     "a stretch of block " + std::to_string(s.sequence) +
                         " overlaps another in part; it is left out");
      if (verdict.missing_bytes != 0)
        problems.add(ProblemKind::gap, place.offset,
                     std::to_string(verdict.missing_bytes) + " bytes of block " + std::to_string(s.sequence) +
                         " (thread " + std::to_string(s.tid) + ") are in no chunk");
      lane = &merge_.lane(s.thread_index, (s.flags & kBlockNested) != 0, event.ticks_before);
    }
    if (skip != 0) {
      --skip;
      continue;
    }
    push(*lane, event);
  }
  if (decoder_.damaged())
    damaged(view_.payload.event_count - std::min<uint64_t>(decoded, view_.payload.event_count));
  if (view_.payload.low_water_ticks > low_water_)
    low_water_ = view_.payload.low_water_ticks;
}

bool EventStream::read_next_chunk() {
  const auto& places = trace_.event_chunks();
  while (next_chunk_ < places.size()) {
    const ChunkPlace& place = places[next_chunk_++];
    bytes_done_.fetch_add(place.payload_bytes, std::memory_order_relaxed);
    // Blocks of a session file are compared with what the chunks carry, so then every chunk is needed.
    const bool outside = place.last_ticks < options_.from_ticks || place.first_ticks > options_.to_ticks;
    if (outside && place.last_ticks >= place.first_ticks && trace_.session() == nullptr)
      continue;
    decode_chunk(place);
    return true;
  }
  if (!recovery_added_) {
    recovery_added_ = true;
    if (trace_.session() != nullptr) {
      add_recovery_lanes();
      return true;
    }
  }
  return false;
}

void EventStream::add_recovery_lanes() {
  std::map<std::pair<uint32_t, bool>, std::vector<SessionEventBlock>> by_thread;
  for (const SessionEventBlock& block : trace_.session()->event_blocks(*trace_.session_image()))
    if (coverage_.covered_bytes(block.sequence) < block.committed_bytes)
      by_thread[{block.thread_index, (block.flags & kBlockNested) != 0}].push_back(block);
  for (auto& [thread, blocks] : by_thread) {
    TimeMerge::Lane& lane = merge_.lane(thread.first, thread.second, UINT64_MAX);
    lane.refill = [this, blocks = std::move(blocks), at = size_t{0}](TimeMerge::Lane& own) mutable {
      return refill(own, blocks, at);
    };
  }
}

bool EventStream::refill(TimeMerge::Lane& lane, std::vector<SessionEventBlock>& blocks, size_t& at) {
  if (at == blocks.size())
    return false;
  const SessionEventBlock& block = blocks[at++];
  bytes_done_.fetch_add(block.committed_bytes, std::memory_order_relaxed);
  const uint32_t covered = coverage_.covered_bytes(block.sequence);
  if (!trace_.session()->read_events(block, block_bytes_)) {
    trace_.problems().add(ProblemKind::bad_session, 0,
                          "an event block of the session file could not be read");
    return true;
  }
  const uint8_t* begin = block_bytes_.data();
  BlockDecoder decoder(begin, begin + block_bytes_.size(), block.base, predictor_);
  Event event{};
  while (true) {
    const auto position = static_cast<uint32_t>(decoder.position() - begin);
    if (!decoder.next(event))
      break;
    if (position < covered)
      continue;
    event.thread_index = block.thread_index;
    if ((block.flags & kBlockNested) != 0)
      event.flags |= kEventNested;
    push(lane, event);
    ++counters_.recovered_events;
  }
  if (decoder.damaged())
    trace_.problems().add(ProblemKind::bad_session, 0,
                          "block " + std::to_string(block.sequence) +
                              " of the session file is damaged after byte " +
                              std::to_string(decoder.position() - begin));
  return true;
}

bool EventStream::next(EventBatch& out) {
  out.clear();
  while (out.events.size() < kBatchEvents) {
    if (draining_) {
      // Where nobody says what is final, the oldest of too many leave unordered.
      const bool too_many = merge_.pending() > kMaxPending;
      if (options_.final_only && too_many)
        finished_ = true; // the rest is for whoever wants all
      const bool all = !options_.final_only && (finished_ || !options_.in_order || too_many);
      draining_ = merge_.drain(all ? UINT64_MAX : low_water_, kBatchEvents, out);
      continue;
    }
    if (finished_)
      break;
    finished_ = !read_next_chunk();
    draining_ = true;
  }
  counters_.out_of_order = merge_.out_of_order();
  if (out.events.empty() && options_.in_order && counters_.out_of_order != 0 && finished_)
    trace_.problems().add(ProblemKind::order, 0,
                          std::to_string(counters_.out_of_order) + " events could not be brought into order");
  return !out.events.empty();
}

} // namespace hl
