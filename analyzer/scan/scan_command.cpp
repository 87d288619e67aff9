// See scan_command.h.
#include "scan/scan_command.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>
#include <x86intrin.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>

#include "scan/calls_in_progress.h"
#include "scan/copied_process.h"
#include "scan/live_set.h"
#include "scan/memory_budget.h"
#include "scan/monotonic_time.h"
#include "scan/patience.h"
#include "scan/process_memory.h"
#include "scan/process_status.h"
#include "scan/recorder_channel.h"
#include "scan/scan_payload.h"
#include "scan/stopped_process.h"

namespace hl {
namespace {

constexpr uint64_t kMs = 1'000'000;
// Threads inside a call get so long to leave it. Most need microseconds, and a processor.
constexpr uint64_t kRunOnLimitNs = 300 * kMs;
// Nobody wants a service to stand still for longer; one that is about to end may.
constexpr uint64_t kPauseLimitNs = 10'000 * kMs, kPauseLimitAtEndNs = 110'000 * kMs;
// Events that are replayed in no time worth mentioning, and in two to three seconds, by which a service may
// stand still.
constexpr uint64_t kLittleBehind = 300'000, kMostBehind = 24'000'000;
// The same for a program that is at its end and has nothing else to do: a minute.
constexpr uint64_t kMostBehindAtEnd = 900'000'000;
constexpr uint64_t kPrepareLimitNs = 60'000 * kMs;
// Events a second that we cannot keep up with while the program has the processors.
constexpr uint64_t kTooFast = 4'000'000;
// While the program and its recorder need the processors more than we do (the recorder's is 5).
constexpr int kPrepareNiceness = 10;

struct Arguments {
  std::string trace, name;
  std::string sample_of, session; // a sample alone: the trace's UUID, its session file
  uint32_t pid = 0;
  int channel = -1, result = -1;
  ScanCause cause = ScanCause::unknown;
  uint32_t options = kScanDefault;
  uint64_t memory_limit = UINT64_MAX;
};

template <typename T> bool parse_number(std::string_view text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

bool parse(int argc, char** argv, Arguments& out) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view key = argv[i], value = argv[i + 1];
    bool good = true;
    uint8_t cause = 0;
    if (key == "--trace")
      out.trace = value;
    else if (key == "--sample-of")
      out.sample_of = value;
    else if (key == "--session")
      out.session = value;
    else if (key == "--name")
      out.name = value;
    else if (key == "--pid")
      good = parse_number(value, out.pid);
    else if (key == "--channel")
      good = parse_number(value, out.channel);
    else if (key == "--result")
      good = parse_number(value, out.result);
    else if (key == "--cause")
      good = parse_number(value, cause), out.cause = static_cast<ScanCause>(cause);
    else if (key == "--options")
      good = parse_number(value, out.options);
    else if (key == "--memory-limit")
      good = parse_number(value, out.memory_limit);
    else
      good = false;
    if (!good)
      return false;
  }
  return argc % 2 == 1 && !out.trace.empty() && out.pid != 0 && out.channel >= 0 && out.result >= 0;
}

bool write_result(int descriptor, const std::vector<uint8_t>& payload) {
  for (size_t at = 0; at < payload.size();) {
    const ssize_t got =
        ::pwrite(descriptor, payload.data() + at, payload.size() - at, static_cast<off_t>(at));
    if (got <= 0)
      return false;
    at += static_cast<size_t>(got);
  }
  return true;
}

// Lets threads that were stopped inside an allocation call leave it. Returns how many are still inside.
uint32_t run_out_of_calls(StoppedProcess& process, const std::string& session_path, const Uuid& trace_uuid) {
  CallsInProgress calls(session_path, trace_uuid);
  std::set<uint32_t> inside = calls.threads_inside();
  if (inside.empty())
    return 0;
  return process.run_on(
      [&, last = ~uint64_t{0}](uint32_t own_tid) mutable {
        if (const uint64_t now = monotonic_ns(); now - last > 20'000) {
          inside = calls.threads_inside();
          last = now;
        }
        return inside.contains(own_tid);
      },
      kRunOnLimitNs);
}

// A scan from the first look at the trace to the graph.
class Scan {
 public:
  Scan(const Arguments& arguments, ScanOutcome& outcome)
      : arguments_(arguments), outcome_(outcome), channel_(arguments.channel), live_(arguments.trace) {}

