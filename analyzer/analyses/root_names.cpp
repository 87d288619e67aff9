// See root_names.h.
#include "analyses/root_names.h"

namespace hl {

RootNames::RootNames(const Trace& trace, const SymbolizerOptions& options) : trace_(trace) {
  search_.sysroot = options.sysroot;
  search_.debug_dirs = options.debug_dirs;
}
RootNames::~RootNames() = default;

const std::string& RootNames::name(const LeakScan::Root& root) {
  const bool by_address = root.kind == RootKind::global;
  const uint64_t key = by_address
                           ? root.address
                           : (uint64_t{1} << 63 | uint64_t{static_cast<uint8_t>(root.kind)} << 32 | root.tid);
  const auto [known, fresh] = names_.try_emplace(key);
  if (fresh)
    known->second = describe(root);
  return known->second;
}

std::string RootNames::of_thread(const char* what, uint32_t tid) const {
  std::string text = std::string(what) + " of thread " + std::to_string(tid);
  for (const ThreadSummary& thread : trace_.metadata().threads)
    if (thread.tid == tid && !thread.name.empty())
      return text + " (" + thread.name + ")";
  return tid == trace_.metadata().header.pid ? std::string(what) + " of the main thread" : text;
}

std::string RootNames::describe(const LeakScan::Root& root) {
  switch (root.kind) {
  case RootKind::reg:
    return of_thread("a register", root.tid);
  case RootKind::stack:
    return of_thread("the stack", root.tid);
  case RootKind::tls:
    return of_thread("thread-local memory", root.tid);
  case RootKind::global:
    return describe_global(root.address);
  case RootKind::mapping:
    return "memory the program mapped itself";
  case RootKind::loader_block:
    return "the loader";
  case RootKind::unknown:
    break;
  }
  return "something";
}

std::string RootNames::describe_global(uint64_t address) {
  for (const TraceModule& module : trace_.modules().all()) {
    if (module.id == 0 || address < module.start || address >= module.end || module.unloaded_ticks != 0)
      continue;
    auto& symbols = symbols_[module.id];
    if (symbols == nullptr)
      symbols = std::make_unique<DataSymbols>(ModuleInfo{module.path, module.build_id}, search_);
    const std::string variable = symbols->name_at(address - module.load_bias);
    // An offset within a variable is of no use to a reader who asks what holds a block.
    const std::string file(module_base_name(module.path));
    if (variable.empty())
      return "a global of " + file;
    const size_t offset = variable.find_last_not_of("0123456789");
    const bool has_offset =
        offset != std::string::npos && variable[offset] == '+' && offset + 1 != variable.size();
    return "the global `" + variable.substr(0, has_offset ? offset : std::string::npos) + "`" +
           (module.is_main ? "" : " of " + file);
  }
  return "memory of no known module";
}

} // namespace hl
