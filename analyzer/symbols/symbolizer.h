// The public face of symbolization: (module, address in the module's ELF file) -> frames with inlines.
//
// Offline and batch-wise: the analyzer collects every distinct (module, address) of a report, asks once,
// and gets flat arrays of small frames whose texts are interned, so memory grows with distinct names and
// never with stacks. Modules are worked on in parallel; results of modules with debug information are kept
// in a cache by build-id. Which files may speak for a module is decided in module_files.h: a file whose
// build-id differs from the recorded one is never used. Nothing here may log, throw at a caller for bad
// input, or run inside a recorded program; every ELF or DWARF byte is treated as hostile.
//
//   hl::Symbolizer symbolizer({.sysroot = "/mnt/target", .debug_dirs = {"/srv/debug"}});
//   hl::ModuleId module = symbolizer.add_module({.path = "/usr/bin/git", .build_id = {...}});
//   hl::SymbolizedFrames result = symbolizer.symbolize(queries);   // result[i] answers queries[i]
//   for (const hl::Frame& frame : result[0]) puts(symbolizer.c_str(frame.function));   // innermost first
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hl {

// An interned text of one Symbolizer. Equal ids <=> equal texts. Id 0 is the empty text.
enum class StringId : uint32_t { kEmpty = 0 };

enum class ModuleId : uint32_t {};

// What the trace recorded about a module instance.
struct ModuleInfo {
  std::string path;              // as the traced process saw it; a trailing " (deleted)" is ignored
  std::vector<uint8_t> build_id; // empty: none was recorded, so the file on disk cannot be verified
};

// How good the answers for a module can be, and if poor, why. Ordered from best to worst.
enum class ModuleStatus : uint8_t {
  kNotLoaded,       // no address of it has been asked for yet
  kDebugInfo,       // DWARF: functions, inlined frames, files and lines
  kSymbolTable,     // no debug information; names from .symtab
  kExportedOnly,    // no debug information, stripped; names of exported functions from .dynsym alone
  kNoSymbols,       // a readable ELF file that names nothing
  kBuildIdMismatch, // a file is there, but it is another build: not used
  kUnreadable,      // the file is there but is no ELF file we can read (or permission is missing)
  kMissingFile,     // nothing found on disk
  kPseudo,          // never a file: [vdso], [heap], anonymous code
};

// One line of plain English for reports, e.g. "the file on disk is a different build".
std::string_view describe(ModuleStatus status);

struct ModuleState {
  ModuleStatus status = ModuleStatus::kNotLoaded;
  bool verified = false;      // a build-id was recorded and every file used carries it
  bool debug_damaged = false; // debug information was found but parts of it could not be read
  std::string object_path;    // the file used for symbols ("" if none); of a mismatch: the rejected file
  std::string debug_path;     // the file whose DWARF is used ("" if none; may equal object_path)
};

// Where a frame's function name comes from.
enum class NameSource : uint8_t {
  kDebugInfo,    // DWARF
  kSymbolTable,  // .symtab
  kExported,     // .dynsym
  kPlt,          // a PLT entry, named `callee@plt`
  kModuleOffset, // nothing known: function is "module+0x1234"
};

struct Frame {
  StringId function = StringId::kEmpty;     // demangled, never empty in a result
  StringId linkage_name = StringId::kEmpty; // as the linker knows it; empty if there is none
  StringId file = StringId::kEmpty;         // absolute where the debug information allows it; empty: unknown
  uint32_t line = 0;                        // 0: unknown
  uint32_t column = 0;                      // 0: unknown
  bool inlined = false;                     // this frame was inlined into the next one
  NameSource source = NameSource::kModuleOffset;

  friend bool operator==(const Frame&, const Frame&) = default;
};

// One address to look up.
struct AddressQuery {
  ModuleId module{};
  uint64_t address = 0;          // ELF virtual address: pc - load bias of the module instance
  bool is_return_address = true; // look up address - 1: the call, not what follows it
};

// The answers to a batch, in the order of its queries. Equal queries share their frames.
class SymbolizedFrames {
 public:
  // Frames of query `index`, innermost first; never empty.
  std::span<const Frame> operator[](size_t index) const {
    const Extent& extent = extents_[index];
    return {frames_.data() + extent.first, extent.count};
  }
  size_t size() const { return extents_.size(); }

 private:
  friend class Symbolizer;
  struct Extent {
    uint32_t first;
    uint32_t count;
  };
  std::vector<Frame> frames_;
  std::vector<Extent> extents_;
};

struct SymbolizerOptions {
  std::string sysroot; // prefix for the paths in a trace; "" = this machine
  std::vector<std::string>
      debug_dirs;        // searched first, in order; may hold .build-id/ trees, path trees or files
  std::string cache_dir; // "" = $XDG_CACHE_HOME/heapledger or ~/.cache/heapledger
  bool use_cache = true;
  unsigned threads = 0; // 0 = as many as there are processors
};

// Not thread-safe from outside: one caller at a time. It uses threads of its own inside symbolize().
class Symbolizer {
 public:
  using Options = SymbolizerOptions;

  explicit Symbolizer(Options options);
  ~Symbolizer();
  Symbolizer(const Symbolizer&) = delete;
  Symbolizer& operator=(const Symbolizer&) = delete;

  // Adding an equal module again returns the same id. Opens nothing yet.
  ModuleId add_module(ModuleInfo info);

  // Answers every query; an unknown ModuleId yields an "?+0xaddress" frame.
  SymbolizedFrames symbolize(std::span<const AddressQuery> queries);

  // What symbolize() found out about a module so far.
  const ModuleState& module_state(ModuleId module) const;
  const ModuleInfo& module_info(ModuleId module) const;

  // Texts live as long as the Symbolizer and are NUL-terminated.
  std::string_view text(StringId id) const;
  const char* c_str(StringId id) const { return text(id).data(); }
  // Interns a text of the caller's, so that ids of one kind can be compared.
  StringId intern(std::string_view text);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace hl
