// See page_sweep.h.
#include "fragmentation/page_sweep.h"

#include <algorithm>

namespace hl {
namespace {

struct Span {
  uint64_t start, end;
  bool swapped;
};

uint64_t overlap(uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
  const uint64_t start = std::max(a, c), end = std::min(b, d);
  return end > start ? end - start : 0;
}

// Pages that count as there. Where the kernel did not tell zero pages apart (they are no Rss), the mapping's
// Rss decides whether its shared anonymous pages are some.
std::vector<Span> resident_spans(const ResidencySample& sample, const RegionMap& map) {
  std::vector<Span> spans;
  spans.reserve(sample.pages.size());
  const bool certain = (sample.flags & kResidencyZeroPages) != 0;
  size_t at = 0;
  const auto note = [&](uint64_t start, uint64_t end, PageState state) {
    const bool swapped = state == PageState::swapped;
    if (!spans.empty() && spans.back().end == start && spans.back().swapped == swapped)
      spans.back().end = end;
    else
      spans.push_back({start, end, swapped});
  };
  for (const Vma& vma : map.vmas) {
    while (at < sample.pages.size() && sample.pages[at].end <= vma.start)
      ++at;
    uint64_t total = 0, shared = 0;
    for (size_t i = at; i < sample.pages.size() && sample.pages[i].start < vma.end; ++i) {
      const PageRange& run = sample.pages[i];
      const uint64_t bytes = overlap(run.start, run.end, vma.start, vma.end);
      total += run.state == PageState::swapped ? 0 : bytes;
      shared += run.state == PageState::shared_anonymous ? bytes : 0;
    }
    const auto distance = [&](uint64_t bytes) {
      return bytes > vma.numbers.rss ? bytes - vma.numbers.rss : vma.numbers.rss - bytes;
    };
    const bool zero_pages = !certain && shared != 0 && distance(total - shared) < distance(total);
    for (size_t i = at; i < sample.pages.size() && sample.pages[i].start < vma.end; ++i) {
      const PageRange& run = sample.pages[i];
      if (!(zero_pages && run.state == PageState::shared_anonymous))
        note(std::max(run.start, vma.start), std::min(run.end, vma.end), run.state);
    }
  }
  return spans;
}

class Sweep {
 public:
  Sweep(const PageSources& sources, PageVisitor& visitor)
      : sources_(sources), blocks_(sources.blocks), visitor_(visitor) {
    layout_.kind = sources.allocator;
    if (sources.sample != nullptr) {
      page_bytes_ = sources.sample->page_bytes;
      if (sources.sample->has_pages())
        resident_ = resident_spans(*sources.sample, *sources.map);
    }
    layout_.page_bytes = page_bytes_;
  }

  void run() {
    for (uint32_t i = 0; i < sources_.map->regions.size(); ++i)
      if (sources_.map->regions[i].is_allocator())
        sweep_region(i);
  }

 private:
  struct Extent {
    uint64_t header, requested_end, end, tail;
  };
  struct Run {
    uint64_t start, end;
    uint32_t first, last;
  };

  // Blocks that overlap (damage, a missed free) are cut where the next one begins.
  Extent extent(uint32_t index) const {
    const HeapBlock& block = blocks_[index];
    const BlockExtent whole = layout_.extent(block);
    const uint64_t limit = index + 1 < blocks_.size() ? blocks_[index + 1].address : UINT64_MAX;
    uint64_t header = std::min(whole.header, block.address);
    if (index != 0) {
      const HeapBlock& before = blocks_[index - 1];
      header = std::max(header, std::min(layout_.extent(before).tail, block.address));
    }
    const uint64_t end = std::min(whole.end, limit);
    return {header, std::min(block.address + std::min(block.size, block.usable), end), end,
            std::min(std::max(whole.tail, end), limit)};
  }

  bool ever_used(uint64_t page) const {
    if (sources_.used == nullptr || layout_.kind == AllocatorKind::glibc ||
        layout_.kind == AllocatorKind::unknown)
      return true; // not known, or told by the layout
    return sources_.used->any(page, page + page_bytes_) ||
           used_by(sources_.removed, page, page + page_bytes_);
  }

  void find_blocks(const Region& region) {
    const auto begin = std::lower_bound(blocks_.begin(), blocks_.end(), region.start,
                                        [](const HeapBlock& b, uint64_t at) { return b.address < at; });
    const auto end = std::lower_bound(begin, blocks_.end(), region.end,
                                      [](const HeapBlock& b, uint64_t at) { return b.address < at; });
    first_ = static_cast<uint32_t>(begin - blocks_.begin());
    last_ = static_cast<uint32_t>(end - blocks_.begin());
    starting_here_ = last_ - first_;
    if (first_ != 0 && extent(first_ - 1).tail > region.start)
      --first_;
    if (last_ < blocks_.size() && extent(last_).header < region.end)
      ++last_;
  }

