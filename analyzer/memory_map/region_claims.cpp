// See region_claims.h.
#include "memory_map/region_claims.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "memory_map/mapping_names.h"
#include "reader/node_table.h"

namespace hl {
namespace {

constexpr uint64_t kArenaSlot = uint64_t{64} << 20; // HEAP_MAX_SIZE of glibc's arenas on 64-bit machines
constexpr uint64_t kAlignedBlockLeast = uint64_t{128} << 10; // glibc's smallest mmap threshold by default
constexpr uint64_t kUserEnd = uint64_t{1} << 57;             // of user space, with five levels of page tables
constexpr uint64_t kLargestGuard = uint64_t{64} << 10;
// HeaderPayload::heap_kind
constexpr uint8_t kHeapUnknown = 0, kHeapGlibc = 1, kHeapJemalloc = 2, kHeapTcmalloc = 3, kHeapMimalloc = 4;
constexpr uint16_t kMachineX86 = 62;

bool is_unnamed_private(const Vma& vma) {
  return vma.name.empty() && !vma.shared;
}
bool is_inaccessible(const Vma& vma) {
  return !vma.readable && !vma.writable && !vma.executable;
}

uint8_t heap_kind(const RegionSources& sources) {
  return sources.metadata != nullptr && sources.metadata->has_header ? sources.metadata->header.heap_kind
                                                                     : kHeapUnknown;
}

// Of the allocator whose blocks were recorded: what its library maps is the heap's, tables and segments
// without a live block too. (Another may be linked in and not be used.)
bool is_allocators_own(std::string_view file, uint8_t kind) {
  return (kind == kHeapJemalloc && file.starts_with("libjemalloc")) ||
         (kind == kHeapTcmalloc && file.starts_with("libtcmalloc")) ||
         (kind == kHeapMimalloc && file.starts_with("libmimalloc"));
}

// glibc gives large requests a mapping each: the chunk begins the mapping, the block 16 bytes behind, and its
// usable bytes end with the mapping. Aligned blocks begin later.
bool has_own_mapping(const HeapBlock& block, uint64_t page) {
  return block.end() % page == 0 && block.address >= 16 &&
         (block.address % page == 16 || (block.usable >= kAlignedBlockLeast && block.address % 16 == 0));
}

class Collector {
 public:
  Collector(const ResidencySample& sample, const RegionSources& sources, std::span<const Vma> vmas)
      : sample_(sample), sources_(sources), vmas_(vmas), managed_(vmas) {}

  std::vector<Claim> collect() {
    own_memory();
    module_bss();
    if (sources_.replay != nullptr)
      recorded_mappings();
    mapped_blocks();
    arenas();
    if (sources_.replay != nullptr)
      threads();
    std::stable_sort(claims_.begin(), claims_.end(),
                     [](const Claim& a, const Claim& b) { return a.start < b.start; });
    return std::move(claims_);
  }

 private:
  // The mapping that holds `address`, or vmas_.size().
  size_t vma_at(uint64_t address) const {
    const auto after = std::upper_bound(vmas_.begin(), vmas_.end(), address,
                                        [](uint64_t a, const Vma& vma) { return a < vma.start; });
    if (after == vmas_.begin() || (after - 1)->end <= address)
      return vmas_.size();
    return static_cast<size_t>(after - vmas_.begin()) - 1;
  }
  uint64_t up_to_page(uint64_t address) const {
    return (address + sample_.page_bytes - 1) / sample_.page_bytes * sample_.page_bytes;
  }
  uint64_t down_to_page(uint64_t address) const { return address / sample_.page_bytes * sample_.page_bytes; }
  bool glibc_possible() const {
    const uint8_t kind = heap_kind(sources_);
    return kind == kHeapUnknown || kind == kHeapGlibc;
  }
  void add(Claim claim) {
    if (claim.start < claim.end)
      claims_.push_back(std::move(claim));
  }

  void own_memory() {
    for (const AddressRange& range : sample_.own)
      add({range.start, range.end, ClaimRank::own, ClaimScope::any, RegionKind::own,
           RegionEvidence::session});
  }

