// The columns of an events chunk: how the recorder turns decoded events into streams that compress well, and
// how the analyzer turns them back. Both ends run the same predictors over what has been coded so far, so
// that only surprises are written; both start empty with each chunk, so that every chunk decodes alone.
//
//   op        one byte an event (kind, and which prediction was right):
//               0..191   (((k * 2 + size_hit) * 2 + usable_given) * 4 + stack) * 3 + address
//                        k: 0 malloc 1 calloc 2 realloc 3 aligned; stack: 0..2 candidate, 3 written
//                        address: 0 most recently freed block of the size class (realloc: the old address)
//                                 1 next to the previous allocation that was not predicted (realloc: as 0 of
//                                 malloc) 2 written
//               192..206 free: 192 + stack * 3 + address; stack: 0..2 candidate, 3 written, 4 none
//                        address: 0 distance written (in allocations of this chunk) 1 as predicted 2 written
//               207..210 extended: 207 + stack
//   time      one value an event: ticks since the previous event of the segment (the first: its base)
//   address   values: distances of frees. Tail: written addresses, LEB128 of pack_address against the
//             previous address of the segment (the first: its base)
//   stack     tail only: LEB128 zigzag(stack - previous stack of the segment)
//   size      values: requested sizes that differ from the last size asked for at the same stack
//   extra     tail only, in this order where the event has it: usable given: LEB128 zigzag(usable -
//   predicted);
//             realloc: LEB128 ticks - ticks_before, then the old block: LEB128 0 no old block, 1 written
//             (LEB128 of pack_address against the previous address follows), 1 + distance; aligned: LEB128
//             alignment
//   extended  tail only: one byte ExtendedKind, LEB128 payload bytes, payload
//
// A column with values: first the low bytes of all values, then all high bytes, then its tail. A value of
// 0xffff stands for a larger one, which follows in the tail as LEB128. Low and high bytes apart let the
// entropy stage work where there is something to gain: a time's low byte is noise, its high byte is not.
//
// A block is named by how many allocations ago it was allocated, so the reader of a free learns its
// allocation without looking its address up (freed_ordinal). What must not happen here: a difference between
// the states of the two ends. Every update is in ColumnModel, which both use; the encoder's address table
// only searches. The decoder trusts nothing: every read is bounded, and what cannot be ends it with
// damaged().
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "heapledger/block_events.h"
#include "heapledger/event.h"
#include "heapledger/event_column_model.h"
#include "heapledger/events_payload.h"
#include "heapledger/trace_format.h"

namespace hl {

// One finished column: up to three parts that stand one after the other in the file.
struct RawColumn {
  ColumnId id;
  uint32_t values;
  std::span<const uint8_t> parts[3];
  size_t raw_bytes() const { return parts[0].size() + parts[1].size() + parts[2].size(); }
};

class EventColumnsEncoder {
 public:
  EventColumnsEncoder() : ordinals_(kSearchSlots) {}
  EventColumnsEncoder(const EventColumnsEncoder&) = delete; // its buffers hold pointers into themselves
  EventColumnsEncoder& operator=(const EventColumnsEncoder&) = delete;

  void reset(UsablePredictor predictor) {
    model_.reset(predictor);
    segments_.clear();
    for (SplitColumn* c : {&time_, &address_, &size_})
      c->clear();
    for (Bytes* b : {&op_, &stack_, &extra_, &extended_})
      b->clear();
    room_events_ = 0;
    first_ticks_ = ~uint64_t{0};
    last_ticks_ = 0;
  }

  // The bases and names of a segment; its `events` is counted here.
  void begin_segment(const EventSegment& segment) {
    segments_.push_back(segment);
    segments_.back().events = 0;
    model_.begin_segment(segment);
  }

  // Events of the current segment in their order. Addresses are below 2^57.
  void add(const Event& e);
  // The same, without cover(), which the caller owes before the segment ends.
  void add_plain(const PlainEvent& e);
  // Of `events` events of the current segment, between these times.
  void cover(uint32_t events, uint64_t first_ticks, uint64_t last_ticks);
  // Fetches what add() of an event with this address will look at; worth while some ten events ahead, and
  // again some five ahead.
  void prefetch(uint64_t address) const { __builtin_prefetch(&ordinals_[search_slot(address)]); }
  void prefetch_deeper(uint64_t address) const { model_.prefetch(ordinals_[search_slot(address)]); }

