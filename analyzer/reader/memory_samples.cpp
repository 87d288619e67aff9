// See memory_samples.h.
#include "reader/memory_samples.h"

#include <algorithm>

#include "heapledger/event.h"
#include "reader/frame_bytes.h"
#include "reader/payload_cursor.h"

namespace hl {
namespace {

constexpr uint64_t kMaxRawBytes = uint64_t{1} << 28; // a hundred times what 65 530 mappings take
constexpr uint64_t kAddressLimit = uint64_t{1} << 57;

// Structures begin with their size, of which the writer may have known less or more than we do.
template <typename T>
bool get_head(PayloadCursor& cursor, std::span<const uint8_t> payload, size_t least, T& out) {
  uint32_t bytes = 0;
  return PayloadCursor(payload).get(bytes) && bytes >= least && cursor.get_sized(out, bytes);
}

bool parse_pages(PayloadCursor& raw, uint64_t runs, uint64_t page_bytes, std::vector<PageRange>& pages) {
  if (runs > raw.remaining() / 2)
    return false;
  pages.reserve(runs);
  const uint64_t page_limit = kAddressLimit / page_bytes;
  uint64_t at = 0;
  for (uint64_t i = 0; i < runs; ++i) {
    const uint64_t gap = raw.leb(), run = raw.leb(), count = run / 4;
    if (raw.failed() || gap > page_limit - at || count == 0 || count > page_limit - at - gap)
      return false;
    at += gap;
    pages.push_back({at * page_bytes, (at + count) * page_bytes, static_cast<PageState>(run % 4)});
    at += count;
  }
  return true;
}

template <typename Parse> auto read_sample(const Trace& trace, const ChunkPlace& place, const Parse& parse) {
  std::vector<uint8_t> payload;
  decltype(parse(std::span<const uint8_t>())) parsed;
  if (!read_payload(*trace.file(), place, payload, trace.problems()))
    return parsed;
  parsed = parse(payload);
  if (!parsed)
    trace.problems().add(ProblemKind::damaged, place.offset,
                         "the memory sample at byte " + std::to_string(place.offset) +
                             " cannot be what it claims to be");
  return parsed;
}

std::optional<ResidencySample> read_residency(const Trace& trace, const ChunkPlace& place, bool whole) {
  auto sample = read_sample(
      trace, place, [whole](std::span<const uint8_t> payload) { return parse_residency(payload, whole); });
  if (sample)
    sample->place = place;
  return sample;
}

} // namespace

std::optional<std::vector<UsageSample>> parse_usage(std::span<const uint8_t> payload) {
  PayloadCursor cursor(payload);
  UsagePayload head;
  if (!get_head(cursor, payload, sizeof head, head) || head.raw_bytes > kMaxRawBytes)
    return std::nullopt;
  std::vector<uint8_t> bytes;
  if (!unpack_frame(cursor.take(cursor.remaining()), head.raw_bytes, bytes) ||
      head.row_count > bytes.size() / 2)
    return std::nullopt;
  PayloadCursor raw(bytes);
  std::vector<UsageSample> samples(head.row_count);
  UsageValues last;
  last.values.fill(0);
  uint64_t ticks = head.first_ticks;
  for (UsageSample& sample : samples) {
    sample.ticks = ticks += raw.leb();
    for (uint64_t mask = raw.leb(); mask != 0; mask &= mask - 1) {
      const auto field = static_cast<size_t>(__builtin_ctzll(mask));
      const uint64_t change = static_cast<uint64_t>(unzigzag(raw.leb()));
      if (field < kUsageFields) // of a later version otherwise
        sample.values.values[field] = last.values[field] += change;
    }
  }
  return raw.failed() ? std::nullopt : std::optional(std::move(samples));
}

std::optional<ResidencySample> parse_residency(std::span<const uint8_t> payload, bool whole) {
  constexpr size_t kFixedBytes = sizeof(ResidencyPayload) - sizeof(ResidencyPayload::fields);
  PayloadCursor cursor(payload);
  ResidencyPayload head;
  if (!get_head(cursor, payload, kFixedBytes, head))
    return std::nullopt;
  ResidencySample sample;
  sample.ticks = head.ticks;
  sample.end_ticks = head.end_ticks;
  sample.cpu_ns = head.cpu_ns;
  sample.cause = head.cause > static_cast<uint8_t>(SampleCause::exit) ? SampleCause::unknown
                                                                      : static_cast<SampleCause>(head.cause);
  sample.flags = head.flags;
  sample.page_bytes = head.page_bytes;
  const uint64_t known = std::min<uint64_t>((head.payload_header_bytes - kFixedBytes) / 8, kUsageFields);
  std::copy_n(head.fields, known, sample.usage.values.begin());
  sample.name = cursor.text(head.name_bytes);
  const bool page_size_makes_sense = head.page_bytes >= 1024 && head.page_bytes <= (1u << 24) &&
                                     (head.page_bytes & (head.page_bytes - 1)) == 0;
  if (cursor.failed() || !page_size_makes_sense)
    return std::nullopt;
  if (!whole)
    return sample;
  std::vector<uint8_t> bytes;
  if (head.raw_bytes > kMaxRawBytes || !unpack_frame(cursor.take(cursor.remaining()), head.raw_bytes, bytes))
    return std::nullopt;
  PayloadCursor raw(bytes);
  if (head.own_ranges > raw.remaining() / sizeof(AddressRange))
    return std::nullopt;
  sample.own.resize(head.own_ranges);
  uint64_t end_before = 0;
  for (AddressRange& range : sample.own) {
    raw.get(range);
    if (range.start < end_before || range.end <= range.start || range.end > kAddressLimit)
      return std::nullopt;
    end_before = range.end;
  }
  if (head.smaps_bytes > raw.remaining())
    return std::nullopt;
  sample.smaps = raw.text(head.smaps_bytes);
  if (!parse_pages(raw, head.page_run_count, head.page_bytes, sample.pages) || raw.failed())
    return std::nullopt;
  return sample;
}

std::vector<UsageSample> usage_samples(const Trace& trace) {
  std::vector<UsageSample> all;
  for (const ChunkPlace& place : trace.usage_chunks())
    if (const auto some = read_sample(trace, place, parse_usage))
      all.insert(all.end(), some->begin(), some->end());
  std::stable_sort(all.begin(), all.end(),
                   [](const UsageSample& a, const UsageSample& b) { return a.ticks < b.ticks; });
  return all;
}

std::vector<ResidencySample> list_residency_samples(const Trace& trace) {
  std::vector<ResidencySample> all;
  for (const ChunkPlace& place : trace.residency_chunks())
    if (auto sample = read_residency(trace, place, false))
      all.push_back(std::move(*sample));
  std::stable_sort(all.begin(), all.end(),
                   [](const ResidencySample& a, const ResidencySample& b) { return a.ticks < b.ticks; });
  return all;
}

std::optional<ResidencySample> load_residency_sample(const Trace& trace, const ResidencySample& listed) {
  return read_residency(trace, listed.place, true);
}

} // namespace hl
