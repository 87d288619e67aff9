// Modules: which mapped file an address of code belongs to, where its call frame information lies, and the id
// under which the recording knows it.
//
// A module *instance* is one file mapped at one place for a while. Instances are never re-used: code mapped
// where other code was gets a new instance, hence new rules and new stack nodes. A file that is unloaded and
// loaded again at the same address, bit for bit the same by build-id, path and range, keeps its instance,
// also when another was there meanwhile: libraries that take turns cost no more records than there are
// libraries.
//
// Everything here is lock-free and may run in a signal handler that interrupted dlopen: the lookup goes
// through `_dl_find_object` (glibc >= 2.35, found by the caller), or where that is missing, through
// /proc/self/maps on a miss. dl_iterate_phdr is never called here: it takes the loader's lock.
#pragma once

#include <atomic>
#include <stddef.h>
#include <stdint.h>

#include "platform/dl_find_object.h"
#include "platform/maps_reader.h"
#include "unwind/cfi_decoder.h"

namespace hl {

// What the storage needs to know to write a module record. Valid during the call alone.
struct ModuleInfo {
  uint64_t load_bias = 0;      // address = bias + ELF vaddr
  uint64_t start = 0, end = 0; // mapped range of the LOAD segments
  const char* path = "";       // NUL-terminated; of the executable itself: "" unless it was given
  uint8_t build_id[32] = {};
  uint8_t build_id_bytes = 0;
  bool is_main = false;
  const void* link_map = nullptr; // the loader's record of it; nullptr: not known
};

// Where new instances are recorded. Both are called on the event path and must neither lock nor allocate.
struct ModuleStorage {
  // Records the module; returns its instance id (1...), or 0 if there is no room (frames then have no
  // module). Two threads that meet a new module together may both publish it: one of the two ids is then
  // never used.
  uint32_t (*publish)(void* context, const ModuleInfo& info) = nullptr;
  // The instance is no longer mapped (found when other code, or none, was met at its address).
  void (*retire)(void* context, uint32_t id) = nullptr;
  // A retired instance is mapped again.
  void (*restore)(void* context, uint32_t id) = nullptr;
  void* context = nullptr;
};

enum class Presence : uint32_t {
  mapped = 0,
  unmapped = 1, // other code, or none, was met at its address; it may come back
  foreign = 2,  // known before a fork: its id is the parent's, and it stays dead
};

struct ModuleInstance {
  uint32_t id = 0;                      // as the storage named it
  std::atomic<uint32_t> valid_epoch{0}; // last module epoch in which this was seen mapped
  std::atomic<Presence> presence{Presence::mapped};
  uint64_t start = 0, end = 0;
  uint64_t identity = 0; // hash over path, bias, range, build-id (without one: of its headers)
  const void* link_map = nullptr;
  CfiSection cfi;
  uint64_t text_start = 0, text_end = 0; // hull of the executable segments
};

class ModuleTable {
 public:
  static constexpr uint32_t kMaxInstances = 4096;
  static constexpr uint32_t kNoInstance = 0xffffffff;

  // Index of the instance that covers `pc` in this epoch, or kNoInstance (JIT, anonymous memory). Recording a
  // new one if need be. Bounded work, no lock; not the hot path.
  uint32_t find(uint64_t pc, uint32_t epoch);

  // True if instance `index` is still what is mapped around `pc` in this epoch.
  bool revalidate(uint32_t index, uint64_t pc, uint32_t epoch);

  const ModuleInstance& instance(uint32_t index) const {
    return *slots_[index].load(std::memory_order_acquire); // pairs with the CAS in add()
  }
  uint32_t count() const { return count_.load(std::memory_order_acquire); }

  // For the child of a fork: forgets all, so that modules are published again, into the child's own records.
  // Only while no other thread runs. The old instances stay readable, for a walk that was interrupted by the
  // fork.
  void reset();

  ModuleStorage storage;
  DlFindObject dl_find_object = nullptr;
  const char* executable_path = ""; // must outlive the table
  // The executable's, as the kernel told (AT_PHDR, AT_PHNUM); nullptr: unknown.
  const void* main_headers = nullptr;
  uint32_t main_header_count = 0;

 private:
  struct Found {
    ModuleInfo info;
    CfiSection cfi;
    uint64_t text_start = 0, text_end = 0, identity = 0;
    char path_from_maps[kMapsPathBytes];
  };
  bool discover(uint64_t pc, Found& found) const;
  void cover_executable(ModuleInfo& info) const;
  bool discover_in_maps(uint64_t pc, Found& found) const;
  static bool read_headers(Found& found);
  uint32_t add(const Found& found, uint32_t epoch);
  ModuleInstance* new_instance();

  std::atomic<ModuleInstance*> slots_[kMaxInstances];
  std::atomic<uint32_t> count_;        // slots_[0, count_) are set
  std::atomic<ModuleInstance*> arena_; // current block of unused instances
  std::atomic<uint32_t> arena_used_;
};

} // namespace hl
