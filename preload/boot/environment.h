// What the process was started with. Reading the environment where libc may not be up yet: getenv is then not
// to be called.
#pragma once

#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "boot/symbol_lookup.h"

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

// The kernel's word on `type` (AT_...); 0: none.
inline uint64_t auxiliary_value(uint64_t type) {
  using GetAuxval = unsigned long(unsigned long);
  auto* const get = reinterpret_cast<GetAuxval*>(find_glibc_symbol("getauxval").address);
  return get != nullptr ? get(type) : 0;
}

} // namespace hl
