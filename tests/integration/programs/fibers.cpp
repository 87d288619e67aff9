// Stacks that change owners: ucontext coroutines that run a step on one thread and the next on another, and
// fibers that a few instructions of assembly switch, as Boost.Context does, once with call frame information
// and once without. Every step allocates once at a depth of its own; at its end a fiber's stack is unmapped
// and made anew.
//
// usage: fibers MODE ROUNDS   MODE: coroutines, described, undescribed   prints: MODE steps N
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "counting.h"

#define OWN_FRAME __attribute__((noinline, noclone))
#define AFTER_CALL asm volatile("" ::: "memory")

namespace {

constexpr int kFibers = 24;
constexpr int kSteps = 16;
constexpr int kThreads = 3;
constexpr size_t kStackBytes = 64 * 1024;

struct Fiber {
  pthread_mutex_t running = PTHREAD_MUTEX_INITIALIZER; // held by the thread that runs it
  char* stack = nullptr;
  int step = 0;
  int round = 0;
  ucontext_t context = {}, host = {};
  void* switched = nullptr; // stack pointers of the fibers that assembly switches
  void* switched_host = nullptr;
};

Fiber fibers[kFibers];
std::atomic<unsigned long> steps;
int rounds;
enum { kCoroutines, kDescribed, kUndescribed } mode;

OWN_FRAME void allocate_in_step(int depth) {
  if (depth)
    allocate_in_step(depth - 1);
  else {
    void* volatile block = malloc(1100);
    free(block);
    steps++;
  }
  AFTER_CALL;
}

// Saves the callee-saved registers on the stack, the stack pointer in *from, and goes on at `to`.
extern "C" void switch_described(void** from, void* to);
extern "C" void switch_undescribed(void** from, void* to);
extern "C" void start_described();
extern "C" void start_undescribed();
#define SWITCH                                                                                               \
  "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\nmov %rsp, (%rdi)\nmov %rsi, %rsp\n"     \
  "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
// What a new fiber returns into: calls r12(r13). With CFI it says that nobody called it.
#define START "mov %r13, %rdi\ncall *%r12\nud2\n"
asm(".text\n.type switch_described, @function\nswitch_described:\n.cfi_startproc\n"
    "push %rbp\n.cfi_adjust_cfa_offset 8\n.cfi_offset rbp, -16\npush %rbx\n.cfi_adjust_cfa_offset "
    "8\n.cfi_offset rbx, -24\n"
    "push %r12\n.cfi_adjust_cfa_offset 8\n.cfi_offset r12, -32\npush %r13\n.cfi_adjust_cfa_offset "
    "8\n.cfi_offset r13, -40\n"
    "push %r14\n.cfi_adjust_cfa_offset 8\n.cfi_offset r14, -48\npush %r15\n.cfi_adjust_cfa_offset "
    "8\n.cfi_offset r15, -56\n"
    "mov %rsp, (%rdi)\nmov %rsi, %rsp\n"
    "pop %r15\n.cfi_adjust_cfa_offset -8\npop %r14\n.cfi_adjust_cfa_offset -8\npop "
    "%r13\n.cfi_adjust_cfa_offset -8\n"
    "pop %r12\n.cfi_adjust_cfa_offset -8\npop %rbx\n.cfi_adjust_cfa_offset -8\npop "
    "%rbp\n.cfi_adjust_cfa_offset -8\n"
    "ret\n.cfi_endproc\n.size switch_described, . - switch_described\n"
    ".type start_described, @function\nstart_described:\n.cfi_startproc\n.cfi_undefined rip\n" START
    ".cfi_endproc\n.size start_described, . - start_described\n"
    ".type switch_undescribed, @function\nswitch_undescribed:\n" SWITCH
    ".size switch_undescribed, . - switch_undescribed\n"
    ".type start_undescribed, @function\nstart_undescribed:\n" START
    ".size start_undescribed, . - start_undescribed\n");

void leave(Fiber* fiber) {
  if (mode == kCoroutines)
    swapcontext(&fiber->context, &fiber->host);
  else
    (mode == kDescribed ? switch_described : switch_undescribed)(&fiber->switched, fiber->switched_host);
}

OWN_FRAME void fiber_body(Fiber* fiber) {
  for (; fiber->step < kSteps; leave(fiber)) {
    allocate_in_step(fiber->step % 5 + fiber->round % 3);
    fiber->step++;
  }
  for (;;)
    leave(fiber);
}

void enter_coroutine(unsigned low, unsigned high) {
  fiber_body(reinterpret_cast<Fiber*>(uint64_t{high} << 32 | low));
  AFTER_CALL;
}

void make(Fiber* fiber) {
  // Sizes differ, so that a stack takes the place of a larger or smaller one.
  const size_t bytes = kStackBytes + 4096 * static_cast<size_t>(fiber->round % 4);
  fiber->stack = static_cast<char*>(
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0));
  if (fiber->stack == MAP_FAILED)
    abort();
  fiber->step = 0;
  if (mode == kCoroutines) {
    const auto address = reinterpret_cast<uint64_t>(fiber);
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = bytes;
    fiber->context.uc_link = nullptr;
    makecontext(&fiber->context, reinterpret_cast<void (*)()>(enter_coroutine), 2,
                static_cast<unsigned>(address), static_cast<unsigned>(address >> 32));
    return;
  }
  auto* top = reinterpret_cast<uint64_t*>(fiber->stack + bytes);
  *--top = 0; // the stack is aligned where start calls
  *--top = 0;
  *--top = reinterpret_cast<uint64_t>(mode == kDescribed ? start_described : start_undescribed);
  for (int i = 0; i < 6; i++)
    *--top = 0;                                    // rbp, rbx, r12..r15
  top[2] = reinterpret_cast<uint64_t>(fiber);      // r13
  top[3] = reinterpret_cast<uint64_t>(fiber_body); // r12
  top[5] = top[6]; // rbp: no frame pointer, but an address of code, as Boost leaves it
  fiber->switched = top;
}

