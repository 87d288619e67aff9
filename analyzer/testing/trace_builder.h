// Builds traces and session files by hand, for tests, the fuzz corpus and speed measurements. It writes what
// heapledger/trace_format.h says and shares no code with the recorder, so that both are checked against the
// header and not against each other.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "heapledger/event_columns.h"
#include "heapledger/trace_format.h"

namespace hl::testing {

// A tick is a nanosecond in these traces; time 0 is kStartTicks.
inline constexpr uint64_t kStartTicks = 1'000'000'000;
inline constexpr uint64_t kStartWallNs = 1'700'000'000'000'000'000;

Event malloc_event(uint64_t at, uint64_t address, uint64_t size, StackId stack = 1);
Event free_event(uint64_t at, uint64_t address, StackId stack = 0);
// Frees `old_address` at `before` and returns `address` at `at`.
Event realloc_event(uint64_t before, uint64_t at, uint64_t old_address, uint64_t address, uint64_t size,
                    StackId stack = 1);
// Times above are relative to kStartTicks.

class TraceBuilder {
 public:
  // Level 0: columns are stored as they are.
  explicit TraceBuilder(int compression_level = 1) : level_(compression_level) {}

  struct Identity {
    uint32_t pid = 4711;
    std::string executable = "/usr/bin/app";
    std::vector<std::string> arguments = {"app", "--flag"};
    uint8_t uuid_byte = 0xab; // every byte of the trace's UUID
    uint8_t session_byte = 0; // of its session's; 0: none
    std::string session_path;
    bool is_root = true;
    uint32_t image_number = 0;
    uint8_t parent_uuid_byte = 0;
    uint8_t heap_kind = 0; // HeaderPayload::heap_kind
  };
  // First: preamble and header chunk.
  TraceBuilder& begin(const Identity& identity);
  TraceBuilder& begin() { return begin(Identity()); }

  TraceBuilder& clock(const std::vector<ClockPair>& pairs);
  TraceBuilder& module(uint32_t id, const std::string& path, uint64_t start, uint64_t end,
                       bool is_main = false);
  // Writes nodes with ids from 1 on at the next flush; returns the id.
  StackId node(StackId parent, uint32_t module, uint64_t pc);

  // Into the thread's current stretch. Extended payloads are copied.
  TraceBuilder& add(uint32_t thread, const Event& event);
  TraceBuilder& add_extended(uint32_t thread, uint64_t at, ExtendedKind kind,
                             const std::vector<uint64_t>& numbers, const std::string& text = {},
                             StackId stack = 0);
  // Writes waiting nodes and one events chunk. `low_water` is relative to kStartTicks; 2^64-1: nothing
  // follows.
  TraceBuilder& flush(uint64_t low_water);
  // The recorder wrote the last events chunk twice (killed between write and bookkeeping).
  TraceBuilder& repeat_last_events_chunk();
  TraceBuilder& losses(LossCause cause, uint64_t count);
  TraceBuilder& chunk(ChunkKind kind, const std::vector<uint8_t>& payload, uint64_t count = 0,
                      uint64_t first_ticks = 0, uint64_t last_ticks = 0, uint16_t flags = 0);
  // Index and end.
  TraceBuilder& close();

  const std::vector<uint8_t>& bytes() const { return out_; }
  void write(const std::string& path) const;
  // For traces larger than memory: appends what is built to the file and forgets it.
  void spill(std::FILE* file);

 private:
  struct Stretch {
    std::vector<Event> events;
    uint32_t to_bytes = 0;
    uint64_t sequence = 0;
  };

  int level_;
  std::vector<uint8_t> out_;
  uint64_t spilled_bytes_ = 0;
  std::vector<IndexEntry> index_;
  struct Node {
    uint32_t parent, module;
    uint64_t pc;
  };
  std::vector<Node> new_nodes_;
  uint32_t next_node_ = 1;
  std::map<uint32_t, Stretch> threads_;
  uint64_t next_sequence_ = 0;
  std::vector<std::vector<uint8_t>> payloads_;
  std::vector<uint8_t> last_events_chunk_;
  IndexEntry last_events_entry_{};
  uint64_t events_ = 0;
  std::unique_ptr<EventColumnsEncoder> encoder_ = std::make_unique<EventColumnsEncoder>();
};

// A session file with one process image and its blocks.
class SessionBuilder {
 public:
  SessionBuilder(uint8_t session_byte, uint8_t image_uuid_byte, uint32_t pid = 4711);
  StackId node(StackId parent, uint32_t module, uint64_t pc);
  // A block of that thread with these events committed; `sequence` as in the trace's segments.
  SessionBuilder& block(uint32_t thread, uint64_t sequence, const std::vector<Event>& events);
  std::vector<uint8_t> bytes() const;
  void write(const std::string& path) const;

 private:
  std::vector<uint8_t> header_;
  std::vector<uint8_t> blocks_; // of kBlockBytes each; 0: the process, 1: nodes
  uint32_t nodes_ = 0;
};

} // namespace hl::testing
