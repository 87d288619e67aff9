// See supervisor.h.
#include "supervisor.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "own_descriptors.h"
#include "process_watch.h"

namespace hl {

namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint32_t kMostRestarts = 1000;

uint64_t monotonic_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

uint64_t ns_of(const timeval& t) {
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_usec) * 1000;
}

std::vector<char*> pointers_to(const std::vector<std::string>& words) {
  std::vector<char*> out;
  out.reserve(words.size() + 1);
  for (const std::string& w : words)
    out.push_back(const_cast<char*>(w.c_str()));
  out.push_back(nullptr);
  return out;
}

bool has_terminal() {
  const int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
  if (fd >= 0)
    close(fd);
  return fd >= 0;
}

// What the starter opened for the application is its alone: who reads the other end waits until it has closed
// it, not until it ends. Ours are closed on exec, the starter's are not. Standard error is where we speak.
void leave_descriptors_to_application() {
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  visit_own_descriptors([nothing](int fd) {
    if (fd == STDERR_FILENO || (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0)
      return;
    if (fd > STDERR_FILENO)
      close(fd);
    else if (nothing >= 0)
      dup2(nothing, fd);
  });
  if (nothing >= 0)
    close(nothing);
}

bool is_stopped(pid_t pid) {
  constexpr int kState = 3;
  const std::string state = stat_field(static_cast<uint32_t>(pid), kState);
  return state == "T" || state == "t"; // t: and somebody traces it
}

// The witness is asked by these, and tells by the first what it has got so far.
const int kMarker = SIGRTMAX, kWatch = SIGRTMAX - 1;

[[noreturn]] void be_witness(int out, pid_t supervisor) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != supervisor)
    _exit(0); // killed before we asked to be told
  prctl(PR_SET_NAME, "hl-witness");
  // It must keep nothing open: whoever reads the application's output waits for its end.
  visit_own_descriptors([out](int fd) {
    if (fd != out)
      close(fd);
  });
  sigset_t all;
  sigfillset(&all);
  pid_t watched = 0; // the application, while the supervisor stands still with it
  uint32_t looks = 0;
  for (;;) {
    siginfo_t info;
    // A stop may last for days: after a second it is looked at less often.
    const timespec look_again{0, looks < 200 ? 5'000'000 : 50'000'000};
    if ((watched == 0 ? sigwaitinfo(&all, &info) : sigtimedwait(&all, &info, &look_again)) < 0) {
      looks++;
      if (watched != 0 && is_stopped(supervisor) && !is_stopped(watched))
        kill(supervisor, SIGCONT);
      continue;
    }
    if (info.si_signo == kWatch && info.si_code == SI_QUEUE && info.si_pid == supervisor) {
      watched = info.si_value.sival_int;
      looks = 0;
      continue;
    }
    const Sighting seen{info.si_signo, info.si_code <= 0 ? info.si_pid : 0};
    if (write(out, &seen, sizeof(seen)) != sizeof(seen))
      _exit(0);
  }
}

} // namespace

Supervisor::Supervisor() {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &old_mask_);
  // Inherited as ignored, children would vanish without a status.
  struct sigaction normal {};
  normal.sa_handler = SIG_DFL;
  sigaction(SIGCHLD, &normal, &old_child_action_);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  signal_fd_ = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
}

Supervisor::~Supervisor() {
  dismiss_witness();
  for (const int fd : {control_fd_, signal_fd_, witness_fd_})
    if (fd >= 0)
      close(fd);
}

void Supervisor::dismiss_witness() {
  if (witness_ > 0) {
    kill(witness_, SIGKILL);
    waitpid(witness_, nullptr, 0);
  }
  witness_ = 0;
}

void Supervisor::stand_down() {
  dismiss_witness();
  restore_signals();
}

void Supervisor::restore_signals() {
  sigaction(SIGCHLD, &old_child_action_, nullptr);
  sigprocmask(SIG_SETMASK, &old_mask_, nullptr);
  prctl(PR_SET_CHILD_SUBREAPER, 0);
}

