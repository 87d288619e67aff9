// Takes samples of the recorded processes' memory, in a thread of its own: a map of a large process takes
// tens of milliseconds, and draining must not wait for it. The recorder's thread adds and removes processes,
// asks for samples, and collects what is finished to append it to the traces; the sampler writes no file.
//
// What must not happen: that the recorder waits for the sampler. /proc may keep a reader for long (a process
// that holds its own map lock and sleeps): then there are no samples.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "heapledger/session_layout.h"
#include "heapledger/trace_format.h"
#include "residency_encoder.h"

namespace hl {

class ProcessWatch;

struct SampleWish {
  SampleCause cause = SampleCause::unknown;
  std::string name;
  // The process stands still as of that stamp; 0: it may run, and the stamp is that of the reading.
  uint64_t still_ticks = 0;
  bool asker_waits =
      false; // a thread of the process waits until it is read; if it is the only one, all stands still
  bool optional = false; // left out if the budget does not allow it
};

// A map, ready to be appended.
struct TakenSample {
  uint32_t process = 0; // as given to add()
  uint64_t serial = 0;  // of the wish; 0: the sampler's own idea
  bool asker_waited = false;
  bool good = false; // false: there is no payload
  uint8_t flags = 0; // ResidencyFlags
  uint64_t ticks = 0, end_ticks = 0;
  std::vector<uint8_t> payload;
};

class MemorySampler {
 public:
  // `wake`: called in the sampler's thread when there is something to collect.
  MemorySampler(const SessionHeader& session, std::function<void()> wake);
  ~MemorySampler();
  MemorySampler(const MemorySampler&) = delete;
  MemorySampler& operator=(const MemorySampler&) = delete;

  // Anything is sampled without being asked for.
  bool samples_by_itself() const;

  // `process`: any number, never used twice. `began_ns`: CLOCK_MONOTONIC.
  void add(uint32_t process, ProcessWatch& watch, const SessionProcess& slot, uint64_t began_ns);
  void remove(uint32_t process);
  bool has(uint32_t process) const;

  // Returns the wish's serial, 0 if there is no such process.
  uint64_t ask(uint32_t process, SampleWish wish);
  // The memory for that wish has been read (or never will be): the process may go on.
  bool was_read(uint64_t serial) const;
  // Wishes that are not answered yet.
  bool is_asked() const;

  // What has been finished since the last call.
  std::vector<TakenSample> collect();
  // Rows of the process since the last call, if there are `least_rows` at least.
  std::vector<UsageRow> collect_usage(uint32_t process, size_t least_rows);
  SamplingPayload stats(uint32_t process) const;

 private:
  class Worker;
  std::unique_ptr<Worker> worker_;
};

} // namespace hl