  void module_bss() {
    if (sources_.modules == nullptr)
      return;
    for (const TraceModule& module : sources_.modules->all()) {
      const bool there = module.id != 0 && module.loaded_ticks <= sample_.ticks &&
                         (module.unloaded_ticks == 0 || module.unloaded_ticks > sample_.ticks);
      if (!there)
        continue;
      const bool own = is_recording_library(module.path);
      add({module.start, up_to_page(module.end), ClaimRank::module, ClaimScope::heap_too,
           own ? RegionKind::own : RegionKind::bss, own ? RegionEvidence::session : RegionEvidence::module, 0,
           0, module.path});
    }
  }

  struct Caller {
    uint8_t runtime = 0; // of ManagedHeaps
    bool allocator = false;
    uint64_t pc = 0;
    uint32_t module = 0; // 0: of none on record
  };

  // Whose code called mmap: that of the innermost module that is not libc or the recording.
  Caller caller_of(uint32_t site) {
    const auto [known, is_new] = callers_.try_emplace(site);
    const auto& stacks = sources_.replay->result().site_stacks;
    if (!is_new || sources_.nodes == nullptr || sources_.modules == nullptr || site >= stacks.size())
      return known->second;
    StackId id = stacks[site];
    for (int depth = 0; depth < 16 && id != 0 && sources_.nodes->defined(id); ++depth) {
      const TraceNode& node = (*sources_.nodes)[id];
      id = node.parent;
      if (node.module == kMarkerModule)
        continue;
      const uint64_t pc = node.pc & kNodePcMask;
      const TraceModule* const module = sources_.modules->find(node.module);
      const size_t vma = module != nullptr ? vmas_.size() : vma_at(pc);
      if (module == nullptr && vma == vmas_.size())
        continue;
      const std::string_view path = module != nullptr ? module->path : vmas_[vma].name;
      const std::string_view file = file_part(path);
      if (is_recording_library(file) || file.starts_with("libc.so") || file.starts_with("libc-") ||
          file.starts_with("libpthread") || file.starts_with("ld-"))
        continue;
      known->second = {ManagedHeaps::runtime_of(path), is_allocators_own(file, heap_kind(sources_)), pc,
                       module != nullptr ? module->id : 0};
      break;
    }
    return known->second;
  }

  void recorded_mappings() {
    struct Range {
      uint64_t start, end;
      uint32_t site;
      std::string_view name;
      bool blocks;
    };
    std::vector<Range> ranges;
    std::unordered_set<uint32_t> allocator_sites;
    // With cgo, Go maps through a C function of the program's (x_cgo_mmap): it is Go's, for it mapped the
    // heap.
    std::unordered_set<uint64_t> go_callers;
    // A .NET program in a single file has the runtime in it.
    std::unordered_set<uint32_t> dotnet_modules;
    sources_.replay->result().mappings.for_each_range(
        [&](uint64_t start, uint64_t end, uint32_t site, std::string_view name) {
          const bool blocks = name.empty() && holds_shared_blocks(sample_, sources_, start, end);
          // glibc's own mappings are not recorded: blocks in a recorded one tell of an unmapping that was
          // not.
          if (blocks && site != 0 && heap_kind(sources_) != kHeapGlibc)
            allocator_sites.insert(site);
          if (site != 0 && managed_.is_go_heap(start))
            go_callers.insert(caller_of(site).pc);
          if (const size_t vma = vma_at(start);
              site != 0 && vma != vmas_.size() && ManagedHeaps::is_dotnet_code(vmas_[vma]))
            dotnet_modules.insert(caller_of(site).module);
          ranges.push_back({start, end, site, name, blocks});
          recorded_.push_back({start, end});
        });
    for (const Range& range : ranges) {
      if (!range.name.empty()) {
        NamedKind kind = kind_of_given_name(range.name);
        add({range.start, range.end, ClaimRank::given_name, ClaimScope::unnamed, kind.kind,
             RegionEvidence::given_name, range.site, kind.tid, std::move(kind.name)});
        continue;
      }
      Claim claim{
          range.start,          range.end, ClaimRank::call, ClaimScope::unnamed, RegionKind::anonymous,
          RegionEvidence::call, range.site};
      const Caller caller = caller_of(range.site);
      uint8_t runtime = caller.runtime;
      if (caller.pc != 0 && go_callers.contains(caller.pc))
        runtime = ManagedHeaps::kGo;
      else if (caller.module != 0 && dotnet_modules.contains(caller.module))
        runtime = ManagedHeaps::kDotNet;
      if (range.blocks || caller.allocator || allocator_sites.contains(range.site)) {
        claim.kind = RegionKind::heap_other;
        claim.evidence = range.blocks ? RegionEvidence::blocks : RegionEvidence::call;
      } else if (runtime != 0) {
        const size_t vma = vma_at(range.start);
        const std::string_view name =
            managed_.by_caller(runtime, range.start, range.end, vma != vmas_.size() && vmas_[vma].executable);
        if (!name.empty()) {
          claim.kind = RegionKind::managed;
          claim.name = std::string(name);
        }
      }
      add(std::move(claim));
    }
  }

