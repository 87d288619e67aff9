// Reading, checking and atomically replacing a cache file.
#include "symbols/result_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <unordered_map>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "symbols/byte_cursor.h"
#include "symbols/module_files.h"

namespace hl {

namespace {

constexpr char kMagic[8] = {'H', 'L', 'S', 'Y', 'M', 'C', '0', '1'};
constexpr size_t kChecksummedFrom = 16;
constexpr uint64_t kEntryBytes = 16;
constexpr uint64_t kFrameBytes = 24;

template <typename T> void put(std::vector<uint8_t>& out, T value) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}

bool write_all(int fd, const std::vector<uint8_t>& bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    ssize_t wrote = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (wrote <= 0)
      return false;
    done += static_cast<size_t>(wrote);
  }
  return true;
}

// Removes the files least recently written until the directory is within its limit.
void trim_directory(const std::string& directory, uint64_t limit_bytes) {
  namespace fs = std::filesystem;
  struct Known {
    fs::file_time_type written;
    uint64_t bytes;
    fs::path path;
  };
  std::vector<Known> files;
  uint64_t total = 0;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() != ".symbols")
      continue;
    std::error_code ignored;
    uint64_t bytes = it->file_size(ignored);
    if (ignored)
      continue;
    files.push_back({it->last_write_time(ignored), bytes, it->path()});
    total += bytes;
  }
  std::sort(files.begin(), files.end(), [](const Known& a, const Known& b) { return a.written < b.written; });
  for (const Known& file : files) {
    if (total <= limit_bytes)
      break;
    fs::remove(file.path, error);
    total -= file.bytes;
  }
}

} // namespace

std::string default_cache_directory() {
  const char* base = std::getenv("XDG_CACHE_HOME");
  if (base != nullptr && base[0] == '/')
    return std::string(base) + "/heapledger";
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/')
    return std::string(home) + "/.cache/heapledger";
  return {};
}

ResultCache::ResultCache(std::string directory, const std::vector<uint8_t>& build_id, uint64_t fingerprint,
                         StringPool& pool)
    : directory_(std::move(directory)), build_id_(build_id), fingerprint_(fingerprint), pool_(pool) {
  if (!read_file(file_path())) {
    entries_.clear();
    frames_.clear();
  }
}

std::string ResultCache::file_path() const {
  return directory_ + "/" + build_id_text(build_id_) + ".symbols";
}

bool ResultCache::read_file(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return false;
  struct stat status {};
  std::vector<uint8_t> bytes;
  bool is_good = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 &&
                 static_cast<uint64_t>(status.st_size) <= kMaxFileBytes;
  if (is_good) {
    bytes.resize(static_cast<size_t>(status.st_size));
    size_t got = 0;
    while (got < bytes.size()) {
      ssize_t count = ::read(fd, bytes.data() + got, bytes.size() - got);
      if (count <= 0)
        break;
      got += static_cast<size_t>(count);
    }
    is_good = got == bytes.size();
  }
  ::close(fd);
  return is_good && parse(bytes);
}

bool ResultCache::parse(const std::vector<uint8_t>& bytes) {
  ByteCursor cursor{Bytes(bytes)};
  Bytes magic = cursor.bytes(sizeof kMagic);
  uint64_t checksum = cursor.u64();
  if (cursor.failed() || std::memcmp(magic.data(), kMagic, sizeof kMagic) != 0)
    return false;
  if (XXH3_64bits(bytes.data() + kChecksummedFrom, bytes.size() - kChecksummedFrom) != checksum)
    return false;
  if (cursor.u64() != fingerprint_)
    return false;
  Bytes build_id = cursor.bytes(cursor.u32());
  if (!std::equal(build_id.begin(), build_id.end(), build_id_.begin(), build_id_.end()))
    return false;
  uint64_t entry_count = cursor.u32();
  uint64_t frame_count = cursor.u32();
  uint64_t string_count = cursor.u32();
  if (entry_count * kEntryBytes + frame_count * kFrameBytes + string_count * 4 > cursor.remaining()) {
    return false;
  }
  ByteCursor entries{cursor.bytes(entry_count * kEntryBytes)};
  ByteCursor frames{cursor.bytes(frame_count * kFrameBytes)};
  std::vector<StringId> strings;
  for (uint64_t i = 0; i < string_count && !cursor.failed(); ++i) {
    Bytes text = cursor.bytes(cursor.u32());
    strings.push_back(pool_.intern({reinterpret_cast<const char*>(text.data()), text.size()}));
  }
  if (cursor.failed())
    return false;
  auto string_at = [&](uint32_t index) { return index < strings.size() ? strings[index] : StringId::kEmpty; };
  for (uint64_t i = 0; i < frame_count; ++i) {
    Frame frame;
    frame.function = string_at(frames.u32());
    frame.linkage_name = string_at(frames.u32());
    frame.file = string_at(frames.u32());
    frame.line = frames.u32();
    frame.column = frames.u32();
    frame.inlined = frames.u8() != 0;
    frame.source =
        static_cast<NameSource>(std::min<uint8_t>(frames.u8(), uint8_t(NameSource::kModuleOffset)));
    frames.skip(2);
    frames_.push_back(frame);
  }
  for (uint64_t i = 0; i < entry_count; ++i) {
    Entry entry{};
    entry.address = entries.u64();
    entry.first_frame = entries.u32();
    entry.frame_count = entries.u32();
    bool is_inside = entry.frame_count != 0 && uint64_t{entry.first_frame} + entry.frame_count <= frame_count;
    bool ascends = entries_.empty() || entries_.back().address < entry.address;
    if (!is_inside || !ascends)
      return false;
    entries_.push_back(entry);
  }
  return true;
}