OWN_FRAME void run_a_step(Fiber* fiber) {
  if (fiber->stack == nullptr)
    make(fiber);
  if (mode == kCoroutines)
    swapcontext(&fiber->host, &fiber->context);
  else
    (mode == kDescribed ? switch_described : switch_undescribed)(&fiber->switched_host, fiber->switched);
  if (fiber->step < kSteps)
    return;
  munmap(fiber->stack, kStackBytes + 4096 * static_cast<size_t>(fiber->round % 4));
  fiber->stack = nullptr;
  fiber->round++;
}

OWN_FRAME void allocate_in_host() {
  void* volatile block = malloc(1101);
  free(block);
  AFTER_CALL;
}

// Threads go round the fibers, each from another one on: whoever finds one idle runs its next step.
void* host(void* first) {
  for (auto at = reinterpret_cast<uintptr_t>(first);; at++) {
    bool all_done = true;
    for (const Fiber& fiber : fibers)
      all_done &= __atomic_load_n(&fiber.round, __ATOMIC_ACQUIRE) >= rounds;
    if (all_done)
      return nullptr;
    Fiber* fiber = &fibers[at % kFibers];
    if (pthread_mutex_trylock(&fiber->running) != 0)
      continue;
    if (fiber->round < rounds) {
      run_a_step(fiber);
      allocate_in_host();
    }
    pthread_mutex_unlock(&fiber->running);
  }
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 3)
    return 2;
  mode = strcmp(argv[1], "coroutines") == 0  ? kCoroutines
         : strcmp(argv[1], "described") == 0 ? kDescribed
                                             : kUndescribed;
  rounds = atoi(argv[2]);
  pthread_t threads[kThreads];
  for (uintptr_t i = 0; i < kThreads; i++)
    if (pthread_create(&threads[i], nullptr, host, reinterpret_cast<void*>(i * 7)) != 0)
      return 1;
  for (pthread_t thread : threads)
    pthread_join(thread, nullptr);
  say("%s steps %lu\n", argv[1], steps.load());
  return 0;
}
