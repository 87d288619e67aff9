#include "unwind/module_table.h"

#include <elf.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "platform/own_memory.h"
#include "platform/syscalls.h"
#include "unwind/readable_ranges.h"

namespace hl {
namespace {

constexpr uint64_t kPage = ReadableRanges::kPageBytes;
constexpr uint64_t kMaxNoteBytes = 4096;
constexpr uint32_t kInstancesPerBlock = 128;

// The public head of glibc's struct link_map.
struct LinkMapHead {
  uint64_t load_bias;
  const char* name;
};

bool readable(uint64_t start, uint64_t bytes) {
  if (bytes > (uint64_t{1} << 20) || start + bytes < start)
    return false;
  for (uint64_t page = start & ~(kPage - 1); page < start + bytes; page += kPage)
    if (!probe_readable(page))
      return false;
  return true;
}

// The GNU build-id among the notes in [start, start + bytes).
void find_build_id(uint64_t start, uint64_t bytes, uint64_t alignment, ModuleInfo& info) {
  if (bytes > kMaxNoteBytes || !readable(start, bytes))
    return;
  const uint64_t align = alignment == 8 ? 8 : 4;
  const auto round = [&](uint64_t v) { return (v + align - 1) & ~(align - 1); };
  uint64_t at = 0;
  while (at + sizeof(Elf64_Nhdr) <= bytes) {
    Elf64_Nhdr note;
    memcpy(&note, reinterpret_cast<const void*>(start + at), sizeof note);
    const uint64_t name = at + sizeof note;
    const uint64_t description = round(name + note.n_namesz);
    if (description + note.n_descsz > bytes)
      return;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && note.n_descsz <= sizeof info.build_id &&
        memcmp(reinterpret_cast<const void*>(start + name), "GNU", 4) == 0) {
      info.build_id_bytes = static_cast<uint8_t>(note.n_descsz);
      memcpy(info.build_id, reinterpret_cast<const void*>(start + description), note.n_descsz);
      return;
    }
    at = round(description + note.n_descsz);
  }
}

uint64_t hash_bytes(uint64_t seed, const void* p, size_t bytes) {
  return XXH3_64bits_withSeed(p, bytes, seed);
}

} // namespace

// Fills everything from the ELF header at info.start; the load bias must be known.
bool ModuleTable::read_headers(Found& found) {
  ModuleInfo& info = found.info;
  if (info.end <= info.start || !readable(info.start, sizeof(Elf64_Ehdr)))
    return false;
  Elf64_Ehdr header;
  memcpy(&header, reinterpret_cast<const void*>(info.start), sizeof header);
  if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_phentsize != sizeof(Elf64_Phdr))
    return false;
  const uint64_t table_bytes = uint64_t{header.e_phnum} * sizeof(Elf64_Phdr);
  if (header.e_phoff > info.end - info.start || table_bytes > info.end - info.start - header.e_phoff)
    return false;
  const uint64_t table = info.start + header.e_phoff;
  if (!readable(table, table_bytes))
    return false;
  uint64_t identity = hash_bytes(info.load_bias, info.path, strlen(info.path));
  identity = hash_bytes(identity ^ info.start, &info.end, sizeof info.end);
  const auto program_header = [&](unsigned i) {
    Elf64_Phdr p;
    memcpy(&p, reinterpret_cast<const void*>(table + i * sizeof p), sizeof p);
    return p;
  };
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    const Elf64_Phdr p = program_header(i);
    const uint64_t start = info.load_bias + p.p_vaddr;
    if (p.p_type == PT_LOAD && (p.p_flags & PF_X)) {
      if (found.text_start == 0 || start < found.text_start)
        found.text_start = start;
      if (start + p.p_memsz > found.text_end)
        found.text_end = start + p.p_memsz;
    } else if (p.p_type == PT_GNU_EH_FRAME) {
      found.cfi.eh_frame_hdr = start;
    } else if (p.p_type == PT_NOTE && info.build_id_bytes == 0) {
      find_build_id(start, p.p_memsz, p.p_align, info);
    }
  }
  for (unsigned i = 0; i < header.e_phnum && found.cfi.eh_frame_hdr; ++i) {
    const Elf64_Phdr p = program_header(i);
    const uint64_t start = info.load_bias + p.p_vaddr;
    // p_filesz: what lies beyond it is zeros at best, and never call frame information.
    if (p.p_type == PT_LOAD && (p.p_flags & PF_R) && found.cfi.eh_frame_hdr >= start &&
        found.cfi.eh_frame_hdr < start + p.p_filesz) {
      found.cfi.segment_start = start;
      found.cfi.segment_end = start + p.p_filesz;
    }
  }
  if (found.cfi.segment_end == 0)
    found.cfi = CfiSection{};
  if (info.build_id_bytes) {
    identity = hash_bytes(identity, info.build_id, info.build_id_bytes);
  } else {
    identity = hash_bytes(identity, reinterpret_cast<const void*>(table), table_bytes);
    const uint64_t left = found.cfi.segment_end - found.cfi.eh_frame_hdr;
    if (found.cfi.eh_frame_hdr)
      identity = hash_bytes(identity, reinterpret_cast<const void*>(found.cfi.eh_frame_hdr),
                            left < kPage ? left : kPage);
  }
  found.identity = identity;
  return true;
}