  std::span<EventSegment> segments() { return segments_; }
  uint32_t events() const { return static_cast<uint32_t>(op_.size()); }
  size_t raw_bytes() const {
    return op_.size() + time_.raw_bytes() + address_.raw_bytes() + size_.raw_bytes() + stack_.size() +
           extra_.size() + extended_.size();
  }
  uint64_t first_ticks() const { return first_ticks_; }
  uint64_t last_ticks() const { return last_ticks_; }
  std::array<RawColumn, 7> columns() const {
    return {RawColumn{ColumnId::op, events(), {op_.span(), {}, {}}},
            time_.column(ColumnId::time),
            address_.column(ColumnId::address),
            RawColumn{ColumnId::stack, 0, {stack_.span(), {}, {}}},
            size_.column(ColumnId::size),
            RawColumn{ColumnId::extra, 0, {extra_.span(), {}, {}}},
            RawColumn{ColumnId::extended, 0, {extended_.span(), {}, {}}}};
  }

 private:
  // Appended to without checks: reserve() has made room for the most an event may add.
  class Bytes {
   public:
    void clear() { end_ = data_.data(); }
    void reserve(size_t more) {
      const size_t used = size();
      if (data_.size() - used >= more)
        return;
      data_.resize(used + more + data_.size() / 2);
      end_ = data_.data() + used;
    }
    size_t size() const { return static_cast<size_t>(end_ - data_.data()); }
    std::span<const uint8_t> span() const { return {data_.data(), size()}; }
    void push_back(uint8_t b) { *end_++ = b; }
    void put_leb(uint64_t v) { end_ = block_codec::put_leb(end_, v); }
    // The same bytes; for values whose length cannot be foretold.
    void put_address(uint64_t v) {
      end_ = v >> 56 == 0 ? block_codec::put_short_leb(end_, v) : block_codec::put_leb(end_, v);
    }
    void append(const uint8_t* bytes, size_t count) {
      if (count != 0)
        std::memcpy(end_, bytes, count);
      end_ += count;
    }

   private:
    std::vector<uint8_t> data_;
    uint8_t* end_ = data_.data();
  };
  static void put_leb(Bytes& out, uint64_t v) { out.put_leb(v); }
  struct SplitColumn {
    std::vector<uint8_t> low, high;
    size_t values = 0;
    Bytes tail;
    void clear() {
      values = 0;
      tail.clear();
    }
    void reserve(size_t more_values, size_t more_tail) {
      if (low.size() - values < more_values) {
        low.resize(values + more_values + low.size() / 2);
        high.resize(low.size());
      }
      tail.reserve(more_tail);
    }
    void put(uint64_t v) { put_if(true, v); }
    // Without a branch, but for large values.
    void put_if(bool wanted, uint64_t v) {
      const uint32_t short_value = v < 0xffff ? static_cast<uint32_t>(v) : 0xffff;
      low[values] = static_cast<uint8_t>(short_value);
      high[values] = static_cast<uint8_t>(short_value >> 8);
      values += wanted;
      if (wanted && short_value == 0xffff) [[unlikely]]
        put_leb(tail, v);
    }
    size_t raw_bytes() const { return 2 * values + tail.size(); }
    RawColumn column(ColumnId id) const {
      return {id, static_cast<uint32_t>(values), {{low.data(), values}, {high.data(), values}, tail.span()}};
    }
  };
  static constexpr uint32_t kRoomEvents = 1024;
  static constexpr size_t kMostBytesPerEvent =
      60; // in any one stream, but for the payload of extended events
  void make_room() {
    for (SplitColumn* c : {&time_, &address_, &size_})
      c->reserve(kRoomEvents, kRoomEvents * kMostBytesPerEvent);
    for (Bytes* b : {&op_, &stack_, &extra_, &extended_})
      b->reserve(kRoomEvents * kMostBytesPerEvent);
    room_events_ = kRoomEvents;
  }

