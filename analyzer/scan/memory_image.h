// What the leak scan needs of a process whose memory stands still: a list of places where pointers may lie
// outside the heap, and a way to read memory. StoppedProcess gives it from a process under ptrace,
// CopiedProcess from a forked copy, a test from arrays.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "heapledger/trace_format.h"

namespace hl {

// Memory, or words that have no address (registers), in which pointers are looked for.
struct RootRange {
  RootKind kind = RootKind::unknown;
  uint32_t tid = 0;   // of the thread it belongs to; 0: none
  uint64_t start = 0; // address of the first byte; registers: number of the first
  uint64_t bytes = 0;
  std::vector<uint64_t> words = {}; // registers: their values, instead of memory
};

// Memory that belongs to a file: where virtual tables and code are.
struct FileRange {
  uint64_t start, end;
  bool executable;
};

class MemoryReader {
 public:
  virtual ~MemoryReader() = default;
  struct Piece {
    uint64_t address;
    std::span<uint8_t> to;
    uint64_t read_bytes = 0; // out: from the start; less than to.size(): the rest cannot be read
  };
  // Reads what can be read of every piece.
  virtual void read(std::span<Piece> pieces) = 0;
  // The first address of [address, end) from which on there may be something else than zeros; end: none. A
  // program may map terabytes that it never touches.
  virtual uint64_t next_data(uint64_t address, uint64_t end) { return end > address ? address : end; }
  // Another reader of the same memory, for another thread; nullptr: there can be but one.
  virtual std::unique_ptr<MemoryReader> twin() const { return nullptr; }
};

} // namespace hl