// Where the kernel mapped an executable's segments with holes between them (node's), _dl_find_object tells of
// the one around the pc alone.
void ModuleTable::cover_executable(ModuleInfo& info) const {
  uint64_t start = 0, end = 0;
  for (uint32_t i = 0; main_headers != nullptr && i < main_header_count; ++i) {
    Elf64_Phdr p;
    memcpy(&p, static_cast<const uint8_t*>(main_headers) + i * sizeof p, sizeof p);
    if (p.p_type != PT_LOAD)
      continue;
    const uint64_t segment = info.load_bias + p.p_vaddr;
    if (p.p_offset == 0)
      start = segment & ~(kPage - 1);
    if (segment + p.p_memsz > end)
      end = segment + p.p_memsz;
  }
  if (start != 0 && start <= info.start && end >= info.end) {
    info.start = start;
    info.end = end;
  }
}

bool ModuleTable::discover(uint64_t pc, Found& found) const {
  if (dl_find_object == nullptr)
    return discover_in_maps(pc, found);
  DlFindObjectResult object{};
  if (dl_find_object(reinterpret_cast<void*>(pc), &object) != 0)
    return false;
  found.info.link_map = object.link_map;
  found.info.start = reinterpret_cast<uint64_t>(object.map_start);
  found.info.end = reinterpret_cast<uint64_t>(object.map_end);
  const LinkMapHead& map = *static_cast<const LinkMapHead*>(object.link_map);
  found.info.load_bias = map.load_bias;
  found.info.path = map.name ? map.name : "";
  if (found.info.path[0] == 0) {
    found.info.is_main = true;
    found.info.path = executable_path ? executable_path : "";
    cover_executable(found.info);
  }
  return read_headers(found);
}

bool ModuleTable::discover_in_maps(uint64_t pc, Found& found) const {
  // Mappings of one file follow each other, the one of offset 0 first: remember it until pc's mapping comes.
  Mapping mapping, first;
  bool has_first = false, hit = false;
  uint64_t end = 0;
  MapsReader maps;
  while (maps.next(mapping)) {
    const bool same_file = has_first && strcmp(mapping.path, first.path) == 0;
    if (hit && !same_file)
      break;
    if (mapping.path[0] == '/' && mapping.offset == 0 && !same_file) {
      first = mapping;
      has_first = true;
    }
    if (has_first && strcmp(mapping.path, first.path) == 0)
      end = mapping.end;
    if (pc >= mapping.start && pc < mapping.end) {
      if (!has_first || strcmp(mapping.path, first.path) != 0)
        return false;
      hit = true;
    }
  }
  if (!hit)
    return false;
  memcpy(found.path_from_maps, first.path, sizeof first.path);
  found.info.path = found.path_from_maps;
  found.info.start = first.start;
  found.info.end = end;
  found.info.is_main = executable_path && strcmp(first.path, executable_path) == 0;
  // The bias: the header's first PT_LOAD says at which virtual address offset 0 was to be.
  if (!readable(first.start, kPage))
    return false;
  Elf64_Ehdr header;
  memcpy(&header, reinterpret_cast<const void*>(first.start), sizeof header);
  if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_phentsize != sizeof(Elf64_Phdr) ||
      header.e_phoff + uint64_t{header.e_phnum} * sizeof(Elf64_Phdr) > kPage)
    return false;
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr p;
    memcpy(&p, reinterpret_cast<const void*>(first.start + header.e_phoff + i * sizeof p), sizeof p);
    if (p.p_type != PT_LOAD)
      continue;
    found.info.load_bias = first.start - (p.p_vaddr & ~(kPage - 1)) + (p.p_offset & ~(kPage - 1));
    return read_headers(found);
  }
  return false;
}

