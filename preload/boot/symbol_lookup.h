// Finding functions by name in the objects that are loaded, without dlsym: dlsym allocates, leaves a message
// for the program's next dlerror(), and has a symbol version newer than the floor we promise (GLIBC_2.17).
// Reads the hash tables that the dynamic linker itself uses, in load order, which for the start-up objects
// is the order of the global scope.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace hl {

struct FoundSymbol {
  void* address;    // nullptr: not found
  bool in_libc;     // the object is named libc.so.6
  bool in_glibc;    // that, or another part of glibc
  uintptr_t object; // load address of the object, which identifies it
};

// Else nothing of ours can work, but the look-up of symbols.
bool loader_is_glibc();

// Like dlsym(RTLD_NEXT, name) called from the library this is linked into, for objects loaded at start.
FoundSymbol find_next_symbol(const char* name);
// In the library this is linked into.
FoundSymbol find_own_symbol(const char* name);
// In any loaded object, main program first.
FoundSymbol find_symbol(const char* name);
// In glibc itself, whoever else defines it: a program may have an on_exit of its own, and a preloaded library
// a dl_iterate_phdr that does more than ours may ask for.
FoundSymbol find_glibc_symbol(const char* name);
// Where no object loaded at the start defines it: what the dynamic linker, without us, has bound in the code
// at `code`. That of its own object, or else the first there is.
FoundSymbol find_late_symbol(uint64_t code, const char* name);
// The path from which the library that this is linked into was loaded; nullptr: not known.
const char* own_path();
// The object loaded at `object` needs `name` from another one.
bool object_imports(uintptr_t object, const char* name);

} // namespace hl
