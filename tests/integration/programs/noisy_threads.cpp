// Threads whose memory peaks where the scheduler lets them: no two runs have the same peak. A base load that
// all runs share, and EXTRA bytes in one place, for a change to be planted. usage: noisy_threads EXTRA
#include <chrono>
#include <cstdlib>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace {

using Buffer = std::unique_ptr<char[]>;

__attribute__((noinline)) Buffer load_table(size_t bytes) {
  return std::make_unique<char[]>(bytes);
}

__attribute__((noinline)) Buffer load_extra(size_t bytes) {
  return std::make_unique<char[]>(bytes);
}

void work(unsigned seed) {
  std::mt19937 random(seed);
  std::vector<Buffer> held(8);
  for (int i = 0; i < 400; ++i) {
    held[random() % held.size()] = std::make_unique<char[]>(1000 + random() % 30000);
    if (i % 50 == 0)
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 300));
  }
}

} // namespace

int main(int argc, char** argv) {
  const size_t extra = argc > 1 ? static_cast<size_t>(std::atol(argv[1])) : 0;
  std::vector<Buffer> tables;
  for (int i = 0; i < 16; ++i)
    tables.push_back(load_table(size_t{1} << 20));
  const Buffer added = extra == 0 ? nullptr : load_extra(extra);
  std::random_device device;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back(work, device());
  for (std::thread& thread : threads)
    thread.join();
  return 0;
}
