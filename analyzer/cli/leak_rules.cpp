// See leak_rules.h.
#include "cli/leak_rules.h"

#include <algorithm>
#include <cstdio>
#include <tuple>

#include "cli/trace_options.h"
#include "suppressions/built_in_suppressions.h"
#include "suppressions/program_suppressions.h"
#include "suppressions/suppression_parser.h"

namespace hl {

void LeakRulesOptions::add(CLI::App& app) {
  app.add_option(
         "--suppressions", files,
         "leave out what the rules of FILE match (LeakSanitizer's, Valgrind's or heaptrack's; repeatable)")
      ->option_text("FILE")
      ->expected(1)
      ->take_all();
  app.add_flag("--no-built-in-suppressions", no_built_in,
               "show what the C and C++ runtime keep for good, too");
  app.add_flag("--no-program-suppressions", no_program,
               "do not look for __lsan_default_suppressions in the program");
}

LeakRules::LeakRules(const LeakRulesOptions& options) : options_(options) {
  for (const std::string& file : options_.files) {
    ParsedSuppressions parsed = read_suppression_file(file);
    if (!parsed.errors.empty())
      throw UsageError(
          parsed.errors.front() +
          (parsed.errors.size() > 1 ? " (and " + std::to_string(parsed.errors.size() - 1) + " more)" : ""));
    std::move(parsed.rules.begin(), parsed.rules.end(), std::back_inserter(rules_));
  }
}
LeakRules::~LeakRules() = default;

void LeakRules::add_rules_of_program(const Trace& trace) {
  for (const TraceModule& module : trace.modules().all()) {
    if (module.id == 0 || is_system_module(module.path) || module.path.empty() || module.path.front() != '/')
      continue;
    ElfError error = ElfError::kNone;
    const auto file = ElfFile::open(module.path, error);
    if (file == nullptr || (!module.build_id.empty() && file->build_id() != module.build_id))
      continue;
    const auto found = read_program_suppressions(*file);
    if (!found)
      continue;
    if (!found->problem.empty()) {
      std::fprintf(stderr, "heapledger: __lsan_default_suppressions of %s is not used: %s\n",
                   module.path.c_str(), found->problem.c_str());
      continue;
    }
    ParsedSuppressions parsed =
        parse_suppressions(found->text, module.path + " (__lsan_default_suppressions)");
    for (const std::string& wrong : parsed.errors)
      std::fprintf(stderr, "heapledger: %s\n", wrong.c_str());
    std::move(parsed.rules.begin(), parsed.rules.end(), std::back_inserter(rules_));
  }
}

RuleOf LeakRules::rule_of(const Trace& trace, const ReplayResult& result, const StackResolver& resolver) {
  if (!options_.no_program)
    add_rules_of_program(trace);
  if (!options_.no_built_in) {
    std::vector<SuppressionRule> built_in = built_in_suppressions();
    std::move(built_in.begin(), built_in.end(), std::back_inserter(rules_));
  }
  matcher_ = std::make_unique<SuppressionMatcher>(std::move(rules_));
  return [this, &result, &resolver](LeakClass leak_class, uint32_t site) {
    std::vector<SuppressionFrame> frames;
    for (const ResolvedFrame& frame : resolver.frames(result.site_stacks[site]))
      if (!frame.marker)
        frames.push_back({frame.function, frame.linkage_name, frame.file, frame.module, frame.line});
    return matcher_->match(frames, leak_class);
  };
}

std::vector<SuppressionHits> LeakRules::hits(const LeakReport& report) const {
  std::vector<SuppressionHits> hits;
  for (const auto& [rule, sum] : report.suppressed_by)
    hits.push_back({matcher_->rules()[rule].name, matcher_->rules()[rule].source, sum});
  std::sort(hits.begin(), hits.end(), [](const SuppressionHits& a, const SuppressionHits& b) {
    return std::tie(b.sum.bytes, a.name, a.source) < std::tie(a.sum.bytes, b.name, b.source);
  });
  return hits;
}

} // namespace hl