bool Supervisor::spawn_recorder(bool first) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return false;
  std::vector<std::string> words{recorder_.program, "drain", recorder_.session, "--control",
                                 std::to_string(pair[1])};
  words.insert(words.end(), recorder_.arguments.begin(), recorder_.arguments.end());
  if (first)
    words.insert(words.end(), recorder_.create_arguments.begin(), recorder_.create_arguments.end());
  else
    words.insert(words.end(), {"--restarts", std::to_string(end_.recorder_restarts), "--cpu-before-ns",
                               std::to_string(recorders_cpu_ns_)});
  const std::vector<char*> argv = pointers_to(words);
  const pid_t child = fork();
  if (child < 0) {
    close(pair[0]);
    close(pair[1]);
    return false;
  }
  if (child == 0) {
    setsid(); // no signal of the terminal may reach it
    fcntl(pair[1], F_SETFD, 0);
    unsetenv("LD_PRELOAD");
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(pair[1]);
  if (control_fd_ >= 0)
    close(control_fd_);
  control_fd_ = pair[0];
  recorder_pid_ = child;
  last_spawn_ns_ = monotonic_ns();
  return true;
}

bool Supervisor::start_recorder(const RecorderCommand& command, std::string& why) {
  recorder_ = command;
  ready_ = false;
  failure_.clear();
  if (!spawn_recorder(true)) {
    why = std::string("cannot start the recorder: ") + std::strerror(errno);
    return false;
  }
  const uint64_t until = monotonic_ns() + 10'000 * kMs;
  while (!ready_ && failure_.empty() && monotonic_ns() < until) {
    pollfd p{control_fd_, POLLIN, 0};
    poll(&p, 1, 100);
    read_control();
    int status;
    if (!ready_ && failure_.empty() && waitpid(recorder_pid_, &status, WNOHANG) == recorder_pid_) {
      read_control();
      if (failure_.empty())
        failure_ = "the recorder did not start";
      recorder_pid_ = 0;
    }
  }
  if (ready_)
    return true;
  why = failure_.empty() ? "the recorder does not answer" : failure_;
  if (recorder_pid_ != 0) {
    kill(recorder_pid_, SIGKILL);
    waitpid(recorder_pid_, nullptr, 0);
    recorder_pid_ = 0;
  }
  return false;
}

void Supervisor::start_witness() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return;
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  const pid_t self = getpid();
  const pid_t child = fork();
  if (child == 0)
    be_witness(ends[1], self);
  close(ends[1]);
  witness_ = child > 0 ? child : 0;
  witness_fd_ = ends[0];
}

bool Supervisor::start_application(const std::vector<std::string>& command,
                                   const std::vector<std::string>& environment) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    end_.exec_error = errno;
    return false;
  }
  const std::vector<char*> argv = pointers_to(command);
  const pid_t self = getpid();
  int starters_end = 0; // the signal that whoever started us wants us to get when it dies; fork forgets it
  prctl(PR_GET_PDEATHSIG, &starters_end);
  started_ns_ = monotonic_ns();
  application_ = fork();
  if (application_ == 0) {
    for (const std::string& e : environment)
      putenv(const_cast<char*>(e.c_str()));
    // A service manager's words for the process that it started, sd_listen_fds(3) and sd_watchdog_enabled(3).
    for (const char* addressee : {"LISTEN_PID", "WATCHDOG_PID"})
      if (const char* const pid = std::getenv(addressee); pid != nullptr && pid == std::to_string(self))
        setenv(addressee, std::to_string(getpid()).c_str(), 1);
    restore_signals();
    if (starters_end != 0) {
      prctl(PR_SET_PDEATHSIG, starters_end);
      if (getppid() != self)
        raise(starters_end);
    }
    execvp(argv[0], argv.data());
    const int error = errno;
    const ssize_t told = write(ends[1], &error, sizeof(error));
    _exit(told == sizeof(error) ? (error == ENOENT ? 127 : 126) : 126);
  }
  close(ends[1]);
  int error = application_ < 0 ? errno : 0;
  // Ends when exec closed the other end.
  while (application_ > 0 && read(ends[0], &error, sizeof(error)) < 0 && errno == EINTR) {
  }
  close(ends[0]);
  if (error == 0) {
    leave_descriptors_to_application();
    return true;
  }
  if (application_ > 0)
    waitpid(application_, nullptr, 0);
  end_.exec_error = error;
  return false;
}

