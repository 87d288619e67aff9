// Finds the chunks of a trace file: the layer that knows frames and hashes and nothing of what is inside.
//
// A whole chunk has a header whose hash is right and a payload that lies in the file and whose hash is
// right. Where a header is damaged the scanner looks for the next one at a multiple of 8; where only the
// payload is, the chunk is skipped by its length. Every byte passed over is reported to the log, so that
// nothing is missing silently.
#pragma once

#include <cstdint>
#include <vector>

#include "heapledger/trace_format.h"
#include "reader/input_file.h"
#include "reader/trace_error.h"

namespace hl {

struct ChunkPlace {
  uint64_t offset; // of the header
  uint64_t payload_bytes;
  uint64_t first_ticks, last_ticks;
  uint64_t count;
  ChunkKind kind;
  uint16_t flags;
  uint32_t sequence;
};

// Payloads larger than this are taken for damage: the recorder's are a few MiB.
inline constexpr uint64_t kMaxPayloadBytes = uint64_t{256} << 20;

class ChunkScanner {
 public:
  ChunkScanner(const InputFile& file, uint64_t first_offset, ProblemLog& problems)
      : file_(file), position_(first_offset), problems_(problems) {}

  // The next chunk whose header is whole and whose payload lies inside the file. false: at the end.
  bool next(ChunkPlace& out);

  // After next() returned false: the file ends inside a chunk.
  bool truncated() const { return truncated_; }

 private:
  bool find_header(uint64_t from, uint64_t& found);

  const InputFile& file_;
  uint64_t position_;
  ProblemLog& problems_;
  bool truncated_ = false;
  std::vector<uint8_t> window_;
};

// Whether these 64 bytes are a chunk header.
bool is_chunk_header(const ChunkHeader& header);

// Reads and verifies the payload at `place`. false and a problem in the log if it is damaged.
bool read_payload(const InputFile& file, const ChunkPlace& place, std::vector<uint8_t>& out,
                  ProblemLog& problems);

// Every chunk of a cleanly closed file, from its index, without touching the others. Empty: no usable index.
std::vector<ChunkPlace> read_index(const InputFile& file, uint64_t first_offset);

} // namespace hl
