// See definitions.h.
#include "definitions.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace hl {

namespace {

constexpr uint32_t kNodesPerChunk = 65536;
constexpr size_t kMostHoles = 1u << 16;

void put_leb(std::vector<uint8_t>& out, uint64_t v) {
  uint8_t buffer[10];
  out.insert(out.end(), buffer, block_codec::put_leb(buffer, v));
}

template <typename T> void put_bytes(std::vector<uint8_t>& out, const T& value) {
  const auto* p = reinterpret_cast<const uint8_t*>(&value);
  out.insert(out.end(), p, p + sizeof(T));
}

} // namespace

const void* Definitions::directory_block(uint32_t index_plus_one, BlockKind kind) const {
  if (index_plus_one == 0 || index_plus_one > session_.blocks_available())
    return nullptr;
  const BlockHeader* const b = session_.block(index_plus_one - 1);
  return b->kind.load(std::memory_order_acquire) == static_cast<uint32_t>(kind) ? b : nullptr;
}

const StackNode* Definitions::node(uint32_t id) const {
  const uint32_t directory = (id - 1) / kNodesPerBlock;
  if (directory >= kNodeDirectoryEntries)
    return nullptr;
  const auto* b = static_cast<const NodeBlock*>(
      directory_block(process_.node_blocks[directory].load(std::memory_order_acquire), BlockKind::nodes));
  if (b == nullptr)
    return nullptr;
  const StackNode& n = b->nodes[(id - 1) % kNodesPerBlock];
  // Acquire: pairs with the release of the writer that filled it.
  return n.pc.load(std::memory_order_acquire) != 0 ? &n : nullptr;
}

const ModuleRecord* Definitions::module_record(uint32_t id) const {
  const uint32_t directory = (id - 1) / kModulesPerBlock;
  if (directory >= kModuleDirectoryEntries)
    return nullptr;
  const auto* b = static_cast<const ModuleBlock*>(
      directory_block(process_.module_blocks[directory].load(std::memory_order_acquire), BlockKind::modules));
  return b == nullptr ? nullptr : &b->modules[(id - 1) % kModulesPerBlock];
}

void Definitions::put_module(uint32_t id, const ModuleRecord& record) {
  std::string path(record.path, std::min<size_t>(record.path_bytes, sizeof(record.path)));
  // A long path goes on in the records that follow; their bytes all hold path.
  for (uint32_t i = 1; i < record.record_count && path.size() < record.path_bytes && path.size() < 65536;
       i++) {
    const ModuleRecord* const more = module_record(id + i);
    if (more == nullptr)
      break;
    path.append(reinterpret_cast<const char*>(more),
                std::min<size_t>(record.path_bytes - path.size(), sizeof(*more)));
  }
  ModuleEntry e{};
  e.id = id;
  e.load_bias = record.load_bias;
  e.start = record.start;
  e.end = record.end;
  e.loaded_ticks = record.loaded_ticks;
  e.unloaded_ticks = record.unloaded_ticks.load(std::memory_order_relaxed);
  e.path_bytes = static_cast<uint32_t>(path.size());
  e.build_id_bytes = std::min<uint8_t>(record.build_id_bytes, sizeof(e.build_id));
  e.is_main = record.is_main;
  e.malloc_binding = record.malloc_binding;
  std::memcpy(e.build_id, record.build_id, sizeof(e.build_id));
  const size_t padding = (8 - (sizeof(e) + path.size()) % 8) % 8;
  e.entry_bytes = static_cast<uint32_t>(sizeof(e) + path.size() + padding);
  put_bytes(payload_, e);
  payload_.insert(payload_.end(), path.begin(), path.end());
  payload_.insert(payload_.end(), padding, 0);
}

bool Definitions::write_modules(TraceFile& trace) {
  const uint32_t count = std::min(process_.module_count.load(std::memory_order_acquire),
                                  kModuleDirectoryEntries * kModulesPerBlock);
  payload_.clear();
  std::vector<Module> after = modules_;
  after.resize(std::max<size_t>(after.size(), count));
  uint64_t entries = 0;
  for (uint32_t id = 1; id <= count; id++) {
    if (after[id - 1].written)
      continue;
    const ModuleRecord* const record = module_record(id);
    // Acquire: pairs with the release that published it.
    if (record == nullptr || record->published.load(std::memory_order_acquire) != 1)
      continue;
    put_module(id, *record);
    entries++;
    const bool unloaded = record->unloaded_ticks.load(std::memory_order_relaxed) != 0;
    const uint32_t run = std::clamp(record->record_count, 1u, count - id + 1);
    for (uint32_t i = 0; i < run; i++)
      after[id - 1 + i] = {true, unloaded};
    id += run - 1;
  }
  if (entries != 0 && !trace.append({.kind = ChunkKind::modules, .count = entries}, payload_))
    return false;
  modules_ = std::move(after);
  return true;
}

bool Definitions::write_unloaded(TraceFile& trace) {
  payload_.clear();
  std::vector<uint32_t> ids;
  for (uint32_t id = 1; id <= modules_.size(); id++) {
    if (!modules_[id - 1].written)
      continue;
    const ModuleRecord* const record = module_record(id);
    if (record == nullptr)
      continue;
    // A run's first record alone has these fields; its continuations hold path.
    const uint32_t run =
        std::clamp(record->record_count, 1u, static_cast<uint32_t>(modules_.size()) - id + 1);
    // What was unloaded may be there again.
    if ((record->unloaded_ticks.load(std::memory_order_acquire) != 0) != modules_[id - 1].unloaded) {
      put_module(id, *record);
      for (uint32_t i = 0; i < run; i++)
        ids.push_back(id + i);
    }
    id += run - 1;
  }
  if (ids.empty())
    return true;
  if (!trace.append({.kind = ChunkKind::modules, .count = ids.size()}, payload_))
    return false;
  for (const uint32_t id : ids)
    modules_[id - 1].unloaded = !modules_[id - 1].unloaded;
  return true;
}

