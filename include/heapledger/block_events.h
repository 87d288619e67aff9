// How an event lies in an event block of the session file: written on the event path of the shim, read by
// the recorder and, after a crash, by the analyzer. Built for speed of writing: a two-byte head gives the
// byte lengths of four fields, each stored with one eight-byte store.
//
//   bit  15      12 11    9 8     6 5     3 2     0
//       +----------+-------+-------+-------+-------+
//       |   op     | size  | stack | addr  | time  |     lengths in bytes, 0..7; a field of length 0 is 0
//       +----------+-------+-------+-------+-------+
//   then: time, address, stack, size (little-endian, that many bytes each), then what op adds.
//
//   op       low three bits: EventKind; bit 3: usable size follows (as LEB128) because the prediction is
//   wrong time     ticks since the previous event of this block (the first: since base_ticks); never negative
//   address  zigzag of (address - previous address of this block) (the first: base_address).
//            Divided by 16 before zigzag when both are multiples of 16: then bit 0 of the stored value is 0,
//            else the value is shifted left by one and bit 0 is 1. See pack_address.
//   stack    zigzag of (stack - previous stack of this block); 0 length: the same stack.
//            free without a stack: length 0 and op_free_stack absent; the previous stack is unchanged
//   size     requested bytes
//   realloc adds: LEB128 ticks - ticks_before; LEB128 zigzag(old_address - address)
//   aligned adds: LEB128 alignment
//   free adds nothing; a free that carries a stack has bit 3 of op set (usable is never sent with a free)
//   extended: address length 0; size = bytes that follow: one byte ExtendedKind, then its payload
//
// A reader trusts nothing: BlockDecoder bounds every access and stops at the first thing that cannot be.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "heapledger/event.h"

