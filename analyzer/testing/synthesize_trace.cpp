// Writes a large synthetic trace, for measuring the analyzer without recording anything:
//   synthesize_trace FILE EVENTS LIVE_BLOCKS [THREADS] [STACKS] [SAMPLES]
// A random walk over LIVE_BLOCKS slots, each step frees a slot's block and allocates another, as a program
// that keeps a working set does; addresses are re-used the way an allocator's size classes re-use them.
// SAMPLES full samples of memory are spread over the events: one heap, of which every 16th page is not
// resident.
#include <cstdio>
#include <cstdlib>

#include "testing/memory_payloads.h"
#include "testing/trace_builder.h"

namespace {

struct Random {
  uint64_t state = 88172645463325252u;
  uint64_t next() {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
  }
};

} // namespace

int main(int argc, char** argv) {
  using namespace hl;
  using namespace hl::testing;
  if (argc < 4) {
    std::fprintf(stderr, "usage: synthesize_trace FILE EVENTS LIVE_BLOCKS [THREADS] [STACKS] [SAMPLES]\n");
    return 2;
  }
  const uint64_t events = std::strtoull(argv[2], nullptr, 10);
  const uint64_t live = std::strtoull(argv[3], nullptr, 10);
  const uint32_t threads = argc > 4 ? static_cast<uint32_t>(std::strtoul(argv[4], nullptr, 10)) : 1;
  const uint32_t stacks = argc > 5 ? static_cast<uint32_t>(std::strtoul(argv[5], nullptr, 10)) : 1000;
  std::FILE* file = std::fopen(argv[1], "wb");
  const uint64_t samples = argc > 6 ? std::strtoull(argv[6], nullptr, 10) : 0;
  if (file == nullptr || live == 0 || threads == 0 || stacks == 0)
    return 2;

  TraceBuilder trace;
  trace.begin().module(1, "/usr/bin/app", 0x400000, 0x800000, true);
  StackId parent = 0;
  for (uint32_t i = 0; i < 30; ++i)
    parent = trace.node(parent, 1, 0x400100 + i * 64);
  std::vector<StackId> leaves;
  for (uint32_t i = 0; i < stacks; ++i)
    leaves.push_back(trace.node(parent, 1, 0x500000 + i * 16));

  struct Block {
    uint64_t address = 0;
    uint64_t size = 0;
  };
  std::vector<Block> slots(live);
  std::vector<std::vector<uint64_t>> free_lists(128);
  constexpr uint64_t kHeapStart = 0x555555560000;
  uint64_t top = kHeapStart;
  Random random;
  uint64_t now = 0;
  uint32_t in_chunk = 0;
  const auto step = [&](const Event& event) {
    trace.add(1 + static_cast<uint32_t>(now / 3000 % threads), event);
    now += 30 + random.next() % 60;
    if (++in_chunk == kMaxEventsPerChunk) {
      trace.flush(now - 100000 < now ? now - 100000 : 0);
      trace.spill(file);
      in_chunk = 0;
    }
  };
  const auto sample_memory = [&] {
    ResidencySample sample;
    sample.ticks = sample.end_ticks = kStartTicks + now;
    sample.cause = SampleCause::periodic;
    sample.flags = kResidencyConsistent | kResidencyZeroPages;
    const uint64_t pages = (top - kHeapStart) / 4096 + 1;
    uint64_t resident = 0;
    for (uint64_t page = 0; page < pages; page += 16) {
      const uint64_t run = std::min<uint64_t>(15, pages - page);
      sample.pages.push_back(
          {kHeapStart + page * 4096, kHeapStart + (page + run) * 4096, PageState::anonymous});
      resident += run;
    }
    char text[256];
    std::snprintf(text, sizeof text, "%llx-%llx rw-p 00000000 00:00 0 [heap]\nRss: %llu kB\n",
                  static_cast<unsigned long long>(kHeapStart),
                  static_cast<unsigned long long>(kHeapStart + pages * 4096),
                  static_cast<unsigned long long>(resident * 4));
    sample.smaps = text;
    sample.usage.values[static_cast<size_t>(UsageField::rss)] = resident * 4096;
    trace.chunk(ChunkKind::residency, residency_payload(sample), 1, sample.ticks, sample.ticks);
  };
  uint64_t sampled = 0;
  for (uint64_t done = 0; done < events;) {
    if (sampled < samples && done >= (sampled + 1) * (events / (samples + 1))) {
      sample_memory();
      ++sampled;
    }
    Block& block = slots[random.next() % live];
    if (block.address != 0) {
      free_lists[(block.size + 15) / 16].push_back(block.address);
      step(free_event(now, block.address));
      ++done;
    }
    block.size = 16 + random.next() % 1024;
    auto& list = free_lists[(block.size + 15) / 16];
    if (list.empty()) {
      block.address = top;
      top += (block.size + 15) / 16 * 16 + 16;
    } else {
      block.address = list.back();
      list.pop_back();
    }
    step(malloc_event(now, block.address, block.size, leaves[random.next() % leaves.size()]));
    ++done;
  }
  trace.flush(UINT64_MAX);
  trace.clock({{kStartTicks + now, kStartTicks + now, kStartTicks + now, kStartWallNs + now}});
  trace.close();
  trace.spill(file);
  return std::fclose(file) == 0 ? 0 : 1;
}
