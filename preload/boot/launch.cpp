// Starting without a supervisor: see launch.h.
//
// The recorder is one attempt, made where it cannot harm: not as pid 1 of a namespace (its death would take
// the others along, and orphans become its children), not in a subreaper (which would find the recorder in
// wait()). Everywhere else the double clone of platform/spawn.h keeps it out of the application's sight.
#include "boot/launch.h"

#include <poll.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "boot/environment.h"
#include "boot/session_creation.h"
#include "boot/text.h"
#include "heapledger/session_layout.h"
#include "platform/own_memory.h"
#include "platform/spawn.h"
#include "platform/syscalls.h"

namespace hl {

namespace {

constexpr size_t kPathBytes = 4096;
constexpr int kReadyTimeoutMs = 5000;
constexpr size_t kMaxEnvironment = 1024;

char g_session_path[kPathBytes]; // of the session launched here; "" otherwise
char g_recorder_path[kPathBytes];
char g_directory[1024];
char g_name[128];
char* g_environment[kMaxEnvironment + 1];

// PREFIX/lib/libheapledger.so -> PREFIX/bin/heapledger-recorder; or all in one directory. False: not there.
bool find_recorder() {
  const char* const own = own_path();
  const char* const slash = own != nullptr ? strrchr(own, '/') : nullptr;
  if (slash == nullptr)
    return false;
  for (const char* tail : {"/../bin/heapledger-recorder", "/heapledger-recorder"}) {
    Text text(g_recorder_path, sizeof g_recorder_path);
    text.add(own);
    const size_t directory = static_cast<size_t>(slash - own);
    if (text.truncated() || directory + strlen(tail) >= sizeof g_recorder_path)
      return false;
    strcpy(g_recorder_path + directory, tail);
    constexpr int kExecutable = 1;
    if (!sys::failed(
            sys::raw_syscall(SYS_faccessat, AT_FDCWD, sys::pointer_arg(g_recorder_path), kExecutable)))
      return true;
  }
  return false;
}

void find_name_and_directory() {
  char exe[kPathBytes];
  const long n = sys::raw_syscall(SYS_readlinkat, AT_FDCWD, sys::pointer_arg("/proc/self/exe"),
                                  sys::pointer_arg(exe), sizeof exe - 1);
  exe[sys::failed(n) ? 0 : n] = '\0';
  // Without /proc there is the kernel's word of how the program was started.
  const char* const started = reinterpret_cast<const char*>(auxiliary_value(AT_EXECFN));
  const char* const path = !sys::failed(n) ? exe : started != nullptr ? started : "program";
  const char* const slash = strrchr(path, '/');
  Text(g_name, sizeof g_name).add(slash != nullptr ? slash + 1 : path);
  if (const char* const wanted = environment_value("HEAPLEDGER_DIR")) {
    Text(g_directory, sizeof g_directory).add(wanted);
  } else if (sys::failed(sys::raw_syscall(SYS_getcwd, sys::pointer_arg(g_directory), sizeof g_directory))) {
    Text(g_directory, sizeof g_directory).add("/var/tmp");
  }
}

bool recorder_is_safe_here() {
  int subreaper = 0;
  sys::raw_syscall(SYS_prctl, PR_GET_CHILD_SUBREAPER, sys::pointer_arg(&subreaper), 0, 0, 0);
  return sys::process_id() != 1 && subreaper == 0;
}

// Starts the recorder and waits for it to say where the session is.
bool launch_recorder(char* path, size_t room) {
  if (!find_recorder())
    return false;
  int ends[2] = {-1, -1};
  if (sys::failed(sys::raw_syscall(SYS_pipe2, sys::pointer_arg(ends), O_CLOEXEC)))
    return false;
  size_t count = 0;
  for (char** e = environ; e != nullptr && *e != nullptr && count < kMaxEnvironment; ++e) {
    if (strncmp(*e, "LD_PRELOAD=", 11) != 0)
      g_environment[count++] = *e;
  }
  g_environment[count] = nullptr;
  char number[24];
  Text(number, sizeof number).add_number(static_cast<uint64_t>(ends[1]));
  char program[] = "heapledger-recorder", adopt[] = "adopt", report[] = "--report";
  char* const argv[] = {program, adopt, report, number, g_name, nullptr};
  const bool started = spawn_unnoticed(g_recorder_path, argv, g_environment, ends[1]);
  sys::close_file(ends[1]);
  size_t bytes = 0;
  while (started && bytes + 1 < room) {
    pollfd waiting{ends[0], POLLIN, 0};
    if (sys::raw_syscall(SYS_poll, sys::pointer_arg(&waiting), 1, kReadyTimeoutMs) <= 0)
      break;
    const long n = sys::read_file(ends[0], path + bytes, room - 1 - bytes);
    if (n <= 0)
      break;
    bytes += static_cast<size_t>(n);
  }
  path[bytes] = '\0';
  sys::close_file(ends[0]);
  return bytes != 0;
}

} // namespace

bool launch_without_supervisor(char* path, size_t room) {
  find_name_and_directory();
  const bool launched = (recorder_is_safe_here() && launch_recorder(path, room)) ||
                        create_recorderless_session(g_directory, g_name, path, room) ||
                        create_recorderless_session("/var/tmp", g_name, path, room) ||
                        create_recorderless_session("/dev/shm", g_name, path, room);
  if (!launched) {
    constexpr char kMessage[] = "heapledger: not recording: no recorder and no room for a session file\n";
    sys::write_file(2, kMessage, sizeof kMessage - 1);
    return false;
  }
  strcpy(g_session_path, path);
  return true;
}

// setenv would allocate, and the program's trace would show it: a longer array of our own takes its place.
void announce_session() {
  if (g_session_path[0] == '\0' || environ == nullptr)
    return;
  static char entry[sizeof kEnvSession + kPathBytes];
  Text(entry, sizeof entry).add(kEnvSession).add("=").add(g_session_path);
  size_t count = 0;
  while (environ[count] != nullptr)
    ++count;
  char** const longer = static_cast<char**>(sys::map_anonymous((count + 2) * sizeof(char*)));
  if (longer == nullptr)
    return;
  note_own_memory(longer, (count + 2) * sizeof(char*));
  memcpy(longer, environ, count * sizeof(char*));
  longer[count] = entry;
  environ = longer;
}

} // namespace hl
