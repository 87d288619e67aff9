// Code that comes and goes: module instances, the epoch, and the rule table under threads.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <csignal>
#include <cstring>
#include <dlfcn.h>
#include <iconv.h>
#include <link.h>
#include <memory>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "unwind/tests/test_event.h"
#include "unwind/unwind_check.h"

namespace {

hl::test::Environment g_env;
const auto g_memo = std::make_unique<hl::WalkMemo>();

uint64_t capture(const hl::EntryRegisters* entry, void*) {
  return hl::capture_stack(*g_memo, *entry, g_env.context);
}
uint64_t event_from_library(void*) {
  const uint64_t id = hl_test_event(capture, nullptr);
  asm volatile("");
  return id;
}

uint64_t plain_walk(const hl::EntryRegisters* entry, void* out) {
  static hl::ReadableRanges ranges;
  return hl::walk_plainly(*entry, g_env.context, ranges, static_cast<hl::WalkedFrame*>(out), 100).frames;
}

using CallBack = uint64_t (*)(uint64_t (*)(void*), void*);

struct Visit {
  uint64_t code;
  uint32_t module;
  size_t frames;
  hl::WalkEnd end;
};

// Loads a fixture, makes an event from inside it, unloads it.
[[gnu::noinline]] Visit visit(const char* path) {
  void* const library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  REQUIRE(library != nullptr);
  const auto call_back = reinterpret_cast<CallBack>(dlsym(library, "call_back"));
  const auto frames = g_env.frames_of(static_cast<hl::StackId>(call_back(event_from_library, nullptr)));
  dlclose(library);
  REQUIRE(frames.size() > 3);
  return {reinterpret_cast<uint64_t>(call_back), frames[1].module, frames.size(),
          frames.back().module == hl::kMarkerModule ? hl::WalkEnd::no_rule : hl::WalkEnd::outermost};
}

} // namespace

TEST_CASE("code loaded where other code was is another module, with its own rules") {
  const Visit small = visit(HL_FIXTURE_SMALL), large = visit(HL_FIXTURE_LARGE),
              again = visit(HL_FIXTURE_SMALL);
  REQUIRE(small.code == large.code); // else the test shows nothing
  CHECK(small.module != large.module);
  CHECK(small.frames == large.frames);
  CHECK(large.end == hl::WalkEnd::outermost);
  CHECK(again.frames == small.frames);
  // The same file at the same place is the same instance, with or without another in between: however often
  // they take turns, they need no more records.
  CHECK(again.module == small.module);
  CHECK(visit(HL_FIXTURE_SMALL).module == small.module);
  const size_t modules = g_env.module_paths.size();
  for (int turn = 0; turn < 200; ++turn) {
    CHECK(visit(HL_FIXTURE_LARGE).module == large.module);
    CHECK(visit(HL_FIXTURE_SMALL).module == small.module);
  }
  CHECK(g_env.module_paths.size() == modules);
}

TEST_CASE("libraries that glibc loads by itself change the epoch") {
  REQUIRE(g_env.context.epoch.uses_load_counter());
  const uint32_t before = g_env.context.epoch.now();
  const iconv_t conversion = iconv_open("UTF-7", "UTF-8");
  if (conversion == reinterpret_cast<iconv_t>(-1)) {
    MESSAGE("no gconv modules here: skipped");
    return;
  }
  iconv_close(conversion);
  CHECK(g_env.context.epoch.now() != before);
}

static int iterate_for_another(int (*look)(dl_phdr_info*, size_t, void*), void* data) {
  return dl_iterate_phdr(look, data);
}

