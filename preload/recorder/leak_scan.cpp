// See leak_scan.h.
#include "leak_scan.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

#include <linux/futex.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "heapledger/copy_window.h"
#include "heapledger/own_program.h"
#include "heapledger/scan_channel.h"
#include "platform/clock.h"
#include "platform/syscalls.h"

namespace hl {

namespace {

// Reading a map takes 90 ms where there are 20 000 mappings.
constexpr uint64_t kLongestSampleNs = 10'000'000'000;
constexpr int kScannerChannel = 3, kScannerResult = 4; // descriptors as the scanner has them

std::string program_beside_us() {
  const std::string self = own_program();
  return self.substr(0, self.rfind('/') + 1) + "heapledger";
}

uint64_t count_threads(uint32_t pid) {
  UsageFields fields;
  return parse_stat(read_small_file("/proc/" + std::to_string(pid) + "/stat"), fields)
             ? fields[UsageField::threads]
             : 0;
}

std::string uuid_text(const uint8_t (&uuid)[16]) {
  std::string text;
  for (const uint8_t byte : uuid)
    text += fmt::format("{:02x}", byte);
  return text;
}

// What a scanner that was killed leaves behind.
void remove_copy_window(const SessionHeader& session, const SessionProcess& process) {
  char path[kCopyPathBytes];
  copy_window_path(path, session.path, process.uuid);
  unlink(path);
}

// Why the scanner ended: it lives under the limits that the program was started with.
std::string killed_text(int signal) {
  std::string text = fmt::format("the scanner was killed by signal {}", signal);
  rlimit limit{};
  if ((signal != SIGKILL && signal != SIGXCPU) || getrlimit(RLIMIT_CPU, &limit) != 0 ||
      limit.rlim_cur == RLIM_INFINITY)
    return text;
  return text + fmt::format("; its CPU time is limited to {} s (ulimit -t)", limit.rlim_cur);
}

void wake_all(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void show(ScanDesk& desk, const LeakScanPayload& result) {
  desk.way.store(result.way, std::memory_order_relaxed);
  desk.failure.store(result.failure, std::memory_order_relaxed);
  desk.pause_ns.store(result.pause_ns, std::memory_order_relaxed);
  for (size_t i = 0; i < std::size(result.class_blocks); i++) {
    desk.class_blocks[i].store(result.class_blocks[i], std::memory_order_relaxed);
    desk.class_bytes[i].store(result.class_bytes[i], std::memory_order_relaxed);
  }
}

// In the child of vfork, whose memory is ours: system calls alone.
[[noreturn]] void become_scanner(const char* program, char* const* argv, int channel, int result) {
  prctl(PR_SET_NAME, "hl-scanner");
  prctl(PR_SET_PDEATHSIG, SIGKILL); // its answer would reach nobody
  for (int signal = 1; signal < 32; signal++) {
    struct sigaction normal {};
    normal.sa_handler = SIG_DFL;
    sigaction(signal, &normal, nullptr);
  }
  // Descriptors that the two are moved to must not be the other one, nor get lost in between.
  const int high_channel = fcntl(channel, F_DUPFD, 10), high_result = fcntl(result, F_DUPFD, 10);
  if (high_channel < 0 || high_result < 0 || dup2(high_channel, kScannerChannel) < 0 ||
      dup2(high_result, kScannerResult) < 0)
    _exit(127);
  // Whatever else was inherited without being meant for a child.
  syscall(SYS_close_range, kScannerResult + 1, ~0u, 0);
  execve(program, argv, environ);
  _exit(127);
}

} // namespace

LeakScans::LeakScans(const SessionHeader& session, const LeakScanSettings& settings, MemorySampler& sampler,
                     Flush flush)
    : session_(session), settings_(settings), sampler_(sampler), flush_(std::move(flush)) {
  if (settings_.scanner.empty())
    settings_.scanner = program_beside_us();
}

LeakScans::~LeakScans() {
  for (auto& [recording, job] : jobs_) {
    if (job.scanner != 0) {
      kill(job.scanner, SIGKILL);
      waitpid(job.scanner, nullptr, 0);
    }
    for (const int fd : {job.channel, job.result})
      if (fd >= 0)
        close(fd);
  }
}

bool LeakScans::pending(ProcessRecording& r) const {
  const ScanDesk& desk = r.scan_desk();
  return jobs_.contains(&r) ||
         desk.requested.load(std::memory_order_acquire) != desk.completed.load(std::memory_order_relaxed);
}

uint64_t LeakScans::keeps_from_ending_since_ns(ProcessRecording& r) const {
  const auto it = jobs_.find(&r);
  if (it == jobs_.end())
    return 0;
  const ScanCause cause = it->second.cause;
  const bool at_end = cause == ScanCause::exit || cause == ScanCause::abort || cause == ScanCause::signal;
  return at_end ? it->second.taken_ns : 0;
}

void LeakScans::poll(ProcessRecording& r, uint64_t now_ns) {
  if (!pending(r))
    return;
  if (!jobs_.contains(&r))
    take_up(r, now_ns);
  const auto it = jobs_.find(&r);
  if (it == jobs_.end())
    return;
  Job& job = it->second;
  if (job.scanner != 0)
    listen(r, job, now_ns);
  else if (job.over)
    await_sample(r, job, now_ns);
  else if (r.watch().ended())
    fail(r, job, ScanFailure::gone, "the process had ended");
  else
    begin(r, job, now_ns);
}

void LeakScans::begin(ProcessRecording& r, Job& job, uint64_t now_ns) {
  // Of the one thread that waits here there is nothing to stop; whoever is about to end is not held up for
  // more.
  const bool is_end =
      job.cause == ScanCause::exit || job.cause == ScanCause::abort || job.cause == ScanCause::signal;
  const bool needs_stop =
      !job.only_sample() || ((job.wanted & kDeskStill) != 0 && !is_end &&
                             !(job.cause == ScanCause::program && count_threads(r.watch().pid()) == 1));
  if (!needs_stop)
    conclude(r, job, nullptr);
  else if (running_ < settings_.at_once)
    start(r, job, now_ns);
}

void LeakScans::ask_sample(ProcessRecording& r, Job& job, uint64_t still_ticks) {
  if (job.sample != Job::Sample::wanted)
    return;
  SampleWish wish;
  const bool from_outside = job.cause == ScanCause::outside,
             is_request = job.cause == ScanCause::program || from_outside;
  wish.cause = !is_request                                                    ? SampleCause::exit
               : from_outside && (job.wanted & (kDeskScan | kDeskStill)) == 0 ? SampleCause::mark
                                                                              : SampleCause::request;
  wish.name = job.name;
  const bool logical = static_cast<ClockKind>(r.process().clock_kind) == ClockKind::logical;
  wish.still_ticks = still_ticks == 0 ? 0
                     : logical        ? session_.logical_clock.load(std::memory_order_acquire) - 1
                                      : still_ticks;
  // Whoever asked from inside is still waiting, unless it was let go.
  job.asker_waits = wish.asker_waits = still_ticks == 0 && !from_outside &&
                                       r.scan_desk().answered.load(std::memory_order_relaxed) != job.serial;
  if (job.asker_waits) {
    flush_(r);
    job.pending_when_asked = r.pending_bytes();
  }
  job.sample_asked_ns = sys::clock_ns(CLOCK_MONOTONIC);
  job.sample_serial = sampler_.ask(r.generation(), std::move(wish));
  job.sample = job.sample_serial == 0 ? Job::Sample::done : Job::Sample::asked;
}

bool LeakScans::sample_was_read(const Job& job) const {
  return job.sample == Job::Sample::unwanted || job.sample == Job::Sample::done ||
         (job.sample == Job::Sample::asked && sampler_.was_read(job.sample_serial));
}

// Before whoever waits is answered: a signal handler may have run in it.
void LeakScans::check_stillness(ProcessRecording& r, Job& job) {
  if (!std::exchange(job.checked, true) && job.asker_waits)
    job.ran_again |= job.pending_when_asked != 0 || r.pending_bytes() != 0;
}

void LeakScans::before_append(ProcessRecording& r, TakenSample& sample) {
  const auto it = jobs_.find(&r);
  if (it == jobs_.end() || sample.serial == 0 || it->second.sample_serial != sample.serial || !sample.good)
    return;
  check_stillness(r, it->second);
  if (!it->second.ran_again)
    return;
  sample.flags = static_cast<uint8_t>(sample.flags & ~kResidencyConsistent);
  sample.payload[offsetof(ResidencyPayload, flags)] = sample.flags;
}

void LeakScans::sampled(ProcessRecording& r, const TakenSample& sample, bool written) {
  const auto it = jobs_.find(&r);
  if (it == jobs_.end() || sample.serial == 0 || it->second.sample_serial != sample.serial)
    return;
  it->second.sample = Job::Sample::done;
  const SampleAnswer answer = !written                                     ? SampleAnswer::none
                              : (sample.flags & kResidencyConsistent) != 0 ? SampleAnswer::still
                                                                           : SampleAnswer::running;
  r.process_for_marks().sample_answer.store(static_cast<uint32_t>(answer), std::memory_order_relaxed);
}

// All is over but the sample.
void LeakScans::await_sample(ProcessRecording& r, Job& job, uint64_t now_ns) {
  ask_sample(r, job, 0);
  if (sample_was_read(job)) {
    check_stillness(r, job);
    answer(r, job);
  }
  const bool too_long = job.sample == Job::Sample::asked && now_ns > job.sample_asked_ns + kLongestSampleNs;
  if (job.sample == Job::Sample::done || job.sample == Job::Sample::unwanted || too_long) {
    const std::optional<LeakScanPayload> result = job.found;
    finish(r, job, result ? &*result : nullptr);
  }
}

void LeakScans::take_up(ProcessRecording& r, uint64_t now_ns) {
  ScanDesk& desk = r.scan_desk();
  Job& job = jobs_[&r];
  // Acquire: pairs with the release of who asks; cause and name stand there.
  job.serial = desk.requested.load(std::memory_order_acquire);
  job.cause = static_cast<ScanCause>(std::min(desk.cause, static_cast<uint32_t>(ScanCause::outside)));
  job.wanted = desk.wanted;
  job.name.assign(desk.name, strnlen(desk.name, sizeof(desk.name)));
  job.taken_ns = job.heard_ns = now_ns;
  // An earlier recorder that took this up has set the mark.
  if ((job.wanted & kDeskMark) != 0 && desk.lock.load(std::memory_order_relaxed) != 0) {
    flush_(r);
    r.write_mark(job.name);
  }
  // Release: what stands there has been read.
  desk.lock.store(0, std::memory_order_release);
  const bool is_request = job.cause == ScanCause::program || job.cause == ScanCause::outside;
  if ((job.wanted & (kDeskScan | kDeskSample)) != 0 && (is_request || sampler_.samples_by_itself()))
    job.sample = Job::Sample::wanted;
  if (job.sample == Job::Sample::wanted && is_request)
    r.tally().sampled_mark = job.name;
  r.process_for_marks().sample_answer.store(static_cast<uint32_t>(SampleAnswer::none),
                                            std::memory_order_relaxed);
  desk.pause_ns.store(0, std::memory_order_relaxed);
  if ((job.wanted & (kDeskScan | kDeskSample)) == 0)
    return conclude(r, job, nullptr);
  // An earlier recorder's scanner may have got as far as that.
  remove_copy_window(session_, r.process());
  r.process_for_marks().copy_wanted.store(0, std::memory_order_relaxed);
  r.process_for_marks().copy_refused.store(0, std::memory_order_relaxed);
  // An earlier recorder has let the process go on, and died before the result was written.
  if (desk.answered.load(std::memory_order_relaxed) != job.serial)
    return;
  job.sample = Job::Sample::unwanted;
  if (job.only_sample())
    conclude(r, job, nullptr);
  else
    fail(r, job, ScanFailure::scanner_failed, "the recorder was killed before the result was written");
}

void LeakScans::start(ProcessRecording& r, Job& job, uint64_t now_ns) {
  if (!flush_(r) && !job.only_sample())
    return fail(r, job, ScanFailure::incomplete, "the trace lacks events that could not be written");
  std::string why;
  int pair[2] = {-1, -1};
  job.result = memfd_create("heapledger-scan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (job.result < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    why = std::strerror(errno);
  job.channel = pair[0];
  if (why.empty() && access(settings_.scanner.c_str(), X_OK) != 0)
    why = fmt::format("{}: {}", settings_.scanner, std::strerror(errno));
  const bool started = why.empty() && spawn(r, job, pair[1], why);
  if (pair[1] >= 0)
    close(pair[1]);
  if (!started && job.only_sample())
    return conclude(r, job, nullptr);
  if (!started)
    return fail(r, job, ScanFailure::scanner_failed, why);
  running_++;
  job.started_ns = job.heard_ns = now_ns;
}

bool LeakScans::spawn(ProcessRecording& r, Job& job, int channel, std::string& why) {
  std::vector<std::string> words{settings_.scanner, "scan-process",
                                 "--trace",         r.trace()->path(),
                                 "--pid",           std::to_string(r.watch().pid()),
                                 "--channel",       std::to_string(kScannerChannel),
                                 "--result",        std::to_string(kScannerResult),
                                 "--cause",         std::to_string(static_cast<unsigned>(job.cause)),
                                 "--name",          job.name,
                                 "--options",       std::to_string(session_.scan_options)};
  if (job.only_sample()) {
    words.insert(words.end(), {"--sample-of", uuid_text(r.process().uuid), "--session", session_.path});
  }
  std::vector<char*> argv;
  for (const std::string& word : words)
    argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t child = vfork(); // NOLINT(clang-analyzer-security.insecureAPI.vfork): our tables are not copied
  if (child == 0)
    become_scanner(argv[0], argv.data(), channel, job.result);
  if (child < 0) {
    why = std::string("cannot start the scanner: ") + std::strerror(errno);
    return false;
  }
  job.scanner = child;
  return true;
}

void LeakScans::listen(ProcessRecording& r, Job& job, uint64_t now_ns) {
  // First, so that all an ended scanner has said is heard below.
  int status = 0;
  const pid_t reaped = waitpid(job.scanner, &status, WNOHANG);
  while (!job.hung_up) {
    ScanMessage m;
    const ssize_t got = recv(job.channel, &m, sizeof(m), MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
      break;
    if (got != sizeof(m)) {
      job.hung_up = true;
      break;
    }
    job.heard_ns = now_ns;
    if (m.kind == ScanMessageKind::flush &&
        r.process().state.load(std::memory_order_acquire) == static_cast<uint32_t>(ProcessState::execing)) {
      // What the scanner stopped may be another image already.
      job.gone = true;
      kill(job.scanner, SIGKILL);
    } else if (m.kind == ScanMessageKind::flush) {
      ScanMessage flushed;
      flushed.kind = ScanMessageKind::flushed;
      // What cannot be written is counted as lost, and the scanner reads that.
      flush_(r);
      flushed.trace_bytes = r.trace()->bytes();
      send(job.channel, &flushed, sizeof(flushed), MSG_NOSIGNAL | MSG_DONTWAIT);
    } else if (m.kind == ScanMessageKind::sample) {
      ask_sample(r, job, m.ticks);
    } else if (m.kind == ScanMessageKind::copy) {
      // Release: the file is there.
      r.process_for_marks().copy_wanted.store(1, std::memory_order_release);
    } else if (m.kind == ScanMessageKind::released) {
      job.ran_again = job.sample == Job::Sample::asked && !job.told;
      job.pause_ns = m.pause_ns;
      answer(r, job);
    }
  }
  if (job.sample_asked_ns != 0 && !job.told && sample_was_read(job)) {
    ScanMessage sampled;
    sampled.kind = ScanMessageKind::sampled;
    job.told = true;
    send(job.channel, &sampled, sizeof(sampled), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  if (const uint32_t error = r.process_for_marks().copy_refused.exchange(0, std::memory_order_relaxed);
      error != 0) {
    ScanMessage refused;
    refused.kind = ScanMessageKind::no_copy;
    refused.error = error;
    send(job.channel, &refused, sizeof(refused), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  if (reaped == 0) {
    if (now_ns - job.heard_ns > settings_.longest_silence_ns && !job.killed) {
      job.killed = true;
      kill(job.scanner, SIGKILL);
    }
    return;
  }
  job.scanner = 0;
  running_--;
  if (reaped < 0 || !WIFEXITED(status))
    remove_copy_window(session_, r.process());
  job.ran_again |= job.sample == Job::Sample::asked && !job.told;
  std::string why;
  if (job.only_sample()) {
    // Whoever could not be stopped is looked at while it runs.
    if (reaped > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
      r.scan_desk().pause_ns.store(job.pause_ns, std::memory_order_relaxed);
    conclude(r, job, nullptr);
  } else if (job.gone)
    fail(r, job, ScanFailure::gone, "the process was about to execute another program");
  else if (job.killed)
    fail(r, job, ScanFailure::too_long,
         fmt::format("given up after {} s", (now_ns - job.started_ns) / 1'000'000'000));
  else if (reaped < 0 || !WIFEXITED(status))
    fail(r, job, ScanFailure::scanner_failed,
         reaped > 0 ? killed_text(WTERMSIG(status)) : "the scanner is gone");
  else if (WEXITSTATUS(status) != 0)
    fail(r, job, ScanFailure::scanner_failed,
         fmt::format("the scanner ended with status {}", WEXITSTATUS(status)));
  else if (!store_result(r, job, why))
    fail(r, job, ScanFailure::scanner_failed, why);
}

bool LeakScans::store_result(ProcessRecording& r, Job& job, std::string& why) {
  // Nobody may shorten it under our eyes.
  fcntl(job.result, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
  struct stat info;
  if (fstat(job.result, &info) != 0 || static_cast<uint64_t>(info.st_size) < sizeof(LeakScanPayload)) {
    why = "the scanner left no result";
    return false;
  }
  const uint64_t bytes = static_cast<uint64_t>(info.st_size);
  if (bytes > settings_.most_payload_bytes) {
    why = fmt::format("the result has {} bytes, which is too much", bytes);
    return false;
  }
  void* const map = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, job.result, 0);
  if (map == MAP_FAILED) {
    why = std::string("the result cannot be read: ") + std::strerror(errno);
    return false;
  }
  LeakScanPayload head;
  std::memcpy(&head, map, sizeof(head));
  const bool valid = head.payload_header_bytes >= sizeof(head) &&
                     uint64_t{head.payload_header_bytes} + head.name_bytes + head.reason_bytes <= bytes;
  if (valid)
    r.append_scan(head, {static_cast<const uint8_t*>(map), bytes});
  else
    why = "the result makes no sense";
  munmap(map, bytes);
  if (valid)
    conclude(r, job, &head);
  return valid;
}

void LeakScans::fail(ProcessRecording& r, Job& job, ScanFailure failure, const std::string& why) {
  // Begins the trace, if nothing of the process has been drained yet.
  flush_(r);
  LeakScanPayload head{};
  const std::string reason = why.substr(0, 1000);
  head.payload_header_bytes = sizeof(head);
  head.name_bytes = static_cast<uint16_t>(job.name.size());
  head.reason_bytes = static_cast<uint16_t>(reason.size());
  head.cause = static_cast<uint8_t>(job.cause);
  head.way = static_cast<uint8_t>(ScanWay::none);
  head.failure = static_cast<uint8_t>(failure);
  head.options = session_.scan_options;
  head.ticks = stamp_unordered();
  std::vector<uint8_t> payload(sizeof(head));
  std::memcpy(payload.data(), &head, sizeof(head));
  payload.insert(payload.end(), job.name.begin(), job.name.end());
  payload.insert(payload.end(), reason.begin(), reason.end());
  r.append_scan(head, payload);
  conclude(r, job, &head);
}

void LeakScans::conclude(ProcessRecording& r, Job& job, const LeakScanPayload* result) {
  if (job.sample == Job::Sample::unwanted || job.sample == Job::Sample::done)
    return finish(r, job, result);
  if (result != nullptr)
    job.found = *result;
  job.over = true;
  await_sample(r, job, sys::clock_ns(CLOCK_MONOTONIC));
}

void LeakScans::finish(ProcessRecording& r, Job& job, const LeakScanPayload* result) {
  ScanDesk& desk = r.scan_desk();
  if (result != nullptr)
    show(desk, *result);
  // Release: the result is there.
  desk.completed.store(job.serial, std::memory_order_release);
  wake_all(desk.completed);
  answer(r, job);
  for (const int fd : {job.channel, job.result})
    if (fd >= 0)
      close(fd);
  jobs_.erase(&r);
}

void LeakScans::answer(ProcessRecording& r, const Job& job) {
  ScanDesk& desk = r.scan_desk();
  // Release: pairs with the acquire of who waits.
  desk.answered.store(job.serial, std::memory_order_release);
  wake_all(desk.answered);
}

void LeakScans::sleep(uint64_t timeout_ns) const {
  std::vector<pollfd> channels;
  for (const auto& [recording, job] : jobs_)
    if (job.scanner != 0 && !job.hung_up)
      channels.push_back({job.channel, POLLIN, 0});
  const timespec timeout{0, static_cast<long>(std::min<uint64_t>(timeout_ns, 999'999'999))};
  ppoll(channels.data(), channels.size(), &timeout, nullptr);
}

} // namespace hl
