// What every fuzzer does with a file: open it, read every step, replay it, walk every stack, count every
// time. Whatever the bytes, only a TraceError may come out.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "reader/event_stream.h"
#include "reader/memory_samples.h"
#include "reader/trace.h"
#include "replay/replay.h"

namespace hl {

inline void read_everything(const std::string& path) {
  try {
    const auto trace = Trace::open(path);
    Replay replay({}, trace->clock().start_ticks());
    EventStream stream(*trace, {});
    EventBatch batch;
    while (stream.next(batch))
      replay.consume(batch);
    replay.finish();
    uint64_t sum = trace->clock().wall_ns(replay.result().peak_ticks) + trace->clock().ticks_at_ns(12345);
    for (const UsageSample& sample : usage_samples(*trace))
      sum += sample.values.of(UsageField::rss);
    for (const ResidencySample& listed : list_residency_samples(*trace))
      if (const auto sample = load_residency_sample(*trace, listed))
        for (const PageRange& pages : sample->pages)
          sum += pages.end - pages.start;
    for (const StackId stack : replay.result().site_stacks)
      for (uint32_t id = stack; id != 0 && trace->nodes().defined(id); id = trace->nodes()[id].parent)
        sum += id;
    uint64_t at_peak = 0;
    for (const SiteTotals& site : replay.result().sites)
      at_peak += site.peak_bytes;
    if (at_peak != replay.result().peak_bytes)
      __builtin_trap(); // the books balance, whatever the events
    static volatile uint64_t sink;
    sink = sum;
  } catch (const TraceError&) {
  }
}

// A file in memory that can be opened by name.
class MemoryFile {
 public:
  MemoryFile(const uint8_t* bytes, size_t count) : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    for (size_t done = 0; done < count;) {
      const ssize_t written = ::write(descriptor_, bytes + done, count - done);
      if (written <= 0)
        __builtin_trap();
      done += static_cast<size_t>(written);
    }
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

} // namespace hl
