// A disk that fails: preloaded into `heapledger record`, makes every write to a trace (*.hlt) fail with EIO
// while the file that FAILING_WRITES names exists, and says that one did by making it longer. The recorder is
// started without preloads, so the supervisor's call of execv gets this library back in; in every other
// program nothing ends in .hlt, and nothing happens.
//
// With FAILING_WRITES_LATE the disk is a server's that is full: writes succeed, nothing arrives, fdatasync
// says ENOSPC, once.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

static int is_trace(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  return length > 4 && memcmp(path + length - 4, ".hlt", 4) == 0;
}

static int fails(int fd) {
  const char* trigger = getenv("FAILING_WRITES");
  return trigger && access(trigger, F_OK) == 0 && is_trace(fd);
}

static int late(void) {
  return getenv("FAILING_WRITES_LATE") != NULL;
}

static int not_told_yet;

ssize_t pwritev64(int fd, const struct iovec* parts, int count, off64_t offset) {
  static ssize_t (*real)(int, const struct iovec*, int, off64_t);
  if (!real)
    real = (ssize_t(*)(int, const struct iovec*, int, off64_t))dlsym(RTLD_NEXT, "pwritev64");
  if (fails(fd) && late()) {
    truncate(getenv("FAILING_WRITES"), 1);
    not_told_yet = 1;
    ssize_t bytes = 0;
    for (int i = 0; i < count; i++)
      bytes += (ssize_t)parts[i].iov_len;
    return bytes;
  }
  if (fails(fd)) {
    // Half of it arrives, as on a disk with a bad block.
    if (parts[0].iov_len > 8)
      pwrite(fd, parts[0].iov_base, parts[0].iov_len / 2, offset);
    truncate(getenv("FAILING_WRITES"), 1);
    errno = EIO;
    return -1;
  }
  return real(fd, parts, count, offset);
}
ssize_t pwritev(int fd, const struct iovec* parts, int count, off_t offset) {
  return pwritev64(fd, parts, count, offset);
}

int fdatasync(int fd) {
  static int (*real)(int);
  if (!real)
    real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  if (not_told_yet && is_trace(fd)) {
    not_told_yet = 0;
    errno = ENOSPC;
    return -1;
  }
  return real(fd);
}

int fstatfs64(int fd, struct statfs64* info) {
  static int (*real)(int, struct statfs64*);
  if (!real)
    real = (int (*)(int, struct statfs64*))dlsym(RTLD_NEXT, "fstatfs64");
  const int result = real(fd, info);
  if (result == 0 && late() && is_trace(fd))
    info->f_type = 0x6969; // NFS
  return result;
}
int fstatfs(int fd, struct statfs* info) {
  return fstatfs64(fd, (struct statfs64*)info);
}

int ftruncate64(int fd, off64_t length) {
  static int (*real)(int, off64_t);
  if (!real)
    real = (int (*)(int, off64_t))dlsym(RTLD_NEXT, "ftruncate64");
  if (fails(fd) && !late()) {
    errno = EIO;
    return -1;
  }
  return real(fd, length);
}
int ftruncate(int fd, off_t length) {
  return ftruncate64(fd, length);
}

int execv(const char* path, char* const arguments[]) {
  static int (*real)(const char*, char* const[]);
  if (!real)
    real = (int (*)(const char*, char* const[]))dlsym(RTLD_NEXT, "execv");
  Dl_info own;
  if (arguments[0] && arguments[1] && strcmp(arguments[1], "drain") == 0 && dladdr((void*)&execv, &own))
    setenv("LD_PRELOAD", own.dli_fname, 1);
  return real(path, arguments);
}
