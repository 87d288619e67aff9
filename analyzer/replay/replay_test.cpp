// Replay against known numbers, and against a naive one.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <map>
#include <random>
#include <unordered_map>

#include "replay/replay.h"

using namespace hl;

namespace {

class Script {
 public:
  Script& allocate(uint64_t ticks, uint64_t address, uint64_t size, StackId stack = 1, uint32_t thread = 1,
                   EventKind kind = EventKind::malloc) {
    TraceEvent event{};
    event.ticks = ticks;
    event.address = address;
    event.size = size;
    event.stack = stack;
    event.thread_index = thread;
    event.kind = kind;
    batch_.events.push_back(event);
    return *this;
  }
  // Flags of the step added last.
  Script& mark(uint8_t flags) {
    batch_.events.back().flags = flags;
    return *this;
  }
  Script& free(uint64_t ticks, uint64_t address, uint32_t thread = 1) {
    return allocate(ticks, address, 0, 0, thread, EventKind::free);
  }
  Script& reallocate(uint64_t before, uint64_t ticks, uint64_t old_address, uint64_t address, uint64_t size,
                     StackId stack = 1, uint32_t thread = 1) {
    allocate(before, old_address, 0, stack, thread, EventKind::realloc);
    batch_.events.back().flags = kStepRelease;
    allocate(ticks, address, size, stack, thread, EventKind::realloc);
    batch_.events.back().flags = kStepAfterRelease;
    return *this;
  }
  Script& extended(uint64_t ticks, ExtendedKind kind, const std::vector<uint64_t>& numbers,
                   const std::string& text = {}, StackId stack = 1, uint8_t flags = 0) {
    std::vector<uint8_t> payload;
    const auto put = [&payload](uint64_t value) {
      while (value >= 0x80) {
        payload.push_back(static_cast<uint8_t>(value | 0x80));
        value >>= 7;
      }
      payload.push_back(static_cast<uint8_t>(value));
    };
    for (const uint64_t number : numbers)
      put(number);
    if (!text.empty()) {
      put(text.size());
      payload.insert(payload.end(), text.begin(), text.end());
    }
    allocate(ticks, batch_.payload.size(), payload.size(), stack, 1, EventKind::extended);
    batch_.events.back().extended_kind = kind;
    batch_.events.back().flags = flags;
    batch_.payload.insert(batch_.payload.end(), payload.begin(), payload.end());
    return *this;
  }
  ReplayResult run(ReplayLimits limits = {}, ReplayOptions options = {}) const {
    Replay replay(limits, 0, std::move(options));
    replay.consume(batch_);
    replay.finish();
    return replay.result();
  }

 private:
  EventBatch batch_;
};

const SiteTotals& site_of(const ReplayResult& result, StackId stack) {
  for (size_t i = 0; i < result.sites.size(); ++i)
    if (result.site_stacks[i] == stack)
      return result.sites[i];
  FAIL("no such site");
  return result.sites[0];
}

} // namespace

TEST_CASE("the peak is the most live bytes, and each site's share of it is exact") {
  const ReplayResult result = Script()
                                  .allocate(1, 0x10, 100, 1)
                                  .allocate(2, 0x20, 50, 2) // 150
                                  .free(3, 0x10)            // 50
                                  .allocate(4, 0x30, 60, 2) // 110
                                  .allocate(5, 0x40, 70, 3) // 180: the peak
                                  .free(6, 0x20)
                                  .allocate(7, 0x50, 20, 1) // 150
                                  .run();
  CHECK(result.peak_bytes == 180);
  CHECK(result.peak_blocks == 3);
  CHECK(result.peak_ticks == 5);
  CHECK(site_of(result, 1).peak_bytes == 0);
  CHECK(site_of(result, 2).peak_bytes == 110);
  CHECK(site_of(result, 2).peak_blocks == 2);
  CHECK(site_of(result, 3).peak_bytes == 70);
  CHECK(result.live_bytes == 150);
  CHECK(result.live_blocks == 3);
  CHECK(site_of(result, 1).live_bytes == 20);
  CHECK(result.allocation_calls == 5);
  CHECK(result.free_calls == 2);
  CHECK(result.bytes_requested == 300);
}

