// See memory_sampler.h.
#include "memory_sampler.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <ctime>
#include <deque>
#include <map>
#include <mutex>

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "own_memory_list.h"
#include "platform/clock.h"
#include "proc_memory_reader.h"
#include "process_watch.h"
#include "sample_budget.h"
#include "sample_schedule.h"

namespace hl {

namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr int kNiceness = 5; // the recorder's own
constexpr size_t kMostRows = 4096;
constexpr size_t kMostFinishedBytes = size_t{128} << 20; // more is not begun until they were collected
constexpr size_t kKeptTextBytes = size_t{4} << 20;       // of a buffer, between two maps

uint64_t thread_cpu_ns() {
  return sys::clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t now_ns() {
  return sys::clock_ns(CLOCK_MONOTONIC);
}

} // namespace

class MemorySampler::Worker {
 public:
  Worker(const SessionHeader& session, std::function<void()> wake)
      : session_(session), wake_(std::move(wake)), budget_(session.sample_budget_millionths, now_ns()) {}

  bool start();
  // false: it hangs in a reading.
  bool stop();

  struct Process {
    uint32_t id = 0;
    const SessionProcess* slot = nullptr;
    uint32_t generation = 0;
    bool removed = false;
    ProcMemoryReader reader;
    SampleSchedule schedule;
    std::vector<UsageRow> rows;
    SamplingPayload stats{};
  };
  struct Asked {
    std::shared_ptr<Process> process;
    SampleWish wish;
    uint64_t serial = 0;
  };

 private:
  friend class MemorySampler; // speaks to the thread through these
  const SessionHeader& session_;
  const std::function<void()> wake_;
  mutable std::mutex mutex_; // over all below but `buffers`
  std::condition_variable changed_;
  SampleBudget budget_;
  std::map<uint32_t, std::shared_ptr<Process>> processes_;
  std::deque<Asked> asked_;
  std::vector<TakenSample> finished_;
  size_t finished_bytes_ = 0;
  uint64_t last_serial_ = 0, read_serial_ = 0, answered_serial_ = 0;
  bool stopping_ = false, started_ = false;

  static void* thread_main(void* self);
  void run();
  // The most urgent reading that is due and allowed; false: none until `next_ns`.
  bool find_due(uint64_t now, std::shared_ptr<Process>& process, SampleKind& kind, uint64_t& next_ns);
  void read_counters(Process& process, SampleKind kind, std::unique_lock<std::mutex>& lock);
  void take_map(Process& process, const SampleWish& wish, uint64_t serial,
                std::unique_lock<std::mutex>& lock);
  TakenSample read_map(Process& process, const SampleWish& wish, uint64_t serial, uint64_t& rss,
                       ReadResult& result);
  uint64_t stamp(const Process& process) const;
  void note(Process& process, SampleKind kind, ReadResult result, uint64_t cpu_ns);

  pthread_t thread_{};
  SharedCounters counters_;
  ResidencyEncoder encoder_;
  std::string text_;
};

bool MemorySampler::Worker::start() {
  // The thread takes no signals, whatever the recorder does with its own.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  started_ = pthread_create(&thread_, nullptr, thread_main, this) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started_;
}

bool MemorySampler::Worker::stop() {
  if (!started_)
    return true;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 2;
  return pthread_timedjoin_np(thread_, nullptr, &until) == 0;
}

void* MemorySampler::Worker::thread_main(void* self) {
  prctl(PR_SET_NAME, "hl-sampler");
  static_cast<Worker*>(self)->run();
  return nullptr;
}

void MemorySampler::Worker::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (!asked_.empty()) {
      const Asked next = std::move(asked_.front());
      asked_.pop_front();
      take_map(*next.process, next.wish, next.serial, lock);
      read_serial_ = answered_serial_ = next.serial;
      wake_();
      continue;
    }
    std::shared_ptr<Process> process;
    SampleKind kind{};
    uint64_t next_ns = ~uint64_t{0};
    const uint64_t now = now_ns();
    if (find_due(now, process, kind, next_ns)) {
      if (kind != SampleKind::map) {
        read_counters(*process, kind, lock);
        continue;
      }
      SampleWish wish;
      wish.cause = process->schedule.map_cause();
      take_map(*process, wish, 0, lock);
      wake_();
      continue;
    }
    if (next_ns == ~uint64_t{0})
      changed_.wait(lock);
    else
      changed_.wait_for(lock, std::chrono::nanoseconds(next_ns - now));
  }
}