namespace hl {

inline constexpr uint32_t kMaxShortEventBytes = 2 + 4 * 7 + 4 * 10; // with all extras
inline constexpr uint32_t kMaxExtendedEventBytes = 2 + 3 * 7 + 1 + 512;

// Running state that writer and reader keep alike per block.
struct BlockCursor {
  uint64_t ticks;
  uint64_t address;
  StackId stack;
};

namespace block_codec {

// 1..8: a zero takes a byte, which is cheaper to find out than to spare. Readers accept either.
constexpr unsigned byte_length(uint64_t v) {
  return (63u - static_cast<unsigned>(__builtin_clzll(v | 1))) / 8u + 1;
}
// The stack is often the same as before: no byte then.
constexpr unsigned stack_byte_length(uint64_t v) {
  return v == 0 ? 0 : byte_length(v);
}

// Both addresses multiples of 16 (the usual case): zigzag(delta / 16) * 2; else zigzag(delta) * 2 + 1.
// Deltas are at most 57 bits wide, so a packed value may need more than 7 bytes only for wild addresses;
// those are clamped by the caller (see kMaxPackedAddress).
inline uint64_t pack_address(uint64_t address, uint64_t previous) {
  const int64_t delta = static_cast<int64_t>(address - previous);
  if (((address | previous) & 15) == 0)
    return zigzag(delta >> 4) << 1;
  return (zigzag(delta) << 1) | 1;
}
inline uint64_t unpack_address(uint64_t packed, uint64_t previous) {
  if ((packed & 1) == 0)
    return previous + (static_cast<uint64_t>(unzigzag(packed >> 1)) << 4);
  return previous + static_cast<uint64_t>(unzigzag(packed >> 1));
}
inline constexpr uint64_t kMaxPacked = (uint64_t{1} << 56) - 1;

// LEB128 of a value below 2^56 without a branch on its length, which nobody can foretell; stores eight bytes.
inline uint8_t* put_short_leb(uint8_t* p, uint64_t v) {
  // Seven bits into each byte, by halves.
  uint64_t x = (v & 0x0fffffff) | (v & 0x00fffffff0000000) << 4;
  x = (x & 0x00003fff00003fff) | (x & 0x0fffc0000fffc000) << 2;
  x = (x & 0x007f007f007f007f) | (x & 0x3f803f803f803f80) << 1;
  const unsigned more =
      (63u - static_cast<unsigned>(__builtin_clzll(v | 1))) / 7u; // bytes behind the first: 0..7
  x |= 0x8080808080808080 & ((uint64_t{1} << (8 * more)) - 1);
  std::memcpy(p, &x, 8);
  return p + more + 1;
}

inline uint8_t* put_leb(uint8_t* p, uint64_t v) {
  while (v >= 0x80) {
    *p++ = static_cast<uint8_t>(v | 0x80);
    v >>= 7;
  }
  *p++ = static_cast<uint8_t>(v);
  return p;
}

// Reads LEB128 in [p, end); returns the position after it or nullptr.
inline const uint8_t* get_leb(const uint8_t* p, const uint8_t* end, uint64_t* out) {
  uint64_t v = 0;
  for (unsigned shift = 0; shift < 70 && p != end; shift += 7) {
    const uint8_t b = *p++;
    if (shift < 63)
      v |= uint64_t{b & 0x7fu} << shift;
    else if (shift == 63)
      v |= uint64_t{b & 1u} << 63;
    if ((b & 0x80) == 0) {
      *out = v;
      return p;
    }
  }
  return nullptr;
}

inline uint8_t* put_field(uint8_t* p, uint64_t v, unsigned bytes) {
  std::memcpy(p, &v, 8);
  return p + bytes;
}

} // namespace block_codec

// A short event before it is written: the fields as they will be stored, and how many bytes each takes. In
// two steps, so that nothing but stores remains to be done when the writer touches shared memory.
struct PreparedEvent {
  uint64_t time, address, stack, size;
  unsigned time_bytes, address_bytes, stack_bytes, size_bytes;
  unsigned flag; // bit 3 of op
};

// Fields relative to `cursor`. false: one does not fit seven bytes (an address delta or size beyond 2^54: the
// caller seals the block and starts another with a new base, or drops and counts).
// The usable size is sent only if `predicted` differs.
[[gnu::always_inline]] inline bool prepare_short_event(PreparedEvent& out, const BlockCursor& cursor,
                                                       const Event& e, uint64_t predicted) {
  using namespace block_codec;
  const bool is_free = e.kind == EventKind::free;
  const bool has_stack = !is_free || e.stack != 0;
  out.time = e.ticks - cursor.ticks;
  out.address = pack_address(e.address, cursor.address);
  out.stack = has_stack ? zigzag(static_cast<int64_t>(e.stack) - static_cast<int64_t>(cursor.stack)) : 0;
  out.size = e.size;
  out.flag = is_free ? has_stack : e.usable != predicted;
  out.time_bytes = byte_length(out.time);
  out.address_bytes = byte_length(out.address);
  out.stack_bytes = stack_byte_length(out.stack);
  out.size_bytes = is_free ? 0 : byte_length(out.size);
  return (out.time | out.address | out.size) <= kMaxPacked;
}

// Writes what was prepared at `to` (room for kMaxShortEventBytes + 8: fields are stored eight bytes at a
// time). Returns its end.
[[gnu::always_inline]] inline uint8_t* store_short_event(uint8_t* to, const PreparedEvent& prepared,
                                                         const Event& e) {
  using namespace block_codec;
  const bool is_free = e.kind == EventKind::free;
  const uint16_t head = static_cast<uint16_t>((static_cast<unsigned>(e.kind) | prepared.flag << 3) << 12 |
                                              prepared.size_bytes << 9 | prepared.stack_bytes << 6 |
                                              prepared.address_bytes << 3 | prepared.time_bytes);
  std::memcpy(to, &head, 2);
  uint8_t* p = to + 2;
  p = put_field(p, prepared.time, prepared.time_bytes);
  p = put_field(p, prepared.address, prepared.address_bytes);
  p = put_field(p, prepared.stack, prepared.stack_bytes);
  if (!is_free) {
    p = put_field(p, prepared.size, prepared.size_bytes);
    if (prepared.flag != 0)
      p = put_leb(p, e.usable);
  }
  if (e.kind == EventKind::realloc) {
    p = put_leb(p, e.ticks - e.ticks_before);
    p = put_leb(p, zigzag(static_cast<int64_t>(e.old_address - e.address)));
  } else if (e.kind == EventKind::aligned) {
    p = put_leb(p, e.alignment);
  }
  return p;
}

// The cursor behind the event.
[[gnu::always_inline]] inline BlockCursor cursor_after(const BlockCursor& cursor, const Event& e) {
  const bool has_stack = e.kind != EventKind::free || e.stack != 0;
  return {e.ticks, e.address, has_stack ? e.stack : cursor.stack};
}

// All of it at once. Returns the number of bytes, 0 if a field does not fit; advances the cursor.
inline uint32_t encode_short_event(uint8_t* out, BlockCursor& cursor, const Event& e, uint64_t predicted) {
  PreparedEvent prepared;
  if (!prepare_short_event(prepared, cursor, e, predicted))
    return 0;
  cursor = cursor_after(cursor, e);
  return static_cast<uint32_t>(store_short_event(out, prepared, e) - out);
}

// Writes one extended event; payload_bytes <= 511. Room: kMaxExtendedEventBytes + 8. Returns bytes, 0 if too
// wide.
inline uint32_t encode_extended_event(uint8_t* out, BlockCursor& cursor, ExtendedKind kind, uint64_t ticks,
                                      StackId stack, const uint8_t* payload, uint32_t payload_bytes) {
  using namespace block_codec;
  const uint64_t time = ticks - cursor.ticks;
  const uint64_t stack_delta = zigzag(static_cast<int64_t>(stack) - static_cast<int64_t>(cursor.stack));
  if (time > kMaxPacked)
    return 0;
  const uint64_t length = payload_bytes + 1;
  const unsigned nt = byte_length(time), ns = stack_byte_length(stack_delta), nz = byte_length(length);
  const uint16_t head =
      static_cast<uint16_t>(static_cast<unsigned>(EventKind::extended) << 12 | nz << 9 | ns << 6 | nt);
  std::memcpy(out, &head, 2);
  uint8_t* p = out + 2;
  p = put_field(p, time, nt);
  p = put_field(p, stack_delta, ns);
  p = put_field(p, length, nz);
  *p++ = static_cast<uint8_t>(kind);
  std::memcpy(p, payload, payload_bytes);
  p += payload_bytes;
  cursor.ticks = ticks;
  cursor.stack = stack;
  return static_cast<uint32_t>(p - out);
}

// Most events: a free, or a malloc or calloc whose usable size is the predicted one.
struct PlainEvent {
  uint64_t ticks, address;
  uint64_t size; // 0 for a free
  StackId stack; // 0: none
  EventKind kind;
};

// Reads events of one block between two positions of its payload.
class BlockDecoder {
 public:
  // [begin, end): committed payload bytes. The cursor is that of `begin` (the block's bases at position 0).
  BlockDecoder(const uint8_t* begin, const uint8_t* end, BlockCursor cursor, UsablePredictor predictor)
      : p_(begin), end_(end), cursor_(cursor), predictor_(predictor) {}

