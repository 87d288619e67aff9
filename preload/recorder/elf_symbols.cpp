// See elf_symbols.h.
#include "elf_symbols.h"

#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace hl {

ElfSymbols::ElfSymbols(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return;
  struct stat status;
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
    void* const map = mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
    if (map != MAP_FAILED) {
      bytes_ = static_cast<const unsigned char*>(map);
      size_ = static_cast<size_t>(status.st_size);
    }
  }
  close(fd);
  header_ = at_offset<Elf64_Ehdr>(0);
  if (header_ == nullptr)
    return;
  const unsigned char* const id = header_->e_ident;
  if (std::memcmp(id, ELFMAG, SELFMAG) != 0 || id[EI_CLASS] != ELFCLASS64 || id[EI_DATA] != ELFDATA2LSB ||
      header_->e_machine != EM_X86_64 || header_->e_phentsize != sizeof(Elf64_Phdr)) {
    return;
  }
  segments_ = at_offset<Elf64_Phdr>(header_->e_phoff, header_->e_phnum);
  if (segments_ == nullptr || !read_dynamic())
    symbol_count_ = 0;
}

ElfSymbols::~ElfSymbols() {
  if (bytes_ != nullptr)
    munmap(const_cast<unsigned char*>(bytes_), size_);
}

template <typename T> const T* ElfSymbols::at_offset(uint64_t offset, uint64_t count) const {
  if (bytes_ == nullptr || offset > size_ || count > (size_ - offset) / sizeof(T) || offset % alignof(T) != 0)
    return nullptr;
  return reinterpret_cast<const T*>(bytes_ + offset);
}

template <typename T> const T* ElfSymbols::at_address(uint64_t address, uint64_t count) const {
  for (unsigned i = 0; i < header_->e_phnum; ++i) {
    const Elf64_Phdr& s = segments_[i];
    if (s.p_type == PT_LOAD && address >= s.p_vaddr && address - s.p_vaddr < s.p_filesz)
      return at_offset<T>(s.p_offset + (address - s.p_vaddr), count);
  }
  return nullptr;
}

bool ElfSymbols::read_dynamic() {
  uint64_t gnu_hash = 0, sysv_hash = 0;
  for (unsigned i = 0; i < header_->e_phnum; ++i) {
    if (segments_[i].p_type != PT_DYNAMIC)
      continue;
    const uint64_t count = segments_[i].p_filesz / sizeof(Elf64_Dyn);
    const Elf64_Dyn* const entries = at_offset<Elf64_Dyn>(segments_[i].p_offset, count);
    if (entries == nullptr)
      return false;
    for (uint64_t n = 0; n < count && entries[n].d_tag != DT_NULL; ++n) {
      const uint64_t value = entries[n].d_un.d_ptr;
      switch (entries[n].d_tag) {
      case DT_SYMTAB:
        symbols_ = value;
        break;
      case DT_STRTAB:
        strings_ = value;
        break;
      case DT_STRSZ:
        strings_size_ = value;
        break;
      case DT_GNU_HASH:
        gnu_hash = value;
        break;
      case DT_HASH:
        sysv_hash = value;
        break;
      default:
        break;
      }
    }
  }
  if (sysv_hash != 0) {
    const uint32_t* const table = at_address<uint32_t>(sysv_hash, 2);
    if (table == nullptr)
      return false;
    symbol_count_ = table[1];
  } else if (gnu_hash != 0) {
    // The number of symbols is said nowhere: it is the end of the chain that begins last.
    const uint32_t* const table = at_address<uint32_t>(gnu_hash, 4);
    if (table == nullptr)
      return false;
    const uint64_t bucket_count = table[0], first = table[1],
                   buckets = gnu_hash + 16 + uint64_t{table[2]} * 8;
    const uint32_t* const bucket = at_address<uint32_t>(buckets, bucket_count);
    if (bucket == nullptr)
      return false;
    uint64_t last = 0;
    for (uint64_t n = 0; n < bucket_count; ++n)
      last = bucket[n] > last ? bucket[n] : last;
    symbol_count_ = first;
    if (last >= first) {
      const uint64_t chains = buckets + bucket_count * 4;
      for (;; ++last) {
        const uint32_t* const link = at_address<uint32_t>(chains + (last - first) * 4);
        if (link == nullptr)
          return false;
        if ((*link & 1) != 0)
          break;
      }
      symbol_count_ = last + 1;
    }
  }
  return symbol_count_ != 0;
}

bool ElfSymbols::mentions(const char* name, bool defined) const {
  if (symbol_count_ == 0)
    return false;
  const Elf64_Sym* const symbols = at_address<Elf64_Sym>(symbols_, symbol_count_);
  const char* const strings = at_address<char>(strings_, strings_size_);
  if (symbols == nullptr || strings == nullptr)
    return false;
  const uint64_t bytes = std::strlen(name) + 1;
  for (uint64_t n = 1; n < symbol_count_; ++n) {
    const Elf64_Sym& s = symbols[n];
    if ((s.st_shndx != SHN_UNDEF) != defined || s.st_name >= strings_size_ ||
        strings_size_ - s.st_name < bytes)
      continue;
    if (std::memcmp(strings + s.st_name, name, bytes) == 0)
      return true;
  }
  return false;
}

std::string ElfSymbols::interpreter() const {
  if (segments_ == nullptr)
    return "";
  for (unsigned i = 0; i < header_->e_phnum; ++i) {
    if (segments_[i].p_type != PT_INTERP)
      continue;
    const char* const name = at_offset<char>(segments_[i].p_offset, segments_[i].p_filesz);
    return name == nullptr ? "" : std::string(name, strnlen(name, segments_[i].p_filesz));
  }
  return "";
}

} // namespace hl
