// A stand-in for the preloaded shim, for tests of the recorder: claims a process slot and event blocks of a
// session file and writes numbered events into them, by the rules of session_layout.h. It can misbehave on
// request: leave blocks unsealed as a killed thread does. It waits for blocks without a bound; the shim would
// not.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "emit/block_pool.h"
#include "heapledger/block_events.h"
#include "heapledger/session_layout.h"
#include "platform/clock.h"

namespace hl {

class FakeShim {
 public:
  explicit FakeShim(const std::string& path) {
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
    base_ = static_cast<char*>(mmap(nullptr, block_offset(65536), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    close(fd);
    header_ = reinterpret_cast<SessionHeader*>(base_);
    pool_ = BlockPool(header_);
  }
  ~FakeShim() { munmap(base_, block_offset(65536)); }
  FakeShim(const FakeShim&) = delete;
  FakeShim& operator=(const FakeShim&) = delete;

  // As the process `pid` (0: this one).
  void claim_process(uint32_t image_number = 0, uint32_t pid = 0) {
    const uint32_t index = take(false);
    process_ = reinterpret_cast<SessionProcess*>(block(index));
    std::memset(static_cast<void*>(process_), 0, sizeof(SessionProcess));
    generation_ = header_->next_process_serial.fetch_add(1) + 1;
    process_->generation = generation_;
    process_->pid = pid == 0 ? static_cast<uint32_t>(getpid()) : pid;
    process_->parent_pid = static_cast<uint32_t>(getppid());
    process_->image_number = image_number;
    if (getrandom(process_->uuid, 16, 0) != 16)
      return;
    struct stat ns;
    if (stat("/proc/self/ns/pid", &ns) == 0)
      process_->pid_namespace = ns.st_ino;
    process_->usable_predictor = static_cast<uint8_t>(UsablePredictor::glibc64);
    process_->started = read_clock_pair();
    const std::string exe = "/fake/writer";
    process_->exe_bytes = static_cast<uint32_t>(exe.size());
    std::memcpy(process_->text, exe.data(), exe.size());
    auto* table = reinterpret_cast<std::atomic<uint32_t>*>(base_ + kProcessTableOffset);
    for (slot_ = 0; slot_ < kMaxProcesses; slot_++) {
      uint32_t empty = 0;
      if (table[slot_].compare_exchange_strong(empty, index + 1, std::memory_order_acq_rel))
        break;
    }
    process_->header.process_slot = slot_;
    process_->header.process_generation = generation_;
    process_->state.store(static_cast<uint32_t>(ProcessState::running), std::memory_order_release);
    process_->header.kind.store(static_cast<uint32_t>(BlockKind::process), std::memory_order_release);
    add_module();
    add_nodes(100);
  }
  SessionProcess& process() { return *process_; }
  SessionHeader& header() { return *header_; }

  void add_nodes(uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t id = process_->node_count.load(std::memory_order_relaxed) + 1;
      const uint32_t directory = (id - 1) / kNodesPerBlock;
      if (process_->node_blocks[directory].load(std::memory_order_relaxed) == 0) {
        const uint32_t index = take(false);
        new_block(index, BlockKind::nodes, directory, sizeof(NodeBlock));
        process_->node_blocks[directory].store(index + 1, std::memory_order_release);
      }
      auto* nodes = reinterpret_cast<NodeBlock*>(
          block(process_->node_blocks[directory].load(std::memory_order_relaxed) - 1));
      StackNode& n = nodes->nodes[(id - 1) % kNodesPerBlock];
      process_->node_count.store(id, std::memory_order_release);
      n.parent = id / 2;
      n.module = 1;
      n.pc.store(0x400000 + id * 16, std::memory_order_release);
    }
  }

  void end() {
    process_->state.store(static_cast<uint32_t>(ProcessState::ending), std::memory_order_release);
  }

  // One thread's events: malloc number i has size i, so that a reader can tell what is missing or double.
  class Writer {
   public:
    Writer(FakeShim& shim, uint32_t tid = 0)
        : shim_(shim), tid_(tid != 0 ? tid : static_cast<uint32_t>(syscall(SYS_gettid))),
          thread_index_(shim.process_->thread_count.fetch_add(1) + 1) {}

    void write(uint64_t events) {
      for (uint64_t i = 0; i < events; i++)
        write_one();
    }
    void write_one() {
      if (block_ == nullptr || used_ + 128 > kEventPayloadBytes)
        next_block();
      block_->floor_ticks.store(cursor_.ticks, std::memory_order_relaxed);
      Event e;
      e.kind = number_ % 3 == 2 ? EventKind::realloc : EventKind::malloc;
      e.size = number_++;
      e.address = 0x10000 + (e.size * 7919 % 5000) * 16;
      e.stack = 1 + static_cast<uint32_t>(e.size % 90);
      e.ticks = stamp_after();
      if (e.ticks < cursor_.ticks)
        e.ticks = cursor_.ticks;
      e.ticks_before = e.ticks;
      e.usable = predict_usable(UsablePredictor::glibc64, e.size);
      uint8_t local[kMaxShortEventBytes + 8];
      const uint32_t bytes = encode_short_event(local, cursor_, e, e.usable);
      std::memcpy(block_->payload + used_, local, bytes);
      used_ += bytes;
      block_->last_ticks.store(e.ticks, std::memory_order_relaxed);
      block_->events.store(++block_events_, std::memory_order_relaxed);
      block_->committed_bytes.store(used_, std::memory_order_release);
      block_->floor_ticks.store(0, std::memory_order_relaxed);
    }
    void seal() {
      if (block_ != nullptr)
        block_->sealed.store(1, std::memory_order_release);
      block_ = nullptr;
    }
    // What a thread leaves that was killed.
    void abandon() { block_ = nullptr; }
    uint64_t written() const { return number_; }
    uint32_t thread_index() const { return thread_index_; }
    EventBlock* block() { return block_; }

   private:
    void next_block() {
      seal();
      const uint32_t index = shim_.take(true);
      block_ = reinterpret_cast<EventBlock*>(shim_.block(index));
      block_->committed_bytes.store(0, std::memory_order_relaxed);
      block_->sealed.store(0, std::memory_order_relaxed);
      block_->floor_ticks.store(0, std::memory_order_relaxed);
      block_->events.store(0, std::memory_order_relaxed);
      cursor_ = {stamp_after(), 0x10000, 0};
      BlockHeader& h = block_->header;
      h.process_slot = shim_.slot_;
      h.process_generation = shim_.generation_;
      h.tid = tid_;
      h.thread_index = thread_index_;
      h.flags = 0;
      h.sequence = shim_.process_->next_block_sequence.fetch_add(1);
      h.base_ticks = cursor_.ticks;
      h.base_address = cursor_.address;
      h.kind.store(static_cast<uint32_t>(BlockKind::event), std::memory_order_release);
      used_ = 0;
      block_events_ = 0;
    }

    FakeShim& shim_;
    const uint32_t tid_, thread_index_;
    EventBlock* block_ = nullptr;
    uint32_t used_ = 0, block_events_ = 0;
    uint64_t number_ = 0;
    BlockCursor cursor_{};
  };

 private:
  char* block(uint32_t index) { return base_ + block_offset(index); }
  uint32_t take(bool for_events) {
    uint32_t index;
    while ((index = pool_.take(for_events)) == kNoBlock) {
      process_->waits.fetch_add(1, std::memory_order_relaxed);
      std::this_thread::yield();
    }
    return index;
  }
  void new_block(uint32_t index, BlockKind kind, uint32_t directory, size_t bytes) {
    std::memset(block(index) + sizeof(BlockHeader), 0, bytes - sizeof(BlockHeader));
    auto& h = *reinterpret_cast<BlockHeader*>(block(index));
    h.process_slot = slot_;
    h.process_generation = generation_;
    h.index_in_directory = directory;
    h.kind.store(static_cast<uint32_t>(kind), std::memory_order_release);
  }
  void add_module() {
    const uint32_t index = take(false);
    new_block(index, BlockKind::modules, 0, sizeof(ModuleBlock));
    ModuleRecord& m = reinterpret_cast<ModuleBlock*>(block(index))->modules[0];
    m.record_count = 1;
    m.start = 0x400000;
    m.end = 0x500000;
    m.path_bytes = 12;
    std::memcpy(m.path, "/fake/writer", 12);
    m.published.store(1, std::memory_order_release);
    process_->module_blocks[0].store(index + 1, std::memory_order_release);
    process_->module_count.store(1, std::memory_order_release);
  }

  char* base_ = nullptr;
  SessionHeader* header_ = nullptr;
  BlockPool pool_;
  SessionProcess* process_ = nullptr;
  uint32_t slot_ = 0, generation_ = 0;
};

} // namespace hl