TEST_CASE("of equal maxima the first is the peak") {
  const ReplayResult result = Script().allocate(1, 0x10, 10, 1).free(2, 0x10).allocate(3, 0x20, 10, 2).run();
  CHECK(result.peak_ticks == 1);
  CHECK(site_of(result, 1).peak_bytes == 10);
  CHECK(site_of(result, 2).peak_bytes == 0);
}

TEST_CASE("a temporary allocation is freed by its thread before it allocates again") {
  CHECK(Script().allocate(1, 0x10, 1).free(2, 0x10).run().temporary == 1);
  CHECK(Script().allocate(1, 0x10, 1).allocate(2, 0x20, 1).free(3, 0x10).run().temporary == 0);
  // The other thread's allocation between changes nothing.
  CHECK(Script().allocate(1, 0x10, 1).allocate(2, 0x20, 1, 1, 2).free(3, 0x10).run().temporary == 1);
  // Freed by another thread: handed over, not temporary.
  const ReplayResult handed = Script().allocate(1, 0x10, 1).free(2, 0x10, 2).run();
  CHECK(handed.temporary == 0);
  CHECK(handed.threads[2].freed_for_others == 1);
  // The address came to another thread meanwhile: that block is not the first thread's last allocation.
  CHECK(Script()
            .allocate(1, 0x10, 1)
            .free(2, 0x10, 2)
            .allocate(3, 0x10, 1, 1, 2)
            .free(4, 0x10, 1)
            .run()
            .temporary == 0);
  // A realloc takes the contents along; only the last block of a chain can be temporary.
  CHECK(Script().allocate(1, 0x10, 1).reallocate(2, 3, 0x10, 0x20, 2).run().temporary == 0);
  CHECK(Script().allocate(1, 0x10, 1).reallocate(2, 3, 0x10, 0x20, 2).free(4, 0x20).run().temporary == 1);
}

TEST_CASE("a realloc counts as an allocation and a free, and chains are followed") {
  const ReplayResult result = Script()
                                  .allocate(1, 0x10, 100, 1)
                                  .reallocate(2, 3, 0x10, 0x10, 150, 2) // in place
                                  .reallocate(4, 5, 0x10, 0x20, 300, 3) // moved: 150 bytes
                                  .reallocate(6, 7, 0x20, 0x30, 40, 3)  // moved, shrunk: 40 bytes
                                  .free(8, 0x30)
                                  .run();
  CHECK(result.allocation_calls == 4);
  CHECK(result.free_calls == 4);
  CHECK(result.bytes_requested == 590);
  CHECK(result.reallocs.calls == 3);
  CHECK(result.reallocs.moved == 2);
  CHECK(result.reallocs.bytes_copied == 190);
  CHECK(result.chains == 1);
  CHECK(result.longest_chain == 3);
  CHECK(result.chain_lengths[2] == 1); // two to three
  CHECK(result.peak_bytes == 300);
  CHECK(result.live_blocks == 0);
}

TEST_CASE("between the halves of a realloc its old address may belong to another thread") {
  Script script;
  script.allocate(10, 0x10, 8, 1, 1);
  script.allocate(20, 0x10, 0, 1, 1, EventKind::realloc).mark(kStepRelease);
  script.allocate(30, 0x10, 5, 1, 2);
  script.allocate(40, 0x20, 16, 1, 1, EventKind::realloc).mark(kStepAfterRelease);
  const ReplayResult result = script.run();
  CHECK(result.implicit_frees == 0);
  CHECK(result.unknown_frees == 0);
  CHECK(result.live_bytes == 21);
  CHECK(result.reallocs.moved == 1);
  CHECK(result.reallocs.bytes_copied == 8);
}

