// See stack_capture.h.
#include "runtime/stack_capture.h"

#include "boot/symbol_lookup.h"
#include "runtime/process.h"
#include "runtime/session_records.h"

namespace hl {

constinit WalkContext g_walk;
bool g_capture_specially;

namespace {

constinit StackTree g_tree;
char g_executable[4097];

void connect_to_slot() {
  g_tree.storage.init(provide_node_block, nullptr, &g_process.slot->node_count);
  g_walk.tree = &g_tree;
  g_walk.walk_ends = g_process.slot->walk_ends;
}

}  // namespace

void start_stack_capture() {
  const uint32_t bytes = g_process.slot->exe_bytes;
  memcpy(g_executable, g_process.slot->text, bytes);
  g_executable[bytes] = '\0';
  g_walk.modules.executable_path = g_executable;
  g_walk.modules.storage = {publish_module, retire_module, nullptr};
  g_walk.modules.dl_find_object = reinterpret_cast<DlFindObject>(find_symbol("_dl_find_object").address);
  const bool counted =
      g_walk.epoch.find_load_counter(find_symbol("_rtld_global").address,
                                     reinterpret_cast<uint64_t>(find_symbol("dl_iterate_phdr").address));
  g_process.slot->module_epoch_source = counted ? 1 : 0;
  connect_to_slot();
}

void restart_stack_capture() {
  reset_after_fork(g_walk);
  connect_to_slot();
}

StackId capture_specially(EventWriter& w, const EntryRegisters& caller) {
  if (w.nested()) return capture_stack_nested(caller, g_walk);
  return capture_stack(w.thread().memo, caller, g_walk);
}

void start_reference_unwinder() {}

}  // namespace hl
