// Knows whether a process still lives, without being its parent: by pidfd and start time, never by pid alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace hl {

class ProcessWatch {
 public:
  ProcessWatch() = default;
  ~ProcessWatch();
  ProcessWatch(const ProcessWatch&) = delete;
  ProcessWatch& operator=(const ProcessWatch&) = delete;
  ProcessWatch(ProcessWatch&& other) noexcept;
  ProcessWatch& operator=(ProcessWatch&& other) noexcept;

  // `born_before_ns`: CLOCK_BOOTTIME moment at which that process existed; a process that started later is
  // another one with the same pid. 0: take whoever has the pid now.
  void open(uint32_t pid, uint64_t born_before_ns);
  bool ended();
  uint32_t pid() const { return pid_; }

  // wait() status of an ended process, as far as the kernel tells strangers: a zombie's; later only since
  // Linux 6.15.
  std::optional<int> exit_status() const;
  // Is `tid` a thread of it? True when in doubt.
  bool has_thread(uint32_t tid) const;
  // Does it map the file with this path?
  bool maps_file(const std::string& path) const;
  // Text of its maps file: a thread's, where the main thread has ended before the others. "": gone, or
  // hidden.
  std::string maps() const;

 private:
  uint32_t pid_ = 0;
  int fd_ = -1;
  bool ended_ = true;
};

// Field `number` of /proc/PID/stat, counted from 1 as in proc(5); "" unknown.
std::string stat_field(uint32_t pid, int number);
// Start time of a process by CLOCK_BOOTTIME, to the clock tick; 0 unknown.
uint64_t start_of(uint32_t pid);
// By how much a start time may differ from other clocks' readings of it.
inline constexpr uint64_t kStartsApartNs = 20'000'000;
// A whole small file of /proc or /sys; empty where there is none.
std::string read_small_file(const std::string& path);

} // namespace hl
