// What one capture of the stack costs, without hooks, encoding or recorder.
//
//   walk_bench [CASE] [EVENTS]     CASE: hit, site, middle, deep, fresh, all (default)
//
// Times are minima of several rounds. With one case and a small number of events it is meant to be run under
// `valgrind --tool=callgrind --toggle-collect='*measured_loop*'`: instructions do not depend on the machine's
// mood.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "unwind/tests/test_event.h"

namespace {

hl::test::Environment g_environment;
hl::WalkMemo g_memo;
volatile uint64_t g_sink;
uint64_t g_events = 2'000'000;

enum class Case { hit, site, middle, deep, fresh };
Case g_case;

uint64_t capture(const hl::EntryRegisters* registers, void*) {
  return hl::capture_stack(g_memo, *registers, g_environment.context);
}

uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

// Two call sites and a two-frame variant, so that events differ as real ones do.
[[gnu::noinline]] void leaf(uint64_t i) {
  if (i & 1)
    g_sink = g_sink + hl_test_event(capture, nullptr);
  else
    g_sink = g_sink + hl_test_event(capture, nullptr) + 1;
  asm volatile("");
}
[[gnu::noinline]] void branch(uint64_t i) {
  if (i & 1) {
    leaf(0);
    asm volatile("# odd"); // keeps the two calls apart
  } else {
    leaf(0);
    asm volatile("# even");
  }
}

[[gnu::noinline]] void middle_inner(uint64_t i, int depth) {
  if (depth > 0)
    middle_inner(i, depth - 1);
  else
    leaf(0);
  asm volatile("");
}
[[gnu::noinline]] void middle(uint64_t i) {
  if (i & 1) {
    middle_inner(i, 6);
    asm volatile("# odd");
  } else {
    middle_inner(i, 6);
    asm volatile("# even");
  }
}

[[gnu::noinline]] double measured_loop() {
  const uint64_t start = now_ns();
  for (uint64_t i = 0; i < g_events; ++i) {
    switch (g_case) {
    case Case::hit:
      leaf(0);
      break;
    case Case::site:
      leaf(i);
      break;
    case Case::deep:
      branch(i);
      break;
    case Case::middle:
      middle(i);
      break;
    case Case::fresh:
      g_memo.count = g_memo.gap = g_memo.cut = 0;
      leaf(0);
      break;
    }
  }
  return static_cast<double>(now_ns() - start) / static_cast<double>(g_events);
}

[[gnu::noinline]] double at_depth(int depth) {
  volatile char frame[32];
  frame[0] = static_cast<char>(depth);
  const double result = depth > 0 ? at_depth(depth - 1) : measured_loop();
  asm volatile("" : : "r"(frame));
  return result;
}

void run(Case c, const char* name, const char* what) {
  g_case = c;
  double best = 1e9;
  const uint64_t walked = g_memo.walked_frames;
  const int rounds = g_events < 100'000 ? 1 : 5;
  for (int round = 0; round < rounds; ++round) {
    const double ns = at_depth(30);
    if (ns < best)
      best = ns;
  }
  const double frames = static_cast<double>(g_memo.walked_frames - walked) / static_cast<double>(rounds) /
                        static_cast<double>(g_events);
  std::printf("%-7s %7.1f ns/event  %5.2f frames walked/event  (%s)\n", name, best, frames, what);
}

} // namespace

int main(int argc, char** argv) {
  const char* which = argc > 1 ? argv[1] : "all";
  if (argc > 2)
    g_events = std::strtoull(argv[2], nullptr, 10);
  const struct {
    Case c;
    const char* name;
    const char* what;
  } cases[] = {{Case::hit, "hit", "the same stack each time"},
               {Case::site, "site", "another call site in the innermost frame"},
               {Case::deep, "deep", "another call site one frame farther out"},
               {Case::middle, "middle", "another call site eight frames farther out"},
               {Case::fresh, "fresh", "nothing remembered"}};
  for (const auto& c : cases) {
    if (std::strcmp(which, "all") == 0 || std::strcmp(which, c.name) == 0)
      run(c.c, c.name, c.what);
  }
  g_case = Case::hit;
  g_events = 1;
  at_depth(30);
  std::printf("depth of the walks: %u frames, load counter %s\n", g_memo.count,
              g_environment.context.epoch.uses_load_counter() ? "found" : "not found");
  return 0;
}
