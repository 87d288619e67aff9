// See trace_file.h.
#include "trace_file.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "platform/file_system_kind.h"

namespace hl {

namespace {

constexpr uint64_t padded(uint64_t bytes) {
  return (bytes + 7) & ~uint64_t{7};
}

template <typename T> std::span<const uint8_t> bytes_of(const T& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof(T)};
}

bool read_exactly(int fd, void* to, size_t bytes, uint64_t offset) {
  auto* p = static_cast<char*>(to);
  while (bytes != 0) {
    const ssize_t got = pread(fd, p, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return false;
    p += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<size_t>(got);
  }
  return true;
}

bool payload_is_whole(int fd, const ChunkHeader& h, uint64_t offset) {
  std::vector<uint8_t> payload(h.payload_bytes);
  return read_exactly(fd, payload.data(), payload.size(), offset + sizeof(h)) &&
         XXH3_64bits(payload.data(), payload.size()) == h.payload_hash;
}

} // namespace

std::unique_ptr<TraceFile> TraceFile::create(const std::string& path, const uint8_t (&uuid)[16],
                                             const uint8_t (&session_uuid)[16]) {
  std::unique_ptr<TraceFile> file(new TraceFile);
  file->path_ = path;
  file->fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file->fd_ < 0 && errno == EEXIST) {
    // Without a byte, it is what an earlier recorder left that was killed right here: this trace, or one like
    // it.
    struct stat info;
    if (lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && info.st_size == 0 &&
        unlink(path.c_str()) == 0)
      file->fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    else
      errno = EEXIST;
  }
  if (file->fd_ < 0)
    return nullptr;
  file->look_at_file_system();
  TracePreamble preamble{};
  preamble.magic = kTraceMagic;
  preamble.version = kTraceVersion;
  preamble.preamble_bytes = sizeof(preamble);
  std::memcpy(preamble.uuid, uuid, sizeof(preamble.uuid));
  std::memcpy(preamble.session_uuid, session_uuid, sizeof(preamble.session_uuid));
  preamble.hash = XXH3_64bits(&preamble, offsetof(TracePreamble, hash));
  if (!file->write_at_end(bytes_of(preamble), {})) {
    unlink(path.c_str());
    errno = file->error_;
    return nullptr;
  }
  return file;
}

std::unique_ptr<TraceFile> TraceFile::reopen(const std::string& path, const uint8_t (&uuid)[16],
                                             const Visit& visit) {
  std::unique_ptr<TraceFile> file(new TraceFile);
  file->path_ = path;
  file->fd_ = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (file->fd_ < 0)
    return nullptr;
  file->look_at_file_system();
  TracePreamble preamble;
  if (!read_exactly(file->fd_, &preamble, sizeof(preamble), 0) || preamble.magic != kTraceMagic ||
      preamble.version != kTraceVersion || std::memcmp(preamble.uuid, uuid, sizeof(preamble.uuid)) != 0)
    return nullptr;
  struct stat info;
  if (fstat(file->fd_, &info) != 0)
    return nullptr;
  const uint64_t size = static_cast<uint64_t>(info.st_size);

  // Chunks were appended one after the other: only the last can be torn.
  uint64_t at = sizeof(preamble);
  std::vector<uint8_t> shown;
  ChunkHeader h;
  while (at + sizeof(h) <= size && read_exactly(file->fd_, &h, sizeof(h), at) && h.magic == kChunkMagic &&
         h.header_hash == XXH3_64bits(&h, offsetof(ChunkHeader, header_hash)) &&
         h.payload_bytes <= size - at - sizeof(h)) {
    const uint64_t next = at + sizeof(h) + padded(h.payload_bytes);
    if (next >= size && (next > size || !payload_is_whole(file->fd_, h, at)))
      break;
    shown.resize(std::min<uint64_t>(h.payload_bytes, kVisitBytes));
    if (!read_exactly(file->fd_, shown.data(), shown.size(), at + sizeof(h)))
      break;
    visit(h, shown);
    file->index_.push_back(
        {at, h.payload_bytes, h.first_ticks, h.last_ticks, h.count, h.kind, h.flags, h.sequence});
    file->next_sequence_ = h.sequence + 1;
    file->closed_ = h.kind == static_cast<uint16_t>(ChunkKind::end);
    at = next;
  }
  if (at < size && ftruncate(file->fd_, static_cast<off_t>(at)) != 0)
    return nullptr;
  file->bytes_ = at;
  // An index without its end: cut off too, it is written again.
  if (!file->closed_ && !file->index_.empty() &&
      file->index_.back().kind == static_cast<uint16_t>(ChunkKind::index)) {
    const uint64_t index_at = file->index_.back().offset;
    if (ftruncate(file->fd_, static_cast<off_t>(index_at)) != 0)
      return nullptr;
    file->bytes_ = index_at;
    file->next_sequence_ = file->index_.back().sequence;
    file->index_.pop_back();
  }
  return file;
}

