// See calls_in_progress.h.
#include "scan/calls_in_progress.h"

#include <algorithm>
#include <cstddef>

#include "heapledger/session_layout.h"
#include "reader/session_file.h"
#include "reader/trace_error.h"

namespace hl {
namespace {

// The beginning of an event block, up to its floor, without the atomics: the writer stands still.
struct BlockHead {
  uint32_t kind, process_slot, tid, thread_index;
  uint64_t sequence, base_ticks, base_address;
  uint32_t flags, index_in_directory, process_generation, reserved[3];
  uint32_t committed_bytes, sealed;
  uint64_t floor_ticks;
};
static_assert(offsetof(BlockHead, committed_bytes) == sizeof(BlockHeader));
static_assert(offsetof(BlockHead, process_generation) == offsetof(BlockHeader, process_generation));
static_assert(offsetof(BlockHead, floor_ticks) == offsetof(EventBlock, floor_ticks));

} // namespace

CallsInProgress::CallsInProgress(const std::string& session_path, const Uuid& trace_uuid) {
  try {
    const SessionFile session(session_path);
    const SessionFile::Image* const image = session.find_image(trace_uuid);
    if (image == nullptr)
      return;
    process_ = {image->slot, image->generation()};
    file_ = std::make_unique<InputFile>(session_path);
  } catch (const TraceError&) {
    file_ = nullptr;
  }
}

std::set<uint32_t> CallsInProgress::threads_inside() {
  std::set<uint32_t> inside;
  uint32_t blocks = 0;
  if (file_ == nullptr ||
      file_->read_at(offsetof(SessionHeader, blocks_available), &blocks, sizeof blocks) != sizeof blocks)
    return inside;
  std::vector<uint64_t> bitmap((std::min(blocks, kMaxBlocks) + 63) / 64, 0);
  file_->read_at(kBitmapOffset, bitmap.data(), bitmap.size() * 8);
  for (size_t word = 0; word < bitmap.size(); ++word) {
    for (uint64_t bits = bitmap[word]; bits != 0; bits &= bits - 1) {
      const uint32_t index = static_cast<uint32_t>(word * 64) + static_cast<uint32_t>(__builtin_ctzll(bits));
      BlockHead head;
      if (!file_->read_struct(block_offset(index), head))
        continue;
      if (head.kind == static_cast<uint32_t>(BlockKind::event) && head.process_slot == process_.slot &&
          head.process_generation == process_.generation && head.sealed == 0 && head.floor_ticks != 0)
        inside.insert(head.tid);
    }
  }
  return inside;
}

} // namespace hl
