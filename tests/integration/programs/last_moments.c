// Ends, and what comes before them, that a leak scan must not change. usage: last_moments WAY
//   overflow   recursion without end
//   busy       returns from main while three threads go on allocating
//   jump       leaves its handler of SIGABRT by longjmp, then returns from main
//   crash      its handler of SIGSEGV says so and ends by _exit
//   lose       twelve blocks of 1000 bytes that nothing points to
//   snapshots  speaks to heapledger: a snapshot, one with leaks, a pause with 100 allocations in it, nine of
//   them freed
#include <heapledger/heapledger.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static volatile int zero;

__attribute__((noinline)) static int recurse(int depth) {
  volatile char frame[4096];
  if (zero)
    return 0;
  frame[zero] = (char)depth;
  return recurse(depth + 1) + frame[zero];
}

static void* allocate(void* unused) {
  (void)unused;
  for (;;)
    free(malloc(100));
  return NULL;
}

static jmp_buf before_abort;
static void jump(int signal) {
  (void)signal;
  longjmp(before_abort, 1);
}

static void report(int signal) {
  (void)signal;
  if (write(1, "crashed\n", 8) == 8)
    _exit(9);
}

__attribute__((noinline)) static void* early(void) {
  void* p = malloc(1001);
  __asm__ volatile("" : : "r"(p) : "memory");
  return p;
}

__attribute__((noinline)) static void* unseen(void) {
  void* p = malloc(1002);
  __asm__ volatile("" : : "r"(p) : "memory");
  return p;
}

// The last block must not stay in a register or a stack slot.
__attribute__((noinline)) static void wipe(void) {
  volatile char stack[4096];
  for (size_t i = 0; i < sizeof stack; i++)
    stack[i] = 0;
  __asm__ volatile(""
                   :
                   :
                   : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                     "r15");
}

static void again(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  sigprocmask(SIG_UNBLOCK, &set, NULL);
  raise(signal);
}

__attribute__((noinline)) static void lose(void) {
  for (int i = 0; i < 12; i++) {
    void* p = malloc(1000);
    __asm__ volatile("" : : "r"(p) : "memory");
  }
}

static void speak(void) {
  void* blocks[101];
  for (int i = 0; i < 10; i++)
    blocks[i] = early();
  printf("%d\n", heapledger_snapshot_here("first", 0));
  fflush(stdout);
  printf("%d\n", heapledger_snapshot_here("second", HEAPLEDGER_LEAKS));
  heapledger_pause_here();
  for (int i = 10; i < 100; i++)
    blocks[i] = unseen();
  for (int i = 0; i < 5; i++)
    free(blocks[i]);
  blocks[5] = realloc(blocks[5], 5000); // of what was seen, the old block has an end
  for (int i = 0; i < 9; i++)
    free(unseen());
  heapledger_resume_here();
  blocks[100] = early();
  heapledger_mark_here("end");
  // What was not seen goes unseen too: nothing of it is freed.
}

int main(int argc, char** argv) {
  const struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  const char* const way = argc > 1 ? argv[1] : "";
  if (strcmp(way, "overflow") == 0)
    return recurse(0);
  if (strcmp(way, "busy") == 0) {
    pthread_t thread;
    for (int i = 0; i < 3; i++)
      pthread_create(&thread, NULL, allocate, NULL);
    usleep(100000);
    return 4;
  }
  if (strcmp(way, "jump") == 0) {
    signal(SIGABRT, jump);
    if (setjmp(before_abort) == 0)
      abort();
    printf("jumped\n");
    return 0;
  }
  if (strcmp(way, "crash") == 0) {
    signal(SIGSEGV, report);
    *(volatile int*)(long)(8 + zero) = 1;
  }
  if (strcmp(way, "once") ==
      0) { // a handler that the kernel takes away when it runs, and that dies of the signal
    const struct sigaction action = {.sa_handler = again, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGTERM, &action, NULL);
    kill(getpid(), SIGTERM);
    printf("not reached\n");
  }
  if (strcmp(way, "lose") == 0) {
    lose();
    wipe();
  }
  if (strcmp(way, "snapshots") == 0)
    speak();
  return 0;
}
