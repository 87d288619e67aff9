// Tests of the column codec: what goes in comes out, and nothing a file may hold makes the decoder misbehave
// (run under the asan preset, the garbage tests prove the bounds).
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <random>

#include "heapledger/event_columns.h"

namespace {

using hl::Event;
using hl::EventKind;
using hl::UsablePredictor;

// A program's worth of events of several threads: mostly short-lived blocks that are re-used, all kinds, odd
// sizes.
struct Program {
  std::vector<hl::EventSegment> segments;
  std::vector<std::vector<Event>> events;
  std::vector<std::vector<uint8_t>> payloads; // of extended events

  explicit Program(unsigned seed, unsigned segment_count, unsigned events_per_segment) {
    std::mt19937_64 random(seed);
    std::vector<uint64_t> live;
    uint64_t ticks = 1'000'000;
    payloads.reserve(segment_count * events_per_segment);
    for (unsigned s = 0; s < segment_count; s++) {
      hl::EventSegment segment{};
      segment.sequence = s;
      segment.thread_index = 1 + s % 3;
      segment.base_ticks = ticks;
      segment.base_address = live.empty() ? 0 : live.back();
      segment.base_stack = s == 0 ? 0 : 77;
      if (s % 5 == 4)
        segment.flags = hl::kBlockNested;
      std::vector<Event> list;
      for (unsigned i = 0; i < events_per_segment; i++) {
        Event e;
        ticks += random() % 4 == 0 ? random() % 200'000 : random() % 500;
        e.ticks = e.ticks_before = ticks;
        e.thread_index = segment.thread_index;
        if (s % 5 == 4)
          e.flags = hl::kEventNested;
        const unsigned what = static_cast<unsigned>(random() % 100);
        const uint64_t stack = random() % 10 == 0 ? random() % 100'000 : 5 + what % 9;
        if (what < 45 && !live.empty()) {
          const size_t which = random() % live.size();
          e.kind = EventKind::free;
          e.address = live[which];
          e.stack = what < 20 ? static_cast<uint32_t>(stack + 1) : 0;
          live.erase(live.begin() + static_cast<long>(which));
        } else if (what < 96) {
          e.stack = static_cast<uint32_t>(stack);
          e.size = random() % 50 == 0 ? random() % (1u << 30) : random() % 300;
          e.kind = what < 75 ? EventKind::malloc : what < 85 ? EventKind::calloc : EventKind::realloc;
          if (what == 95)
            e.kind = EventKind::aligned, e.alignment = 64;
          e.usable = hl::predict_usable(UsablePredictor::glibc64, e.size) + (random() % 20 == 0 ? 16 : 0);
          e.address =
              0x5555'0000'0000 + random() % 10'000 * 16 + (random() % 100 == 0 ? 0x2aaa'0000'0008 : 0);
          if (e.kind == EventKind::realloc) {
            e.ticks_before = e.ticks - random() % 300;
            if (!live.empty() && what % 2 == 0) {
              e.old_address = live.back();
              if (random() % 2 == 0)
                e.address = e.old_address;
              live.pop_back();
            }
          }
          live.push_back(e.address);
        } else {
          e.kind = EventKind::extended;
          e.extended_kind = static_cast<hl::ExtendedKind>(1 + random() % 40);
          e.stack = static_cast<uint32_t>(stack);
          payloads.emplace_back(random() % 300);
          for (uint8_t& b : payloads.back())
            b = static_cast<uint8_t>(random());
          e.payload = payloads.back().data();
          e.payload_bytes = static_cast<uint32_t>(payloads.back().size());
        }
        list.push_back(e);
      }
      segments.push_back(segment);
      events.push_back(list);
    }
  }
};

struct Encoded {
  std::vector<hl::EventSegment> segments;
  std::array<std::vector<uint8_t>, 8> bytes;
  std::array<hl::EventColumnsDecoder::Column, 8> columns;

