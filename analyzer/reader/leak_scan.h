// A leak scan as the trace keeps it: which class each live block had at a moment, and what held it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "heapledger/trace_format.h"
#include "reader/trace.h"

namespace hl {

struct LeakScan {
  struct Root {
    RootKind kind;
    uint32_t tid;     // 0: none
    uint64_t address; // of the word that points into the heap; registers: number
  };
  static constexpr uint64_t kNoHolder = 0;
  static constexpr bool is_root(uint64_t holder) { return holder % 2 == 1; }
  static constexpr uint64_t root_of(uint64_t holder) { return holder / 2; }
  static constexpr uint64_t block_of(uint64_t holder) { return holder / 2 - 1; } // not kNoHolder, not a root

  LeakScanPayload facts{};
  std::string name, reason;
  ChunkPlace place{}; // in the file it was read from
  std::vector<Root> roots;
  // By block, in the order of addresses.
  std::vector<uint64_t> addresses;
  std::vector<LeakClass> classes;
  std::vector<uint64_t> holders;
  struct Contents {
    uint64_t block; // index into the above
    std::vector<uint8_t> bytes;
  };
  std::vector<Contents> contents; // the first bytes of some blocks, by block
  // Of the block at `address`; empty: not kept.
  std::span<const uint8_t> contents_of(uint64_t address) const;

  bool scanned() const { return static_cast<ScanWay>(facts.way) != ScanWay::none; }
};

// nullopt: the payload cannot be what it claims. Every holder of the result names a root or a block that is
// there. `with_blocks` false: the facts and texts alone.
std::optional<LeakScan> parse_leak_scan(std::span<const uint8_t> payload, bool with_blocks = true);

// All scans of a trace, oldest first, without their blocks. What is damaged is told to the trace's problem
// log.
std::vector<LeakScan> list_leak_scans(const Trace& trace);
// One of them, with its blocks.
std::optional<LeakScan> load_leak_scan(const Trace& trace, const LeakScan& listed);

} // namespace hl
