// Both ends of the block pool in one process and one mapping, so that a thread checker sees what orders them:
// writers take blocks and fill them, a drainer reads them and gives them back.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "emit/block_pool.h"

namespace {

constexpr uint32_t kBlocks = 24;

TEST_CASE("a block taken again holds nothing that orders against its last owner wrongly, and none is lost") {
  const size_t bytes = hl::block_offset(kBlocks);
  const std::unique_ptr<char, void (*)(void*)> file(static_cast<char*>(aligned_alloc(4096, bytes)), free);
  memset(file.get(), 0, bytes);
  auto* const header = new (file.get()) hl::SessionHeader{};
  header->blocks_available.store(kBlocks);
  header->event_block_limit.store(kBlocks);
  hl::BlockPool pool(header);
  const auto block = [&](uint32_t index) {
    return reinterpret_cast<hl::EventBlock*>(file.get() + hl::block_offset(index));
  };
  constexpr uint64_t kRounds = 20000;
  constexpr unsigned kWriters = 3;
  const auto write = [&](unsigned writer) {
    for (uint64_t round = 0; round < kRounds;) {
      const uint32_t index = pool.take(true);
      if (index == hl::kNoBlock) {
        std::this_thread::yield();
        continue;
      }
      hl::EventBlock* const b = block(index);
      b->header.thread_index = writer; // plain stores: the checker's bait
      b->header.sequence = round;
      b->payload[0] = static_cast<uint8_t>(round);
      b->committed_bytes.store(1, std::memory_order_relaxed);
      b->header.kind.store(static_cast<uint32_t>(hl::BlockKind::event), std::memory_order_release);
      ++round;
    }
  };
  uint64_t drained = 0, wrong = 0;
  std::vector<std::thread> writers;
  for (unsigned w = 0; w < kWriters; ++w)
    writers.emplace_back(write, w);
  while (drained < kRounds * kWriters) {
    for (uint32_t index = 0; index < kBlocks; ++index) {
      hl::EventBlock* const b = block(index);
      if (b->header.kind.load(std::memory_order_acquire) != static_cast<uint32_t>(hl::BlockKind::event))
        continue;
      wrong +=
          b->payload[0] != static_cast<uint8_t>(b->header.sequence) || b->header.thread_index >= kWriters;
      b->header.kind.store(static_cast<uint32_t>(hl::BlockKind::free), std::memory_order_relaxed);
      pool.give_back(index, true);
      ++drained;
    }
  }
  for (std::thread& w : writers)
    w.join();
  CHECK(wrong == 0);
  CHECK(header->event_blocks.load() == 0);
  CHECK(header->blocks_taken.load() == 0);
  for (uint32_t index = 0; index < kBlocks; ++index)
    CHECK_FALSE(pool.is_taken(index));
}

} // namespace
