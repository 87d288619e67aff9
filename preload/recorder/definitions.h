// Carries the stack nodes and module records of one process image from the session file into its trace.
//
// Order is everything: the caller reads how far event blocks are committed, then calls write(), then writes
// the events. A node is filled before an event that names it is committed, so every node such an event names
// is found here; nodes that are reserved but not yet filled are noted as holes and brought by a later chunk.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "chunk_codec.h"
#include "session_file.h"
#include "trace_file.h"

namespace hl {

class Definitions {
 public:
  Definitions(const SessionFile& session, const SessionProcess& process)
      : session_(session), process_(process) {}

  // Writes what is new. false: the trace could not be written (tried again next time).
  bool write(TraceFile& trace, ChunkCodec& codec);
  // Looks for modules that were unloaded, or loaded again, since they were written.
  bool write_unloaded(TraceFile& trace);

  // What a trace that is continued after a restart already holds.
  void already_written(const ChunkHeader& chunk, std::span<const uint8_t> payload);

  uint32_t nodes() const { return nodes_written_; }
  uint32_t modules() const { return static_cast<uint32_t>(modules_.size()); }

 private:
  bool write_modules(TraceFile& trace);
  bool write_nodes(TraceFile& trace, ChunkCodec& codec, uint32_t first_id, uint32_t end_id);
  bool write_filled_holes(TraceFile& trace, ChunkCodec& codec);
  const StackNode* node(uint32_t id) const;
  const ModuleRecord* module_record(uint32_t id) const;
  const void* directory_block(uint32_t index_plus_one, BlockKind kind) const;
  void put_module(uint32_t id, const ModuleRecord& record);

  const SessionFile& session_;
  const SessionProcess& process_;
  uint32_t nodes_written_ = 0;  // ids 1 ... nodes_written_ were written, but for the holes
  std::vector<uint32_t> holes_; // ascending
  struct Module {
    bool written = false, unloaded = false;
  };
  std::vector<Module> modules_; // index: id - 1
  std::vector<uint8_t> parents_, module_ids_, pcs_, payload_;
};

} // namespace hl
