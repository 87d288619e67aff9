// How freed siblings were freed, and what tells survivors from them: the sentence. See growth_text.h.
#include "renderers/growth_text.h"

namespace hl {
namespace {

std::string freed_part(const MissingFree& missing, const TextStyle& style) {
  if (missing.freed_blocks == 0)
    return "";
  const bool one = missing.freed_blocks == 1;
  std::string text =
      with_thousands(missing.freed_blocks) + (one ? " sibling was" : " siblings were") + " freed";
  if (!missing.free_stacks_known)
    return text;
  constexpr size_t kNamed = 2;
  const auto label = [&](const FreedBy& by) {
    return (by.through_realloc ? "realloc in " : "") + fit(printable(short_function(by.function)), 48, style);
  };
  if (missing.freed_by.size() == 1 && missing.freed_otherwise == 0)
    return text + " by " + label(missing.freed_by.front());
  uint64_t named = 0;
  for (size_t i = 0; i < missing.freed_by.size() && i < kNamed; ++i) {
    text += (i == 0 ? " by " : ", ") + label(missing.freed_by[i]) + " (" +
            human_percent(missing.freed_by[i].blocks, missing.freed_blocks) + ")";
    named += missing.freed_by[i].blocks;
  }
  return text + (named < missing.freed_blocks ? " and others" : "");
}

std::string what_they_did(const MissingFree& missing, const std::vector<ThreadTotals>& threads,
                          const TextStyle& style) {
  const Distinction& found = missing.distinction;
  switch (found.kind) {
  case Distinction::Kind::none:
    break;
  case Distinction::Kind::function:
    return "came through " + fit(printable(short_function(found.function)), 48, style);
  case Distinction::Kind::thread: {
    std::string name = found.thread < threads.size() ? printable(threads[found.thread].name) : "";
    return "were allocated by thread " + (name.empty() ? "#" + std::to_string(found.thread) : name);
  }
  case Distinction::Kind::size:
    return "have " + with_thousands(found.from_bytes) + " to " + with_thousands(found.to_bytes) + " bytes";
  case Distinction::Kind::period:
    return "were allocated between " + human_ns(found.from_ns) + " and " + human_ns(found.to_ns);
  }
  return "";
}

} // namespace

std::string missing_free_sentence(const MissingFree& missing, const std::vector<ThreadTotals>& threads,
                                  const TextStyle& style) {
  if (missing.survivors == 0)
    return "";
  std::string freed = freed_part(missing, style);
  if (freed.empty())
    return missing.survivors < 2 ? "" : "no block from here was ever freed";
  const std::string did = what_they_did(missing, threads, style);
  if (did.empty())
    return freed;
  // The share that has it, over those that do not.
  const bool all = missing.distinction.share_of_survivors >= 1;
  const std::string survivors = with_thousands(missing.survivors);
  if (missing.survivors == 1)
    return freed + "; the survivor " + did;
  if (all)
    return freed + "; the " + survivors + " survivors all " + did;
  return freed + "; " +
         human_percent(static_cast<uint64_t>(missing.distinction.share_of_survivors * 1000), 1000) +
         " of the " + survivors + " survivors " + did;
}

std::string missing_free_hint(const MissingFree& missing) {
  if (missing.freed_blocks == 0 || missing.free_stacks_known)
    return "";
  return "record with --free-stacks to see who freed them";
}

} // namespace hl
