// Stacks that are no plain chain of calls: exceptions in flight, jumps out of frames, alloca, realigned
// frames, signal handlers on either stack and inside one another. Each mode allocates a known number of
// blocks of a size of its own from functions whose names the test looks for, so that a frame that is missing,
// doubled or foreign is seen.
//
// usage: stack_shapes MODE ROUNDS   prints: MODE done
#include <alloca.h>
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <pthread.h>
#include <ucontext.h>

#include "counting.h"

#define OWN_FRAME __attribute__((noinline, noclone))
// After a call: keeps it from becoming a jump, which would take the frame away.
#define AFTER_CALL asm volatile("" ::: "memory")

namespace {

OWN_FRAME void allocate(size_t size) {
  void* volatile block = malloc(size);
  free(block);
  AFTER_CALL;
}

// --- exceptions: allocated in throwing frames, in destructors while they are unwound, in and after the
// handler.

struct Thrown {
  int level;
};

struct Guard {
  OWN_FRAME ~Guard() {
    allocate(1001);
    AFTER_CALL;
  }
};

OWN_FRAME void throw_at(int level) {
  Guard guard;
  if (level == 0) {
    allocate(1002);
    throw Thrown{level};
  }
  throw_at(level - 1);
  AFTER_CALL;
}

OWN_FRAME void rethrow_across() {
  try {
    throw_at(4);
  } catch (const Thrown&) {
    allocate(1003);
    throw;
  }
}

OWN_FRAME void catch_outermost() {
  try {
    rethrow_across();
  } catch (...) {
    allocate(1004);
  }
  allocate(1005);
  AFTER_CALL;
}

void* throw_in_thread(void* rounds) {
  for (intptr_t i = 0; i < reinterpret_cast<intptr_t>(rounds); i++)
    catch_outermost();
  return nullptr;
}

void exceptions(int rounds) {
  pthread_t thread;
  if (pthread_create(&thread, nullptr, throw_in_thread, reinterpret_cast<void*>(intptr_t{rounds})) != 0)
    abort();
  for (int i = 0; i < rounds; i++)
    catch_outermost();
  pthread_join(thread, nullptr);
}

// --- longjmp over frames that the recorder remembers.

jmp_buf landing;

__attribute__((noipa)) void jump_out() {
  longjmp(landing, 1);
}

OWN_FRAME void dive_and_jump(int level) {
  allocate(1010);
  if (level)
    dive_and_jump(level - 1);
  else
    jump_out();
  AFTER_CALL;
}

OWN_FRAME void land(const int level) {
  if (setjmp(landing) == 0)
    dive_and_jump(level);
  allocate(1011);
  AFTER_CALL;
}

void jumps(int rounds) {
  for (int i = 0; i < rounds; i++)
    land(5 + i % 20);
}

// --- frames whose size is known at run time only, and frames that realign the stack.

OWN_FRAME void in_alloca(size_t bytes, int level) {
  char* volatile room = static_cast<char*>(alloca(bytes));
  memset(room, level, bytes);
  if (level)
    in_alloca(bytes * 2 + 16, level - 1);
  else
    allocate(1020);
  AFTER_CALL;
}

OWN_FRAME void in_realigned(int level) {
  alignas(64) volatile char vector[64];
  vector[level] = 1;
  if (reinterpret_cast<uintptr_t>(vector) % 64 != 0)
    abort();
  if (level)
    in_realigned(level - 1);
  else
    allocate(1021);
  AFTER_CALL;
}

OWN_FRAME void in_realigned_alloca(size_t bytes, int level) {
  alignas(128) volatile char vector[128];
  char* volatile room = static_cast<char*>(alloca(bytes));
  vector[level] = 1;
  room[0] = vector[level];
  if (level)
    in_realigned_alloca(bytes + 24, level - 1);
  else
    allocate(1022);
  AFTER_CALL;
}

void frames(int rounds) {
  for (int i = 0; i < rounds; i++) {
    in_alloca(static_cast<size_t>(1 + i % 100), 5);
    in_realigned(5);
    in_realigned_alloca(static_cast<size_t>(1 + i % 77), 5);
  }
}

// --- handlers: by raise and by a fault, on the thread's stack and on an alternate one, and one inside
// another.

OWN_FRAME void allocate_in_handler(size_t size) {
  allocate(size);
  AFTER_CALL;
}

void on_plain_signal(int) {
  allocate_in_handler(1030);
  AFTER_CALL;
}

void on_alternate_stack(int) {
  allocate_in_handler(1031);
  AFTER_CALL;
}

// Runs on the alternate stack and is interrupted there by another handler.
void on_outer_signal(int) {
  allocate_in_handler(1032);
  raise(SIGUSR1);
  allocate_in_handler(1033);
  AFTER_CALL;
}

// The program is interrupted before its first instruction has run or in mid-frame: its pc is no return
// address.
void on_fault(int, siginfo_t*, void* context) {
  allocate_in_handler(1034);
  static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP] += 2; // over ud2
}

// ud2 is its first instruction: no frame has been made, and pc - 1 is another function.
extern "C" void fault_at_once();
asm(".text\n.p2align 4\n.type fault_at_once, "
    "@function\nfault_at_once:\n.cfi_startproc\nud2\nret\n.cfi_endproc\n"
    ".size fault_at_once, . - fault_at_once\n");

OWN_FRAME void interrupted_by_raise(int signal) {
  raise(signal);
  AFTER_CALL;
}

OWN_FRAME void interrupted_by_fault() {
  fault_at_once();
  AFTER_CALL;
}

void install(int signal, void (*handler)(int), int flags) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigaction(signal, &action, nullptr);
}

OWN_FRAME void interrupt_all(int rounds) {
  for (int i = 0; i < rounds; i++) {
    interrupted_by_raise(SIGUSR1);
    interrupted_by_raise(SIGUSR2);
    interrupted_by_raise(SIGALRM);
    interrupted_by_fault();
    AFTER_CALL;
  }
}

void* interrupt_thread(void* rounds) {
  // Freed and made anew at each turn: the stack of one round is other memory in the next.
  for (intptr_t i = 0; i < reinterpret_cast<intptr_t>(rounds); i++) {
    stack_t stack = {};
    stack.ss_size = 65536 + 4096 * static_cast<size_t>(i % 5);
    stack.ss_sp = malloc(stack.ss_size);
    sigaltstack(&stack, nullptr);
    interrupt_all(1);
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, nullptr);
    free(stack.ss_sp);
  }
  return nullptr;
}

void handlers(int rounds) {
  install(SIGUSR1, on_plain_signal, SA_NODEFER);
  install(SIGUSR2, on_alternate_stack, SA_ONSTACK);
  install(SIGALRM, on_outer_signal, SA_ONSTACK);
  struct sigaction fault = {};
  fault.sa_sigaction = on_fault;
  fault.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGILL, &fault, nullptr);
  pthread_t threads[2];
  for (pthread_t& thread : threads)
    if (pthread_create(&thread, nullptr, interrupt_thread, reinterpret_cast<void*>(intptr_t{rounds})) != 0)
      abort();
  for (pthread_t thread : threads)
    pthread_join(thread, nullptr);
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 3)
    return 2;
  const int rounds = atoi(argv[2]);
  const struct {
    const char* name;
    void (*run)(int);
  } modes[] = {{"exceptions", exceptions}, {"jumps", jumps}, {"frames", frames}, {"handlers", handlers}};
  for (const auto& mode : modes)
    if (strcmp(argv[1], mode.name) == 0) {
      mode.run(rounds);
      say("%s done\n", mode.name);
      return 0;
    }
  return 2;
}
