// See region_map.h. Three steps: what each mapping is by itself (its name, its neighbours), what claims make
// of its parts, and the kernel's numbers shared out among the parts.
#include "memory_map/region_map.h"

#include <algorithm>
#include <optional>
#include <queue>
#include <unordered_set>

#include "memory_map/managed_heaps.h"
#include "memory_map/mapping_names.h"
#include "memory_map/region_claims.h"
#include "memory_map/shares.h"

namespace hl {
namespace {

constexpr uint64_t kLargestGuard = uint64_t{64} << 10;
constexpr uint64_t kStackUnit = uint64_t{64} << 10; // sizes of stacks are multiples
constexpr uint64_t kUsualBss = uint64_t{1} << 20;

bool is_private_memory(const Vma& vma) {
  return vma.name.empty() && !vma.shared;
}
bool is_inaccessible(const Vma& vma) {
  return !vma.readable && !vma.writable && !vma.executable;
}

class Splitter {
 public:
  Splitter(const ResidencySample& sample, const RegionSources& sources, RegionMap& map)
      : sample_(sample), sources_(sources), map_(map), managed_(map.vmas),
        claims_(collect_claims(sample, sources, map.vmas)) {
    for (const Vma& vma : map_.vmas)
      if (vma.executable && vma.name.starts_with('/'))
        code_files_.insert(vma.name);
    if (sources_.replay != nullptr)
      sources_.replay->result().mappings.for_each_range(
          [this](uint64_t start, uint64_t end, uint32_t site, std::string_view) {
            ranges_.push_back({start, end, site});
          });
  }

  void split() {
    for (uint32_t i = 0; i < map_.vmas.size(); ++i)
      split_mapping(i);
  }

 private:
  struct SiteRange {
    uint64_t start, end;
    uint32_t site;
  };
  struct Weaker {
    bool operator()(const Claim* a, const Claim* b) const {
      return a->rank != b->rank ? a->rank < b->rank : a->end > b->end;
    }
  };
  using Queue = std::priority_queue<const Claim*, std::vector<const Claim*>, Weaker>;

  bool is_code_family(const Vma& vma) const {
    return vma.name.starts_with('/') && (code_files_.contains(vma.name) || is_library_name(vma.name));
  }

  // May lie on a tmpfs, like memory that a program shares with others.
  bool is_session(const Vma& vma) const {
    return sources_.metadata != nullptr && !sources_.metadata->session_path.empty() &&
           sources_.metadata->session_path == vma.name;
  }

  Region named_file(const Vma& vma) const {
    Region region;
    region.evidence = RegionEvidence::kernel_name;
    region.name = vma.name;
    if (is_session(vma) || is_recording_library(vma.name)) {
      region.kind = RegionKind::own;
      region.evidence = RegionEvidence::session;
    } else if (vma.name.starts_with('/') && vma.executable) {
      region.kind = RegionKind::code;
    } else if (!vma.name.starts_with('/') || !is_code_family(vma) || vma.shared) {
      region.kind = RegionKind::file;
    } else if (vma.writable || vma.numbers.anonymous != 0 || vma.numbers.private_dirty != 0) {
      region.kind = RegionKind::data;
    } else {
      region.kind = RegionKind::read_only_data;
    }
    return region;
  }

  // Unnamed: what neighbours and shape tell.
  Region unnamed(const Vma& vma, size_t index) const {
    Region region;
    const Vma* const before =
        index > 0 && map_.vmas[index - 1].end == vma.start ? &map_.vmas[index - 1] : nullptr;
    const Vma* const after = index + 1 < map_.vmas.size() && map_.vmas[index + 1].start == vma.end
                                 ? &map_.vmas[index + 1]
                                 : nullptr;
    if (vma.shared) {
      region.kind = RegionKind::shared;
      region.evidence = RegionEvidence::kernel_name;
      return region;
    }
    region.evidence = RegionEvidence::shape;
    const bool plain = vma.readable && vma.writable && !vma.executable;
    if (plain && before != nullptr && is_code_family(*before) && may_be_bss(vma, *before) &&
        !before->shared && !before->executable && (before->writable || before->numbers.anonymous != 0)) {
      const bool own = is_recording_library(before->name);
      region.kind = own ? RegionKind::own : RegionKind::bss;
      if (own)
        region.evidence = RegionEvidence::session;
      region.name = before->name;
      return region;
    }
    if (const std::string_view name = managed_.by_shape(vma, before == nullptr); !name.empty()) {
      region.kind = RegionKind::managed;
      region.name = std::string(name);
      return region;
    }
    if (is_stack(before, vma) || (is_inaccessible(vma) && after != nullptr && is_stack(&vma, *after))) {
      region.kind = RegionKind::thread_stack;
      region.name = sources_.replay != nullptr ? "of a thread that ended, or is not recorded" : "";
      return region;
    }
    region.kind = RegionKind::unknown;
    region.evidence = RegionEvidence::none;
    return region;
  }