TEST_CASE("frees of unknown blocks and missed frees are counted, nothing else suffers") {
  const ReplayResult result = Script()
                                  .free(1, 0x999)
                                  .allocate(2, 0x10, 100, 1)
                                  .allocate(3, 0x10, 30, 2)
                                  .reallocate(4, 5, 0x777, 0x20, 5, 3)
                                  .run();
  CHECK(result.unknown_frees == 2);
  CHECK(result.free_calls == 2);
  CHECK(result.implicit_frees == 1);
  CHECK(result.live_bytes == 35);
  CHECK(site_of(result, 1).live_bytes == 0);
  CHECK(result.reallocs.calls == 0);
}

TEST_CASE("allocation and free of one address at one stamp take the only order that makes sense") {
  // Free sorted first although it frees the block allocated at the same stamp by another thread.
  const ReplayResult handed = Script().free(5, 0x10, 2).allocate(5, 0x10, 8, 1, 1).run();
  CHECK(handed.unknown_frees == 0);
  CHECK(handed.live_blocks == 0);
  // Free of the old block, then its address again.
  const ReplayResult reused = Script().allocate(1, 0x10, 8).free(5, 0x10, 2).allocate(5, 0x10, 9, 1, 1).run();
  CHECK(reused.unknown_frees == 0);
  CHECK(reused.live_bytes == 9);
}

TEST_CASE("a replay stops at a moment, and before a realloc that is under way there") {
  Script script;
  script.allocate(10, 0x10, 8).allocate(20, 0x20, 16).reallocate(30, 40, 0x10, 0x30, 100).free(50, 0x20);
  CHECK(script.run({.last_ticks = 15}).live_bytes == 8);
  CHECK(script.run({.last_ticks = 20}).live_bytes == 24);
  CHECK(script.run({.last_ticks = 35}).live_bytes == 24);
  CHECK(script.run({.last_ticks = 40}).live_bytes == 116);
  CHECK(script.run({.last_step = 2}).live_bytes == 24);
  const ReplayResult full = script.run();
  CHECK(script.run({.last_step = full.peak_step}).live_bytes == full.peak_bytes);
}

TEST_CASE("size classes, lifetimes and threads add up") {
  const ReplayResult result =
      Script().allocate(1, 0x10, 0).allocate(2, 0x20, 16).allocate(3, 0x30, 17, 1, 2).free(1000, 0x20).run();
  CHECK(result.size_classes[0].calls == 1);
  CHECK(result.size_classes[4].calls == 1);
  CHECK(result.size_classes[5].calls == 1);
  CHECK(result.size_classes[5].live_bytes == 17);
  CHECK(result.size_classes[4].live_blocks == 0);
  CHECK(result.lifetimes[10] == 1); // 998 ticks
  CHECK(result.threads[1].allocation_calls == 2);
  CHECK(result.threads[2].live_bytes == 17);
  CHECK(result.threads[2].peak_bytes == 17);
  CHECK(result.threads[1].peak_bytes == 16);
}

TEST_CASE("named mappings are accounted by name, also where the mapping itself was not seen") {
  const auto mmap = [](uint64_t address, uint64_t length) {
    return std::vector<uint64_t>{address, length, 3, 0x22, 1, 0, 0};
  };
  const ReplayResult result =
      Script()
          .extended(1, ExtendedKind::mmap, mmap(0x100000, 0x10000), "", 5)
          .extended(2, ExtendedKind::vma_name, {0x100000, 0x8000, 0}, "dart-heap")
          .extended(3, ExtendedKind::vma_name, {0x900000, 0x4000, zigzag(-22)}, "dart-code")
          .extended(4, ExtendedKind::munmap, {0x104000, 0x8000})
          .run();
  const MappingTotals& totals = result.mappings.totals();
  CHECK(totals.map_calls == 1);
  CHECK(totals.unmap_calls == 1);
  CHECK(totals.names_refused == 1);
  CHECK(totals.peak_bytes == 0x14000);
  CHECK(totals.mapped_bytes == 0xc000);
  std::map<std::string, MappingUse> names;
  for (const auto& name : result.mappings.by_name())
    names[name.name] = name.use;
  CHECK(names["dart-heap"].live_bytes == 0x4000);
  CHECK(names["dart-heap"].max_live_bytes == 0x8000);
  CHECK(names["dart-code"].live_bytes == 0x4000);
  CHECK(names[""].live_bytes == 0x4000);
}

