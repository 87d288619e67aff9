// See compared_names.h. Which files of two builds are one file: paths are compared from their ends. What is
// left in front of the common end of two paths is a pair of directories; the build directory is the pair that
// most files agree on. A file whose pair only it has was moved.
#include "diff/compared_names.h"

#include <algorithm>
#include <map>

#include "diff/canonical_name.h"

namespace hl {
namespace {

// "./a/../b//c" -> "b/c"; a leading ".." stays.
std::string normalised_path(std::string_view path) {
  std::vector<std::string_view> parts;
  const bool absolute = path.starts_with('/');
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    at = end + 1;
    if (part.empty() || part == ".")
      continue;
    if (part == ".." && !parts.empty() && parts.back() != "..")
      parts.pop_back();
    else if (part != ".." || !absolute)
      parts.push_back(part);
  }
  std::string result;
  for (const std::string_view part : parts) {
    if (absolute || !result.empty())
      result += '/';
    result += part;
  }
  return result;
}

std::string_view base_name(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

// Length of the common end of two paths in whole components.
size_t common_end(std::string_view a, std::string_view b) {
  const size_t limit = std::min(a.size(), b.size());
  size_t same = 0, whole = 0;
  while (same < limit && a[a.size() - 1 - same] == b[b.size() - 1 - same]) {
    ++same;
    if (a[a.size() - same] == '/')
      whole = same;
  }
  if (same == limit && (same == a.size() || a[a.size() - 1 - same] == '/') &&
      (same == b.size() || b[b.size() - 1 - same] == '/'))
    whole = same;
  return whole;
}

struct File {
  std::string path;
  std::vector<uint32_t> strings; // indices that spell it
};

std::vector<File> files_of(const RunProfile& profile) {
  std::vector<bool> named(profile.strings.size(), false);
  for (const ProfileFrame& frame : profile.frames)
    named[frame.file] = true;
  std::map<std::string, File> files;
  for (uint32_t i = 1; i < named.size(); ++i) {
    if (!named[i] || profile.strings[i].empty())
      continue;
    std::string path = normalised_path(profile.strings[i]);
    File& file = files[path];
    file.path = std::move(path);
    file.strings.push_back(i);
  }
  std::vector<File> result;
  result.reserve(files.size());
  for (auto& [path, file] : files)
    result.push_back(std::move(file));
  return result;
}

} // namespace

ComparedNames::ComparedNames(const RunProfile& base, const RunProfile& next, const RenameMap& renames)
    : profiles_{&base, &next} {
  text_number(""); // 0
  number_files();
  static const RenameMap kNone;
  number_frames(kBase, renames);
  number_frames(kNew, kNone);
}

uint32_t ComparedNames::text_number(std::string_view text) {
  if (const auto found = text_numbers_.find(text); found != text_numbers_.end())
    return found->second;
  const auto number = static_cast<uint32_t>(texts_.size());
  text_numbers_.emplace(texts_.emplace_back(text), number);
  return number;
}

void ComparedNames::number_files() {
  const std::vector<File> base = files_of(*profiles_[kBase]), next = files_of(*profiles_[kNew]);
  std::unordered_map<std::string_view, std::vector<uint32_t>> base_by_name;
  for (uint32_t i = 0; i < base.size(); ++i)
    base_by_name[base_name(base[i].path)].push_back(i);

  constexpr uint32_t kNone = UINT32_MAX;
  struct Candidate {
    uint32_t base, next;
    size_t common;
  };
  // Identical paths first; of the others every pair with one name, the longest common end first.
  std::vector<uint32_t> partner_of_next(next.size(), kNone), partner_of_base(base.size(), kNone);
  std::vector<Candidate> candidates;
  constexpr size_t kMaxNamesakes = 64;
  for (uint32_t i = 0; i < next.size(); ++i) {
    const auto found = base_by_name.find(base_name(next[i].path));
    if (found == base_by_name.end())
      continue;
    for (size_t k = 0; k < std::min(found->second.size(), kMaxNamesakes); ++k) {
      const uint32_t b = found->second[k];
      if (base[b].path == next[i].path) {
        partner_of_next[i] = b;
        partner_of_base[b] = i;
      } else {
        candidates.push_back({b, i, common_end(base[b].path, next[i].path)});
      }
    }
  }
  const auto directories = [&](const Candidate& c) {
    return std::pair(base[c.base].path.substr(0, base[c.base].path.size() - c.common),
                     next[c.next].path.substr(0, next[c.next].path.size() - c.common));
  };
  std::map<std::pair<std::string, std::string>, size_t> votes;
  for (const Candidate& c : candidates)
    if (partner_of_next[c.next] == kNone && partner_of_base[c.base] == kNone)
      ++votes[directories(c)];
  const bool any_identical =
      std::any_of(partner_of_next.begin(), partner_of_next.end(), [](uint32_t p) { return p != kNone; });
  size_t most = 0;
  for (const auto& [pair, count] : votes)
    most = std::max(most, count);
  std::stable_sort(candidates.begin(), candidates.end(), [&](const Candidate& a, const Candidate& b) {
    const size_t votes_a = votes[directories(a)], votes_b = votes[directories(b)];
    return votes_a != votes_b ? votes_a > votes_b : a.common > b.common;
  });
  std::vector<bool> moved_next(next.size(), false);
  for (const Candidate& c : candidates) {
    if (partner_of_next[c.next] != kNone || partner_of_base[c.base] != kNone)
      continue;
    partner_of_next[c.next] = c.base;
    partner_of_base[c.base] = c.next;
    // Where other files stayed where they were, or went another way together, a lone one was moved.
    const size_t count = votes[directories(c)];
    const bool together = count > 1 || (count == most && most == 1 && !any_identical);
    if (!together) {
      moved_next[c.next] = true;
      moved_.push_back({base[c.base].path, next[c.next].path});
    }
  }

  file_numbers_[kBase].assign(profiles_[kBase]->strings.size(), 0);
  file_numbers_[kNew].assign(profiles_[kNew]->strings.size(), 0);
  std::vector<uint32_t> numbers(base.size());
  for (uint32_t i = 0; i < base.size(); ++i) {
    numbers[i] = ++files_;
    for (const uint32_t string : base[i].strings)
      file_numbers_[kBase][string] = numbers[i];
  }
  for (uint32_t i = 0; i < next.size(); ++i) {
    const bool same = partner_of_next[i] != kNone && !moved_next[i];
    const uint32_t number = same ? numbers[partner_of_next[i]] : ++files_;
    for (const uint32_t string : next[i].strings)
      file_numbers_[kNew][string] = number;
  }
}

void ComparedNames::number_frames(Side side, const RenameMap& renames) {
  const RunProfile& profile = *profiles_[side];
  struct Function {
    bool known = false;
    uint32_t whole = 0, canonical = 0, details = 0, last = 0, bare = 0;
  };
  std::vector<Function> functions(profile.strings.size());
  std::vector<uint32_t> modules(profile.modules.size(), 0);
  for (size_t i = 1; i < modules.size(); ++i)
    modules[i] = text_number(profile.modules[i].is_main ? std::string("[program]")
                                                        : canonical_module(profile.modules[i].path));
  std::vector<uint32_t> builds(profile.modules.size(), 0);
  for (size_t i = 1; i < builds.size(); ++i)
    builds[i] = text_number(profile.modules[i].build_id); // of the empty text: 0
  frames_[side].resize(profile.frames.size());
  for (size_t i = 1; i < profile.frames.size(); ++i) {
    const ProfileFrame& frame = profile.frames[i];
    Function function = functions[frame.function];
    const std::string_view text = profile.function(frame);
    const bool nameless = is_nameless(text);
    if (!function.known) {
      CanonicalName canonical = canonical_name(text);
      std::string name = renames.empty() ? canonical.name : renames.renamed(canonical.name);
      function.known = true;
      // An address means the same place in the same build alone.
      if (nameless)
        name = canonical_module(profile.module(frame).path) + " " + name.substr(name.rfind('+') + 1) + " " +
               profile.module(frame).build_id;
      function.whole = text_number(name != canonical.name ? std::string_view(name) : text);
      function.canonical = text_number(name);
      function.details = text_number(canonical.details);
      function.last = text_number(last_component(name));
      // A closure's operator() may have lost the closure.
      function.bare = text_number(name.ends_with("::operator()") ? "operator()" : last_component(name));
      if (!nameless) // the same offset may stand for several modules
        functions[frame.function] = function;
    }
    FrameNames& names = frames_[side][i];
    names.file = file_numbers_[side][frame.file];
    names.module = modules[frame.module];
    names.build = builds[frame.module];
    names.last = function.last;
    const uint32_t place = pairs_.child(names.file, names.module);
    const uint32_t arguments = pairs_.child(function.canonical, function.details);
    names.by_strength = {pairs_.child(function.whole, place),
                         pairs_.child(arguments, place),
                         arguments,
                         pairs_.child(function.canonical, names.module),
                         function.canonical,
                         pairs_.child(function.bare, names.file != 0 ? names.file : names.module)};
    names.kept = (frame.flags & (kFrameAllocator | kFrameRuntime | kFrameMarker)) == 0;
    names.own = frame.own();
    names.nameless = nameless;
  }
}

} // namespace hl
