// See stack_capture.h.
#include "runtime/stack_capture.h"

#include <string.h>
#include <sys/auxv.h>

#include "boot/environment.h"
#include "boot/symbol_lookup.h"
#include "platform/syscalls.h"
#include "runtime/malloc_binding.h"
#include "runtime/process.h"
#include "runtime/session_records.h"
#include "unwind/unwind_check.h"

namespace hl {

constinit WalkContext g_walk;
uint32_t g_epoch_at_attach;
bool g_capture_specially;

namespace {

constinit StackTree g_tree;
constinit UnwindOracle g_oracle;
char g_executable[4097];

void connect_to_slot() {
  g_tree.storage.init(provide_node_block, nullptr, &g_process.slot->node_count);
  g_walk.tree = &g_tree;
  g_walk.walk_ends = g_process.slot->walk_ends;
}

// The counts and the first differences go to the process's slot, where the recorder finds them.
void compare_with_oracle(const EntryRegisters& caller, StackId id) {
  SessionProcess* const slot = g_process.slot;
  slot->check_walks.fetch_add(1, std::memory_order_relaxed);
  if (g_oracle.compare(caller, g_walk, id))
    return;
  for (unsigned kind = 0; kind < static_cast<unsigned>(CheckDifference::count_); ++kind) {
    slot->check_differences[kind].store(g_oracle.differences(static_cast<CheckDifference>(kind)),
                                        std::memory_order_relaxed);
  }
  const uint32_t bytes = g_oracle.text_bytes();
  if (bytes > slot->check_text_bytes.load(std::memory_order_relaxed) && bytes <= sizeof slot->check_text) {
    memcpy(slot->check_text, g_oracle.text(), bytes);
    slot->check_text_bytes.store(bytes, std::memory_order_release);
  }
}

} // namespace

void start_stack_capture() {
  const uint32_t described = g_process.slot->exe_bytes;
  const uint32_t bytes = described < sizeof g_executable ? described : 0;
  memcpy(g_executable, g_process.slot->text, bytes);
  g_executable[bytes] = '\0';
  g_walk.modules.executable_path = g_executable;
  g_walk.modules.main_headers = reinterpret_cast<const void*>(auxiliary_value(AT_PHDR));
  g_walk.modules.main_header_count = static_cast<uint32_t>(auxiliary_value(AT_PHNUM));
  g_walk.modules.storage = {publish_module, retire_module, restore_module, nullptr};
  g_walk.modules.dl_find_object =
      reinterpret_cast<DlFindObject>(find_glibc_symbol("_dl_find_object").address);
  const bool counted = g_walk.epoch.find_load_counter(find_glibc_symbol("_rtld_global").address,
                                                      find_glibc_symbol("dl_iterate_phdr").address);
  g_process.slot->module_epoch_source = counted ? 1 : 0;
  g_epoch_at_attach = g_walk.epoch.now();
  connect_to_slot();
  g_tree.prepare();
  note_foreign_malloc();
}

void restart_stack_capture() {
  reset_after_fork(g_walk);
  connect_to_slot();
  note_foreign_malloc();
}

StackId capture_specially(ThreadState& thread, bool nested, const EntryRegisters& caller) {
  if (nested)
    return capture_stack_nested(caller, g_walk);
  if ((g_process.flags & kSessionUnwinderLibunwind) != 0 && g_oracle.loaded())
    return g_oracle.capture(caller, g_walk);
  const StackId id = capture_stack(thread.memo, caller, g_walk);
  if (g_oracle.loaded())
    compare_with_oracle(caller, id);
  return id;
}

void start_reference_unwinder() {
  const char* const wanted = environment_value(kEnvCheckUnwind);
  const bool check =
      (g_process.flags & kSessionCheckUnwind) != 0 || (wanted != nullptr && strcmp(wanted, "1") == 0);
  if (!check && (g_process.flags & kSessionUnwinderLibunwind) == 0)
    return;
  g_capture_specially =
      g_oracle.load(reinterpret_cast<void* (*)(const char*, int)>(find_symbol("dlopen").address),
                    reinterpret_cast<void* (*)(void*, const char*)>(find_symbol("dlsym").address));
  if (!g_capture_specially) {
    constexpr char kMessage[] =
        "heapledger: libunwind.so.8 is not here: walks are neither checked nor made by it\n";
    sys::write_file(2, kMessage, sizeof kMessage - 1);
  }
}

} // namespace hl