  // The kernel maps downwards, so a library may come to lie right below memory that was there before: what is
  // far larger than the whole file is hardly its .bss. Programs lie where nothing else is mapped.
  bool may_be_bss(const Vma& vma, const Vma& data) const {
    if (!is_library_name(data.name))
      return true;
    uint64_t mapped = 0;
    for (const Vma* part = &data; part->name == data.name; --part) {
      mapped += part->bytes();
      if (part == map_.vmas.data())
        break;
    }
    return vma.bytes() <= std::max(kUsualBss, 4 * mapped);
  }

  // Memory right above a small guard without rights, of a size that stacks have.
  static bool is_stack(const Vma* guard, const Vma& vma) {
    return guard != nullptr && guard->end == vma.start && is_private_memory(*guard) &&
           is_inaccessible(*guard) && guard->bytes() <= kLargestGuard && is_private_memory(vma) &&
           vma.readable && vma.writable && !vma.executable &&
           (vma.bytes() % kStackUnit == 0 || (vma.bytes() + guard->bytes()) % kStackUnit == 0);
  }

  Region base(const Vma& vma, size_t index) const {
    if (vma.name.empty())
      return unnamed(vma, index);
    const auto kind = is_session(vma) ? std::nullopt : kind_of_kernel_name(vma.name);
    if (!kind)
      return named_file(vma);
    Region region;
    region.kind = kind->kind;
    region.name = kind->name;
    region.tid = kind->tid;
    region.evidence = RegionEvidence::kernel_name;
    if (region.kind == RegionKind::anonymous && vma.shared)
      region.kind = RegionKind::shared;
    if (region.kind == RegionKind::thread_stack)
      region.name = thread_name(region.tid);
    return region;
  }

  std::string thread_name(uint32_t tid) const {
    std::string name = "thread " + std::to_string(tid);
    if (sources_.replay != nullptr)
      for (const ThreadTotals& thread : sources_.replay->result().threads)
        if (thread.tid == tid && !thread.name.empty())
          name += " (" + thread.name + ")";
    return name;
  }

  // The recorded mmap whose range holds `address`; also where that range ends, or the next one starts.
  uint32_t site_at(uint64_t address, uint64_t& until) const {
    const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), address,
                                        [](uint64_t a, const SiteRange& range) { return a < range.start; });
    if (after != ranges_.end())
      until = std::min(until, after->start);
    if (after == ranges_.begin() || (after - 1)->end <= address)
      return 0;
    until = std::min(until, (after - 1)->end);
    return (after - 1)->site;
  }

  static bool is_mapped_by_program(RegionKind kind) {
    switch (kind) {
    case RegionKind::managed:
    case RegionKind::anonymous:
    case RegionKind::file:
    case RegionKind::shared:
    case RegionKind::device:
    case RegionKind::thread_stack:
    case RegionKind::heap_other:
      return true;
    default:
      return false;
    }
  }

  void split_mapping(uint32_t index) {
    const Vma& vma = map_.vmas[index];
    const Region whole = base(vma, index);
    uint64_t at = vma.start;
    while (at < vma.end) {
      while (next_ < claims_.size() && claims_[next_].start <= at) {
        queues_[static_cast<size_t>(claims_[next_].scope)].push(&claims_[next_]);
        ++next_;
      }
      const Claim* const claim = best(vma, at);
      uint64_t end = vma.end;
      if (next_ < claims_.size())
        end = std::min(end, claims_[next_].start);
      Region region = whole;
      if (claim != nullptr) {
        end = std::min(end, claim->end);
        region.kind = claim->kind;
        region.evidence = claim->evidence;
        // Of a library the name in smaps: the recorded path may lead through a symbolic link.
        if (claim->kind != RegionKind::bss || whole.kind != RegionKind::bss)
          region.name = claim->name;
        region.site = claim->site;
        region.tid = claim->tid;
      }
      if (claim == nullptr && vma.name.empty() && !vma.shared &&
          holds_shared_blocks(sample_, sources_, at, end)) {
        region.kind = RegionKind::heap_other;
        region.evidence = RegionEvidence::blocks;
        region.name.clear();
      }
      if (region.site == 0 && is_mapped_by_program(region.kind))
        region.site = site_at(at, end);
      region.start = at;
      region.end = end;
      region.vma = index;
      append(std::move(region));
      at = end;
    }
  }

