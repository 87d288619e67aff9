// Leak scans of the recorded processes (and samples of memory, and marks that are set from outside), from the
// request in a process's ScanDesk to the chunks in its trace. The work is done by a program of its own, the
// scanner
// (`heapledger scan-process`, beside this program): it may take long, need much memory, and die, while the
// recorder goes on draining.
//
//   waiting   taken up; at most two scanners run at a time
//   running   the scanner talks to us over a socket (scan_channel.h) and writes its result into a memfd
//   then      the result, or a chunk that says why there is none, is appended; the desk says `completed`
//
// The sample that comes with a scan, or is wanted for itself, is taken by the sampler while the scanner holds
// the process; where it cannot be held, while it runs.
//
// Nothing here blocks: poll() is called in each pass. Whoever waits is answered in any case: as soon as the
// scanner says so, when it fails, or when it has been silent for too long. What a recorder that died left
// open is done again by its successor.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>

#include <sys/types.h>

#include "memory_sampler.h"
#include "process_recording.h"

namespace hl {

struct LeakScanSettings {
  std::string scanner; // program to start; "": `heapledger` beside this one
  uint64_t longest_silence_ns = 120'000'000'000;
  uint64_t most_payload_bytes = uint64_t{1} << 30;
  uint32_t at_once = 2;
};

class LeakScans {
 public:
  // `flush`: drains everything committed by the process up to now into its trace; false: that is not
  // possible.
  using Flush = std::function<bool(ProcessRecording&)>;
  LeakScans(const SessionHeader& session, const LeakScanSettings& settings, MemorySampler& sampler,
            Flush flush);
  ~LeakScans();
  LeakScans(const LeakScans&) = delete;
  LeakScans& operator=(const LeakScans&) = delete;

  // Goes on with the process's scan, if one is wanted or under way.
  void poll(ProcessRecording& recording, uint64_t now_ns);
  // Wanted or under way: its recording must stay open.
  bool pending(ProcessRecording& recording) const;
  // Since when the process waits at its own end; 0: it does not.
  uint64_t keeps_from_ending_since_ns(ProcessRecording& recording) const;
  // A sample is about to be appended: what it claims is taken back where it turned out not to hold.
  void before_append(ProcessRecording& recording, TakenSample& sample);
  // It is in the trace, or is not to be had.
  void sampled(ProcessRecording& recording, const TakenSample& sample, bool written);
  // Scanners are running: pass again soon.
  bool busy() const { return running_ != 0; }
  // Sleeps until a scanner says something, at most `timeout_ns`.
  void sleep(uint64_t timeout_ns) const;

 private:
  struct Job {
    uint32_t serial = 0;
    ScanCause cause = ScanCause::unknown;
    std::string name;
    uint32_t wanted = 0;
    pid_t scanner = 0; // 0: waiting
    int channel = -1, result = -1;
    bool hung_up = false, killed = false, gone = false;
    uint64_t taken_ns = 0, started_ns = 0, heard_ns = 0;
    enum class Sample : uint8_t { unwanted, wanted, asked, done } sample = Sample::unwanted;
    uint64_t sample_serial = 0, sample_asked_ns = 0, pause_ns = 0;
    uint64_t pending_when_asked = 0;
    bool asker_waits = false;             // a thread of the process, until `answered`
    bool checked = false;                 // that it did nothing else
    bool told = false;                    // the scanner knows that the sample was read
    bool ran_again = false;               // before that
    std::optional<LeakScanPayload> found; // kept until the sample is there
    bool over = false;                    // but for the sample

    bool only_sample() const { return (wanted & kDeskScan) == 0; }
  };

  void take_up(ProcessRecording& recording, uint64_t now_ns);
  void start(ProcessRecording& recording, Job& job, uint64_t now_ns);
  bool spawn(ProcessRecording& recording, Job& job, int channel, std::string& why);
  void listen(ProcessRecording& recording, Job& job, uint64_t now_ns);
  bool store_result(ProcessRecording& recording, Job& job, std::string& why);
  void fail(ProcessRecording& recording, Job& job, ScanFailure failure, const std::string& why);
  void begin(ProcessRecording& recording, Job& job, uint64_t now_ns);
  void ask_sample(ProcessRecording& recording, Job& job, uint64_t still_ticks);
  bool sample_was_read(const Job& job) const;
  void check_stillness(ProcessRecording& recording, Job& job);
  void await_sample(ProcessRecording& recording, Job& job, uint64_t now_ns);
  void conclude(ProcessRecording& recording, Job& job, const LeakScanPayload* result);
  void finish(ProcessRecording& recording, Job& job, const LeakScanPayload* result);
  void answer(ProcessRecording& recording, const Job& job);

  const SessionHeader& session_;
  LeakScanSettings settings_;
  MemorySampler& sampler_;
  const Flush flush_;
  std::unordered_map<ProcessRecording*, Job> jobs_;
  uint32_t running_ = 0;
};

} // namespace hl