TEST_CASE("mremap carries name and site along") {
  Script script;
  script.extended(1, ExtendedKind::mmap, {0x100000, 0x1000, 3, 0x22, 1, 0, 0}, "", 5)
      .extended(2, ExtendedKind::vma_name, {0x100000, 0x1000, 0}, "pool");
  const std::vector<uint64_t> move = {0x100000, 0x1000, 0x200000, 0x3000, 1, 5};
  script.extended(3, ExtendedKind::mremap, move, "", 6, kStepRelease);
  script.extended(4, ExtendedKind::mremap, move, "", 6, kStepAfterRelease);
  const ReplayResult result = script.run();
  CHECK(result.mappings.totals().mapped_bytes == 0x3000);
  for (const auto& name : result.mappings.by_name())
    if (name.name == "pool")
      CHECK(name.use.live_bytes == 0x3000);
}

TEST_CASE("the live table agrees with a map through growth and deletion") {
  LiveTable table;
  std::unordered_map<uint64_t, uint64_t> expected;
  std::mt19937_64 random(3);
  for (int i = 0; i < 300000; ++i) {
    const uint64_t address = 16 * (1 + random() % 20000) + (random() % 8 == 0 ? random() % 16 : 0);
    if (LiveBlock* entry = table.find(address)) {
      REQUIRE(expected.count(address) == 1);
      REQUIRE(uint64_t{entry->size} == expected[address]);
      table.erase(entry);
      expected.erase(address);
    } else {
      REQUIRE(expected.count(address) == 0);
      LiveBlock block{};
      block.address = address;
      block.size = random() & 0xffff;
      expected[address] = block.size;
      table.insert(block);
    }
    REQUIRE(table.size() == expected.size());
  }
  size_t visited = 0;
  table.for_each([&](const LiveBlock& block) {
    ++visited;
    CHECK(expected.at(block.address) == uint64_t{block.size});
  });
  CHECK(visited == expected.size());
}

TEST_CASE("a replay calls at each stop, with all that happened up to it and nothing after") {
  std::vector<std::pair<size_t, uint64_t>> seen; // stop, live bytes
  ReplayOptions options;
  options.stops = {5, 10, 10, 15, 1000};
  options.at_stop = [&](size_t stop, const Replay& replay) {
    seen.emplace_back(stop, replay.result().live_bytes);
  };
  Script().allocate(10, 0x1000, 100).allocate(11, 0x2000, 50).free(20, 0x1000).run({}, options);
  CHECK(seen == std::vector<std::pair<size_t, uint64_t>>{{0, 0}, {1, 100}, {2, 100}, {3, 150}, {4, 50}});
}

TEST_CASE("the last stamp there is, which no clock gives, passes each stop once") {
  std::vector<size_t> seen;
  ReplayOptions options;
  options.stops = {5, UINT64_MAX};
  options.at_stop = [&](size_t stop, const Replay&) { seen.push_back(stop); };
  const Script script =
      Script().allocate(10, 0x1000, 100).allocate(UINT64_MAX, 0x2000, 50).free(UINT64_MAX, 0x1000);
  CHECK(script.run({}, options).live_bytes == 50);
  CHECK(seen == std::vector<size_t>{0, 1});
  CHECK(script.run().live_bytes == 50);
}

