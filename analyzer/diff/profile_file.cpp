// See profile_file.h.
#include "diff/profile_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "reader/payload_cursor.h"

namespace hl {
namespace {

constexpr char kMagic[8] = {'H', 'L', 'P', 'R', 'O', 'F', '1', '\n'};
constexpr size_t kHashedFrom = 24;
constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30, kMaxRawBytes = uint64_t{2} << 30;
constexpr uint64_t kMaxEntries = uint64_t{1} << 26, kMaxSites = uint64_t{1} << 23;

struct FileHeader {
  char magic[8];
  uint32_t version;
  uint32_t header_bytes;
  uint64_t hash;
  uint8_t trace_uuid[16];
  uint64_t trace_bytes, trace_hash, moment_hash, names_hash;
  uint64_t raw_bytes, stored_bytes;
  uint64_t reserved;
};
static_assert(sizeof(FileHeader) == 96);

constexpr uint64_t kComplete = 1, kScanned = 2; // flags of the identity
constexpr uint64_t kOfRun = 1, kOfSites = 2;    // flags of a metric

uint64_t zigzag(int64_t value) {
  return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}
int64_t unzigzag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

class Writer {
 public:
  std::vector<uint8_t> bytes;
  void number(uint64_t value) {
    for (; value >= 0x80; value >>= 7)
      bytes.push_back(static_cast<uint8_t>(value | 0x80));
    bytes.push_back(static_cast<uint8_t>(value));
  }
  void text(std::string_view value) {
    number(value.size());
    bytes.insert(bytes.end(), value.begin(), value.end());
  }
};

// Numbers and texts with bounds; failed() once anything was out of them.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : cursor_(bytes) {}
  bool failed() const { return failed_ || cursor_.failed(); }
  bool at_end() const { return cursor_.remaining() == 0; }
  uint64_t number(uint64_t below = UINT64_MAX) {
    const uint64_t value = cursor_.leb();
    if (value >= below && below != UINT64_MAX) {
      failed_ = true;
      return 0;
    }
    return value;
  }
  uint32_t index(size_t below) { return static_cast<uint32_t>(number(below)); }
  // Of things that take a byte each at least.
  size_t count() {
    const uint64_t value = cursor_.leb();
    if (value > cursor_.remaining() || value >= kMaxEntries) {
      failed_ = true;
      return 0;
    }
    return static_cast<size_t>(value);
  }
  std::string text() {
    const size_t length = count();
    return cursor_.text(length);
  }