  void open() { live_.open(); }

  // While the program runs; at its end, while it stands: its other threads must not go on for as long as this
  // takes, in a program whose destructors have run.
  void prepare() {
    const auto meanwhile = [this] {
      channel_.show_life();
      if (patience_)
        patience_->require();
    };
    const uint64_t began_ns = monotonic_ns();
    channel_.flush();
    for (uint64_t behind = live_.behind(), last = ~uint64_t{0}; behind > kLittleBehind;
         last = behind, behind = live_.behind()) {
      // A program that allocates faster than we replay is never caught up with.
      const bool hopeless = !is_end() && (behind > last - last / 4 || live_.recent_rate() > kTooFast ||
                                          monotonic_ns() - began_ns > kPrepareLimitNs);
      if (is_end() && behind > kMostBehindAtEnd)
        throw ScanFailed(ScanFailure::too_long,
                         std::to_string(behind) + " events were recorded, and to replay them would keep the "
                                                  "program from ending for minutes");
      // What a program that stands still leaves behind stays so: events since a call began that does not
      // return, or since a moment before the last of them.
      const bool stays = is_end() && behind >= last;
      if (stays || (hopeless && behind <= kMostBehind))
        break;
      if (hopeless)
        throw ScanFailed(ScanFailure::too_long,
                         "it allocates faster than its trace can be read: " + std::to_string(behind) +
                             " events behind, for which it would have to stand still too long");
      live_.catch_up(meanwhile);
      channel_.flush();
    }
    live_.sort_ahead();
    const uint64_t available = std::min(available_memory_bytes(), arguments_.memory_limit);
    const uint64_t needed = scan_needs_bytes(live_.live_blocks(), live_.live_bytes());
    if (needed > available - available / 4)
      throw ScanFailed(ScanFailure::no_memory,
                       "a scan of " + std::to_string(live_.live_blocks()) + " live blocks needs about " +
                           std::to_string(needed >> 20) + " MiB of the " + std::to_string(available >> 20) +
                           " MiB that are left, a quarter of which stays free");
    limit_memory(available);
  }

  // With the program standing still. Must be called in a thread that ends right afterwards: its end lets go
  // what could not be let go otherwise.
  void look() {
    // The recorder gives way to the program, and so would we; but now the program waits for us.
    ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 0);
    const uint64_t stopped_ns = monotonic_ns();
    patience_.emplace(arguments_.pid, arguments_.cause, is_end() ? kPauseLimitAtEndNs : kPauseLimitNs);
    StoppedProcess process(arguments_.pid);
    outcome_.threads_inside =
        run_out_of_calls(process, live_.trace().metadata().session_path, live_.trace().metadata().uuid);
    const uint64_t stopped_ticks = __rdtsc();
    channel_.ask_for_sample(stopped_ticks);
    if (is_end())
      prepare();
    channel_.flush();
    live_.complete([this] { patience_->require(); });
    const uint32_t thread = process.living_thread();
    ProcessMemory memory(thread, ProcessMemory::Pages::touched, &*patience_);
    ProcessMemory headers(thread, ProcessMemory::Pages::all);
    RootSources sources;
    sources.pid = arguments_.pid;
    sources.maps = parse_maps(read_small_file("/proc/" + std::to_string(thread) + "/maps"));
    sources.threads = process.contexts();
    build_graph(std::move(sources), memory, headers);
    outcome_.ticks = stamp(stopped_ticks);
    channel_.wait_for_sample();
    if (!process.exists())
      throw ScanFailed(ScanFailure::gone, "the process ended during the scan");
    process.release();
    outcome_.pause_ns = monotonic_ns() - stopped_ns;
    channel_.released(outcome_.pause_ns);
    outcome_.reason = live_.what_is_missing();
    outcome_.way = ScanWay::stopped;
  }

