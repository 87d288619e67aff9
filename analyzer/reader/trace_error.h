// What can go wrong when a trace is read, as types: nothing here prints, nothing is swallowed.
//
// Two grades. A TraceError is thrown where no trace can be had at all (exit code 3); it names the file and
// the reason. A Problem is a part that is missing from a trace that could otherwise be read: reading goes
// on, and every verb says what is missing. A hostile file can hold millions of bad bytes, so a log keeps
// the first problems and counts the rest.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace hl {

enum class TraceErrorKind : uint8_t {
  not_found,       // no such file or directory, or nothing recorded in it
  unreadable,      // it is there but cannot be opened or read
  empty,           // no byte in it
  not_a_trace,     // neither preamble nor chunk of ours
  newer_version,   // written by a newer heapledger
  nothing_whole,   // a trace, but not one whole chunk survives
  no_such_process, // --pid names none of the run's processes
  no_samples,      // nothing is known of the process's memory at that moment
};

class TraceError : public std::runtime_error {
 public:
  TraceError(TraceErrorKind kind, std::string file, const std::string& reason)
      : std::runtime_error(file + ": " + reason), kind_(kind), file_(std::move(file)) {}
  TraceErrorKind kind() const { return kind_; }
  const std::string& file() const { return file_; }

 private:
  TraceErrorKind kind_;
  std::string file_;
};

enum class ProblemKind : uint8_t {
  damaged,         // bytes that fail their hash or cannot be what they claim
  truncated,       // the file ends inside a chunk
  not_closed,      // no end chunk: the recorder did not finish
  missing_session, // the session file that holds the rest is not there
  bad_session,     // a session file is there but cannot be used
  gap,             // bytes of a block that no chunk carries
  unknown_stack,   // events that name a stack the file does not define
  order,           // events whose order could not be made final in bounded memory
  clock,           // times are estimates
};

struct Problem {
  ProblemKind kind;
  uint64_t offset; // in the file; 0 where it has no place
  std::string text;
};

class ProblemLog {
 public:
  static constexpr size_t kKept = 50;
  void add(ProblemKind kind, uint64_t offset, std::string text) {
    ++total_;
    if (kept_.size() < kKept)
      kept_.push_back({kind, offset, std::move(text)});
  }
  const std::vector<Problem>& kept() const { return kept_; }
  uint64_t total() const { return total_; }
  bool has(ProblemKind kind) const {
    for (const Problem& problem : kept_)
      if (problem.kind == kind)
        return true;
    return false;
  }

 private:
  std::vector<Problem> kept_;
  uint64_t total_ = 0;
};

} // namespace hl