void Supervisor::tell_recorder(ControlKind kind, pid_t pid, int status, const ::rusage* usage) {
  ChildStatus child{.pid = pid, .status = status, .at_ns = monotonic_ns()};
  if (usage != nullptr) {
    child.user_ns = ns_of(usage->ru_utime);
    child.system_ns = ns_of(usage->ru_stime);
    child.peak_rss_bytes = static_cast<uint64_t>(usage->ru_maxrss) * 1024;
  }
  reports_.add(kind, child);
  reports_.send(control_fd_);
}

void Supervisor::read_control() {
  bool closed = false;
  while (const auto m = receive_message(control_fd_, closed)) {
    switch (m->kind) {
    case ControlKind::ready:
      ready_ = true;
      break;
    case ControlKind::failed:
      failure_ = m->text[0] == 0 ? "the recorder failed" : m->text;
      break;
    case ControlKind::session_lost:
      end_.session_lost = true;
      break;
    case ControlKind::root_complete:
      end_.figures = *m;
      break;
    case ControlKind::scanning:
      scanning_until_ns_ = monotonic_ns() + 60'000 * kMs;
      if (m->waited_ns != 0 && held_up_)
        held_up_(m->waited_ns);
      break;
    case ControlKind::finished:
      end_.finished = true;
      end_.images = m->processes;
      break;
    default:
      break;
    }
  }
}

// While we are stopped the witness sees to it that we go on when the application does.
bool Supervisor::be_woken_by_witness(bool wanted) {
  return witness_ > 0 && sigqueue(witness_, kWatch, {.sival_int = wanted ? application_ : 0}) == 0;
}

void Supervisor::stop_with_application() {
  be_woken_by_witness(true);
  kill(getpid(), SIGSTOP);
  be_woken_by_witness(false);
}

void Supervisor::reap() {
  int status;
  rusage usage;
  pid_t pid;
  while ((pid = wait4(-1, &status, WNOHANG | WUNTRACED, &usage)) > 0) {
    if (WIFSTOPPED(status)) {
      // What a shell's job control stops, the shell continues. Whatever else: if somebody can wake us.
      const int by = WSTOPSIG(status);
      const bool by_shell = (by == SIGTSTP || by == SIGTTIN || by == SIGTTOU) && has_terminal();
      if (pid == application_ && (by_shell || (witness_ > 0 && is_stopped(application_))))
        stop_with_application();
      continue;
    }
    if (pid == recorder_pid_) {
      read_control();
      recorder_pid_ = 0;
      recorders_cpu_ns_ += ns_of(usage.ru_utime) + ns_of(usage.ru_stime);
      if (end_.finished || end_.session_lost)
        continue;
      if (++end_.recorder_restarts > kMostRestarts)
        continue;
      // One that dies at once again must not take the processor.
      if (monotonic_ns() - last_spawn_ns_ < 20 * kMs) {
        // It could not even look at the session file.
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) {
          end_.session_lost = true;
          continue;
        }
        const timespec pause{0, 20'000'000};
        nanosleep(&pause, nullptr);
      }
      if (spawn_recorder(false)) {
        reports_.begin_anew();
        reports_.send(control_fd_);
      }
    } else if (pid == application_) {
      application_over_ = true;
      end_.status = status;
      end_.duration_ns = monotonic_ns() - started_ns_;
      end_.cpu_ns = ns_of(usage.ru_utime) + ns_of(usage.ru_stime);
      tell_recorder(ControlKind::root_ended, pid, status, &usage);
    } else if (pid == witness_) {
      witness_ = 0;
    } else {
      tell_recorder(ControlKind::reaped, pid, status, &usage);
    }
  }
}

