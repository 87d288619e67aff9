// Walks of stacks deeper than what is remembered: both ends are kept, the middle is marked as missing, and an
// event costs a bounded number of frames.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <memory>
#include <pthread.h>
#include <string>
#include <vector>

#include "unwind/tests/test_event.h"

#define KEEP(pointer) asm volatile("" : : "r"(pointer) : "memory")

namespace {

hl::test::Environment g_env;

// Deep recursion: captured, but compared only at its ends.
struct Deep {
  hl::WalkMemo memo{};
  hl::ReadableRanges ranges{};
  uint64_t events = 0, wrong = 0, without_marker = 0;
  std::string first;
};
Deep* g_deep;

uint64_t deep_event(const hl::EntryRegisters* entry, void*) {
  Deep& deep = *g_deep;
  const hl::StackId id = hl::capture_stack(deep.memo, *entry, g_env.context);
  if (++deep.events % 64)
    return 0;
  const auto frames = g_env.frames_of(id);
  constexpr uint32_t kCompared = hl::WalkMemo::kInnerKept;
  hl::WalkedFrame fresh[kCompared];
  const hl::PlainWalk plain = hl::walk_plainly(*entry, g_env.context, deep.ranges, fresh, kCompared);
  uint32_t i = 0;
  while (i < plain.frames && i < frames.size() && frames[i].pc == fresh[i].pc)
    ++i;
  bool marked = false;
  for (const auto& f : frames)
    marked |= f.module == hl::kMarkerModule;
  if (i != plain.frames) {
    ++deep.wrong;
    if (deep.first.empty())
      deep.first = hl::test::text_of(frames);
  }
  // The stack must never look complete when its middle is missing.
  if (!marked && frames.size() > hl::WalkMemo::kFrames)
    ++deep.without_marker;
  return 0;
}

[[gnu::noinline]] int deep_even(int depth);
[[gnu::noinline]] int deep_odd(int depth) {
  volatile char local[16];
  KEEP(local);
  hl_test_event(deep_event, nullptr);
  const int r = depth > 0 ? deep_even(depth - 1) + 1 : 0;
  hl_test_event(deep_event, nullptr);
  return r;
}
[[gnu::noinline]] int deep_even(int depth) {
  hl_test_event(deep_event, nullptr);
  const int r = depth > 0 ? (depth % 3 ? deep_odd(depth - 1) : deep_even(depth - 1)) : 0;
  hl_test_event(deep_event, nullptr);
  return r + 1;
}

} // namespace

TEST_CASE("a recursion of 100 000 frames keeps both ends and ends soon") {
  const auto deep = std::make_unique<Deep>();
  g_deep = deep.get();
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 << 20);
  pthread_t thread;
  const uint64_t nodes_before = g_env.node_count;
  REQUIRE(pthread_create(
              &thread, &attributes, [](void*) -> void* { return deep_even(100'000), nullptr; }, nullptr) ==
          0);
  pthread_join(thread, nullptr);
  CHECK(deep->events > 200'000);
  CHECK(deep->wrong == 0);
  CHECK(deep->first == "");
  CHECK(deep->without_marker == 0);
  // A bounded number of frames is walked for each event, and nodes do not grow with depth squared.
  CHECK(deep->memo.walked_frames < 8 * deep->events);
  CHECK(g_env.node_count - nodes_before < 3 * deep->events);
}

namespace {

// One event at the bottom of a recursion, its stack compared with a plain walk of all frames.
struct Bottom {
  hl::WalkMemo memo{};
  std::vector<hl::WalkedFrame> all = std::vector<hl::WalkedFrame>(10'000);
  uint32_t inner = 0, outer = 0, depth = 0, markers = 0;
  bool ends_agree = false;
};

uint64_t bottom_event(const hl::EntryRegisters* entry, void* argument) {
  Bottom& bottom = *static_cast<Bottom*>(argument);
  const auto frames = g_env.frames_of(hl::capture_stack(bottom.memo, *entry, g_env.context));
  hl::ReadableRanges ranges{};
  const uint32_t depth = hl::walk_plainly(*entry, g_env.context, ranges, bottom.all.data(), 10'000).frames;
  uint32_t inner = 0;
  while (inner < frames.size() && frames[inner].module != hl::kMarkerModule)
    ++inner;
  const auto outer = static_cast<uint32_t>(frames.size()) - inner;
  bottom.ends_agree = true;
  for (uint32_t i = 0; i < inner; ++i)
    bottom.ends_agree &= frames[i].pc == bottom.all[i].pc;
  for (uint32_t i = 1; i < outer; ++i) // 0: the marker
    bottom.ends_agree &= frames[inner + i].pc == bottom.all[depth - outer + i].pc;
  bottom.markers = outer != 0;
  bottom.inner = inner;
  bottom.outer = outer ? outer - 1 : 0;
  bottom.depth = depth;
  return 0;
}

[[gnu::noinline]] int sink_even(Bottom* bottom, int depth);
[[gnu::noinline]] int sink_odd(Bottom* bottom, int depth) {
  volatile char local[40];
  KEEP(local);
  return (depth > 0 ? sink_even(bottom, depth - 1) : static_cast<int>(hl_test_event(bottom_event, bottom))) +
         1;
}
[[gnu::noinline]] int sink_even(Bottom* bottom, int depth) {
  if (depth == 0)
    return static_cast<int>(hl_test_event(bottom_event, bottom));
  return (depth % 3 ? sink_odd(bottom, depth - 1) : sink_even(bottom, depth - 1)) + 2;
}

} // namespace

TEST_CASE("a first event deeper than the memory still finds the outer end") {
  const auto bottom = std::make_unique<Bottom>();
  constexpr uint32_t kAll = hl::WalkMemo::kFrames, kOuter = hl::WalkMemo::kOuterKept;
  for (int depth = 700; depth < 6000; depth += depth < 1000 ? 1 : 371) {
    bottom->memo.forget();
    uint64_t walked = 0;
    for (int turn = 0; turn < 2; ++turn) {
      walked = bottom->memo.walked_frames;
      sink_even(bottom.get(), depth);
      CHECK(bottom->ends_agree);
      CHECK(bottom->markers == (bottom->depth > kAll));
      CHECK(bottom->inner == (bottom->markers ? kAll - kOuter : bottom->depth));
      CHECK(bottom->outer == (bottom->markers ? kOuter : 0));
    }
    CHECK(bottom->memo.walked_frames == walked); // what is remembered of the first served the second
  }
  // From the outer end of a shallow stack to one that is too deep at once.
  bottom->memo.forget();
  sink_even(bottom.get(), 20);
  sink_odd(bottom.get(), 5000);
  CHECK(bottom->ends_agree);
  CHECK(bottom->outer == kOuter);
  // A thread that has gone far too often does not go again: the outer end is missing, and marked.
  bottom->memo.forget();
  bottom->memo.far_frames = uint64_t{1} << 30;
  const uint64_t walked = bottom->memo.walked_frames;
  sink_even(bottom.get(), 5000);
  CHECK(bottom->ends_agree);
  CHECK(bottom->markers == 1);
  CHECK(bottom->outer == 0);
  CHECK(bottom->memo.walked_frames - walked == kAll);
}
