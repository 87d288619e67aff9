// Two threads allocate and free in a known order and say, after each call that has returned, how many have:
// in shared memory, which survives SIGKILL and is exact to the last completed call. Then the program ends, in
// the way it is told, or is ended. The test knows what the n-th call of a thread is, so it can tell whether
// each call is in the record, once and in order.
//
//   call n of a thread: malloc of 24 + k % 1009 bytes for its k-th block; after each block from the 65th on,
//   the block before the last 64 is freed
//
// usage: ends_somehow COUNT_FILE WAY CALLS    CALLS of the first thread (or what the test puts into the
// fourth word of COUNT_FILE while the program runs), then WAY:
//   exit, segv, abort, _exit, quick_exit; exec (of /bin/true, by the second thread while the first goes on);
//   thread__exit (the same, by _exit); memory (all but 40 calls' worth of address space is forbidden at
//   CALLS, and failing calls end it by abort); cgroup (fills memory until it is killed); stay (goes on until
//   killed)
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { kRing = 64 };

struct Counts {
  volatile uint64_t pid;
  volatile uint64_t completed[2]; // calls that have returned, by thread
  volatile uint64_t calls_wanted; // of the first thread
};

static struct Counts* counts;
static const char* way;
static volatile int first_is_done;

static void do_nothing_for_a_moment(void) {
  const struct timespec pause = {0, 500000};
  nanosleep(&pause, NULL);
}

static int is_way(const char* name) {
  return strcmp(way, name) == 0;
}

__attribute__((noinline)) static void end_in_second_thread(void) {
  if (is_way("exec"))
    execl("/bin/true", "true", (char*)NULL);
  if (is_way("thread__exit"))
    _exit(23);
}

__attribute__((noinline)) static void end_in_first_thread(void) {
  if (is_way("segv"))
    raise(SIGSEGV);
  if (is_way("abort"))
    abort();
  if (is_way("_exit"))
    _exit(21);
  if (is_way("quick_exit"))
    quick_exit(22);
  if (is_way("exit"))
    exit(0);
}

static void forbid_more_memory(void) {
  const struct rlimit none = {1, 1};
  setrlimit(RLIMIT_AS, &none);
  setrlimit(RLIMIT_DATA, &none);
}

// One thread's calls, without end.
static void call(int thread) {
  void* ring[kRing];
  uint64_t calls = 0, blocks = 0;
  uint64_t extra = 0;
  for (;;) {
    if (blocks >= kRing) {
      free(ring[blocks % kRing]);
      counts->completed[thread] = ++calls;
    }
    void* volatile block = malloc(24 + blocks % 1009 + extra);
    if (!block)
      abort();
    if (extra)
      memset(block, 1, extra);
    ring[blocks++ % kRing] = block;
    counts->completed[thread] = ++calls;
    if (thread == 0 && calls >= counts->calls_wanted && !first_is_done) {
      if (is_way("memory")) {
        // A thread whose first call finds no memory for what is recorded of it is lost, and counted.
        while (!counts->completed[1])
          do_nothing_for_a_moment();
        forbid_more_memory();
      }
      first_is_done = 1;
      end_in_first_thread();
    }
    if (first_is_done) {
      if (thread == 1)
        end_in_second_thread();
      // Each block larger than any that was freed before: sooner or later none is to be had.
      if (is_way("memory"))
        extra += 1009;
      else if (is_way("cgroup"))
        extra = 1 << 20;
    }
    if (blocks % 512 == 0) // a rate that both processors can bear
      do_nothing_for_a_moment();
  }
}

static void* second_thread(void* unused) {
  (void)unused;
  call(1);
  return NULL;
}

int main(int argc, char** argv) {
  if (argc != 4)
    return 2;
  way = argv[2];
  const int file = open(argv[1], O_RDWR | O_CREAT, 0600);
  if (file < 0 || ftruncate(file, 4096) != 0)
    return 3;
  counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (counts == MAP_FAILED)
    return 4;
  close(file);
  counts->calls_wanted = strtoull(argv[3], NULL, 10);
  const struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  counts->pid = (uint64_t)getpid();
  alarm(600); // nobody came to end it
  pthread_t thread;
  if (pthread_create(&thread, NULL, second_thread, NULL) != 0)
    return 5;
  call(0);
}
