// Walks of real stacks: the remembering walk must equal a fresh walk and libunwind's, whatever happens
// between two events and wherever a signal arrives.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <alloca.h>
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <dlfcn.h>
#include <functional>
#include <memory>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <ucontext.h>
#include <unistd.h>
#include <vector>

#include "unwind/tests/test_event.h"
#include "unwind/unwind_check.h"

namespace {

hl::test::Environment g_env;
hl::UnwindOracle g_oracle;
const bool kHaveOracle = g_oracle.load(dlopen, dlsym);

struct Outcome {
  uint64_t events = 0;
  uint64_t differs_from_fresh = 0;
  uint64_t differs_from_oracle = 0;
  std::string first;
};

struct Thread {
  hl::WalkMemo memo{};
  hl::ReadableRanges ranges{};
  Outcome outcome;
};
thread_local Thread* t_thread = nullptr;

// An event: captured with memory, and compared with a walk without and with libunwind's.
uint64_t compared_event(const hl::EntryRegisters* entry, void*) {
  Thread& thread = *t_thread;
  const hl::StackId id = hl::capture_stack(thread.memo, *entry, g_env.context);
  const auto frames = g_env.frames_of(id);
  std::vector<hl::WalkedFrame> fresh(4096);
  const hl::PlainWalk plain = hl::walk_plainly(*entry, g_env.context, thread.ranges, fresh.data(), 4096);
  fresh.resize(plain.frames);
  if (plain.end != hl::WalkEnd::outermost)
    fresh.push_back({1 + static_cast<uint64_t>(plain.end), hl::kMarkerModule});
  ++thread.outcome.events;
  bool same = frames.size() == fresh.size();
  for (size_t i = 0; same && i < frames.size(); ++i)
    same = frames[i].pc == fresh[i].pc && frames[i].module == fresh[i].module;
  if (!same) {
    ++thread.outcome.differs_from_fresh;
    if (thread.outcome.first.empty())
      thread.outcome.first =
          "remembered" + hl::test::text_of(frames) + "\nfresh     " + hl::test::text_of(fresh);
  }
  if (!g_oracle.compare(*entry, g_env.context, id))
    ++thread.outcome.differs_from_oracle;
  return id;
}

void event() {
  hl_test_event(compared_event, nullptr);
}

struct Random {
  uint64_t state;
  uint32_t operator()(uint32_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>((state >> 33) % below);
  }
};

// Functions of every shape, calling each other at random.
using Node = void (*)(Random&, int);
void random_node(Random& random, int depth);

#define KEEP(pointer) asm volatile("" : : "r"(pointer) : "memory")

template <int kKind> [[gnu::noinline]] void plain_node(Random& random, int depth) {
  volatile char local[kKind * 24 + 8];
  KEEP(local);
  const uint32_t turns = random(3);
  for (uint32_t i = 0; i < turns; ++i) {
    if (random(2))
      event();
    random_node(random, depth - 1);
    if (random(3) == 0)
      event();
  }
  KEEP(local);
}
[[gnu::noinline]] void alloca_node(Random& random, int depth) {
  void* p = alloca(16 + random(500));
  KEEP(p);
  event();
  random_node(random, depth - 1);
  void* q = alloca(16 + random(100));
  KEEP(q);
  event();
}
[[gnu::noinline]] void aligned_node(Random& random, int depth) {
  alignas(64) volatile char local[100];
  KEEP(local);
  random_node(random, depth - 1);
  event();
  KEEP(local);
}
// Arguments on the stack and a realigned frame: gcc addresses them by r10, and the CFA is an expression.
[[gnu::noinline]] void realigned_node(int, int, int, int, int, int, long x, Random& random, int depth) {
  alignas(64) volatile char local[100];
  void* p = alloca(16 + random(64));
  KEEP(p);
  KEEP(local);
  local[0] = static_cast<char>(x);
  event();
  random_node(random, depth - 1);
  event();
  KEEP(local);
}
void realigned_caller(Random& random, int depth) {
  realigned_node(1, 2, 3, 4, 5, 6, depth, random, depth);
  KEEP(&random);
}
[[gnu::noinline, gnu::optimize("no-omit-frame-pointer")]] void frame_pointer_node(Random& random, int depth) {
  event();
  random_node(random, depth - 1);
  random_node(random, depth - 2);
  KEEP(&random);
}
struct Sorted {
  Random* random;
  int depth;
};
[[gnu::noinline]] void library_node(Random& random, int depth) {
  static thread_local Sorted sorted;
  const Sorted before = sorted;
  sorted = {&random, depth};
  int values[3] = {3, 1, 2};
  qsort(values, 3, sizeof(int), [](const void* a, const void* b) {
    const int d = sorted.depth;
    event();
    if ((*sorted.random)(4) == 0)
      random_node(*sorted.random, d - 2);
    sorted.depth = d;
    return *static_cast<const int*>(a) - *static_cast<const int*>(b);
  });
  sorted = before;
}
[[gnu::noinline]] void throwing_node(Random& random, int depth) {
  try {
    random_node(random, depth - 1);
    event();
    if (random(2))
      throw std::runtime_error("x");
  } catch (const std::exception&) {
    event();
    random_node(random, depth - 2);
  }
}
thread_local std::jmp_buf* t_jump = nullptr;
[[gnu::noinline]] void jumping_node(Random& random, int depth) {
  std::jmp_buf here;
  std::jmp_buf* const before = t_jump;
  if (setjmp(here) == 0) {
    t_jump = &here;
    event();
    // No object with a destructor and no try block lives between here and the jump: plain recursion only.
    struct Down {
      [[gnu::noinline]] static void go(int n) {
        event();
        if (n < 0)
          return;
        if (n > 0)
          go(n - 1);
        else
          longjmp(*t_jump, 1);
        KEEP(&n);
      }
    };
    Down::go(static_cast<int>(random(5)));
  }
  t_jump = before;
  event();
  if (depth > 0 && random(2))
    random_node(random, depth - 2);
}
[[gnu::noinline]] void function_node(Random& random, int depth) {
  const std::function<void()> f = [&] {
    event();
    random_node(random, depth - 1);
  };
  f();
  event();
}

const Node kNodes[] = {plain_node<0>, plain_node<1>, plain_node<3>,    plain_node<20>,
                       alloca_node,   aligned_node,  realigned_caller, frame_pointer_node,
                       library_node,  throwing_node, jumping_node,     function_node};

void random_node(Random& random, int depth) {
  if (depth <= 0)
    return;
  kNodes[random(std::size(kNodes))](random, depth);
  asm volatile(""); // not a tail call
}

void run_random_trees(uint64_t seed, uint64_t events) {
  Random random{seed};
  while (t_thread->outcome.events < events) {
    switch (random(3)) {
    case 0:
      random_node(random, 12);
      break;
    case 1:
      random_node(random, 25);
      break;
    default:
      plain_node<7>(random, 8);
      // A frame in between changes while the innermost stays what it was.
      for (int i = 0; i < 4; ++i) {
        if (random(2))
          alloca_node(random, 2);
        else
          frame_pointer_node(random, 2);
      }
    }
  }
}

// Runs `body` with a thread's own memory and returns what became of its events.
template <typename Body> Outcome on_this_thread(Body body) {
  const auto thread = std::make_unique<Thread>();
  t_thread = thread.get();
  body();
  t_thread = nullptr;
  return thread->outcome;
}

void check_outcome(const Outcome& outcome, uint64_t least_events) {
  CHECK(outcome.events >= least_events);
  CHECK(outcome.differs_from_fresh == 0);
  CHECK(outcome.first == "");
  CHECK(outcome.differs_from_oracle == 0);
  if (outcome.differs_from_oracle)
    MESSAGE(std::string(g_oracle.text(), g_oracle.text_bytes()));
}

} // namespace

