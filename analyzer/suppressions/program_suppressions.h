// The suppressions a program brings along: LeakSanitizer asks the executable, or a library of it, for
// `const char* __lsan_default_suppressions()`. No code of the traced program is run here: the function is
// read, for it nearly always does nothing but return the address of a constant.
//
// Understood on x86-64: `lea`, `mov` of an immediate address, and loads through the GOT or a pointer variable
// (as compilers with and without optimisation write them, position independent or not). Anything else, such
// as a function that builds its text, is said to be unreadable. Files are untrusted: every byte may be wrong.
#pragma once

#include <optional>
#include <string>

#include "symbols/elf_file.h"

namespace hl {

struct ProgramSuppressions {
  std::string text;    // in LeakSanitizer's syntax; may be empty
  std::string problem; // why the text cannot be told; empty: it can
};

// Nothing if the file does not define the function. `file` may be stripped: exported functions stay named.
std::optional<ProgramSuppressions> read_program_suppressions(const ElfFile& file);

} // namespace hl
