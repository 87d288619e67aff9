// See seen_number.h. What the tools count: proc(5) (statm, smaps), cgroup-v2 (memory.current), Android's
// ActivityThread and android_os_Debug (dumpsys), Apple's footprint(1), malloc_info(3), jemalloc(3),
// heaptrack's and massif's manuals.
#include "ledger/seen_number.h"

#include <algorithm>
#include <array>
#include <map>

#include "analyses/metrics.h"

namespace hl {
namespace {

using Parts = std::vector<std::pair<Account, uint64_t>>;

constexpr Account kHeap[] = {Account::live, Account::slack, Account::allocator, Account::stranded,
                             Account::trimmable};

class MeaningList {
 public:
  explicit MeaningList(const SeenSources& from) : from_(from), ledger_(*from.ledger) {
    for (const Region& region : from.map->regions) {
      pss_ += region.pss;
      private_dirty_ += region.private_dirty;
      private_clean_ += region.private_clean;
      swap_pss_ += region.swap_pss;
      if (region.is_allocator()) {
        heap_private_dirty_ += region.private_dirty;
        heap_mapped_ += region.bytes();
      }
      if (region.kind == RegionKind::managed)
        managed_[region.name] += region.rss;
    }
  }

  std::vector<Meaning> all() {
    resident();
    proportional();
    heap_profilers();
    allocators();
    android();
    runtimes();
    apple();
    containers();
    return std::move(list_);
  }

 private:
  Meaning& add(std::string tool, std::string shown, std::string means, uint64_t bytes) {
    list_.push_back({std::move(tool), std::move(shown), std::move(means), bytes, {}, {}, {}});
    return list_.back();
  }

  Parts every_account() const {
    Parts parts;
    for (size_t i = 0; i < kAccounts; ++i)
      if (ledger_.bytes[i] != 0)
        parts.emplace_back(static_cast<Account>(i), ledger_.bytes[i]);
    return parts;
  }
  template <typename Accounts> Parts these(const Accounts& accounts) const {
    Parts parts;
    for (const Account account : accounts)
      if (ledger_.of(account) != 0)
        parts.emplace_back(account, ledger_.of(account));
    return parts;
  }

  void resident() {
    for (const auto& [tool, shown] : {std::pair{"top", "RES"}, {"htop", "RES"}, {"ps", "RSS"}})
      add(tool, shown, "every resident page, shared ones in full", ledger_.rss).contains = every_account();
    Meaning& virt =
        add("top", "VIRT", "addresses that are mapped, whether or not anything is there", ledger_.mapped);
    virt.contains = every_account();
    if (ledger_.mapped > ledger_.rss)
      virt.beyond.emplace_back("mapped, not resident", ledger_.mapped - ledger_.rss);
  }

  void proportional() {
    Meaning& pss = add("smem", "PSS", "resident pages, each divided by the processes that share it", pss_);
    pss.contains = every_account();
    if (ledger_.rss > pss_)
      pss.less.emplace_back("parts of shared pages that others answer for", ledger_.rss - pss_);
    const uint64_t uss = private_clean_ + private_dirty_;
    Meaning& own = add("smem", "USS", "resident pages that nobody shares", uss);
    own.contains = every_account();
    if (ledger_.rss > uss)
      own.less.emplace_back("shared pages", ledger_.rss - uss);
  }

  void heap_profilers() {
    for (const auto& [tool, shown] : {std::pair{"heaptrack", "heap memory"}, {"massif", "mem_heap_B"}}) {
      Meaning& now =
          add(tool, shown, "bytes asked for in blocks that are live, resident or not", from_.live_bytes);
      now.contains = these(std::array{Account::live});
      if (from_.live_bytes > ledger_.of(Account::live))
        now.beyond.emplace_back("live, but not resident", from_.live_bytes - ledger_.of(Account::live));
    }
    Meaning& peak = add("heaptrack", "peak heap memory consumption",
                        "the most bytes asked for that were ever live at once", from_.peak_live_bytes);
    peak.contains = these(std::array{Account::live});
    if (from_.peak_live_bytes > ledger_.of(Account::live))
      peak.beyond.emplace_back("live at the peak, no longer or not resident now",
                               from_.peak_live_bytes - ledger_.of(Account::live));
  }

