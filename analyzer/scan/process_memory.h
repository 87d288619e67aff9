// Reads the memory of another process on this machine.
//
// Only pages that the process has (present or swapped out) are touched: a page that was never written holds
// nothing but zeros, or what a file holds, and reading it would make the process larger and take time for
// each untouched GiB. Such pages read as zeros, unless all pages are asked for (headers of ELF files).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "scan/page_runs.h"
#include "scan/patience.h"

namespace hl {

class ProcessMemory : public MemoryReader {
 public:
  enum class Pages : uint8_t { touched, all };
  // read() throws what `patience` throws, which stays the caller's; nullptr: it has all the time.
  explicit ProcessMemory(uint32_t pid, Pages pages = Pages::touched, const Patience* patience = nullptr);
  ~ProcessMemory() override;
  ProcessMemory(const ProcessMemory&) = delete;
  ProcessMemory& operator=(const ProcessMemory&) = delete;

  void read(std::span<Piece> pieces) override;
  uint64_t next_data(uint64_t address, uint64_t end) override;
  std::unique_ptr<MemoryReader> twin() const override {
    return std::make_unique<ProcessMemory>(pid_, pagemap_ < 0 ? Pages::all : Pages::touched, patience_);
  }

 private:
  // As many bytes as can be read from the start of [address, address + bytes), which the process has.
  uint64_t read_bytes(uint64_t address, uint8_t* to, uint64_t bytes);
  bool has_page(uint64_t page);
  std::optional<uint64_t> ask_kernel(uint64_t address, uint64_t end); // next_data, where the kernel can tell

  uint32_t pid_;
  const Patience* patience_;
  int pagemap_ = -1; // -1: not to be had; every page counts as there
  int mem_ = -1;     // /proc/PID/mem, where process_vm_readv is refused; -1: not opened
  bool vm_refused_ = false;
  bool scan_unknown_ = false; // the kernel does not know PAGEMAP_SCAN
  PagemapWindow window_;
};

} // namespace hl
