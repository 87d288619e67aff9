// `map --json`: keys are a contract (docs/json.md), added to, never renamed.
#include <algorithm>
#include <unordered_map>

#include "renderers/describe_trace.h"
#include "renderers/frames_json.h"
#include "renderers/map_output.h"

namespace hl {
namespace {

constexpr size_t kUsageRows = 2000;

constexpr std::pair<UsageField, std::string_view> kUsageNames[] = {
    {UsageField::size, "size"},
    {UsageField::rss, "rss"},
    {UsageField::shared, "shared"},
    {UsageField::pss, "pss"},
    {UsageField::pss_anon, "pss_anon"},
    {UsageField::pss_file, "pss_file"},
    {UsageField::pss_shmem, "pss_shmem"},
    {UsageField::pss_dirty, "pss_dirty"},
    {UsageField::shared_clean, "shared_clean"},
    {UsageField::shared_dirty, "shared_dirty"},
    {UsageField::private_clean, "private_clean"},
    {UsageField::private_dirty, "private_dirty"},
    {UsageField::anonymous, "anonymous"},
    {UsageField::lazy_free, "lazy_free"},
    {UsageField::anon_huge_pages, "anon_huge_pages"},
    {UsageField::swap, "swap"},
    {UsageField::swap_pss, "swap_pss"},
    {UsageField::locked, "locked"},
    {UsageField::rollup_rss, "rollup_rss"},
    {UsageField::cgroup_current, "cgroup_current"},
    {UsageField::cgroup_peak, "cgroup_peak"},
    {UsageField::cgroup_max, "cgroup_max"},
    {UsageField::cgroup_high, "cgroup_high"},
    {UsageField::cgroup_swap, "cgroup_swap"},
    {UsageField::cgroup_anon, "cgroup_anon"},
    {UsageField::cgroup_file, "cgroup_file"},
    {UsageField::cgroup_kernel, "cgroup_kernel"},
    {UsageField::cgroup_high_events, "cgroup_high_events"},
    {UsageField::cgroup_max_events, "cgroup_max_events"},
    {UsageField::cgroup_oom_kills, "cgroup_oom_kills"},
    {UsageField::cgroup_pressure_us, "cgroup_pressure_us"},
    {UsageField::oom_score, "oom_score"},
    {UsageField::oom_score_adj, "oom_score_adj"},
    {UsageField::machine_total, "machine_total"},
    {UsageField::machine_available, "machine_available"},
    {UsageField::machine_pressure_us, "machine_pressure_us"},
    {UsageField::minor_faults, "minor_faults"},
    {UsageField::major_faults, "major_faults"},
    {UsageField::threads, "threads"},
    {UsageField::mappings, "mappings"},
    {UsageField::page_tables, "page_tables"},
};

void write_usage(const UsageValues& values, JsonWriter& json) {
  for (const auto& [field, name] : kUsageNames) {
    if (!values.has(field))
      continue;
    json.key(name);
    if (field == UsageField::oom_score_adj)
      json.value(static_cast<int64_t>(values.of(field)) - 1000);
    else if (values.of(field) == kUsageUnlimited)
      json.null();
    else
      json.value(values.of(field));
  }
}

// Nothing of `numbers` but what every record of them has.
template <typename Numbers> void write_numbers(const Numbers& n, JsonWriter& json) {
  json.member("rss", n.rss)
      .member("pss", n.pss)
      .member("private_dirty", n.private_dirty)
      .member("private_clean", n.private_clean)
      .member("shared_dirty", n.shared_dirty)
      .member("shared_clean", n.shared_clean)
      .member("swap", n.swap)
      .member("swap_pss", n.swap_pss);
}

std::string_view cause_name(SampleCause cause) {
  static constexpr std::string_view kNames[] = {"unknown", "start",   "periodic", "mark",
                                                "peak",    "request", "exit"};
  return kNames[static_cast<size_t>(cause)];
}

class MapJson {
 public:
  MapJson(const MapAnswer& answer, JsonWriter& json) : answer_(answer), report_(answer.report), json_(json) {}

  void write() {
    json_.begin_object();
    if (answer_.heap != nullptr)
      write_identity(*answer_.heap, json_);
    else
      json_.member("source", answer_.source);
    json_.member("sample", uint64_t{report_.chosen});
    if (report_.wanted_ticks != 0)
      json_.member("wanted_ns", ns(report_.wanted_ticks));
    samples();
    json_.member("samples_left_out", uint64_t{report_.left_out});
    summaries();
    regions();
    if (answer_.heap != nullptr) {
      usage();
      write_lost(json_, answer_.heap->heap.lost);
      write_problems(json_, answer_.heap->trace);
    }
    json_.key("smaps_problems").begin_array();
    for (const std::string& problem : report_.map.problems)
      json_.value(problem);
    json_.end_array().end_object();
  }

