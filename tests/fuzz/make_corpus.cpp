// Writes the seeds of the fuzzers' corpus: make_fuzz_corpus DIRECTORY. Small whole traces, each with
// something the others lack, and a few patches for the session fuzzer. What a fuzzer found goes beside them
// by hand.
#include <cstdio>
#include <fstream>
#include <string>

#include <zstd.h>

#include "diff/profile_file.h"
#include "testing/memory_payloads.h"
#include "testing/profile_maker.h"
#include "testing/trace_builder.h"

using namespace hl;
using namespace hl::testing;

namespace {

// What the profile fuzzer takes: the inside of the frame.
void write_profile(const std::string& path, const RunProfile& profile) {
  const std::vector<uint8_t> bytes = serialize_profile(profile);
  constexpr size_t kHeader = 96;
  std::string inside(1 << 20, '\0');
  inside.resize(
      ZSTD_decompress(inside.data(), inside.size(), bytes.data() + kHeader, bytes.size() - kHeader));
  std::ofstream(path, std::ios::binary) << inside;
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_fuzz_corpus DIRECTORY\n");
    return 2;
  }
  const std::string traces = std::string(argv[1]) + "/trace/", sessions = std::string(argv[1]) + "/session/";
  for (const int level : {0, 1}) {
    const std::string suffix = level == 0 ? "_stored" : "_packed";
    TraceBuilder empty(level);
    empty.begin().close().write(traces + "empty" + suffix);

    TraceBuilder one(level);
    one.begin().module(1, "/usr/bin/app", 0x400000, 0x500000, true);
    StackId stack = 0;
    for (uint64_t i = 0; i < 6; ++i)
      stack = one.node(stack, 1, 0x400100 + i * 64);
    for (uint64_t i = 0; i < 12; ++i) {
      one.add(1, malloc_event(i * 10, 0x1000 + i * 64, i * 7, static_cast<StackId>(1 + i % 6)));
      if (i % 3 == 2)
        one.add(1, free_event(i * 10 + 5, 0x1000 + (i - 1) * 64, i % 2 == 0 ? stack : 0));
    }
    one.add(1, realloc_event(200, 210, 0x1000, 0x9000, 999, stack));
    Event aligned = malloc_event(220, 0xa000, 64, stack);
    aligned.kind = EventKind::aligned;
    aligned.alignment = 4096;
    aligned.usable = 4000;
    one.add(1, aligned);
    one.flush(UINT64_MAX).clock({{kStartTicks + 900, kStartTicks + 2'000'000, 0, kStartWallNs + 2'000'000}});
    one.losses(LossCause::pool_exhausted, 5).close().write(traces + "one_thread" + suffix);

    TraceBuilder threads(level);
    threads.begin();
    const StackId only = threads.node(0, 0, 0x1234);
    for (uint64_t i = 0; i < 9; ++i)
      threads.add(static_cast<uint32_t>(i % 3), malloc_event(i * 10, 0x1000 + i * 16, 8, only));
    threads.flush(60);
    for (uint64_t i = 0; i < 9; ++i)
      threads.add(static_cast<uint32_t>((i + 1) % 3), free_event(100 + i, 0x1000 + i * 16));
    threads.flush(UINT64_MAX).repeat_last_events_chunk();
    threads.write(traces + "threads_not_closed" + suffix);

    TraceBuilder maps(level);
    maps.begin();
    const StackId mapper = maps.node(0, 0, 0x1234);
    maps.add_extended(1, 1, ExtendedKind::mmap, {0x100000, 0x10000, 3, 0x22, 1, 0, 0}, "", mapper);
    maps.add_extended(1, 2, ExtendedKind::vma_name, {0x100000, 0x1000, 0}, "heap", mapper);
    maps.add_extended(1, 3, ExtendedKind::mremap, {0x100000, 0x1000, 0x200000, 0x3000, 1, 1}, "", mapper);
    maps.add_extended(1, 4, ExtendedKind::munmap, {0x104000, 0x2000}, "", mapper);
    maps.add_extended(1, 5, ExtendedKind::mark, {}, "m");
    maps.add_extended(1, 6, ExtendedKind::thread_name, {10001}, "worker");
    maps.add_extended(1, 7, ExtendedKind::lost, {0, 3});
    maps.flush(UINT64_MAX).close().write(traces + "mappings" + suffix);

    UsageSample usage;
    usage.ticks = kStartTicks + 5;
    usage.values.values[static_cast<size_t>(UsageField::rss)] = 8192;
    ResidencySample sample;
    sample.ticks = kStartTicks + 6;
    sample.name = "m";
    sample.smaps = "00001000-00003000 rw-p 00000000 00:00 0 [heap]\nRss: 8 kB\n";
    sample.own = {{0x5000, 0x6000}};
    sample.pages = {{0x1000, 0x3000, PageState::anonymous}};
    TraceBuilder samples(level);
    samples.begin();
    samples.add(1, malloc_event(1, 0x1010, 100, samples.node(0, 0, 0x1234))).flush(UINT64_MAX);
    samples.chunk(ChunkKind::usage, usage_payload({usage}), 1, usage.ticks, usage.ticks);
    samples.chunk(ChunkKind::residency, residency_payload(sample), 1, sample.ticks, sample.ticks);
    samples.close().write(traces + "samples" + suffix);
  }
  const auto seed = [&](const char* name, const std::string& bytes) {
    std::ofstream(sessions + name, std::ios::binary) << bytes;
  };
  seed("untouched", "");
  seed("process", std::string("\x03\x00\x00\x00\x04\xff\xff\xff\xff", 9));
  seed("node", std::string("\x88\x01\x00\x00\x02\x05\x00", 7));
  seed("events", std::string("\x05\x04\x00\x00\x08\x01\x02\x03\x04\x05\x06\x07\x08", 13));
  const std::string profiles = std::string(argv[1]) + "/profile/";
  write_profile(profiles + "empty", RunProfile{});
  ProfileMaker maker;
  maker.site({{"malloc", "", 0, "/lib/libc.so.6", kFrameAllocator}, {"load", "/src/load.cpp", 10}, {"main"}},
             3, 300);
  maker.site({{"save", "/src/save.cpp", 20, "/opt/libsave.so", kFrameInlined}, {"main"}}, 1, 7'000'000'000);
  maker.profile.marks = {{"request", 1000}};
  maker.profile.troubles = {"Names in /opt/x: none."};
  maker.profile.scanned = true;
  write_profile(profiles + "two_sites", maker.profile);
  return 0;
}
