// Reads a session file (the shared memory of shim and recorder) after everybody who mapped it is gone, or,
// for one that nobody drained, as the whole recording. Nothing here writes to it or maps it, and every index
// found in it is bounded: it may have been left in any state.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "heapledger/block_events.h"
#include "heapledger/session_layout.h"
#include "reader/input_file.h"
#include "reader/module_table.h"
#include "reader/node_table.h"
#include "reader/trace_error.h"
#include "reader/trace_metadata.h"

namespace hl {

// An event block with something in it.
struct SessionEventBlock {
  uint32_t index; // of the block
  uint32_t process_slot;
  uint32_t tid, thread_index;
  uint64_t sequence;
  uint32_t flags; // EventBlockFlags
  uint32_t committed_bytes;
  BlockCursor base;
};

// Whether a file of this name may be a session file: session (in a run directory), NAME.session, NAME.hls.
bool is_session_name(const std::string& file_name);

class SessionFile {
 public:
  // Throws TraceError if the file is no session file of a version we know.
  explicit SessionFile(const std::string& path);

  // Whether the file at `path` begins like a session file.
  static bool looks_like_one(const InputFile& file);

  const std::string& path() const { return file_.path(); }
  Uuid uuid() const;
  const SessionHeader& header() const { return *header_; }

  // Is the recorder that writes into it alive on this machine?
  bool recorder_alive() const;

  struct Image {
    uint32_t slot = 0;
    std::shared_ptr<const SessionProcess> process;
    uint32_t generation() const { return process->generation; }
    Uuid uuid() const;
  };
  // Process images that have a slot, by generation.
  const std::vector<Image>& images() const { return images_; }
  const Image* find_image(const Uuid& trace_uuid) const;

  // Adds the image's nodes and modules; what cannot be is left out and told to the log.
  void load_tables(const Image& image, NodeTable& nodes, ModuleTable& modules, ProblemLog& problems) const;
  // Adds what the image's block says of the recording: identity only where `out` has no header yet; losses
  // and walk ends always, they are newer than any chunk's.
  void load_metadata(const Image& image, TraceMetadata& out) const;

  // Event blocks of the image, by sequence.
  std::vector<SessionEventBlock> event_blocks(const Image& image) const;
  // Payload of an event block up to its committed length.
  bool read_events(const SessionEventBlock& block, std::vector<uint8_t>& out) const;

 private:
  bool read_block(uint32_t index, void* out) const;

  InputFile file_;
  std::shared_ptr<SessionHeader> header_;
  uint32_t blocks_ = 0; // that lie in the file
  std::vector<Image> images_;
};

} // namespace hl
