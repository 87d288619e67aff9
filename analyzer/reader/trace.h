// One trace, opened: everything about it but its events, which EventStream delivers.
//
// A trace is a trace file, or, where it was not cleanly closed, that file and the session file with what the
// recorder had not yet written, or a session file alone (nobody drained it). Damage is survived: what is
// whole is used, and problems() says what is not.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "reader/chunk_scanner.h"
#include "reader/input_file.h"
#include "reader/module_table.h"
#include "reader/node_table.h"
#include "reader/session_file.h"
#include "reader/trace_clock.h"
#include "reader/trace_error.h"
#include "reader/trace_metadata.h"

namespace hl {

class Trace {
 public:
  // `path`: a trace file or a session file (then `session_image`, or the root's image). Throws TraceError.
  static std::unique_ptr<Trace> open(const std::string& path, std::optional<Uuid> session_image = {});

  const std::string& path() const { return path_; }
  const TraceMetadata& metadata() const { return metadata_; }
  const NodeTable& nodes() const { return nodes_; }
  const ModuleTable& modules() const { return modules_; }
  const TraceClock& clock() const { return clock_; }

  // Closed by its recorder, and nothing found damaged so far.
  bool complete() const;
  // Events come, or at closing came, from a session file that outlived its recorder.
  bool recovered() const { return image_ != nullptr || metadata_.recorder.recovered != 0; }
  // Its recorder is alive and will write more.
  bool running() const { return running_; }

  uint64_t file_bytes() const { return file_ ? file_->size() : 0; }
  // Of the file: nullptr if the trace is a session file alone.
  const InputFile* file() const { return file_ ? &*file_ : nullptr; }
  const std::vector<ChunkPlace>& event_chunks() const { return event_chunks_; }
  // Leak scans (see leak_scan.h), oldest first.
  const std::vector<ChunkPlace>& snapshot_chunks() const { return snapshot_chunks_; }
  // Samples of the process's memory (see memory_samples.h), oldest first.
  const std::vector<ChunkPlace>& residency_chunks() const { return residency_chunks_; }
  const std::vector<ChunkPlace>& usage_chunks() const { return usage_chunks_; }
  // Where the rest of the events is; nullptr: nowhere else.
  const SessionFile* session() const { return image_ != nullptr ? session_.get() : nullptr; }
  const SessionFile::Image* session_image() const { return image_; }

  // Grows while an EventStream reads.
  ProblemLog& problems() const { return problems_; }

 private:
  Trace() = default;
  void read_file();
  void read_chunk(const ChunkPlace& place);
  void find_session();
  void finish();

  std::string path_;
  std::optional<InputFile> file_;
  TraceMetadata metadata_;
  NodeTable nodes_;
  ModuleTable modules_;
  TraceClock clock_;
  std::vector<ChunkPlace> event_chunks_, snapshot_chunks_, residency_chunks_, usage_chunks_;
  std::unique_ptr<SessionFile> session_;
  const SessionFile::Image* image_ = nullptr;
  bool running_ = false;
  uint64_t whole_chunks_ = 0;
  std::string whole_reason_; // why not more are
  std::vector<uint8_t> payload_;
  mutable ProblemLog problems_;
};

} // namespace hl
