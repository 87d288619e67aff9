// See run_place.h.
#include "run_place.h"

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <fmt/format.h>

#include "session_file.h"

namespace hl {

namespace {

std::string base_name(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  for (char& c : name)
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f)
      c = '_';
  return name.empty() ? "app" : name.substr(0, 64);
}

std::string absolute(const std::string& path) {
  char* const resolved = realpath(path.c_str(), nullptr);
  if (resolved == nullptr)
    return "";
  std::string result(resolved);
  std::free(resolved);
  return result;
}

std::string now_text() {
  const time_t now = time(nullptr);
  tm local{};
  localtime_r(&now, &local);
  char text[32];
  strftime(text, sizeof(text), "%Y%m%d-%H%M%S", &local);
  return text;
}

bool make_run_directory(const RecordOptions& o, RunPlace& place, std::string& why) {
  std::vector<std::string> parents;
  if (!o.output_directory.empty()) {
    // Made if missing, one level: a mistyped path should not grow a tree.
    if (mkdir(o.output_directory.c_str(), 0777) != 0 && errno != EEXIST)
      place.notice = fmt::format("cannot use {}: {}", o.output_directory, std::strerror(errno));
    parents.push_back(o.output_directory);
  }
  parents.emplace_back(".");
  parents.emplace_back("/var/tmp");
  const std::string stem = fmt::format("heapledger-{}-{}-{}", place.name, now_text(), getpid());
  for (const std::string& parent : parents) {
    const std::string root = absolute(parent);
    if (root.empty())
      continue;
    for (int i = 1; i < 100; i++) {
      const std::string path = (root == "/" ? "" : root) + "/" + stem + (i == 1 ? "" : fmt::format("-{}", i));
      if (mkdir(path.c_str(), 0700) == 0) {
        place.directory = path;
        place.made_directory = true;
        return true;
      }
      if (errno != EEXIST) {
        why = fmt::format("cannot create {}: {}", path, std::strerror(errno));
        if (parent == o.output_directory)
          place.notice = fmt::format("cannot use {}: {}", parent, std::strerror(errno));
        break;
      }
    }
  }
  return false;
}

// What the program's starter has open for it: kept under another name, it would no longer be found.
bool is_standard_stream(const struct stat& info) {
  struct stat open_file;
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fstat(fd, &open_file) == 0 && open_file.st_dev == info.st_dev && open_file.st_ino == info.st_ino)
      return true;
  return false;
}

// Said before hours of recording, not after. A full disk may have room by then.
bool may_create(const std::string& path, std::string& why) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd >= 0) {
    close(fd);
    unlink(path.c_str());
    return true;
  }
  if (errno == EEXIST || errno == ENOSPC || errno == EDQUOT)
    return true;
  why = fmt::format("cannot write {}: {}", path, std::strerror(errno));
  return false;
}

// FILE must not exist when the recorder creates it: what is there is kept under another name.
bool prepare_output(const RecordOptions& o, RunPlace& place, std::string& why) {
  const size_t slash = o.output.find_last_of('/');
  const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : o.output.substr(0, slash);
  const std::string name = slash == std::string::npos ? o.output : o.output.substr(slash + 1);
  struct stat info;
  if (name.empty() || (stat(o.output.c_str(), &info) == 0 && S_ISDIR(info.st_mode))) {
    const std::string directory = name.empty() ? parent : o.output;
    why = fmt::format("-o {} names a directory; -o {}/%p.hlt makes traces in it, --output-dir {} a new "
                      "directory in it",
                      o.output, directory == "/" ? "" : directory, directory);
    return false;
  }
  place.directory = absolute(parent);
  if (place.directory.empty()) {
    why = fmt::format("cannot write {}: {}", o.output, std::strerror(errno));
    return false;
  }
  place.output = (place.directory == "/" ? "" : place.directory) + "/" + name;
  if (place.output.find("%p") != std::string::npos)
    return may_create(with_pid(place.output, std::to_string(getpid())), why); // the pid is not known yet
  // Where a link leads: /dev/stdout must not be moved away.
  const bool exists = stat(place.output.c_str(), &info) == 0;
  if (exists && !S_ISREG(info.st_mode)) {
    why = fmt::format("cannot write {}: it exists and is no regular file", place.output);
    return false;
  }
  if (exists && is_standard_stream(info)) {
    why = fmt::format("cannot write {}: the program's own input or output is that file", place.output);
    return false;
  }
  if (lstat(place.output.c_str(), &info) != 0)
    return may_create(place.output, why);
  if (S_ISREG(info.st_mode) && info.st_size == 0 && unlink(place.output.c_str()) == 0)
    return true;
  for (int i = 1; i < 10000; i++) {
    const std::string kept = fmt::format("{}.~{}~", place.output, i);
    if (link(place.output.c_str(), kept.c_str()) == 0) {
      if (unlink(place.output.c_str()) != 0) {
        const int error = errno; // another user's, in a directory like /tmp
        unlink(kept.c_str());
        errno = error;
        break;
      }
      place.notice = fmt::format("{} existed: it is now {}", place.output, kept);
      return true;
    }
    if (errno != EEXIST)
      break;
  }
  why = fmt::format("{} exists and cannot be renamed: {}", place.output, std::strerror(errno));
  return false;
}

} // namespace

std::string with_pid(std::string path, const std::string& pid) {
  for (size_t at = 0; (at = path.find("%p", at)) != std::string::npos; at += pid.size())
    path.replace(at, 2, pid);
  return path;
}

namespace {

bool is_tmpfs(const std::string& directory) {
  struct statfs info;
  return statfs(directory.c_str(), &info) == 0 && static_cast<uint32_t>(info.f_type) == 0x01021994;
}

} // namespace

bool choose_run_place(const RecordOptions& o, RunPlace& place, std::string& why) {
  place.name = base_name(o.command.front());
  if (!(o.output.empty() ? make_run_directory(o, place, why) : prepare_output(o, place, why)))
    return false;
  const std::string beside = o.output.empty() ? place.directory + "/session"
                                              : with_pid(place.output, std::to_string(getpid())) + ".session";
  if (unfit_file_system(place.directory) == nullptr) {
    place.sessions.push_back(beside);
    // Left by a run that was killed: its trace names it.
    if (access(beside.c_str(), F_OK) == 0)
      place.sessions.front() = fmt::format("{}-{}", beside, getpid());
  }
  const std::string user_run = fmt::format("/run/user/{}", getuid());
  for (const std::string& directory : {std::string("/dev/shm"), user_run, std::string("/tmp")})
    if (is_tmpfs(directory))
      place.sessions.push_back(fmt::format("{}/heapledger-{}-{}.session", directory, now_text(), getpid()));
  if (!place.sessions.empty())
    return true;
  const char* const system = unfit_file_system(place.directory);
  why = fmt::format("{} is on {}, where memory cannot be shared safely, and there is no tmpfs",
                    place.directory, system == nullptr ? "an unknown file system" : system);
  return false;
}

} // namespace hl