TEST_CASE("the oracle and ld.so's load counter are there") {
  CHECK(kHaveOracle);
  CHECK(g_env.context.epoch.uses_load_counter());
}

TEST_CASE("random call trees: remembered, fresh and libunwind's walks are the same") {
  const Outcome outcome = on_this_thread([] { run_random_trees(1, 60'000); });
  check_outcome(outcome, 60'000);
}

TEST_CASE("several threads share the tables") {
  std::vector<Outcome> outcomes(3);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < outcomes.size(); ++t)
    threads.emplace_back([&, t] { outcomes[t] = on_this_thread([&] { run_random_trees(100 + t, 8'000); }); });
  for (auto& t : threads)
    t.join();
  for (const auto& o : outcomes)
    check_outcome(o, 8'000);
}

TEST_CASE("a stack is walked to its outermost frame, on any thread") {
  const uint64_t before = g_env.walk_ends[static_cast<int>(hl::WalkEnd::outermost)];
  uint64_t ends = 0;
  std::thread([&] {
    on_this_thread([] { event(); });
    ends = g_env.walk_ends[static_cast<int>(hl::WalkEnd::outermost)] - before;
  }).join();
  CHECK(ends == 1);
}

namespace {

// Coroutines: other stacks come and go, and come back where others were.
struct Coroutine {
  ucontext_t context, caller;
  void* stack = nullptr;
  size_t bytes = 0;
  Random random{0};
  bool done = false;
};
thread_local Coroutine* t_coroutine;

void coroutine_body() {
  Coroutine& c = *t_coroutine;
  for (int i = 0; i < 3; ++i) {
    event();
    random_node(c.random, 6);
    swapcontext(&c.context, &c.caller);
    event();
  }
  c.done = true;
}

[[gnu::noinline]] std::unique_ptr<Coroutine> make_coroutine(Random& random) {
  auto c = std::make_unique<Coroutine>();
  c->bytes = (4 + random(8)) * 16384;
  c->stack = mmap(nullptr, c->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(c->stack, 4096, PROT_NONE);
  c->random.state = random(1 << 30);
  getcontext(&c->context);
  c->context.uc_stack.ss_sp = static_cast<char*>(c->stack) + 4096;
  c->context.uc_stack.ss_size = c->bytes - 4096;
  c->context.uc_link = &c->caller;
  makecontext(&c->context, coroutine_body, 0);
  return c;
}

void run_coroutines() {
  Random random{7};
  for (int round = 0; round < 60; ++round) {
    std::vector<std::unique_ptr<Coroutine>> all;
    for (int i = 0; i < 6; ++i)
      all.push_back(make_coroutine(random));
    for (bool any = true; any;) {
      any = false;
      for (auto& c : all) {
        event();
        if (c->done)
          continue;
        any = true;
        t_coroutine = c.get();
        swapcontext(&c->caller, &c->context);
      }
    }
    for (auto& c : all) {
      munmap(c->stack, c->bytes);
      hl::note_unmapped();
    }
  }
}

} // namespace

TEST_CASE("coroutines on stacks that come and go") {
  const Outcome outcome = on_this_thread(run_coroutines);
  check_outcome(outcome, 2000);
}

namespace {

// Events in a signal handler that may interrupt anything.
uint64_t nested_event(const hl::EntryRegisters* entry, void*) {
  return hl::capture_stack_nested(*entry, g_env.context);
}
std::vector<hl::WalkedFrame> g_handler_frames;
void handler_once(int) {
  g_handler_frames = g_env.frames_of(static_cast<hl::StackId>(hl_test_event(nested_event, nullptr)));
}

} // namespace

TEST_CASE(
    "a walk leaves a signal handler at the exact interrupted instruction, also off an alternate stack") {
  static char alternate[64 * 1024];
  const stack_t stack{alternate, 0, sizeof alternate};
  REQUIRE(sigaltstack(&stack, nullptr) == 0);
  for (const int flags : {0, SA_ONSTACK}) {
    struct sigaction action {};
    action.sa_handler = handler_once;
    action.sa_flags = flags;
    sigaction(SIGUSR1, &action, nullptr);
    g_handler_frames.clear();
    raise(SIGUSR1);
    int exact = 0;
    Dl_info last{};
    for (const auto& f : g_handler_frames) {
      exact += (f.pc & hl::kNodeExactPc) != 0;
      dladdr(reinterpret_cast<void*>(f.pc & hl::kNodePcMask), &last);
    }
    CHECK(exact == 1);
    CHECK(g_handler_frames.size() > 8);
    CHECK(g_handler_frames.back().module != hl::kMarkerModule);
  }
  const stack_t none{nullptr, SS_DISABLE, 0};
  sigaltstack(&none, nullptr);
}

namespace {

// Single stepping: a walk from every instruction of a piece of code, through prologues, PLT entries and the
// dynamic linker's lazy resolver. What lies outside of that code is known and must always come out the same.
struct Stepper {
  std::vector<uint64_t> outer; // frames outside of the stepped code, innermost first
  uint64_t steps = 0, lost = 0, not_like_oracle = 0;
  std::string first_lost;
  bool done = false;
};
Stepper g_stepper;

uint64_t step_event(const hl::EntryRegisters* entry, void*) {
  static hl::ReadableRanges ranges;
  hl::WalkedFrame frames[200];
  const hl::PlainWalk walk = hl::walk_plainly(*entry, g_env.context, ranges, frames, 200);
  const size_t n = g_stepper.outer.size();
  bool same = walk.frames >= n && walk.end == hl::WalkEnd::outermost;
  for (size_t i = 0; same && i < n; ++i)
    same = frames[walk.frames - n + i].pc == g_stepper.outer[i];
  ++g_stepper.steps;
  if (!same && g_stepper.lost++ == 0)
    g_stepper.first_lost = hl::test::text_of(std::vector<hl::WalkedFrame>(frames, frames + walk.frames));
  return 0;
}
void on_step(int, siginfo_t*, void* context) {
  if (g_stepper.done)
    static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL] &= ~0x100;
  else
    hl_test_event(step_event, nullptr);
}
uint64_t note_outer(const hl::EntryRegisters* entry, void*) {
  static hl::ReadableRanges ranges;
  hl::WalkedFrame frames[200];
  const hl::PlainWalk walk = hl::walk_plainly(*entry, g_env.context, ranges, frames, 200);
  // The innermost frame's pc moves on while it is stepped through; its callers stay.
  g_stepper.outer.clear();
  for (uint32_t i = 1; i < walk.frames; ++i)
    g_stepper.outer.push_back(frames[i].pc);
  return walk.frames;
}

[[gnu::noinline]] void stepped_code() {
  hl_test_event(note_outer, nullptr);
  asm volatile("sub $128, %%rsp; pushfq; orq $0x100, (%%rsp); popfq; add $128, %%rsp" : : : "memory", "cc");
  {
    // Lazily bound functions of libc, frames of every shape, no system call that would restart.
    char text[100];
    int values[] = {5, 3, 8, 1};
    qsort(values, 4, sizeof(int), [](const void* a, const void* b) {
      return *static_cast<const int*>(a) - *static_cast<const int*>(b);
    });
    snprintf(text, sizeof text, "%d %s %g", values[0], "abc", 1.5);
    void* p = alloca(static_cast<size_t>(values[3]) * 16);
    KEEP(p);
    alignas(64) volatile char local[100];
    local[3] = text[1];
    KEEP(local);
    const std::string s = std::string(text) + "x";
    KEEP(s.data());
    try {
      throw 1;
    } catch (int) {
    }
    strtoull(text, nullptr, 10);
    (void)strverscmp(text, "a");
  }
  g_stepper.done = true;
  asm volatile("nop");
}

} // namespace

TEST_CASE("single-stepped code is walked right at every instruction") {
  struct sigaction action {};
  struct sigaction before {};
  action.sa_sigaction = on_step;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGTRAP, &action, &before);
  stepped_code();
  sigaction(SIGTRAP, &before, nullptr);
  MESSAGE(g_stepper.steps << " instructions");
  CHECK(g_stepper.steps > 10'000);
  CHECK(g_stepper.first_lost == "");
  CHECK(g_stepper.lost == 0);
}