TraceFile::~TraceFile() {
  if (fd_ >= 0)
    close(fd_);
}

void TraceFile::look_at_file_system() {
  struct statfs info;
  tells_errors_late_ = fstatfs(fd_, &info) == 0 && sys::tells_errors_late(static_cast<uint32_t>(info.f_type));
}

bool TraceFile::write_at_end(std::span<const uint8_t> head, std::span<const uint8_t> payload) {
  bool good = write_parts(head, payload);
  if (good && tells_errors_late_ && fdatasync(fd_) != 0 && errno != EINVAL && errno != ENOSYS) {
    error_ = errno;
    good = false;
  }
  if (good)
    bytes_ += padded(head.size() + payload.size());
  else if (ftruncate(fd_, static_cast<off_t>(bytes_)) != 0)
    return false; // best effort: a torn end is found by its hash too
  return good;
}

bool TraceFile::write_parts(std::span<const uint8_t> head, std::span<const uint8_t> payload) {
  static constexpr uint8_t kZeros[8] = {};
  const size_t padding = padded(payload.size()) - payload.size();
  iovec parts[3] = {{const_cast<uint8_t*>(head.data()), head.size()},
                    {const_cast<uint8_t*>(payload.data()), payload.size()},
                    {const_cast<uint8_t*>(kZeros), padding}};
  const uint64_t wanted = head.size() + payload.size() + padding;
  uint64_t written = 0;
  iovec* next = parts;
  while (written < wanted) {
    const ssize_t got =
        pwritev(fd_, next, static_cast<int>(parts + 3 - next), static_cast<off_t>(bytes_ + written));
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0) {
      error_ = got < 0 ? errno : ENOSPC;
      return false;
    }
    written += static_cast<uint64_t>(got);
    size_t skip = static_cast<size_t>(got);
    while (next < parts + 3 && skip >= next->iov_len)
      skip -= next++->iov_len;
    if (next < parts + 3) {
      next->iov_base = static_cast<uint8_t*>(next->iov_base) + skip;
      next->iov_len -= skip;
    }
  }
  return true;
}

bool TraceFile::has_room(uint64_t bytes) const {
  constexpr uint64_t kForEvents = uint64_t{16} << 20;
  struct statvfs disk;
  return fstatvfs(fd_, &disk) != 0 || uint64_t{disk.f_bavail} * disk.f_frsize >= bytes + kForEvents;
}

bool TraceFile::append(const ChunkInfo& info, std::span<const uint8_t> payload) {
  ChunkHeader h{};
  h.magic = kChunkMagic;
  h.kind = static_cast<uint16_t>(info.kind);
  h.flags = info.essential ? uint16_t{kChunkEssential} : uint16_t{0};
  h.payload_bytes = payload.size();
  h.first_ticks = info.first_ticks;
  h.last_ticks = info.last_ticks;
  h.count = info.count;
  h.payload_hash = XXH3_64bits(payload.data(), payload.size());
  h.sequence = next_sequence_;
  h.header_hash = XXH3_64bits(&h, offsetof(ChunkHeader, header_hash));
  const uint64_t at = bytes_;
  if (!write_at_end(bytes_of(h), payload))
    return false;
  next_sequence_++;
  index_.push_back({at, h.payload_bytes, h.first_ticks, h.last_ticks, h.count, h.kind, h.flags, h.sequence});
  return true;
}

bool TraceFile::finish(uint64_t events) {
  const uint64_t index_at = bytes_;
  const std::vector<IndexEntry> index = index_;
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(index.data()),
                                       index.size() * sizeof(IndexEntry));
  if (!append({.kind = ChunkKind::index, .count = index.size()}, bytes))
    return false;
  const EndPayload end{index_at, index.size() + 1, events, bytes_};
  if (!append({.kind = ChunkKind::end}, bytes_of(end)))
    return false;
  closed_ = true;
  return true;
}

bool TraceFile::rename_to(const std::string& path) {
  if (link(path_.c_str(), path.c_str()) != 0)
    return false;
  unlink(path_.c_str());
  path_ = path;
  return true;
}

} // namespace hl