bool MemorySampler::Worker::find_due(uint64_t now, std::shared_ptr<Process>& process, SampleKind& kind,
                                     uint64_t& next_ns) {
  // What the budget postpones is asked again when there is some; the longest overdue goes first.
  const bool has_room = finished_bytes_ < kMostFinishedBytes;
  const bool allowed[kSampleKinds] = {budget_.allows(SampleKind::statm, now),
                                      budget_.allows(SampleKind::rollup, now),
                                      budget_.allows(SampleKind::map, now, true) && has_room};
  uint64_t earliest = ~uint64_t{0};
  const auto consider = [&](const std::shared_ptr<Process>& p, SampleKind k, uint64_t due_ns) {
    if (due_ns == ~uint64_t{0})
      return;
    if (due_ns > now) {
      next_ns = std::min(next_ns, due_ns);
    } else if (!allowed[static_cast<size_t>(k)]) {
      const uint64_t wait_ns = budget_.wait_ns(k, k == SampleKind::map);
      next_ns = std::min(next_ns, now + std::clamp(wait_ns, 10 * kMs, 10'000 * kMs));
    } else if (due_ns < earliest) {
      earliest = due_ns;
      process = p;
      kind = k;
    }
  };
  if (budget_.millionths() == 0)
    return false;
  for (const auto& [id, p] : processes_) {
    consider(p, SampleKind::statm, p->schedule.next_statm_ns());
    consider(p, SampleKind::rollup, p->schedule.next_rollup_ns());
    consider(p, SampleKind::map, p->schedule.next_map_ns());
  }
  return process != nullptr;
}

uint64_t MemorySampler::Worker::stamp(const Process& process) const {
  // Of the logical clock it is the next stamp to come that is known.
  return static_cast<ClockKind>(process.slot->clock_kind) == ClockKind::logical
             ? session_.logical_clock.load(std::memory_order_acquire) - 1
             : stamp_after();
}

void MemorySampler::Worker::note(Process& process, SampleKind kind, ReadResult result, uint64_t cpu_ns) {
  budget_.charge(kind, cpu_ns);
  const auto i = static_cast<size_t>(kind);
  process.stats.cpu_ns[i] += cpu_ns;
  if (result == ReadResult::good)
    process.stats.taken[i]++;
  else if (result == ReadResult::refused)
    process.stats.refused[i]++;
  else if (result == ReadResult::failed)
    process.stats.failed[i]++;
}

void MemorySampler::Worker::read_counters(Process& process, SampleKind kind,
                                          std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  const uint64_t cpu_before_ns = thread_cpu_ns();
  UsageRow row;
  row.ticks = stamp(process);
  ReadResult result = ReadResult::good;
  UsageFields statm;
  // A rollup without statm would tell two different moments' Rss.
  const ReadResult statm_result = process.reader.read_statm(session_.page_bytes, statm);
  row.fields.merge(statm);
  if (kind == SampleKind::rollup) {
    result = process.reader.read_rollup(row.fields);
    process.reader.read_counters(counters_, now_ns(), row.fields);
  } else {
    result = statm_result;
  }
  const uint64_t cpu_ns = thread_cpu_ns() - cpu_before_ns, now = now_ns();
  lock.lock();
  note(process, kind, result, cpu_ns);
  if (kind == SampleKind::rollup)
    process.schedule.rollup_read(now);
  if (statm_result == ReadResult::good)
    process.schedule.statm_read(now, statm[UsageField::size], statm[UsageField::rss]);
  else
    process.schedule.statm_failed(now);
  if (statm_result == ReadResult::good && process.rows.size() < kMostRows)
    process.rows.push_back(row);
}

void MemorySampler::Worker::take_map(Process& process, const SampleWish& wish, uint64_t serial,
                                     std::unique_lock<std::mutex>& lock) {
  const bool wanted =
      !process.removed &&
      (!wish.optional || (budget_.allows(SampleKind::map, now_ns()) && finished_bytes_ < kMostFinishedBytes));
  TakenSample taken;
  taken.process = process.id;
  taken.serial = serial;
  if (wanted) {
    lock.unlock();
    // Who waits for it should not wait for others; that may not be permitted.
    if (serial != 0)
      setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 0);
    const uint64_t cpu_before_ns = thread_cpu_ns();
    uint64_t rss = 0;
    ReadResult result{};
    taken = read_map(process, wish, serial, rss, result);
    const uint64_t cpu_ns = thread_cpu_ns() - cpu_before_ns;
    if (serial != 0)
      setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNiceness);
    lock.lock();
    note(process, SampleKind::map, result, cpu_ns);
    process.schedule.map_taken(now_ns(), rss, taken.payload.size());
    if (taken.good)
      process.stats.causes[static_cast<size_t>(wish.cause)]++;
  } else if (!process.removed) {
    process.stats.postponed++;
  }
  if (serial == 0 && !taken.good)
    return;
  finished_bytes_ += taken.payload.size();
  finished_.push_back(std::move(taken));
}

