// Fuzzes the session-file reader. A session file is at least 256 KiB, almost all of it zero; so an input is a
// list of patches to a whole one: u32 offset (folded into the file), u8 length, bytes.
#include <cstring>

#include "read_everything.h"
#include "testing/trace_builder.h"

namespace {

using namespace hl;
using namespace hl::testing;

const std::vector<uint8_t>& base_session() {
  static const std::vector<uint8_t> bytes = [] {
    SessionBuilder session(0x5e, 0xab);
    const StackId main = session.node(0, 0, 0x1234);
    const StackId work = session.node(main, 0, 0x5678);
    session.block(1, 0,
                  {malloc_event(10, 0x1000, 100, work), realloc_event(20, 25, 0x1000, 0x2000, 200, main)});
    session.block(2, 1, {free_event(30, 0x2000), malloc_event(31, 0x2000, 5, work)});
    return session.bytes();
  }();
  return bytes;
}

// Where a patch may land: the parts that mean something.
size_t place(uint32_t offset) {
  constexpr size_t kParts[][2] = {{0, 4096},
                                  {kProcessTableOffset, 64},
                                  {kBitmapOffset, 8},
                                  {kBlocksOffset, 1024 + kProcessTextBytes},
                                  {kBlocksOffset + kBlockBytes, 256},
                                  {kBlocksOffset + 2 * kBlockBytes, 256},
                                  {kBlocksOffset + 3 * kBlockBytes, 256}};
  const auto& part = kParts[offset % std::size(kParts)];
  return part[0] + offset / std::size(kParts) % part[1];
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> bytes = base_session();
  while (size >= 5) {
    uint32_t offset;
    std::memcpy(&offset, data, 4);
    size_t length = data[4];
    data += 5;
    size -= 5;
    if (length > size)
      length = size;
    std::memcpy(&bytes[place(offset)], data, std::min(length, bytes.size() - place(offset)));
    data += length;
    size -= length;
  }
  // The heartbeat of a living recorder is waited for; nobody lives here.
  reinterpret_cast<SessionHeader*>(bytes.data())->recorder_state = 0;
  const MemoryFile file(bytes.data(), bytes.size());
  read_everything(file.path());
  return 0;
}
