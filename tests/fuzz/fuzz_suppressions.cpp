// Fuzzes what reads suppressions: an ELF file's __lsan_default_suppressions, else a file in either dialect,
// whose rules are then put to stacks. A rule that was read must name a line of the input and match without
// harm; the matcher must say the same twice.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "suppressions/program_suppressions.h"
#include "suppressions/suppression_matcher.h"
#include "suppressions/suppression_parser.h"

namespace {

using namespace hl;

void read_program(const uint8_t* data, size_t size) {
  const int fd = memfd_create("module", MFD_CLOEXEC);
  if (fd < 0 || write(fd, data, size) != static_cast<ssize_t>(size))
    std::abort();
  ElfError error{};
  if (const auto file = ElfFile::open("/proc/self/fd/" + std::to_string(fd), error)) {
    const auto found = read_program_suppressions(*file);
    if (found && !found->problem.empty() && !found->text.empty())
      std::abort();
  }
  close(fd);
}

void match_stacks(std::vector<SuppressionRule> rules) {
  static const SuppressionFrame kFrames[] = {
      {"operator new(unsigned long)", "_Znwm", "", "/usr/lib/libstdc++.so.6", 0},
      {"app::Cache::fill(int)", "_ZN3app5Cache4fillEi", "/src/cache.cc", "/opt/app", 10},
      {"app+0x1234", "", "", "/opt/app", 0},
      {"__GI_getpwnam", "__GI_getpwnam", "", "/lib/libc.so.6", 0},
      {"main", "main", "/src/main.cc", "/opt/app", 3}};
  SuppressionMatcher matcher(std::move(rules));
  for (const LeakClass leak_class : {LeakClass::unknown, LeakClass::definite, LeakClass::reachable}) {
    for (size_t first = 0; first < std::size(kFrames); ++first) {
      const std::span<const SuppressionFrame> stack(kFrames + first, std::size(kFrames) - first);
      const auto matched = matcher.match(stack, leak_class);
      if (matched && *matched >= matcher.rules().size())
        std::abort();
      if (matcher.match(stack, leak_class) != matched)
        std::abort();
    }
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.starts_with("\x7f"
                       "ELF")) {
    read_program(data, size);
    return 0;
  }
  ParsedSuppressions parsed = parse_suppressions(text, "f");
  if (parsed.errors.size() > ParsedSuppressions::kMaxErrors)
    std::abort();
  for (const SuppressionRule& rule : parsed.rules)
    if (rule.name.empty() || !rule.source.starts_with("f:") || (!rule.anywhere && rule.frames.empty()))
      std::abort();
  if (parsed.rules.size() < 1000)
    match_stacks(std::move(parsed.rules));
  return 0;
}
