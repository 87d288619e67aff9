// See frames_json.h.
#include "renderers/frames_json.h"

#include "renderers/describe_trace.h"

namespace hl {

void write_frames(const std::vector<ResolvedFrame>& frames, JsonWriter& json) {
  json.key("frames").begin_array();
  for (const ResolvedFrame& frame : frames) {
    json.begin_object().member("function", frame.function);
    json.key("file");
    if (frame.file.empty())
      json.null();
    else
      json.value(frame.file);
    json.key("line");
    if (frame.line == 0)
      json.null();
    else
      json.value(frame.line);
    json.key("module");
    if (frame.module.empty())
      json.null();
    else
      json.value(frame.module);
    json.member("inlined", frame.inlined);
    if (frame.guessed)
      json.member("guessed", true);
    if (frame.marker)
      json.member("marker", true);
    json.end_object();
  }
  json.end_array();
}

void write_identity(const HeapAnswer& answer, JsonWriter& json) {
  write_identity_at(answer, answer.heap.result().last_ticks, json);
}

void write_identity_at(const HeapAnswer& answer, uint64_t ticks, JsonWriter& json) {
  const TraceMetadata& metadata = answer.trace.metadata();
  json.member("uuid", to_text(metadata.uuid))
      .member("pid", metadata.header.pid)
      .member("command", command_line(metadata))
      .member("complete", answer.trace.complete())
      .member("recovered", answer.trace.recovered())
      .member("running", answer.trace.running())
      .member("moment", answer.moment.text)
      .member("time_ns", ticks == 0 ? 0 : answer.trace.clock().ns(ticks));
}

} // namespace hl
