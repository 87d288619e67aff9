// Fuzzes the reader of saved profiles. The input is what a profile's zstd frame holds; header and checksum
// are made to fit, or nothing would get past them. A profile that was read must be whole: every index in
// bounds, every walk outward ends, and written and read again it is the same.
#include <zstd.h>

#include <cstdlib>
#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "diff/profile_file.h"

using namespace hl;

namespace {

std::vector<uint8_t> framed(const uint8_t* data, size_t size) {
  constexpr size_t kHeader = 96;
  std::vector<uint8_t> bytes(kHeader + ZSTD_compressBound(size));
  const size_t stored = ZSTD_compress(bytes.data() + kHeader, bytes.size() - kHeader, data, size, -5);
  bytes.resize(kHeader + stored);
  const auto put = [&](size_t at, const auto& value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
  };
  std::memcpy(bytes.data(), "HLPROF1\n", 8);
  put(8, kProfileVersion);
  put(12, uint32_t{kHeader});
  put(72, uint64_t{size});
  put(80, uint64_t{stored});
  put(16, uint64_t{XXH64(bytes.data() + 24, bytes.size() - 24, 0)});
  return bytes;
}

void check(const RunProfile& profile) {
  for (const ProfileFrame& frame : profile.frames)
    if (frame.function >= profile.strings.size() || frame.file >= profile.strings.size() ||
        frame.module >= profile.modules.size())
      std::abort();
  for (size_t i = 1; i < profile.nodes.size(); ++i)
    if (profile.nodes[i].parent >= i || profile.nodes[i].frame >= profile.frames.size())
      std::abort();
  for (const ProfileSite& site : profile.sites) {
    if (site.node >= profile.nodes.size())
      std::abort();
    profile.leading_frame(site.node);
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  parse_profile({data, size});
  const std::optional<RunProfile> profile = parse_profile(framed(data, size));
  if (!profile)
    return 0;
  check(*profile);
  const std::vector<uint8_t> again = serialize_profile(*profile);
  const std::optional<RunProfile> reread = parse_profile(again);
  if (!reread || reread->sites.size() != profile->sites.size() ||
      reread->nodes.size() != profile->nodes.size() || reread->strings != profile->strings ||
      reread->frames != profile->frames)
    std::abort();
  return 0;
}
