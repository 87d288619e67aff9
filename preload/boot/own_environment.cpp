// Leaving the environment: see own_environment.h. The array is edited where it is, since the process's main
// has been, or will be, given the same one as its third argument.
#include "boot/own_environment.h"

#include <string.h>
#include <unistd.h>

#include "heapledger/session_layout.h"

namespace hl {

namespace {

constexpr char kPreload[] = "LD_PRELOAD=";
constexpr char kOwnName[] = "libheapledger"; // .so and -new.so
constexpr size_t kPreloadBytes = 8192;

bool is_ours(const char* path, size_t bytes) {
  size_t name = bytes;
  while (name > 0 && path[name - 1] != '/')
    --name;
  return bytes - name >= sizeof kOwnName - 1 && memcmp(path + name, kOwnName, sizeof kOwnName - 1) == 0;
}

// LD_PRELOAD without our libraries; nullptr when nothing is left, `entry` itself when it cannot be shortened.
char* without_ours(char* entry) {
  static char shortened[kPreloadBytes];
  size_t used = sizeof kPreload - 1;
  memcpy(shortened, kPreload, used);
  for (const char* at = entry + used; *at != '\0';) {
    const size_t separators = strspn(at, ": ");
    const char* const path = at + separators;
    const size_t bytes = strcspn(path, ": ");
    at = path + bytes;
    if (bytes == 0 || is_ours(path, bytes))
      continue;
    if (used + 1 + bytes >= sizeof shortened)
      return entry;
    if (used >= sizeof kPreload)
      shortened[used++] = ':';
    memcpy(shortened + used, path, bytes);
    used += bytes;
  }
  shortened[used] = '\0';
  return used < sizeof kPreload ? nullptr : shortened;
}

} // namespace

void leave_environment() {
  if (environ == nullptr)
    return;
  char** to = environ;
  for (char** from = environ; *from != nullptr; ++from) {
    char* entry = *from;
    const size_t session = sizeof kEnvSession - 1;
    if (strncmp(entry, kEnvSession, session) == 0 && entry[session] == '=')
      continue;
    if (strncmp(entry, kPreload, sizeof kPreload - 1) == 0)
      entry = without_ours(entry);
    if (entry != nullptr)
      *to++ = entry;
  }
  *to = nullptr;
}

} // namespace hl