  // Where an address was allocated last in this chunk, as far as the small table remembers. Only a search
  // aid: a wrong or forgotten entry costs bytes, never correctness, since the model is asked whether it
  // agrees.
  static constexpr uint32_t kSearchSlots = 65536;
  static size_t search_slot(uint64_t address) { return (address * 0x9e3779b97f4a7c15u) >> 48; }
  uint64_t find_ordinal(uint64_t address) const {
    const uint64_t ordinal = ordinals_[search_slot(address)];
    return model_.known(ordinal) && model_.address_of(ordinal) == address ? ordinal : 0;
  }

  void put_time(uint64_t ticks);
  void add_free(uint64_t freed, StackId freed_by);
  template <bool Plain>
  void add_allocation(EventKind event_kind, uint64_t block, uint64_t size, StackId made_by, uint64_t usable,
                      const Event& e);
  uint64_t put_old_block(const Event& e);

  unsigned code_stack(unsigned kind, StackId stack) {
    auto& context = model_.stack_context(kind);
    // The first candidate that it is, in arithmetic: which one cannot be foretold.
    static_assert(ColumnModel::kStackCandidates == 3);
    const unsigned not_0 = context.candidates[0] != stack, not_1 = not_0 & (context.candidates[1] != stack),
                   rank = not_0 + not_1 + (not_1 & (context.candidates[2] != stack));
    if (rank == ColumnModel::kStackCandidates) [[unlikely]]
      put_leb(stack_, zigzag(static_cast<int64_t>(stack) - static_cast<int64_t>(model_.cursor().stack)));
    model_.stack_seen(context, rank, stack);
    return rank;
  }

