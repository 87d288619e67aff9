// See supervise_command.h.
#include "supervise_command.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "analyzer_line.h"
#include "closing_lines.h"
#include "heapledger/own_program.h"
#include "heapledger/session_layout.h"
#include "operator_library.h"
#include "platform/syscalls.h"
#include "record_options.h"
#include "run_place.h"
#include "supervisor.h"

namespace hl {

namespace {

// The shim beside this program or in the lib directory next to it.
bool find_shim(const std::string& program, std::string& shim, std::string& why) {
  const std::string directory = program.substr(0, program.rfind('/'));
  for (const char* place :
       {"/../lib/libheapledger.so", "/libheapledger.so", "/../lib/heapledger/libheapledger.so"}) {
    char* const resolved = realpath((directory + place).c_str(), nullptr);
    if (resolved == nullptr)
      continue;
    shim = resolved;
    std::free(resolved);
    if (shim.find_first_of(" :") == std::string::npos)
      return true;
    why = fmt::format("{} cannot be preloaded: its path has a space or colon", shim);
    return false;
  }
  why = fmt::format("libheapledger.so is not where it belongs ({}/../lib)", directory);
  return false;
}

// What goes into LD_PRELOAD before the user's own: the shim and, for a program with an allocator library, the
// hooks on its operators new and delete. Children inherit what is decided here.
std::string libraries_to_preload(const std::string& shim, const std::string& application) {
  const std::string operators = shim.substr(0, shim.rfind('/')) + "/libheapledger-new.so";
  const bool wanted = access(operators.c_str(), R_OK) == 0 && brings_operator_new(application);
  return wanted ? shim + ":" + operators : shim;
}

// Programs built with gcc's AddressSanitizer refuse to run where anything was loaded before its library. The
// shim leaves them alone.
std::string with_asan_option() {
  const char* const options = std::getenv("ASAN_OPTIONS");
  return fmt::format("ASAN_OPTIONS={}{}verify_asan_link_order=0", options == nullptr ? "" : options,
                     options == nullptr || *options == 0 ? "" : ":");
}

// When the application itself never showed up. `images`: how many others did.
std::string not_recorded(const std::string& application, const std::string& sanitizer, uint32_t images,
                         const std::string& path) {
  const std::string why = sanitizer.empty() ? "did not load the shim (is it static, 32-bit, set-user-id, or "
                                              "built with a sanitizer or for musl?)"
                                            : "is built with " + sanitizer;
  if (images == 0)
    return fmt::format("heapledger: nothing was recorded: {} {}\n", application, why);
  return fmt::format("heapledger: not recorded: {} {}\n{} process image{} that it started: beside or in {}\n",
                     application, why, images, images == 1 ? "" : "s", path);
}

int shell_status(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int report_exec_failure(const std::string& application, int error) {
  fmt::print(stderr, "heapledger: {}: {}\n", application,
             error == ENOENT ? "command not found" : std::strerror(error));
  return error == ENOENT ? 127 : 126;
}

// What takes the analyzer, within one second for all.
void ask_what_it_means(const std::string& program, ClosingFacts& facts) {
  constexpr uint64_t kLimitNs = 1'000'000'000;
  // A program that was there for a moment has no memory worth explaining; a longer trace takes longer to
  // replay than the end of a run may wait.
  constexpr uint64_t kLongEnoughNs = 1'000'000'000, kMostEvents = 1'000'000;
  const std::string trace = facts.figures.text;
  if (trace.empty())
    return;
  const uint64_t began_ns = sys::clock_ns(CLOCK_MONOTONIC);
  if (facts.figures.class_blocks[0] != 0)
    facts.leaks = ask_analyzer(program, {"leaks", trace, "--closing-line"}, kLimitNs);
  const uint64_t spent_ns = sys::clock_ns(CLOCK_MONOTONIC) - began_ns;
  if (facts.duration_ns >= kLongEnoughNs && facts.figures.events <= kMostEvents && spent_ns < kLimitNs)
    facts.memory = ask_analyzer(program, {"ledger", trace, "--closing-line"}, kLimitNs - spent_ns);
}

// Recording is not possible: the application runs all the same, in our place.
int run_unrecorded(const RecordOptions& o, const std::string& why) {
  fmt::print(stderr, "heapledger: {}; running unrecorded\n", why);
  std::vector<char*> argv;
  for (const std::string& w : o.command)
    argv.push_back(const_cast<char*>(w.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  return report_exec_failure(o.command.front(), errno);
}

} // namespace

int supervise_command(int argc, char** argv) {
  RecordOptions options;
  std::string why;
  if (!parse_record_options(argc, argv, options, why)) {
    fmt::print(stderr, "heapledger record: {}\nTry heapledger record --help\n", why);
    return 2;
  }
  if (options.help) {
    fputs(kRecordUsage, stdout);
    return 0;
  }
  const std::string program = own_program();
  std::string shim;
  RunPlace place;
  if (!find_shim(program, shim, why) || !choose_run_place(options, place, why))
    return run_unrecorded(options, why);
  if (!place.notice.empty() && !options.quiet)
    fmt::print(stderr, "heapledger: {}\n", place.notice);

  const std::string sanitizer = options.quiet ? "" : sanitizer_of(options.command.front());
  if (!sanitizer.empty())
    fmt::print(stderr,
               "heapledger: warning: {} is built with {}, which needs malloc for itself: it is not recorded; "
               "programs that it starts are\n",
               options.command.front(), sanitizer);
  else if (!options.quiet && brings_own_malloc(options.command.front()))
    fmt::print(
        stderr,
        "heapledger: warning: {} has an allocator of its own (it defines malloc): the heap that this serves "
        "is invisible\n",
        options.command.front());

  // Before the supervisor, which blocks signals.
  const std::string libraries = libraries_to_preload(shim, options.command.front());

  Supervisor supervisor;
  RecorderCommand recorder;
  recorder.program = program;
  recorder.arguments = {"--zstd-level", std::to_string(options.zstd_level), "--pool-size",
                        std::to_string(options.pool_mib)};
  recorder.create_arguments = {"--create",
                               "--directory",
                               place.directory,
                               "--name",
                               place.name,
                               "--flags",
                               std::to_string(options.flags),
                               "--leaks",
                               std::to_string(static_cast<uint32_t>(options.leaks)),
                               "--scan-options",
                               std::to_string(options.scan_options),
                               "--sample-budget",
                               std::to_string(static_cast<uint32_t>(options.sample_budget_percent * 10'000)),
                               "--wait-budget-ns",
                               std::to_string(static_cast<uint64_t>(options.overload_wait_s * 1e9))};
  if (!place.output.empty())
    recorder.create_arguments.insert(recorder.create_arguments.end(), {"--output", place.output});
  bool started = false;
  for (const std::string& session : place.sessions) {
    recorder.session = session;
    if ((started = supervisor.start_recorder(recorder, why)))
      break;
  }
  if (!started) {
    supervisor.stand_down();
    if (place.made_directory)
      rmdir(place.directory.c_str());
    return run_unrecorded(options, why);
  }

  // The user's own preloads stay, in their order, behind ours.
  const char* const preload = std::getenv("LD_PRELOAD");
  const std::vector<std::string> environment = {
      fmt::format("LD_PRELOAD={}{}{}", libraries, preload != nullptr && *preload != 0 ? ":" : "",
                  preload == nullptr ? "" : preload),
      fmt::format("{}={}", kEnvSession, recorder.session), with_asan_option()};
  // A line that goes away again; only where somebody looks.
  const bool watched = !options.quiet && isatty(STDERR_FILENO) == 1;
  bool line_shown = false;
  const auto say_what_takes_so_long = [&](uint64_t waited_ns) {
    if (!watched || waited_ns < 2'000'000'000)
      return;
    fmt::print(stderr, "\r\033[Kheapledger: {} is at its end; looking for leaks, {} s; Ctrl-C gives up",
               place.name, waited_ns / 1'000'000'000);
    line_shown = true;
  };
  const ApplicationEnd end = supervisor.run(options.command, environment, say_what_takes_so_long);
  if (line_shown)
    fputs("\r\033[K", stderr);
  if (end.exec_error != 0) {
    if (place.made_directory)
      rmdir(place.directory.c_str());
    // In our place it needs a process, some descriptors, and some bytes of environment, less.
    constexpr int kOursToo[] = {EAGAIN, ENOMEM, E2BIG, EMFILE, ENFILE};
    if (std::find(std::begin(kOursToo), std::end(kOursToo), end.exec_error) != std::end(kOursToo)) {
      supervisor.stand_down();
      return run_unrecorded(options, fmt::format("cannot start {}: {}", options.command.front(),
                                                 std::strerror(end.exec_error)));
    }
    return report_exec_failure(options.command.front(), end.exec_error);
  }

  if (!options.quiet) {
    ClosingFacts facts;
    facts.status = end.status;
    facts.duration_ns = end.duration_ns;
    facts.application_cpu_ns = end.cpu_ns;
    facts.has_figures = end.figures.has_value();
    if (end.figures)
      facts.figures = *end.figures;
    ask_what_it_means(program, facts);
    facts.recorder_restarts = end.recorder_restarts;
    facts.session_lost = end.session_lost;
    facts.session = recorder.session;
    facts.path = place.output.empty() ? place.directory
                                      : with_pid(place.output, std::to_string(facts.figures.child.pid));
    if (end.finished && !end.figures)
      fputs(not_recorded(options.command.front(), sanitizer, end.images, facts.path).c_str(), stderr);
    else
      fputs(closing_lines(facts).c_str(), stderr);
  }
  if (end.finished && end.images == 0 && place.made_directory)
    rmdir(place.directory.c_str());
  return shell_status(end.status);
}

} // namespace hl