 private:
  uint64_t ns(uint64_t ticks) const {
    return answer_.heap == nullptr || ticks == 0 ? 0 : answer_.heap->trace.clock().ns(ticks);
  }

  void samples() {
    json_.key("samples").begin_array();
    for (const MemorySample& sample : report_.samples) {
      const VmaNumbers& total = sample.total;
      json_.begin_object().member("time_ns", ns(sample.ticks));
      write_numbers(total, json_);
      json_.member("shared", total.shared_clean + total.shared_dirty).member("hugetlb", total.hugetlb);
      if (answer_.heap != nullptr) {
        json_.member("cause", cause_name(sample.cause))
            .member("name", sample.name)
            .member("consistent", sample.consistent)
            .member("pages", sample.has_pages)
            .member("end_ns", ns(sample.end_ticks))
            .member("cost_ns", sample.cost_ns);
      }
      json_.key("categories").begin_object();
      for (const auto& [name, numbers] : sample.categories) {
        json_.key(name).begin_object();
        write_numbers(numbers, json_);
        json_.member("size", numbers.size).end_object();
      }
      json_.end_object();
      json_.key("usage").begin_object();
      write_usage(sample.usage, json_);
      json_.end_object().end_object();
    }
    json_.end_array();
  }

  void summaries() {
    const AppSummary& app = report_.app;
    json_.key("app_summary")
        .begin_object()
        .member("java_heap", app.java_heap)
        .member("native_heap", app.native_heap)
        .member("code", app.code)
        .member("stack", app.stack)
        .member("graphics", app.graphics)
        .member("private_other", app.private_other)
        .member("system", app.system)
        .member("total_pss", app.total_pss)
        .end_object();
    json_.key("apple")
        .begin_object()
        .member("dirty", report_.apple.dirty)
        .member("clean", report_.apple.clean)
        .member("swapped", report_.apple.swapped)
        .member("footprint", report_.apple.footprint())
        .end_object();
    const VmaNumbers& total = report_.sample().total;
    json_.key("oom")
        .begin_object()
        .member("rss", total.rss)
        .member("swap", total.swap)
        .member("page_tables", report_.page_table_bytes)
        .member("page_tables_counted", report_.page_tables_counted)
        .member("badness", total.rss + report_.private_swap_bytes + report_.page_table_bytes)
        .end_object();
  }

  void regions() {
    std::unordered_map<uint32_t, uint64_t> site_index;
    std::vector<uint32_t> sites;
    json_.key("regions").begin_array();
    for (const Region& region : report_.map.regions) {
      json_.begin_object()
          .member("start", region.start)
          .member("end", region.end)
          .member("size", region.bytes())
          .member("kind", to_string(region.kind))
          .member("category", category_of(region))
          .member("evidence", to_string(region.evidence))
          .member("name", region.name)
          .member("mapping", region.vma);
      write_numbers(region, json_);
      if (region.tid != 0)
        json_.member("tid", region.tid);
      if (region.site != 0 && answer_.heap != nullptr) {
        const auto [found, is_new] = site_index.try_emplace(region.site, sites.size());
        if (is_new)
          sites.push_back(region.site);
        json_.member("site", found->second);
      }
      json_.end_object();
    }
    json_.end_array();
    json_.key("mapping_sites").begin_array();
    for (const uint32_t site : sites) {
      const auto& stacks = answer_.heap->heap.result().site_stacks;
      json_.begin_object();
      write_frames(answer_.heap->resolver.frames(site < stacks.size() ? stacks[site] : 0), json_);
      json_.end_object();
    }
    json_.end_array();
  }

  // Of more rows than kUsageRows, of each equal part of them the one with the greatest rss.
  void usage() {
    const std::vector<UsageSample>& rows = report_.usage;
    const size_t parts = std::min(rows.size(), kUsageRows);
    json_.key("usage").begin_array();
    for (size_t part = 0; part < parts; ++part) {
      const size_t first = part * rows.size() / parts, end = (part + 1) * rows.size() / parts;
      const auto most =
          std::max_element(rows.begin() + static_cast<std::ptrdiff_t>(first),
                           rows.begin() + static_cast<std::ptrdiff_t>(end), [](const auto& a, const auto& b) {
                             return a.values.of(UsageField::rss) < b.values.of(UsageField::rss);
                           });
      json_.begin_object().member("time_ns", ns(most->ticks));
      write_usage(most->values, json_);
      json_.end_object();
    }
    json_.end_array().member("usage_rows", uint64_t{rows.size()});
  }

  const MapAnswer& answer_;
  const MemoryReport& report_;
  JsonWriter& json_;
};

} // namespace

void map_json(const MapAnswer& answer, JsonWriter& json) {
  MapJson(answer, json).write();
}

} // namespace hl
