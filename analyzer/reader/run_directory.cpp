// See run_directory.h.
#include "reader/run_directory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <tuple>

#include "reader/chunk_scanner.h"
#include "reader/metadata_parser.h"
#include "reader/session_file.h"
#include "reader/trace_error.h"

namespace hl {
namespace fs = std::filesystem;
namespace {

std::string command_of(const TraceMetadata& metadata) {
  std::string command;
  for (const std::string& argument : metadata.arguments)
    command += (command.empty() ? "" : " ") + argument;
  return command.empty() ? metadata.executable : command;
}

// A trace is told by its first bytes: -o takes any name. What is no regular file is not even opened.
std::optional<InputFile> open_trace_file(const fs::directory_entry& entry, TracePreamble& preamble) {
  std::error_code error;
  if (!entry.is_regular_file(error))
    return {};
  try {
    InputFile file(entry.path().string());
    if (file.read_struct(0, preamble) && preamble.magic == kTraceMagic)
      return file;
  } catch (const TraceError&) {
    // Not ours to read.
  }
  return {};
}

bool is_trace(const fs::directory_entry& entry) {
  TracePreamble preamble;
  return open_trace_file(entry, preamble).has_value();
}

// nullopt: not a trace that tells who it is.
std::optional<RunImage> identify(const fs::directory_entry& entry) {
  TracePreamble preamble;
  const std::optional<InputFile> opened = open_trace_file(entry, preamble);
  if (!opened)
    return {};
  const InputFile& file = *opened;
  try {
    RunImage image;
    image.path = file.path();
    image.file_bytes = file.size();
    std::memcpy(image.uuid.data(), preamble.uuid, 16);
    ProblemLog ignored;
    ChunkScanner scanner(file, sizeof preamble, ignored);
    ChunkPlace place;
    std::vector<uint8_t> payload;
    TraceMetadata metadata;
    // The header chunk is the first; a damaged one is looked for a little further.
    for (int i = 0; i < 4 && scanner.next(place); ++i) {
      if (place.kind != ChunkKind::header || !read_payload(file, place, payload, ignored))
        continue;
      if (parse_header(payload, metadata))
        break;
    }
    if (metadata.has_header) {
      std::memcpy(image.parent_uuid.data(), metadata.header.parent_uuid, 16);
      image.pid = metadata.header.pid;
      image.parent_pid = metadata.header.parent_pid;
      image.image_number = metadata.header.image_number;
      image.is_root = metadata.header.is_root != 0;
      image.started_ns = metadata.header.started.realtime_ns;
      image.command = command_of(metadata);
    }
    const std::vector<ChunkPlace> index = read_index(file, sizeof preamble);
    image.closed = !index.empty();
    for (const ChunkPlace& chunk : index)
      if (chunk.kind == ChunkKind::process && read_payload(file, chunk, payload, ignored) &&
          parse_status(payload, metadata)) {
        image.unrecorded_errno = static_cast<int>(metadata.status.unrecorded_errno);
        image.unrecorded_path = metadata.unrecorded_path;
        image.unrecorded_children = metadata.status.unrecorded_children;
        image.unrecorded_child_errno = static_cast<int>(metadata.status.unrecorded_child_errno);
        image.unrecorded_child = metadata.unrecorded_child;
      }
    return image;
  } catch (const TraceError&) {
    return {};
  }
}

void add_session_images(const std::string& path, std::vector<RunImage>& images) {
  try {
    const SessionFile session(path);
    for (const SessionFile::Image& image : session.images()) {
      const Uuid uuid = image.uuid();
      if (std::any_of(images.begin(), images.end(),
                      [&](const RunImage& known) { return known.uuid == uuid; }))
        continue;
      TraceMetadata metadata;
      session.load_metadata(image, metadata);
      RunImage found;
      found.path = path;
      found.session_only = true;
      found.uuid = uuid;
      std::memcpy(found.parent_uuid.data(), metadata.header.parent_uuid, 16);
      found.pid = metadata.header.pid;
      found.parent_pid = metadata.header.parent_pid;
      found.image_number = metadata.header.image_number;
      found.is_root = metadata.header.is_root != 0;
      found.started_ns = metadata.header.started.realtime_ns;
      found.command = command_of(metadata);
      images.push_back(std::move(found));
    }
  } catch (const TraceError&) {
    // A session file that cannot be read speaks when a trace needs it.
  }
}

std::vector<RunImage> parents_first(std::vector<RunImage> images) {
  std::sort(images.begin(), images.end(), [](const RunImage& a, const RunImage& b) {
    return std::tie(a.started_ns, a.path) < std::tie(b.started_ns, b.path);
  });
  std::multimap<Uuid, size_t> children;
  std::map<Uuid, size_t> known;
  for (size_t i = 0; i < images.size(); ++i)
    known.emplace(images[i].uuid, i);
  std::vector<size_t> roots;
  for (size_t i = 0; i < images.size(); ++i) {
    const auto parent = known.find(images[i].parent_uuid);
    if (is_nil(images[i].parent_uuid) || parent == known.end() || parent->second == i)
      roots.push_back(i);
    else
      children.emplace(images[i].parent_uuid, i);
  }
  std::vector<RunImage> ordered;
  std::vector<bool> taken(images.size(), false);
  std::vector<size_t> stack(roots.rbegin(), roots.rend());
  const auto visit_all = [&] {
    while (!stack.empty()) {
      const size_t i = stack.back();
      stack.pop_back();
      if (taken[i])
        continue;
      taken[i] = true;
      ordered.push_back(images[i]);
      std::vector<size_t> below;
      const auto [from, to] = children.equal_range(images[i].uuid);
      for (auto child = from; child != to; ++child)
        below.push_back(child->second);
      stack.insert(stack.end(), below.rbegin(), below.rend());
    }
  };
  visit_all();
  for (size_t i = 0; i < images.size(); ++i) { // damaged: parents in a circle
    stack.push_back(i);
    visit_all();
  }
  return ordered;
}

// The children of FILE or FILE.hlt are FILE.PID.N.hlt.
std::vector<RunImage> list_family(const fs::path& root) {
  std::vector<RunImage> images;
  std::error_code error;
  const fs::path directory = root.has_parent_path() ? root.parent_path() : fs::path(".");
  const std::string stem = (root.extension() == ".hlt" ? root.stem() : root.filename()).string() + ".";
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name != root.filename().string() && name.rfind(stem, 0) != 0)
      continue;
    if (auto image = identify(*entry))
      images.push_back(std::move(*image));
  }
  return parents_first(std::move(images));
}

