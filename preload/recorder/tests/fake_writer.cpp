// A program that writes numbered events into the session it is recorded in, without the shim.
// usage: fake_writer EVENTS THREADS [PAUSE_NS_PER_1000] [HOW: exit|kill|abandon]
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>
#include <vector>

#include "fake_shim.h"

int main(int argc, char** argv) {
  if (argc < 3)
    return 2;
  const uint64_t events = std::strtoull(argv[1], nullptr, 10);
  const int threads = std::atoi(argv[2]);
  const long pause_ns = argc > 3 ? std::atol(argv[3]) : 0;
  const std::string how = argc > 4 ? argv[4] : "exit";
  const char* session = std::getenv("HEAPLEDGER_SESSION");
  if (session == nullptr)
    return 3;
  hl::FakeShim shim(session);
  shim.claim_process();
  std::vector<std::thread> list;
  for (int t = 0; t < threads; t++)
    list.emplace_back([&] {
      hl::FakeShim::Writer writer(shim);
      for (uint64_t done = 0; done < events; done += 1000) {
        writer.write(std::min<uint64_t>(1000, events - done));
        if (pause_ns != 0) {
          const timespec pause{pause_ns / 1'000'000'000, pause_ns % 1'000'000'000};
          nanosleep(&pause, nullptr);
        }
      }
      if (how == "exit")
        writer.seal();
    });
  for (auto& t : list)
    t.join();
  std::printf("waits %lu\n", static_cast<unsigned long>(shim.process().waits.load()));
  std::fflush(stdout);
  if (how == "kill")
    raise(SIGKILL);
  shim.end();
  return 0;
}