 private:
  PayloadCursor cursor_;
  bool failed_ = false;
};

void write_identity(const RunProfile& profile, Writer& out) {
  for (const std::string* text :
       {&profile.uuid, &profile.command, &profile.executable, &profile.host, &profile.moment})
    out.text(*text);
  out.number(profile.troubles.size());
  for (const std::string& trouble : profile.troubles)
    out.text(trouble);
  out.number(profile.pid);
  out.number(profile.started_realtime_ns);
  out.number(profile.duration_ns);
  out.number((profile.complete ? kComplete : 0) | (profile.scanned ? kScanned : 0));
  out.number(profile.lost_events);
}

void read_identity(Reader& in, RunProfile& profile) {
  for (std::string* text :
       {&profile.uuid, &profile.command, &profile.executable, &profile.host, &profile.moment})
    *text = in.text();
  for (size_t left = in.count(); left != 0 && !in.failed(); --left)
    profile.troubles.push_back(in.text());
  profile.pid = static_cast<uint32_t>(in.number());
  profile.started_realtime_ns = in.number();
  profile.duration_ns = in.number();
  const uint64_t flags = in.number();
  profile.complete = (flags & kComplete) != 0;
  profile.scanned = (flags & kScanned) != 0;
  profile.lost_events = in.number();
}

void write_tables(const RunProfile& profile, Writer& out) {
  out.number(profile.strings.size() - 1);
  for (size_t i = 1; i < profile.strings.size(); ++i)
    out.text(profile.strings[i]);
  out.number(profile.modules.size() - 1);
  for (size_t i = 1; i < profile.modules.size(); ++i) {
    out.text(profile.modules[i].path);
    out.text(profile.modules[i].build_id);
    out.number(profile.modules[i].is_main ? 1 : 0);
  }
  out.number(profile.frames.size() - 1);
  const auto frame_column = [&](auto field) {
    for (size_t i = 1; i < profile.frames.size(); ++i)
      out.number(field(profile.frames[i]));
  };
  frame_column([](const ProfileFrame& frame) { return frame.function; });
  frame_column([](const ProfileFrame& frame) { return frame.file; });
  frame_column([](const ProfileFrame& frame) { return frame.module; });
  frame_column([](const ProfileFrame& frame) { return frame.line; });
  frame_column([](const ProfileFrame& frame) { return frame.flags; });
  out.number(profile.nodes.size() - 1);
  for (uint32_t i = 1; i < profile.nodes.size(); ++i)
    out.number(i - profile.nodes[i].parent);
  for (size_t i = 1; i < profile.nodes.size(); ++i)
    out.number(profile.nodes[i].frame);
}

void read_tables(Reader& in, RunProfile& profile) {
  for (size_t left = in.count(); left != 0 && !in.failed(); --left)
    profile.strings.push_back(in.text());
  for (size_t left = in.count(); left != 0 && !in.failed(); --left) {
    ProfileModule module;
    module.path = in.text();
    module.build_id = in.text();
    module.is_main = in.number(2) != 0;
    profile.modules.push_back(std::move(module));
  }
  profile.frames.resize(1 + in.count());
  const auto frame_column = [&](auto read) {
    for (size_t i = 1; i < profile.frames.size() && !in.failed(); ++i)
      read(profile.frames[i]);
  };
  frame_column([&](ProfileFrame& frame) { frame.function = in.index(profile.strings.size()); });
  frame_column([&](ProfileFrame& frame) { frame.file = in.index(profile.strings.size()); });
  frame_column([&](ProfileFrame& frame) { frame.module = in.index(profile.modules.size()); });
  frame_column([&](ProfileFrame& frame) { frame.line = in.index(uint64_t{1} << 32); });
  frame_column([&](ProfileFrame& frame) { frame.flags = static_cast<uint8_t>(in.number(64)); });
  profile.nodes.resize(1 + in.count());
  for (uint32_t i = 1; i < profile.nodes.size() && !in.failed(); ++i) {
    const uint32_t distance = in.index(uint64_t{i} + 1);
    if (distance == 0) // its own parent: walks would not end
      return static_cast<void>(in.number(0));
    profile.nodes[i].parent = i - distance;
  }
  for (size_t i = 1; i < profile.nodes.size() && !in.failed(); ++i)
    profile.nodes[i].frame = in.index(profile.frames.size());
}

void write_metrics(const RunProfile& profile, Writer& out) {
  uint64_t known = 0;
  for (const ProfileMetricFacts& metric : profile_metrics())
    known += profile.of_run.has(metric.metric) ? 1 : 0;
  out.number(known);
  for (const ProfileMetricFacts& metric : profile_metrics()) {
    if (!profile.of_run.has(metric.metric))
      continue;
    out.text(metric.name);
    out.number(kOfRun | (profile.of_sites.has(metric.metric) ? kOfSites : 0));
    out.number(profile.totals[metric.metric]);
  }
  out.number(profile.marks.size());
  for (const RunProfile::Mark& mark : profile.marks) {
    out.text(mark.name);
    out.number(mark.count);
  }
}

// `columns`: the metrics of sites as the file has them; nothing for one that is not known here.
void read_metrics(Reader& in, RunProfile& profile, std::vector<std::optional<ProfileMetric>>& columns) {
  for (size_t left = in.count(); left != 0 && !in.failed(); --left) {
    const auto metric = parse_profile_metric(in.text());
    const uint64_t flags = in.number(), total = in.number();
    const bool of_sites = (flags & kOfSites) != 0;
    if (of_sites)
      columns.push_back(metric);
    if (!metric)
      continue;
    profile.of_run.add(*metric);
    if (of_sites)
      profile.of_sites.add(*metric);
    profile.totals[*metric] = total;
  }
  for (size_t left = in.count(); left != 0 && !in.failed(); --left) {
    std::string name = in.text();
    profile.marks.push_back({std::move(name), in.number()});
  }
}

void write_sites(const RunProfile& profile, Writer& out) {
  out.number(profile.sites.size());
  int64_t before = 0;
  for (const ProfileSite& site : profile.sites) {
    out.number(zigzag(int64_t{site.node} - before));
    before = site.node;
  }
  for (const ProfileMetricFacts& metric : profile_metrics())
    if (profile.of_sites.has(metric.metric))
      for (const ProfileSite& site : profile.sites)
        out.number(site.metrics[metric.metric]);
}

void read_sites(Reader& in, const std::vector<std::optional<ProfileMetric>>& columns, RunProfile& profile) {
  const size_t count = in.count();
  if (count > kMaxSites)
    return static_cast<void>(in.number(0));
  profile.sites.resize(count);
  int64_t node = 0;
  for (ProfileSite& site : profile.sites) {
    if (in.failed())
      return;
    const int64_t step = unzigzag(in.number());
    if (step > INT32_MAX || step < INT32_MIN)
      return static_cast<void>(in.number(0));
    node += step;
    if (node < 0 || node >= static_cast<int64_t>(profile.nodes.size()))
      return static_cast<void>(in.number(0));
    site.node = static_cast<uint32_t>(node);
  }
  for (const std::optional<ProfileMetric>& column : columns)
    for (ProfileSite& site : profile.sites) {
      if (in.failed())
        return;
      const uint64_t value = in.number();
      if (column)
        site.metrics[*column] = value;
    }
}

bool write_all(int fd, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(fd, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR)
      continue;
    if (wrote <= 0)
      return false;
    bytes = bytes.subspan(static_cast<size_t>(wrote));
  }
  return true;
}

} // namespace

