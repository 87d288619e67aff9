// See diff_output.h; docs/json.md says what the keys mean.
#include "renderers/diff_output.h"

#include <cmath>

#include "renderers/frames_json.h"

namespace hl {
namespace {

// Whole numbers as such: a double would lose the last digits of large ones.
void write_number(JsonWriter& json, const char* key, uint64_t number, uint64_t units) {
  if (units == 1)
    json.member(key, number);
  else
    json.member(key, static_cast<double>(number) / static_cast<double>(units));
}

void write_side(const char* key, const SideSummary& side, JsonWriter& json) {
  json.key(key)
      .begin_object()
      .member("median", side.median)
      .member("low", side.low)
      .member("high", side.high)
      .end_object();
}

// Of several runs a side.
void write_shift(const ShiftOfRuns& shift, JsonWriter& json) {
  json.member("verdict", to_string(shift.verdict)).member("exact", shift.exact);
  write_side("base_runs", shift.base, json);
  write_side("new_runs", shift.next, json);
  json.key("shift")
      .begin_object()
      .member("estimate", shift.shift.estimate)
      .member("low", shift.shift.low)
      .member("high", shift.shift.high)
      .member("confidence", shift.shift.confidence)
      .end_object();
  for (const auto& [key, value] : {std::pair{"p", shift.p}, {"q", shift.q}}) {
    json.key(key);
    if (shift.tested)
      json.value(value);
    else
      json.null();
  }
}

void write_metric(const RunDiff& diff, const ProfileMetricFacts& metric, const MetricValues& base,
                  const MetricValues& next, JsonWriter& json, const ShiftOfRuns* shift = nullptr) {
  const uint64_t base_units = metric.flow ? diff.units(kBase) : 1,
                 new_units = metric.flow ? diff.units(kNew) : 1;
  json.key(metric.name).begin_object();
  write_number(json, "base", base[metric.metric], base_units);
  write_number(json, "new", next[metric.metric], new_units);
  if (base_units == 1 && new_units == 1)
    json.member("delta", static_cast<int64_t>(next[metric.metric] - base[metric.metric]));
  else
    json.member("delta", diff.value(kNew, metric.metric, next) - diff.value(kBase, metric.metric, base));
  if (shift != nullptr)
    write_shift(*shift, json);
  json.end_object();
}

void write_site_metrics(const RunDiff& diff, const MetricValues& base, const MetricValues& next,
                        JsonWriter& json, const ManyRuns* many = nullptr, size_t index = 0) {
  json.key("metrics").begin_object();
  for (const ProfileMetricFacts& metric : profile_metrics())
    if (diff.has_for_sites(metric.metric))
      write_metric(diff, metric, base, next, json,
                   many == nullptr ? nullptr : &many->site(metric.metric, index));
  json.end_object();
}

void write_run(const RunProfile& profile, const std::string& name, uint64_t units, JsonWriter& json) {
  json.begin_object()
      .member("trace", name)
      .member("uuid", profile.uuid)
      .member("pid", profile.pid)
      .member("command", profile.command)
      .member("host", profile.host)
      .member("complete", profile.complete)
      .member("moment", profile.moment)
      .member("time_ns", profile.duration_ns)
      .member("lost_events", profile.lost_events)
      .member("scanned", profile.scanned)
      .member("units", units);
  json.key("troubles").begin_array();
  for (const std::string& trouble : profile.troubles)
    json.value(trouble);
  json.end_array().end_object();
}

void write_site(const DiffAnswer& answer, size_t index, JsonWriter& json) {
  const RunDiff& diff = answer.diff;
  const DiffSite& site = diff.sites()[index];
  json.begin_object().member("status", to_string(site.status)).key("match");
  if (site.match == MatchTier::none)
    json.null();
  else
    json.value(to_string(site.match));
  if (site.match == MatchTier::fuzzy)
    json.member("score", site.score);
  if (site.ambiguous)
    json.member("ambiguous", true);
  if (site.set_up)
    json.member("set_up", true);
  if (site.base_sites.size() > 1 || site.new_sites.size() > 1)
    json.member("base_sites", uint64_t{site.base_sites.size()})
        .member("new_sites", uint64_t{site.new_sites.size()});
  write_site_metrics(diff, site.base, site.next, json, answer.many, index);
  const RunDiff::Place place = diff.place(site);
  write_frames(profile_stack(diff.profile(place.side), place.node), json);
  if (site.match > MatchTier::exact) {
    // Where the stack reads otherwise in the base run.
    const RunProfile& base = diff.profile(kBase);
    json.key("base").begin_object();
    write_frames(profile_stack(base, base.sites[site.base_sites.front()].node), json);
    json.end_object();
  }
  json.end_object();
}

void write_runs(const ManyRuns& many, JsonWriter& json) {
  json.key("runs").begin_object();
  for (const Side side : {kBase, kNew}) {
    json.key(side == kBase ? "base" : "new").begin_array();
    for (const std::string& uuid : many.side(side).uuids())
      json.value(uuid);
    json.end_array();
  }
  json.member("smallest_p", smallest_p(many.side(kBase).runs(), many.side(kNew).runs()))
      .member("enough", many.enough());
  uint64_t told = 0;
  for (const ProfileMetricFacts& metric : profile_metrics())
    if (many.diff().has_for_sites(metric.metric))
      for (size_t i = 0; i < many.diff().sites().size(); ++i)
        told += many.site(metric.metric, i).told() ? 1 : 0;
  json.member("told_site_metrics", told).end_object();
}

void write_tiers(const RunDiff& diff, Side side, JsonWriter& json) {
  const auto sums = diff.matched_by_tier(side, diff.byte_metric());
  json.begin_object();
  for (const MatchTier tier : {MatchTier::exact, MatchTier::canonical, MatchTier::fuzzy})
    json.member(to_string(tier), sums[static_cast<size_t>(tier)]);
  json.end_object();
}

} // namespace

void diff_json(const DiffAnswer& answer, JsonWriter& json) {
  const RunDiff& diff = answer.diff;
  json.begin_object().key("base");
  write_run(diff.profile(kBase), answer.base_name, diff.units(kBase), json);
  json.key("new");
  write_run(diff.profile(kNew), answer.new_name, diff.units(kNew), json);
  json.member("by", facts(diff.options().by).name).key("per");
  if (diff.options().per.empty())
    json.null();
  else
    json.value(diff.options().per);

  json.key("totals").begin_object();
  for (const ProfileMetricFacts& metric : profile_metrics())
    if (diff.has(metric.metric))
      write_metric(diff, metric, diff.totals(kBase), diff.totals(kNew), json,
                   answer.many == nullptr ? nullptr : &answer.many->total(metric.metric));
  json.end_object();
  if (answer.many != nullptr)
    write_runs(*answer.many, json);

  const ProfileMetric bytes = diff.byte_metric();
  uint64_t counts[5] = {};
  uint64_t lonely[2] = {}, doubtful[2] = {};
  for (const DiffSite& site : diff.sites()) {
    ++counts[static_cast<size_t>(site.status)];
    if (site.match != MatchTier::none)
      continue;
    const uint64_t sums[2] = {site.base[bytes], site.next[bytes]};
    for (size_t side = 0; side < 2; ++side) {
      lonely[side] += sums[side];
      doubtful[side] += site.ambiguous ? sums[side] : 0;
    }
  }
  json.key("site_counts").begin_object();
  for (const SiteStatus status :
       {SiteStatus::added, SiteStatus::removed, SiteStatus::grew, SiteStatus::shrank, SiteStatus::same})
    json.member(to_string(status), counts[static_cast<size_t>(status)]);
  json.end_object();

  json.key("sites").begin_array();
  const size_t shown = answer.top == 0 ? diff.sites().size() : std::min(answer.top, diff.sites().size());
  for (size_t i = 0; i < shown; ++i)
    write_site(answer, i, json);
  json.end_array();
  json.member("sites_left_out", uint64_t{diff.sites().size() - shown});

  json.key("matched").begin_object().key("base");
  write_tiers(diff, kBase, json);
  json.key("new");
  write_tiers(diff, kNew, json);
  json.end_object();

  json.key("unmatched")
      .begin_object()
      .member("metric", facts(bytes).name)
      .member("base_bytes", lonely[kBase])
      .member("new_bytes", lonely[kNew])
      .member("doubtful_base_bytes", doubtful[kBase])
      .member("doubtful_new_bytes", doubtful[kNew])
      .member("other_work_base_bytes", diff.other_work(kBase, bytes))
      .member("other_work_new_bytes", diff.other_work(kNew, bytes));
  json.key("groups").begin_array();
  for (const UnmatchedGroup& group : diff.unmatched()) {
    uint64_t base_sites = 0;
    for (const uint32_t site : group.sites)
      base_sites += diff.sites()[site].base_sites.empty() ? 0 : 1;
    json.begin_object()
        .member("kind", group.kind == UnmatchedKind::reshaped ? "reshaped" : "elsewhere")
        .member("base_sites", base_sites)
        .member("new_sites", uint64_t{group.sites.size()} - base_sites);
    write_site_metrics(diff, group.base, group.next, json);
    write_frames(profile_stack(diff.profile(kNew), group.new_node), json);
    json.end_object();
  }
  json.end_array().member("given_up", diff.given_up()).end_object();

  json.key("renames").begin_array();
  for (const RenameSuggestion& rename : diff.renames())
    json.begin_object()
        .member("base", rename.base)
        .member("new", rename.next)
        .member("sites", rename.sites)
        .member("bytes_requested", rename.bytes)
        .end_object();
  json.end_array().key("moved_files").begin_array();
  for (const ComparedNames::MovedFile& file : diff.names().moved_files())
    json.begin_object().member("base", file.base).member("new", file.next).end_object();
  json.end_array().end_object();
}

} // namespace hl