  void allocators() {
    Meaning& in_use = add("mallinfo", "uordblks", "usable bytes and headers of live blocks, resident or not",
                          ledger_.of(Account::live) + ledger_.of(Account::slack) +
                              ledger_.of(Account::allocator) + ledger_.untouched + ledger_.swapped);
    in_use.contains = these(std::array{Account::live, Account::slack, Account::allocator});
    if (ledger_.untouched + ledger_.swapped != 0)
      in_use.beyond.emplace_back("live, but not resident", ledger_.untouched + ledger_.swapped);
    Meaning& allocated =
        add("jemalloc", "stats.allocated", "usable bytes of live blocks, resident or not",
            ledger_.of(Account::live) + ledger_.of(Account::slack) + ledger_.untouched + ledger_.swapped);
    allocated.contains = these(std::array{Account::live, Account::slack});
    if (ledger_.untouched + ledger_.swapped != 0)
      allocated.beyond.emplace_back("live, but not resident", ledger_.untouched + ledger_.swapped);
    uint64_t resident = 0;
    for (const Account account : kHeap)
      resident += ledger_.of(account);
    add("jemalloc", "stats.resident", "the allocator's resident pages", resident).contains = these(kHeap);
    if (heap_mapped_ != 0) {
      Meaning& mapped =
          add("mallinfo", "arena + hblkhd", "memory the allocator holds, resident or not", heap_mapped_);
      mapped.contains = these(kHeap);
      if (heap_mapped_ > resident)
        mapped.beyond.emplace_back("held, not resident", heap_mapped_ - resident);
    }
  }

  void android() {
    Meaning& native =
        add("dumpsys", "Native Heap", "private dirty pages of malloc's heap", heap_private_dirty_);
    native.contains = these(kHeap);
    note_difference(native);
    Meaning& total =
        add("dumpsys", "TOTAL PSS", "proportional resident pages, and the swapped ones", pss_ + swap_pss_);
    total.contains = every_account();
    if (swap_pss_ != 0)
      total.beyond.emplace_back("swapped", swap_pss_);
    if (ledger_.rss > pss_)
      total.less.emplace_back("parts of shared pages that others answer for", ledger_.rss - pss_);
    add("dumpsys", "TOTAL RSS", "every resident page, shared ones in full", ledger_.rss).contains =
        every_account();
  }

  // What the kernel calls dirty is not quite what is resident (clean and shared pages).
  static void note_difference(Meaning& meaning) {
    uint64_t resident = 0;
    for (const auto& part : meaning.contains)
      resident += part.second;
    if (resident > meaning.bytes)
      meaning.less.emplace_back("clean or shared pages of these", resident - meaning.bytes);
    else if (resident < meaning.bytes)
      meaning.beyond.emplace_back("other private dirty pages", meaning.bytes - resident);
  }

  void runtimes() {
    for (const auto& [name, bytes] : managed_) {
      const bool dart = name.find("dart") != std::string::npos;
      Meaning& heap =
          add(dart ? "devtools" : "runtime", name,
              "the managed heap of the runtime; what it says itself counts objects, not pages, and is less",
              bytes);
      heap.contains = {{Account::managed, bytes}};
    }
    add("devtools", "RSS", "every resident page, shared ones in full", ledger_.rss).contains =
        every_account();
  }

