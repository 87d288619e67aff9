// Everything at once that takes the loader's lock: a thread whose dl_iterate_phdr callback allocates (deep,
// from ever new stacks), one that loads and unloads a library, one that throws exceptions, and one that only
// allocates. An unwinder that takes the loader's lock, or one that the interrupted code holds, stops here for
// good.
//
// usage: loader_storm LIBRARY MILLISECONDS   prints: finished
#include <atomic>
#include <cstdlib>
#include <ctime>
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <unistd.h>

#include "counting.h"

namespace {

std::atomic<bool> finished;
std::atomic<long> rounds[4];
const char* library_path;

[[gnu::noinline]] void allocate_deep(unsigned path, int levels) {
  if (levels == 0) {
    void* volatile block = malloc(20 + path % 300);
    free(block);
  } else if (path & 1) {
    allocate_deep(path >> 1, levels - 1);
    asm volatile("" ::: "memory");
  } else {
    allocate_deep(path >> 1, levels - 1);
    asm volatile("nop" ::: "memory");
  }
}

int in_callback(dl_phdr_info*, size_t, void*) {
  allocate_deep(static_cast<unsigned>(rounds[0]), 10);
  return 0;
}

void* iterate(void*) {
  for (; !finished; rounds[0]++)
    dl_iterate_phdr(in_callback, nullptr);
  return nullptr;
}

void* load(void*) {
  for (; !finished; rounds[1]++) {
    void* library = dlopen(library_path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
      abort();
    if (void* symbol = dlsym(library, "allocate_here"))
      reinterpret_cast<void (*)()>(symbol)();
    dlclose(library);
  }
  return nullptr;
}

[[gnu::noinline]] void throw_deep(int levels) {
  const std::string text(static_cast<size_t>(40 + levels), 'x');
  if (levels == 0)
    throw std::runtime_error(text);
  throw_deep(levels - 1);
}

void* throw_and_catch(void*) {
  for (; !finished; rounds[2]++)
    try {
      throw_deep(8);
    } catch (const std::exception&) {
    }
  return nullptr;
}

void* allocate(void*) {
  for (; !finished; rounds[3]++)
    allocate_deep(static_cast<unsigned>(rounds[3]), 12);
  return nullptr;
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 3)
    return 2;
  library_path = argv[1];
  void* (*const bodies[])(void*) = {iterate, load, throw_and_catch, allocate};
  pthread_t handles[4];
  for (int i = 0; i < 4; i++)
    if (pthread_create(&handles[i], nullptr, bodies[i], nullptr) != 0)
      return 1;
  const long milliseconds = atol(argv[2]);
  const timespec duration = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  nanosleep(&duration, nullptr);
  for (const auto& count : rounds) // a thread that did nothing tests nothing
    for (int waits = 0; count == 0 && waits < 600; waits++) {
      const timespec pause = {0, 100'000'000};
      nanosleep(&pause, nullptr);
    }
  finished = true;
  for (pthread_t handle : handles)
    pthread_join(handle, nullptr);
  for (const auto& count : rounds)
    if (count == 0)
      return 3;
  say("finished\n");
  return 0;
}
