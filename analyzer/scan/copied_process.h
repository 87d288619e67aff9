// A forked copy of a process, made by a thread of it that waits for the scan, for where ptrace is refused:
// its memory, and what is known of its threads. Of the thread that forked, the registers its callers may
// count on; of others, where their stacks are, but not how much of them is in use.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "heapledger/copy_window.h"
#include "reader/trace_metadata.h"
#include "scan/memory_image.h"
#include "scan/page_runs.h"
#include "scan/process_maps.h"
#include "scan/recorder_channel.h"
#include "scan/stopped_process.h"

namespace hl {

class CopiedProcess : public MemoryReader {
 public:
  // Has process `pid` asked for the copy and waits until it is there. Throws ScanFailed (refused) if none
  // comes.
  CopiedProcess(uint32_t pid, const std::string& session_path, const Uuid& trace_uuid,
                RecorderChannel& channel);
  ~CopiedProcess() override;
  CopiedProcess(const CopiedProcess&) = delete;
  CopiedProcess& operator=(const CopiedProcess&) = delete;

  // Pages the process does not have read as zeros. Throws ScanFailed (gone) if the copy does not answer.
  void read(std::span<Piece> pieces) override;

  const std::vector<MapsEntry>& maps() const { return maps_; }
  std::vector<ThreadContext> contexts();
  uint32_t main_tid() const { return main_tid_; }
  // Events with later stamps happened after the copy was made. UINT64_MAX: not known.
  uint64_t fork_ticks() const { return window_->fork_ticks == 0 ? UINT64_MAX : window_->fork_ticks; }

 private:
  void make_window(uint32_t pid, const Uuid& trace_uuid);
  // Why there is none; "": there is.
  std::string await_copy(RecorderChannel& channel);
  uint64_t ask(CopyRequest kind, uint64_t address, uint64_t bytes);
  uint64_t fetch(CopyRequest kind, uint64_t address, uint8_t* to, uint64_t bytes);
  bool has_page(uint64_t page);
  void add_other_threads(std::vector<ThreadContext>& found);

  std::string path_;
  int descriptor_ = -1;
  CopyWindow* window_ = nullptr;
  std::vector<MapsEntry> maps_;
  uint32_t main_tid_ = 0;
  PagemapWindow pages_;
};

} // namespace hl
