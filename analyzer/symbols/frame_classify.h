// Which part of a stack a reader wants to see: classes frames into allocator, runtime, library and own code.
//
// A report shows the first frame of the program's own code first and folds what everybody's stack has in
// common: the allocation functions and containers' plumbing at the inner end, start-up code at the outer.
// Pure functions of a demangled function name and a module path, so that reports of a trace read on another
// machine fold alike; no file is opened and nothing is remembered here.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace hl {

enum class FrameClass : uint8_t {
  kAllocator, // malloc and friends, operator new, std::allocator, xmalloc, g_malloc, PyMem_*
  kRuntime,   // start-up, thread start, ld.so, the C++ library's internals
  kLibrary,   // other code in a system library
  kOwn,       // the program's own code: its executable or a library that is not the system's
};

std::string_view to_string(FrameClass frame_class);

// The function is part of how memory is obtained, not of why. `function` may be demangled or a plain C name.
bool is_allocator_function(std::string_view function);

// Start-up, thread entry, dynamic linking, and internals of the C++ and other language libraries.
bool is_runtime_function(std::string_view function);

// A library below the system's library directories (also those of Android and NixOS), libc, libstdc++,
// ld.so or the vdso wherever they are. The path is the one recorded in the traced process.
bool is_system_module(std::string_view module_path);

// `is_main_executable`: the module is the program itself; it is own code even in /usr/bin.
FrameClass classify_frame(std::string_view function, std::string_view module_path, bool is_main_executable);

struct FoldedStack {
  size_t first_shown = 0; // index of the first frame that is the program's own, or the best stand-in
  size_t end_shown = 0;   // one past the last frame before the folded start-up frames
  bool has_own_frame = false;
};

// What to show of a stack given its frames' classes, innermost first. Without an own frame the first library
// frame stands in, else the first frame that is no allocator, else frame 0. Empty input gives {0, 0, false}.
FoldedStack fold_stack(std::span<const FrameClass> innermost_first);

} // namespace hl
