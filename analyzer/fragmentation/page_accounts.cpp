// See page_accounts.h.
#include "fragmentation/page_accounts.h"

#include <algorithm>

#include "fragmentation/page_sweep.h"

namespace hl {
namespace {

constexpr uint64_t kHugePage = 2ull << 20;

size_t occupancy_bin(uint64_t requested, uint64_t page_bytes) {
  const uint64_t tenths = (requested * 10 + page_bytes - 1) / page_bytes;
  return std::clamp<size_t>(tenths, 1, 10) - 1;
}

// One page, or several that make one larger page.
struct PageSum {
  uint64_t requested = 0, slack = 0, metadata = 0, free = 0, free_top = 0;
  bool kept = false, table = false;

  void add(const SweptPage& page) {
    requested += page.requested;
    slack += page.slack;
    // What never held a block is the allocator's own (base blocks of jemalloc, span tables of tcmalloc).
    metadata += page.metadata + (page.never_used ? page.free : 0);
    if (!page.never_used)
      (page.top && !page.kept() ? free_top : free) += page.free;
    kept |= page.kept();
    table |= page.table || page.never_used;
  }
  AccountBytes accounts() const {
    AccountBytes bytes{.requested = requested, .slack = slack, .metadata = metadata};
    if (kept)
      bytes.stranded = free + free_top;
    else if (table)
      bytes.held = free + free_top;
    else {
      bytes.trimmable = free;
      bytes.top = free_top;
    }
    return bytes;
  }
  void count_into(PageGrain& grain) const {
    grain.bytes.add(accounts());
    ++grain.resident_pages;
    grain.empty_pages += !kept && !table ? 1 : 0;
    if (kept) {
      ++grain.pinned_pages;
      ++grain.occupancy[occupancy_bin(requested, grain.page_bytes)];
    }
  }
};

class Accountant : public PageVisitor {
 public:
  explicit Accountant(const PageSources& sources, PageAccounts& out) : sources_(sources), out_(out) {}

  void gap(uint32_t region, uint64_t start, uint64_t end) override {
    if (sources_.map->regions[region].kind == RegionKind::heap_mapped)
      return;
    out_.free_addresses += end - start;
    out_.largest_free = std::max(out_.largest_free, end - start);
  }

  void block(const HeapBlock& block, uint64_t requested, bool starts_here) override {
    SiteBytes& site = site_of(block);
    site.blocks += starts_here ? 1 : 0;
    site.untouched += requested; // less what is found to be there
  }

  void piece(const HeapBlock& block, uint64_t requested, uint64_t slack, bool swapped) override {
    SiteBytes& site = site_of(block);
    if (swapped) {
      site.swapped += requested;
      return;
    }
    site.requested += requested;
    site.slack += slack;
  }

  void page(const SweptPage& page) override {
    PageSum sum;
    sum.add(page);
    sum.count_into(out_.small);
    region_.bytes.add(sum.accounts());
    if (!sum.kept && !sum.table && trims(page))
      out_.malloc_trim += page.end - page.start;
    const uint64_t window = page.start / kHugePage;
    if (window != window_)
      flush();
    window_ = window;
    huge_.add(page);
  }

  void region_done(uint32_t region, uint64_t untouched, uint64_t swapped, uint32_t blocks) override {
    region_.region = region;
    region_.untouched = untouched;
    region_.swapped = swapped;
    region_.blocks = blocks;
    out_.untouched += untouched;
    out_.swapped += swapped;
    out_.blocks += blocks;
    out_.regions.push_back(region_);
    region_ = {};
  }

  void finish() {
    flush();
    for (SiteBytes& site : out_.sites)
      site.untouched -= std::min(site.untouched, site.requested + site.swapped);
    out_.blocks_elsewhere = sources_.blocks.size() - std::min<uint64_t>(sources_.blocks.size(), out_.blocks);
    uint64_t requested = 0;
    for (const HeapBlock& block : sources_.blocks)
      requested += block.size;
    const uint64_t here = out_.small.bytes.requested + out_.untouched + out_.swapped;
    out_.bytes_elsewhere = requested - std::min(requested, here);
  }

 private:
  SiteBytes& site_of(const HeapBlock& block) {
    if (block.site >= out_.sites.size())
      out_.sites.resize(block.site + 1);
    return out_.sites[block.site];
  }
  // Whole pages behind a free chunk's header. The chunk begins a word before its first free byte here and
  // ends a word before the last.
  bool trims(const SweptPage& page) const {
    using namespace glibc_layout;
    if (sources_.allocator != AllocatorKind::glibc)
      return false;
    const RegionKind kind = sources_.map->regions[page.region].kind;
    const uint64_t chunk = page.gap_start - 8;
    if (page.top)
      return kind == RegionKind::heap_brk && page.start > chunk + kLeastChunk;
    return page.start >= chunk + kChunkStructBytes && page.end + 8 <= page.gap_end;
  }
  void flush() {
    if (window_ != UINT64_MAX)
      huge_.count_into(out_.huge);
    huge_ = {};
  }

  const PageSources& sources_;
  PageAccounts& out_;
  RegionAccounts region_;
  PageSum huge_;
  uint64_t window_ = UINT64_MAX;
};

Confidence confidence_of(const PageSources& sources) {
  if (sources.sample == nullptr || !sources.sample->has_pages())
    return Confidence::assumed;
  if (sources.allocator == AllocatorKind::unknown)
    return Confidence::residency_only;
  return sources.allocator == AllocatorKind::glibc && sources.sample->consistent() ? Confidence::exact
                                                                                   : Confidence::good;
}

} // namespace

void AccountBytes::add(const AccountBytes& other) {
  requested += other.requested;
  slack += other.slack;
  metadata += other.metadata;
  stranded += other.stranded;
  held += other.held;
  trimmable += other.trimmable;
  top += other.top;
}

PageAccounts account_pages(const PageSources& sources) {
  PageAccounts accounts;
  accounts.allocator = sources.allocator;
  accounts.confidence = confidence_of(sources);
  accounts.small.page_bytes = sources.sample != nullptr ? sources.sample->page_bytes : 4096;
  accounts.huge.page_bytes = kHugePage;
  Accountant accountant(sources, accounts);
  sweep_pages(sources, accountant);
  accountant.finish();
  return accounts;
}

RegionMap assumed_map(std::span<const HeapBlock> blocks, uint32_t page_bytes) {
  RegionMap map;
  const uint64_t mask = page_bytes - 1;
  for (const HeapBlock& block : blocks) {
    const uint64_t start = block.address & ~mask, end = (block.end() + mask) & ~mask;
    if (!map.regions.empty() && start <= map.regions.back().end) {
      map.regions.back().end = std::max(map.regions.back().end, end);
    } else if (start < end) {
      Region& region = map.regions.emplace_back();
      region.start = start;
      region.end = end;
      region.kind = RegionKind::heap_other;
      region.evidence = RegionEvidence::blocks;
    }
  }
  for (Region& region : map.regions)
    region.rss = region.bytes();
  return map;
}

} // namespace hl