TEST_CASE("usable sizes of live blocks are kept exactly") {
  UsableSizes sizes;
  for (uint64_t usable = 24; usable < (1u << 26); usable += usable / 4) {
    const uint64_t size = usable - usable / 5;
    CHECK(sizes.usable_of(size, sizes.code_of(size, usable)) == usable);
  }
  CHECK(sizes.usable_of(100, sizes.code_of(100, 40)) == 100); // less than was asked for: damage
  // More large ones than the table holds: never more than there is, and those already known stay exact.
  UsableSizes many;
  for (uint64_t i = 0; i < 20'000; ++i)
    CHECK(many.usable_of(8, many.code_of(8, 1'000'000 + i)) <= 1'000'000 + i);
  CHECK(many.usable_of(8, many.code_of(8, 1'000'005)) == 1'000'005);
}

TEST_CASE("random programs: peak, per-site peak and live bytes equal a naive replay") {
  std::mt19937_64 random(11);
  for (int round = 0; round < 20; ++round) {
    Script script;
    struct Block {
      uint64_t size;
      StackId stack;
    };
    std::map<uint64_t, Block> live;
    std::map<StackId, uint64_t> by_site, at_peak;
    uint64_t bytes = 0, peak = 0, ticks = 0;
    const auto allocate = [&](uint64_t address, uint64_t size, StackId stack) {
      live[address] = {size, stack};
      by_site[stack] += size;
      bytes += size;
      if (bytes > peak) {
        peak = bytes;
        at_peak = by_site;
      }
    };
    const auto release = [&](std::map<uint64_t, Block>::iterator block) {
      by_site[block->second.stack] -= block->second.size;
      bytes -= block->second.size;
      live.erase(block);
    };
    for (int i = 0; i < 3000; ++i) {
      const uint64_t choice = random() % 10;
      const StackId stack = 1 + static_cast<StackId>(random() % 12);
      const uint64_t size = random() % 500, fresh = 0x10000 + 16 * random() % 0x100000 * 16;
      if (choice < 5 || live.empty()) {
        if (live.count(fresh) != 0)
          continue;
        script.allocate(++ticks, fresh, size, stack, 1 + static_cast<uint32_t>(random() % 3));
        allocate(fresh, size, stack);
      } else {
        auto victim = live.lower_bound(fresh);
        if (victim == live.end())
          victim = live.begin();
        const uint64_t old = victim->first;
        if (choice < 9) {
          script.free(++ticks, old);
          release(victim);
        } else {
          const uint64_t target = random() % 2 == 0 || live.count(fresh) != 0 ? old : fresh;
          script.reallocate(ticks + 1, ticks + 2, old, target, size, stack);
          ticks += 2;
          release(victim);
          allocate(target, size, stack);
        }
      }
    }
    const ReplayResult result = script.run();
    REQUIRE(result.implicit_frees == 0);
    REQUIRE(result.unknown_frees == 0);
    CHECK(result.peak_bytes == peak);
    CHECK(result.live_bytes == bytes);
    for (const auto& [stack, live_bytes] : by_site) {
      CHECK(site_of(result, stack).live_bytes == live_bytes);
      CHECK(site_of(result, stack).peak_bytes == at_peak[stack]);
    }
  }
}

TEST_CASE("the timeline keeps maxima however long the run") {
  Script script;
  script.allocate(1, 0x10, 1000).free(2, 0x10);
  script.allocate(uint64_t{1} << 40, 0x20, 10).free(uint64_t{1} << 45, 0x20);
  const ReplayResult result = script.run();
  CHECK(result.timeline.size() <= Replay::kTimelineBins + 1);
  uint64_t most = 0;
  for (const TimelineBin& bin : result.timeline)
    most = std::max(most, bin.max_live_bytes);
  CHECK(most == 1000);
  CHECK(result.timeline.back().max_live_bytes == 10);
}