  ColumnModel model_;
  std::vector<uint32_t> ordinals_;
  std::vector<EventSegment> segments_;
  SplitColumn time_, address_, size_;
  Bytes op_, stack_, extra_, extended_;
  uint32_t room_events_ = 0;
  uint64_t first_ticks_ = ~uint64_t{0}, last_ticks_ = 0;
};

inline void EventColumnsEncoder::cover(uint32_t events, uint64_t first_ticks, uint64_t last_ticks) {
  segments_.back().events += events;
  first_ticks_ = first_ticks < first_ticks_ ? first_ticks : first_ticks_;
  last_ticks_ = last_ticks > last_ticks_ ? last_ticks : last_ticks_;
}

inline void EventColumnsEncoder::put_time(uint64_t ticks) {
  if (room_events_ == 0) [[unlikely]]
    make_room();
  room_events_--;
  time_.put(ticks - model_.cursor().ticks);
  model_.cursor().ticks = ticks;
}

inline void EventColumnsEncoder::add_plain(const PlainEvent& e) {
  put_time(e.ticks);
  if (e.kind == EventKind::free)
    add_free(e.address, e.stack);
  else
    add_allocation<true>(e.kind, e.address, e.size, e.stack, 0, {});
}

inline void EventColumnsEncoder::add_free(uint64_t freed, StackId freed_by) {
  using namespace column_codec;
  const unsigned stack =
      freed_by == 0 ? kNoStack : code_stack(static_cast<unsigned>(EventKind::free), freed_by);
  unsigned address = 0;
  const uint64_t ordinal = find_ordinal(freed);
  if (ordinal == 0) {
    address = 2;
    address_.tail.put_address(block_codec::pack_address(freed, model_.cursor().address));
    model_.freed_unknown(freed);
  } else {
    address = ordinal == model_.predicted_freed();
    address_.put_if(address == 0, model_.next_ordinal() - ordinal);
    model_.freed(ordinal);
  }
  op_.push_back(static_cast<uint8_t>(kFreeOps + stack * 3 + address));
}

// Plain: of predicted usable size, and neither realloc nor aligned.
template <bool Plain>
inline void EventColumnsEncoder::add_allocation(EventKind event_kind, uint64_t block, uint64_t size,
                                                StackId made_by, uint64_t usable, const Event& e) {
  const unsigned kind = static_cast<unsigned>(event_kind);
  const bool is_realloc = !Plain && event_kind == EventKind::realloc;
  const unsigned kind_code = !Plain && event_kind == EventKind::aligned ? 3 : kind - 1;
  const unsigned stack = code_stack(kind, made_by);
  uint64_t& usual_size = model_.size_of_stack(made_by);
  const bool size_hit = usual_size == size;
  size_.put_if(!size_hit, size);
  usual_size = size;
  const uint64_t predicted = predict_usable(model_.predictor(), size);
  bool usable_given = false;
  uint64_t first_guess = 0;
  if constexpr (Plain) {
    usable = predicted;
  } else {
    usable_given = usable != predicted;
    if (usable_given)
      put_leb(extra_, zigzag(static_cast<int64_t>(usable - predicted)));
    if (is_realloc)
      first_guess = put_old_block(e);
    else if (event_kind == EventKind::aligned)
      put_leb(extra_, e.alignment);
  }
  const uint64_t recent = model_.recently_freed(size);
  if (!is_realloc)
    first_guess = recent;
  const uint64_t second_guess = is_realloc ? recent : model_.bump();
  // 0 if the first guess was right, 1 if the second was, else 2.
  const unsigned address = (2u - (block == second_guess)) & (unsigned{block == first_guess} - 1);
  if (address == 2)
    address_.tail.put_address(block_codec::pack_address(block, model_.cursor().address));
  const bool was_recent = is_realloc ? address == 1 : address == 0;
  ordinals_[search_slot(block)] = static_cast<uint32_t>(model_.next_ordinal());
  model_.allocated(block, size, usable, was_recent, !(is_realloc && address == 0) && !was_recent);
  op_.push_back(
      static_cast<uint8_t>((((kind_code * 2 + size_hit) * 2 + usable_given) * 4 + stack) * 3 + address));
}

// What a realloc says of the old block; returns its address.
inline uint64_t EventColumnsEncoder::put_old_block(const Event& e) {
  put_leb(extra_, e.ticks - e.ticks_before);
  if (e.old_address == 0) {
    put_leb(extra_, 0);
  } else if (const uint64_t ordinal = find_ordinal(e.old_address); ordinal != 0) {
    put_leb(extra_, 1 + model_.next_ordinal() - ordinal);
    if (e.old_address != e.address)
      model_.freed(ordinal);
  } else {
    put_leb(extra_, 1);
    put_leb(extra_, block_codec::pack_address(e.old_address, model_.cursor().address));
  }
  return e.old_address;
}

inline void EventColumnsEncoder::add(const Event& e) {
  using namespace column_codec;
  cover(1, e.ticks_before, e.ticks);
  put_time(e.ticks);
  if (e.kind == EventKind::free) {
    add_free(e.address, e.stack);
  } else if (e.kind == EventKind::extended) {
    op_.push_back(static_cast<uint8_t>(kExtendedOps + code_stack(static_cast<unsigned>(e.kind), e.stack)));
    extended_.reserve(kRoomEvents * kMostBytesPerEvent + e.payload_bytes);
    extended_.push_back(static_cast<uint8_t>(e.extended_kind));
    put_leb(extended_, e.payload_bytes);
    extended_.append(e.payload, e.payload_bytes);
  } else {
    add_allocation<false>(e.kind, e.address, e.size, e.stack, e.usable, e);
  }
}

class EventColumnsDecoder {
 public:
  // What one column says after decompression.
  struct Column {
    uint32_t values = 0;
    std::span<const uint8_t> raw;
  };

  // Columns by ColumnId, e.g. columns[size_t(ColumnId::op)]; those of the payload that are missing stay
  // empty. All spans must outlive the decoding, and the payload bytes of extended events point into them.
  // false: damaged.
  bool begin(std::span<const EventSegment> segments, const std::array<Column, 8>& columns,
             UsablePredictor predictor) {
    damaged_ = false;
    segments_ = segments;
    segment_ = ~size_t{0};
    left_ = 0;
    model_.reset(predictor);
    uint64_t events = 0;
    for (const EventSegment& s : segments)
      events += s.events;
    const auto column = [&columns](ColumnId id) -> const Column& { return columns[static_cast<size_t>(id)]; };
    op_ = column(ColumnId::op).raw.data();
    stack_ = tail_of(column(ColumnId::stack).raw, 0);
    extra_ = tail_of(column(ColumnId::extra).raw, 0);
    extended_ = tail_of(column(ColumnId::extended).raw, 0);
    if (column(ColumnId::op).raw.size() != events || column(ColumnId::time).values != events ||
        !time_.begin(column(ColumnId::time)) || !address_.begin(column(ColumnId::address)) ||
        !size_.begin(column(ColumnId::size)))
      return !(damaged_ = true);
    return true;
  }

