/* Maps memory in all the ways that make resident memory hard to count, says what should be resident, and
 * takes snapshots of itself. Each line of output: NAME ADDRESS BYTES RESIDENT-BYTES (-1: the kernel decides).
 *
 *   memory_shapes shapes FILE     every shape; snapshot "shapes"; then a fork, whose child writes half of
 * what it inherited; snapshot "forked" in the parent while the child lives, then one in the child, "child"
 *   memory_shapes mark            writes 32 MiB, sets the mark "full", waits, gives them back, waits
 *   memory_shapes threads         snapshots "one" ... "five" while four threads allocate and free
 *   memory_shapes wait SECONDS    writes 8 MiB more every 50 ms
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heapledger/heapledger.h"

enum { kPage = 4096, kMiB = 1 << 20 };

static void say(const char* name, const void* p, size_t bytes, long resident) {
  printf("%s %lx %zu %ld\n", name, (unsigned long)p, bytes, resident);
}

/* Apart from its neighbours: a page that nobody may touch lies on either side. */
static char* map(size_t bytes, int protection, int flags, int fd) {
  char* const room =
      mmap(NULL, bytes + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  char* const p = room == MAP_FAILED ? room : mmap(room + kPage, bytes, protection, flags | MAP_FIXED, fd, 0);
  if (p == MAP_FAILED) {
    perror("mmap");
    exit(2);
  }
  return p;
}
static char* anonymous(size_t bytes) {
  char* const p = map(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
  madvise(p, bytes, MADV_NOHUGEPAGE);
  return p;
}
static void touch(char* p, size_t bytes, size_t step) {
  for (size_t i = 0; i < bytes; i += step)
    ((volatile char*)p)[i] = 1;
}
static long look(const char* p, size_t bytes) {
  long sum = 0;
  for (size_t i = 0; i < bytes; i += kPage)
    sum += ((const volatile char*)p)[i];
  return sum;
}

static void shapes(const char* path) {
  const size_t size = 8 * kMiB;
  say("untouched", anonymous((size_t)1 << 30), (size_t)1 << 30, 0);
  char* p = anonymous(size);
  touch(p, size / 2, kPage);
  say("half", p, size, size / 2);
  p = anonymous(size);
  touch(p, size, 4 * kPage);
  say("every_fourth", p, size, size / 4);
  /* The zero page: present in pagemap, no Rss. */
  p = anonymous(size);
  look(p, size);
  touch(p, size / 4, kPage);
  say("zero_pages", p, size, size / 4);
  char* const kept = anonymous(size);
  touch(kept, size, kPage);
  say("inherited", kept, size, size);
  p = anonymous(size);
  touch(p, size, kPage);
  madvise(p, size, MADV_FREE);
  say("lazily_freed", p, size, -1);
  p = anonymous(size);
  touch(p, size, kPage);
  madvise(p, size, MADV_DONTNEED);
  say("given_back", p, size, 0);
  p = map(4 * kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  madvise(p, 4 * kMiB, MADV_HUGEPAGE);
  touch(p, 4 * kMiB, kPage);
  say("huge", p, 4 * kMiB, 4 * kMiB);

  const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (fd < 0 || ftruncate(fd, size) != 0)
    exit(3);
  char* const shared = map(size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
  touch(shared, size / 2, kPage);
  say("shared_file", shared, size, -1);
  p = map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
  look(p, size / 2);
  touch(p, size / 4, kPage);
  say("private_file", p, size, -1);
  const int memfd = memfd_create("shapes", 0);
  if (memfd < 0 || ftruncate(memfd, size) != 0)
    exit(3);
  p = map(size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd);
  touch(p, size / 2, kPage);
  say("memfd", p, size, size / 2);
  p = map(size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
  touch(p, size / 2, kPage);
  say("shared_anonymous", p, size, size / 2);
  const int zero = open("/dev/zero", O_RDWR);
  p = map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero);
  look(p, size);
  touch(p, size / 4, kPage);
  say("dev_zero", p, size, -1);
  fflush(stdout);
  heapledger_snapshot_here("shapes", 0);

  int to_child[2], to_parent[2];
  char byte = 0;
  if (pipe(to_child) != 0 || pipe(to_parent) != 0)
    exit(4);
  const pid_t child = fork();
  if (child == 0) {
    touch(kept, size / 2, kPage);
    if (write(to_parent[1], "x", 1) != 1 || read(to_child[0], &byte, 1) != 1)
      _exit(5);
    heapledger_snapshot_here("child", 0);
    _exit(0);
  }
  if (read(to_parent[0], &byte, 1) != 1)
    exit(6);
  heapledger_snapshot_here("forked", 0);
  if (write(to_child[1], "x", 1) != 1)
    exit(7);
  int status = 0;
  waitpid(child, &status, 0);
  exit(status == 0 ? 0 : 8);
}

static volatile int g_end;
static void* churn(void* seed) {
  unsigned state = (unsigned)(size_t)seed;
  char* blocks[256] = {0};
  while (!g_end) {
    state = state * 1103515245 + 12345;
    const unsigned i = (state >> 16) % 256;
    const size_t bytes = (state >> 8) % 8192 + 1;
    free(blocks[i]);
    blocks[i] = malloc(bytes);
    memset(blocks[i], 1, bytes);
  }
  for (unsigned i = 0; i < 256; i++)
    free(blocks[i]);
  return NULL;
}

int main(int argc, char** argv) {
  const char* const mode = argc > 1 ? argv[1] : "";
  if (strcmp(mode, "shapes") == 0 && argc > 2)
    shapes(argv[2]);
  if (strcmp(mode, "mark") == 0) {
    usleep(300000);
    char* const p = anonymous(32 * kMiB);
    touch(p, 32 * kMiB, kPage);
    say("full", p, 32 * kMiB, 32 * kMiB);
    heapledger_mark_here("full");
    usleep(400000);
    madvise(p, 32 * kMiB, MADV_DONTNEED);
    usleep(300000);
  } else if (strcmp(mode, "threads") == 0) {
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
      pthread_create(&threads[i], NULL, churn, (void*)(i + 1));
    const char* const names[] = {"one", "two", "three", "four", "five"};
    for (int i = 0; i < 5; i++) {
      usleep(50000);
      heapledger_snapshot_here(names[i], 0);
    }
    g_end = 1;
    for (int i = 0; i < 4; i++)
      pthread_join(threads[i], NULL);
  } else if (strcmp(mode, "wait") == 0 && argc > 2) {
    puts("waiting");
    fflush(stdout);
    for (int i = 0; i < atoi(argv[2]) * 20; i++) {
      if (i < 16)
        touch(anonymous(8 * kMiB), 8 * kMiB, kPage);
      usleep(50000);
    }
  }
  return 0;
}
