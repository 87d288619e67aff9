// Fuzzes the trace reader. Hashes would stop every mutation at the door, so each input is read twice: as it
// is, and with the hashes of preamble and chunks made right, so that mutations reach the parsers behind them.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>

#include "read_everything.h"

namespace {

using namespace hl;

void make_hashes_right(std::vector<uint8_t>& bytes) {
  if (bytes.size() < sizeof(TracePreamble))
    return;
  TracePreamble preamble;
  std::memcpy(&preamble, bytes.data(), sizeof preamble);
  preamble.magic = kTraceMagic;
  preamble.version = kTraceVersion;
  preamble.preamble_bytes = sizeof preamble;
  std::memset(preamble.session_uuid, 0, sizeof preamble.session_uuid); // or it would look for session files
  preamble.hash = XXH3_64bits(&preamble, offsetof(TracePreamble, hash));
  std::memcpy(bytes.data(), &preamble, sizeof preamble);
  for (size_t at = sizeof preamble; at + sizeof(ChunkHeader) <= bytes.size();) {
    ChunkHeader header;
    std::memcpy(&header, &bytes[at], sizeof header);
    const uint64_t room = bytes.size() - at - sizeof header;
    header.magic = kChunkMagic;
    if (header.payload_bytes > room)
      header.payload_bytes = room;
    header.payload_hash = XXH3_64bits(&bytes[at + sizeof header - 1] + 1, header.payload_bytes);
    header.header_hash = XXH3_64bits(&header, offsetof(ChunkHeader, header_hash));
    std::memcpy(&bytes[at], &header, sizeof header);
    at += sizeof header + ((header.payload_bytes + 7) & ~uint64_t{7});
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  {
    const MemoryFile file(data, size);
    read_everything(file.path());
  }
  std::vector<uint8_t> repaired(data, data + size);
  make_hashes_right(repaired);
  const MemoryFile file(repaired.data(), repaired.size());
  read_everything(file.path());
  return 0;
}