  void mapped_blocks() {
    if (!glibc_possible())
      return;
    for (const HeapBlock& block : sources_.blocks)
      if (has_own_mapping(block, sample_.page_bytes))
        add({down_to_page(block.address - 16), block.end(), ClaimRank::mapped_block, ClaimScope::unnamed,
             RegionKind::heap_mapped, RegionEvidence::blocks, block.site});
  }

  // Slots that begin in a mapping and may be arenas: those with live blocks, and the last, whose rest may be
  // reserved. (Not all: a mapping may be as large as the address space.)
  std::vector<uint64_t> slots_of(const Vma& vma) const {
    std::vector<uint64_t> slots;
    if (vma.end > kUserEnd)
      return slots;
    const uint64_t last = (vma.end - 1) / kArenaSlot * kArenaSlot;
    const auto from = [&](uint64_t address) {
      return std::lower_bound(sources_.blocks.begin(), sources_.blocks.end(), address,
                              [](const HeapBlock& block, uint64_t a) { return block.address < a; });
    };
    for (auto block = from(vma.start); block != sources_.blocks.end() && block->address < vma.end;) {
      const uint64_t slot = block->address / kArenaSlot * kArenaSlot;
      if (slot >= vma.start && slot != last)
        slots.push_back(slot);
      block = from(slot + kArenaSlot);
    }
    if (last >= vma.start)
      slots.push_back(last);
    return slots;
  }

  // A slot of 64 MiB, aligned to its size: in use from the bottom, the rest reserved without rights.
  void arenas() {
    if (!glibc_possible())
      return;
    for (size_t i = 0; i < vmas_.size(); ++i) {
      const Vma& vma = vmas_[i];
      if (!is_unnamed_private(vma) || !vma.readable || !vma.writable || vma.executable)
        continue;
      for (const uint64_t slot : slots_of(vma)) {
        const uint64_t end = slot + kArenaSlot;
        const bool reserved = vma.end < end && i + 1 < vmas_.size() && vmas_[i + 1].start == vma.end &&
                              is_unnamed_private(vmas_[i + 1]) && is_inaccessible(vmas_[i + 1]) &&
                              vmas_[i + 1].end >= end;
        const bool full = vma.end >= end;
        if (!reserved && !full)
          continue;
        const bool blocks = holds_shared_blocks(sample_, sources_, slot, std::min(end, vma.end));
        // Mapped by the program itself, or where a managed heap is: not glibc's.
        if (!blocks && (full || recorded_at(slot).end != 0 || managed_.is_at_fixed_place(vma)))
          continue;
        add({slot, end, ClaimRank::arena, ClaimScope::unnamed, RegionKind::heap_arena,
             blocks ? RegionEvidence::blocks : RegionEvidence::shape});
      }
    }
  }

  // The recorded mapping that holds `address`; {0, 0}: none.
  AddressRange recorded_at(uint64_t address) const {
    const auto after =
        std::upper_bound(recorded_.begin(), recorded_.end(), address,
                         [](uint64_t a, const AddressRange& range) { return a < range.start; });
    if (after == recorded_.begin() || (after - 1)->end <= address)
      return {0, 0};
    return *(after - 1);
  }