  void encode(hl::EventColumnsEncoder& encoder, const Program& program) {
    encoder.reset(UsablePredictor::glibc64);
    for (size_t s = 0; s < program.segments.size(); s++) {
      encoder.begin_segment(program.segments[s]);
      for (const Event& e : program.events[s]) {
        const bool allocates = e.kind == EventKind::malloc || e.kind == EventKind::calloc;
        if (e.kind == EventKind::free ||
            (allocates && e.usable == hl::predict_usable(UsablePredictor::glibc64, e.size))) {
          encoder.add_plain({e.ticks, e.address, e.size, e.stack, e.kind});
          encoder.cover(1, e.ticks, e.ticks);
        } else {
          encoder.add(e);
        }
      }
    }
    segments.assign(encoder.segments().begin(), encoder.segments().end());
    for (const hl::RawColumn& c : encoder.columns()) {
      const size_t id = static_cast<size_t>(c.id);
      bytes[id].clear();
      for (const auto& part : c.parts)
        bytes[id].insert(bytes[id].end(), part.begin(), part.end());
      columns[id] = {c.values, bytes[id]};
    }
  }
};

bool same(const Event& a, const Event& b) {
  return a.kind == b.kind && a.extended_kind == b.extended_kind && a.flags == b.flags && a.stack == b.stack &&
         a.thread_index == b.thread_index && a.alignment == b.alignment && a.ticks == b.ticks &&
         a.ticks_before == b.ticks_before && a.address == b.address && a.old_address == b.old_address &&
         a.size == b.size && a.usable == b.usable && a.payload_bytes == b.payload_bytes &&
         (a.payload_bytes == 0 || std::memcmp(a.payload, b.payload, a.payload_bytes) == 0);
}

void check_round_trip(hl::EventColumnsEncoder& encoder, hl::EventColumnsDecoder& decoder,
                      const Program& program) {
  Encoded encoded;
  encoded.encode(encoder, program);
  REQUIRE(decoder.begin(encoded.segments, encoded.columns, UsablePredictor::glibc64));
  std::vector<uint64_t> allocated{0};
  Event e;
  unsigned differences = 0;
  for (size_t s = 0; s < program.events.size(); s++) {
    for (const Event& expected : program.events[s]) {
      REQUIRE(decoder.next(e));
      if (!same(e, expected))
        differences++;
      CHECK(decoder.segment() == s);
      if (decoder.freed_ordinal() != 0) {
        const uint64_t freed = e.kind == EventKind::free ? e.address : e.old_address;
        if (decoder.freed_ordinal() >= allocated.size() || allocated[decoder.freed_ordinal()] != freed)
          differences++;
      }
      if (decoder.allocated_ordinal() != 0) {
        if (decoder.allocated_ordinal() != allocated.size())
          differences++;
        allocated.push_back(e.address);
      }
    }
  }
  CHECK(differences == 0);
  CHECK_FALSE(decoder.next(e));
  CHECK_FALSE(decoder.damaged());
}

TEST_CASE("events survive the columns, chunk after chunk with the same encoder and decoder") {
  hl::EventColumnsEncoder encoder;
  hl::EventColumnsDecoder decoder;
  for (unsigned seed = 1; seed < 6; seed++)
    check_round_trip(encoder, decoder, Program(seed, 1 + seed * 2, 3000));
}

TEST_CASE("a chunk longer than the memory of the predictors survives") {
  hl::EventColumnsEncoder encoder;
  hl::EventColumnsDecoder decoder;
  check_round_trip(encoder, decoder, Program(9, 3, 100'000));
}

TEST_CASE("an empty chunk decodes to nothing") {
  hl::EventColumnsEncoder encoder;
  hl::EventColumnsDecoder decoder;
  check_round_trip(encoder, decoder, Program(1, 0, 0));
  check_round_trip(encoder, decoder, Program(1, 2, 0));
}

TEST_CASE("truncated columns end the decoding as damaged and never read beyond their end") {
  hl::EventColumnsEncoder encoder;
  hl::EventColumnsDecoder decoder;
  Encoded encoded;
  encoded.encode(encoder, Program(4, 3, 400));
  for (size_t id = 1; id < 8; id++) {
    const auto whole = encoded.columns[id];
    for (size_t length = 0; length < whole.raw.size(); length += 1 + whole.raw.size() / 50) {
      const std::vector<uint8_t> cut(whole.raw.begin(), whole.raw.begin() + static_cast<long>(length));
      encoded.columns[id].raw = cut;
      Event e;
      if (decoder.begin(encoded.segments, encoded.columns, UsablePredictor::glibc64))
        while (decoder.next(e)) {
        }
      CHECK(decoder.damaged());
    }
    encoded.columns[id] = whole;
  }
}

TEST_CASE("any bytes in any column end the decoding without harm") {
  hl::EventColumnsEncoder encoder;
  hl::EventColumnsDecoder decoder;
  Encoded encoded;
  const Program program(5, 3, 400);
  std::mt19937_64 random(7);
  for (unsigned round = 0; round < 400; round++) {
    encoded.encode(encoder, program);
    for (auto& column : encoded.bytes)
      for (unsigned flips = 0; flips < round % 7 && !column.empty(); flips++)
        column[random() % column.size()] = static_cast<uint8_t>(random());
    if (round % 11 == 0)
      for (uint8_t& b : encoded.bytes[random() % 8])
        b = static_cast<uint8_t>(random());
    uint64_t payload_sum = 0;
    unsigned events = 0;
    Event e;
    if (decoder.begin(encoded.segments, encoded.columns, UsablePredictor::glibc64))
      while (decoder.next(e)) {
        events++;
        for (uint32_t i = 0; i < e.payload_bytes; i++)
          payload_sum += e.payload[i];
      }
    CHECK(events <= 1200);
    CHECK(payload_sum < (uint64_t{1} << 40));
  }
}

TEST_CASE("a payload that cannot be one is refused") {
  hl::EventsPayloadView view;
  std::vector<uint8_t> bytes(4096);
  std::mt19937_64 random(3);
  for (unsigned round = 0; round < 2000; round++) {
    for (uint8_t& b : bytes)
      b = random() % 3 == 0 ? static_cast<uint8_t>(random() % 80) : 0;
    bytes[0] = 24;
    const std::span<const uint8_t> cut(bytes.data(), random() % bytes.size());
    if (!view.parse(cut))
      continue;
    uint64_t stored = 0;
    for (const auto& c : view.columns)
      stored += c.stored.size();
    CHECK(stored <= cut.size());
  }
  CHECK_FALSE(view.parse({}));
}

} // namespace
