// See roots.h.
#include "scan/roots.h"

#include <algorithm>
#include <map>
#include <set>

#include "reader/module_table.h"
#include "scan/main_arena.h"

namespace hl {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kRedZone = 128; // below the stack pointer, of leaf functions
// sizeof(struct pthread) of glibc 2.36; what is beyond, up to the page's end, is part of the same mapping.
constexpr uint64_t kThreadDescriptorBytes = 2304;
// Room that glibc keeps below the static blocks for libraries that are loaded later.
constexpr uint64_t kStaticTlsSurplus = 1664;
constexpr uint64_t kMostStaticTls = uint64_t{64} << 20;
constexpr uint64_t kMostModules = 65536;

uint64_t up_to_page(uint64_t address) {
  return (address + kPage - 1) & ~(kPage - 1);
}
uint64_t minus(uint64_t a, uint64_t b) {
  return a > b ? a - b : 0;
}

struct Range {
  uint64_t start, end;
};

// Address ranges without overlaps, from which others are cut out.
class RangeSet {
 public:
  void add(uint64_t start, uint64_t end) {
    if (start >= end)
      return;
    // Cut first: then nothing overlaps.
    remove(start, end);
    ranges_[start] = end;
  }
  void remove(uint64_t start, uint64_t end) {
    if (start >= end)
      return;
    auto at = ranges_.upper_bound(start);
    if (at != ranges_.begin() && std::prev(at)->second > start)
      --at;
    while (at != ranges_.end() && at->first < end) {
      const Range old{at->first, at->second};
      at = ranges_.erase(at);
      if (old.start < start)
        ranges_[old.start] = start;
      if (old.end > end)
        at = ranges_.emplace(end, old.end).first;
    }
  }
  std::vector<Range> ranges() const {
    std::vector<Range> out;
    for (const auto& [start, end] : ranges_)
      out.push_back({start, end});
    return out;
  }

 private:
  std::map<uint64_t, uint64_t> ranges_;
};

class RootFinder {
 public:
  RootFinder(const RootSources& sources, MemoryReader& memory) : from_(sources), memory_(memory) {}

  std::vector<RootRange> find() {
    add_globals();
    find_own_stacks();
    for (const ThreadContext& thread : from_.threads)
      add_thread(thread);
    if (wanted(kScanMappings))
      add_mappings();
    std::stable_sort(out_.begin(), out_.end(),
                     [](const RootRange& a, const RootRange& b) { return a.kind < b.kind; });
    return std::move(out_);
  }

 private:
  bool wanted(uint32_t option) const { return (from_.options & option) != 0; }

  // The readable parts of [start, end).
  void add(RootKind kind, uint32_t tid, uint64_t start, uint64_t end) {
    for (const MapsEntry& entry : entries_in(from_.maps, start, end)) {
      const uint64_t from = std::max(start, entry.start), to = std::min(end, entry.end);
      if (entry.readable && from < to)
        out_.push_back({kind, tid, from, to - from});
    }
  }

  void add_globals() {
    for (const LoadedModule& module : from_.modules) {
      RangeSet data;
      for (const LoadedModule::Segment& segment : module.writable)
        data.add(segment.start, segment.end);
      for (const LoadedModule::Segment& segment : module.writable)
        data_of_modules_.add(segment.start, up_to_page(segment.end));
      if (!wanted(kScanGlobals) || is_recording_library(module.path) || is_allocator_library(module.path))
        continue;
      if (is_libc(module.path))
        leave_out_arena(module, data);
      for (const Range& range : data.ranges())
        for (const MapsEntry& entry : entries_in(from_.maps, range.start, range.end))
          if (entry.writable)
            add(RootKind::global, 0, std::max(range.start, entry.start), std::min(range.end, entry.end));
    }
  }

  void leave_out_arena(const LoadedModule& libc, RangeSet& data) {
    for (const LoadedModule::Segment& segment : libc.writable) {
      std::vector<uint8_t> bytes(std::min<uint64_t>(segment.end - segment.start, 1u << 20));
      MemoryReader::Piece piece{segment.start, bytes};
      memory_.read({&piece, 1});
      if (const auto arena = find_main_arena(std::span(bytes).first(piece.read_bytes), segment.start))
        data.remove(arena->first, arena->second);
    }
  }