bool Definitions::write_nodes(TraceFile& trace, ChunkCodec& codec, uint32_t first_id, uint32_t end_id) {
  parents_.clear();
  module_ids_.clear();
  pcs_.clear();
  std::vector<uint32_t> holes;
  uint64_t previous_pc = 0;
  for (uint32_t id = first_id; id < end_id; id++) {
    const StackNode* const n = node(id);
    if (n == nullptr) {
      holes.push_back(id);
      continue;
    }
    const uint64_t pc = n->pc.load(std::memory_order_relaxed); // acquired by node()
    put_leb(parents_, n->parent == 0 ? 0 : uint64_t{id} - n->parent);
    put_leb(module_ids_, n->module);
    put_leb(pcs_, zigzag(static_cast<int64_t>(pc - previous_pc)));
    previous_pc = pc;
  }
  if (holes.size() < end_id - first_id) {
    parents_.insert(parents_.end(), module_ids_.begin(), module_ids_.end());
    parents_.insert(parents_.end(), pcs_.begin(), pcs_.end());
    const NodesPayload head{sizeof(NodesPayload), first_id, end_id - first_id,
                            static_cast<uint32_t>(holes.size()), parents_.size()};
    payload_.clear();
    put_bytes(payload_, head);
    for (const uint32_t id : holes)
      put_bytes(payload_, id);
    codec.compress(parents_, payload_);
    if (!trace.append({.kind = ChunkKind::nodes, .count = end_id - first_id - holes.size()}, payload_))
      return false;
  }
  if (holes_.size() < kMostHoles)
    holes_.insert(holes_.end(), holes.begin(), holes.end());
  return true;
}

bool Definitions::write_filled_holes(TraceFile& trace, ChunkCodec& codec) {
  if (holes_.empty())
    return true;
  std::vector<uint32_t> filled, left;
  for (const uint32_t id : holes_)
    (node(id) != nullptr ? filled : left).push_back(id);
  if (filled.empty())
    return true;
  const std::vector<uint32_t> before = std::move(holes_);
  holes_ = std::move(left);
  for (size_t i = 0; i < filled.size();) {
    size_t j = i + 1;
    while (j < filled.size() && filled[j] == filled[j - 1] + 1)
      j++;
    if (!write_nodes(trace, codec, filled[i], filled[j - 1] + 1)) {
      holes_ = before;
      return false;
    }
    i = j;
  }
  return true;
}

bool Definitions::write(TraceFile& trace, ChunkCodec& codec) {
  // Nodes are counted before modules are read: a node is filled after its module was published.
  const uint32_t node_count =
      std::min(process_.node_count.load(std::memory_order_acquire), kNodeDirectoryEntries * kNodesPerBlock);
  if (!write_modules(trace) || !write_filled_holes(trace, codec))
    return false;
  while (nodes_written_ < node_count) {
    const uint32_t end = std::min(node_count, nodes_written_ + kNodesPerChunk) + 1;
    if (!write_nodes(trace, codec, nodes_written_ + 1, end))
      return false;
    nodes_written_ = end - 1;
  }
  return true;
}

void Definitions::already_written(const ChunkHeader& chunk, std::span<const uint8_t> payload) {
  if (chunk.kind == static_cast<uint16_t>(ChunkKind::modules)) {
    while (payload.size() >= sizeof(ModuleEntry)) {
      ModuleEntry e;
      std::memcpy(&e, payload.data(), sizeof(e));
      if (e.entry_bytes < sizeof(e) || e.entry_bytes > payload.size() || e.id == 0 ||
          e.id > kModuleDirectoryEntries * kModulesPerBlock)
        return;
      const ModuleRecord* const record = module_record(e.id);
      const uint32_t run = record == nullptr ? 1 : std::clamp(record->record_count, 1u, 200u);
      if (modules_.size() < e.id + run - 1)
        modules_.resize(e.id + run - 1);
      for (uint32_t i = 0; i < run; i++)
        modules_[e.id - 1 + i] = {true, e.unloaded_ticks != 0};
      payload = payload.subspan(e.entry_bytes);
    }
  } else if (chunk.kind == static_cast<uint16_t>(ChunkKind::nodes) &&
             payload.size() >= sizeof(NodesPayload)) {
    NodesPayload head;
    std::memcpy(&head, payload.data(), sizeof(head));
    const uint64_t end = uint64_t{head.first_id} + head.id_count;
    if (head.payload_header_bytes > payload.size() ||
        end > kNodeDirectoryEntries * uint64_t{kNodesPerBlock} + 1)
      return;
    payload = payload.subspan(head.payload_header_bytes);
    // Runs of nothing but holes are not written; what a chunk leaves out before it is one.
    for (uint32_t id = nodes_written_ + 1; id < head.first_id && holes_.size() < kMostHoles; id++)
      holes_.push_back(id);
    std::erase_if(holes_, [&](uint32_t id) { return id >= head.first_id && id < end; });
    for (uint32_t i = 0; i < head.hole_count && payload.size() >= 4; i++, payload = payload.subspan(4)) {
      uint32_t id;
      std::memcpy(&id, payload.data(), 4);
      if (holes_.size() < kMostHoles)
        holes_.push_back(id);
    }
    nodes_written_ = std::max(nodes_written_, static_cast<uint32_t>(end - 1));
  }
}

} // namespace hl
