// What a replay notes by generations, against a naive account of the same random program.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <map>
#include <random>

#include "replay/replay.h"

using namespace hl;

TEST_CASE("notes, censuses and frees of random programs equal a naive account") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 10; ++round) {
    struct Block {
      uint64_t size, birth;
      StackId stack;
    };
    EventBatch batch;
    std::map<uint64_t, Block> live;
    const std::vector<uint64_t> boundaries{500, 900, 901, 2000, 2600};
    // By boundary, by stack.
    std::vector<std::map<StackId, SiteNote>> expected(boundaries.size());
    std::vector<std::map<StackId, uint64_t>> births(boundaries.size() + 1);
    std::map<std::pair<StackId, StackId>, uint64_t> freed; // allocated by, freed by
    std::map<std::pair<StackId, uint32_t>, uint64_t> census;
    const auto generation_of = [&](uint64_t ticks) {
      return static_cast<uint32_t>(std::lower_bound(boundaries.begin(), boundaries.end(), ticks) -
                                   boundaries.begin());
    };
    const auto note = [&](size_t b) {
      for (const auto& [address, block] : live) {
        SiteNote& site = expected[b][block.stack];
        site.live_bytes += block.size;
        ++site.live_blocks;
        if (b > 0 && block.birth <= boundaries[b - 1]) {
          site.settled_bytes += block.size;
          ++site.settled_blocks;
        }
        if (b == 3)
          ++census[{block.stack, generation_of(block.birth)}];
      }
    };
    size_t passed = 0;
    for (uint64_t ticks = 1; ticks <= 3000; ++ticks) {
      while (passed < boundaries.size() && ticks > boundaries[passed])
        note(passed++);
      TraceEvent event{};
      event.ticks = ticks;
      event.thread_index = 1;
      if (live.empty() || random() % 100 < 52) {
        event.kind = EventKind::malloc;
        event.address = 16 * ticks;
        event.size = random() % 300;
        event.stack = 1 + static_cast<StackId>(random() % 9);
        live[event.address] = {event.size, ticks, event.stack};
        ++births[passed][event.stack];
      } else {
        auto victim = live.lower_bound(random() % (16 * ticks));
        if (victim == live.end())
          victim = live.begin();
        event.kind = EventKind::free;
        event.address = victim->first;
        event.stack = 20 + static_cast<StackId>(random() % 3);
        ++freed[{victim->second.stack, event.stack}];
        live.erase(victim);
      }
      batch.events.push_back(event);
    }
    ReplayOptions options;
    options.boundaries = boundaries;
    options.censuses = {3};
    options.frees = true;
    Replay replay({}, 0, options);
    replay.consume(batch);
    replay.finish();
    const HeapHistory& history = *replay.history();
    for (uint32_t site = 1; site < replay.result().sites.size(); ++site) {
      const StackId stack = replay.result().site_stacks[site];
      const std::vector<SiteNote> notes = history.notes_of(site);
      REQUIRE(notes.size() == boundaries.size());
      for (size_t b = 0; b < boundaries.size(); ++b) {
        const SiteNote& want = expected[b][stack];
        CHECK(notes[b].live_bytes == want.live_bytes);
        CHECK(notes[b].live_blocks == want.live_blocks);
        CHECK(notes[b].settled_bytes == want.settled_bytes);
        CHECK(notes[b].settled_blocks == want.settled_blocks);
        CHECK(notes[b].births == births[b][stack]);
      }
      for (const Census::Cohort& cohort : history.census(0).cohorts_of(site)) {
        CHECK(cohort.blocks == census[{stack, cohort.generation}]);
        census.erase({stack, cohort.generation});
      }
      uint64_t kin = 0, by_stack = 0;
      for (const FreedByStack& by : history.freed_by_stack(site)) {
        CHECK_FALSE(by.through_realloc);
        CHECK(by.blocks == freed[{stack, by.stack}]);
        by_stack += by.blocks;
      }
      for (const FreedKin& of : history.freed_kin(site))
        kin += of.blocks;
      CHECK(kin == by_stack);
      CHECK(kin == replay.result().sites[site].allocation_calls - replay.result().sites[site].live_blocks);
    }
    CHECK(census.empty());
  }
}

TEST_CASE("a replay that is not asked keeps no history") {
  Replay replay;
  replay.finish();
  CHECK(replay.history() == nullptr);
}
