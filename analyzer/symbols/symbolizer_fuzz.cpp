// libFuzzer entry: the input is a module's ELF file; every address must get an answer, whatever the bytes
// are. Seeds: tests/fuzz/corpus/symbolizer, one small library compiled in several ways.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "symbols/elf_file.h"
#include "symbols/symbolizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  int fd = memfd_create("module", MFD_CLOEXEC);
  if (fd < 0 || write(fd, data, size) != static_cast<ssize_t>(size))
    std::abort();
  std::string path = "/proc/self/fd/" + std::to_string(fd);

  hl::SymbolizerOptions options;
  options.use_cache = false;
  options.threads = 1;
  hl::Symbolizer symbolizer(options);
  hl::ModuleId module = symbolizer.add_module({path, {}});
  std::vector<hl::AddressQuery> queries = {
      {module, 0, true}, {module, 0x1000, true}, {module, UINT64_MAX, true}};
  hl::ElfError error{};
  if (auto file = hl::ElfFile::open(path, error)) {
    for (const hl::CodeRange& range : file->code_ranges()) {
      uint64_t step = (range.end - range.begin) / 16 + 1;
      for (uint64_t i = 0; i < 16 && queries.size() < 256; ++i) {
        queries.push_back({module, range.begin + i * step, false});
      }
    }
  }
  hl::SymbolizedFrames frames = symbolizer.symbolize(queries);
  for (size_t i = 0; i < queries.size(); ++i) {
    if (frames[i].empty() || frames[i].back().inlined)
      std::abort();
    for (const hl::Frame& frame : frames[i]) {
      if (frame.function == hl::StringId::kEmpty)
        std::abort();
    }
  }
  close(fd);
  return 0;
}
