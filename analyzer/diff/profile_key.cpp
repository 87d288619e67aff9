// See profile_key.h.
#include "diff/profile_key.h"

#include <sys/stat.h>

#include <cstdio>
#include <ctime>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "symbols/module_files.h"

namespace hl {
namespace {

class Hash {
 public:
  Hash() { XXH64_reset(&state_, 0); }
  void add(const void* data, size_t bytes) {
    if (bytes != 0)
      XXH64_update(&state_, data, bytes);
  }
  void add(uint64_t value) { add(&value, sizeof value); }
  void add(std::string_view text) {
    add(text.size());
    add(text.data(), text.size());
  }
  // What changes when a file is replaced; a file that is not there is a fact too.
  void add_file(const std::string& path) {
    struct stat facts {};
    if (::stat(path.c_str(), &facts) != 0) {
      add(uint64_t{0});
      return;
    }
    add(static_cast<uint64_t>(facts.st_size) + 1);
    add(static_cast<uint64_t>(facts.st_mtim.tv_sec));
    add(static_cast<uint64_t>(facts.st_mtim.tv_nsec));
    add(static_cast<uint64_t>(facts.st_ino));
  }
  uint64_t value() const { return XXH64_digest(&state_); }

 private:
  XXH64_state_t state_;
};

uint64_t hash_of_chunks(const Trace& trace) {
  Hash hash;
  const InputFile& file = *trace.file();
  const auto add = [&](uint64_t offset, size_t bytes) {
    std::vector<uint8_t> buffer(bytes);
    buffer.resize(file.read_at(offset, buffer.data(), bytes));
    hash.add(buffer.data(), buffer.size());
  };
  add(0, sizeof(TracePreamble));
  for (const ChunkPlace& place : trace.event_chunks())
    add(place.offset, sizeof(ChunkHeader));
  for (const ChunkPlace& place : trace.snapshot_chunks())
    add(place.offset, sizeof(ChunkHeader));
  // The index and the end; nodes, modules and all the rest are named in the index with their places.
  constexpr uint64_t kTail = 4096;
  add(file.size() > kTail ? file.size() - kTail : 0, kTail);
  return hash.value();
}

// What a profile is made of besides; another number makes caches anew.
constexpr uint64_t kContents = 2;

uint64_t hash_of_names(const Trace& trace, const SymbolizerOptions& symbols) {
  Hash hash;
  hash.add(kContents);
  hash.add(symbols.sysroot);
  for (const std::string& directory : symbols.debug_dirs) {
    hash.add(directory);
    hash.add_file(directory);
  }
  for (const TraceModule& module : trace.modules().all()) {
    if (module.id == 0 || module.path.empty())
      continue;
    hash.add(module.path);
    const std::string path(cleaned_module_path(module.path));
    hash.add_file(symbols.sysroot + path);
    const std::string id = build_id_text(module.build_id);
    if (id.size() < 4)
      continue;
    const std::string by_id = "/.build-id/" + id.substr(0, 2) + "/" + id.substr(2) + ".debug";
    hash.add_file("/usr/lib/debug" + by_id);
    const std::string name = path.substr(path.rfind('/') + 1);
    for (const std::string& directory : symbols.debug_dirs)
      for (const std::string& file : {by_id, path, "/" + name, "/" + name + ".debug"})
        hash.add_file(std::string(directory).append(file));
  }
  return hash.value();
}

uint64_t hash_of_moment(const Trace& trace, const Moment& moment) {
  Hash hash;
  hash.add(moment.text);
  if (moment.kind == Moment::Kind::wall_clock) {
    // The same time of day is another moment in another time zone.
    const auto seconds =
        static_cast<std::time_t>(trace.clock().wall_ns(trace.clock().start_ticks()) / 1'000'000'000);
    std::tm local{};
    ::localtime_r(&seconds, &local);
    hash.add(static_cast<uint64_t>(local.tm_gmtoff));
  }
  return hash.value();
}

} // namespace

std::optional<ProfileKey> profile_key(const Trace& trace, const Moment& moment,
                                      const SymbolizerOptions& symbols) {
  if (!trace.complete() || trace.running() || trace.session() != nullptr || trace.file() == nullptr)
    return {};
  ProfileKey key;
  key.trace_uuid = trace.metadata().uuid;
  key.trace_bytes = trace.file_bytes();
  key.trace_hash = hash_of_chunks(trace);
  key.moment_hash = hash_of_moment(trace, moment);
  key.names_hash = hash_of_names(trace, symbols);
  return key;
}

std::string profile_cache_path(const Trace& trace, const ProfileKey& key) {
  // One file a moment; another set of symbols replaces it.
  char suffix[32];
  std::snprintf(suffix, sizeof suffix, ".%08x.profile", static_cast<unsigned>(key.moment_hash));
  return trace.path() + suffix;
}

} // namespace hl
