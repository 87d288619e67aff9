// The programs and libraries that a process has loaded, as its memory shows them: the headers of the ELF
// files mapped in it. So a library counts from the moment it is mapped, whether or not the trace has heard of
// it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "scan/memory_image.h"
#include "scan/process_maps.h"

namespace hl {

struct LoadedModule {
  std::string path;
  uint64_t start = 0;
  struct Segment {
    uint64_t start, end;
  };
  std::vector<Segment> writable; // data and bss, as linked; parts may have been made read-only since
};

std::vector<LoadedModule> loaded_modules(std::span<const MapsEntry> maps, MemoryReader& memory);

// Whether a file of that name is the dynamic loader / an allocator that may serve malloc.
bool is_loader(std::string_view path);
bool is_allocator_library(std::string_view path);
bool is_libc(std::string_view path);

} // namespace hl
