// See budget_file.h.
#include "budget/budget_file.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>

#include "budget/json_places.h"
#include "budget/test_stretches.h"

namespace hl {
namespace {

using nlohmann::json;

class Parser {
 public:
  Parser(const std::string& text, std::string name)
      : text_(text), name_(std::move(name)), root_(parsed()), places_(text) {
    if (!places_.wrong().empty())
      throw BudgetError(name_ + ": " + places_.wrong());
  }

  Budget run() {
    if (!root_.is_object())
      refuse("", "a budget is an object");
    only(root_, "", {"version", "ratchet", "metrics", "sites", "tests", "$schema", "comment"});
    if (!root_.contains("version"))
      refuse("", "\"version\" is missing; this is " + std::to_string(kBudgetVersion));
    if (!root_["version"].is_number_integer() || root_["version"] != kBudgetVersion)
      refuse("/version", "only version " + std::to_string(kBudgetVersion) + " is known");
    budget_.text = text_;
    ratchet();
    if (root_.contains("metrics"))
      metrics(root_["metrics"], "/metrics", {});
    sites();
    tests();
    return std::move(budget_);
  }

 private:
  json parsed() const {
    try {
      return json::parse(text_);
    } catch (const json::parse_error& error) {
      // The library counts bytes from 1 and points behind what it did not expect.
      const std::string what = error.what();
      const size_t from = what.find("syntax error");
      throw BudgetError(name_ + ": " + line_and_column(text_, error.byte == 0 ? 0 : error.byte - 1) + ": " +
                        (from == std::string::npos ? "no valid JSON" : what.substr(from)));
    } catch (const json::exception&) {
      throw BudgetError(name_ + ": holds a number beyond all bounds");
    }
  }

  std::string place_of(const std::string& pointer) const {
    const JsonRange* range = places_.find(pointer);
    return name_ + ": " + line_and_column(text_, range == nullptr ? 0 : range->begin) +
           (pointer.empty() ? "" : ", at " + pointer);
  }
  [[noreturn]] void refuse(const std::string& pointer, const std::string& reason) const {
    throw BudgetError(place_of(pointer) + ": " + reason);
  }

  void only(const json& object, const std::string& pointer, const std::vector<std::string>& keys) const {
    for (const auto& [key, value] : object.items())
      if (std::find(keys.begin(), keys.end(), key) == keys.end())
        refuse(pointer + "/" + pointer_part(key), "no such key; known are " + list(keys));
  }
  static std::string list(const std::vector<std::string>& keys) {
    std::string text;
    for (const std::string& key : keys)
      text += (text.empty() ? "" : ", ") + key;
    return text;
  }

  uint64_t amount(const json& value, const std::string& pointer) const {
    if (value.is_number_unsigned())
      return value.get<uint64_t>();
    if (value.is_string())
      if (const auto limit = parse_limit("x=" + value.get<std::string>()))
        return limit->value;
    refuse(pointer, "an amount is a whole number from 0, or a text such as \"64k\" or \"100MiB\"");
  }

  std::optional<double> percentage(const json& value) const {
    if (!value.is_string())
      return {};
    std::string text = value.get<std::string>();
    if (!text.ends_with('%'))
      return {};
    text.pop_back();
    while (text.ends_with(' '))
      text.pop_back();
    double percent = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), percent);
    if (error != std::errc() || rest != text.data() + text.size() || !(percent >= 0 && percent <= 1e6))
      return {};
    return percent;
  }

  void ratchet() {
    if (!root_.contains("ratchet"))
      return;
    const json& value = root_["ratchet"];
    if (value.is_boolean()) {
      if (!value.get<bool>())
        budget_.ratchet.reset();
      return;
    }
    budget_.ratchet = percentage(value);
    if (!budget_.ratchet)
      refuse("/ratchet", "the ratchet is a margin such as \"5%\", or false");
  }