  const Claim* best(const Vma& vma, uint64_t at) {
    const ClaimScope widest = vma.name.empty() && !vma.shared ? ClaimScope::unnamed
                              : vma.name == "[heap]"          ? ClaimScope::heap_too
                                                              : ClaimScope::any;
    const Claim* found = nullptr;
    for (size_t scope = static_cast<size_t>(widest); scope < std::size(queues_); ++scope) {
      Queue& queue = queues_[scope];
      while (!queue.empty() && queue.top()->end <= at)
        queue.pop();
      if (queue.empty())
        continue;
      const Claim* const top = queue.top();
      if (found == nullptr || Weaker()(found, top))
        found = top;
    }
    return found;
  }

  void append(Region region) {
    if (!map_.regions.empty()) {
      Region& last = map_.regions.back();
      if (last.vma == region.vma && last.kind == region.kind && last.evidence == region.evidence &&
          last.site == region.site && last.tid == region.tid && last.name == region.name &&
          region.kind != RegionKind::heap_mapped && region.kind != RegionKind::heap_arena) {
        last.end = region.end;
        return;
      }
    }
    map_.regions.push_back(std::move(region));
  }

  const ResidencySample& sample_;
  const RegionSources& sources_;
  RegionMap& map_;
  ManagedHeaps managed_;
  std::vector<Claim> claims_;
  size_t next_ = 0;
  Queue queues_[3]; // by scope: claims that began
  std::unordered_set<std::string_view> code_files_;
  std::vector<SiteRange> ranges_; // of recorded mmaps, by address
};

// Bytes of a region by the state of its pages.
struct PageBytes {
  uint64_t anonymous = 0, shared_anonymous = 0, file = 0, swapped = 0;
  uint64_t resident() const { return anonymous + shared_anonymous + file; }
};

std::vector<PageBytes> pages_of(const RegionMap& map, std::span<const PageRange> pages) {
  std::vector<PageBytes> result(map.regions.size());
  size_t run = 0;
  for (size_t i = 0; i < map.regions.size(); ++i) {
    const Region& region = map.regions[i];
    while (run < pages.size() && pages[run].end <= region.start)
      ++run;
    for (size_t k = run; k < pages.size() && pages[k].start < region.end; ++k) {
      const uint64_t bytes = std::min(pages[k].end, region.end) - std::max(pages[k].start, region.start);
      switch (pages[k].state) {
      case PageState::anonymous:
        result[i].anonymous += bytes;
        break;
      case PageState::shared_anonymous:
        result[i].shared_anonymous += bytes;
        break;
      case PageState::file:
        result[i].file += bytes;
        break;
      case PageState::swapped:
        result[i].swapped += bytes;
        break;
      }
    }
  }
  return result;
}

// The numbers of one mapping among its regions [first, first + count).
class MappingShares {
 public:
  MappingShares(const VmaNumbers& numbers, std::span<Region> regions, std::span<const PageBytes> pages,
                bool has_pages)
      : numbers_(numbers), regions_(regions) {
    for (size_t i = 0; i < regions.size(); ++i) {
      sizes_.push_back(regions[i].bytes());
      anonymous_.push_back(has_pages ? pages[i].anonymous : 0);
      shared_.push_back(has_pages ? pages[i].shared_anonymous : 0);
      file_.push_back(has_pages ? pages[i].file : 0);
      swapped_.push_back(has_pages ? pages[i].swapped : 0);
    }
  }