  // Whether a block overlaps [start, end).
  bool used(uint64_t start, uint64_t end) const {
    return used_by(blocks_, start, end) || used_by(sources_.removed, start, end);
  }
  bool used_by(std::span<const HeapBlock> blocks, uint64_t start, uint64_t end) const {
    auto block = std::lower_bound(blocks.begin(), blocks.end(), start,
                                  [](const HeapBlock& b, uint64_t at) { return b.address < at; });
    if (block != blocks.begin() && layout_.extent(*std::prev(block)).tail > start)
      return true;
    return block != blocks.end() && layout_.extent(*block).header < end;
  }

  // A block of another size has a run of its own: the place ends before it.
  AllocatorRun run_of(uint32_t index) const {
    const HeapBlock& block = blocks_[index];
    const RunPlaces places = layout_.run_places(block);
    if (places.all().size() < 2)
      return places.shared();
    const bool below = index > first_ && blocks_[index - 1].usable != block.usable;
    const bool above = index + 1 < last_ && blocks_[index + 1].usable != block.usable;
    return places
        .within(below ? blocks_[index - 1].end() : 0, above ? blocks_[index + 1].address : UINT64_MAX)
        .shared();
  }

  void find_runs(const Region& region) {
    runs_.clear();
    for (uint32_t i = first_; i < last_; ++i) {
      const AllocatorRun run = run_of(i);
      if (run.end == 0)
        continue;
      const uint64_t start = std::max(run.start, region.start), end = std::min(run.end, region.end);
      if (start >= end)
        continue;
      if (!runs_.empty() && start < runs_.back().end) {
        runs_.back().start = std::min(runs_.back().start, start);
        runs_.back().end = std::max(runs_.back().end, end);
        runs_.back().last = i + 1;
      } else {
        runs_.push_back({start, end, i, i + 1});
      }
    }
  }

  // Without pagemap: the mapping's Rss laid on the pages of live blocks first, then on the others, from low
  // addresses on. Never more than the kernel counted.
  std::vector<Span> assume_resident(const Region& region) {
    if (sources_.sample == nullptr)
      return {{region.start, region.end, false}};
    uint64_t budget = std::min(region.rss, region.bytes());
    const uint64_t mask = page_bytes_ - 1;
    std::vector<Span> touched;
    for (uint32_t i = first_; i < last_ && budget != 0; ++i) {
      const Extent e = extent(i);
      uint64_t start = std::max(e.header & ~mask, region.start);
      const uint64_t end = std::min((e.requested_end + mask) & ~mask, region.end);
      if (!touched.empty())
        start = std::max(start, touched.back().end);
      if (start >= end)
        continue;
      const uint64_t bytes = std::min(end - start, budget);
      if (!touched.empty() && touched.back().end == start)
        touched.back().end += bytes;
      else
        touched.push_back({start, start + bytes, false});
      budget -= bytes;
    }
    std::vector<Span> all;
    uint64_t at = region.start;
    const auto add = [&](uint64_t start, uint64_t end) {
      if (!all.empty() && all.back().end == start)
        all.back().end = end;
      else if (start < end)
        all.push_back({start, end, false});
    };
    for (const Span& span : touched) {
      const uint64_t bytes = std::min(span.start - at, budget);
      add(at, at + bytes);
      budget -= bytes;
      add(span.start, span.end);
      at = span.end;
    }
    add(at, at + std::min(region.end - at, budget));
    return all;
  }

  void tell_gap(uint32_t region, uint64_t start, uint64_t end) {
    for (const Span& table : tables_) {
      if (table.end <= start || table.start >= end)
        continue;
      if (table.start > start)
        visitor_.gap(region, start, table.start);
      start = table.end;
    }
    if (start < end)
      visitor_.gap(region, start, end);
  }