// Everybody was killed before the recorder had begun the trace: all there is lies in the session file beside
// it.
std::vector<RunImage> images_without_a_trace(const std::string& trace) {
  std::error_code error;
  const uint64_t bytes = fs::file_size(trace, error);
  std::vector<RunImage> images;
  if ((error && !fs::exists(trace, error)) || (!error && bytes < sizeof(TracePreamble)))
    add_session_images(trace + ".session", images);
  return parents_first(std::move(images));
}

TraceChoice chosen(const RunImage& image, const std::string& directory) {
  TraceChoice choice{image.path, {}, directory};
  if (image.session_only)
    choice.session_image = image.uuid;
  return choice;
}

TraceChoice choose_among(const std::vector<RunImage>& images, const std::string& where,
                         const std::string& directory, std::optional<uint32_t> pid) {
  if (!pid) {
    const RunImage* root = &images.front();
    for (const RunImage& image : images) {
      if (!image.is_root)
        continue;
      root = &image;
      break;
    }
    pid = root->pid;
  }
  // An exec keeps the pid: the last image is what the process became.
  const RunImage* found = nullptr;
  for (const RunImage& image : images)
    if (image.pid == *pid && (found == nullptr || image.image_number >= found->image_number))
      found = &image;
  if (found != nullptr)
    return chosen(*found, directory);
  std::string pids;
  for (size_t i = 0; i < images.size() && i < 12; ++i)
    pids += (i == 0 ? "" : ", ") + std::to_string(images[i].pid);
  if (images.size() > 12)
    pids += ", ...";
  throw TraceError(TraceErrorKind::no_such_process, where,
                   "no process " + std::to_string(*pid) + " was recorded; there are " + pids);
}

} // namespace

std::vector<RunImage> list_run(const std::string& directory) {
  std::error_code error;
  if (!fs::is_directory(directory, error))
    throw TraceError(TraceErrorKind::not_found, directory, "no such directory");
  std::vector<RunImage> images;
  std::vector<std::string> sessions;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    if (is_session_name(entry->path().filename().string())) {
      sessions.push_back(entry->path().string());
    } else if (auto image = identify(*entry)) {
      images.push_back(std::move(*image));
    }
  }
  for (const std::string& session : sessions)
    add_session_images(session, images);
  return parents_first(std::move(images));
}

namespace {

// When a run was last recorded to. Not the directory's own time: comparing an old run leaves a file in it.
fs::file_time_type recorded_time(const fs::path& run) {
  fs::file_time_type newest{};
  bool any = false;
  std::error_code error, ignored;
  for (fs::directory_iterator entry(run, error), end; !error && entry != end; entry.increment(error)) {
    if (!is_session_name(entry->path().filename().string()) && !is_trace(*entry))
      continue;
    const auto written = fs::last_write_time(entry->path(), ignored);
    newest = any ? std::max(newest, written) : written;
    any = true;
  }
  return any ? newest : fs::last_write_time(run, ignored);
}

} // namespace

std::string newest_run(const std::string& directory) {
  std::string newest;
  fs::file_time_type newest_time{};
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code ignored;
    const bool is_run = entry->is_directory(ignored) && name.rfind("heapledger-", 0) == 0;
    if (!is_run && !entry->is_regular_file(ignored))
      continue;
    const auto written = is_run ? recorded_time(entry->path()) : fs::last_write_time(entry->path(), ignored);
    if (!newest.empty() && written <= newest_time)
      continue;
    if (is_run ? list_run(entry->path().string()).empty() : [&] {
          const auto image = identify(*entry);
          return !image || !image->is_root;
        }())
      continue;
    newest = entry->path().string();
    newest_time = written;
  }
  return newest;
}

TraceChoice choose_trace(const std::string& named, std::optional<uint32_t> pid) {
  std::string path = named;
  if (path.empty()) {
    const char* configured = std::getenv("HEAPLEDGER_DIR");
    if (configured != nullptr && *configured != '\0')
      path = newest_run(configured);
    if (path.empty())
      path = newest_run(".");
    if (path.empty())
      throw TraceError(TraceErrorKind::not_found, fs::current_path().string(),
                       "no run here; name a trace file or a run directory");
  }
  std::error_code error;
  if (fs::is_directory(path, error)) {
    const std::vector<RunImage> images = list_run(path);
    if (images.empty())
      throw TraceError(TraceErrorKind::not_found, path, "no trace in this directory");
    return choose_among(images, path, path, pid);
  }
  if (const std::vector<RunImage> images = images_without_a_trace(path); !images.empty())
    return choose_among(images, path, "", pid);
  if (pid) {
    const std::vector<RunImage> images = list_family(path);
    if (!images.empty())
      return choose_among(images, path, "", pid);
  }
  return {path, {}, ""};
}

} // namespace hl
