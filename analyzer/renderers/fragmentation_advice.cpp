// Advice on fragmentation. Only what was computed is said to help; what depends on more is said with its
// price. See fragmentation_output.h.
#include <algorithm>

#include "renderers/fragmentation_output.h"
#include "renderers/report_parts.h"

namespace hl {
namespace {

constexpr uint64_t kWorthwhile = 64u << 10, kLarge = 1u << 20;

bool matters(uint64_t bytes, uint64_t footprint) {
  return bytes >= kWorthwhile && bytes >= footprint / 50;
}

} // namespace

std::vector<FragmentationAdvice> fragmentation_advice(const FragmentationAnswer& answer,
                                                      const TextStyle& style) {
  const FragmentationStudy& study = answer.study;
  const PageAccounts& accounts = study.accounts;
  const uint64_t footprint = accounts.small.bytes.resident();
  std::vector<FragmentationAdvice> advice;
  if (accounts.confidence == Confidence::assumed)
    return advice;

  std::vector<const BlamedPlace*> movable;
  for (const BlamedPlace& place : answer.places)
    if (matters(place.charge.given_back(), footprint) && place.charge.exclusive_bytes != 0)
      movable.push_back(&place);
  std::stable_sort(movable.begin(), movable.end(), [](const BlamedPlace* a, const BlamedPlace* b) {
    return a->charge.given_back() > b->charge.given_back();
  });
  for (size_t i = 0; i < std::min<size_t>(movable.size(), 3); ++i) {
    const BlamedPlace& place = *movable[i];
    const Charge& charge = place.charge;
    const bool one = charge.survivors == 1;
    advice.push_back({"place_apart", charge.given_back(),
                      "Allocate the " + plural(charge.survivors, "long-lived block") + " (" +
                          human_bytes(charge.survivor_bytes, style) + ") of " +
                          place_text(place.group, style) + " before what is freed around " +
                          (one ? "it" : "them") + ", or from a pool of " + (one ? "its" : "their") +
                          " own: " + human_bytes(charge.given_back(), style) + " would be given back (" +
                          human_bytes(charge.released_bytes, style) + " of pages less " +
                          human_bytes(charge.room_bytes, style) + " that the blocks need elsewhere)."});
  }
  if (matters(accounts.malloc_trim, footprint))
    advice.push_back({"malloc_trim", accounts.malloc_trim,
                      "malloc_trim(0) would give back " + human_bytes(accounts.malloc_trim, style) +
                          " now: whole pages inside free chunks and at the end of the heap. (Blocks in the "
                          "caches of threads count as in use to it; they can make it a little less.)"});
  const uint64_t empty = accounts.small.bytes.trimmable;
  if (accounts.allocator == AllocatorKind::tcmalloc && matters(empty, footprint))
    advice.push_back({"release_free_memory", empty,
                      "MallocExtension_ReleaseFreeMemory() would give back up to " +
                          human_bytes(empty, style) +
                          " now: pages on which nothing is live. (Those whose freed blocks wait in "
                          "tcmalloc's caches stay; "
                          "MallocExtension_MarkThreadIdle() empties the calling thread's first.)"});
  if (accounts.allocator == AllocatorKind::mimalloc && matters(empty, footprint))
    advice.push_back(
        {"decommit_delay", empty,
         human_bytes(empty, style) +
             " lie on pages with nothing live; mimalloc gives them back when further pages come free after "
             "its delay, and mi_collect() does not hasten that. MIMALLOC_DECOMMIT_DELAY=0 (from 2.1 on "
             "MIMALLOC_PURGE_DELAY=0) gives them back at once; the price is page faults when they are used "
             "again."});
  uint64_t in_further = 0;
  for (size_t i = 0; i < study.arenas.size(); ++i)
    in_further += i == 0 ? 0 : study.arenas[i].bytes.free();
  if (study.arenas.size() > 2 && in_further >= std::max(kLarge, footprint / 10))
    advice.push_back(
        {"arena_max", in_further,
         "The " + with_thousands(study.arenas.size() - 1) + " further heaps of glibc's arenas hold " +
             human_bytes(in_further, style) +
             " of free memory that only threads of the same arena can use. "
             "mallopt(M_ARENA_MAX, 2) or MALLOC_ARENA_MAX=2 makes threads share it; the price is "
             "that they wait for each other."});
  if (study.large_in_heap_bytes >= std::max(kLarge, footprint / 20))
    advice.push_back(
        {"mmap_threshold", study.large_in_heap_bytes,
         plural(study.large_in_heap_blocks, "live block") + " of 128 KiB and more (" +
             human_bytes(study.large_in_heap_bytes, style) +
             ") lie inside a heap, where freeing them gives nothing back until all behind them is "
             "free. mallopt(M_MMAP_THRESHOLD, 131072) keeps the threshold from rising, so that such "
             "blocks get mappings of their own, unless a hole in the heap has room for them."});
  return advice;
}

std::string_view sample_cause_name(SampleCause cause) {
  switch (cause) {
  case SampleCause::start:
    return "start";
  case SampleCause::periodic:
    return "periodic";
  case SampleCause::mark:
    return "mark";
  case SampleCause::peak:
    return "peak";
  case SampleCause::request:
    return "request";
  case SampleCause::exit:
    return "exit";
  case SampleCause::unknown:
    break;
  }
  return "unknown";
}

std::string sample_sentence(const FragmentationAnswer& answer, const TextStyle&) {
  const FragmentationStudy& study = answer.study;
  const TraceClock& clock = answer.heap.trace.clock();
  const std::string allocator = study.accounts.allocator == AllocatorKind::unknown
                                    ? "an allocator that is not known"
                                    : std::string(to_string(study.accounts.allocator));
  if (!study.sample)
    return "No residency is known (" + study.without_sample +
           "), so the pages that live blocks touch are taken for resident (\"touched (assumed)\"), and empty "
           "pages cannot be seen. Heap of " +
           allocator + ".";
  static constexpr std::string_view kWhy[] = {"",
                                              ", soon after the start",
                                              "",
                                              ", taken for a mark",
                                              ", taken at a new height of resident memory",
                                              ", taken on request",
                                              ", taken right before the end"};
  std::string text = "Pages as of " + human_ns(clock.ns(study.ticks)) + " after the start" +
                     std::string(kWhy[static_cast<size_t>(study.sample->cause)]);
  if (!study.sample->name.empty())
    text += " (" + printable(study.sample->name) + ")";
  text += study.sample->consistent()
              ? ", with the process standing still"
              : "; the process ran on meanwhile, so that pages and blocks may differ a little";
  return text + ". Heap of " + allocator +
         "; confidence: " + std::string(to_string(study.accounts.confidence)) + ".";
}

} // namespace hl