  // At a forked copy instead. Whoever asked for the scan must be waiting for it: it forks.
  void look_at_copy() {
    const uint64_t began_ns = monotonic_ns();
    patience_.emplace(arguments_.pid, arguments_.cause, kPauseLimitAtEndNs);
    CopiedProcess copy(arguments_.pid, live_.trace().metadata().session_path, live_.trace().metadata().uuid,
                       channel_);
    if (is_end())
      prepare();
    channel_.flush();
    channel_.ask_for_sample(0);
    channel_.wait_for_sample();
    // The copy does not change any more, and the program may go on.
    outcome_.pause_ns = monotonic_ns() - began_ns;
    channel_.released(outcome_.pause_ns);
    live_.complete([] {}, copy.fork_ticks());
    RootSources sources;
    sources.maps = copy.maps();
    sources.threads = copy.contexts();
    sources.pid = copy.main_tid();
    build_graph(std::move(sources), copy, copy);
    outcome_.ticks = std::min(copy.fork_ticks(), stamp(0));
    outcome_.reason = live_.what_is_missing();
    outcome_.way = ScanWay::copy;
  }
  // There is somebody who could fork.
  bool may_have_copy() const { return is_end() || arguments_.cause == ScanCause::program; }

  const PointerGraph& graph() const { return *graph_; }
  const Classification& classification() {
    if (!found_)
      found_ = classify(*graph_);
    return *found_;
  }
  const std::vector<BlockContents>& contents() const { return contents_; }
  bool is_end() const {
    return arguments_.cause == ScanCause::exit || arguments_.cause == ScanCause::abort ||
           arguments_.cause == ScanCause::signal;
  }

 private:
  void build_graph(RootSources sources, MemoryReader& memory, MemoryReader& headers) {
    require_same_program(sources.maps);
    sources.modules = loaded_modules(sources.maps, headers);
    sources.mappings = live_.mappings();
    sources.session_path = live_.trace().metadata().session_path;
    sources.options = arguments_.options;
    std::vector<ScanBlock> blocks = live_.blocks();
    sources.blocks = blocks;
    const std::vector<RootRange> roots = find_roots(sources, memory);
    outcome_.threads = static_cast<uint32_t>(sources.threads.size());
    graph_ =
        build_pointer_graph(std::move(blocks), roots, file_ranges(sources.maps), memory, arguments_.options);
    // Examples are of a class each, so the classes must be known while their memory still stands still.
    if ((arguments_.options & kScanContents) != 0) {
      found_ = classify(*graph_);
      contents_ = example_contents(
          *graph_, *found_, [this](uint64_t address) { return live_.site_of(address); }, memory);
    }
  }

  // More than is there is an error that can be told, not a reason to kill anybody.
  static void limit_memory(uint64_t available) {
    if (available == UINT64_MAX)
      return;
    const std::string statm = read_small_file("/proc/self/statm");
    uint64_t pages = 0;
    std::from_chars(statm.data(), statm.data() + statm.size(), pages);
    rlimit limit{};
    if (::getrlimit(RLIMIT_AS, &limit) == 0) {
      limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, pages * 4096 + available - available / 8);
      ::setrlimit(RLIMIT_AS, &limit);
    }
  }

  // An exec between the request and the stop leaves nothing of what the trace tells about.
  void require_same_program(const std::vector<MapsEntry>& maps) const {
    for (const TraceModule& module : live_.trace().modules().all()) {
      if (module.id == 0 || !module.is_main)
        continue;
      const MapsEntry* const entry = entry_at(maps, module.start);
      if (entry == nullptr || file_name_of(entry->path) != file_name_of(module.path))
        throw ScanFailed(ScanFailure::gone, maps.empty() ? "the process ended before it could be looked at"
                                                         : "the process has become another program (exec)");
    }
  }

  // The moment of the stop on the trace's clock.
  uint64_t stamp(uint64_t stopped_ticks) const {
    const bool counts_cycles =
        live_.trace().metadata().header.clock_kind == static_cast<uint8_t>(ClockKind::tsc);
    return counts_cycles ? std::max(stopped_ticks, live_.last_ticks()) : live_.last_ticks();
  }

  const Arguments& arguments_;
  ScanOutcome& outcome_;
  RecorderChannel channel_;
  std::optional<Patience> patience_; // from when the program stands still
  LiveSet live_;
  std::optional<PointerGraph> graph_;
  std::optional<Classification> found_;
  std::vector<BlockContents> contents_;
};

