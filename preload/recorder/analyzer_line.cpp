// See analyzer_line.h.
#include "analyzer_line.h"

#include <csignal>
#include <ctime>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/syscalls.h"

namespace hl {

namespace {

constexpr size_t kLongestLine = 4096;

// With its standard output into `out` and signals as a program expects them: ours are all blocked.
pid_t start_analyzer(const std::string& analyzer, const std::vector<std::string>& words, int out) {
  std::vector<char*> argv{const_cast<char*>(analyzer.c_str())};
  for (const std::string& word : words)
    argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, out, 1);
  posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t child = 0;
  const int error = posix_spawn(&child, analyzer.c_str(), &files, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  return error == 0 ? child : 0;
}

} // namespace

std::string ask_analyzer(const std::string& program, const std::vector<std::string>& words,
                         uint64_t limit_ns) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return "";
  const pid_t child =
      start_analyzer(program.substr(0, program.rfind('/') + 1) + "heapledger", words, ends[1]);
  close(ends[1]);
  std::string text;
  const uint64_t until = sys::clock_ns(CLOCK_MONOTONIC) + limit_ns;
  bool whole = false;
  while (child != 0 && !whole && text.size() < kLongestLine) {
    const uint64_t now = sys::clock_ns(CLOCK_MONOTONIC);
    pollfd readable{ends[0], POLLIN, 0};
    if (now >= until || poll(&readable, 1, static_cast<int>((until - now) / 1'000'000) + 1) <= 0)
      break;
    char part[512];
    const ssize_t got = read(ends[0], part, sizeof(part));
    if (got > 0)
      text.append(part, static_cast<size_t>(got));
    whole = got <= 0;
  }
  close(ends[0]);
  if (child == 0)
    return "";
  if (!whole)
    kill(child, SIGKILL);
  // One that waits for a file server or a FUSE process may not even die: it is left to itself.
  int status = 0;
  bool ended = false;
  for (int i = 0; i < 200 && !(ended = waitpid(child, &status, whole ? 0 : WNOHANG) == child); i++)
    poll(nullptr, 0, 1);
  if (!whole || !ended || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return "";
  return text.substr(0, text.find('\n'));
}

} // namespace hl