// Did the group get this signal too? Ordinary signals are taken before real-time ones, so when the witness
// reports the marker we send it, it has reported everything that it had got before.
bool Supervisor::group_got(int signal, pid_t sender) {
  if (witness_ == 0)
    return false;
  // The kernel signals a group one by one; we may be quicker than it reaches the witness.
  const timespec moment{0, 1'000'000};
  nanosleep(&moment, nullptr);
  if (sigqueue(witness_, kMarker, {}) != 0)
    return false;
  const uint64_t until = monotonic_ns() + 500 * kMs;
  for (bool marked = false; !marked && monotonic_ns() < until;) {
    pollfd p{witness_fd_, POLLIN, 0};
    poll(&p, 1, 100);
    Sighting seen;
    while (read(witness_fd_, &seen, sizeof(seen)) == sizeof(seen)) {
      if (seen.signal == kMarker && seen.sender == getpid())
        marked = true;
      else if (seen.sender != 0 && sightings_.size() < 256) // 0: the terminal's, which nobody asks for
        sightings_.push_back(seen);
    }
  }
  return std::erase_if(sightings_, [&](const Sighting& seen) {
           return seen.signal == signal && seen.sender == sender;
         }) != 0;
}

void Supervisor::pass_on(const siginfo_t& info) {
  const int signal = info.si_signo;
  if (signal == SIGCHLD)
    return;
  if (application_over_) {
    hurry_ |= signal == SIGINT || signal == SIGTERM || signal == SIGHUP || signal == SIGQUIT;
    return;
  }
  // The terminal signals the whole group. The witness has let us alone go on, since the application does.
  if (info.si_code > 0 || (signal == SIGCONT && info.si_pid == witness_) || group_got(signal, info.si_pid))
    return;
  if (info.si_pid != application_) {
    kill(application_, signal);
    return;
  }
  // Its word to its parent, that it is ready for instance: to ours, who is its parent without us.
  const pid_t parent = getppid();
  if (parent > 0 && info.si_code == SI_QUEUE)
    sigqueue(parent, signal, info.si_value);
  else if (parent > 0)
    kill(parent, signal);
}

void Supervisor::wait_for_events(int timeout_ms) {
  const int wanted = reports_.all_sent() ? POLLIN : POLLIN | POLLOUT;
  pollfd p[2] = {{signal_fd_, POLLIN, 0}, {control_fd_, static_cast<short>(wanted), 0}};
  poll(p, 2, timeout_ms);
  if ((p[1].revents & POLLOUT) != 0)
    reports_.send(control_fd_);
  if ((p[1].revents & POLLHUP) != 0 && (p[1].revents & POLLIN) == 0) {
    close(control_fd_); // the recorder is gone; SIGCHLD tells
    control_fd_ = -1;
  }
  signalfd_siginfo seen;
  while (read(signal_fd_, &seen, sizeof(seen)) == sizeof(seen)) {
    siginfo_t info{};
    info.si_signo = static_cast<int>(seen.ssi_signo);
    info.si_code = seen.ssi_code;
    info.si_pid = static_cast<pid_t>(seen.ssi_pid);
    info.si_value.sival_ptr = reinterpret_cast<void*>(seen.ssi_ptr);
    pass_on(info);
  }
  read_control();
  reap();
}

ApplicationEnd Supervisor::run(const std::vector<std::string>& command,
                               const std::vector<std::string>& environment,
                               std::function<void(uint64_t)> held_up) {
  held_up_ = std::move(held_up);
  start_witness();
  if (!start_application(command, environment)) {
    if (recorder_pid_ > 0) {
      tell_recorder(ControlKind::root_ended, 0, 0, nullptr);
      waitpid(recorder_pid_, nullptr, 0);
    }
    return end_;
  }
  tell_recorder(ControlKind::root_started, application_, 0, nullptr);
  while (!application_over_)
    wait_for_events(-1);

  // The trace is complete in a moment. A recorder that makes no progress must not hold us for ever.
  scanning_until_ns_ = monotonic_ns() + 60'000 * kMs;
  while (!hurry_ && !end_.figures && !end_.finished && recorder_pid_ != 0 &&
         monotonic_ns() < scanning_until_ns_)
    wait_for_events(100);
  // If nobody else is recorded the recorder ends now, and the session file with it.
  const uint64_t soon = monotonic_ns() + 1'000 * kMs;
  while (!hurry_ && end_.figures && end_.figures->still_recording == 0 && !end_.finished &&
         recorder_pid_ != 0 && monotonic_ns() < soon)
    wait_for_events(20);
  return end_;
}

} // namespace hl
