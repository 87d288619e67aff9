// Does the program bring an operator new of its own? Decides whether libheapledger-new.so is preloaded.
//
// It is preloaded only for a program that loads, at its start, a library whose operator new does not get its
// memory from malloc: an allocator library such as tcmalloc. libstdc++'s own is a layer over malloc, where
// every block is seen anyway, and a program without such a library must run as if ours did not exist. The
// program's own executable does not count: it comes before every preloaded library, so that nobody can stand
// in front of its operators.
//
// The program must not be run to find out: the dynamic linker is asked for the libraries it would load
// (--list), and their symbol tables are read here. Nothing in the files is trusted; whatever goes wrong means
// "no".
#pragma once

#include <string>

namespace hl {

// `application` as given to execvp. Includes the libraries that the caller's LD_PRELOAD names.
bool brings_operator_new(const std::string& application);

// Its executable defines malloc itself, such as by an allocator that is linked in statically: the dynamic
// linker finds that before ours, so what it serves is not seen.
bool brings_own_malloc(const std::string& application);

// "AddressSanitizer" or what else the compiler built into its executable; "" for none. The shim leaves such a
// process alone.
std::string sanitizer_of(const std::string& application);

// One library: it defines operator new, and malloc is its own as well or nothing to it. Not a sanitizer's.
bool is_operator_library(const std::string& path);

} // namespace hl