std::vector<Frame> ResultCache::find(uint64_t address) {
  auto found = std::lower_bound(entries_.begin(), entries_.end(), address,
                                [](const Entry& entry, uint64_t a) { return entry.address < a; });
  if (found == entries_.end() || found->address != address)
    return {};
  auto first = frames_.begin() + found->first_frame;
  return {first, first + found->frame_count};
}

void ResultCache::add(uint64_t address, std::span<const Frame> frames) {
  added_.push_back({address, static_cast<uint32_t>(frames_.size()), static_cast<uint32_t>(frames.size())});
  frames_.insert(frames_.end(), frames.begin(), frames.end());
}

std::vector<uint8_t> ResultCache::serialize() const {
  std::vector<Entry> entries = entries_;
  entries.insert(entries.end(), added_.begin(), added_.end());
  auto by_address = [](const Entry& a, const Entry& b) { return a.address < b.address; };
  auto same_address = [](const Entry& a, const Entry& b) { return a.address == b.address; };
  std::stable_sort(entries.begin(), entries.end(), by_address);
  entries.erase(std::unique(entries.begin(), entries.end(), same_address), entries.end());

  std::unordered_map<uint32_t, uint32_t> numbers;
  std::vector<StringId> strings;
  auto number_of = [&](StringId id) {
    auto [slot, is_new] =
        numbers.try_emplace(static_cast<uint32_t>(id), static_cast<uint32_t>(strings.size()));
    if (is_new)
      strings.push_back(id);
    return slot->second;
  };
  std::vector<uint8_t> frames;
  for (const Frame& frame : frames_) {
    put(frames, number_of(frame.function));
    put(frames, number_of(frame.linkage_name));
    put(frames, number_of(frame.file));
    put(frames, frame.line);
    put(frames, frame.column);
    put(frames, static_cast<uint8_t>(frame.inlined));
    put(frames, static_cast<uint8_t>(frame.source));
    put(frames, uint16_t{0});
  }
  std::vector<uint8_t> out(kMagic, kMagic + sizeof kMagic);
  put(out, uint64_t{0});
  put(out, fingerprint_);
  put(out, static_cast<uint32_t>(build_id_.size()));
  out.insert(out.end(), build_id_.begin(), build_id_.end());
  put(out, static_cast<uint32_t>(entries.size()));
  put(out, static_cast<uint32_t>(frames_.size()));
  put(out, static_cast<uint32_t>(strings.size()));
  for (const Entry& entry : entries) {
    put(out, entry.address);
    put(out, entry.first_frame);
    put(out, entry.frame_count);
  }
  out.insert(out.end(), frames.begin(), frames.end());
  for (StringId id : strings) {
    std::string_view text = pool_.text(id);
    put(out, static_cast<uint32_t>(text.size()));
    out.insert(out.end(), text.begin(), text.end());
  }
  uint64_t checksum = XXH3_64bits(out.data() + kChecksummedFrom, out.size() - kChecksummedFrom);
  std::memcpy(out.data() + sizeof kMagic, &checksum, sizeof checksum);
  return out;
}

void ResultCache::save() const {
  if (added_.empty())
    return;
  std::error_code error;
  std::filesystem::create_directories(directory_, error);
  if (error)
    return;
  std::vector<uint8_t> bytes = serialize();
  if (bytes.size() > kMaxFileBytes)
    return;
  std::string temporary = directory_ + "/.writing-XXXXXX";
  int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0)
    return;
  bool is_written = write_all(fd, bytes);
  is_written = ::close(fd) == 0 && is_written;
  if (!is_written || ::rename(temporary.c_str(), file_path().c_str()) != 0) {
    ::unlink(temporary.c_str());
    return;
  }
  trim_directory(directory_, kMaxDirectoryBytes);
}

} // namespace hl
