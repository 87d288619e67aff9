// See malloc_binding.h.
#include "runtime/malloc_binding.h"

#include <link.h>
#include <string.h>

#include "boot/real_functions.h"
#include "runtime/stack_capture.h"

namespace hl {

namespace {

struct Relocations {
  const ElfW(Rela) * first = nullptr;
  uint64_t bytes = 0;
};

// glibc's dynamic sections hold addresses, relocated in place.
struct DynamicTables {
  const ElfW(Sym) * symbols = nullptr;
  const char* strings = nullptr;
  Relocations calls, data;
};

DynamicTables read_dynamic(const link_map& map) {
  DynamicTables t;
  for (const ElfW(Dyn)* d = map.l_ld; d->d_tag != DT_NULL; ++d) {
    switch (d->d_tag) {
    case DT_SYMTAB:
      t.symbols = reinterpret_cast<const ElfW(Sym)*>(d->d_un.d_ptr);
      break;
    case DT_STRTAB:
      t.strings = reinterpret_cast<const char*>(d->d_un.d_ptr);
      break;
    case DT_JMPREL:
      t.calls.first = reinterpret_cast<const ElfW(Rela)*>(d->d_un.d_ptr);
      break;
    case DT_PLTRELSZ:
      t.calls.bytes = d->d_un.d_val;
      break;
    case DT_RELA:
      t.data.first = reinterpret_cast<const ElfW(Rela)*>(d->d_un.d_ptr);
      break;
    case DT_RELASZ:
      t.data.bytes = d->d_un.d_val;
      break;
    default:
      break;
    }
  }
  return t;
}

// The value of the first word that is bound to malloc; 0 if there is none, or it still leads to the module's
// own code, where a lazy binding begins.
uint64_t bound_malloc(const DynamicTables& t, const Relocations& relocations, const ModuleInfo& module) {
  const uint64_t count = relocations.first != nullptr ? relocations.bytes / sizeof(ElfW(Rela)) : 0;
  for (uint64_t i = 0; i < count; ++i) {
    const ElfW(Rela)& r = relocations.first[i];
    const uint64_t symbol = ELF64_R_SYM(r.r_info);
    if (symbol == 0 || strcmp(t.strings + t.symbols[symbol].st_name, "malloc") != 0)
      continue;
    const uint64_t word = module.load_bias + r.r_offset;
    if (word < module.start || word >= module.end || word % sizeof(uint64_t) != 0)
      return 0;
    const uint64_t value = *reinterpret_cast<const volatile uint64_t*>(word);
    return value >= module.start && value < module.end ? 0 : value;
  }
  return 0;
}

bool has_its_dynamic_section(const link_map& map, const ModuleInfo& module) {
  const uint64_t dynamic = reinterpret_cast<uint64_t>(map.l_ld);
  return dynamic >= module.start && dynamic < module.end;
}

} // namespace

MallocBinding malloc_binding_of(const ModuleInfo& module) {
  const uint64_t foreign = reinterpret_cast<uint64_t>(g_real.foreign_malloc);
  if (foreign >= module.start && foreign < module.end)
    return MallocBinding::stands_before_ours;
  if (module.link_map == nullptr || g_walk.epoch.now() == g_epoch_at_attach)
    return MallocBinding::usual;
  const link_map& map = *static_cast<const link_map*>(module.link_map);
  if (!has_its_dynamic_section(map, module))
    return MallocBinding::usual;
  const DynamicTables t = read_dynamic(map);
  if (t.symbols == nullptr || t.strings == nullptr)
    return MallocBinding::usual;
  uint64_t bound = bound_malloc(t, t.calls, module);
  if (bound == 0)
    bound = bound_malloc(t, t.data, module);
  const uint64_t global = foreign != 0 ? foreign : reinterpret_cast<uint64_t>(g_real.own_malloc);
  return bound != 0 && bound != global ? MallocBinding::bound_past_us : MallocBinding::usual;
}

void note_foreign_malloc() {
  if (g_real.foreign_malloc != nullptr) {
    g_walk.modules.find(reinterpret_cast<uint64_t>(g_real.foreign_malloc), g_walk.epoch.now());
  }
}

} // namespace hl