  // The next event, segments one after the other. false: at the end, or damaged().
  bool next(Event& e) {
    while (left_ == 0) {
      if (damaged_ || segment_ + 1 >= segments_.size()) {
        if (!damaged_)
          segment_ = segments_.size() - 1;
        return false;
      }
      segment_++;
      left_ = segments_[segment_].events;
      thread_index_ = segments_[segment_].thread_index;
      flags_ = (segments_[segment_].flags & kBlockNested) != 0 ? uint16_t{kEventNested} : uint16_t{0};
      model_.begin_segment(segments_[segment_]);
    }
    left_--;
    return decode(e);
  }

  bool damaged() const { return damaged_; }
  // Index of the segment the last event belongs to.
  size_t segment() const { return segment_; }
  // Of the last event: its place among this chunk's allocations (from 1), if it allocated ...
  uint64_t allocated_ordinal() const { return allocated_ordinal_; }
  // ... and the place of the allocation that it freed (free, realloc), if that was in this chunk; else 0.
  uint64_t freed_ordinal() const { return freed_ordinal_; }

 private:
  struct Tail {
    const uint8_t* p = nullptr;
    const uint8_t* end = nullptr;
    bool get(uint64_t& v) {
      if (p != end && *p < 0x80) {
        v = *p++;
        return true;
      }
      const uint8_t* after = block_codec::get_leb(p, end, &v);
      if (after == nullptr)
        return false;
      p = after;
      return true;
    }
  };
  static Tail tail_of(std::span<const uint8_t> raw, size_t from) {
    return {raw.data() + from, raw.data() + raw.size()};
  }
  struct SplitColumn {
    const uint8_t* low = nullptr;
    const uint8_t* high = nullptr;
    uint32_t left = 0;
    Tail tail;
    bool begin(const Column& c) {
      if (c.raw.size() / 2 < c.values)
        return false;
      left = c.values;
      low = c.raw.data();
      high = low + c.values;
      tail = tail_of(c.raw, size_t{2} * c.values);
      return true;
    }
    bool get(uint64_t& v) {
      if (left == 0)
        return false;
      left--;
      v = *low++ | static_cast<uint32_t>(*high++) << 8;
      return v != 0xffff || tail.get(v);
    }
  };
  bool fail() {
    damaged_ = true;
    left_ = 0;
    return false;
  }
  bool decode(Event& e);
  bool decode_stack(unsigned kind, unsigned rank, StackId& stack) {
    auto& context = model_.stack_context(kind);
    if (rank < ColumnModel::kStackCandidates) {
      stack = context.candidates[rank];
    } else {
      uint64_t delta;
      if (!stack_.get(delta))
        return false;
      stack = static_cast<StackId>(model_.cursor().stack + static_cast<uint64_t>(unzigzag(delta)));
    }
    model_.stack_seen(context, rank, stack);
    return true;
  }

