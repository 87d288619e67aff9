// A profile as a file: the cache beside a trace, and the small baseline that a CI keeps instead of one.
//
// Little-endian. A header of 96 bytes, then one zstd frame:
//
//   offset  size  field
//        0     8  magic "HLPROF1\n"
//        8     4  version (kProfileVersion); others are not read
//       12     4  header_bytes, 96: the frame starts there
//       16     8  XXH64 of every byte from offset 24 to the end
//       24    16  UUID of the trace
//       40     8  bytes of the trace file
//       48     8  hash over the headers of its chunks, each of which has the hash of its payload
//       56     8  hash of the moment
//       64     8  hash of what names depend on: search options, size and time of each module's files
//       72     8  bytes of the frame when decompressed
//       80     8  bytes of the frame
//       88     8  0
//
// Inside, numbers are LEB128, texts a length and bytes:
//   identity: uuid, command, executable, host, moment, troubles (count, texts); pid, started, duration, flags
//             (1 complete, 2 scanned), lost events
//   metrics:  count, then for each its name, flags (1 of the run, 2 of sites), total
//   marks:    count, then for each name and count
//   strings:  count - 1, texts            (number 0 is the empty text)
//   modules:  count - 1, then path, build id, is_main
//   frames:   count - 1, columns: function, file, module, line, flags
//   nodes:    count - 1, columns: own number - parent, frame
//   sites:    count, columns: node - node before (zigzag), then one for each metric of sites
//
// A reader trusts nothing: what does not fit its checksum, its bounds or the trace is no profile.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "diff/run_profile.h"
#include "reader/trace_metadata.h"

namespace hl {

inline constexpr uint32_t kProfileVersion = 1;

// What a cached profile belongs to; all zeros in a baseline.
struct ProfileKey {
  Uuid trace_uuid{};
  uint64_t trace_bytes = 0;
  uint64_t trace_hash = 0;
  uint64_t moment_hash = 0;
  uint64_t names_hash = 0;
  friend bool operator==(const ProfileKey&, const ProfileKey&) = default;
};
std::vector<uint8_t> serialize_profile(const RunProfile& profile, const ProfileKey& key = {},
                                       int compression_level = 3);
// nullopt: damaged, of another version, or, with `expected`, of another trace.
std::optional<RunProfile> parse_profile(std::span<const uint8_t> bytes, const ProfileKey* expected = nullptr);

// Whether the file begins as a profile does; a trace does not.
bool is_profile_file(const std::string& path);
// nullopt: no such file, or parse_profile() refuses it.
std::optional<RunProfile> load_profile(const std::string& path, const ProfileKey* expected = nullptr);
// Replaces the file as a whole or leaves it. false: it could not be written; errno says why.
bool save_profile(const std::string& path, const RunProfile& profile, const ProfileKey& key = {},
                  int compression_level = 3);

} // namespace hl
