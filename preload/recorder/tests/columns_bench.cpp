// What the column codec costs and saves, on the events of a real trace: ns per event to encode, to compress
// and to decode, and bytes per event by column. Best of several rounds, since wall time on a shared machine
// only errs upwards. usage: columns_bench TRACE [ZSTD_LEVEL]
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "chunk_codec.h"
#include "trace_check.h"

namespace {

struct Chunk {
  std::vector<hl::EventSegment> segments;
  std::vector<hl::Event> events;
};

std::vector<Chunk> load(const char* path, std::vector<std::vector<uint8_t>>& keep) {
  std::vector<Chunk> chunks;
  FILE* in = std::fopen(path, "rb");
  if (in == nullptr)
    return chunks;
  std::fseek(in, 64, SEEK_SET);
  hl::ChunkHeader h;
  hl::EventColumnsDecoder decoder;
  while (std::fread(&h, sizeof(h), 1, in) == 1 && h.magic == hl::kChunkMagic) {
    std::vector<uint8_t> payload((h.payload_bytes + 7) / 8 * 8);
    if (std::fread(payload.data(), 1, payload.size(), in) != payload.size())
      break;
    if (h.kind != static_cast<uint16_t>(hl::ChunkKind::events))
      continue;
    hl::EventsPayloadView view;
    if (!view.parse({payload.data(), h.payload_bytes}))
      break;
    std::array<hl::EventColumnsDecoder::Column, 8> columns;
    for (const auto& c : view.columns) {
      keep.emplace_back(c.entry.raw_bytes);
      if (c.entry.compression == 0)
        std::copy(c.stored.begin(), c.stored.end(), keep.back().begin());
      else
        ZSTD_decompress(keep.back().data(), c.entry.raw_bytes, c.stored.data(), c.stored.size());
      columns[c.entry.id] = {c.entry.values, keep.back()};
    }
    Chunk chunk{view.segments, {}};
    if (!decoder.begin(chunk.segments, columns, hl::UsablePredictor::glibc64))
      break;
    hl::Event e;
    while (decoder.next(e))
      chunk.events.push_back(e);
    if (decoder.damaged())
      std::fprintf(stderr, "damaged\n");
    chunks.push_back(std::move(chunk));
  }
  std::fclose(in);
  return chunks;
}

double now_ns() {
  return static_cast<double>(std::chrono::steady_clock::now().time_since_epoch().count());
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 2)
    return 2;
  std::vector<std::vector<uint8_t>> keep;
  const std::vector<Chunk> chunks = load(argv[1], keep);
  hl::EventColumnsEncoder encoder;
  hl::EventColumnsDecoder decoder;
  hl::ChunkCodec codec(argc > 2 ? std::atoi(argv[2]) : 1);
  double best[3] = {1e18, 1e18, 1e18};
  uint64_t events = 0, stored = 0, raw_total = 0;
  uint64_t by_column[8] = {}, raw_by_column[8] = {};
  for (int round = 0; round < 5; round++) {
    double spent[3] = {};
    events = stored = raw_total = 0;
    std::memset(by_column, 0, sizeof(by_column));
    std::memset(raw_by_column, 0, sizeof(raw_by_column));
    for (const Chunk& chunk : chunks) {
      double t = now_ns();
      encoder.reset(hl::UsablePredictor::glibc64);
      const hl::Event* e = chunk.events.data();
      for (const hl::EventSegment& s : chunk.segments) {
        encoder.begin_segment(s);
        for (uint32_t i = 0; i < s.events; i++) {
          if (i + 12 < s.events)
            encoder.prefetch(e[12].address), encoder.prefetch_deeper(e[6].address);
          encoder.add(*e++);
        }
      }
      double u = now_ns();
      spent[0] += u - t;
      const auto payload = codec.events_payload(encoder, 0);
      t = now_ns();
      spent[1] += t - u;
      stored += payload.size();
      events += chunk.events.size();
      hl::EventsPayloadView view;
      view.parse(payload);
      for (const auto& c : view.columns) {
        by_column[c.entry.id] += c.entry.stored_bytes;
        raw_by_column[c.entry.id] += c.entry.raw_bytes;
        raw_total += c.entry.raw_bytes;
      }
      std::vector<std::vector<uint8_t>> raw(8);
      std::array<hl::EventColumnsDecoder::Column, 8> columns;
      for (const auto& c : view.columns)
        raw[c.entry.id].resize(c.entry.raw_bytes);
      u = now_ns();
      for (const auto& c : view.columns) {
        if (c.entry.compression == 0)
          std::copy(c.stored.begin(), c.stored.end(), raw[c.entry.id].begin());
        else
          ZSTD_decompress(raw[c.entry.id].data(), c.entry.raw_bytes, c.stored.data(), c.stored.size());
        columns[c.entry.id] = {c.entry.values, raw[c.entry.id]};
      }
      hl::Event out;
      uint64_t sum = 0;
      decoder.begin(view.segments, columns, hl::UsablePredictor::glibc64);
      while (decoder.next(out))
        sum += out.address + out.ticks;
      spent[2] += now_ns() - u;
      if (sum == 1)
        std::puts("");
    }
    for (int i = 0; i < 3; i++)
      best[i] = std::min(best[i], spent[i] / static_cast<double>(events));
  }
  const double n = static_cast<double>(events);
  std::printf("%s: %lu events; encode %.1f ns, zstd %.1f ns, decode with zstd %.1f ns; %.3f bytes an event "
              "(raw %.2f)\n",
              argv[1], static_cast<unsigned long>(events), best[0], best[1], best[2],
              static_cast<double>(stored) / n, static_cast<double>(raw_total) / n);
  static const char* const kNames[] = {"", "op", "time", "address", "stack", "size", "extra", "extended"};
  for (int id = 1; id < 8; id++)
    std::printf("  %-8s %.3f (raw %.3f)\n", kNames[id], static_cast<double>(by_column[id]) / n,
                static_cast<double>(raw_by_column[id]) / n);
}
