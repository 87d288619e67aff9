// Runs one application in the foreground and one recorder beside it, as if the application ran alone.
//
// The application stays in our process group, so that whatever the terminal or a shell sends to the group
// reaches it directly; we block every signal and pass on only what was sent to us alone. To tell the two
// apart there is a witness: a child in the same group that also blocks everything and reports what it gets.
// When the application stops (Ctrl-Z), we stop too, so that the shell takes the terminal back; `fg` continues
// the group, and the witness us when the application alone goes on. We are a child subreaper: orphans of the
// application are reaped here.
//
// Nothing here may write to standard output or read standard input: both are the application's.
#pragma once

#include <csignal>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "control_channel.h"
#include "status_reports.h"

struct rusage;

namespace hl {

struct RecorderCommand {
  std::string program; // this executable
  std::string session;
  std::vector<std::string> create_arguments; // only for the first start
  std::vector<std::string> arguments;        // for every start
};

struct ApplicationEnd {
  int exec_error = 0; // errno: it could not be started
  int status = 0;     // of wait()
  uint64_t duration_ns = 0, cpu_ns = 0;
  std::optional<ControlMessage> figures;
  uint32_t recorder_restarts = 0;
  bool finished = false;     // nothing is left to record
  bool session_lost = false; // the session file has gone away: recording has ended before the application
  uint32_t images = 0;       // process images recorded
};

// What the witness reports. sender 0: the kernel, for the terminal.
struct Sighting {
  int signal;
  pid_t sender;
};

class Supervisor {
 public:
  Supervisor();
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Starts the recorder and waits until its session file is ready. false: `why`.
  bool start_recorder(const RecorderCommand& command, std::string& why);
  // Runs the application to its end and until its trace is complete. `environment`: NAME=VALUE to set.
  // `held_up(ns)` is called now and then while the application waits at its end for its leak scan.
  ApplicationEnd run(const std::vector<std::string>& command, const std::vector<std::string>& environment,
                     std::function<void(uint64_t)> held_up);
  // Leaves nothing behind that a plain exec of the application would not find: signals as they were, no
  // witness.
  void stand_down();

 private:
  void restore_signals();
  void dismiss_witness();
  bool spawn_recorder(bool first);
  void start_witness();
  bool start_application(const std::vector<std::string>& command,
                         const std::vector<std::string>& environment);
  void reap();
  void read_control();
  void pass_on(const siginfo_t& signal);
  bool group_got(int signal, pid_t sender);
  bool be_woken_by_witness(bool wanted);
  void stop_with_application();
  void tell_recorder(ControlKind kind, pid_t pid, int status, const ::rusage* usage);
  void wait_for_events(int timeout_ms);

  RecorderCommand recorder_;
  pid_t recorder_pid_ = 0;
  pid_t application_ = 0;
  pid_t witness_ = 0;
  int control_fd_ = -1;
  int signal_fd_ = -1;
  int witness_fd_ = -1;
  std::vector<Sighting> sightings_; // not asked for yet
  StatusReports reports_;
  uint64_t recorders_cpu_ns_ = 0; // of those that died
  uint64_t last_spawn_ns_ = 0;
  uint64_t scanning_until_ns_ = 0; // the recorder is waited for until then: put off while it scans for leaks
  bool application_over_ = false;
  bool hurry_ = false; // the user asked to end while we only waited for the recorder
  bool ready_ = false;
  std::string failure_;
  std::function<void(uint64_t)> held_up_;
  ApplicationEnd end_;
  uint64_t started_ns_ = 0;
  sigset_t old_mask_;
  struct sigaction old_child_action_;
};

} // namespace hl