TakenSample MemorySampler::Worker::read_map(Process& process, const SampleWish& wish, uint64_t serial,
                                            uint64_t& rss, ReadResult& result) {
  const uint64_t cpu_before_ns = thread_cpu_ns();
  TakenSample taken;
  taken.process = process.id;
  taken.serial = serial;
  taken.asker_waited = wish.asker_waits;
  ResidencyParts parts;
  std::vector<OwnRange> own;
  std::vector<MappedRange> ranges;
  PageRuns runs;
  PageMapAnswer pages;
  const bool was_alone = wish.asker_waits && process.reader.threads() == 1;
  taken.ticks = wish.still_ticks != 0 ? wish.still_ticks : stamp(process);
  const ReadResult statm = process.reader.read_statm(session_.page_bytes, parts.fields);
  result = process.reader.read_smaps(text_);
  if (result == ReadResult::good && !parse_smaps(text_, ranges, parts.fields))
    result = ReadResult::failed;
  if (result == ReadResult::good) {
    const int pagemap = process.reader.open_pagemap();
    pages = read_page_runs(pagemap, ranges, session_.page_bytes, runs);
    if (pagemap >= 0)
      close(pagemap);
    own = own_memory(*process.slot, process.generation);
  }
  taken.end_ticks = stamp(process);
  const bool still = wish.still_ticks != 0 || (was_alone && process.reader.threads() == 1);
  if (serial != 0) {
    // It may go on; what follows is about our copy of the text alone.
    {
      const std::lock_guard lock(mutex_);
      read_serial_ = serial;
    }
    wake_();
  }
  rss = statm == ReadResult::good ? parts.fields[UsageField::rss] : 0;
  if (result == ReadResult::good) {
    process.reader.read_counters(counters_, now_ns(), parts.fields);
    taken.flags = static_cast<uint8_t>((still ? kResidencyConsistent : 0) |
                                       (pages.zero_pages_known ? kResidencyZeroPages : 0) |
                                       (pages.readable ? 0 : kResidencyNoPages));
    parts.head.cause = static_cast<uint8_t>(wish.cause);
    parts.head.flags = taken.flags;
    parts.head.ticks = taken.ticks;
    parts.head.end_ticks = taken.end_ticks;
    parts.head.page_bytes = session_.page_bytes;
    parts.name = wish.name;
    parts.own = own;
    parts.smaps = text_;
    if (pages.readable) {
      parts.page_runs = runs.finish();
      parts.head.page_run_count = runs.count();
    }
    // Packing included, but for the frame itself, whose size is known when its head is written.
    parts.head.cpu_ns = thread_cpu_ns() - cpu_before_ns;
    taken.payload = encoder_.residency(parts);
    taken.good = !taken.payload.empty();
  }
  if (text_.capacity() > kKeptTextBytes)
    text_ = {};
  return taken;
}

