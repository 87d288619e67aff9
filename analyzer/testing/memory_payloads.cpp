// See memory_payloads.h.
#include "testing/memory_payloads.h"

#include <algorithm>
#include <cstring>

#include <zstd.h>

namespace hl::testing {
namespace {

void put_leb(std::vector<uint8_t>& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7)
    out.push_back(static_cast<uint8_t>(value | 0x80));
  out.push_back(static_cast<uint8_t>(value));
}

template <typename T> void put(std::vector<uint8_t>& out, const T& value) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}

void put_frame(std::vector<uint8_t>& out, const std::vector<uint8_t>& raw) {
  std::vector<uint8_t> packed(ZSTD_compressBound(raw.size()));
  packed.resize(ZSTD_compress(packed.data(), packed.size(), raw.data(), raw.size(), 1));
  out.insert(out.end(), packed.begin(), packed.end());
}

} // namespace

std::vector<uint8_t> usage_payload(const std::vector<UsageSample>& samples) {
  std::vector<uint8_t> raw;
  UsagePayload head{};
  head.payload_header_bytes = sizeof head;
  head.row_count = static_cast<uint32_t>(samples.size());
  head.first_ticks = samples.empty() ? 0 : samples.front().ticks;
  uint64_t ticks = head.first_ticks;
  UsageValues last;
  last.values.fill(0);
  for (const UsageSample& sample : samples) {
    put_leb(raw, sample.ticks - ticks);
    ticks = sample.ticks;
    uint64_t mask = 0;
    for (uint32_t field = 0; field < kUsageFields; ++field)
      mask |= uint64_t{sample.values.has(static_cast<UsageField>(field))} << field;
    put_leb(raw, mask);
    for (uint32_t field = 0; field < kUsageFields; ++field) {
      if ((mask >> field & 1) == 0)
        continue;
      put_leb(raw, zigzag(static_cast<int64_t>(sample.values.values[field] - last.values[field])));
      last.values[field] = sample.values.values[field];
    }
  }
  head.raw_bytes = raw.size();
  std::vector<uint8_t> out;
  put(out, head);
  put_frame(out, raw);
  return out;
}

std::vector<uint8_t> residency_payload(const ResidencySample& sample) {
  std::vector<uint8_t> raw;
  for (const AddressRange& range : sample.own)
    put(raw, range);
  raw.insert(raw.end(), sample.smaps.begin(), sample.smaps.end());
  uint64_t end = 0;
  for (const PageRange& run : sample.pages) {
    put_leb(raw, run.start / sample.page_bytes - end);
    end = run.end / sample.page_bytes;
    put_leb(raw, (end - run.start / sample.page_bytes) * 4 + static_cast<uint64_t>(run.state));
  }
  ResidencyPayload head{};
  head.payload_header_bytes = sizeof head;
  head.name_bytes = static_cast<uint16_t>(sample.name.size());
  head.cause = static_cast<uint8_t>(sample.cause);
  head.flags = sample.flags;
  head.ticks = sample.ticks;
  head.end_ticks = sample.end_ticks;
  head.cpu_ns = sample.cpu_ns;
  head.page_bytes = sample.page_bytes;
  head.own_ranges = static_cast<uint32_t>(sample.own.size());
  head.smaps_bytes = sample.smaps.size();
  head.page_run_count = sample.pages.size();
  head.raw_bytes = raw.size();
  std::copy(sample.usage.values.begin(), sample.usage.values.end(), head.fields);
  std::vector<uint8_t> out;
  put(out, head);
  out.insert(out.end(), sample.name.begin(), sample.name.end());
  put_frame(out, raw);
  return out;
}

} // namespace hl::testing
