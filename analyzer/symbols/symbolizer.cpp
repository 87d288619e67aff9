// Orchestration of a batch: group the queries, open modules, ask cache, DWARF and symbol tables in that
// order.
//
// Three parallel steps without shared mutable state but the interned texts: (1) per module: open files, ask
// the cache, group what is left by unit; (2) per run of units: DWARF; (3) per module: symbol-table fallback,
// cache update. Results are laid out by module and address, so a batch's answer does not depend on the thread
// count.
#include "symbols/symbolizer.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <map>
#include <new>
#include <optional>
#include <thread>

#include "symbols/demangle.h"
#include "symbols/dwarf_resolver.h"
#include "symbols/dwarf_unit_map.h"
#include "symbols/module_files.h"
#include "symbols/result_cache.h"
#include "symbols/string_pool.h"

namespace hl {

namespace {

// Addresses of one DWARF task: enough to amortise a resolver's caches, few enough to keep all threads busy.
constexpr size_t kAddressesPerTask = 1024;
// What a hostile module may cost: some passes over all of its debug information.
constexpr uint64_t kBudgetPasses = 16;
constexpr uint64_t kBudgetBaseBytes = 64 << 20;

// One distinct (module, address) of a batch and its answer.
struct Slot {
  uint64_t lookup_address;
  bool is_return_address;
  std::vector<Frame> const* frames = nullptr; // where the answer is: a cache's, a task's or a module's list
  uint32_t first = 0;
  uint32_t count = 0;
};

struct UnitGroup {
  uint32_t unit;
  std::vector<uint32_t> slots; // ascending addresses
};

// The part of a batch that concerns one module.
struct ModuleWork {
  uint32_t module = 0;
  std::vector<Slot> slots; // ascending (lookup address, is_return_address)
  std::vector<UnitGroup> groups;
  std::vector<Frame> own_frames; // from cache and symbol table
  std::optional<ResultCache> cache;
};

struct DwarfTask {
  ModuleWork* work = nullptr;
  size_t first_group = 0;
  size_t end_group = 0;
  std::vector<Frame> frames;
  bool is_damaged = false; // a unit could not be read, or cost too much
};

template <typename Do> void parallel_for(unsigned threads, size_t count, Do&& run) {
  std::atomic<size_t> next{0};
  auto work = [&] {
    // Relaxed: the counter only deals out distinct numbers; joining the threads publishes what they wrote.
    for (size_t i = next.fetch_add(1, std::memory_order_relaxed); i < count;
         i = next.fetch_add(1, std::memory_order_relaxed)) {
      // A garbled file may ask for more memory than there is: it then has no symbols, the report still comes.
      try {
        run(i);
      } catch (const std::bad_alloc&) {
      } catch (const std::length_error&) {
      }
    }
  };
  std::vector<std::jthread> helpers;
  for (size_t i = 1; i < threads && i < count; ++i)
    helpers.emplace_back(work);
  work();
}

std::string hex_offset(std::string_view module, uint64_t address) {
  char digits[16];
  auto end = std::to_chars(digits, digits + sizeof digits, address, 16).ptr;
  return std::string(module) + "+0x" + std::string(digits, end);
}

} // namespace

class Symbolizer::Impl {
 public:
  explicit Impl(Options options) : options_(std::move(options)), demangler_(pool_) {
    if (options_.cache_dir.empty())
      options_.cache_dir = default_cache_directory();
    if (options_.cache_dir.empty())
      options_.use_cache = false;
    if (options_.threads == 0)
      options_.threads = std::max(1u, std::thread::hardware_concurrency());
    while (options_.sysroot.ends_with('/'))
      options_.sysroot.pop_back();
    search_.sysroot = options_.sysroot;
    search_.debug_dirs = options_.debug_dirs;
  }

  ModuleId add_module(ModuleInfo info);
  SymbolizedFrames symbolize(std::span<const AddressQuery> queries);

  struct Module {
    ModuleInfo info;
    ModuleFiles files;
    DwarfUnitMap unit_map;
    bool is_open = false;
  };
  const Module* module(ModuleId id) const {
    size_t index = static_cast<size_t>(id);
    return index < modules_.size() ? modules_[index].get() : nullptr;
  }
  StringPool& pool() { return pool_; }

