// Blocks of this process in the session file that hold its stack nodes and modules: taken from the pool when
// first needed, entered in the directories of the process slot. Lock-free; called on the event path.
#pragma once

#include "heapledger/session_layout.h"
#include "unwind/module_table.h"

namespace hl {

// Node block number `position`, made if missing; the same for every caller; nullptr if there is no room.
NodeBlock* provide_node_block(void*, uint32_t position);

// Publishes a module record; its instance id, or 0 if there is no room.
uint32_t publish_module(void*, const ModuleInfo& info);
// Notes when the instance went.
void retire_module(void*, uint32_t id);
// It is there again.
void restore_module(void*, uint32_t id);

} // namespace hl
