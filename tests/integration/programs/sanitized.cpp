// What a sanitizer has something to say of: a block is lost, exceptions and threads allocate, a child is
// forked and, with an argument, freed memory is read. Compiled by test_sanitizers.py in several ways.
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <csignal>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

struct Lost {
  int numbers[10];
};
[[gnu::noinline]] Lost* lose() {
  return new Lost;
}

} // namespace

int main(int argc, char**) {
  std::signal(SIGUSR1, [](int) {});
  std::raise(SIGUSR1);
  int* numbers = new int[5]();
  delete[] numbers;
  if (argc > 1 && numbers[0] == 12345)
    return 1;
  Lost* volatile lost = lose();
  lost = nullptr;
  try {
    throw std::runtime_error(std::string(100, 'x'));
  } catch (const std::exception&) {
    std::puts("caught");
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; i++)
    threads.emplace_back([] {
      std::vector<int> numbers(1000);
      numbers[3] = 1;
    });
  for (std::thread& thread : threads)
    thread.join();
  void* const mapped = mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(mapped, 1 << 20);
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0)
    _exit(3);
  int status = 0;
  waitpid(child, &status, 0);
  std::printf("child %d\n", WEXITSTATUS(status));
  std::puts("done");
  return 0;
}
