// See node_table.h.
#include "reader/node_table.h"

#include <zstd.h>

#include <algorithm>
#include <bit>
#include <unordered_set>

#include "heapledger/trace_format.h"
#include "reader/payload_cursor.h"

namespace hl {

bool NodeTable::set(uint32_t id, const TraceNode& node) {
  if (id == 0 || id > kMaxId || node.pc == 0)
    return false;
  if (id >= nodes_.size())
    nodes_.resize(std::max<size_t>(id + 1, std::min<size_t>(kMaxId + 1, nodes_.size() * 3 / 2)));
  nodes_[id] = node;
  return true;
}

bool NodeTable::add_chunk(std::span<const uint8_t> payload) {
  PayloadCursor cursor(payload);
  uint32_t written = 0;
  if (payload.size() < sizeof written)
    return false;
  std::memcpy(&written, payload.data(), sizeof written);
  NodesPayload head;
  if (written < sizeof head || !cursor.get_sized(head, written))
    return false;
  if (head.first_id == 0 || head.id_count > kMaxId || head.first_id > kMaxId - head.id_count + 1 ||
      head.hole_count > head.id_count)
    return false;
  const auto hole_bytes = cursor.take(size_t{head.hole_count} * 4);
  if (cursor.failed())
    return false;
  std::unordered_set<uint32_t> holes;
  for (size_t i = 0; i < hole_bytes.size(); i += 4) {
    uint32_t id;
    std::memcpy(&id, &hole_bytes[i], 4);
    holes.insert(id);
  }
  const uint64_t count = head.id_count - holes.size();
  // Three numbers of at most ten bytes each.
  if (head.raw_bytes > count * 30 || head.raw_bytes < count * 3)
    return count == 0;
  const auto packed = cursor.take(cursor.remaining());
  std::vector<uint8_t> raw(head.raw_bytes);
  if (ZSTD_decompress(raw.data(), raw.size(), packed.data(), packed.size()) != raw.size())
    return false;

  PayloadCursor columns(raw);
  std::vector<uint32_t> ids;
  ids.reserve(count);
  for (uint32_t i = 0; i < head.id_count; ++i)
    if (!holes.contains(head.first_id + i))
      ids.push_back(head.first_id + i);
  std::vector<TraceNode> read(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    const uint64_t distance = columns.leb();
    // A parent that is not below its child makes a distance below 0, and finish() cuts there.
    read[i].parent = distance == 0        ? 0
                     : distance <= ids[i] ? static_cast<uint32_t>(ids[i] - distance)
                                          : ids[i];
  }
  for (TraceNode& node : read)
    node.module = static_cast<uint32_t>(columns.leb());
  uint64_t pc = 0;
  for (TraceNode& node : read)
    node.pc = pc += static_cast<uint64_t>(unzigzag(columns.leb()));
  if (columns.failed())
    return false;
  for (size_t i = 0; i < ids.size(); ++i)
    set(ids[i], read[i]);
  return true;
}

void NodeTable::finish() {
  canonical_.assign(nodes_.size(), 0);
  count_ = cut_ = 0;
  if (nodes_.empty())
    return;
  const uint64_t slots = std::bit_ceil(nodes_.size() * 2);
  std::vector<uint32_t> table(slots, 0);
  for (uint32_t id = 1; id < nodes_.size(); ++id) {
    TraceNode& node = nodes_[id];
    if (node.pc == 0)
      continue;
    if (node.parent >= id) {
      node.parent = 0;
      ++cut_;
    }
    // A parent that is missing (damage) keeps its own identity: stacks below it stay apart.
    if (node.parent != 0 && canonical_[node.parent] != 0)
      node.parent = canonical_[node.parent];
    uint64_t hash =
        (node.pc ^ (uint64_t{node.parent} << 32 | node.module) * 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;
    hash ^= hash >> 32;
    for (uint64_t slot = hash & (slots - 1);; slot = (slot + 1) & (slots - 1)) {
      const uint32_t other = table[slot];
      if (other == 0) {
        table[slot] = canonical_[id] = id;
        ++count_;
        break;
      }
      const TraceNode& known = nodes_[other];
      if (known.pc == node.pc && known.parent == node.parent && known.module == node.module) {
        canonical_[id] = other;
        break;
      }
    }
  }
}

} // namespace hl