  void sweep_region(uint32_t index) {
    const Region& region = sources_.map->regions[index];
    find_blocks(region);
    find_runs(region);
    tables_.clear();
    layout_.fixed_tables(
        region, [this](uint64_t start, uint64_t end) { return used(start, end); },
        [this](uint64_t start, uint64_t end) {
          tables_.push_back({start, end, false});
        });
    top_start_ = UINT64_MAX;
    if (layout_.kind == AllocatorKind::glibc &&
        (region.kind == RegionKind::heap_brk || region.kind == RegionKind::heap_arena)) {
      top_start_ = tables_.empty() ? region.start : tables_.back().end;
      if (first_ != last_)
        top_start_ = std::max(top_start_, extent(last_ - 1).tail);
    }
    uint64_t requested = 0, gap_start = region.start;
    for (uint32_t i = first_; i < last_; ++i) {
      const Extent e = extent(i);
      const uint64_t here = overlap(blocks_[i].address, e.requested_end, region.start, region.end);
      requested += here;
      visitor_.block(blocks_[i], here, blocks_[i].address >= region.start && blocks_[i].address < region.end);
      tell_gap(index, gap_start, e.header);
      gap_start = std::max(gap_start, e.tail);
    }
    tell_gap(index, gap_start, region.end);
    next_block_ = first_;
    next_run_ = next_table_ = 0;
    resident_requested_ = swapped_requested_ = 0;
    const bool by_pages = sources_.sample != nullptr && sources_.sample->has_pages();
    const std::vector<Span> assumed = by_pages ? std::vector<Span>() : assume_resident(region);
    const std::vector<Span>& spans = by_pages ? resident_ : assumed;
    auto span = std::upper_bound(spans.begin(), spans.end(), region.start,
                                 [](uint64_t at, const Span& s) { return at < s.end; });
    for (; span != spans.end() && span->start < region.end; ++span) {
      const uint64_t end = std::min(span->end, region.end);
      for (uint64_t at = std::max(span->start, region.start); at < end;) {
        const uint64_t page_end = std::min((at & ~(uint64_t{page_bytes_} - 1)) + page_bytes_, end);
        sweep_page(index, at, page_end, span->swapped);
        at = page_end;
      }
    }
    visitor_.region_done(index, requested - resident_requested_ - swapped_requested_, swapped_requested_,
                         starting_here_);
  }

  void sweep_page(uint32_t region, uint64_t start, uint64_t end, bool swapped) {
    while (next_block_ < last_ && extent(next_block_).tail <= start)
      ++next_block_;
    SweptPage page{};
    page.start = page.run_start = start;
    page.end = end;
    page.region = region;
    page.first_keeper = page.last_keeper = next_block_;
    for (uint32_t i = next_block_; i < last_; ++i) {
      const Extent e = extent(i);
      if (e.header >= end)
        break;
      const uint64_t address = blocks_[i].address;
      const uint64_t requested = overlap(address, e.requested_end, start, end);
      const uint64_t slack = overlap(e.requested_end, e.end, start, end);
      page.requested += requested;
      page.slack += slack;
      page.metadata += overlap(e.header, address, start, end) + overlap(e.end, e.tail, start, end);
      page.last_keeper = i + 1;
      visitor_.piece(blocks_[i], requested, slack, swapped);
    }
    if (swapped) {
      swapped_requested_ += page.requested;
      return;
    }
    resident_requested_ += page.requested;
    while (next_table_ < tables_.size() && tables_[next_table_].end <= start)
      ++next_table_;
    for (size_t i = next_table_; i < tables_.size() && tables_[i].start < end; ++i) {
      page.metadata += overlap(tables_[i].start, tables_[i].end, start, end);
      page.table = true;
    }
    page.free = end - start - page.requested - page.slack - page.metadata;
    while (next_run_ < runs_.size() && runs_[next_run_].end <= start)
      ++next_run_;
    if (next_run_ < runs_.size() && runs_[next_run_].start < end) {
      const Run& run = runs_[next_run_];
      page.run_start = run.start;
      page.first_keeper = std::min(page.kept() ? page.first_keeper : run.first, run.first);
      page.last_keeper = std::max(page.last_keeper, run.last);
    }
    page.gap_start =
        next_block_ > first_ ? extent(next_block_ - 1).tail : sources_.map->regions[region].start;
    if (next_table_ != 0 && tables_[next_table_ - 1].end <= start)
      page.gap_start = std::max(page.gap_start, tables_[next_table_ - 1].end);
    page.gap_end = next_block_ < last_ ? extent(next_block_).header : sources_.map->regions[region].end;
    page.top = start >= top_start_;
    page.never_used = !page.kept() && !ever_used(start);
    visitor_.page(page);
  }

  const PageSources& sources_;
  std::span<const HeapBlock> blocks_;
  PageVisitor& visitor_;
  AllocatorLayout layout_;
  uint32_t page_bytes_ = 4096;
  std::vector<Span> resident_; // of the whole process

  // Of the region at hand:
  uint32_t first_ = 0, last_ = 0, starting_here_ = 0;
  std::vector<Run> runs_;
  std::vector<Span> tables_;
  uint64_t top_start_ = UINT64_MAX;
  uint32_t next_block_ = 0;
  size_t next_run_ = 0, next_table_ = 0;
  uint64_t resident_requested_ = 0, swapped_requested_ = 0;
};

} // namespace

void PageVisitor::piece(const HeapBlock&, uint64_t, uint64_t, bool) {}
void PageVisitor::block(const HeapBlock&, uint64_t, bool) {}
void PageVisitor::gap(uint32_t, uint64_t, uint64_t) {}
void PageVisitor::region_done(uint32_t, uint64_t, uint64_t, uint32_t) {}

void sweep_pages(const PageSources& sources, PageVisitor& visitor) {
  Sweep(sources, visitor).run();
}

} // namespace hl
