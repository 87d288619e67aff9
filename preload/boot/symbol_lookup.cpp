// Symbol lookup through DT_GNU_HASH or DT_HASH: see symbol_lookup.h.
#include "boot/symbol_lookup.h"

#include <atomic>
#include <link.h>
#include <stdint.h>

#include "platform/dl_find_object.h"

// Of glibc's loader, and of musl's, each of which has one. Not to be there must not keep us from being
// loaded: a preloaded library that cannot be loaded is the end of a program of musl's.
#pragma weak _r_debug
extern "C" [[gnu::weak]] r_debug* _dl_debug_addr; // NOLINT(readability-identifier-naming)

namespace hl {

namespace {

const link_map* first_object() {
  if (loader_is_glibc())
    return _r_debug.r_map;
  return &_dl_debug_addr != nullptr && _dl_debug_addr != nullptr ? _dl_debug_addr->r_map : nullptr;
}

enum class Where { everywhere, after_us, in_us, in_glibc };

struct Search {
  const char* name;
  uint32_t gnu_hash;
};

// Not strcmp and its like, which a sanitizer in the program interposes.
bool is_same(const char* a, const char* b) {
  for (; *a == *b; ++a, ++b)
    if (*a == '\0')
      return true;
  return false;
}
bool begins_with(const char* text, const char* start) {
  for (; *start != '\0'; ++text, ++start)
    if (*text != *start)
      return false;
  return true;
}
const char* file_name_of(const char* path) {
  const char* name = path;
  for (; *path != '\0'; ++path)
    if (*path == '/')
      name = path + 1;
  return name;
}

uint32_t gnu_hash_of(const char* name) {
  uint32_t h = 5381;
  for (; *name != '\0'; ++name)
    h = h * 33 + static_cast<unsigned char>(*name);
  return h;
}

// What the dynamic section says about symbols. glibc has relocated the pointers in place, except in objects
// whose dynamic section is read-only (vdso): those are offsets.
struct SymbolTables {
  const ElfW(Sym) * symbols = nullptr;
  const char* strings = nullptr;
  const uint32_t* gnu_hash = nullptr;
  const uint32_t* sysv_hash = nullptr;
  const ElfW(Half) * versions = nullptr;
};

SymbolTables read_tables(ElfW(Addr) load_bias, const ElfW(Dyn) * dynamic) {
  SymbolTables t;
  const auto pointer = [load_bias](ElfW(Addr) value) {
    return value < load_bias ? load_bias + value : value;
  };
  for (; dynamic->d_tag != DT_NULL; ++dynamic) {
    const ElfW(Addr) value = pointer(dynamic->d_un.d_ptr);
    switch (dynamic->d_tag) {
    case DT_SYMTAB:
      t.symbols = reinterpret_cast<const ElfW(Sym)*>(value);
      break;
    case DT_STRTAB:
      t.strings = reinterpret_cast<const char*>(value);
      break;
    case DT_GNU_HASH:
      t.gnu_hash = reinterpret_cast<const uint32_t*>(value);
      break;
    case DT_HASH:
      t.sysv_hash = reinterpret_cast<const uint32_t*>(value);
      break;
    case DT_VERSYM:
      t.versions = reinterpret_cast<const ElfW(Half)*>(value);
      break;
    default:
      break;
    }
  }
  return t;
}

bool matches(const SymbolTables& t, uint32_t index, const char* name) {
  const ElfW(Sym)& symbol = t.symbols[index];
  const unsigned type = ELF64_ST_TYPE(symbol.st_info);
  if (symbol.st_shndx == SHN_UNDEF ||
      (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE && type != STT_OBJECT)) {
    return false;
  }
  // Bit 15: a hidden (old) version, which an unversioned reference does not bind to.
  if (t.versions != nullptr && (t.versions[index] & 0x8000) != 0)
    return false;
  return is_same(t.strings + symbol.st_name, name);
}

const ElfW(Sym) * find_in(const SymbolTables& t, const Search& search) {
  if (t.symbols == nullptr || t.strings == nullptr)
    return nullptr;
  if (t.gnu_hash != nullptr) {
    const uint32_t bucket_count = t.gnu_hash[0], first = t.gnu_hash[1], bloom_words = t.gnu_hash[2];
    if (bucket_count == 0)
      return nullptr;
    const uint32_t* const buckets = t.gnu_hash + 4 + bloom_words * (sizeof(ElfW(Addr)) / 4);
    const uint32_t* const chain = buckets + bucket_count;
    uint32_t index = buckets[search.gnu_hash % bucket_count];
    if (index < first)
      return nullptr;
    for (;; ++index) {
      const uint32_t hash = chain[index - first];
      if ((hash | 1) == (search.gnu_hash | 1) && matches(t, index, search.name))
        return &t.symbols[index];
      if ((hash & 1) != 0)
        return nullptr;
    }
  }
  if (t.sysv_hash != nullptr) {
    for (uint32_t index = 1; index < t.sysv_hash[1]; ++index) {
      if (matches(t, index, search.name))
        return &t.symbols[index];
    }
  }
  return nullptr;
}

const char* name_of(const link_map& object) {
  return object.l_name != nullptr ? file_name_of(object.l_name) : "";
}

// libpthread was a library of its own before 2.34.
bool is_of_glibc(const link_map& object) {
  static constexpr const char* kStarts[] = {"libc.so.6", "libc-2.",         "ld-linux-",
                                            "ld-2.",     "libpthread.so.0", "libpthread-2."};
  for (const char* start : kStarts)
    if (begins_with(name_of(object), start))
      return true;
  return false;
}

FoundSymbol find_in_object(const link_map& object, const Search& search) {
  const ElfW(Sym)* const symbol = find_in(read_tables(object.l_addr, object.l_ld), search);
  if (symbol == nullptr)
    return {};
  uintptr_t address = object.l_addr + symbol->st_value;
  if (ELF64_ST_TYPE(symbol->st_info) == STT_GNU_IFUNC)
    address = reinterpret_cast<uintptr_t (*)()>(address)();
  const char* const base = name_of(object);
  return {reinterpret_cast<void*>(address), is_same(base, "libc.so.6") || begins_with(base, "libc-2."),
          is_of_glibc(object), object.l_addr};
}

// The objects in the order of look-up, as the loader shows them to debuggers. Not by dl_iterate_phdr: the
// sanitizers of compilers interpose that, and are asked for memory before they are ready for it; fakechroot
// interposes it and writes where it must not. So without the loader's lock: what was loaded at start stands
// first, holds nearly all that is looked for, and is never unloaded.
FoundSymbol search_for(const char* name, Where where) {
  const Search search{name, gnu_hash_of(name)};
  for (const link_map* object = first_object(); object != nullptr; object = object->l_next) {
    if (where == Where::in_glibc) {
      if (!is_of_glibc(*object))
        continue;
    } else if (where != Where::everywhere) {
      const bool is_ours = object->l_ld == _DYNAMIC;
      if (is_ours && where == Where::after_us)
        where = Where::everywhere; // from the next one on
      if (!is_ours || where == Where::everywhere)
        continue;
    }
    if (object->l_ld == nullptr)
      continue;
    if (const FoundSymbol found = find_in_object(*object, search); found.address != nullptr)
      return found;
  }
  return {};
}

} // namespace

bool loader_is_glibc() {
  return &_r_debug != nullptr;
}

FoundSymbol find_next_symbol(const char* name) {
  return search_for(name, Where::after_us);
}

FoundSymbol find_own_symbol(const char* name) {
  return search_for(name, Where::in_us);
}

FoundSymbol find_symbol(const char* name) {
  return search_for(name, Where::everywhere);
}

FoundSymbol find_glibc_symbol(const char* name) {
  return search_for(name, Where::in_glibc);
}

FoundSymbol find_late_symbol(uint64_t code, const char* name) {
  // Relaxed: whoever stores it, stores the same.
  static constinit std::atomic<void*> known{nullptr};
  void* address = known.load(std::memory_order_relaxed);
  if (address == nullptr) {
    address = find_glibc_symbol("_dl_find_object").address;
    known.store(address, std::memory_order_relaxed);
  }
  const auto find_object = reinterpret_cast<DlFindObject>(address);
  DlFindObjectResult object{};
  if (find_object != nullptr && find_object(reinterpret_cast<void*>(code), &object) == 0) {
    const auto* const own = static_cast<const link_map*>(object.link_map);
    if (own != nullptr && own->l_ld != nullptr && own->l_ld != _DYNAMIC) {
      const FoundSymbol found = find_in_object(*own, {name, gnu_hash_of(name)});
      if (found.address != nullptr)
        return found;
    }
  }
  return find_next_symbol(name);
}

const char* own_path() {
  for (const link_map* o = first_object(); o != nullptr; o = o->l_next)
    if (o->l_ld == _DYNAMIC)
      return o->l_name;
  return nullptr;
}

bool object_imports(uintptr_t object, const char* name) {
  const link_map* there = first_object();
  while (there != nullptr && (there->l_addr != object || there->l_ld == nullptr))
    there = there->l_next;
  if (there == nullptr)
    return false;
  const SymbolTables t = read_tables(there->l_addr, there->l_ld);
  if (t.symbols == nullptr || t.strings == nullptr)
    return false;
  // What an object needs is not hashed by DT_GNU_HASH and comes before what is.
  const uint32_t end = t.gnu_hash != nullptr ? t.gnu_hash[1] : t.sysv_hash != nullptr ? t.sysv_hash[1] : 0;
  for (uint32_t index = 1; index < end; ++index) {
    const ElfW(Sym)& symbol = t.symbols[index];
    if (symbol.st_shndx == SHN_UNDEF && is_same(t.strings + symbol.st_name, name))
      return true;
  }
  return false;
}

} // namespace hl
