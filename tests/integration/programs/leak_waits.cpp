// Waits in every call that a stop by ptrace may break off, a thread each, until it is told to end by a byte
// on its standard input; says which calls returned EINTR meanwhile, and how often handlers ran. Other threads
// compute, allocate and free, so that there is something to stop in.
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <vector>

namespace {

std::atomic<bool> g_end;
std::atomic<int> g_ready;
std::atomic<uint64_t> g_interrupted[32];
std::atomic<uint64_t> g_calls;

struct Wait {
  const char* name;
  // Once, for some milliseconds at most; false: EINTR.
  bool (*wait)();
};

bool ok(long result) {
  return result >= 0 || errno != EINTR;
}

constexpr timespec kMoment{0, 20'000'000};

bool wait_epoll() {
  static thread_local const int fd = epoll_create1(0);
  epoll_event event;
  return ok(epoll_wait(fd, &event, 1, 20));
}
bool wait_epoll_pwait() {
  static thread_local const int fd = epoll_create1(0);
  epoll_event event;
  sigset_t none;
  sigemptyset(&none);
  return ok(epoll_pwait(fd, &event, 1, 20, &none));
}
bool wait_poll() {
  return ok(poll(nullptr, 0, 20));
}
bool wait_ppoll() {
  return ok(ppoll(nullptr, 0, &kMoment, nullptr));
}
bool wait_select() {
  timeval moment{0, 20'000};
  return ok(select(0, nullptr, nullptr, nullptr, &moment));
}
bool wait_nanosleep() {
  return ok(nanosleep(&kMoment, nullptr));
}
bool wait_clock_nanosleep() {
  timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += kMoment.tv_nsec;
  if (until.tv_nsec >= 1'000'000'000) {
    until.tv_nsec -= 1'000'000'000;
    ++until.tv_sec;
  }
  return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) != EINTR;
}
int g_semaphores;
bool wait_semtimedop() {
  sembuf take{0, -1, 0};
  return ok(semtimedop(g_semaphores, &take, 1, &kMoment));
}
bool wait_sigtimedwait() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  return ok(sigtimedwait(&set, nullptr, &kMoment));
}
bool wait_recv_timeout() {
  static thread_local int fd = -1;
  if (fd < 0) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
      abort();
    fd = pair[0];
    const timeval moment{0, 20'000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &moment, sizeof moment);
  }
  char byte;
  return ok(recv(fd, &byte, 1, 0));
}
bool wait_futex() {
  uint32_t word = 0;
  return ok(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &kMoment, nullptr, 0));
}
int g_pipe[2];
bool wait_pipe() { // a byte comes every few milliseconds
  char byte;
  return ok(read(g_pipe[0], &byte, 1));
}
bool compute() {
  volatile uint64_t sum = 0;
  for (int i = 0; i < 20'000; ++i)
    sum = sum + static_cast<uint64_t>(i);
  // The recorder gives way to programs: it needs a processor now and then.
  const timespec pause{0, 1'000'000};
  return ok(nanosleep(&pause, nullptr));
}
bool allocate() {
  static thread_local std::vector<void*> kept(500);
  static thread_local uint64_t random = 88172645463325252u;
  for (int i = 0; i < 200; ++i) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    void*& place = kept[random % kept.size()];
    if (random % 3 == 0) {
      free(place);
      place = nullptr;
    } else {
      place = realloc(place, 16 + random % 4000);
    }
  }
  // Scans replay all there was: not too much of it.
  const timespec pause{0, 2'000'000};
  return ok(nanosleep(&pause, nullptr));
}
bool start_threads() {
  pthread_t thread;
  if (pthread_create(
          &thread, nullptr, [](void*) -> void* { return malloc(10); }, nullptr) == 0) {
    void* block;
    pthread_join(thread, &block);
    free(block);
  }
  return ok(nanosleep(&kMoment, nullptr));
}
bool start_programs() {
  const pid_t child = vfork();
  if (child == 0) {
    execl("/bin/true", "true", static_cast<char*>(nullptr));
    _exit(1);
  }
  int status = 0;
  const bool waited = ok(waitpid(child, &status, 0)) && status == 0;
  return waited && ok(nanosleep(&kMoment, nullptr));
}

constexpr Wait kWaits[] = {
    {"epoll_wait", wait_epoll},
    {"epoll_pwait", wait_epoll_pwait},
    {"poll", wait_poll},
    {"ppoll", wait_ppoll},
    {"select", wait_select},
    {"nanosleep", wait_nanosleep},
    {"clock_nanosleep", wait_clock_nanosleep},
    {"semtimedop", wait_semtimedop},
    {"sigtimedwait", wait_sigtimedwait},
    {"recv", wait_recv_timeout},
    {"futex", wait_futex},
    {"read", wait_pipe},
    {"compute", compute},
    {"allocate", allocate},
    {"start_threads", start_threads},
    {"start_programs", start_programs},
};

void* run(void* which) {
  const size_t index = static_cast<size_t>(reinterpret_cast<uintptr_t>(which));
  ++g_ready;
  while (!g_end) {
    if (!kWaits[index].wait())
      ++g_interrupted[index];
    ++g_calls;
  }
  return nullptr;
}

} // namespace

int main() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  g_semaphores = semget(IPC_PRIVATE, 1, 0600);
  if (pipe(g_pipe) != 0)
    return 1;
  std::vector<pthread_t> threads(sizeof kWaits / sizeof kWaits[0]);
  for (size_t i = 0; i < threads.size(); ++i)
    pthread_create(&threads[i], nullptr, run, reinterpret_cast<void*>(i));
  while (g_ready != static_cast<int>(threads.size()))
    sched_yield();
  puts("ready");
  fflush(stdout);
  while (true) {
    pollfd input{0, POLLIN, 0};
    if (poll(&input, 1, 5) > 0)
      break;
    if (write(g_pipe[1], "x", 1) != 1)
      return 1;
  }
  g_end = true;
  if (write(g_pipe[1], "xx", 2) != 2)
    return 1;
  for (const pthread_t thread : threads)
    pthread_join(thread, nullptr);
  semctl(g_semaphores, 0, IPC_RMID);
  for (size_t i = 0; i < threads.size(); ++i)
    if (g_interrupted[i] != 0)
      printf("%s: EINTR\n", kWaits[i].name);
  puts(g_calls > 0 ? "done" : "nothing done");
  return 0;
}