  ColumnModel model_;
  std::span<const EventSegment> segments_;
  size_t segment_ = ~size_t{0};
  uint32_t left_ = 0;
  uint32_t thread_index_ = 0;
  uint16_t flags_ = 0;
  bool damaged_ = false;
  uint64_t allocated_ordinal_ = 0, freed_ordinal_ = 0;
  const uint8_t* op_ = nullptr;
  SplitColumn time_, address_, size_;
  Tail stack_, extra_, extended_;
};

inline bool EventColumnsDecoder::decode(Event& e) {
  using namespace column_codec;
  const Op op = kOpTable[*op_++];
  BlockCursor& cursor = model_.cursor();
  uint64_t delta;
  if (!time_.get(delta))
    return fail();
  cursor.ticks += delta;
  const unsigned kind = static_cast<unsigned>(op.kind);
  e.kind = op.kind;
  e.extended_kind = ExtendedKind::none;
  e.flags = flags_;
  e.thread_index = thread_index_;
  e.stack = 0;
  e.alignment = 0;
  e.ticks = cursor.ticks;
  e.ticks_before = cursor.ticks;
  e.address = 0;
  e.old_address = 0;
  e.size = 0;
  e.usable = 0;
  e.payload = nullptr;
  e.payload_bytes = 0;
  allocated_ordinal_ = 0;
  freed_ordinal_ = 0;

  if (op.kind == EventKind::free) {
    if (op.stack != kNoStack && !decode_stack(kind, op.stack, e.stack))
      return fail();
    if (op.address == 2) {
      uint64_t packed;
      if (!address_.tail.get(packed))
        return fail();
      e.address = block_codec::unpack_address(packed, cursor.address);
      model_.freed_unknown(e.address);
      return true;
    }
    uint64_t ordinal = model_.predicted_freed();
    if (op.address == 0) {
      uint64_t distance;
      if (!address_.get(distance))
        return fail();
      ordinal = model_.next_ordinal() - distance; // wraps where it cannot be: then not known
    }
    if (!model_.known(ordinal))
      return fail();
    e.address = model_.address_of(ordinal);
    model_.freed(ordinal);
    freed_ordinal_ = ordinal;
    return true;
  }
  if (op.kind == EventKind::extended) {
    uint64_t bytes;
    if (!decode_stack(kind, op.stack, e.stack) || extended_.p == extended_.end)
      return fail();
    e.extended_kind = static_cast<ExtendedKind>(*extended_.p++);
    if (!extended_.get(bytes) || bytes > static_cast<uint64_t>(extended_.end - extended_.p))
      return fail();
    e.payload = extended_.p;
    e.payload_bytes = static_cast<uint32_t>(bytes);
    extended_.p += bytes;
    return true;
  }
  if (op.kind == EventKind::none)
    return fail();

  if (!decode_stack(kind, op.stack, e.stack))
    return fail();
  uint64_t& usual_size = model_.size_of_stack(e.stack);
  if (op.size_hit != 0)
    e.size = usual_size;
  else if (!size_.get(e.size))
    return fail();
  usual_size = e.size;
  e.usable = predict_usable(model_.predictor(), e.size);
  if (op.usable_given != 0) {
    if (!extra_.get(delta))
      return fail();
    e.usable += static_cast<uint64_t>(unzigzag(delta));
  }
  const bool is_realloc = op.kind == EventKind::realloc;
  uint64_t freed = 0;
  if (is_realloc) {
    uint64_t old;
    if (!extra_.get(delta) || !extra_.get(old))
      return fail();
    e.ticks_before = e.ticks - delta;
    if (old == 1) {
      if (!extra_.get(delta))
        return fail();
      e.old_address = block_codec::unpack_address(delta, cursor.address);
    } else if (old != 0) {
      freed = model_.next_ordinal() - (old - 1);
      if (!model_.known(freed))
        return fail();
      e.old_address = model_.address_of(freed);
      freed_ordinal_ = freed;
      if (op.address != 0)
        model_.freed(freed);
    }
  } else if (op.kind == EventKind::aligned) {
    if (!extra_.get(delta))
      return fail();
    e.alignment = static_cast<uint32_t>(delta);
  }
  bool was_recent = false;
  if (op.address == 2) {
    if (!address_.tail.get(delta))
      return fail();
    e.address = block_codec::unpack_address(delta, cursor.address);
  } else if (is_realloc && op.address == 0) {
    e.address = e.old_address;
  } else if (is_realloc || op.address == 0) {
    e.address = model_.recently_freed(e.size);
    was_recent = true;
  } else {
    e.address = model_.bump();
  }
  allocated_ordinal_ = model_.next_ordinal();
  model_.allocated(e.address, e.size, e.usable, was_recent, !(is_realloc && op.address == 0) && !was_recent);
  return true;
}

} // namespace hl
