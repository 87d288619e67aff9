// Reading the environment where libc may not be up yet: getenv is then not to be called.
#pragma once

#include <string.h>
#include <unistd.h>

namespace hl {

// The value of `name`, or nullptr. nullptr too while libc has not set up `environ` yet.
inline const char* environment_value(const char* name) {
  const size_t length = strlen(name);
  for (char** e = environ; e != nullptr && *e != nullptr; ++e) {
    if (strncmp(*e, name, length) == 0 && (*e)[length] == '=')
      return *e + length + 1;
  }
  return nullptr;
}

} // namespace hl
