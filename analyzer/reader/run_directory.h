// From what a user names to the trace that is meant: a trace file, a run directory (its root process, or the
// one with a pid), or nothing at all (the newest run here). Of a process that called exec, the last image.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "reader/trace_metadata.h"

namespace hl {

// One recorded process image of a run, from the first chunk of its trace: cheap to get for thousands.
struct RunImage {
  std::string path; // of the trace file, or of the session file that alone holds it
  bool session_only = false;
  Uuid uuid{}, parent_uuid{};
  uint32_t pid = 0, parent_pid = 0, image_number = 0;
  bool is_root = false;
  bool closed = false;      // its end chunk is there
  int unrecorded_errno = 0; // what it became by exec could not open the session file
  std::string unrecorded_path;
  uint32_t unrecorded_children = 0; // of what its vfork and posix_spawn children became
  int unrecorded_child_errno = 0;   // of the newest
  std::string unrecorded_child;
  std::string command;     // arguments joined with blanks, or the executable
  uint64_t started_ns = 0; // CLOCK_REALTIME
  uint64_t file_bytes = 0;
};

// The images recorded in a directory, parents before children, otherwise by start time. Files that are no
// traces are left out. Throws TraceError if there is no such directory.
std::vector<RunImage> list_run(const std::string& directory);

struct TraceChoice {
  std::string path; // what Trace::open takes
  std::optional<Uuid> session_image;
  std::string run_directory; // "" if a file was named
};

// Throws TraceError, naming what was looked for. `named` empty: the newest run in $HEAPLEDGER_DIR, or here.
TraceChoice choose_trace(const std::string& named, std::optional<uint32_t> pid);

// The newest run directory or root trace in `directory`; "" if there is none.
std::string newest_run(const std::string& directory);

} // namespace hl
