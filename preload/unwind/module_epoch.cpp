#include "unwind/module_epoch.h"

#include <elf.h>
#include <link.h>
#include <string.h>

namespace hl {
namespace {

constexpr size_t kMaxGlobalBytes = 8192;
// How much of dl_iterate_phdr's code is searched: it reads the counter within its first half KiB.
constexpr size_t kSearchedCodeBytes = 1024;

struct Surroundings {
  uint64_t object, code;         // addresses to place
  uint64_t object_end, code_end; // ends of the segments they lie in, 0 = not found
  unsigned long long adds;
};

int look(dl_phdr_info* info, size_t bytes, void* data) {
  auto& around = *static_cast<Surroundings*>(data);
  if (bytes < offsetof(dl_phdr_info, dlpi_subs))
    return 1;
  around.adds = info->dlpi_adds;
  for (unsigned i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& p = info->dlpi_phdr[i];
    if (p.p_type != PT_LOAD)
      continue;
    const uint64_t start = info->dlpi_addr + p.p_vaddr, end = start + p.p_memsz;
    if (around.object >= start && around.object < end)
      around.object_end = end;
    if (around.code >= start && around.code < end && (p.p_flags & PF_R))
      around.code_end = end;
  }
  return 0;
}

} // namespace

bool ModuleEpoch::find_load_counter(const void* rtld_global, const void* dl_iterate_phdr) {
  load_counter_ = nullptr;
  if (rtld_global == nullptr || dl_iterate_phdr == nullptr)
    return false;
  Surroundings around{};
  around.object = reinterpret_cast<uint64_t>(rtld_global);
  around.code = reinterpret_cast<uint64_t>(dl_iterate_phdr);
  using Iterate = int(int (*)(dl_phdr_info*, size_t, void*), void*);
  reinterpret_cast<Iterate*>(around.code)(look, &around);
  if (around.object_end == 0 || around.code_end == 0 || around.adds == 0)
    return false;
  uint64_t bytes = around.object_end - around.object;
  if (bytes > kMaxGlobalBytes)
    bytes = kMaxGlobalBytes;
  uint64_t code_bytes = around.code_end - around.code;
  if (code_bytes > kSearchedCodeBytes)
    code_bytes = kSearchedCodeBytes;
  const auto* words = static_cast<const volatile uint64_t*>(rtld_global);
  const volatile uint64_t* only = nullptr;
  for (uint32_t offset = 0; offset + 8 <= bytes; offset += 8) {
    if (words[offset / 8] != around.adds)
      continue;
    // dl_iterate_phdr copies the counter into dlpi_adds and dlpi_subs: its code holds the offset as a
    // displacement, with the base of _rtld_global in a register. Short displacements would be ambiguous.
    if (offset < 128)
      continue;
    bool in_code = false;
    for (uint64_t i = 0; i + 4 <= code_bytes && !in_code; ++i)
      in_code = memcmp(reinterpret_cast<const void*>(around.code + i), &offset, sizeof offset) == 0;
    if (!in_code)
      continue;
    if (only)
      return false;
    only = words + offset / 8;
  }
  load_counter_ = only;
  return only != nullptr;
}

} // namespace hl