std::vector<uint8_t> serialize_profile(const RunProfile& profile, const ProfileKey& key,
                                       int compression_level) {
  Writer body;
  write_identity(profile, body);
  write_metrics(profile, body);
  write_tables(profile, body);
  write_sites(profile, body);
  FileHeader header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kProfileVersion;
  header.header_bytes = sizeof header;
  std::memcpy(header.trace_uuid, key.trace_uuid.data(), sizeof header.trace_uuid);
  header.trace_bytes = key.trace_bytes;
  header.trace_hash = key.trace_hash;
  header.moment_hash = key.moment_hash;
  header.names_hash = key.names_hash;
  header.raw_bytes = body.bytes.size();
  std::vector<uint8_t> out(sizeof header + ZSTD_compressBound(body.bytes.size()));
  const size_t stored = ZSTD_compress(out.data() + sizeof header, out.size() - sizeof header,
                                      body.bytes.data(), body.bytes.size(), compression_level);
  if (ZSTD_isError(stored))
    return {};
  header.stored_bytes = stored;
  out.resize(sizeof header + stored);
  std::memcpy(out.data(), &header, sizeof header);
  header.hash = XXH64(out.data() + kHashedFrom, out.size() - kHashedFrom, 0);
  std::memcpy(out.data(), &header, sizeof header);
  return out;
}

std::optional<RunProfile> parse_profile(std::span<const uint8_t> bytes, const ProfileKey* expected) {
  FileHeader header;
  if (bytes.size() < sizeof header || bytes.size() > kMaxFileBytes)
    return {};
  std::memcpy(&header, bytes.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.version != kProfileVersion ||
      header.header_bytes != sizeof header || header.stored_bytes != bytes.size() - sizeof header ||
      header.hash != XXH64(bytes.data() + kHashedFrom, bytes.size() - kHashedFrom, 0))
    return {};
  if (expected != nullptr) {
    ProfileKey key;
    std::memcpy(key.trace_uuid.data(), header.trace_uuid, sizeof header.trace_uuid);
    key.trace_bytes = header.trace_bytes;
    key.trace_hash = header.trace_hash;
    key.moment_hash = header.moment_hash;
    key.names_hash = header.names_hash;
    if (key != *expected)
      return {};
  }
  // Zeros compress well, but not that well: a frame of a few bytes must not take gigabytes.
  if (header.raw_bytes > kMaxRawBytes || header.raw_bytes > (uint64_t{16} << 20) + 256 * header.stored_bytes)
    return {};
  std::vector<uint8_t> raw(header.raw_bytes);
  if (ZSTD_decompress(raw.data(), raw.size(), bytes.data() + sizeof header, header.stored_bytes) !=
      raw.size())
    return {};
  Reader in(raw);
  RunProfile profile;
  std::vector<std::optional<ProfileMetric>> columns;
  read_identity(in, profile);
  read_metrics(in, profile, columns);
  if (!in.failed())
    read_tables(in, profile);
  if (!in.failed())
    read_sites(in, columns, profile);
  if (in.failed() || !in.at_end())
    return {};
  return profile;
}

bool is_profile_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return false;
  char magic[sizeof kMagic];
  const bool found = ::read(fd, magic, sizeof magic) == static_cast<ssize_t>(sizeof magic) &&
                     std::memcmp(magic, kMagic, sizeof magic) == 0;
  ::close(fd);
  return found;
}

std::optional<RunProfile> load_profile(const std::string& path, const ProfileKey* expected) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return {};
  struct stat facts {};
  std::vector<uint8_t> bytes;
  if (::fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_size > 0 &&
      static_cast<uint64_t>(facts.st_size) <= kMaxFileBytes) {
    bytes.resize(static_cast<size_t>(facts.st_size));
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t got = ::read(fd, bytes.data() + done, bytes.size() - done);
      if (got < 0 && errno == EINTR)
        continue;
      if (got <= 0)
        break;
      done += static_cast<size_t>(got);
    }
    bytes.resize(done);
  }
  ::close(fd);
  return parse_profile(bytes, expected);
}

bool save_profile(const std::string& path, const RunProfile& profile, const ProfileKey& key,
                  int compression_level) {
  const std::vector<uint8_t> bytes = serialize_profile(profile, key, compression_level);
  if (bytes.empty()) {
    errno = ENOMEM;
    return false;
  }
  const std::string fresh = path + "." + std::to_string(::getpid()) + ".new";
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0)
    return false;
  const bool written = write_all(fd, bytes);
  const int write_error = errno;
  if (::close(fd) != 0 || !written || ::rename(fresh.c_str(), path.c_str()) != 0) {
    const int error = written ? errno : write_error;
    ::unlink(fresh.c_str());
    errno = error;
    return false;
  }
  return true;
}

} // namespace hl