  // Where glibc put a thread's stack its descriptor lies on top of it, in the same mapping.
  static bool is_on_own_stack(const ThreadContext& thread, const MapsEntry& entry) {
    return entry.holds(thread.thread_pointer) && thread.stack_pointer < thread.thread_pointer;
  }

  const MapsEntry* main_stack() const {
    for (const MapsEntry& entry : from_.maps)
      if (entry.path == "[stack]")
        return &entry;
    return nullptr;
  }

  void find_own_stacks() {
    for (const ThreadContext& thread : from_.threads) {
      const MapsEntry* const entry = entry_at(from_.maps, thread.stack_pointer);
      if (entry != nullptr && is_on_own_stack(thread, *entry))
        threads_on_own_stack_.insert(thread.thread_pointer);
    }
  }

  void add_thread(const ThreadContext& thread) {
    if (wanted(kScanRegisters) && !thread.words.empty())
      out_.push_back({RootKind::reg, thread.tid, 0, thread.words.size() * 8, thread.words});
    add_thread_local(thread);
    const MapsEntry* const here = entry_at(from_.maps, thread.stack_pointer);
    if (here == nullptr)
      return;
    const uint64_t low = minus(thread.stack_pointer, kRedZone);
    const auto add_stack = [&](uint64_t start, uint64_t end) {
      if (wanted(kScanStacks))
        add(RootKind::stack, thread.tid, std::max(start, here->start), end);
    };
    if (is_on_own_stack(thread, *here)) {
      add_stack(low, lowest_static_block(thread, *here));
      return;
    }
    if (here->path == "[stack]") {
      add_stack(low, here->end);
      return;
    }
    // On a stack that the program made: a fiber, an alternate signal stack, a thread without libc. What lies
    // on the thread's own stack cannot be told from what is left over there.
    add_stack(low, end_of_foreign_stack(thread, *here));
    if (!wanted(kScanStacks))
      return;
    if (thread.tid == from_.pid) {
      if (const MapsEntry* const own = main_stack())
        add(RootKind::stack, thread.tid, own->start, own->end);
    } else if (!threads_on_own_stack_.contains(thread.thread_pointer)) {
      if (const MapsEntry* const own = entry_at(from_.maps, thread.thread_pointer))
        add(RootKind::stack, thread.tid, own->start, lowest_static_block(thread, *own));
    }
  }

  // A stack that lies in a live block, or in a mapping of the program's own, ends with it.
  uint64_t end_of_foreign_stack(const ThreadContext& thread, const MapsEntry& here) const {
    const uint64_t address = thread.stack_pointer;
    if (const ScanBlock* const block = first_block_behind(address);
        block != nullptr && block->address <= address)
      return block->address + block->bytes;
    for (const ApplicationMapping& mapping : from_.mappings)
      if (address - mapping.start < mapping.end - mapping.start)
        return std::min(here.end, mapping.end);
    return here.end;
  }

  // The first block that ends behind `address`; nullptr: none does.
  const ScanBlock* first_block_behind(uint64_t address) const {
    const auto found =
        std::lower_bound(from_.blocks.begin(), from_.blocks.end(), address,
                         [](const ScanBlock& b, uint64_t a) { return b.address + b.bytes <= a; });
    return found == from_.blocks.end() ? nullptr : &*found;
  }

  // Where the thread's static thread-local blocks begin: in its descriptor, glibc keeps a vector of all
  // modules' blocks (dtv), and the static ones lie below the descriptor. The thread pointer where nothing can
  // be told.
  uint64_t lowest_static_block(const ThreadContext& thread, const MapsEntry& entry) {
    const uint64_t descriptor = thread.thread_pointer;
    const uint64_t vector = read_word(descriptor + 8);
    const uint64_t count = vector == 0 ? 0 : read_word(vector - 16);
    if (count == 0 || count > kMostModules)
      return descriptor;
    std::vector<uint64_t> words(2 * (count + 1)); // address, and what to free
    MemoryReader::Piece piece{vector, {reinterpret_cast<uint8_t*>(words.data()), words.size() * 8}};
    memory_.read({&piece, 1});
    uint64_t lowest = descriptor;
    for (uint64_t module = 1; module <= count; ++module)
      if (const uint64_t block = words[2 * module];
          block >= std::max(entry.start, minus(descriptor, kMostStaticTls)) && block < lowest)
        lowest = block;
    return lowest;
  }

