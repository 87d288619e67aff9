// See session_records.h.
#include "runtime/session_records.h"

#include <string.h>

#include "emit/block_waiting.h"
#include "emit/event_writer.h"
#include "runtime/malloc_binding.h"
#include "runtime/process.h"
#include "runtime/thread_state.h"

namespace hl {

namespace {

// Takes a block for entry `position` of a directory; the winner of a race enters it, a loser returns its own.
void* provide_block(std::atomic<uint32_t>& entry, BlockKind kind, uint32_t position) {
  uint32_t present = entry.load(std::memory_order_acquire);
  if (present != 0)
    return g_process.view.block(present - 1);
  // A handler may fork meanwhile. Its child comes back to here, too, and must leave the block to the parent:
  // see EventWriter::open_block.
  const uint32_t word = g_process.fork_word->load(std::memory_order_relaxed);
  const auto has_forked = [word] { return g_process.fork_word->load(std::memory_order_relaxed) != word; };
  ThreadState* const t = t_local.state;
  const uint32_t level = t != nullptr && t->depth != 0 ? t->depth - 1 : kLanes;
  Lane* const lane = level < kLanes ? &t->lanes[level] : nullptr;
  BlockPool pool = g_process.view.pool();
  const uint32_t index = take_definition_block();
  if (index == kNoBlock)
    return nullptr;
  if (lane != nullptr)
    lane->opening = index + 1;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  void* const block = g_process.view.block(index);
  if (block == nullptr) {
    if (lane != nullptr)
      lane->opening = 0;
    pool.give_back(index, false);
    return nullptr;
  }
  for (uint32_t at = 0; at < kBlockBytes; at += 4096) {
    char* const page = static_cast<char*>(block) + at;
    // Changes nothing, but waits for the page, which is when signals are delivered.
    reinterpret_cast<std::atomic<uint32_t>*>(page)->fetch_or(0, std::memory_order_relaxed);
    if (has_forked())
      return nullptr;
    memset(page, 0, 4096);
  }
  BlockHeader* const header = static_cast<BlockHeader*>(block);
  header->process_slot = g_process.slot_index;
  header->process_generation = g_process.generation;
  header->index_in_directory = position;
  header->kind.store(static_cast<uint32_t>(kind), std::memory_order_release);
  if (has_forked())
    return nullptr;
  // Release: the block is blank before it is entered.
  const bool entered = entry.compare_exchange_strong(present, index + 1, std::memory_order_acq_rel);
  if (lane != nullptr)
    lane->opening = 0;
  if (!entered && present != index + 1) {
    header->kind.store(static_cast<uint32_t>(BlockKind::free), std::memory_order_release);
    pool.give_back(index, false);
    return g_process.view.block(present - 1);
  }
  return block;
}

ModuleRecord* module_record(uint32_t index) {
  if (index / kModulesPerBlock >= kModuleDirectoryEntries)
    return nullptr;
  void* const block = provide_block(g_process.slot->module_blocks[index / kModulesPerBlock],
                                    BlockKind::modules, index / kModulesPerBlock);
  return block == nullptr ? nullptr : &static_cast<ModuleBlock*>(block)->modules[index % kModulesPerBlock];
}

} // namespace

NodeBlock* provide_node_block(void*, uint32_t position) {
  if (position >= kNodeDirectoryEntries)
    return nullptr;
  return static_cast<NodeBlock*>(
      provide_block(g_process.slot->node_blocks[position], BlockKind::nodes, position));
}

uint32_t publish_module(void*, const ModuleInfo& info) {
  const size_t path_bytes = strlen(info.path);
  const uint32_t records =
      path_bytes <= sizeof(ModuleRecord::path)
          ? 1
          : 1 + static_cast<uint32_t>((path_bytes - sizeof(ModuleRecord::path) + sizeof(ModuleRecord) - 1) /
                                      sizeof(ModuleRecord));
  // Relaxed: numbers only; a record counts from when `published` is stored.
  const uint32_t first = g_process.slot->module_count.fetch_add(records, std::memory_order_relaxed);
  ModuleRecord* const record = module_record(first);
  if (record == nullptr)
    return 0;
  size_t copied = path_bytes < sizeof record->path ? path_bytes : sizeof record->path;
  memcpy(record->path, info.path, copied);
  for (uint32_t r = 1; r < records; ++r) {
    ModuleRecord* const more = module_record(first + r);
    if (more == nullptr)
      return 0;
    const size_t left = path_bytes - copied;
    const size_t bytes = left < sizeof *more ? left : sizeof *more;
    memcpy(static_cast<void*>(more), info.path + copied, bytes);
    copied += bytes;
  }
  record->record_count = records;
  record->load_bias = info.load_bias;
  record->start = info.start;
  record->end = info.end;
  record->loaded_ticks = EventWriter::now(false);
  record->path_bytes = static_cast<uint32_t>(path_bytes);
  record->build_id_bytes = info.build_id_bytes;
  record->is_main = info.is_main ? 1 : 0;
  record->malloc_binding = malloc_binding_of(info);
  memcpy(record->build_id, info.build_id, sizeof record->build_id);
  record->published.store(1, std::memory_order_release);
  return first + 1;
}

void retire_module(void*, uint32_t id) {
  ModuleRecord* const record = id != 0 ? module_record(id - 1) : nullptr;
  if (record != nullptr)
    record->unloaded_ticks.store(EventWriter::now(false), std::memory_order_release);
}

void restore_module(void*, uint32_t id) {
  ModuleRecord* const record = id != 0 ? module_record(id - 1) : nullptr;
  if (record != nullptr)
    record->unloaded_ticks.store(0, std::memory_order_release);
}

} // namespace hl
