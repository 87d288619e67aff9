// Appends whole, checksummed chunks to one trace file. A chunk that could not be written whole (full disk) is
// cut off again, so that the file always ends with a whole chunk or, after a crash, with one torn chunk that
// reopening cuts off. Never overwrites a file it did not create: reopening demands the trace's UUID.
//
// What append() has said to be written, nobody else has any more. Over a network (NFS, SMB, sshfs) a write
// succeeds before the server has said whether it has room, so there each chunk is waited for (fdatasync). On
// a disk of this machine room is taken by the write itself.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "heapledger/trace_format.h"

namespace hl {

class TraceFile {
 public:
  // Creates `path`; null with errno set when that fails (EEXIST: there is one already).
  static std::unique_ptr<TraceFile> create(const std::string& path, const uint8_t (&uuid)[16],
                                           const uint8_t (&session_uuid)[16]);
  // Opens the trace again that an earlier recorder wrote: checks the UUID, cuts a torn end off, and shows
  // every whole chunk to `visit` (payload only for the kinds small enough to matter: all but the data of big
  // events chunks, of which the first kVisitBytes are shown). null: not that trace. A cleanly closed trace is
  // opened as closed().
  using Visit = std::function<void(const ChunkHeader&, std::span<const uint8_t>)>;
  static constexpr size_t kVisitBytes = 256 * 1024;
  static std::unique_ptr<TraceFile> reopen(const std::string& path, const uint8_t (&uuid)[16],
                                           const Visit& visit);
  ~TraceFile();
  TraceFile(const TraceFile&) = delete;
  TraceFile& operator=(const TraceFile&) = delete;

  struct ChunkInfo {
    ChunkKind kind;
    uint64_t first_ticks = 0, last_ticks = 0, count = 0;
    bool essential = false;
  };
  // Is there room on the disk for so many bytes that nobody must have, and for the events to come?
  bool has_room(uint64_t bytes) const;
  // false: nothing was written; error() says why.
  bool append(const ChunkInfo& info, std::span<const uint8_t> payload);
  // Writes index and end. Afterwards the file is closed.
  bool finish(uint64_t events);

  bool closed() const { return closed_; }
  int error() const { return error_; }
  uint64_t bytes() const { return bytes_; }
  const std::string& path() const { return path_; }
  bool rename_to(const std::string& path); // same directory; fails if `path` exists

 private:
  TraceFile() = default;
  bool write_at_end(std::span<const uint8_t> head, std::span<const uint8_t> payload);
  bool write_parts(std::span<const uint8_t> head, std::span<const uint8_t> payload);
  void look_at_file_system();

  std::string path_;
  int fd_ = -1;
  int error_ = 0;
  bool tells_errors_late_ = false;
  bool closed_ = false;
  uint64_t bytes_ = 0;
  uint32_t next_sequence_ = 0;
  std::vector<IndexEntry> index_;
};

} // namespace hl
