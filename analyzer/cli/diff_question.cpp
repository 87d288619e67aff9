// See diff_question.h.
#include "cli/diff_question.h"

#include <memory>

#include "cli/diff_limits.h"
#include "cli/gate.h"
#include "cli/progress.h"
#include "cli/run_loading.h"
#include "cli/verbs.h"
#include "renderers/diff_output.h"

namespace hl {
namespace {

// A list for people and a list for programs; --top 0 lifts either.
constexpr size_t kTopText = 10, kTopJson = 10000;

// What a comparison of these two is about: the peaks of two runs, the live heaps of two moments.
ProfileMetric chosen_metric(const DiffQuestion& options, const RunProfile& base, const RunProfile& next) {
  if (!options.by.empty()) {
    const auto metric = parse_profile_metric(options.by);
    if (!metric || !facts(*metric).of_sites)
      throw UsageError("--by: there is no measure '" + options.by + "' of sites");
    if (!base.of_sites.has(*metric) || !next.of_sites.has(*metric))
      throw UsageError("--by: '" + options.by + "' is not known of both runs");
    return *metric;
  }
  const auto whole = [](const RunProfile& profile) {
    return profile.moment == "exit" || profile.moment == "peak";
  };
  return whole(base) && whole(next) ? ProfileMetric::peak_bytes : ProfileMetric::exit_bytes;
}

RenameMap chosen_renames(const DiffQuestion& options) {
  std::vector<std::string> wrong;
  RenameMap map;
  if (!options.renames.empty())
    map = read_renames(options.renames, wrong);
  if (!wrong.empty())
    throw UsageError(wrong.front() +
                     (wrong.size() > 1 ? " (and " + std::to_string(wrong.size() - 1) + " more)" : ""));
  return map;
}

// What is compared: two profiles, of one run each or the medians of several.
struct Subject {
  std::unique_ptr<RunProfile> single[2];
  std::unique_ptr<RunSet> several[2];
  std::string name[2];

  const RunProfile& profile(Side side) const {
    return several[side] ? several[side]->median() : *single[side];
  }
};

std::unique_ptr<RunSet> load_set(const DiffQuestion& question, const std::vector<std::string>& traces,
                                 const std::string& name) {
  std::vector<RunProfile> runs;
  for (size_t i = 0; i < traces.size(); i += 2) {
    Progress progress("replaying");
    if (i + 1 == traces.size()) {
      runs.push_back(load_run({traces[i], &question.common, progress.callback(), question.rules}));
    } else {
      auto [first, second] =
          load_runs({traces[i], &question.common, {}, question.rules},
                    {traces[i + 1], &question.common, progress.callback(), question.rules});
      runs.push_back(std::move(first));
      runs.push_back(std::move(second));
    }
    progress.clear();
  }
  try {
    return std::make_unique<RunSet>(std::move(runs), question.per, name);
  } catch (const std::invalid_argument& wrong) {
    throw UsageError(std::string("--per: ") + wrong.what());
  }
}

Subject load_subject(DiffQuestion& question) {
  Subject subject;
  if (question.base_runs.empty() && question.new_runs.empty()) {
    if (question.base.empty() || question.next.empty())
      throw UsageError("diff wants two runs: BASE NEW, or --base TRACE... --new TRACE...");
    Progress progress("replaying");
    auto [base, next] = load_runs({question.base, &question.common, {}, question.rules},
                                  {question.next, &question.common, progress.callback(), question.rules});
    progress.clear();
    subject.single[kBase] = std::make_unique<RunProfile>(std::move(base));
    subject.single[kNew] = std::make_unique<RunProfile>(std::move(next));
    subject.name[kBase] = question.base;
    subject.name[kNew] = question.next;
    return subject;
  }
  if (question.base_runs.empty() || question.new_runs.empty() || !question.base.empty())
    throw UsageError("several runs are named by --base TRACE... and --new TRACE... alone, both of them");
  for (const Side side : {kBase, kNew}) {
    const std::vector<std::string>& traces = side == kBase ? question.base_runs : question.new_runs;
    subject.several[side] = load_set(question, traces, side == kBase ? "base" : "new");
    subject.name[side] = traces.front() + (traces.size() > 1 ? ", ..." : "");
  }
  return subject;
}

} // namespace

int answer_diff_question(DiffQuestion& question) {
  std::vector<DiffLimit> limits;
  for (const std::string& text : question.common.limits) {
    std::string why;
    const auto limit = parse_diff_limit(text, why);
    if (!limit)
      throw UsageError(why);
    limits.push_back(*limit);
  }
  if (limits.empty() && (!question.common.junit_file.empty() || question.common.github))
    throw UsageError("--junit and --github tell what came of limits; there is no --max");
  const RenameMap renames = chosen_renames(question);
  const Subject subject = load_subject(question);
  const RunProfile &base = subject.profile(kBase), &next = subject.profile(kNew);
  std::unique_ptr<RunDiff> diff;
  try {
    diff = std::make_unique<RunDiff>(base, next, renames,
                                     DiffOptions{.by = chosen_metric(question, base, next),
                                                 .per = question.per,
                                                 .leave_out_set_up = !subject.several[kBase]});
  } catch (const std::invalid_argument& wrong) {
    throw UsageError(std::string("--per: ") + wrong.what());
  }
  std::unique_ptr<ManyRuns> many;
  if (subject.several[kBase])
    many = std::make_unique<ManyRuns>(*subject.several[kBase], *subject.several[kNew], *diff);
  const DiffAnswer answer{*diff, subject.name[kBase], subject.name[kNew],
                          question.top.value_or(question.common.json ? kTopJson : kTopText), many.get()};
  if (question.common.json) {
    print_json(diff_json, answer);
  } else {
    const TextStyle style = question.common.style();
    std::fputs((many ? many_runs_text(answer, style) : diff_text(answer, style)).c_str(), stdout);
  }
  std::vector<CheckResult> checks = check_diff_limits(limits, *diff);
  if (many)
    excuse_noise(limits, *many, checks);
  if (!question.markdown_file.empty() || !question.sarif_file.empty()) {
    const Ownership ownership = question.ownership.ownership();
    if (!question.markdown_file.empty())
      write_file(question.markdown_file, diff_markdown(answer, ownership, checks), "markdown file");
    if (!question.sarif_file.empty())
      write_file(question.sarif_file,
                      sarif_log(diff_findings(answer, ownership, checks), HEAPLEDGER_VERSION), "SARIF file");
  }
  if (limits.empty())
    return kExitFine;
  return conclude(question.common, subject.name[kBase] + " -> " + subject.name[kNew], checks);
}

} // namespace hl
