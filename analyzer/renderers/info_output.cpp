// See info_output.h.
#include "renderers/info_output.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "reader/extended_payload.h"
#include "renderers/describe_trace.h"
#include "renderers/sampling_output.h"

namespace hl {
namespace {

std::string_view heap_name(uint8_t kind) {
  static constexpr std::string_view kNames[] = {"unknown",  "glibc",    "jemalloc",
                                                "tcmalloc", "mimalloc", "static"};
  return kind < std::size(kNames) ? kNames[kind] : "unknown";
}
std::string_view clock_name(uint8_t kind) {
  static constexpr std::string_view kNames[] = {"tsc", "logical", "cntvct"};
  return kind < std::size(kNames) ? kNames[kind] : "unknown";
}
std::string_view epoch_name(uint8_t source) {
  return source == 1 ? "loader_counter" : "hooks";
}

std::string_view binding_name(MallocBinding binding) {
  return binding == MallocBinding::stands_before_ours ? "defines_malloc"
         : binding == MallocBinding::bound_past_us    ? "bound_elsewhere"
                                                      : "unknown";
}

// Why an image could not open the session file, by the errno that the one before it met.
std::string why_unrecorded(uint32_t error) {
  switch (error) {
  case EACCES:
  case EPERM:
    return "it had given up the right to open the session file";
  case ENOENT:
  case ENOTDIR:
    return "the session file cannot be found from its root directory";
  default:
    return "it could not open the session file";
  }
}

void write_unrecorded_exec(JsonWriter& json, const std::string& path, uint32_t error) {
  if (error == 0)
    json.null();
  else
    json.begin_object().member("path", path).member("reason", why_unrecorded(error)).end_object();
}

void write_unrecorded_children(JsonWriter& json, uint32_t programs, const std::string& path, uint32_t error) {
  if (programs == 0)
    json.null();
  else
    json.begin_object()
        .member("programs", programs)
        .member("path", path)
        .member("reason", why_unrecorded(error))
        .end_object();
}

// "1 program", "12 programs, at last"
std::string programs_text(uint32_t programs) {
  return with_thousands(programs) + (programs == 1 ? " program" : " programs, at last");
}

// The files whose allocations are not in the trace, each once.
std::map<std::string, MallocBinding> unrecorded_heaps(const Trace& trace) {
  std::map<std::string, MallocBinding> found;
  for (const TraceModule& module : trace.modules().all())
    if (module.id != 0 && module.malloc_binding != MallocBinding::usual)
      found.try_emplace(module.path, module.malloc_binding);
  return found;
}

size_t depth_of(const RunImage& image, const std::map<Uuid, const RunImage*>& by_uuid) {
  size_t depth = 0;
  const RunImage* at = &image;
  while (depth < 64) {
    const auto parent = by_uuid.find(at->parent_uuid);
    if (is_nil(at->parent_uuid) || parent == by_uuid.end() || parent->second == at)
      break;
    at = parent->second;
    ++depth;
  }
  return depth;
}

} // namespace

std::string info_text(const Trace& trace, const TraceSummary& summary, const std::vector<RunImage>& run,
                      const TextStyle& style) {
  const TraceMetadata& metadata = trace.metadata();
  std::string out;
  const auto line = [&style](std::string& to, const char* name, const std::string& text) {
    to += wrapped(text, "  " + pad_right(name, 15), std::string(17, ' '), style);
  };
  out += style.bold(fit(printable(command_line(metadata)), style.width, style)) + "\n";
  std::string state = trace.running()    ? "still being recorded"
                      : trace.complete() ? "complete"
                                         : "not closed cleanly";
  if (trace.recovered())
    state += ", recovered from its session file";
  line(out, "trace", fit(printable(trace.path()), style.width > 17 ? style.width - 17 : 1, style));
  line(out, "state", trace.complete() ? state : style.warning(state));
  line(out, "process",
       "pid " + std::to_string(metadata.header.pid) +
           (metadata.header.image_number != 0
                ? ", image " + std::to_string(metadata.header.image_number) + " (after exec)"
                : "") +
           (ending(trace).empty() ? "" : ", " + ending(trace)));
  if (metadata.header.started.realtime_ns != 0)
    line(out, "recorded",
         clock_time(metadata.header.started.realtime_ns) + ", for " + human_ns(summary.duration_ns) +
             (metadata.host.empty() ? "" : ", on " + printable(metadata.host)));
  line(out, "events",
       with_thousands(summary.events()) + ": " + with_thousands(summary.allocations) + " allocations, " +
           with_thousands(summary.frees) + " frees, " + with_thousands(summary.reallocations) +
           " reallocations");
  line(out, "mappings",
       with_thousands(summary.maps) + " mmap, " + with_thousands(summary.unmaps) + " munmap, " +
           with_thousands(summary.remaps) + " mremap, " + with_thousands(summary.named_maps) + " named");
  line(out, "threads", with_thousands(summary.threads));
  line(out, "stacks",
       with_thousands(summary.stacks) + " distinct, " + with_thousands(trace.nodes().count()) +
           " frames in the tree");
  if (trace.file_bytes() != 0) {
    char per_event[32];
    std::snprintf(per_event, sizeof per_event, "%.2f", summary.bytes_per_event);
    line(out, "size",
         human_bytes(trace.file_bytes(), style) + ", " + per_event + " bytes an event, format version " +
             std::to_string(metadata.format_version));
  }
  if (metadata.has_recorder) {
    line(out, "recorder",
         human_ns(metadata.recorder.cpu_ns) + " CPU, " +
             human_bytes(metadata.recorder.peak_rss_bytes, style) + " at most" +
             (metadata.recorder.restarts != 0 ? ", restarted " + plural(metadata.recorder.restarts, "time")
                                              : ""));
  }
  if (const std::string text = sampling_words(trace); !text.empty())
    line(out, "samples", text);
  for (const std::string& text : sampling_gaps(trace))
    line(out, "", style.warning(text));
  if (metadata.has_losses && metadata.losses.waits != 0)
    line(out, "waiting",
         "the program waited " + plural(metadata.losses.waits, "time") + " for the recorder, " +
             human_ns(metadata.losses.waited_ns) + " in all");
  if (metadata.has_header)
    line(out, "shim",
         "allocator " + std::string(heap_name(metadata.header.heap_kind)) + ", clock " +
             std::string(clock_name(metadata.header.clock_kind)) + ", modules by " +
             (metadata.header.module_epoch_source == 1 ? "the loader's counter" : "hooks (fallback)"));
  for (const auto& [path, binding] : unrecorded_heaps(trace))
    line(out, "unrecorded",
         style.warning(printable(path) +
                       (binding == MallocBinding::stands_before_ours
                            ? " brings an allocator of its own (it defines malloc): what that "
                              "serves is not in this trace"
                            : " has its malloc bound to another than the program's (dlopen with "
                              "RTLD_DEEPBIND): what it allocates is not in this trace")));
  if (metadata.status.unrecorded_errno != 0)
    line(out, "unrecorded",
         style.warning("what it became by exec, " + printable(metadata.unrecorded_path) + ": " +
                       why_unrecorded(metadata.status.unrecorded_errno)));
  if (metadata.status.unrecorded_children != 0)
    line(out, "unrecorded",
         style.warning(programs_text(metadata.status.unrecorded_children) + " that it started, " +
                       printable(metadata.unrecorded_child) + ": " +
                       why_unrecorded(metadata.status.unrecorded_child_errno)));
  if ((metadata.header.session_flags & kSessionRecorderless) != 0)
    line(out, "", style.warning("recorded without a recorder, into the session file alone"));
  if (metadata.has_losses) {
    std::string ends;
    for (size_t i = 0; i < static_cast<size_t>(WalkEnd::count_); ++i) {
      if (metadata.losses.walk_ends[i] == 0 || i == static_cast<size_t>(WalkEnd::outermost))
        continue;
      ends += (ends.empty() ? "" : ", ") + with_thousands(metadata.losses.walk_ends[i]) + " " +
              std::string(name_of(static_cast<WalkEnd>(i)));
    }
    line(out, "stack walks", ends.empty() ? "all reached the outermost frame" : ends);
  }
  if (metadata.has_unwind_check) {
    uint64_t differences = 0;
    for (const uint64_t count : metadata.unwind_check.differences)
      differences += count;
    line(out, "unwind check",
         with_thousands(metadata.unwind_check.walks) + " walks compared with libunwind, " +
             plural(differences, "difference"));
  }
  line(out, "lost",
       summary.lost.total() == 0 ? "nothing" : style.warning(plural(summary.lost.total(), "event")));
  const auto notes = caveats(trace, summary.lost, summary.stream);
  if (!notes.empty()) {
    out += "\n";
    for (const std::string& note : notes)
      out += wrapped(note, "  ! ", "    ", style);
  }
  if (metadata.has_unwind_check && !metadata.unwind_check_text.empty())
    out += "\nFirst differences from libunwind:\n" + metadata.unwind_check_text +
           "\n"; // lines of the shim's own

  if (run.size() > 1) {
    out += "\n" + style.title(with_thousands(run.size()) + " processes in this run") + "\n";
    std::map<Uuid, const RunImage*> by_uuid;
    for (const RunImage& image : run)
      by_uuid.emplace(image.uuid, &image);
    constexpr size_t kShown = 200;
    for (size_t i = 0; i < run.size() && i < kShown; ++i) {
      const RunImage& image = run[i];
      const size_t depth = std::min<size_t>(depth_of(image, by_uuid), 16);
      const std::string head = pad_left(std::to_string(image.pid), 9) + "  " +
                               pad_left(human_bytes(image.file_bytes, style), 9) + "  " +
                               (image.closed ? "  " : "! ") + std::string(depth * 2, ' ');
      out +=
          head +
          fit(printable(image.command), style.width - std::min(style.width / 2, display_width(head)), style) +
          "\n";
      if (image.unrecorded_errno != 0)
        out += std::string(std::min<size_t>(24 + depth * 2, style.width / 2), ' ') +
               style.warning("then " + printable(image.unrecorded_path) + ", unrecorded") + "\n";
      if (image.unrecorded_children != 0)
        out += std::string(std::min<size_t>(24 + depth * 2, style.width / 2), ' ') +
               style.warning("started " + programs_text(image.unrecorded_children) + " " +
                             printable(image.unrecorded_child) + ", unrecorded") +
               "\n";
    }
    if (run.size() > kShown)
      out += "  ... and " + with_thousands(run.size() - kShown) + " more\n";
  }
  return out;
}

void info_json(const Trace& trace, const TraceSummary& summary, const std::vector<RunImage>& run,
               JsonWriter& json) {
  const TraceMetadata& metadata = trace.metadata();
  json.begin_object()
      .member("format_version", metadata.format_version)
      .member("uuid", to_text(metadata.uuid))
      .member("complete", trace.complete())
      .member("recovered", trace.recovered())
      .member("running", trace.running())
      .member("pid", metadata.header.pid)
      .member("command", command_line(metadata));
  json.key("arguments").begin_array();
  for (const std::string& argument : metadata.arguments)
    json.value(argument);
  json.end_array();
  json.key("events")
      .begin_object()
      .member("allocations", summary.allocations)
      .member("frees", summary.frees)
      .member("reallocations", summary.reallocations)
      .member("maps", summary.maps)
      .member("unmaps", summary.unmaps)
      .member("remaps", summary.remaps)
      .member("named_maps", summary.named_maps)
      .member("other", summary.other)
      .member("total", summary.events())
      .end_object();
  write_lost(json, summary.lost);
  json.member("threads", summary.threads)
      .member("stacks", summary.stacks)
      .member("stack_nodes", uint64_t{trace.nodes().count()})
      .member("bytes_per_event", summary.bytes_per_event)
      .member("duration_ns", summary.duration_ns)
      .member("file_bytes", trace.file_bytes())
      .member("path", trace.path())
      .member("executable", metadata.executable)
      .member("working_directory", metadata.working_directory)
      .member("host", metadata.host)
      .member("kernel", metadata.kernel)
      .member("recorder_version", metadata.recorder_version)
      .member("parent_pid", metadata.header.parent_pid)
      .member("image_number", metadata.header.image_number)
      .member("root", metadata.header.is_root != 0)
      .member("started_realtime_ns", metadata.header.started.realtime_ns)
      .member("heap", heap_name(metadata.header.heap_kind))
      .member("clock", clock_name(metadata.header.clock_kind))
      .member("module_epoch", epoch_name(metadata.header.module_epoch_source))
      .member("recorderless", (metadata.header.session_flags & kSessionRecorderless) != 0)
      .member("free_stacks", (metadata.header.session_flags & kSessionFreeStacks) != 0)
      .member("recovered_events", summary.stream.recovered_events);
  Uuid parent;
  std::memcpy(parent.data(), metadata.header.parent_uuid, 16);
  json.key("parent_uuid");
  if (is_nil(parent))
    json.null();
  else
    json.value(to_text(parent));
  json.key("ended");
  if (metadata.has_status) {
    static constexpr std::string_view kHow[] = {"unknown", "exited", "signal", "exec", "running"};
    json.begin_object()
        .member("how", kHow[metadata.status.how < std::size(kHow) ? metadata.status.how : 0])
        .member("code", int64_t{metadata.status.code})
        .member("oom_kills", metadata.status.oom_kills)
        .member("user_ns", metadata.status.user_ns)
        .member("system_ns", metadata.status.system_ns)
        .member("peak_rss_bytes", metadata.status.peak_rss_bytes)
        .end_object();
  } else {
    json.null();
  }
  json.key("recorder");
  if (metadata.has_recorder) {
    json.begin_object()
        .member("restarts", metadata.recorder.restarts)
        .member("cpu_ns", metadata.recorder.cpu_ns)
        .member("peak_rss_bytes", metadata.recorder.peak_rss_bytes)
        .member("zstd_level", metadata.recorder.zstd_level)
        .end_object();
  } else {
    json.null();
  }
  json.key("sampling");
  sampling_json(trace, json);
  json.key("waits")
      .begin_object()
      .member("count", metadata.losses.waits)
      .member("ns", metadata.losses.waited_ns)
      .end_object();
  json.key("walk_ends").begin_object();
  for (size_t i = 0; i < static_cast<size_t>(WalkEnd::count_); ++i)
    json.member(name_of(static_cast<WalkEnd>(i)), metadata.losses.walk_ends[i]);
  json.end_object();
  json.key("unwind_check");
  if (metadata.has_unwind_check) {
    uint64_t differences = 0;
    for (const uint64_t count : metadata.unwind_check.differences)
      differences += count;
    json.begin_object().member("walks", metadata.unwind_check.walks).member("differences", differences);
    json.key("by_kind").begin_array();
    for (const uint64_t count : metadata.unwind_check.differences)
      json.value(count);
    json.end_array().member("text", metadata.unwind_check_text).end_object();
  } else {
    json.null();
  }
  json.key("unrecorded_heaps").begin_array();
  for (const auto& [path, binding] : unrecorded_heaps(trace))
    json.begin_object().member("module", path).member("how", binding_name(binding)).end_object();
  json.end_array();
  json.key("unrecorded_exec");
  write_unrecorded_exec(json, metadata.unrecorded_path, metadata.status.unrecorded_errno);
  json.key("unrecorded_children");
  write_unrecorded_children(json, metadata.status.unrecorded_children, metadata.unrecorded_child,
                            metadata.status.unrecorded_child_errno);
  write_problems(json, trace);
  if (!run.empty()) {
    json.key("processes").begin_array();
    for (const RunImage& image : run) {
      json.begin_object()
          .member("path", image.path)
          .member("uuid", to_text(image.uuid))
          .member("pid", image.pid)
          .member("parent_pid", image.parent_pid)
          .member("image_number", image.image_number)
          .member("root", image.is_root)
          .member("closed", image.closed)
          .member("command", image.command)
          .member("started_realtime_ns", image.started_ns)
          .member("file_bytes", image.file_bytes);
      json.key("unrecorded_exec");
      write_unrecorded_exec(json, image.unrecorded_path, static_cast<uint32_t>(image.unrecorded_errno));
      json.key("unrecorded_children");
      write_unrecorded_children(json, image.unrecorded_children, image.unrecorded_child,
                                static_cast<uint32_t>(image.unrecorded_child_errno));
      json.key("parent_uuid");
      if (is_nil(image.parent_uuid))
        json.null();
      else
        json.value(to_text(image.parent_uuid));
      json.end_object();
    }
    json.end_array();
  }
  json.end_object();
}

} // namespace hl
