// See chunk_scanner.h.
#include "reader/chunk_scanner.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstring>

namespace hl {
namespace {

constexpr uint64_t padded(uint64_t bytes) {
  return (bytes + 7) & ~uint64_t{7};
}

ChunkPlace place_of(const ChunkHeader& header, uint64_t offset) {
  return {offset,
          header.payload_bytes,
          header.first_ticks,
          header.last_ticks,
          header.count,
          static_cast<ChunkKind>(header.kind),
          header.flags,
          header.sequence};
}

} // namespace

bool is_chunk_header(const ChunkHeader& header) {
  return header.magic == kChunkMagic &&
         header.header_hash == XXH3_64bits(&header, offsetof(ChunkHeader, header_hash));
}

bool ChunkScanner::find_header(uint64_t from, uint64_t& found) {
  constexpr size_t kWindowBytes = 256 * 1024;
  window_.resize(kWindowBytes);
  for (uint64_t at = (from + 7) & ~uint64_t{7}; at + sizeof(ChunkHeader) <= file_.size();) {
    const size_t got = file_.read_at(at, window_.data(), kWindowBytes);
    if (got < sizeof(ChunkHeader))
      return false;
    const size_t last = (got - sizeof(ChunkHeader)) & ~size_t{7};
    for (size_t i = 0; i <= last; i += 8) {
      uint32_t magic;
      std::memcpy(&magic, &window_[i], 4);
      if (magic != kChunkMagic)
        continue;
      ChunkHeader header;
      std::memcpy(&header, &window_[i], sizeof header);
      if (is_chunk_header(header)) {
        found = at + i;
        return true;
      }
    }
    at += last + 8;
  }
  return false;
}

bool ChunkScanner::next(ChunkPlace& out) {
  while (position_ + sizeof(ChunkHeader) <= file_.size()) {
    ChunkHeader header;
    if (!file_.read_struct(position_, header))
      break;
    if (!is_chunk_header(header)) {
      uint64_t found;
      if (!find_header(position_ + 8, found)) {
        problems_.add(ProblemKind::damaged, position_,
                      "no whole chunk from byte " + std::to_string(position_) + " to the end of the file (" +
                          std::to_string(file_.size() - position_) + " bytes)");
        position_ = file_.size();
        truncated_ = true;
        return false;
      }
      problems_.add(ProblemKind::damaged, position_,
                    std::to_string(found - position_) + " bytes from byte " + std::to_string(position_) +
                        " are no whole chunk; reading goes on behind them");
      position_ = found;
      continue;
    }
    const uint64_t room = file_.size() - position_ - sizeof(ChunkHeader);
    if (header.payload_bytes > room) {
      problems_.add(ProblemKind::truncated, position_,
                    "the file ends inside the chunk at byte " + std::to_string(position_) + " (" +
                        std::to_string(header.payload_bytes - room) + " bytes missing)");
      truncated_ = true;
      // A damaged length cannot pass the header's hash, so nothing follows.
      position_ = file_.size();
      return false;
    }
    out = place_of(header, position_);
    position_ += sizeof(ChunkHeader) + padded(header.payload_bytes);
    return true;
  }
  if (position_ < file_.size()) {
    truncated_ = true;
    problems_.add(ProblemKind::truncated, position_, "the file ends inside a chunk header");
    position_ = file_.size();
  }
  return false;
}

bool read_payload(const InputFile& file, const ChunkPlace& place, std::vector<uint8_t>& out,
                  ProblemLog& problems) {
  const auto damaged = [&](const char* why) {
    problems.add(ProblemKind::damaged, place.offset,
                 "the chunk at byte " + std::to_string(place.offset) + " " + why + "; it is left out");
    return false;
  };
  ChunkHeader header;
  if (!file.read_struct(place.offset, header) || !is_chunk_header(header) ||
      header.payload_bytes != place.payload_bytes || static_cast<ChunkKind>(header.kind) != place.kind)
    return damaged("is not what the index says");
  if (place.payload_bytes > kMaxPayloadBytes || place.payload_bytes > file.size())
    return damaged("is impossibly large");
  out.resize(place.payload_bytes);
  if (file.read_at(place.offset + sizeof header, out.data(), out.size()) != out.size())
    return damaged("could not be read");
  if (XXH3_64bits(out.data(), out.size()) != header.payload_hash)
    return damaged("is damaged (hash mismatch)");
  return true;
}

std::vector<ChunkPlace> read_index(const InputFile& file, uint64_t first_offset) {
  constexpr uint64_t kTailBytes = sizeof(ChunkHeader) + sizeof(EndPayload);
  if (file.size() < first_offset + kTailBytes)
    return {};
  const uint64_t end_offset = file.size() - kTailBytes;
  ChunkHeader end_header;
  EndPayload end;
  if (!file.read_struct(end_offset, end_header) || !is_chunk_header(end_header) ||
      static_cast<ChunkKind>(end_header.kind) != ChunkKind::end || end_header.payload_bytes != sizeof end ||
      !file.read_struct(end_offset + sizeof end_header, end) ||
      XXH3_64bits(&end, sizeof end) != end_header.payload_hash || end.file_bytes != end_offset)
    return {};
  ChunkHeader index_header;
  if (end.index_offset < first_offset || end.index_offset >= end_offset ||
      !file.read_struct(end.index_offset, index_header) || !is_chunk_header(index_header) ||
      static_cast<ChunkKind>(index_header.kind) != ChunkKind::index)
    return {};
  ProblemLog ignored; // an unusable index only means that the file is scanned instead
  std::vector<uint8_t> payload;
  const ChunkPlace index_place = place_of(index_header, end.index_offset);
  if (!read_payload(file, index_place, payload, ignored) || payload.size() % sizeof(IndexEntry) != 0)
    return {};
  std::vector<ChunkPlace> places;
  places.reserve(payload.size() / sizeof(IndexEntry) + 2);
  for (size_t i = 0; i < payload.size(); i += sizeof(IndexEntry)) {
    IndexEntry entry;
    std::memcpy(&entry, &payload[i], sizeof entry);
    if (entry.offset < first_offset || entry.offset >= end_offset ||
        entry.payload_bytes > end_offset - entry.offset ||
        (!places.empty() && entry.offset <= places.back().offset))
      return {};
    places.push_back({entry.offset, entry.payload_bytes, entry.first_ticks, entry.last_ticks, entry.count,
                      static_cast<ChunkKind>(entry.kind), entry.flags, entry.sequence});
  }
  // The index may or may not list itself and the end chunk.
  if (places.empty() || places.back().offset < end.index_offset)
    places.push_back(index_place);
  places.push_back(place_of(end_header, end_offset));
  return places;
}

} // namespace hl
