// The modules of one process image: a file (or the vdso) mapped at one place for a while, never re-used.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "heapledger/session_layout.h"

namespace hl {

// The shim, or its library of operators, by the path of a module or mapping.
inline bool is_recording_library(std::string_view path) {
  return path.substr(path.rfind('/') + 1).starts_with("libheapledger"); // npos + 1 is 0
}

struct TraceModule {
  uint32_t id = 0; // 0: no such module
  uint64_t load_bias = 0;
  uint64_t start = 0, end = 0;
  uint64_t loaded_ticks = 0, unloaded_ticks = 0; // unloaded 0: still mapped
  bool is_main = false;
  MallocBinding malloc_binding = MallocBinding::usual;
  std::string path;
  std::vector<uint8_t> build_id;
};

class ModuleTable {
 public:
  static constexpr uint32_t kMaxId = 1u << 16; // the session file has room for 4 032

  // A later entry with the same id replaces the earlier. false: the id cannot be.
  bool set(TraceModule module) {
    if (module.id == 0 || module.id > kMaxId)
      return false;
    if (module.id >= modules_.size())
      modules_.resize(module.id + 1);
    modules_[module.id] = std::move(module);
    return true;
  }
  // nullptr: none known under this id.
  const TraceModule* find(uint32_t id) const {
    return id < modules_.size() && modules_[id].id != 0 ? &modules_[id] : nullptr;
  }
  // By id; entries whose id is 0 are empty.
  const std::vector<TraceModule>& all() const { return modules_; }

 private:
  std::vector<TraceModule> modules_;
};

} // namespace hl
