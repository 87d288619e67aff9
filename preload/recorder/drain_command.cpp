// See drain_command.h.
#include "drain_command.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "control_channel.h"
#include "own_descriptors.h"
#include "recorder.h"
#include "session_fault.h"
#include "session_file.h"

namespace hl {

namespace {

constexpr char kUsage[] =
    "Usage: heapledger-recorder drain [OPTIONS] SESSION\n"
    "Drains the session file SESSION into traces until every recorded process has ended.\n"
    "  --create             make the session file first; without it, go on with an existing one\n"
    "  --directory DIR      where traces go (absolute; made if missing)\n"
    "  --output FILE        trace of the first process (absolute); children: FILE.PID.N.hlt\n"
    "  --name NAME          name of the application\n"
    "  --flags N            session flags (see session_layout.h)\n"
    "  --wait-budget-ns N   how long a thread may wait for room in total\n"
    "  --leaks N            LeakPolicy: who is scanned for leaks when it ends\n"
    "  --scan-options N     ScanOptions of leak scans\n"
    "  --sample-budget N    millionths of a processor that samples of memory may take\n"
    "  --pool-size MIB      room for events on their way (default 8)\n"
    "  --zstd-level N       default 1\n"
    "  --control FD         socket to the supervisor\n"
    "  --restarts N         how often a recorder of this session died before\n"
    "  --cpu-before-ns N    CPU time that those took\n"
    "  --detach             go to the background; return when SESSION is ready\n";

struct Options {
  SessionSettings session;
  RecorderSettings recorder;
  bool create = false, detach = false;
};

bool parse(int argc, char** argv, Options& o) {
  for (int i = 0; i < argc; i++) {
    const std::string_view word = argv[i];
    if (word == "--create")
      o.create = true;
    else if (word == "--detach")
      o.detach = true;
    else if (!word.starts_with("--"))
      o.session.path = word;
    else {
      if (++i == argc)
        return false;
      const char* const value = argv[i];
      char* end = nullptr;
      errno = 0;
      const unsigned long long number = std::strtoull(value, &end, 10);
      const bool is_number = *value != 0 && *end == 0 && errno == 0;
      if (word == "--directory")
        o.session.directory = value;
      else if (word == "--output")
        o.session.output = value;
      else if (word == "--name")
        o.session.name = value;
      else if (is_number && word == "--flags")
        o.session.flags = static_cast<uint32_t>(number);
      else if (is_number && word == "--wait-budget-ns")
        o.session.wait_budget_ns = number;
      else if (is_number && word == "--leaks" && number <= static_cast<uint32_t>(LeakPolicy::all))
        o.session.leak_policy = static_cast<LeakPolicy>(number);
      else if (is_number && word == "--scan-options")
        o.session.scan_options = static_cast<uint32_t>(number);
      else if (is_number && word == "--sample-budget" && number <= 1'000'000)
        o.session.sample_budget_millionths = static_cast<uint32_t>(number);
      else if (is_number && word == "--pool-size" && number >= 1 && number <= 1024)
        o.session.pool_bytes = o.recorder.pool_bytes = static_cast<uint32_t>(number << 20);
      else if (is_number && word == "--zstd-level" && number <= 22)
        o.recorder.zstd_level = static_cast<int>(number);
      else if (is_number && word == "--control")
        o.recorder.control_fd = static_cast<int>(number);
      else if (is_number && word == "--restarts")
        o.recorder.restarts = static_cast<uint32_t>(number);
      else if (is_number && word == "--cpu-before-ns")
        o.recorder.cpu_before_ns = number;
      else
        return false;
    }
  }
  return !o.session.path.empty();
}

// No descriptor of the starter may stay open: a pipe held open here would never end for whoever reads it.
void leave_descriptors(int keep) {
  // 0, 1 and 2 may be closed; what we open must not become one of them.
  int fd;
  while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= 2) {
  }
  if (fd >= 0)
    close(fd);
  visit_own_descriptors([keep](int open_fd) {
    if (open_fd > 2 && open_fd != keep)
      close(open_fd);
  });
}

void leave_standard_streams() {
  const int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null_fd < 0)
    return;
  for (int fd = 0; fd < 3; fd++)
    dup2(null_fd, fd);
  close(null_fd);
}

void leave_signals() {
  for (int signal = 1; signal < 32; signal++)
    if (signal != SIGKILL && signal != SIGSTOP)
      std::signal(signal, SIG_IGN);
  // A fault of our own must end us: the supervisor starts another recorder.
  // Of our scanners' ends we want to be told: ignored, they would leave no status.
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGCHLD})
    std::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// The application comes first; when it must wait for us, it leaves us the processor. Its real-time priority
// is not ours: one pass may take longer than such a program can be kept from running.
void leave_the_processor_to_the_application() {
  const int policy = sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;
  const sched_param none{};
  if (policy == SCHED_FIFO || policy == SCHED_RR)
    sched_setscheduler(0, SCHED_OTHER, &none);
  setpriority(PRIO_PROCESS, 0, 5);
}

void report_failure(const Options& o, const std::string& why, ControlKind kind = ControlKind::failed) {
  ControlMessage m;
  m.kind = kind;
  m.set_text(why.c_str());
  if (!send_message(o.recorder.control_fd, m))
    fmt::print(stderr, "heapledger-recorder: {}\n", why);
}

} // namespace

int drain_command(int argc, char** argv) {
  Options o;
  if (!parse(argc, argv, o)) {
    fputs(kUsage, stderr);
    return 2;
  }
  unsetenv("LD_PRELOAD");
  leave_descriptors(o.recorder.control_fd);
  prctl(PR_SET_NAME, "hl-recorder");
  std::string why;
  std::unique_ptr<SessionFile> session;
  if (o.create) {
    if (!o.session.directory.empty() && mkdir(o.session.directory.c_str(), 0700) != 0 && errno != EEXIST) {
      report_failure(o, fmt::format("cannot create {}: {}", o.session.directory, std::strerror(errno)));
      return 1;
    }
    session = SessionFile::create(o.session, why);
  } else {
    session = SessionFile::attach(o.session.path, why);
  }
  if (session == nullptr) {
    report_failure(o, why, o.create ? ControlKind::failed : ControlKind::session_lost);
    return 1;
  }
  if (o.detach) {
    const pid_t child = fork();
    if (child < 0) {
      report_failure(o, std::string("cannot fork: ") + std::strerror(errno));
      session->unlink_file();
      return 1;
    }
    if (child > 0)
      _exit(0);
  }
  if (o.recorder.control_fd >= 0)
    fcntl(o.recorder.control_fd, F_SETFD, FD_CLOEXEC);
  setsid();
  leave_signals();
  end_when_session_is_lost(*session, o.recorder.control_fd);
  leave_standard_streams();
  leave_the_processor_to_the_application();
  // Two descriptors a process.
  rlimit descriptors;
  if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0) {
    descriptors.rlim_cur = descriptors.rlim_max;
    setrlimit(RLIMIT_NOFILE, &descriptors);
  }
  // It says in the session file who it is before anybody is there to look.
  Recorder recorder(*session, o.recorder);
  ControlMessage ready;
  ready.kind = ControlKind::ready;
  send_message(o.recorder.control_fd, ready);
  try {
    recorder.run();
  } catch (const std::exception& e) {
    report_failure(o, e.what());
    session->header().recorder_state.store(static_cast<uint32_t>(RecorderState::failed),
                                           std::memory_order_release);
    return 1;
  }
  return 0;
}

} // namespace hl