  uint64_t read_word(uint64_t address) {
    uint64_t word = 0;
    MemoryReader::Piece piece{address, {reinterpret_cast<uint8_t*>(&word), sizeof word}};
    memory_.read({&piece, 1});
    return piece.read_bytes == sizeof word ? word : 0;
  }

  void add_thread_local(const ThreadContext& thread) {
    const MapsEntry* const entry = entry_at(from_.maps, thread.thread_pointer);
    if (thread.thread_pointer == 0 || entry == nullptr)
      return;
    // With the room for late libraries; on a stack of its own the thread uses some of that otherwise.
    uint64_t start = std::max(minus(lowest_static_block(thread, *entry), kStaticTlsSurplus), entry->start);
    if (is_on_own_stack(thread, *entry))
      start = std::max(start, thread.stack_pointer);
    const uint64_t end = std::min(entry->end, up_to_page(thread.thread_pointer + kThreadDescriptorBytes));
    if (wanted(kScanTls))
      add(RootKind::tls, thread.tid, start, end);
  }

  // The mappings that the program made itself, and writable files; not what belongs to allocators.
  void add_mappings() {
    RangeSet wanted_ranges;
    const std::set<uint64_t> allocators = allocator_callers();
    for (const ApplicationMapping& mapping : from_.mappings)
      if (!is_allocator_library(mapping.module) && !is_loader(mapping.module) &&
          !is_recording_library(mapping.module) && !allocators.contains(mapping.caller) &&
          !holds_blocks(mapping))
        wanted_ranges.add(mapping.start, mapping.end);
    for (const MapsEntry& entry : from_.maps)
      if (entry.is_file() && entry.writable && !is_device(entry.path))
        wanted_ranges.add(entry.start, entry.end);
    for (const MapsEntry& entry : from_.maps)
      if (is_session(entry))
        wanted_ranges.remove(entry.start, entry.end);
    for (const Range& range : data_of_modules_.ranges())
      wanted_ranges.remove(range.start, range.end);
    for (const Range& range : wanted_ranges.ranges())
      for (const MapsEntry& entry : entries_in(from_.maps, range.start, range.end))
        if (entry.writable)
          add(RootKind::mapping, 0, std::max(range.start, entry.start), std::min(range.end, entry.end));
  }

  bool holds_blocks(const ApplicationMapping& mapping) const {
    const ScanBlock* const block = first_block_behind(mapping.start);
    return block != nullptr && block->address < mapping.end;
  }

  // Calls of mmap whose memory malloc has given out are an allocator's; so is what else they mapped.
  std::set<uint64_t> allocator_callers() const {
    std::set<uint64_t> callers;
    for (const ApplicationMapping& mapping : from_.mappings)
      if (mapping.caller != 0 && holds_blocks(mapping))
        callers.insert(mapping.caller);
    return callers;
  }

  static bool is_device(const std::string& path) {
    return path.starts_with("/dev/") && !path.starts_with("/dev/shm/") && !path.starts_with("/dev/zero");
  }
  bool is_session(const MapsEntry& entry) const {
    return entry.is_file() && !from_.session_path.empty() &&
           (entry.path == from_.session_path || entry.path == from_.session_path + " (deleted)");
  }

  const RootSources& from_;
  MemoryReader& memory_;
  std::vector<RootRange> out_;
  RangeSet data_of_modules_;                // wanted or not
  std::set<uint64_t> threads_on_own_stack_; // by thread pointer
};

} // namespace

std::vector<RootRange> find_roots(const RootSources& sources, MemoryReader& memory) {
  return RootFinder(sources, memory).find();
}

std::vector<FileRange> file_ranges(std::span<const MapsEntry> maps) {
  std::vector<FileRange> files;
  for (const MapsEntry& entry : maps)
    if (entry.is_file())
      files.push_back({entry.start, entry.end, entry.executable});
  return files;
}

} // namespace hl
