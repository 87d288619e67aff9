// System calls as the kernel takes them: no errno, no cancellation point, no interposed libc function.
// Everything in-process code asks of the kernel goes through here, because libc's wrappers would set the
// host's errno and the mapping ones are hooks of our own. Results are the kernel's: negative errno on error.
// A port adds raw_syscall for its architecture; nothing else in this file is specific.
#pragma once

#include <fcntl.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

namespace hl::sys {

#if defined(__x86_64__)
inline long raw_syscall(long n, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}
#else
#error "port: raw_syscall"
#endif

inline long pointer_arg(const void* p) {
  return static_cast<long>(reinterpret_cast<uintptr_t>(p));
}
constexpr bool failed(long result) {
  return static_cast<unsigned long>(result) > static_cast<unsigned long>(-4096L);
}

// nullptr on failure.
inline void* map_anonymous(size_t bytes, int prot = PROT_READ | PROT_WRITE, int extra_flags = 0) {
  const long r = raw_syscall(SYS_mmap, 0, static_cast<long>(bytes), prot,
                             MAP_PRIVATE | MAP_ANONYMOUS | extra_flags, -1, 0);
  return failed(r) ? nullptr : reinterpret_cast<void*>(r);
}
inline void* map_file(int fd, size_t bytes, uint64_t offset, void* at = nullptr, int extra_flags = 0) {
  const long r = raw_syscall(SYS_mmap, pointer_arg(at), static_cast<long>(bytes), PROT_READ | PROT_WRITE,
                             MAP_SHARED | extra_flags, fd, static_cast<long>(offset));
  return failed(r) ? nullptr : reinterpret_cast<void*>(r);
}
inline void unmap(void* p, size_t bytes) {
  raw_syscall(SYS_munmap, pointer_arg(p), static_cast<long>(bytes));
}
inline int open_file(const char* path, int flags, int mode = 0) {
  return static_cast<int>(raw_syscall(SYS_openat, AT_FDCWD, pointer_arg(path), flags | O_CLOEXEC, mode));
}
inline void close_file(int fd) {
  raw_syscall(SYS_close, fd);
}
inline long read_file(int fd, void* to, size_t bytes) {
  return raw_syscall(SYS_read, fd, pointer_arg(to), static_cast<long>(bytes));
}
inline long write_file(int fd, const void* from, size_t bytes) {
  return raw_syscall(SYS_write, fd, pointer_arg(from), static_cast<long>(bytes));
}
// Gives a file blocks on disk. Not beyond RLIMIT_FSIZE: trying would bring the host a SIGXFSZ.
inline bool allocate_file(int fd, uint64_t offset, uint64_t bytes) {
  rlimit limit{};
  if (raw_syscall(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, pointer_arg(&limit)) == 0 &&
      offset + bytes > limit.rlim_cur)
    return false;
  return !failed(raw_syscall(SYS_fallocate, fd, 0, static_cast<long>(offset), static_cast<long>(bytes)));
}
inline uint32_t thread_id() {
  return static_cast<uint32_t>(raw_syscall(SYS_gettid));
}
inline uint32_t process_id() {
  return static_cast<uint32_t>(raw_syscall(SYS_getpid));
}
inline uint64_t clock_ns(int clock) {
  timespec t{};
  raw_syscall(SYS_clock_gettime, clock, pointer_arg(&t));
  return static_cast<uint64_t>(t.tv_sec) * 1000000000u + static_cast<uint64_t>(t.tv_nsec);
}
// Waits while *word == expected, at most `ns`.
inline void futex_wait(const void* word, uint32_t expected, uint64_t ns) {
  const timespec t{static_cast<time_t>(ns / 1000000000u), static_cast<long>(ns % 1000000000u)};
  raw_syscall(SYS_futex, pointer_arg(word), FUTEX_WAIT, static_cast<long>(expected), pointer_arg(&t));
}
inline void futex_wake(const void* word) {
  raw_syscall(SYS_futex, pointer_arg(word), FUTEX_WAKE, 1);
}
inline void sleep_ns(uint64_t ns) {
  timespec t{static_cast<time_t>(ns / 1000000000u), static_cast<long>(ns % 1000000000u)};
  raw_syscall(SYS_nanosleep, pointer_arg(&t));
}

} // namespace hl::sys
