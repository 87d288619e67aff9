// Missing free: who freed the siblings, and what is claimed to tell the survivors from them.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "analyses/heap_replay.h"
#include "analyses/missing_free.h"
#include "testing/scratch_directory.h"
#include "testing/simulated_program.h"

using namespace hl;
using namespace hl::testing;

namespace {

struct Answered {
  ScratchDirectory scratch;
  std::unique_ptr<Trace> trace;
  Generations generations;
  HeapReplay heap;
  std::unique_ptr<StackResolver> resolver;
  MissingFree missing;

  // Leaked is what is live at the end, of all sites.
  explicit Answered(SimulatedProgram& program) {
    program.write(scratch.file("t.hlt"));
    trace = Trace::open(scratch.file("t.hlt"));
    std::string why;
    generations = *choose_generations(survey_course(*trace, {}, {}), trace->clock(),
                                      *parse_generation_option("allocations:20"), why);
    heap = replay_heap(*trace, {}, {}, history_options(generations, true));
    std::vector<uint32_t> sites;
    for (uint32_t site = 1; site < heap.result().sites.size(); ++site)
      if (heap.result().sites[site].allocation_calls != 0)
        sites.push_back(site);
    std::vector<LiveBlock> leaked;
    heap.replay->live().for_each([&](const LiveBlock& block) { leaked.push_back(block); });
    resolver = std::make_unique<StackResolver>(*trace, SymbolizerOptions{});
    std::vector<StackId> stacks = allocating(sites);
    for (const StackId stack : freeing_stacks(*heap.replay, sites))
      stacks.push_back(stack);
    resolver->resolve(stacks);
    missing = missing_free(*heap.replay, generations, trace->clock(), *resolver, sites, leaked);
  }
  std::vector<StackId> allocating(const std::vector<uint32_t>& sites) const {
    std::vector<StackId> stacks;
    for (const uint32_t site : sites)
      stacks.push_back(heap.result().site_stacks[site]);
    return stacks;
  }
  // The name of a stack's innermost frame.
  std::string name(StackId stack) const { return std::string(resolver->frames(stack).front().function); }
};

} // namespace

TEST_CASE("who freed the siblings, and which function the survivors came through") {
  SimulatedProgram program;
  // main -> request | main -> timeout -> retry, both into open.
  const StackId main_frame = program.stack(), request = program.stack(main_frame),
                timeout = program.stack(main_frame), retry = program.stack(timeout);
  const StackId open = program.stack(request);
  const StackId open_late = program.builder().node(retry, 0, 0x400000 + 16 * 5); // the same function
  const StackId close = program.stack(main_frame), purge = program.stack(main_frame);
  for (int i = 0; i < 400; ++i)
    program.release(program.allocate(open, 100), i % 10 == 0 ? purge : close);
  for (int i = 0; i < 25; ++i)
    program.allocate(open_late, 100);
  program.allocate(open, 100); // still in use: no more than a tenth of the survivors
  const Answered answered(program);
  const MissingFree& missing = answered.missing;
  CHECK(missing.survivors == 26);
  CHECK(missing.freed_blocks == 400);
  CHECK(missing.free_stacks_known);
  REQUIRE(missing.freed_by.size() == 2);
  CHECK(missing.freed_by[0].function == answered.name(close));
  CHECK(missing.freed_by[0].blocks == 360);
  CHECK(missing.freed_by[0].bytes == 36000);
  CHECK(missing.freed_by[0].stack == close);
  CHECK(missing.freed_by[1].function == answered.name(purge));
  CHECK(missing.freed_by[1].blocks == 40);
  CHECK(missing.freed_otherwise == 0);
  CHECK(missing.distinction.kind == Distinction::Kind::function);
  // Where the ways part, not what follows from it.
  CHECK(missing.distinction.function == answered.name(timeout));
  CHECK(missing.distinction.share_of_survivors == doctest::Approx(25.0 / 26));
  CHECK(missing.distinction.share_of_freed == 0);
}

TEST_CASE("nothing is claimed where nothing tells survivors apart") {
  SimulatedProgram program;
  const StackId site = program.stack();
  for (int i = 0; i < 1000; ++i) {
    const uint64_t block = program.allocate(site, 100 + i % 7 * 100, 1 + i % 3);
    if (i % 13 != 0)
      program.release(block);
  }
  const Answered answered(program);
  CHECK(answered.missing.survivors == 77);
  CHECK(answered.missing.freed_blocks == 923);
  CHECK_FALSE(answered.missing.free_stacks_known);
  CHECK(answered.missing.freed_by.empty());
  CHECK(answered.missing.freed_otherwise == 923);
  CHECK(answered.missing.distinction.kind == Distinction::Kind::none);
}

TEST_CASE("a thread, a size or a period can tell them apart") {
  const auto answer = [](auto leaks, auto size, auto thread) {
    SimulatedProgram program;
    const StackId site = program.stack();
    for (int i = 0; i < 1000; ++i) {
      const uint64_t block = program.allocate(site, size(i), thread(i));
      if (!leaks(i))
        program.release(block, 0, thread(i));
    }
    return std::make_unique<Answered>(program);
  };
  const auto same_size = [](int) { return 100; };
  const auto one_thread = [](int) { return 1u; };
  const auto by_thread =
      answer([](int i) { return i % 11 == 0; }, same_size, [](int i) { return i % 11 == 0 ? 4u : 2u; });
  CHECK(by_thread->missing.distinction.kind == Distinction::Kind::thread);
  CHECK(by_thread->missing.distinction.thread == 4);
  const auto by_size = answer([](int i) { return i % 11 == 0; },
                              [](int i) { return i % 11 == 0 ? 5000 + i : 10 + i % 500; }, one_thread);
  CHECK(by_size->missing.distinction.kind == Distinction::Kind::size);
  CHECK(by_size->missing.distinction.from_bytes == 4097);
  CHECK(by_size->missing.distinction.to_bytes == 8192);
  const auto by_period = answer([](int i) { return i >= 400 && i < 440; }, same_size, one_thread);
  CHECK(by_period->missing.distinction.kind == Distinction::Kind::period);
  CHECK(by_period->missing.distinction.from_ns < by_period->missing.distinction.to_ns);
  // What is merely in use at the end is no period in which something went wrong.
  const auto in_use = answer([](int i) { return i >= 970; }, same_size, one_thread);
  CHECK(in_use->missing.distinction.kind == Distinction::Kind::none);
}

TEST_CASE("reallocs are told from frees") {
  SimulatedProgram program;
  const StackId site = program.stack(), grow = program.stack();
  TraceBuilder& builder = program.builder();
  for (uint64_t i = 0; i < 50; ++i) {
    const uint64_t at = 1000 + i * 100;
    builder.add(1, malloc_event(at, 0x1000 + i * 64, 32, site));
    builder.add(1, realloc_event(at + 10, at + 20, 0x1000 + i * 64, 0x100000 + i * 64, 48, grow));
  }
  program.wait(100000);
  const Answered answered(program);
  // The first half of each realloc took a block of `site`, and left one of `grow`.
  REQUIRE(answered.missing.freed_by.size() == 1);
  CHECK(answered.missing.freed_by[0].through_realloc);
  CHECK(answered.missing.freed_by[0].blocks == 50);
  CHECK_FALSE(answered.missing.free_stacks_known);
}
