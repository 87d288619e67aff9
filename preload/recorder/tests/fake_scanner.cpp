// A stand-in for `heapledger scan-process`, for tests of who starts it: keeps to scan_channel.h, but looks at
// no process. The file `behaviour` beside it holds what it is to do, a word; the file `log` there gets a line
// for each scan: cause, name, and the trace's size when it was told that the trace was flushed.
//
//   good      flush, released, a result that says so; also where there is no file
//   hold      as good, but between flush and released it waits until the file `behaviour` says something else
//   linger    as good, but waits likewise after released
//   fail      ends with status 7 after the flush
//   die       kills itself after the flush
//   mute      says nothing at all
//   empty     leaves no result
//   nonsense  leaves bytes that cannot be a result
// Where a sample alone is wanted it has it taken, whatever the file says, and writes no line.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include <sys/socket.h>
#include <unistd.h>

#include "heapledger/scan_channel.h"
#include "heapledger/trace_format.h"

namespace {

std::string beside(const char* name) {
  char path[4096];
  const ssize_t bytes = readlink("/proc/self/exe", path, sizeof(path));
  const std::string self(path, bytes > 0 ? static_cast<size_t>(bytes) : 0);
  return self.substr(0, self.rfind('/') + 1) + name;
}

std::string behaviour() {
  std::ifstream file(beside("behaviour"));
  std::string word;
  file >> word;
  return word.empty() ? "good" : word;
}

void wait_while(const std::string& word) {
  while (behaviour() == word)
    usleep(2000);
}

void say(int channel, hl::ScanMessageKind kind, uint64_t ticks = 0) {
  hl::ScanMessage m;
  m.kind = kind;
  m.ticks = ticks;
  if (send(channel, &m, sizeof(m), MSG_NOSIGNAL) != sizeof(m))
    std::exit(3);
}

} // namespace

int main(int argc, char** argv) {
  const auto option = [&](const char* name) -> std::string {
    for (int i = 2; i + 1 < argc; i += 2)
      if (std::strcmp(argv[i], name) == 0)
        return argv[i + 1];
    std::exit(4);
  };
  if (argc < 2 || std::strcmp(argv[1], "scan-process") != 0)
    return 5;
  const int channel = std::stoi(option("--channel")), result = std::stoi(option("--result"));
  const std::string name = option("--name"), word = behaviour();
  if (word == "mute")
    for (;;)
      pause();
  for (int i = 2; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--sample-of") != 0)
      continue;
    // For a sample alone: the process is said to stand still.
    hl::ScanMessage sampled;
    say(channel, hl::ScanMessageKind::sample, __builtin_ia32_rdtsc());
    if (recv(channel, &sampled, sizeof(sampled), 0) != sizeof(sampled) ||
        sampled.kind != hl::ScanMessageKind::sampled)
      return 6;
    say(channel, hl::ScanMessageKind::released);
    return 0;
  }
  say(channel, hl::ScanMessageKind::flush);
  hl::ScanMessage flushed;
  if (recv(channel, &flushed, sizeof(flushed), 0) != sizeof(flushed) ||
      flushed.kind != hl::ScanMessageKind::flushed)
    return 6;
  FILE* const log = std::fopen(beside("log").c_str(), "a");
  std::fprintf(log, "%s %s %llu\n", option("--cause").c_str(), name.empty() ? "-" : name.c_str(),
               static_cast<unsigned long long>(flushed.trace_bytes));
  std::fclose(log);
  if (word == "fail")
    return 7;
  if (word == "die")
    raise(SIGKILL);
  if (word == "hold")
    wait_while(word);
  say(channel, hl::ScanMessageKind::released);
  if (word == "linger")
    wait_while(word);
  if (word == "empty")
    return 0;
  hl::LeakScanPayload head{};
  head.payload_header_bytes = sizeof(head);
  head.name_bytes = static_cast<uint16_t>(word == "nonsense" ? 60000 : name.size());
  head.cause = static_cast<uint8_t>(std::stoi(option("--cause")));
  head.way = static_cast<uint8_t>(hl::ScanWay::stopped);
  head.options = static_cast<uint32_t>(std::stoul(option("--options")));
  head.pause_ns = 1'000'000;
  for (unsigned i = 0; i < 4; i++) {
    head.class_blocks[i] = i + 1;
    head.class_bytes[i] = 1000 * (i + 1);
  }
  const bool written = write(result, &head, sizeof(head)) == sizeof(head) &&
                       write(result, name.data(), name.size()) == static_cast<ssize_t>(name.size());
  return written ? 0 : 8;
}
