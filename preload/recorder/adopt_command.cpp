// See adopt_command.h.
#include "adopt_command.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "heapledger/own_program.h"
#include "record_options.h"
#include "run_place.h"

namespace hl {

namespace {

// Runs `heapledger-recorder drain --create --detach`, which returns when the session file is ready.
bool start_drain(const std::string& program, const RunPlace& place, const std::string& session) {
  std::vector<std::string> words = {program,         "drain",  "--create", "--detach", "--directory",
                                    place.directory, "--name", place.name, session};
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words)
    argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t child = 0;
  if (posix_spawn(&child, program.c_str(), nullptr, nullptr, argv.data(), environ) != 0)
    return false;
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR)
      return false;
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

} // namespace

int adopt_command(int argc, char** argv) {
  if (argc != 3 || std::strcmp(argv[0], "--report") != 0) {
    fputs("Usage: heapledger-recorder adopt --report FD NAME\n", stderr);
    return 2;
  }
  const int report_fd = std::atoi(argv[1]);
  const std::string program = own_program();
  if (program.empty()) {
    fputs("heapledger: not recording: neither /proc nor the kernel tells where heapledger-recorder is\n",
          stderr);
    return 1;
  }
  RecordOptions options;
  options.command = {argv[2]};
  if (const char* const directory = getenv("HEAPLEDGER_DIR"))
    options.output_directory = directory;
  RunPlace place;
  std::string why;
  if (!choose_run_place(options, place, why)) {
    fmt::print(stderr, "heapledger: not recording: {}\n", why);
    return 1;
  }
  for (const std::string& session : place.sessions) {
    if (!start_drain(program, place, session))
      continue;
    const ssize_t written = write(report_fd, session.c_str(), session.size());
    return written == static_cast<ssize_t>(session.size()) ? 0 : 1;
  }
  fmt::print(stderr, "heapledger: not recording: no session file could be made in {}\n", place.directory);
  return 1;
}

} // namespace hl
