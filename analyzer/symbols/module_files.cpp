// The search for a module's object, debug and dwz files, each verified before use.
#include "symbols/module_files.h"

#include <filesystem>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace hl {

namespace {

std::string directory_of(std::string_view path) {
  size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? "." : std::string(path.substr(0, slash));
}

// Code that never had a file: vdso, heap, JIT, memfd, mapped devices.
bool is_pseudo_path(std::string_view path) {
  if (path.starts_with("/dev/shm/"))
    return false;
  return !path.starts_with('/') || path.starts_with("/memfd:") || path.starts_with("/dev/") ||
         path.starts_with("/SYSV") || path.starts_with("/anon_hugepage");
}

// DIR/.build-id/xx/yyyy + suffix; "" for an id too short to be one.
std::string build_id_path(const std::string& directory, const std::vector<uint8_t>& build_id,
                          std::string_view suffix) {
  if (build_id.size() < 2)
    return {};
  std::string text = build_id_text(build_id);
  return directory + "/.build-id/" + text.substr(0, 2) + "/" + text.substr(2) + std::string(suffix);
}

bool has_debug_info(const ElfFile& elf) {
  return !elf.data(".debug_info").empty() && !elf.data(".debug_abbrev").empty();
}

bool is_same_file(const std::string& a, const std::string& b) {
  std::error_code ignored;
  return a == b || std::filesystem::equivalent(a, b, ignored);
}

std::vector<std::string> all_debug_dirs(const FileSearch& search) {
  std::vector<std::string> dirs = search.debug_dirs;
  if (!search.sysroot.empty())
    dirs.push_back(search.sysroot + search.system_debug_dir);
  // This machine's own may serve another machine's trace too: by build-id nothing can be mistaken.
  dirs.push_back(search.system_debug_dir);
  return dirs;
}

// Remembers why nothing was usable: a wrong build says more than an unreadable file, and that more than none.
void note_rejected(ModuleState& state, ModuleStatus status, const std::string& path) {
  if (status < state.status || state.status == ModuleStatus::kNotLoaded) {
    state.status = status;
    state.object_path = status == ModuleStatus::kMissingFile ? "" : path;
  }
}

std::unique_ptr<ElfFile> open_verified(const std::string& path, const std::vector<uint8_t>& build_id,
                                       ModuleState& state) {
  if (path.empty())
    return nullptr;
  ElfError error = ElfError::kNone;
  std::unique_ptr<ElfFile> file = ElfFile::open(path, error);
  if (file == nullptr) {
    note_rejected(state, error == ElfError::kMissing ? ModuleStatus::kMissingFile : ModuleStatus::kUnreadable,
                  path);
  } else if (!build_id.empty() && file->build_id() != build_id) {
    note_rejected(state, ModuleStatus::kBuildIdMismatch, path);
    file.reset();
  }
  return file;
}

std::unique_ptr<ElfFile> find_object(const std::string& path, const std::vector<uint8_t>& build_id,
                                     const FileSearch& search, ModuleState& state) {
  std::unique_ptr<ElfFile> file = open_verified(search.sysroot + path, build_id, state);
  for (const std::string& dir : search.debug_dirs) {
    if (file == nullptr)
      file = open_verified(dir + path, build_id, state);
  }
  // What follows is found by a name that other modules may share: only a build-id makes it safe.
  if (build_id.empty())
    return file;
  ModuleState ignored;
  for (const std::string& dir : search.debug_dirs) {
    if (file == nullptr)
      file = open_verified(dir + "/" + std::string(module_base_name(path)), build_id, ignored);
  }
  for (const std::string& dir : all_debug_dirs(search)) {
    if (file == nullptr)
      file = open_verified(build_id_path(dir, build_id, ""), build_id, ignored);
  }
  if (file == nullptr && !search.sysroot.empty())
    file = open_verified(path, build_id, ignored);
  return file;
}

std::unique_ptr<ElfFile> find_by_build_id(const std::vector<uint8_t>& build_id, const FileSearch& search) {
  if (build_id.empty())
    return nullptr;
  ModuleState ignored;
  for (const std::string& dir : all_debug_dirs(search)) {
    auto file = open_verified(build_id_path(dir, build_id, ".debug"), build_id, ignored);
    if (file != nullptr)
      return file;
  }
  return nullptr;
}

std::unique_ptr<ElfFile> find_by_debug_link(const ElfFile& object, const std::string& module_path,
                                            const FileSearch& search) {
  DebugLink link = object.debug_link();
  if (link.file_name.empty())
    return nullptr;
  std::string object_dir = directory_of(object.path());
  std::vector<std::string> candidates = {object_dir + "/" + link.file_name,
                                         object_dir + "/.debug/" + link.file_name};
  for (const std::string& dir : all_debug_dirs(search)) {
    candidates.push_back(dir + directory_of(module_path) + "/" + link.file_name);
  }
  for (const std::string& dir : search.debug_dirs)
    candidates.push_back(dir + "/" + link.file_name);
  for (const std::string& path : candidates) {
    if (is_same_file(path, object.path()))
      continue;
    ElfError error = ElfError::kNone;
    auto file = ElfFile::open(path, error);
    if (file == nullptr)
      continue;
    bool both_have_ids = !object.build_id().empty() && !file->build_id().empty();
    bool is_right = both_have_ids ? object.build_id() == file->build_id() : file->crc32() == link.crc;
    if (is_right)
      return file;
  }
  return nullptr;
}

std::unique_ptr<ElfFile> find_unstripped(const std::string& module_path, const std::vector<uint8_t>& build_id,
                                         const FileSearch& search) {
  if (build_id.empty())
    return nullptr;
  ModuleState ignored;
  std::string name = "/" + std::string(module_base_name(module_path));
  for (const std::string& dir : search.debug_dirs) {
    for (const std::string& path :
         {dir + module_path, dir + module_path + ".debug", dir + name, dir + name + ".debug"}) {
      auto file = open_verified(path, build_id, ignored);
      if (file != nullptr && has_debug_info(*file))
        return file;
    }
  }
  return nullptr;
}

std::unique_ptr<ElfFile> find_alternate(const ElfFile& debug, const FileSearch& search) {
  AltDebugLink link = debug.alt_debug_link();
  if (link.file_name.empty() || link.build_id.empty())
    return nullptr;
  if (auto file = find_by_build_id(link.build_id, search))
    return file;
  std::vector<std::string> candidates;
  if (link.file_name.starts_with('/')) {
    candidates = {search.sysroot + link.file_name, link.file_name};
    if (link.file_name.starts_with(search.system_debug_dir + "/")) {
      for (const std::string& dir : search.debug_dirs) {
        candidates.push_back(dir + link.file_name.substr(search.system_debug_dir.size()));
      }
    }
  } else {
    // Relative to where the debug file really is, not to a .build-id symlink that led there.
    std::error_code ignored;
    std::string real = std::filesystem::canonical(debug.path(), ignored).string();
    candidates = {directory_of(real.empty() ? debug.path() : real) + "/" + link.file_name};
  }
  ModuleState ignored_state;
  for (const std::string& path : candidates) {
    if (auto file = open_verified(path, link.build_id, ignored_state))
      return file;
  }
  return nullptr;
}

void load_dwarf(ModuleFiles& files, const FileSearch& search) {
  const ElfFile* source = files.debug != nullptr ? files.debug.get() : files.object.get();
  if (source == nullptr)
    return;
  const ElfFile& code_owner = files.object != nullptr ? *files.object : *source;
  files.dwarf = DwarfFile::load(*source, code_owner.code_ranges());
  if (files.dwarf == nullptr)
    return;
  files.alternate = find_alternate(*source, search);
  if (files.alternate != nullptr) {
    files.alternate_dwarf = DwarfFile::load(*files.alternate, {});
    files.dwarf->alternate = files.alternate_dwarf.get();
  }
  bool misses_alternate = source->find(".gnu_debugaltlink") != nullptr && files.alternate_dwarf == nullptr;
  files.state.debug_damaged = files.dwarf->damaged || misses_alternate;
  if (files.dwarf->units.empty()) {
    files.state.debug_damaged = true;
    files.dwarf.reset();
  } else {
    files.state.debug_path = source->path();
  }
}

} // namespace