  bool block_at(uint64_t address) const {
    const auto after = std::upper_bound(sources_.blocks.begin(), sources_.blocks.end(), address,
                                        [](uint64_t a, const HeapBlock& block) { return a < block.address; });
    return after != sources_.blocks.begin() && (after - 1)->end() > address;
  }

  void threads() {
    const auto& metadata = sources_.metadata;
    const uint32_t pid = metadata != nullptr && metadata->has_header ? metadata->header.pid : 0;
    const bool x86 =
        metadata == nullptr || !metadata->has_header || metadata->header.architecture == kMachineX86;
    // glibc gives the stack of a thread that ended to the next one: the last thread at a place counts.
    const std::vector<ThreadTotals>& all = sources_.replay->result().threads;
    std::unordered_map<uint64_t, const ThreadTotals*> last;
    for (const ThreadTotals& thread : all)
      if (thread.thread_pointer != 0)
        last[thread.thread_pointer] = &thread;
    for (const ThreadTotals& thread : all) {
      const uint64_t pointer = thread.thread_pointer;
      if (pointer == 0 || thread.ended || last[pointer] != &thread)
        continue;
      const size_t index = vma_at(pointer);
      if (index == vmas_.size() || !is_unnamed_private(vmas_[index]) || !vmas_[index].writable)
        continue;
      const Vma& vma = vmas_[index];
      if (thread.tid == pid && pid != 0) {
        add({vma.start, vma.end, ClaimRank::main_tls, ClaimScope::unnamed, RegionKind::data,
             RegionEvidence::thread, 0, thread.tid, "thread-local variables of the main thread"});
        continue;
      }
      if (block_at(pointer))
        continue; // a stack in malloc's memory
      uint64_t start = vma.start, end = vma.end;
      if (const AddressRange recorded = recorded_at(pointer); recorded.end != 0) { // the program's choice
        start = std::max(start, recorded.start);
        end = std::min(end, recorded.end);
      } else if (x86) {
        // glibc: the control block, smaller than a page, is the last thing of the stack's mapping, and what
        // the kernel merged with it lies above.
        end = std::min(end, up_to_page(pointer + 1));
      }
      if (start == vma.start && index > 0 && vmas_[index - 1].end == start &&
          is_unnamed_private(vmas_[index - 1]) && is_inaccessible(vmas_[index - 1]) &&
          vmas_[index - 1].bytes() <= kLargestGuard)
        start = vmas_[index - 1].start;
      add({start, end, ClaimRank::thread, ClaimScope::unnamed, RegionKind::thread_stack,
           RegionEvidence::thread, 0, thread.tid,
           "thread " + std::to_string(thread.tid) + (thread.name.empty() ? "" : " (" + thread.name + ")")});
    }
  }

  const ResidencySample& sample_;
  const RegionSources& sources_;
  std::span<const Vma> vmas_;
  ManagedHeaps managed_;
  std::vector<Claim> claims_;
  std::vector<AddressRange> recorded_;           // mappings, by address
  std::unordered_map<uint32_t, Caller> callers_; // by site
};

} // namespace

std::vector<Claim> collect_claims(const ResidencySample& sample, const RegionSources& sources,
                                  std::span<const Vma> vmas) {
  return Collector(sample, sources, vmas).collect();
}

bool holds_shared_blocks(const ResidencySample& sample, const RegionSources& sources, uint64_t start,
                         uint64_t end) {
  const bool glibc = heap_kind(sources) == kHeapUnknown || heap_kind(sources) == kHeapGlibc;
  auto block = std::lower_bound(sources.blocks.begin(), sources.blocks.end(), start,
                                [](const HeapBlock& b, uint64_t address) { return b.address < address; });
  for (; block != sources.blocks.end() && block->address < end; ++block)
    if (!glibc || !has_own_mapping(*block, sample.page_bytes))
      return true;
  return false;
}

} // namespace hl
