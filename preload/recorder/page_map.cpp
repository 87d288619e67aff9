// See page_map.h.
#include "page_map.h"

#include <algorithm>
#include <cerrno>

#include <sys/ioctl.h>
#include <unistd.h>

#include "heapledger/block_events.h"

namespace hl {

namespace {

// As in <linux/fs.h>, which is older here than the kernel may be.
struct ScannedRegion {
  uint64_t start, end, categories;
};
struct ScanQuestion {
  uint64_t size, flags, start, end, walk_end, regions, region_count, max_pages;
  uint64_t inverted, all_of, any_of, returned;
};
constexpr uint64_t kIsFile = 1u << 2, kIsPresent = 1u << 3, kIsSwapped = 1u << 4, kIsZero = 1u << 5;
constexpr unsigned long kPagemapScan = _IOWR('f', 16, ScanQuestion);

// Bits of an entry of /proc/PID/pagemap.
constexpr uint64_t kEntryExclusive = uint64_t{1} << 56, kEntryFile = uint64_t{1} << 61,
                   kEntrySwapped = uint64_t{1} << 62, kEntryPresent = uint64_t{1} << 63;

// One question holds the process's map lock until it has filled its answer: small answers, and few resident
// pages for a question.
constexpr size_t kRegionsAtOnce = 512;
constexpr uint64_t kRssAtOnce = uint64_t{64} << 20;
constexpr size_t kEntriesAtOnce = 4096;
// Mappings without a page table to speak of are not walked entry by entry beyond this.
constexpr uint64_t kMostEntries = uint64_t{1} << 24;

class Reader {
 public:
  Reader(int descriptor, uint64_t page_bytes, PageRuns& out)
      : descriptor_(descriptor), page_bytes_(page_bytes), out_(out), regions_(kRegionsAtOnce) {}

  // false: the kernel does not know the call (before anything was added).
  bool scan(std::span<const MappedRange> ranges) {
    for (size_t from = 0; from < ranges.size();) {
      // Mappings next to each other are asked for together.
      size_t to = from;
      for (uint64_t rss = 0; to < ranges.size() && (to == from || rss + ranges[to].rss <= kRssAtOnce); to++)
        rss += ranges[to].rss;
      if (!scan_group(ranges.subspan(from, to - from)))
        return false;
      from = to;
    }
    return true;
  }

  // Entry by entry.
  PageMapAnswer read(std::span<const MappedRange> ranges) {
    PageMapAnswer answer;
    for (const MappedRange& range : ranges)
      if (range.rss != 0 || range.swap != 0)
        read_range(range, answer);
    return answer;
  }

 private:
  bool scan_group(std::span<const MappedRange> ranges) {
    const auto is_empty = [](const MappedRange& r) { return r.rss == 0 && r.swap == 0; };
    while (!ranges.empty() && is_empty(ranges.front()))
      ranges = ranges.subspan(1);
    while (!ranges.empty() && is_empty(ranges.back()))
      ranges = ranges.first(ranges.size() - 1);
    if (ranges.empty())
      return true;
    ScanQuestion question{};
    question.size = sizeof question;
    question.start = ranges.front().start;
    question.end = ranges.back().end;
    question.regions = reinterpret_cast<uint64_t>(regions_.data());
    question.region_count = regions_.size();
    question.inverted = question.all_of = kIsZero; // not the zero page
    question.any_of = kIsPresent | kIsSwapped;
    question.returned = kIsPresent | kIsSwapped | kIsFile;
    size_t at = 0;
    while (question.start < question.end) {
      const int found = ioctl(descriptor_, kPagemapScan, &question);
      if (found < 0)
        return false;
      for (int i = 0; i < found; i++)
        add_region(regions_[static_cast<size_t>(i)], ranges, at);
      if (question.walk_end <= question.start)
        break;
      question.start = question.walk_end;
    }
    return true;
  }

  // A region may reach over several mappings.
  void add_region(const ScannedRegion& region, std::span<const MappedRange> ranges, size_t& at) {
    const bool present = (region.categories & kIsPresent) != 0;
    const PageState state = !present                             ? PageState::swapped
                            : (region.categories & kIsFile) != 0 ? PageState::file
                                                                 : PageState::anonymous;
    for (; at < ranges.size(); at++) {
      const MappedRange& range = ranges[at];
      const uint64_t start = std::max(region.start, range.start), end = std::min(region.end, range.end);
      if (start < end && (present ? range.rss : range.swap) != 0) {
        const uint64_t page = start / page_bytes_, pages = (end - start) / page_bytes_;
        if (state == PageState::anonymous && range.shared != 0)
          tell_shared_apart(page, pages);
        else
          out_.add(page, pages, state);
      }
      if (region.end <= range.end)
        return; // the next region may begin in this mapping, too
    }
  }

  // The call does not tell whether a page is mapped elsewhere, too.
  void tell_shared_apart(uint64_t page, uint64_t pages) {
    for_entries(page, pages, [this](uint64_t at, uint64_t entry) {
      out_.add(at, 1, (entry & kEntryExclusive) != 0 ? PageState::anonymous : PageState::shared_anonymous);
    });
  }