 private:
  // Keeps queries apart by what they ask, whatever order they came in.
  struct Key {
    uint32_t module;
    uint64_t lookup_address;
    bool is_return_address;
    uint32_t query;
    bool operator<(const Key& other) const {
      if (module != other.module)
        return module < other.module;
      if (lookup_address != other.lookup_address)
        return lookup_address < other.lookup_address;
      return is_return_address < other.is_return_address;
    }
    bool same_question(const Key& other) const { return !(*this < other) && !(other < *this); }
  };

  void prepare(ModuleWork& work);
  void run_dwarf(DwarfTask& task);
  void finish(ModuleWork& work);
  void add_symbol_name(const Module& module, const Slot& slot, Frame& frame);
  void name_outermost(const Module& module, const Slot& slot, Frame& frame);
  std::vector<DwarfTask> make_tasks(std::vector<ModuleWork>& works) const;
  static uint64_t budget_bytes(const DwarfFile& file) {
    return file.total_bytes() * kBudgetPasses + kBudgetBaseBytes;
  }

  Options options_;
  FileSearch search_;
  StringPool pool_;
  Demangler demangler_;
  std::vector<std::unique_ptr<Module>> modules_;
  std::map<std::pair<std::string, std::vector<uint8_t>>, ModuleId> ids_;
};

ModuleId Symbolizer::Impl::add_module(ModuleInfo info) {
  ModuleId fresh{static_cast<uint32_t>(modules_.size())};
  auto [slot, is_new] = ids_.try_emplace({info.path, info.build_id}, fresh);
  if (is_new) {
    modules_.push_back(std::make_unique<Module>());
    modules_.back()->info = std::move(info);
  }
  return slot->second;
}

void Symbolizer::Impl::prepare(ModuleWork& work) {
  if (work.module >= modules_.size())
    return;
  Module& module = *modules_[work.module];
  ModuleFiles& files = module.files;
  if (!module.is_open) {
    module.is_open = true;
    files = open_module_files(module.info, search_);
    if (files.dwarf != nullptr) {
      WorkBudget budget(budget_bytes(*files.dwarf));
      DwarfReader reader(budget);
      module.unit_map.build(reader, *files.dwarf);
    }
  }
  if (files.dwarf == nullptr)
    return;
  if (options_.use_cache && !files.build_id.empty()) {
    work.cache.emplace(options_.cache_dir, files.build_id, files.fingerprint(), pool_);
  }
  WorkBudget budget(budget_bytes(*files.dwarf));
  DwarfReader reader(budget);
  std::unordered_map<uint32_t, size_t> group_of;
  for (size_t i = 0; i < work.slots.size(); ++i) {
    Slot& slot = work.slots[i];
    if (work.cache) {
      std::vector<Frame> known = work.cache->find(slot.lookup_address);
      if (!known.empty()) {
        slot.frames = &work.own_frames;
        slot.first = static_cast<uint32_t>(work.own_frames.size());
        slot.count = static_cast<uint32_t>(known.size());
        work.own_frames.insert(work.own_frames.end(), known.begin(), known.end());
        continue;
      }
    }
    int64_t unit = module.unit_map.find(reader, *files.dwarf, slot.lookup_address);
    if (unit < 0)
      continue;
    auto [place, is_new] = group_of.try_emplace(static_cast<uint32_t>(unit), work.groups.size());
    if (is_new)
      work.groups.push_back({static_cast<uint32_t>(unit), {}});
    work.groups[place->second].slots.push_back(static_cast<uint32_t>(i));
  }
}

std::vector<DwarfTask> Symbolizer::Impl::make_tasks(std::vector<ModuleWork>& works) const {
  std::vector<DwarfTask> tasks;
  for (ModuleWork& work : works) {
    size_t addresses = 0;
    size_t first = 0;
    for (size_t i = 0; i < work.groups.size(); ++i) {
      addresses += work.groups[i].slots.size();
      if (addresses >= kAddressesPerTask || i + 1 == work.groups.size()) {
        DwarfTask task;
        task.work = &work;
        task.first_group = first;
        task.end_group = i + 1;
        tasks.push_back(std::move(task));
        first = i + 1;
        addresses = 0;
      }
    }
  }
  return tasks;
}

void Symbolizer::Impl::run_dwarf(DwarfTask& task) {
  const Module& module = *modules_[task.work->module];
  const DwarfFile& file = *module.files.dwarf;
  WorkBudget budget(budget_bytes(file));
  DwarfResolver resolver(file, pool_, demangler_, budget);
  for (size_t g = task.first_group; g < task.end_group && !budget.exhausted(); ++g) {
    const UnitGroup& group = task.work->groups[g];
    if (!resolver.enter_unit(file.units[group.unit])) {
      task.is_damaged = true;
      continue;
    }
    for (uint32_t index : group.slots) {
      Slot& slot = task.work->slots[index];
      size_t first = task.frames.size();
      resolver.append_frames(slot.lookup_address, task.frames);
      if (task.frames.size() == first)
        continue;
      name_outermost(module, slot, task.frames.back());
      slot.frames = &task.frames;
      slot.first = static_cast<uint32_t>(first);
      slot.count = static_cast<uint32_t>(task.frames.size() - first);
    }
  }
  if (budget.exhausted())
    task.is_damaged = true;
}

// The function itself (not what was inlined into it) has a symbol, which helps where DWARF gave no name, only
// an unqualified one of a mangled function, or an internal one of a public C function (_IO_new_fopen is
// fopen).
void Symbolizer::Impl::name_outermost(const Module& module, const Slot& slot, Frame& frame) {
  if (frame.function == StringId::kEmpty) {
    add_symbol_name(module, slot, frame);
    return;
  }
  if (pool_.text(frame.linkage_name).starts_with("_Z"))
    return;
  const Symbol* symbol = module.files.symbols.find(slot.lookup_address);
  if (symbol == nullptr || symbol->origin == SymbolOrigin::kPlt)
    return;
  bool is_mangled = symbol->name.starts_with("_Z");
  bool is_more_public = leading_underscores(symbol->name) < leading_underscores(pool_.text(frame.function));
  if (!is_mangled && !is_more_public)
    return;
  NameSource source = frame.source;
  frame.linkage_name = StringId::kEmpty;
  add_symbol_name(module, slot, frame);
  frame.source = source;
}

void Symbolizer::Impl::add_symbol_name(const Module& module, const Slot& slot, Frame& frame) {
  const Symbol* symbol = module.files.symbols.find(slot.lookup_address);
  if (symbol == nullptr) {
    uint64_t shown = slot.lookup_address + (slot.is_return_address ? 1 : 0);
    std::string_view name = module_base_name(module.info.path);
    frame.function = pool_.intern(hex_offset(name.empty() ? "?" : name, shown));
    frame.source = NameSource::kModuleOffset;
    return;
  }
  std::string_view linkage_name = symbol->name;
  StringId linkage = pool_.intern(linkage_name);
  frame.function = demangler_.demangled(linkage, linkage);
  switch (symbol->origin) {
  case SymbolOrigin::kSymtab:
    frame.source = NameSource::kSymbolTable;
    break;
  case SymbolOrigin::kExported:
    frame.source = NameSource::kExported;
    break;
  case SymbolOrigin::kPlt:
    frame.source = NameSource::kPlt;
    frame.function = pool_.intern(std::string(pool_.text(frame.function)) + "@plt");
    return;
  }
  if (linkage != frame.function)
    frame.linkage_name = linkage;
}

void Symbolizer::Impl::finish(ModuleWork& work) {
  static const Module kUnknownModule{};
  const Module& module = work.module < modules_.size() ? *modules_[work.module] : kUnknownModule;
  for (Slot& slot : work.slots) {
    bool is_new = slot.frames != &work.own_frames;
    if (slot.frames == nullptr) {
      Frame frame;
      add_symbol_name(module, slot, frame);
      slot.frames = &work.own_frames;
      slot.first = static_cast<uint32_t>(work.own_frames.size());
      slot.count = 1;
      work.own_frames.push_back(frame);
    }
    std::span<const Frame> frames{slot.frames->data() + slot.first, slot.count};
    // "module+offset" names the module by its path, which the next trace of the same build may not share.
    if (work.cache && is_new && frames.back().source != NameSource::kModuleOffset) {
      work.cache->add(slot.lookup_address, frames);
    }
  }
  if (work.cache)
    work.cache->save();
}

SymbolizedFrames Symbolizer::Impl::symbolize(std::span<const AddressQuery> queries) {
  std::vector<Key> keys;
  keys.reserve(queries.size());
  for (size_t i = 0; i < queries.size(); ++i) {
    const AddressQuery& query = queries[i];
    bool is_return = query.is_return_address && query.address != 0;
    keys.push_back({static_cast<uint32_t>(query.module), query.address - (is_return ? 1 : 0), is_return,
                    static_cast<uint32_t>(i)});
  }
  std::sort(keys.begin(), keys.end());

  std::vector<ModuleWork> works;
  for (size_t i = 0; i < keys.size(); ++i) {
    bool is_new_module = i == 0 || keys[i].module != keys[i - 1].module;
    if (is_new_module)
      works.emplace_back().module = keys[i].module;
    if (is_new_module || !keys[i].same_question(keys[i - 1])) {
      Slot slot{};
      slot.lookup_address = keys[i].lookup_address;
      slot.is_return_address = keys[i].is_return_address;
      works.back().slots.push_back(slot);
    }
  }
  parallel_for(options_.threads, works.size(), [&](size_t i) { prepare(works[i]); });
  std::vector<DwarfTask> tasks = make_tasks(works);
  parallel_for(options_.threads, tasks.size(), [&](size_t i) { run_dwarf(tasks[i]); });
  parallel_for(options_.threads, works.size(), [&](size_t i) { finish(works[i]); });

  SymbolizedFrames result;
  result.extents_.resize(queries.size());
  size_t key = 0;
  const std::vector<Frame> no_answer(1);
  for (const DwarfTask& task : tasks) {
    if (task.is_damaged)
      modules_[task.work->module]->files.state.debug_damaged = true;
  }
  for (ModuleWork& work : works) {
    for (Slot& slot : work.slots) {
      // Only where memory ran out in the last step.
      if (slot.frames == nullptr) {
        slot.frames = &no_answer;
        slot.count = 1;
      }
      SymbolizedFrames::Extent extent{static_cast<uint32_t>(result.frames_.size()), slot.count};
      auto first = slot.frames->begin() + slot.first;
      result.frames_.insert(result.frames_.end(), first, first + slot.count);
      const Key& question = keys[key];
      for (; key < keys.size() && keys[key].same_question(question); ++key) {
        result.extents_[keys[key].query] = extent;
      }
    }
  }
  return result;
}

Symbolizer::Symbolizer(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Symbolizer::~Symbolizer() = default;

ModuleId Symbolizer::add_module(ModuleInfo info) {
  return impl_->add_module(std::move(info));
}

SymbolizedFrames Symbolizer::symbolize(std::span<const AddressQuery> queries) {
  return impl_->symbolize(queries);
}

const ModuleState& Symbolizer::module_state(ModuleId module) const {
  static const ModuleState kNothing;
  const Impl::Module* found = impl_->module(module);
  return found != nullptr ? found->files.state : kNothing;
}

const ModuleInfo& Symbolizer::module_info(ModuleId module) const {
  static const ModuleInfo kNothing;
  const Impl::Module* found = impl_->module(module);
  return found != nullptr ? found->info : kNothing;
}

std::string_view Symbolizer::text(StringId id) const {
  return impl_->pool().text(id);
}
StringId Symbolizer::intern(std::string_view text) {
  return impl_->pool().intern(text);
}

std::string_view describe(ModuleStatus status) {
  switch (status) {
  case ModuleStatus::kNotLoaded:
    return "not looked at";
  case ModuleStatus::kDebugInfo:
    return "debug information";
  case ModuleStatus::kSymbolTable:
    return "no debug information, function names only";
  case ModuleStatus::kExportedOnly:
    return "stripped, names of exported functions only";
  case ModuleStatus::kNoSymbols:
    return "no symbols at all";
  case ModuleStatus::kBuildIdMismatch:
    return "the file on disk is a different build";
  case ModuleStatus::kUnreadable:
    return "the file is not a readable ELF file";
  case ModuleStatus::kMissingFile:
    return "file not found";
  case ModuleStatus::kPseudo:
    return "not a file";
  }
  return "unknown";
}

} // namespace hl
