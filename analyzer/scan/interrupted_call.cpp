// See interrupted_call.h.
#include "scan/interrupted_call.h"

#include <sys/syscall.h>

namespace hl {

bool may_be_begun_anew(uint64_t system_call) {
  switch (system_call) {
  case SYS_epoll_wait:
  case SYS_epoll_pwait:
#ifdef SYS_epoll_pwait2
  case SYS_epoll_pwait2:
#endif
  case SYS_semop:
  case SYS_semtimedop:
  case SYS_rt_sigtimedwait:
  case SYS_io_getevents:
#ifdef SYS_io_pgetevents
  case SYS_io_pgetevents:
#endif
#ifdef SYS_io_uring_enter
  case SYS_io_uring_enter:
#endif
  // EINTR from these means that not one byte went through; with a timeout of the socket (SO_RCVTIMEO) the
  // kernel does not restart them.
  case SYS_read:
  case SYS_write:
  case SYS_readv:
  case SYS_writev:
  case SYS_recvfrom:
  case SYS_recvmsg:
  case SYS_recvmmsg:
  case SYS_sendto:
  case SYS_sendmsg:
  case SYS_sendmmsg:
  case SYS_accept:
  case SYS_accept4:
  case SYS_connect:
    return true;
  default:
    return false;
  }
}

} // namespace hl
