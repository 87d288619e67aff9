// See top_leak.h.
#include "top_leak.h"

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
pid_t start_analyzer(const std::string& analyzer, const std::string& trace, int out) {
  std::string words[] = {analyzer, "leaks", trace, "--closing-line"};
  char* argv[] = {words[0].data(), words[1].data(), words[2].data(), words[3].data(), nullptr};
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
  const int error = posix_spawn(&child, analyzer.c_str(), &files, &attributes, argv, environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  return error == 0 ? child : 0;
}

} // namespace

std::string describe_leaks(const std::string& program, const std::string& trace, uint64_t limit_ns) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return "";
  const pid_t child =
      start_analyzer(program.substr(0, program.rfind('/') + 1) + "heapledger", trace, ends[1]);
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
  int status = 0;
  waitpid(child, &status, 0);
  if (!whole || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return "";
  return text.substr(0, text.find('\n'));
}

} // namespace hl