  // Entries that cannot be read are as if all their bits were clear.
  template <typename Visit> void for_entries(uint64_t page, uint64_t pages, Visit visit) {
    entries_.resize(kEntriesAtOnce);
    for (uint64_t done = 0; done < pages;) {
      const size_t wanted = std::min<uint64_t>(pages - done, kEntriesAtOnce);
      const ssize_t got = pread(descriptor_, entries_.data(), wanted * sizeof(uint64_t),
                                static_cast<off_t>((page + done) * sizeof(uint64_t)));
      const size_t known = got > 0 ? static_cast<size_t>(got) / sizeof(uint64_t) : 0;
      std::fill(entries_.begin() + static_cast<ptrdiff_t>(known),
                entries_.begin() + static_cast<ptrdiff_t>(wanted), 0);
      if (known != 0)
        any_entry_ = true;
      else if (!any_entry_)
        return void(unreadable_ = true);
      for (size_t i = 0; i < wanted; i++)
        visit(page + done + i, entries_[i]);
      done += wanted;
    }
  }

  void read_range(const MappedRange& range, PageMapAnswer& answer) {
    const uint64_t page = range.start / page_bytes_, pages = (range.end - range.start) / page_bytes_;
    if (pages > kMostEntries) {
      answer.zero_pages_known = false;
      return;
    }
    // What is present, neither a file's nor this process's alone, may be the zero page.
    uint64_t certain = 0, doubtful = 0;
    const auto is_doubtful = [](uint64_t entry) {
      return (entry & (kEntryPresent | kEntryFile | kEntryExclusive)) == kEntryPresent;
    };
    for_entries(page, pages, [&](uint64_t, uint64_t entry) {
      certain += (entry & kEntryPresent) != 0 && !is_doubtful(entry);
      doubtful += is_doubtful(entry);
    });
    const uint64_t resident = range.rss / page_bytes_;
    const bool are_zero_pages = certain == resident;
    if (doubtful != 0 && !are_zero_pages && certain + doubtful != resident)
      answer.zero_pages_known = false;
    for_entries(page, pages, [&](uint64_t at, uint64_t entry) {
      if ((entry & kEntryPresent) != 0) {
        if (range.rss == 0 || (is_doubtful(entry) && are_zero_pages))
          return;
        out_.add(at, 1,
                 (entry & kEntryFile) != 0        ? PageState::file
                 : (entry & kEntryExclusive) != 0 ? PageState::anonymous
                                                  : PageState::shared_anonymous);
      } else if ((entry & kEntrySwapped) != 0 && range.swap != 0) {
        out_.add(at, 1, PageState::swapped);
      }
    });
    answer.readable = answer.readable && !unreadable_;
  }

  const int descriptor_;
  const uint64_t page_bytes_;
  PageRuns& out_;
  std::vector<ScannedRegion> regions_;
  std::vector<uint64_t> entries_;
  bool any_entry_ = false, unreadable_ = false;
};

} // namespace

void PageRuns::add(uint64_t page, uint64_t pages, PageState state) {
  if (pages == 0)
    return;
  if (pages_ != 0 && state == state_ && page == page_ + pages_) {
    pages_ += pages;
    return;
  }
  put();
  page_ = page;
  pages_ = pages;
  state_ = state;
}

void PageRuns::put() {
  if (pages_ == 0)
    return;
  uint8_t buffer[20];
  uint8_t* const middle = block_codec::put_leb(buffer, page_ - written_end_);
  uint8_t* const end = block_codec::put_leb(middle, pages_ * 4 + static_cast<uint64_t>(state_));
  bytes_.insert(bytes_.end(), buffer, end);
  written_end_ = page_ + pages_;
  count_++;
  pages_ = 0;
}

const std::vector<uint8_t>& PageRuns::finish() {
  put();
  return bytes_;
}

PageMapAnswer read_page_runs(int descriptor, std::span<const MappedRange> ranges, uint64_t page_bytes,
                             PageRuns& out, bool may_scan) {
  static bool scan_unknown; // to this kernel
  if (descriptor < 0)
    return {.readable = false, .zero_pages_known = false};
  // Mappings beyond what a program can have (vsyscall) have no pages of their own.
  constexpr uint64_t kAddressLimit = uint64_t{1} << 57;
  while (!ranges.empty() && ranges.back().end > kAddressLimit)
    ranges = ranges.first(ranges.size() - 1);
  if (may_scan && !scan_unknown) {
    Reader reader(descriptor, page_bytes, out);
    errno = 0;
    if (reader.scan(ranges))
      return {};
    if (errno == ENOTTY || errno == EINVAL)
      scan_unknown = out.count() == 0;
    else
      return {.readable = false, .zero_pages_known = false};
  }
  return Reader(descriptor, page_bytes, out).read(ranges);
}

} // namespace hl
