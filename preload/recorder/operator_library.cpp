// See operator_library.h.
#include "operator_library.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "elf_symbols.h"
#include "heapledger/sanitizers.h"

namespace hl {

namespace {

constexpr char kOperatorNew[] = "_Znwm"; // operator new(unsigned long)
constexpr int kListTimeoutMs = 3000;
constexpr size_t kMostListBytes = 1 << 20;

int64_t now_ms() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1000 + t.tv_nsec / 1'000'000;
}

// As execvp looks for it; "" if there is none. A program that changes its user or group at exec ignores
// LD_PRELOAD.
std::string find_program(const std::string& application) {
  const auto fits = [](const std::string& path) {
    struct stat status;
    return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && access(path.c_str(), X_OK) == 0;
  };
  std::string found;
  if (application.find('/') != std::string::npos) {
    if (fits(application))
      found = application;
  } else {
    const char* const variable = std::getenv("PATH");
    const std::string path = variable != nullptr ? variable : "/bin:/usr/bin";
    for (size_t begin = 0; found.empty() && begin <= path.size();) {
      const size_t end = std::min(path.find(':', begin), path.size());
      const std::string candidate = (end > begin ? path.substr(begin, end - begin) : ".") + "/" + application;
      if (fits(candidate))
        found = candidate;
      begin = end + 1;
    }
  }
  struct stat status;
  if (found.empty() || stat(found.c_str(), &status) != 0 || (status.st_mode & (S_ISUID | S_ISGID)) != 0)
    return "";
  return found;
}

// What a script is run by; the path itself if it is not a script.
std::string without_script(const std::string& path) {
  char start[256];
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const ssize_t bytes = fd < 0 ? -1 : read(fd, start, sizeof(start));
  if (fd >= 0)
    close(fd);
  if (bytes < 2 || start[0] != '#' || start[1] != '!')
    return path;
  const std::string line(start + 2, static_cast<size_t>(bytes) - 2);
  const size_t begin = line.find_first_not_of(" \t");
  if (begin == std::string::npos)
    return path;
  const size_t end = line.find_first_of(" \t\n", begin);
  return end == std::string::npos ? path : line.substr(begin, end - begin);
}

// What execvp would run in the end; "": nothing that could be preloaded to.
std::string find_executable(const std::string& application) {
  const std::string found = find_program(application);
  return found.empty() ? found : find_program(without_script(found));
}

// What `INTERPRETER --list PROGRAM` prints; "" after a failure or too long a time.
std::string list_libraries(const std::string& interpreter, const std::string& program) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return "";
  const pid_t child = fork();
  if (child == 0) {
    // Nothing that makes the dynamic linker say more, or run code of others.
    for (const char* name :
         {"LD_AUDIT", "LD_DEBUG", "LD_DEBUG_OUTPUT", "LD_VERBOSE", "LD_WARN", "LD_BIND_NOW"})
      unsetenv(name);
    const int nothing = open("/dev/null", O_RDWR);
    dup2(nothing, STDIN_FILENO);
    dup2(ends[1], STDOUT_FILENO);
    dup2(nothing, STDERR_FILENO);
    execl(interpreter.c_str(), interpreter.c_str(), "--list", program.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  close(ends[1]);
  std::string text;
  bool whole = false;
  for (const int64_t until = now_ms() + kListTimeoutMs;
       child > 0 && !whole && text.size() < kMostListBytes;) {
    const int64_t left = until - now_ms();
    pollfd p{ends[0], POLLIN, 0};
    const int ready = left > 0 ? poll(&p, 1, static_cast<int>(left)) : 0;
    if (ready == 0)
      break;
    if (ready < 0)
      continue;
    char buffer[4096];
    const ssize_t bytes = read(ends[0], buffer, sizeof(buffer));
    if (bytes < 0 && errno == EINTR)
      continue;
    if (bytes > 0)
      text.append(buffer, static_cast<size_t>(bytes));
    else
      whole = true;
  }
  close(ends[0]);
  if (child < 0)
    return "";
  if (!whole)
    kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return whole && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? text : "";
}

// The paths in lines like "\tNAME => PATH (0x7f...)" and "\tPATH (0x7f...)".
std::vector<std::string> paths_in(const std::string& list) {
  std::vector<std::string> paths;
  for (size_t begin = 0; begin < list.size();) {
    const size_t end = std::min(list.find('\n', begin), list.size());
    std::string line = list.substr(begin, end - begin);
    begin = end + 1;
    const size_t address = line.rfind(" (0x");
    if (address == std::string::npos)
      continue;
    line.resize(address);
    const size_t arrow = line.find(" => ");
    line.erase(0, arrow != std::string::npos ? arrow + 4 : line.find_first_not_of(" \t"));
    if (line.find('/') != std::string::npos)
      paths.push_back(line);
  }
  return paths;
}

// The sanitizer whose run-time library this is, or whose parts it uses; "": none.
std::string sanitizer_in(const ElfSymbols& symbols) {
  for (const SanitizerMark& mark : kSanitizerMarks)
    if (symbols.defines(mark.symbol) || symbols.imports(mark.symbol))
      return mark.name;
  return "";
}

} // namespace

bool is_operator_library(const std::string& path) {
  const ElfSymbols library(path);
  return library.defines(kOperatorNew) && (library.defines("malloc") || !library.imports("malloc")) &&
         sanitizer_in(library).empty();
}

std::string sanitizer_of(const std::string& application) {
  const std::string program = find_executable(application);
  if (program.empty())
    return "";
  return sanitizer_in(ElfSymbols(program));
}

bool brings_own_malloc(const std::string& application) {
  const std::string program = find_executable(application);
  if (program.empty())
    return false;
  const ElfSymbols symbols(program);
  return !symbols.interpreter().empty() && symbols.defines("malloc");
}

bool brings_operator_new(const std::string& application) {
  const std::string program = find_executable(application);
  if (program.empty())
    return false;
  const std::string interpreter = ElfSymbols(program).interpreter();
  if (interpreter.empty())
    return false;
  for (const std::string& path : paths_in(list_libraries(interpreter, program)))
    if (is_operator_library(path))
      return true;
  return false;
}

} // namespace hl