MemorySampler::MemorySampler(const SessionHeader& session, std::function<void()> wake)
    : worker_(std::make_unique<Worker>(session, std::move(wake))) {}

MemorySampler::~MemorySampler() {
  if (!worker_->stop())
    static_cast<void>(worker_.release()); // the end of this process ends it
}

bool MemorySampler::samples_by_itself() const {
  return worker_->budget_.millionths() != 0;
}

void MemorySampler::add(uint32_t id, ProcessWatch& watch, const SessionProcess& slot, uint64_t began_ns) {
  const uint64_t now = now_ns();
  auto process = std::make_shared<Worker::Process>(Worker::Process{.id = id,
                                                                   .slot = &slot,
                                                                   .generation = slot.generation,
                                                                   .reader = ProcMemoryReader(watch.pid()),
                                                                   .schedule = {std::min(began_ns, now), now},
                                                                   .rows = {}});
  process->stats.payload_header_bytes = sizeof(SamplingPayload);
  process->stats.budget_millionths = worker_->budget_.millionths();
  // What was opened belongs to it if it has not ended by now.
  if (!process->reader.is_open() || watch.ended())
    return;
  const std::lock_guard lock(worker_->mutex_);
  worker_->processes_[id] = std::move(process);
  if (samples_by_itself() && !worker_->started_)
    worker_->start();
  worker_->changed_.notify_all();
}

void MemorySampler::remove(uint32_t id) {
  const std::lock_guard lock(worker_->mutex_);
  const auto it = worker_->processes_.find(id);
  if (it == worker_->processes_.end())
    return;
  it->second->removed = true;
  worker_->processes_.erase(it);
}

bool MemorySampler::has(uint32_t id) const {
  const std::lock_guard lock(worker_->mutex_);
  return worker_->processes_.contains(id);
}

uint64_t MemorySampler::ask(uint32_t id, SampleWish wish) {
  const std::lock_guard lock(worker_->mutex_);
  const auto it = worker_->processes_.find(id);
  if (it == worker_->processes_.end() || (!worker_->started_ && !worker_->start()))
    return 0;
  worker_->asked_.push_back({it->second, std::move(wish), ++worker_->last_serial_});
  worker_->changed_.notify_all();
  return worker_->last_serial_;
}

bool MemorySampler::was_read(uint64_t serial) const {
  const std::lock_guard lock(worker_->mutex_);
  return worker_->read_serial_ >= serial;
}

bool MemorySampler::is_asked() const {
  const std::lock_guard lock(worker_->mutex_);
  return worker_->answered_serial_ < worker_->last_serial_;
}

std::vector<TakenSample> MemorySampler::collect() {
  const std::lock_guard lock(worker_->mutex_);
  worker_->finished_bytes_ = 0;
  return std::exchange(worker_->finished_, {});
}

std::vector<UsageRow> MemorySampler::collect_usage(uint32_t id, size_t least_rows) {
  const std::lock_guard lock(worker_->mutex_);
  const auto it = worker_->processes_.find(id);
  if (it == worker_->processes_.end() || it->second->rows.size() < std::max<size_t>(least_rows, 1))
    return {};
  return std::exchange(it->second->rows, {});
}

SamplingPayload MemorySampler::stats(uint32_t id) const {
  const std::lock_guard lock(worker_->mutex_);
  const auto it = worker_->processes_.find(id);
  return it == worker_->processes_.end() ? SamplingPayload{} : it->second->stats;
}

} // namespace hl