  void assign() {
    const std::vector<uint64_t> rss = resident();
    for (size_t i = 0; i < regions_.size(); ++i)
      regions_[i].rss = rss[i];
    give(numbers_.pss, rss, &Region::pss);
    give(numbers_.private_dirty, any(anonymous_) ? anonymous_ : rss, &Region::private_dirty);
    give(numbers_.private_clean, any(file_) ? file_ : rss, &Region::private_clean);
    give(numbers_.shared_clean, any(file_) ? file_ : rss, &Region::shared_clean);
    give(numbers_.shared_dirty, any(shared_) ? shared_ : rss, &Region::shared_dirty);
    give(numbers_.swap, any(swapped_) ? swapped_ : sizes_, &Region::swap);
    give(numbers_.swap_pss, any(swapped_) ? swapped_ : sizes_, &Region::swap_pss);
  }

 private:
  static bool any(const std::vector<uint64_t>& values) {
    return std::any_of(values.begin(), values.end(), [](uint64_t value) { return value != 0; });
  }
  static uint64_t sum(const std::vector<uint64_t>& values) {
    uint64_t total = 0;
    for (const uint64_t value : values)
      total += value;
    return total;
  }
  void give(uint64_t total, const std::vector<uint64_t>& weights, uint64_t Region::*number) {
    const std::vector<uint64_t> parts = share_out(total, weights, sizes_);
    for (size_t i = 0; i < regions_.size(); ++i)
      regions_[i].*number = parts[i];
  }

  // Pages as they are where they agree with the kernel's sum. Else: zero pages, which look like shared ones
  // but are no Rss, account for what is too much; and what the process did between the two readings is
  // spread.
  std::vector<uint64_t> resident() {
    std::vector<uint64_t> certain(sizes_.size()), all(sizes_.size());
    for (size_t i = 0; i < sizes_.size(); ++i) {
      certain[i] = anonymous_[i] + file_[i];
      all[i] = certain[i] + shared_[i];
    }
    const uint64_t seen = sum(all), sure = sum(certain);
    if (seen == numbers_.rss)
      return all;
    if (seen > numbers_.rss && sure <= numbers_.rss) {
      const std::vector<uint64_t> parts = share_out(numbers_.rss - sure, shared_, shared_);
      for (size_t i = 0; i < sizes_.size(); ++i)
        certain[i] += parts[i];
      return certain;
    }
    return share_out(numbers_.rss, seen != 0 ? all : sizes_, sizes_);
  }

  const VmaNumbers& numbers_;
  std::span<Region> regions_;
  std::vector<uint64_t> sizes_, anonymous_, shared_, file_, swapped_;
};

void share_numbers(RegionMap& map, const ResidencySample& sample) {
  const std::vector<PageBytes> pages = pages_of(map, sample.pages);
  const bool has_pages = sample.has_pages() && !sample.pages.empty();
  for (size_t first = 0; first < map.regions.size();) {
    size_t end = first + 1;
    while (end < map.regions.size() && map.regions[end].vma == map.regions[first].vma)
      ++end;
    MappingShares(map.vmas[map.regions[first].vma].numbers,
                  std::span(map.regions).subspan(first, end - first),
                  std::span(pages).subspan(first, end - first), has_pages)
        .assign();
    first = end;
  }
}

} // namespace

std::string_view to_string(RegionKind kind) {
  static constexpr std::string_view kNames[] = {
      "code",        "read_only_data", "data",         "bss",       "heap_brk", "heap_arena",
      "heap_mapped", "heap_other",     "managed",      "anonymous", "file",     "shared",
      "device",      "main_stack",     "thread_stack", "kernel",    "own",      "unknown"};
  return kNames[static_cast<size_t>(kind)];
}

std::string_view to_string(RegionEvidence evidence) {
  static constexpr std::string_view kNames[] = {"kernel_name", "given_name", "call",    "module", "blocks",
                                                "thread",      "shape",      "session", "none"};
  return kNames[static_cast<size_t>(evidence)];
}

RegionSources region_sources(const Trace& trace, const Replay& replay, std::span<const HeapBlock> blocks) {
  return {.replay = &replay,
          .blocks = blocks,
          .metadata = &trace.metadata(),
          .modules = &trace.modules(),
          .nodes = &trace.nodes()};
}

RegionMap make_region_map(const ResidencySample& sample, const RegionSources& sources) {
  RegionMap map;
  Smaps smaps = parse_smaps(sample.smaps);
  map.vmas = std::move(smaps.vmas);
  map.problems = std::move(smaps.problems);
  Splitter(sample, sources, map).split();
  share_numbers(map, sample);
  return map;
}

} // namespace hl