  void apple() {
    const uint64_t dirty = private_dirty_ + ledger_.swap;
    for (const auto& [tool, shown] :
         {std::pair{"instruments", "Memory Footprint"}, {"footprint", "footprint"}}) {
      Meaning& meaning = add(tool, shown, "pages written to, and those compressed or swapped", dirty);
      for (const auto& part : every_account())
        if (part.first != Account::code && part.first != Account::files)
          meaning.contains.push_back(part);
      uint64_t resident = 0;
      for (const auto& part : meaning.contains)
        resident += part.second;
      if (ledger_.swap != 0)
        meaning.beyond.emplace_back("swapped", ledger_.swap);
      if (resident > private_dirty_)
        meaning.less.emplace_back("clean or shared pages of these", resident - private_dirty_);
      else if (resident < private_dirty_)
        meaning.beyond.emplace_back("dirty pages of mapped files", private_dirty_ - resident);
    }
  }

  void containers() {
    const UsageValues& usage = from_.usage;
    if (!usage.has(UsageField::cgroup_current))
      return;
    const uint64_t current = usage.of(UsageField::cgroup_current), files = usage.of(UsageField::cgroup_file);
    const uint64_t set = current > files ? current - files : 0;
    for (const std::string tool : {"kubectl", "docker"}) {
      Meaning& meaning = add(
          tool, tool == "docker" ? "MEM USAGE" : "working set",
          "all processes of the container and what the kernel holds for them, without the page cache", set);
      for (const auto& part : every_account())
        if (part.first != Account::code && part.first != Account::files)
          meaning.contains.push_back(part);
      uint64_t resident = 0;
      for (const auto& part : meaning.contains)
        resident += part.second;
      if (set > resident)
        meaning.beyond.emplace_back("other processes of the container, kernel memory", set - resident);
      else if (set < resident)
        meaning.less.emplace_back("pages charged to another container", resident - set);
    }
    add("cgroup", "memory.current", "all that is charged to the cgroup, its page cache included", current)
        .beyond.emplace_back("of it page cache", files);
  }

  const SeenSources& from_;
  const Ledger& ledger_;
  uint64_t pss_ = 0, private_dirty_ = 0, private_clean_ = 0, swap_pss_ = 0, heap_private_dirty_ = 0,
           heap_mapped_ = 0;
  std::map<std::string, uint64_t> managed_;
  std::vector<Meaning> list_;
};

uint64_t distance(uint64_t a, uint64_t b) {
  return a > b ? a - b : b - a;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

} // namespace

std::optional<SeenNumber> parse_seen_number(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view number = text.substr(0, colon);
  const auto limit = parse_limit("x=" + std::string(number));
  if (!limit || (colon != text.npos && colon + 1 == text.size()))
    return std::nullopt;
  return SeenNumber{limit->value, colon == text.npos ? "" : lower(text.substr(colon + 1))};
}

std::vector<std::string> known_tools() {
  return {"top",     "htop",     "ps",          "smem",      "heaptrack", "massif", "mallinfo", "jemalloc",
          "dumpsys", "devtools", "instruments", "footprint", "kubectl",   "docker", "cgroup"};
}

std::vector<Meaning> meanings_of(const SeenNumber& seen, const SeenSources& sources) {
  std::vector<Meaning> meanings = MeaningList(sources).all();
  if (!seen.tool.empty())
    std::erase_if(meanings, [&](const Meaning& meaning) { return meaning.tool != seen.tool; });
  const auto fits = [&](const Meaning& meaning) {
    return distance(meaning.bytes, seen.bytes) <= seen.bytes / 20;
  };
  const std::string usual = meanings.empty() ? "" : meanings.front().shown;
  std::stable_sort(meanings.begin(), meanings.end(), [&](const Meaning& a, const Meaning& b) {
    return distance(a.bytes, seen.bytes) < distance(b.bytes, seen.bytes);
  });
  if (!seen.tool.empty() && !meanings.empty() && !fits(meanings.front()))
    std::stable_partition(meanings.begin(), meanings.end(),
                          [&](const Meaning& meaning) { return meaning.shown == usual; });
  return meanings;
}

} // namespace hl
