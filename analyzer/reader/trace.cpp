// See trace.h.
#include "reader/trace.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "reader/metadata_parser.h"

namespace hl {
namespace fs = std::filesystem;
namespace {

constexpr uint16_t kLastKnownKind = static_cast<uint16_t>(ChunkKind::sampling);

} // namespace

std::unique_ptr<Trace> Trace::open(const std::string& path, std::optional<Uuid> session_image) {
  std::unique_ptr<Trace> trace(new Trace);
  trace->path_ = path;
  InputFile file(path);
  if (file.size() == 0)
    throw TraceError(TraceErrorKind::empty, path, "the file is empty");
  if (SessionFile::looks_like_one(file)) {
    trace->session_ = std::make_unique<SessionFile>(path);
    const auto& images = trace->session_->images();
    const SessionFile::Image* image = session_image    ? trace->session_->find_image(*session_image)
                                      : images.empty() ? nullptr
                                                       : &images.front();
    if (image == nullptr)
      throw TraceError(TraceErrorKind::nothing_whole, path, "the session file holds no recorded process");
    trace->image_ = image;
    trace->running_ = trace->session_->recorder_alive();
  } else {
    trace->file_.emplace(std::move(file));
    trace->read_file();
    if (!trace->metadata_.closed)
      trace->find_session();
    // Without a chunk, only its session file can say anything.
    if (trace->whole_chunks_ == 0 && trace->event_chunks_.empty() && trace->session_ == nullptr)
      throw TraceError(TraceErrorKind::nothing_whole, path,
                       trace->whole_reason_.empty() ? "it holds no chunk"
                                                    : "no chunk of it is whole: " + trace->whole_reason_);
  }
  trace->finish();
  return trace;
}

void Trace::read_file() {
  const InputFile& file = *file_;
  TracePreamble preamble{};
  const bool whole = file.read_struct(0, preamble);
  if (!whole) {
    uint64_t magic = 0;
    file.read_at(0, &magic, sizeof magic);
    if (magic == kTraceMagic)
      throw TraceError(TraceErrorKind::nothing_whole, path_, "a trace that ends within its first 64 bytes");
    throw TraceError(TraceErrorKind::not_a_trace, path_, "not a heapledger trace");
  }
  uint64_t first_chunk = sizeof preamble;
  const auto hash_is_right = [](const TracePreamble& read) {
    return read.hash == XXH3_64bits(&read, offsetof(TracePreamble, hash));
  };
  // A version that the hash does not cover was put there by hand, or is a damaged byte: either way it says
  // newer.
  TracePreamble with_our_version = preamble;
  with_our_version.version = kTraceVersion;
  if (preamble.magic == kTraceMagic && (hash_is_right(preamble) || hash_is_right(with_our_version))) {
    if (preamble.version > kTraceVersion)
      throw TraceError(TraceErrorKind::newer_version, path_,
                       "format version " + std::to_string(preamble.version) +
                           " was written by a newer heapledger; this one reads up to " +
                           std::to_string(kTraceVersion));
    metadata_.format_version = preamble.version;
    std::memcpy(metadata_.uuid.data(), preamble.uuid, 16);
    std::memcpy(metadata_.session_uuid.data(), preamble.session_uuid, 16);
    if (preamble.preamble_bytes >= sizeof preamble && preamble.preamble_bytes % 8 == 0 &&
        preamble.preamble_bytes <= 4096)
      first_chunk = preamble.preamble_bytes;
  } else {
    ChunkHeader first;
    if (preamble.magic != kTraceMagic && (!file.read_struct(first_chunk, first) || !is_chunk_header(first)))
      throw TraceError(TraceErrorKind::not_a_trace, path_, "not a heapledger trace");
    problems_.add(ProblemKind::damaged, 0,
                  "the first 64 bytes are damaged; the trace's identity is not known");
  }

  std::vector<ChunkPlace> places = read_index(file, first_chunk);
  if (!places.empty()) {
    metadata_.closed = true;
  } else {
    ChunkScanner scanner(file, first_chunk, problems_);
    for (ChunkPlace place; scanner.next(place);)
      places.push_back(place);
  }
  for (const ChunkPlace& place : places)
    read_chunk(place);
  if (!problems_.kept().empty())
    whole_reason_ = problems_.kept().back().text;
}

void Trace::read_chunk(const ChunkPlace& place) {
  const auto bad = [&] {
    problems_.add(ProblemKind::damaged, place.offset,
                  "the chunk at byte " + std::to_string(place.offset) + " cannot be what it claims to be");
  };
  switch (place.kind) {
  case ChunkKind::events:
    event_chunks_.push_back(place); // verified when its turn comes
    return;
  case ChunkKind::snapshot:
    snapshot_chunks_.push_back(place); // likewise
    ++whole_chunks_;
    return;
  case ChunkKind::residency:
    residency_chunks_.push_back(place);
    ++whole_chunks_;
    return;
  case ChunkKind::usage:
    usage_chunks_.push_back(place);
    ++whole_chunks_;
    return;
  case ChunkKind::index:
  case ChunkKind::none:
  case ChunkKind::maps:
  case ChunkKind::checkpoint:
  case ChunkKind::domains:
    ++whole_chunks_;
    return;
  default:
    break;
  }
  if (static_cast<uint16_t>(place.kind) > kLastKnownKind || place.kind == ChunkKind::aggregate) {
    if ((place.flags & kChunkEssential) != 0)
      throw TraceError(TraceErrorKind::newer_version, path_,
                       "it holds data of kind " + std::to_string(static_cast<unsigned>(place.kind)) +
                           " that this heapledger does not know and that cannot be left out");
    ++whole_chunks_;
    return;
  }
  if (!read_payload(*file_, place, payload_, problems_))
    return;
  ++whole_chunks_;
  bool good = true;
  switch (place.kind) {
  case ChunkKind::header:
    good = parse_header(payload_, metadata_);
    break;
  case ChunkKind::clock:
    good = parse_clock(payload_, metadata_);
    break;
  case ChunkKind::modules:
    good = parse_modules(payload_, modules_);
    break;
  case ChunkKind::nodes:
    good = nodes_.add_chunk(payload_);
    break;
  case ChunkKind::threads:
    good = parse_threads(payload_, metadata_);
    break;
  case ChunkKind::losses:
    good = parse_losses(payload_, metadata_);
    break;
  case ChunkKind::process:
    good = parse_status(payload_, metadata_);
    break;
  case ChunkKind::recorder:
    good = parse_recorder(payload_, metadata_);
    break;
  case ChunkKind::sampling:
    good = parse_sampling(payload_, metadata_);
    break;
  case ChunkKind::unwind_check:
    good = parse_unwind_check(payload_, metadata_);
    break;
  case ChunkKind::end:
    metadata_.closed = true;
    break;
  default:
    break;
  }
  if (!good)
    bad();
}

void Trace::find_session() {
  problems_.add(ProblemKind::not_closed, 0, "the recorder did not close this trace");
  if (is_nil(metadata_.session_uuid))
    return;
  std::vector<std::string> candidates;
  const fs::path directory = fs::path(path_).parent_path();
  if (!metadata_.session_path.empty()) {
    candidates.push_back(metadata_.session_path);
    candidates.push_back((directory / fs::path(metadata_.session_path).filename()).string());
  }
  std::error_code error;
  for (fs::directory_iterator entry(directory.empty() ? fs::path(".") : directory, error), end;
       !error && entry != end; entry.increment(error))
    if (is_session_name(entry->path().filename().string()))
      candidates.push_back(entry->path().string());
  std::string unusable;
  for (const std::string& candidate : candidates) {
    if (!fs::is_regular_file(candidate, error))
      continue;
    try {
      auto session = std::make_unique<SessionFile>(candidate);
      if (session->uuid() != metadata_.session_uuid)
        continue;
      session_ = std::move(session);
      break;
    } catch (const TraceError& problem) {
      unusable = problem.what();
    }
  }
  if (session_ == nullptr) {
    const std::string wanted = metadata_.session_path.empty() ? "session " + to_text(metadata_.session_uuid)
                                                              : metadata_.session_path;
    problems_.add(ProblemKind::missing_session, 0,
                  "the session file that may hold the last events is missing (" + wanted +
                      (unusable.empty() ? ")" : "; " + unusable + ")"));
    return;
  }
  running_ = session_->recorder_alive();
  // A living recorder moves blocks while we read; what it has written so far is consistent.
  const SessionFile::Image* image = session_->find_image(metadata_.uuid);
  if (!running_)
    image_ = image;
  else if (image != nullptr && !metadata_.has_header)
    session_->load_metadata(*image, metadata_); // the header chunk is still to come
}

void Trace::finish() {
  if (image_ != nullptr) {
    session_->load_tables(*image_, nodes_, modules_, problems_);
    session_->load_metadata(*image_, metadata_);
  }
  nodes_.finish();
  if (nodes_.cut() != 0)
    problems_.add(ProblemKind::unknown_stack, 0,
                  std::to_string(nodes_.cut()) +
                      " frames have callers that are not known; their stacks end there");
  if (!metadata_.has_header)
    problems_.add(ProblemKind::damaged, 0, "who was recorded is not known: no header chunk");

  std::vector<ClockPair> pairs = metadata_.clock_pairs;
  if (metadata_.has_status && metadata_.status.ended.ticks != 0)
    pairs.push_back(metadata_.status.ended);
  ClockPair start{};
  if (metadata_.has_header && metadata_.header.started.ticks != 0) {
    start = metadata_.header.started;
  } else if (!pairs.empty()) {
    start = *std::min_element(pairs.begin(), pairs.end(),
                              [](const ClockPair& a, const ClockPair& b) { return a.ticks < b.ticks; });
  } else if (!event_chunks_.empty()) {
    start.ticks = event_chunks_.front().first_ticks;
  }
  clock_ = TraceClock(start, std::move(pairs));
  if (!clock_.calibrated())
    problems_.add(ProblemKind::clock, 0,
                  "the rate of the clock is not known; times count ticks as nanoseconds");
}

bool Trace::complete() const {
  return metadata_.closed && !problems_.has(ProblemKind::damaged) && !problems_.has(ProblemKind::truncated) &&
         !problems_.has(ProblemKind::gap);
}

} // namespace hl
