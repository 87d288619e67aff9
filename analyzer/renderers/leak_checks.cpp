// See leak_checks.h.
#include "renderers/leak_checks.h"

#include "renderers/stack_text.h"

namespace hl {
namespace {

constexpr size_t kMaxChecks = 100;

bool is_exceeded(LeakClass leak_class, std::span<const CheckResult> checks) {
  const std::string prefix = std::string(to_string(leak_class)) + ".";
  for (const CheckResult& check : checks)
    if (!check.passed && check.name.starts_with(prefix))
      return true;
  return false;
}

std::string frame_lines(const LeaksAnswer& answer, uint32_t site) {
  std::string lines;
  for (const ResolvedFrame& frame :
       answer.heap.resolver.frames(answer.heap.heap.result().site_stacks[site])) {
    lines += std::string(frame.function);
    if (!frame.file.empty())
      lines +=
          " (" + std::string(frame.file) + (frame.line != 0 ? ":" + std::to_string(frame.line) : "") + ")";
    else if (!frame.module.empty())
      lines += " in " + std::string(frame.module);
    lines += "\n";
  }
  return lines;
}

// No line number in it: the same place must keep its name from build to build.
std::string name_of(const LeakGroup& group) {
  std::string name = std::string(to_string(group.leak_class)) + ": " + group.place->function;
  return group.place->file.empty() ? name : name + " (" + short_path(group.place->file) + ")";
}

} // namespace

std::vector<CheckResult> leak_checks(const LeaksAnswer& answer, std::span<const CheckResult> checks) {
  std::vector<CheckResult> results;
  uint64_t left_out = 0;
  for (const LeakGroup& group : answer.study.groups) {
    if (!is_exceeded(group.leak_class, checks))
      continue;
    if (results.size() == kMaxChecks) {
      ++left_out;
      continue;
    }
    CheckResult check;
    check.group = "leaks";
    check.name = name_of(group);
    check.passed = false;
    check.message = with_thousands(group.sum.bytes) + " bytes in " + plural(group.sum.blocks, "block") +
                    ", " + std::string(to_string(group.leak_class));
    if (group.with.blocks != 0)
      check.message += "; with them " + with_thousands(group.with.bytes) + " bytes in " +
                       plural(group.with.blocks, "block") + " that only they lead to";
    check.file = group.place->file;
    check.line = group.place->line;
    if (!group.sites.empty())
      check.details = frame_lines(answer, group.sites.front()->site);
    results.push_back(std::move(check));
  }
  if (left_out != 0)
    results.push_back({"leaks", "more places", false, "and " + plural(left_out, "more place"), "", "", 0});
  return results;
}

} // namespace hl
