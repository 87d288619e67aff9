// Reads what the kernel counts of one process's memory. The process is held by its directory in /proc, opened
// while it was known to live: its number may be given to another, the descriptor then reads nothing. Buffers
// are bounded; a process that ends in the middle, or may not be looked at, leaves things unread and does no
// other harm.
#pragma once

#include <cstdint>
#include <string>

#include "cgroup_memory.h"
#include "memory_text.h"
#include "page_map.h"

namespace hl {

// Counters of the machine and of cgroups change slowly and are shared by many: read once for all who ask
// within half a second.
class SharedCounters {
 public:
  SharedCounters();
  // `group`: text of the process's /proc/PID/cgroup. `now_ns`: CLOCK_MONOTONIC.
  void read(std::string_view group, uint64_t now_ns, UsageFields& out);

 private:
  struct Read {
    uint64_t at_ns = 0;
    std::string path;
    UsageFields fields;
  };
  CgroupMount mount_;
  Read machine_, group_;
};

enum class ReadResult : uint8_t { good, gone, refused, failed };

class ProcMemoryReader {
 public:
  ProcMemoryReader() = default;
  // Afterwards the caller makes sure that the process it means still lives.
  explicit ProcMemoryReader(uint32_t pid);
  ~ProcMemoryReader();
  ProcMemoryReader(ProcMemoryReader&& other) noexcept;
  ProcMemoryReader& operator=(ProcMemoryReader&& other) noexcept;

  bool is_open() const { return directory_ >= 0; }

  // statm, through a descriptor that stays open. First of all readings: where the main thread has ended
  // before the others, the process's memory is found with one of them from here on.
  ReadResult read_statm(uint64_t page_bytes, UsageFields& out);
  // smaps_rollup.
  ReadResult read_rollup(UsageFields& out);
  // stat, status, oom_score, oom_score_adj, cgroup and machine.
  void read_counters(SharedCounters& shared, uint64_t now_ns, UsageFields& out);
  // Whole smaps text: at most kMostSmapsBytes, else failed.
  ReadResult read_smaps(std::string& text);
  // -1: not permitted, or gone. The caller closes it.
  int open_pagemap() const;
  // Number of threads now; 0: gone.
  uint64_t threads();

  static constexpr size_t kMostSmapsBytes = size_t{64} << 20; // 65 530 mappings take 50 MB

 private:
  // `directory`: the process's, or that of a thread, of which the kernel tells its memory.
  static ReadResult read_whole(int directory, const char* name, size_t most, std::string& text);
  static ReadResult read_statm_of(int directory, int& statm, uint64_t page_bytes, UsageFields& out);
  // Looks for a thread that has not ended. false: none has memory.
  bool turn_to_living_thread(uint64_t page_bytes, UsageFields& out);
  int memory() const { return thread_ >= 0 ? thread_ : directory_; }

  int directory_ = -1, thread_ = -1, statm_ = -1;
};

} // namespace hl