  // Decodes the next event. false: at the end, or damaged() if the bytes cannot be an event.
  bool next(Event& e);
  // The same for a plain event that does not stand at the very end, and much faster. false: next() is to be
  // asked.
  bool next_plain(PlainEvent& e);

  bool damaged() const { return damaged_; }
  const uint8_t* position() const { return p_; }
  const BlockCursor& cursor() const { return cursor_; }

 private:
  static constexpr std::ptrdiff_t kFieldBytes = 4 * 7;
  bool fail() {
    damaged_ = true;
    return false;
  }

  const uint8_t* p_;
  const uint8_t* end_;
  BlockCursor cursor_;
  UsablePredictor predictor_;
  bool damaged_ = false;
};

inline bool BlockDecoder::next_plain(PlainEvent& e) {
  using namespace block_codec;
  const uint8_t* p = p_;
  if (end_ - p < 2 + kFieldBytes + 8) [[unlikely]]
    return false;
  uint16_t head;
  std::memcpy(&head, p, 2);
  p += 2;
  constexpr auto kFree = static_cast<unsigned>(EventKind::free);
  constexpr unsigned kPlain = 1u << kFree | 1u << (kFree | 8u) |
                              1u << static_cast<unsigned>(EventKind::malloc) |
                              1u << static_cast<unsigned>(EventKind::calloc);
  const unsigned op = head >> 12;
  if (((kPlain >> op) & 1) == 0)
    return false;
  const auto field = [&p](unsigned bytes) { // 0..7
    uint64_t v;
    std::memcpy(&v, p, 8);
    p += bytes;
    return v & ((uint64_t{1} << (8 * bytes)) - 1);
  };
  const uint64_t time = field(head & 7u), address = field((head >> 3) & 7u), stack = field((head >> 6) & 7u);
  e.size = field((head >> 9) & 7u);
  e.ticks = cursor_.ticks += time;
  e.address = cursor_.address = unpack_address(address, cursor_.address);
  // In arithmetic: whether a free or an allocation comes next cannot be foretold, and compilers make branches
  // of conditions.
  const StackId no_stack = StackId{0} - StackId{op == kFree};
  e.stack = static_cast<StackId>(cursor_.stack + static_cast<uint64_t>(unzigzag(stack))) & ~no_stack;
  cursor_.stack = (cursor_.stack & no_stack) | e.stack;
  e.kind = static_cast<EventKind>(op & 7u);
  p_ = p;
  return true;
}

inline bool BlockDecoder::next(Event& e) {
  using namespace block_codec;
  const uint8_t* p = p_;
  if (p == end_)
    return false;
  if (end_ - p < 2)
    return fail();
  uint16_t head;
  std::memcpy(&head, p, 2);
  p += 2;
  const unsigned nt = head & 7u, na = (head >> 3) & 7u, ns = (head >> 6) & 7u, nz = (head >> 9) & 7u;
  const unsigned op = head >> 12;
  const EventKind kind = static_cast<EventKind>(op & 7u);
  const bool flag = (op & 8u) != 0;
  if (end_ - p < static_cast<std::ptrdiff_t>(nt + na + ns + nz))
    return fail();
  const auto field = [this, &p](unsigned bytes) { // 0..7
    uint64_t v = 0;
    if (end_ - p >= 8) {
      std::memcpy(&v, p, 8);
      v &= (uint64_t{1} << (8 * bytes)) - 1;
    } else {
      std::memcpy(&v, p, bytes);
    }
    p += bytes;
    return v;
  };
  const uint64_t time = field(nt), address = field(na), stack = field(ns), size = field(nz);

  e.kind = kind;
  e.extended_kind = ExtendedKind::none;
  e.flags = 0;
  e.alignment = 0;
  e.payload = nullptr;
  e.payload_bytes = 0;
  e.ticks = cursor_.ticks + time;
  e.ticks_before = e.ticks;
  e.old_address = 0;
  e.size = size;
  e.usable = 0;
  const StackId new_stack = static_cast<StackId>(cursor_.stack + static_cast<uint64_t>(unzigzag(stack)));
  e.address = unpack_address(address, cursor_.address);
  switch (kind) {
  case EventKind::free:
    e.stack = flag ? new_stack : 0;
    cursor_.address = e.address;
    if (flag)
      cursor_.stack = new_stack;
    break;
  case EventKind::malloc:
  case EventKind::calloc:
  case EventKind::realloc:
  case EventKind::aligned: {
    e.stack = new_stack;
    if (flag) {
      if ((p = get_leb(p, end_, &e.usable)) == nullptr)
        return fail();
    } else {
      e.usable = predict_usable(predictor_, size);
    }
    if (kind == EventKind::realloc) {
      uint64_t before, old;
      if ((p = get_leb(p, end_, &before)) == nullptr || (p = get_leb(p, end_, &old)) == nullptr)
        return fail();
      e.ticks_before = e.ticks - before;
      e.old_address = e.address + static_cast<uint64_t>(unzigzag(old));
    } else if (kind == EventKind::aligned) {
      uint64_t alignment;
      if ((p = get_leb(p, end_, &alignment)) == nullptr)
        return fail();
      e.alignment = static_cast<uint32_t>(alignment);
    }
    cursor_.address = e.address;
    cursor_.stack = new_stack;
    break;
  }
  case EventKind::extended:
    if (size == 0 || static_cast<uint64_t>(end_ - p) < size)
      return fail();
    e.extended_kind = static_cast<ExtendedKind>(*p);
    e.address = 0;
    e.stack = new_stack;
    e.payload = p + 1;
    e.payload_bytes = static_cast<uint32_t>(size - 1);
    e.size = 0;
    p += size;
    cursor_.stack = new_stack;
    break;
  default:
    return fail();
  }
  cursor_.ticks = e.ticks;
  p_ = p;
  return true;
}

} // namespace hl
