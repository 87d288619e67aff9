// Where a process may hold pointers outside its heap: registers, stacks, thread-local memory, globals, and
// memory that the program mapped itself. What must not count is left out: the recording's own memory, an
// allocator's, the unused part of stacks, stacks of threads that have ended. docs/leaks.md tells why each.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "scan/memory_image.h"
#include "scan/pointer_graph.h"
#include "scan/process_maps.h"
#include "scan/process_modules.h"
#include "scan/stopped_process.h"

namespace hl {

// Memory the program mapped by a call that the trace holds.
struct ApplicationMapping {
  uint64_t start, end;
  uint64_t caller;    // code address of the call; 0 unknown
  std::string module; // whose code that is; "" unknown
};

struct RootSources {
  uint32_t pid = 0; // the main thread's number, among `threads`
  std::vector<MapsEntry> maps;
  std::vector<LoadedModule> modules;
  std::vector<ThreadContext> threads;
  std::vector<ApplicationMapping> mappings;
  std::string session_path;          // of the recording
  std::span<const ScanBlock> blocks; // live, sorted by address
  uint32_t options = kScanDefault;
};

// Sorted by kind; ranges of different kinds may overlap.
std::vector<RootRange> find_roots(const RootSources& sources, MemoryReader& memory);

// All memory that belongs to files.
std::vector<FileRange> file_ranges(std::span<const MapsEntry> maps);

} // namespace hl
