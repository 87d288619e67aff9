// See budget_output.h.
#include "renderers/budget_output.h"

#include <algorithm>
#include <cmath>

#include "renderers/diff_output.h"

namespace hl {
namespace {

std::string place_name(const FaultPlace& place) {
  std::string text = short_function(place.function);
  if (!place.file.empty())
    text += "  " + place.file + (place.line != 0 ? ":" + std::to_string(place.line) : "");
  return text;
}

std::string place_amount(const FaultPlace& place, MetricUnit unit, const TextStyle& style) {
  return place.change ? signed_amount(*place.change, unit, style) : amount(place.value, unit, style);
}

std::string verdict_sentence(const BudgetAnswer& answer) {
  size_t over = 0, under = 0, not_run = 0;
  for (const BudgetOutcome& outcome : answer.outcomes) {
    over += outcome.verdict == BudgetVerdict::over ? 1 : 0;
    under += outcome.verdict == BudgetVerdict::under ? 1 : 0;
    not_run += outcome.verdict == BudgetVerdict::not_run ? 1 : 0;
  }
  const std::string all = plural(answer.outcomes.size(), "check");
  std::string text;
  if (over != 0)
    text = "Over budget: " + std::to_string(over) + " of " + all;
  if (under != 0)
    text += (text.empty() ? "Better than budget: " : ", and better than budget: ") + std::to_string(under) +
            " of " + all;
  if (text.empty())
    text = not_run == answer.outcomes.size() ? "Nothing was checked" : "Within budget: " + all;
  if (not_run != 0)
    text += ", " + plural(not_run, "check") + " of tests that did not run";
  return text + ".";
}

const char* word(BudgetVerdict verdict) {
  switch (verdict) {
  case BudgetVerdict::over:
    return "over";
  case BudgetVerdict::under:
    return "better";
  case BudgetVerdict::not_run:
    return "not run";
  case BudgetVerdict::held:
    break;
  }
  return "ok";
}

// The worst first.
std::vector<const BudgetOutcome*> in_order(const BudgetAnswer& answer) {
  std::vector<const BudgetOutcome*> order;
  for (const BudgetOutcome& outcome : answer.outcomes)
    order.push_back(&outcome);
  std::stable_sort(order.begin(), order.end(), [](const BudgetOutcome* a, const BudgetOutcome* b) {
    const auto rank = [](const BudgetOutcome* outcome) {
      return outcome->verdict == BudgetVerdict::over ? 0 : outcome->verdict == BudgetVerdict::under ? 1 : 2;
    };
    return rank(a) < rank(b);
  });
  return order;
}

std::string allowed_text(const BudgetOutcome& outcome, const TextStyle& style) {
  return amount(static_cast<double>(outcome.allowed), outcome.unit, style);
}

} // namespace

size_t BudgetAnswer::failures() const {
  return static_cast<size_t>(
      std::count_if(outcomes.begin(), outcomes.end(), [&](const BudgetOutcome& o) { return fails(o); }));
}

std::string budget_text(const BudgetAnswer& answer, const TextStyle& style) {
  std::string out = wrapped(style.bold(verdict_sentence(answer)), "", "", style) + "\n";
  const size_t name_width = style.width - std::min<size_t>(style.width - 20, 46);
  for (const BudgetOutcome* outcome : in_order(answer)) {
    const MetricUnit unit = outcome->unit;
    const bool ran = outcome->verdict != BudgetVerdict::not_run;
    const std::string state = pad_right(word(outcome->verdict), 8);
    out += "  " + (answer.fails(*outcome) ? style.warning(state) : state) + " " +
           pad_right(fit(printable(outcome->name), name_width, style), name_width) +
           pad_left(ran ? amount(static_cast<double>(outcome->value), unit, style) : "-", 14) + " of" +
           pad_left(allowed_text(*outcome, style), 14) + "\n";
  }
  for (const BudgetOutcome* outcome : in_order(answer)) {
    if (!answer.fails(*outcome))
      continue;
    out += "\n" + wrapped(printable(outcome->message) + ".", "", "", style);
    for (const FaultPlace& place : outcome->places) {
      const std::string owner = place.owner.empty() ? "" : "  " + printable(place.owner);
      const std::string head = "  " + pad_left(place_amount(place, outcome->unit, style), 12) + "  ";
      const size_t used = display_width(head) + display_width(owner);
      out += head +
             fit(printable(place_name(place)), style.width > used + 20 ? style.width - used : 20, style) +
             style.dim(owner) + "\n";
    }
  }
  if (!answer.patch.empty())
    out += "\n" +
           wrapped(answer.updated ? answer.budget + " was changed:"
                                  : "To accept this, apply (or run again with --update-budget):",
                   "", "", style) +
           "\n" + answer.patch;
  return out;
}

void budget_json(const BudgetAnswer& answer, JsonWriter& json) {
  json.begin_object()
      .member("trace", answer.trace)
      .member("budget", answer.budget)
      .member("passed", answer.failures() == 0)
      .member("failures", uint64_t{answer.failures()});
  json.key("checks").begin_array();
  for (const BudgetOutcome& outcome : answer.outcomes) {
    const BudgetEntry& entry = outcome.entry;
    json.begin_object()
        .member("group", entry.group == BudgetGroup::metrics ? "metrics"
                         : entry.group == BudgetGroup::sites ? "sites"
                                                             : "tests")
        .member("name", outcome.name)
        .member("metric", entry.metric)
        .member("verdict", to_string(outcome.verdict))
        .member("passed", !answer.fails(outcome));
    json.key("value");
    if (outcome.verdict == BudgetVerdict::not_run)
      json.null();
    else
      json.value(outcome.value);
    json.member("allowed", outcome.allowed).key("base");
    if (entry.relative)
      json.value(entry.value);
    else
      json.null();
    json.member("message", outcome.message).key("places").begin_array();
    for (const FaultPlace& place : outcome.places) {
      json.begin_object().member("function", place.function).key("file");
      if (place.file.empty())
        json.null();
      else
        json.value(place.file);
      json.key("line");
      if (place.line == 0)
        json.null();
      else
        json.value(place.line);
      json.key("owner");
      if (place.owner.empty())
        json.null();
      else
        json.value(place.owner);
      json.member("value", static_cast<uint64_t>(std::llround(place.value))).key("change");
      if (place.change)
        json.value(static_cast<int64_t>(std::llround(*place.change)));
      else
        json.null();
      json.end_object();
    }
    json.end_array().end_object();
  }
  json.end_array().member("patch", answer.patch).member("updated", answer.updated).end_object();
}

std::string markdown_code(std::string_view text) {
  std::string code = "`";
  for (const char c : printable(text))
    code += c == '`' ? std::string("'") : c == '|' ? std::string("\\|") : std::string(1, c);
  return code + "`";
}

std::string budget_markdown(const BudgetAnswer& answer) {
  TextStyle style;
  std::string out = "### heapledger: " + verdict_sentence(answer) +
                    "\n\n| | check | this run | allowed |\n"
                    "|---|---|---:|---:|\n";
  constexpr size_t kShown = 30;
  const auto order = in_order(answer);
  for (size_t i = 0; i < std::min(order.size(), kShown); ++i) {
    const BudgetOutcome& outcome = *order[i];
    out += std::string("| ") +
           (answer.fails(outcome) ? "**" + std::string(word(outcome.verdict)) + "**"
                                  : std::string(word(outcome.verdict))) +
           " | " + markdown_code(outcome.name) + " | " +
           (outcome.verdict == BudgetVerdict::not_run
                ? "-"
                : amount(static_cast<double>(outcome.value), outcome.unit, style)) +
           " | " + allowed_text(outcome, style) + " |\n";
  }
  if (order.size() > kShown)
    out += "\nand " + std::to_string(order.size() - kShown) + " more checks\n";
  for (const BudgetOutcome* outcome : order) {
    if (!answer.fails(*outcome) || outcome->places.empty())
      continue;
    out += "\n" + markdown_code(outcome->name) +
           ", the places at fault:\n\n| | where | owner |\n|---:|---|---|\n";
    for (const FaultPlace& place : outcome->places)
      out += "| " + place_amount(place, outcome->unit, style) + " | " + markdown_code(place_name(place)) +
             " | " + printable(place.owner) + " |\n";
  }
  if (!answer.patch.empty())
    out += std::string("\n<details><summary>") +
           (answer.updated ? "The budget was changed" : "To accept this") + "</summary>\n\n```diff\n" +
           answer.patch + "```\n\n</details>\n";
  return out;
}

std::vector<CheckResult> budget_checks(const BudgetAnswer& answer) {
  std::vector<CheckResult> checks;
  TextStyle style;
  style.exact = true;
  for (const BudgetOutcome& outcome : answer.outcomes) {
    CheckResult check;
    check.group = "budget";
    check.name = outcome.name;
    check.passed = !answer.fails(outcome);
    check.message = outcome.message;
    for (const FaultPlace& place : outcome.places)
      check.details += place_amount(place, outcome.unit, style) + "  " + place_name(place) +
                       (place.owner.empty() ? "" : "  " + place.owner) + "\n";
    for (const FaultPlace& place : outcome.places) {
      if (place.file.empty())
        continue;
      check.file = place.file;
      check.line = place.line;
      break;
    }
    checks.push_back(std::move(check));
  }
  return checks;
}

std::vector<SarifFinding> budget_findings(const BudgetAnswer& answer) {
  std::vector<SarifFinding> findings;
  for (const BudgetOutcome& outcome : answer.outcomes) {
    if (!answer.fails(outcome))
      continue;
    SarifFinding finding;
    finding.rule = outcome.verdict == BudgetVerdict::under ? SarifRule::budget_under : SarifRule::budget_over;
    finding.level = outcome.verdict == BudgetVerdict::under ? SarifLevel::warning : SarifLevel::error;
    finding.message = outcome.message;
    finding.identity = outcome.name;
    for (const FaultPlace& place : outcome.places)
      if (!place.file.empty()) {
        finding.file = place.file;
        finding.line = place.line;
        break;
      }
    // Without a place of the code it is the budget's own file that has to change.
    if (finding.file.empty())
      finding.file = answer.budget;
    findings.push_back(std::move(finding));
  }
  return findings;
}

} // namespace hl
