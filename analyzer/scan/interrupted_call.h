// Which system calls a stop by ptrace has made fail that would otherwise have gone on.
//
// Most blocking calls that PTRACE_INTERRUPT disturbs are restarted by the kernel as long as no signal handler
// runs. Some return EINTR whatever disturbed them, as signal(7) says ("never restarted"): epoll_wait, semop,
// sigtimedwait, socket calls with a timeout. The program would see an EINTR without a signal. They are begun
// anew: nothing has happened in them that a second call would repeat. Their timeouts begin anew, too.
#pragma once

#include <cstdint>

namespace hl {

// Whether the call may be made again after it returned EINTR for no signal's sake. Not close: its descriptor
// is gone.
bool may_be_begun_anew(uint64_t system_call);

} // namespace hl
