// See session_fault.h.
#include "session_fault.h"

#include <csignal>

#include <unistd.h>

#include "control_channel.h"

namespace hl {

namespace {

uintptr_t g_start;
uint64_t g_bytes;
int g_control_fd = -1;
ControlMessage g_message; // made beforehand: a handler makes nothing

void on_bus_error(int, siginfo_t* info, void*) {
  if (info->si_code > 0 && reinterpret_cast<uintptr_t>(info->si_addr) - g_start < g_bytes) {
    send_message(g_control_fd, g_message);
    _exit(1);
  }
  // Another fault than that: the same instruction ends us.
  std::signal(SIGBUS, SIG_DFL);
  if (info->si_code <= 0)
    std::raise(SIGBUS);
}

} // namespace

void end_when_session_is_lost(const SessionFile& session, int control_fd) {
  g_start = reinterpret_cast<uintptr_t>(&session.header());
  g_bytes = session.mapped_bytes();
  g_control_fd = control_fd;
  g_message.kind = ControlKind::session_lost;
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, nullptr);
}

} // namespace hl