  void metrics(const json& object, const std::string& pointer, const BudgetEntry& subject) {
    if (!object.is_object())
      refuse(pointer, "wants an object of metrics");
    for (const auto& [name, limit] : object.items()) {
      const std::string at = pointer + "/" + pointer_part(name);
      const auto metric = parse_profile_metric(name);
      if (subject.group == BudgetGroup::sites && !(metric && facts(*metric).of_sites))
        refuse(at, "there is no such metric of sites; `heapledger diff --help` lists them");
      if (subject.group == BudgetGroup::tests && !(metric && is_test_metric(*metric)))
        refuse(at,
               "there is no such metric of tests; they have allocation_calls, bytes_requested, peak_bytes, "
               "exit_bytes, temporary_allocations and free_calls");
      BudgetEntry entry = subject;
      entry.metric = name;
      entry.profiled = metric;
      entry.place = place_of(at);
      if (!limit.is_object())
        refuse(at, "wants {\"max\": AMOUNT} or {\"base\": AMOUNT, \"tolerance\": \"2%\"}");
      only(limit, at, {"max", "base", "tolerance"});
      if (limit.contains("max") == limit.contains("base"))
        refuse(at, "wants either \"max\" or \"base\"");
      entry.relative = limit.contains("base");
      const char* key = entry.relative ? "base" : "max";
      entry.pointer = at + "/" + key;
      entry.value = amount(limit[key], entry.pointer);
      if (limit.contains("tolerance")) {
        if (!entry.relative)
          refuse(at + "/tolerance", "\"max\" has no tolerance");
        if (const auto percent = percentage(limit["tolerance"]))
          entry.tolerance.percent = *percent;
        else
          entry.tolerance.amount = amount(limit["tolerance"], at + "/tolerance");
      }
      budget_.entries.push_back(std::move(entry));
    }
  }

  void sites() {
    if (!root_.contains("sites"))
      return;
    const json& list = root_["sites"];
    if (!list.is_array())
      refuse("/sites", "wants an array");
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string at = "/sites/" + std::to_string(i);
      if (!list[i].is_object())
        refuse(at, "a site is an object");
      only(list[i], at, {"function", "file", "metrics", "comment"});
      BudgetEntry subject;
      subject.group = BudgetGroup::sites;
      for (const auto& [key, into] : {std::pair{"function", &subject.function}, {"file", &subject.file}}) {
        if (!list[i].contains(key))
          continue;
        if (!list[i][key].is_string())
          refuse(at + "/" + key, "wants a text");
        *into = list[i][key].get<std::string>();
      }
      if (subject.function.empty())
        refuse(at, "\"function\" is missing");
      if (!list[i].contains("metrics"))
        refuse(at, "\"metrics\" is missing");
      metrics(list[i]["metrics"], at + "/metrics", subject);
    }
  }

  void tests() {
    if (!root_.contains("tests"))
      return;
    budget_.has_tests = true;
    const json& tests = root_["tests"];
    if (!tests.is_object())
      refuse("/tests", "wants an object: NAME of the mark \"test:NAME\" to its metrics");
    for (const auto& [name, limits] : tests.items()) {
      BudgetEntry subject;
      subject.group = BudgetGroup::tests;
      subject.test = name;
      metrics(limits, "/tests/" + pointer_part(name), subject);
    }
  }

  const std::string& text_;
  const std::string name_;
  const json root_;
  const JsonPlaces places_;
  Budget budget_;
};

} // namespace

Budget parse_budget(const std::string& text, const std::string& name) {
  return Parser(text, name).run();
}

std::string with_numbers(const Budget& budget, const std::vector<NewNumber>& numbers) {
  const JsonPlaces places(budget.text);
  std::vector<std::pair<JsonRange, uint64_t>> edits;
  for (const NewNumber& number : numbers)
    if (const JsonRange* range = places.find(number.pointer))
      edits.emplace_back(*range, number.value);
  std::sort(edits.begin(), edits.end(),
            [](const auto& a, const auto& b) { return a.first.begin > b.first.begin; });
  std::string text = budget.text;
  for (const auto& [range, value] : edits)
    text.replace(range.begin, range.end - range.begin, std::to_string(value));
  return text;
}

std::string entry_name(const BudgetEntry& entry) {
  switch (entry.group) {
  case BudgetGroup::sites:
    return entry.function + (entry.file.empty() ? "" : " " + entry.file) + " " + entry.metric;
  case BudgetGroup::tests:
    return entry.test + " " + entry.metric;
  case BudgetGroup::metrics:
    break;
  }
  return entry.metric;
}

} // namespace hl
