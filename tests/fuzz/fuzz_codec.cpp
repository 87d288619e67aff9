// Fuzzes both ways of coding events: block bytes (what the shim commits) and columns (what a trace holds).
//
// First byte even: the rest is block bytes. Whatever of it decodes goes through the columns as the recorder
// would send it, and must come back equal, field by field. First byte odd: the rest is cut into columns as it
// is; their decoder must stop within its bounds. Then the same as the payload of an events chunk.
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "heapledger/event_columns.h"

namespace {

using namespace hl;

constexpr uint64_t kAddressMask = ~((uint64_t{1} << 57) - 1); // the recorder takes no wider ones
constexpr uint64_t kBaseTicks = 1'000'000;
constexpr uint64_t kBaseAddress = 0x555555554000;

EventSegment segment_of(uint32_t thread, uint32_t flags) {
  EventSegment segment{};
  segment.thread_index = thread;
  segment.flags = flags;
  segment.base_ticks = kBaseTicks;
  segment.base_address = kBaseAddress;
  return segment;
}

bool same(const Event& a, const Event& b) {
  return a.kind == b.kind && a.extended_kind == b.extended_kind && a.ticks == b.ticks &&
         a.ticks_before == b.ticks_before && a.address == b.address && a.old_address == b.old_address &&
         a.size == b.size && a.usable == b.usable && a.stack == b.stack && a.alignment == b.alignment &&
         a.payload_bytes == b.payload_bytes &&
         (a.payload_bytes == 0 || std::memcmp(a.payload, b.payload, a.payload_bytes) == 0);
}

void round_trip(const uint8_t* data, size_t size, UsablePredictor predictor) {
  static EventColumnsEncoder encoder;
  encoder.reset(predictor);
  std::vector<Event> events;
  // Two threads in turn: the second half of the bytes is another block.
  const uint8_t* const parts[] = {data, data + size / 2, data + size};
  for (uint32_t part = 0; part < 2; ++part) {
    encoder.begin_segment(segment_of(part + 1, part == 0 ? 0u : uint32_t{kBlockNested}));
    const BlockCursor base{kBaseTicks, kBaseAddress, 0};
    BlockDecoder decoder(parts[part], parts[part + 1], base, predictor);
    BlockDecoder recorders(parts[part], parts[part + 1], base, predictor); // goes the recorder's way
    Event e{};
    while (decoder.next(e)) {
      PlainEvent plain;
      const bool is_plain = recorders.next_plain(plain);
      const bool is_free = e.kind == EventKind::free;
      if (is_plain && (plain.kind != e.kind || plain.ticks != e.ticks || plain.address != e.address ||
                       plain.size != e.size || plain.stack != e.stack ||
                       e.usable != (is_free ? 0 : predict_usable(predictor, e.size))))
        std::abort();
      if (Event again; !is_plain && (!recorders.next(again) || !same(again, e)))
        std::abort();
      if (((e.address | e.old_address) & kAddressMask) != 0)
        break;
      if (e.kind == EventKind::free)
        e.size = 0; // block bytes may claim one; it means nothing and columns do not carry it
      events.push_back(e);
      if (is_plain) {
        encoder.add_plain(plain);
        encoder.cover(1, plain.ticks, plain.ticks);
      } else {
        encoder.add(e);
      }
    }
  }
  std::array<EventColumnsDecoder::Column, 8> columns;
  std::vector<uint8_t> raw[8];
  for (const RawColumn& column : encoder.columns()) {
    std::vector<uint8_t>& bytes = raw[static_cast<size_t>(column.id)];
    for (const auto& part : column.parts)
      bytes.insert(bytes.end(), part.begin(), part.end());
    columns[static_cast<size_t>(column.id)] = {column.values, bytes};
  }
  static EventColumnsDecoder decoder;
  if (!decoder.begin(encoder.segments(), columns, predictor))
    std::abort();
  Event e{};
  for (const Event& wanted : events)
    if (!decoder.next(e) || !same(e, wanted))
      std::abort();
  if (decoder.next(e) || decoder.damaged())
    std::abort();
}

// u8 predictor, u16 events of either segment, then for each column u16 values, u16 bytes; then the bytes.
void decode_columns(const uint8_t* data, size_t size) {
  const auto number = [&]() -> uint32_t {
    if (size < 2)
      return 0;
    const uint32_t value = data[0] | uint32_t{data[1]} << 8;
    data += 2;
    size -= 2;
    return value;
  };
  const auto predictor = static_cast<UsablePredictor>(number() % 3);
  EventSegment segments[] = {segment_of(1, 0), segment_of(2, kBlockNested)};
  segments[0].events = number();
  segments[1].events = number();
  uint32_t values[8] = {}, bytes[8] = {};
  for (unsigned id = 1; id < 8; ++id) {
    values[id] = number();
    bytes[id] = number();
  }
  std::array<EventColumnsDecoder::Column, 8> columns;
  std::vector<uint8_t> raw[8];
  for (unsigned id = 1; id < 8; ++id) {
    const size_t taken = bytes[id] < size ? bytes[id] : size;
    raw[id].assign(data, data + taken); // a buffer of its own: reading past it is seen
    data += taken;
    size -= taken;
    columns[id] = {values[id], raw[id]};
  }
  static EventColumnsDecoder decoder;
  if (!decoder.begin(segments, columns, predictor))
    return;
  Event e{};
  static volatile uint8_t sink; // each byte is really read
  while (decoder.next(e))
    for (uint32_t i = 0; i < e.payload_bytes; ++i)
      sink = static_cast<uint8_t>(sink + e.payload[i]);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2)
    return 0;
  if (data[0] % 2 == 0) {
    const std::vector<uint8_t> block(data + 2, data + size);
    round_trip(block.data(), block.size(), static_cast<UsablePredictor>(data[1] % 3));
    return 0;
  }
  decode_columns(data + 1, size - 1);
  EventsPayloadView view;
  static_cast<void>(view.parse({data + 1, size - 1}));
  return 0;
}