ModuleInstance* ModuleTable::new_instance() {
  for (;;) {
    ModuleInstance* block = arena_.load(std::memory_order_acquire);
    if (block) {
      const uint32_t i = arena_used_.fetch_add(1, std::memory_order_relaxed);
      // The block may have been replaced since: its index then belongs to either; both are unused memory only
      // if the block is still the current one, so ask again.
      if (i < kInstancesPerBlock && arena_.load(std::memory_order_acquire) == block)
        return &block[i];
    }
    const size_t bytes = sizeof(ModuleInstance) * kInstancesPerBlock;
    auto* fresh = static_cast<ModuleInstance*>(sys::map_anonymous(bytes));
    if (fresh == nullptr)
      return nullptr;
    // The first instance of a fresh block is its maker's, so progress needs nobody else.
    if (arena_.compare_exchange_strong(block, fresh, std::memory_order_acq_rel)) {
      note_own_memory(fresh, bytes);
      arena_used_.store(1, std::memory_order_relaxed);
      return &fresh[0];
    }
    sys::unmap(fresh, bytes);
  }
}

uint32_t ModuleTable::add(const Found& found, uint32_t epoch) {
  ModuleInstance* mine = nullptr;
  for (uint32_t i = 0; i < kMaxInstances; ++i) {
    ModuleInstance* there = slots_[i].load(std::memory_order_acquire); // pairs with the CAS below
    if (there == nullptr) {
      if (mine == nullptr) {
        mine = new_instance();
        if (mine == nullptr)
          return kNoInstance;
        mine->id = storage.publish ? storage.publish(storage.context, found.info) : 0;
        mine->start = found.info.start;
        mine->end = found.info.end;
        mine->identity = found.identity;
        mine->link_map = found.info.link_map;
        mine->cfi = found.cfi;
        mine->text_start = found.text_start;
        mine->text_end = found.text_end;
        mine->valid_epoch.store(epoch, std::memory_order_relaxed);
      }
      // Release: whoever finds the pointer (acquire) sees the instance filled.
      if (slots_[i].compare_exchange_strong(there, mine, std::memory_order_acq_rel)) {
        uint32_t count = count_.load(std::memory_order_relaxed);
        while (count < i + 1 && !count_.compare_exchange_weak(count, i + 1, std::memory_order_release)) {
        }
        return i;
      }
    }
    if (there->identity != found.identity ||
        there->presence.load(std::memory_order_relaxed) == Presence::foreign)
      continue;
    Presence unmapped = Presence::unmapped;
    if (there->presence.compare_exchange_strong(unmapped, Presence::mapped, std::memory_order_relaxed) &&
        storage.restore)
      storage.restore(storage.context, there->id);
    there->valid_epoch.store(epoch, std::memory_order_relaxed);
    return i;
  }
  return kNoInstance;
}

uint32_t ModuleTable::find(uint64_t pc, uint32_t epoch) {
  const uint32_t n = count();
  for (uint32_t i = 0; i < n; ++i) {
    const ModuleInstance& m = instance(i);
    // Relaxed: an instance seen valid in this epoch stays valid in it; a stale view only costs the slow way.
    if (pc >= m.start && pc < m.end && m.valid_epoch.load(std::memory_order_relaxed) == epoch &&
        m.presence.load(std::memory_order_relaxed) == Presence::mapped)
      return i;
  }
  Found found;
  if (!discover(pc, found))
    return kNoInstance;
  // Whatever else is on record for these addresses is gone.
  for (uint32_t i = 0; i < n; ++i) {
    ModuleInstance& m = *slots_[i].load(std::memory_order_acquire);
    if (m.identity == found.identity || m.end <= found.info.start || m.start >= found.info.end)
      continue;
    Presence mapped = Presence::mapped;
    if (m.presence.compare_exchange_strong(mapped, Presence::unmapped, std::memory_order_relaxed) &&
        storage.retire)
      storage.retire(storage.context, m.id);
  }
  return add(found, epoch);
}

bool ModuleTable::revalidate(uint32_t index, uint64_t pc, uint32_t epoch) {
  if (index >= count())
    return false;
  ModuleInstance& m = *slots_[index].load(std::memory_order_acquire);
  if (m.presence.load(std::memory_order_relaxed) == Presence::foreign)
    return false;
  if (m.presence.load(std::memory_order_relaxed) == Presence::mapped &&
      m.valid_epoch.load(std::memory_order_relaxed) == epoch)
    return true;
  return find(pc, epoch) == index;
}

void ModuleTable::reset() {
  const uint32_t n = count();
  for (uint32_t i = 0; i < n; ++i)
    slots_[i].load(std::memory_order_acquire)->presence.store(Presence::foreign, std::memory_order_relaxed);
  if (n < kMaxInstances / 2)
    return;
  // Dozens of generations of forks without exec: begin anew.
  for (uint32_t i = 0; i < n; ++i)
    slots_[i].store(nullptr, std::memory_order_relaxed);
  count_.store(0, std::memory_order_relaxed);
}

} // namespace hl
