// The recorder's end of the session file: creates it, maps it once for good, extends it ahead of need and
// gives blocks back. Only the recorder does any of this (see session_layout.h for who may touch what).
//
// Space is always fallocated before `blocks_available` announces it: a writer that touched a hole of a sparse
// file on a full disk would die of SIGBUS. The mapping covers all the file may ever become; only allocated
// parts are touched. Whatever stands in the file was written by somebody else's process: every index read
// from it is bounded here before it is used.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "emit/block_pool.h"
#include "heapledger/session_layout.h"
#include "heapledger/trace_format.h"

namespace hl {

struct SessionSettings {
  std::string path, directory, output, name; // absolute paths; output may be empty
  uint32_t flags = 0;                        // SessionFlags
  uint64_t wait_budget_ns = 2'000'000'000;
  uint32_t pool_bytes = 8u << 20; // event blocks at first
  LeakPolicy leak_policy = LeakPolicy::automatic;
  uint32_t scan_options = kScanDefault;
  uint64_t scan_wait_ns = 2'000'000'000;
  uint32_t sample_budget_millionths = 10'000; // of one processor
};

// Where a session file may not live: the file system is remote, in user space or copy-on-write, so that
// mapped writes may fail or block. Returns its name, or nullptr where it may.
const char* unfit_file_system(const std::string& directory);

class SessionFile {
 public:
  // An errno-like reason in `why` when the result is null.
  static std::unique_ptr<SessionFile> create(const SessionSettings& settings, std::string& why);
  static std::unique_ptr<SessionFile> attach(const std::string& path, std::string& why);
  ~SessionFile();
  SessionFile(const SessionFile&) = delete;
  SessionFile& operator=(const SessionFile&) = delete;

  SessionHeader& header() const { return *header_; }
  uint64_t mapped_bytes() const { return mapped_bytes_; } // from header() on
  uint32_t blocks_available() const { return header_->blocks_available.load(std::memory_order_relaxed); }
  bool is_taken(uint32_t index) const { return pool_.is_taken(index); }
  uint64_t taken_word(uint32_t word) const;
  BlockHeader* block(uint32_t index) const { // index < blocks_available()
    return reinterpret_cast<BlockHeader*>(base_ + block_offset(index));
  }
  std::atomic<uint32_t>& process_entry(uint32_t slot) const {
    return reinterpret_cast<std::atomic<uint32_t>*>(base_ + kProcessTableOffset)[slot];
  }

  // Makes at least `blocks` blocks available. false: no room on the disk (what was there stays usable).
  bool extend_to(uint32_t blocks);
  // The block's content is no longer needed by anybody.
  void give_back(uint32_t index);
  // Lets threads that wait for a block try again.
  void wake_waiters();
  // Sleeps until a thread waits for a block or the time is over.
  void sleep_until_pressed(uint64_t timeout_ns);
  // Ends sleep_until_pressed(), from another thread.
  void wake_recorder();
  void unlink_file();

 private:
  SessionFile() = default;
  bool map(uint64_t least_bytes);

  std::string path_;
  int fd_ = -1;
  char* base_ = nullptr;
  uint64_t mapped_bytes_ = 0;
  SessionHeader* header_ = nullptr;
  BlockPool pool_;
};

} // namespace hl