// Runs `body` in a thread of its own; what it throws comes out here.
template <typename Body> void in_own_thread(Body body) {
  std::exception_ptr thrown;
  std::thread thread;
  try {
    thread = std::thread([&] {
      try {
        body();
      } catch (...) {
        thrown = std::current_exception();
      }
    });
  } catch (const std::system_error& problem) {
    throw ScanFailed(ScanFailure::scanner_failed,
                     std::string("the scanner cannot start a thread: ") + problem.code().message());
  }
  thread.join();
  if (thrown)
    std::rethrow_exception(thrown);
}

std::vector<uint8_t> scan(const Arguments& arguments) {
  ScanOutcome outcome;
  outcome.cause = arguments.cause;
  outcome.name = arguments.name;
  outcome.options = arguments.options;
  const uint64_t began_ns = monotonic_ns();
  const auto failed = [&](ScanFailure failure, const std::string& reason) {
    outcome.way = ScanWay::none;
    outcome.failure = failure;
    outcome.reason = reason;
    outcome.duration_ns = monotonic_ns() - began_ns;
    return scan_payload(outcome, nullptr, nullptr);
  };
  try {
    Scan scan(arguments, outcome);
    if (scan.is_end())
      scan.open();
    else
      in_own_thread([&] {
        ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kPrepareNiceness);
        scan.prepare();
      });
    try {
      in_own_thread([&] { scan.look(); });
    } catch (const ScanFailed& problem) {
      if (problem.failure() != ScanFailure::refused || !scan.may_have_copy())
        throw;
      try {
        scan.look_at_copy();
      } catch (const ScanFailed& second) {
        if (second.failure() != ScanFailure::refused)
          throw;
        return failed(problem.failure(), std::string(problem.what()) + "; " + second.what());
      }
    }
    const Classification& found = scan.classification();
    outcome.duration_ns = monotonic_ns() - began_ns;
    return scan_payload(outcome, &scan.graph(), &found, scan.contents());
  } catch (const ScanFailed& problem) {
    return failed(problem.failure(), problem.what());
  } catch (const std::bad_alloc&) {
    return failed(ScanFailure::no_memory, "the scan found no room for its tables");
  } catch (const std::exception& problem) {
    return failed(ScanFailure::scanner_failed, problem.what());
  }
}

// Holds the process while the recorder reads its memory map. false: it could not be held, or ended.
bool hold_for_sample(const Arguments& arguments, const Uuid& trace_uuid) {
  bool held = false;
  try {
    in_own_thread([&] {
      ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 0);
      RecorderChannel channel(arguments.channel);
      const uint64_t stopped_ns = monotonic_ns();
      StoppedProcess process(arguments.pid);
      run_out_of_calls(process, arguments.session, trace_uuid);
      channel.ask_for_sample(__rdtsc());
      channel.wait_for_sample();
      held = process.exists();
      process.release();
      channel.released(monotonic_ns() - stopped_ns);
    });
  } catch (const std::exception&) {
    return false;
  }
  return held;
}

// 32 hexadecimal digits.
bool parse_uuid(std::string_view text, Uuid& out) {
  if (text.size() != 2 * out.size())
    return false;
  for (size_t i = 0; i < out.size(); ++i) {
    const char* const digits = text.data() + 2 * i;
    if (const auto [end, error] = std::from_chars(digits, digits + 2, out[i], 16);
        error != std::errc() || end != digits + 2)
      return false;
  }
  return true;
}

} // namespace

int run_scan_process(int argc, char** argv) {
  Arguments arguments;
  if (!parse(argc, argv, arguments)) {
    std::fprintf(stderr, "heapledger scan-process: wrong arguments; the recorder starts it, not the user\n");
    return 2;
  }
  // A key pressed for the program must not end its scan; the recorder ends it by SIGKILL.
  for (const int number : {SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGPIPE, SIGTSTP, SIGUSR1, SIGUSR2})
    ::signal(number, SIG_IGN);
  ::signal(SIGCHLD, SIG_DFL); // ignored, it would reap what waitpid must tell
  // Should memory run out after all, nobody else is to die for it.
  if (const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); fd >= 0) {
    (void)!::write(fd, "1000", 4);
    ::close(fd);
  }
  if (Uuid trace_uuid{}; !arguments.sample_of.empty())
    return parse_uuid(arguments.sample_of, trace_uuid) && hold_for_sample(arguments, trace_uuid) ? 0 : 1;
  return write_result(arguments.result, scan(arguments)) ? 0 : 1;
}

} // namespace hl
