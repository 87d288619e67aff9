// Answers of earlier runs, one file per build-id in $XDG_CACHE_HOME/heapledger: address -> frames.
//
// Worth having only for modules with debug information; symbol tables are faster than a cache of them. The
// file is believed only if version, build-id, the fingerprint of the files it came from and the XXH3 of its
// contents agree, so that installing a debug package or a torn write costs a new lookup, never a wrong
// answer. It is replaced by rename(2): readers see the old or the new one. Where nothing can be written,
// nothing is.
//
//   offset  size  field (little-endian)
//        0     8  magic "HLSYMC01"
//        8     8  XXH3-64 of every byte from offset 16 to the end
//       16     8  fingerprint of the source files
//       24     4  length of the build-id, then its bytes
//        …   4×3  number of entries, frames, strings
//        …    16  each entry: address u64, first frame u32, number of frames u32; ascending addresses
//        …    24  each frame: function, linkage name, file (string numbers), line, column u32; inlined,
//        source u8; 0 u16 …     …  each string: length u32, bytes
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "symbols/string_pool.h"
#include "symbols/symbolizer.h"

namespace hl {

class ResultCache {
 public:
  static constexpr uint64_t kMaxFileBytes = 64 << 20;
  static constexpr uint64_t kMaxDirectoryBytes = 1ull << 30; // oldest files go first

  // Opens the cache of one build in `directory`; a missing or unusable file is an empty cache.
  ResultCache(std::string directory, const std::vector<uint8_t>& build_id, uint64_t fingerprint,
              StringPool& pool);

  // Frames of an address; empty if it is not in the cache.
  std::vector<Frame> find(uint64_t address);
  void add(uint64_t address, std::span<const Frame> frames);
  // Writes old and new entries, if there are new ones. Failure is silent: a cache is a convenience.
  void save() const;
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    uint64_t address;
    uint32_t first_frame;
    uint32_t frame_count;
  };
  std::string file_path() const;
  bool read_file(const std::string& path);
  bool parse(const std::vector<uint8_t>& bytes);
  std::vector<uint8_t> serialize() const;

  std::string directory_;
  std::vector<uint8_t> build_id_;
  uint64_t fingerprint_;
  StringPool& pool_;
  std::vector<Entry> entries_; // as loaded: sorted by address
  std::vector<Entry> added_;
  std::vector<Frame> frames_;
};

// $XDG_CACHE_HOME/heapledger, or ~/.cache/heapledger; "" if neither can be told.
std::string default_cache_directory();

} // namespace hl
