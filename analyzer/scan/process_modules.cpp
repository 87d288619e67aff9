// See process_modules.h.
#include "scan/process_modules.h"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace hl {
namespace {

constexpr uint64_t kPageMask = 4095;
constexpr size_t kMaxProgramHeaders = 256;

bool read_exactly(MemoryReader& memory, uint64_t address, void* to, size_t bytes) {
  MemoryReader::Piece piece{address, std::span(static_cast<uint8_t*>(to), bytes)};
  memory.read({&piece, 1});
  return piece.read_bytes == bytes;
}

// false: this mapping does not begin a loaded program or library.
bool read_module(const MapsEntry& first, std::span<const MapsEntry> maps, MemoryReader& memory,
                 LoadedModule& out) {
  Elf64_Ehdr header;
  if (!read_exactly(memory, first.start, &header, sizeof header) ||
      std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      (header.e_type != ET_EXEC && header.e_type != ET_DYN) || header.e_phentsize != sizeof(Elf64_Phdr) ||
      header.e_phnum == 0 || header.e_phnum > kMaxProgramHeaders || header.e_phoff > first.end - first.start)
    return false;
  std::vector<Elf64_Phdr> headers(header.e_phnum);
  if (!read_exactly(memory, first.start + header.e_phoff, headers.data(),
                    headers.size() * sizeof(Elf64_Phdr)))
    return false;
  const auto load =
      std::find_if(headers.begin(), headers.end(), [](const Elf64_Phdr& p) { return p.p_type == PT_LOAD; });
  if (load == headers.end() || (load->p_offset & ~kPageMask) != 0)
    return false;
  const uint64_t bias = first.start - (load->p_vaddr & ~kPageMask);
  for (const Elf64_Phdr& p : headers) {
    const uint64_t start = bias + p.p_vaddr;
    if (p.p_type != PT_LOAD || p.p_memsz == 0)
      continue;
    // A file that was merely mapped to be read does not have its segments where they belong.
    const MapsEntry* const place = entry_at(maps, start);
    if (place == nullptr || (p.p_filesz != 0 && place->inode != first.inode))
      return false;
    if ((p.p_flags & PF_W) != 0 && start + p.p_memsz > start)
      out.writable.push_back({start & ~kPageMask, start + p.p_memsz});
  }
  out.path = first.path;
  out.start = first.start;
  return true;
}

} // namespace

std::vector<LoadedModule> loaded_modules(std::span<const MapsEntry> maps, MemoryReader& memory) {
  std::vector<LoadedModule> found;
  for (const MapsEntry& entry : maps) {
    if (!entry.is_file() || entry.offset != 0 || !entry.readable)
      continue;
    LoadedModule module;
    if (read_module(entry, maps, memory, module))
      found.push_back(std::move(module));
  }
  return found;
}

bool is_loader(std::string_view path) {
  const std::string_view name = file_name_of(path);
  return name.starts_with("ld-linux") || name.starts_with("ld64.so") || name.starts_with("ld.so") ||
         (name.starts_with("ld-2.") && name.ends_with(".so"));
}

bool is_libc(std::string_view path) {
  const std::string_view name = file_name_of(path);
  return name == "libc.so.6" || (name.starts_with("libc-2.") && name.ends_with(".so"));
}

bool is_allocator_library(std::string_view path) {
  static constexpr std::array<std::string_view, 8> kNames = {"libjemalloc",  "libtcmalloc", "libmimalloc",
                                                             "libtbbmalloc", "libhoard",    "librpmalloc",
                                                             "libsnmalloc",  "libscudo"};
  const std::string_view name = file_name_of(path);
  return std::any_of(kNames.begin(), kNames.end(),
                     [name](std::string_view known) { return name.starts_with(known); });
}

} // namespace hl
