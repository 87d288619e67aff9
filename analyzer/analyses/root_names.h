// What holds a block, in words: the name of a global variable, a thread's stack, the loader.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "reader/leak_scan.h"
#include "symbols/data_symbols.h"
#include "symbols/symbolizer.h"

namespace hl {

class RootNames {
 public:
  RootNames(const Trace& trace, const SymbolizerOptions& options);
  ~RootNames();

  // "the global `cache`", "the stack of thread 4711 (worker)". Equal texts: the same thing for a reader.
  const std::string& name(const LeakScan::Root& root);

 private:
  std::string describe(const LeakScan::Root& root);
  std::string describe_global(uint64_t address);
  std::string of_thread(const char* what, uint32_t tid) const;

  const Trace& trace_;
  FileSearch search_;
  std::unordered_map<uint32_t, std::unique_ptr<DataSymbols>> symbols_; // by module
  std::unordered_map<uint64_t, std::string> names_;                    // by kind, thread or address
};

} // namespace hl