ModuleFiles open_module_files(const ModuleInfo& info, const FileSearch& search) {
  ModuleFiles files;
  std::string path(cleaned_module_path(info.path));
  if (is_pseudo_path(path)) {
    files.state.status = ModuleStatus::kPseudo;
    return files;
  }
  ModuleState rejected;
  files.object = find_object(path, info.build_id, search, rejected);
  files.build_id = info.build_id;
  if (files.build_id.empty() && files.object != nullptr)
    files.build_id = files.object->build_id();

  if (files.object == nullptr || !has_debug_info(*files.object)) {
    files.debug = find_by_build_id(files.build_id, search);
    if (files.debug == nullptr && files.object != nullptr) {
      files.debug = find_by_debug_link(*files.object, path, search);
    }
    if (files.debug == nullptr)
      files.debug = find_unstripped(path, files.build_id, search);
  }
  if (files.object == nullptr && files.debug == nullptr) {
    files.state = rejected;
    return files;
  }
  if (files.object != nullptr)
    files.state.object_path = files.object->path();
  files.state.verified = !info.build_id.empty();
  files.symbols.load(files.object.get(), files.debug.get());
  load_dwarf(files, search);
  if (files.dwarf != nullptr) {
    files.state.status = ModuleStatus::kDebugInfo;
  } else if (files.symbols.has_symtab()) {
    files.state.status = ModuleStatus::kSymbolTable;
  } else if (!files.symbols.empty()) {
    files.state.status = ModuleStatus::kExportedOnly;
  } else {
    files.state.status = ModuleStatus::kNoSymbols;
  }
  return files;
}

uint64_t ModuleFiles::fingerprint() const {
  std::string identity;
  for (const ElfFile* file : {object.get(), debug.get(), alternate.get()}) {
    if (file == nullptr)
      continue;
    identity += file->path() + '\n' + std::to_string(file->file_bytes()) + ' ' +
                std::to_string(file->modified_ns()) + '\n';
  }
  return XXH3_64bits(identity.data(), identity.size());
}

std::string_view cleaned_module_path(std::string_view path) {
  constexpr std::string_view kDeleted = " (deleted)";
  if (path.ends_with(kDeleted))
    path.remove_suffix(kDeleted.size());
  return path;
}

std::string_view module_base_name(std::string_view path) {
  path = cleaned_module_path(path);
  size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string build_id_text(const std::vector<uint8_t>& build_id) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (uint8_t byte : build_id) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

} // namespace hl
