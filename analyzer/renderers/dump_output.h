// `dump`: every event as a line of text, in order, as fast as it can be read:
//
//   time=NS thread=N kind=KIND key=value ...          (docs/json.md lists keys by kind)
//
// A realloc is one line. Where another thread's events fall between its two moments it is two: realloc_begin
// (the old block is gone) and realloc (without old=), so that whoever replays the lines in order meets no
// address that is live twice.
#pragma once

#include <cstdio>
#include <string>
#include <unordered_map>

#include "analyses/stack_resolver.h"
#include "reader/trace_event.h"

namespace hl {

struct DumpOptions {
  uint64_t from_ticks = 0;
  uint64_t to_ticks = UINT64_MAX;
  std::vector<std::string> kinds;          // empty: all
  const StackResolver* resolver = nullptr; // with it, lines name their frames
  bool json = false;                       // {"events": [{"time": NS, ...}, ...]} instead of lines
};

class DumpOutput {
 public:
  DumpOutput(const Trace& trace, DumpOptions options, std::FILE* out);

  // false: nothing further can be inside the limits, or the output is gone.
  bool consume(const EventBatch& batch);
  void finish();

 private:
  void line(const TraceEvent& event, const EventBatch& batch, uint64_t old_address, uint64_t before_ticks);
  void begin_line(uint64_t ticks, uint32_t thread, std::string_view kind);
  void end_line();
  void name_field(std::string_view name);
  void word_field(std::string_view name, std::string_view word);
  void field(std::string_view name, uint64_t value);
  void hex_field(std::string_view name, uint64_t value);
  void signed_field(std::string_view name, int64_t value);
  void text_field(std::string_view name, std::string_view text);
  void frames_field(StackId stack);
  void extended_fields(const TraceEvent& event, const EventBatch& batch);
  void flush_held();
  bool wanted(std::string_view kind) const;
  void write_out();

  const Trace& trace_;
  DumpOptions options_;
  std::FILE* out_;
  std::string buffer_;
  bool failed_ = false;
  bool any_line_ = false;
  bool holding_ = false; // a realloc's first half that waits for its second
  TraceEvent held_{};
  std::unordered_map<uint32_t, uint64_t> split_; // by thread: stamp of a first half that has its own line
  std::unordered_map<StackId, std::string> frame_texts_;
};

} // namespace hl