TEST_CASE("the load counter is not believed in when it cannot be told for sure") {
  hl::ModuleEpoch epoch;
  CHECK_FALSE(epoch.find_load_counter(nullptr, nullptr));
  static uint64_t nothing[64];
  CHECK_FALSE(epoch.find_load_counter(nothing, dlsym(RTLD_DEFAULT, "dl_iterate_phdr")));
  // Somebody's wrapper: it tells the truth, but its code does not hold the offset.
  CHECK_FALSE(epoch.find_load_counter(dlvsym(RTLD_DEFAULT, "_rtld_global", "GLIBC_PRIVATE"),
                                      reinterpret_cast<const void*>(iterate_for_another)));
  const uint32_t before = epoch.now();
  epoch.bump();
  CHECK(epoch.now() != before);
}

TEST_CASE("a JIT's mapping is no new epoch, one over a module's addresses is") {
  hl_test_event(capture, nullptr);
  const uint32_t before = g_env.context.epoch.now();
  // Too large for the holes that unloaded libraries left: over one of those a new epoch would be right.
  constexpr size_t kBytes = 256 << 20;
  void* const jit = mmap(nullptr, kBytes, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(jit != MAP_FAILED);
  hl::note_executable_mapping(g_env.context, reinterpret_cast<uint64_t>(jit), kBytes);
  CHECK(g_env.context.epoch.now() == before);
  munmap(jit, kBytes);
  hl::note_executable_mapping(g_env.context, reinterpret_cast<uint64_t>(&event_from_library), 16);
  CHECK(g_env.context.epoch.now() != before);
}

TEST_CASE("generated code without call frame information is walked by frame pointer and marked") {
  // push rbp; mov rbp, rsp; mov rax, rdi; mov rdi, rsi; call rax; pop rbp; ret
  const uint8_t code[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0xff, 0xd0, 0x5d, 0xc3};
  void* const jit =
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(jit != MAP_FAILED);
  memcpy(jit, code, sizeof code);
  const auto call = reinterpret_cast<CallBack>(jit);
  for (int round = 0; round < 3; ++round) {
    const auto frames = g_env.frames_of(static_cast<hl::StackId>(call(event_from_library, nullptr)));
    REQUIRE(frames.size() > 3);
    CHECK(frames[1].module == 0);
    CHECK((frames[1].pc & hl::kNodePcMask) == reinterpret_cast<uint64_t>(jit) + 12);
    CHECK((frames[1].pc & hl::kNodeGuessed) == 0); // its address is certain: the frame inside has rules
    CHECK((frames[2].pc & hl::kNodeGuessed) != 0);
    CHECK(frames.back().module != hl::kMarkerModule);
  }
  munmap(jit, 4096);
}

TEST_CASE("without _dl_find_object modules are found in /proc/self/maps") {
  hl::WalkedFrame with[100], without[100];
  const uint64_t n = hl_test_event(plain_walk, with);
  const auto context = std::make_unique<hl::WalkContext>();
  context->tree = &g_env.tree;
  context->modules.storage = g_env.context.modules.storage;
  struct Arguments {
    hl::WalkContext* context;
    hl::WalkedFrame* out;
  } arguments{context.get(), without};
  const uint64_t m = hl_test_event(
      [](const hl::EntryRegisters* entry, void* p) -> uint64_t {
        const auto& a = *static_cast<Arguments*>(p);
        hl::ReadableRanges ranges{};
        return hl::walk_plainly(*entry, *a.context, ranges, a.out, 100).frames;
      },
      &arguments);
  REQUIRE(n == m);
  for (uint64_t i = 1; i < n; ++i) {
    CHECK(with[i].pc == without[i].pc);
    CHECK(without[i].module != 0);
  }
}

TEST_CASE("a forked child starts its own books") {
  const hl::StackId parents = static_cast<hl::StackId>(hl_test_event(capture, nullptr));
  const size_t parents_frames = g_env.frames_of(parents).size();
  const pid_t child = fork();
  if (child == 0) {
    hl::reset_after_fork(g_env.context);
    g_env.module_paths.clear();
    static std::atomic<uint32_t> count{0};
    static hl::NodeBlock block;
    g_env.tree.storage.init([](void*, uint32_t position) { return position ? nullptr : &block; }, nullptr,
                            &count);
    const auto id = static_cast<hl::StackId>(hl_test_event(capture, nullptr));
    const auto frames = g_env.frames_of(id);
    const bool good = frames.size() == parents_frames && count == frames.size() && id == count &&
                      g_env.module_paths.size() >= 2 && frames[0].module == 1;
    _exit(good ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(status == 0);
}

namespace {

volatile sig_atomic_t g_in_child = 0;
volatile sig_atomic_t g_forks = 0, g_bad_children = 0;

void fork_here(int) {
  const pid_t child = fork();
  if (child == 0) {
    static std::atomic<uint32_t> count{0};
    static hl::NodeBlock block;
    hl::reset_after_fork(g_env.context);
    g_env.tree.storage.init([](void*, uint32_t position) { return position ? nullptr : &block; }, nullptr,
                            &count);
    g_in_child = 1;
    return; // into whatever was interrupted, as an application's handler does
  }
  int status = 0;
  waitpid(child, &status, 0);
  g_forks = g_forks + 1;
  if (status != 0)
    g_bad_children = g_bad_children + 1;
}

[[gnu::noinline]] void events_at_depths(int depth) {
  hl_test_event(capture, nullptr);
  if (depth > 0)
    events_at_depths(depth - 1);
  hl_test_event(capture, nullptr);
}

} // namespace

TEST_CASE("a handler that forks in the middle of a walk leaves a child that can go on") {
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = fork_here;
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, &before);
  while (g_forks < 150) {
    // Once at a time: where a fork takes longer than an interval, nothing but the handler would ever run.
    const sig_atomic_t forks = g_forks;
    const itimerval soon{{0, 0}, {0, 100 + forks % 50 * 20}};
    setitimer(ITIMER_REAL, &soon, nullptr);
    while (g_forks == forks && !g_in_child) {
      g_memo->forget();
      events_at_depths(20);
    }
    if (g_in_child)
      _exit(0);
  }
  sigaction(SIGALRM, &before, nullptr);
  CHECK(g_bad_children == 0);
}

TEST_CASE("threads that fill the rule table find what was put in, through all of its levels") {
  const auto table = std::make_unique<hl::RuleTable>();
  constexpr uint32_t kKeys = 30'000, kEpoch = 7;
  std::atomic<uint64_t> wrong{0}, missing{0};
  const auto expected = [](uint64_t key) {
    hl::Rule rule{};
    rule.kind = hl::RuleKind::cfa_rsp;
    rule.cfa_offset = static_cast<int32_t>(key * 3);
    rule.module = static_cast<uint32_t>(key ^ 5);
    return rule;
  };
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (uint32_t n = 0; n < kKeys; ++n) {
        const uint64_t key = 0x1000 + (n + t * 7000) % kKeys;
        const hl::RuleEntry* entry = table->find(key, kEpoch);
        if (entry == nullptr)
          entry = table->find_any(key, nullptr);
        if (entry == nullptr) {
          if (!table->insert(key, expected(key), kEpoch, 1))
            missing.fetch_add(1);
          entry = table->find(key, kEpoch);
        }
        if (entry == nullptr)
          continue; // another thread has begun the next level meanwhile
        const hl::Rule e = expected(key);
        if (memcmp(&entry->rule, &e, sizeof e) != 0)
          wrong.fetch_add(1);
      }
    });
  }
  for (auto& t : threads)
    t.join();
  CHECK(wrong == 0);
  CHECK(missing == 0);
  for (uint32_t n = 0; n < kKeys; ++n)
    CHECK(table->find_any(0x1000 + n, nullptr) != nullptr);
  CHECK(table->find(0x1000, kEpoch + 1) == nullptr);
  table->reset();
  CHECK(table->find_any(0x1000, nullptr) == nullptr);
}
