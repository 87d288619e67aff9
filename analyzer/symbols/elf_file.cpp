// Parsing of ELF headers, notes and compressed sections from a read-only mapping.
#include "symbols/elf_file.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>

namespace hl {

namespace {

constexpr uint64_t kMaxSections = 1 << 20;
constexpr uint64_t kMaxBuildIdBytes = 64;
// Debug information compresses to a third or a fifth. A section that claims far more is a bomb, unless small.
constexpr uint64_t kMaxExpansion = 64;
constexpr uint64_t kHarmlessInflatedBytes = 16 << 20;

bool inflate_zlib(Bytes packed, std::vector<uint8_t>& out) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK)
    return false;
  // zlib counts in 32 bits: feed both sides in pieces.
  constexpr uint64_t kPiece = 1u << 30;
  uint64_t in = 0;
  uint64_t done = 0;
  int status = Z_OK;
  while (status == Z_OK && done < out.size()) {
    auto in_piece = static_cast<uInt>(std::min(kPiece, uint64_t{packed.size()} - in));
    auto out_piece = static_cast<uInt>(std::min(kPiece, uint64_t{out.size()} - done));
    stream.next_in = const_cast<Bytef*>(packed.data() + in);
    stream.avail_in = in_piece;
    stream.next_out = out.data() + done;
    stream.avail_out = out_piece;
    status = inflate(&stream, Z_NO_FLUSH);
    in += in_piece - stream.avail_in;
    done += out_piece - stream.avail_out;
    if (in_piece == stream.avail_in && out_piece == stream.avail_out)
      break;
  }
  inflateEnd(&stream);
  return done == out.size();
}

bool inflate_section(uint32_t method, Bytes packed, uint64_t size, std::vector<uint8_t>& out) {
  if (size > std::max(packed.size() * kMaxExpansion, kHarmlessInflatedBytes))
    return false;
  out.resize(size);
  if (method == ELFCOMPRESS_ZLIB)
    return inflate_zlib(packed, out);
  constexpr uint32_t kElfCompressZstd = 2;
  if (method != kElfCompressZstd)
    return false;
  size_t got = ZSTD_decompress(out.data(), out.size(), packed.data(), packed.size());
  return ZSTD_isError(got) == 0 && got == out.size();
}

void sort_and_join(std::vector<CodeRange>& ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const CodeRange& a, const CodeRange& b) { return a.begin < b.begin; });
  size_t kept = 0;
  for (const CodeRange& range : ranges) {
    if (kept != 0 && range.begin <= ranges[kept - 1].end) {
      ranges[kept - 1].end = std::max(ranges[kept - 1].end, range.end);
    } else {
      ranges[kept++] = range;
    }
  }
  ranges.resize(kept);
}

} // namespace

std::unique_ptr<ElfFile> ElfFile::open(const std::string& path, ElfError& error) {
  // O_NONBLOCK: a path from a trace may by now be a FIFO or a device; it must not hang us.
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    error = errno == ENOENT || errno == ENOTDIR ? ElfError::kMissing : ElfError::kUnreadable;
    return nullptr;
  }
  struct stat status {};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(fd);
    error = ElfError::kUnreadable;
    return nullptr;
  }
  auto size = static_cast<uint64_t>(status.st_size);
  void* mapping = size == 0 ? MAP_FAILED : mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  ::close(fd);
  if (mapping == MAP_FAILED) {
    error = size == 0 ? ElfError::kNotElf : ElfError::kUnreadable;
    return nullptr;
  }
  std::unique_ptr<ElfFile> file(new ElfFile);
  file->path_ = path;
  file->file_ = Bytes{static_cast<const uint8_t*>(mapping), size};
  file->modified_ns_ = int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  if (!file->parse()) {
    error = ElfError::kNotElf;
    return nullptr;
  }
  error = ElfError::kNone;
  return file;
}

ElfFile::~ElfFile() {
  if (!file_.empty())
    munmap(const_cast<uint8_t*>(file_.data()), file_.size());
}

bool ElfFile::parse() {
  ByteCursor header(file_);
  Bytes ident = header.bytes(EI_NIDENT);
  if (ident.empty() || std::memcmp(ident.data(), ELFMAG, SELFMAG) != 0)
    return false;
  if (ident[EI_DATA] != ELFDATA2LSB)
    return false;
  if (ident[EI_CLASS] != ELFCLASS64 && ident[EI_CLASS] != ELFCLASS32)
    return false;
  is_64bit_ = ident[EI_CLASS] == ELFCLASS64;
  unsigned word = is_64bit_ ? 8 : 4;
  header.skip(2); // e_type
  machine_ = header.u16();
  header.skip(4);    // e_version
  header.skip(word); // e_entry
  uint64_t segments_offset = header.unsigned_of(word);
  uint64_t sections_offset = header.unsigned_of(word);
  header.skip(4 + 2); // e_flags, e_ehsize
  uint16_t segment_size = header.u16();
  uint16_t segment_count = header.u16();
  uint16_t section_size = header.u16();
  uint64_t section_count = header.u16();
  uint32_t names_index = header.u16();
  if (header.failed())
    return false;

  if (sections_offset != 0 && section_size >= (is_64bit_ ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr))) {
    // Counts that do not fit in 16 bits are in section 0.
    if (section_count == 0 || names_index == SHN_XINDEX) {
      ByteCursor first(file_, sections_offset);
      first.skip(is_64bit_ ? offsetof(Elf64_Shdr, sh_size) : offsetof(Elf32_Shdr, sh_size));
      uint64_t extended_count = first.unsigned_of(word);
      uint32_t extended_names = first.u32();
      if (!first.failed()) {
        if (section_count == 0)
          section_count = extended_count;
        if (names_index == SHN_XINDEX)
          names_index = extended_names;
      }
    }
    parse_sections(sections_offset, section_size, section_count, names_index);
  }
  parse_segments(segments_offset, segment_size, segment_count);
  sort_and_join(code_ranges_);
  if (build_id_.empty()) {
    for (const ElfSection& section : sections_) {
      if (section.type == SHT_NOTE && build_id_.empty())
        scan_notes(raw_data(section));
    }
  }
  return true;
}

void ElfFile::parse_sections(uint64_t offset, uint64_t entry_size, uint64_t count, uint32_t names_index) {
  count = std::min({count, kMaxSections, file_.size() / entry_size});
  std::vector<uint32_t> name_offsets;
  for (uint64_t i = 0; i < count; ++i) {
    ByteCursor entry(file_, offset + i * entry_size);
    unsigned word = is_64bit_ ? 8 : 4;
    ElfSection section;
    uint32_t name_offset = entry.u32();
    section.type = entry.u32();
    section.flags = entry.unsigned_of(word);
    section.address = entry.unsigned_of(word);
    section.offset = entry.unsigned_of(word);
    section.size = entry.unsigned_of(word);
    section.link = entry.u32();
    section.info = entry.u32();
    entry.skip(word); // sh_addralign
    section.entry_size = entry.unsigned_of(word);
    if (entry.failed())
      break;
    name_offsets.push_back(name_offset);
    sections_.push_back(section);
  }
  Bytes names;
  if (names_index < sections_.size())
    names = raw_data(sections_[names_index]);
  for (size_t i = 0; i < sections_.size(); ++i) {
    ElfSection& section = sections_[i];
    section.name = c_string_at(names, name_offsets[i]);
    bool is_code = (section.flags & (SHF_ALLOC | SHF_EXECINSTR)) == (SHF_ALLOC | SHF_EXECINSTR);
    if (is_code && section.size != 0 && section.size <= UINT64_MAX - section.address) {
      code_ranges_.push_back({section.address, section.address + section.size});
    }
  }
}

void ElfFile::parse_segments(uint64_t offset, uint64_t entry_size, uint64_t count) {
  bool code_from_segments = code_ranges_.empty();
  for (uint64_t i = 0; i < count && offset != 0; ++i) {
    ByteCursor entry(file_, offset + i * entry_size);
    uint32_t type = entry.u32();
    uint32_t flags = is_64bit_ ? entry.u32() : 0;
    unsigned word = is_64bit_ ? 8 : 4;
    uint64_t file_offset = entry.unsigned_of(word);
    uint64_t address = entry.unsigned_of(word);
    entry.skip(word); // p_paddr
    uint64_t file_size = entry.unsigned_of(word);
    uint64_t memory_size = entry.unsigned_of(word);
    if (!is_64bit_)
      flags = entry.u32();
    if (entry.failed())
      break;
    if (type == PT_NOTE && build_id_.empty()) {
      ElfSection notes;
      notes.offset = file_offset;
      notes.size = file_size;
      scan_notes(raw_data(notes));
    }
    if (code_from_segments && type == PT_LOAD && (flags & PF_X) != 0 && memory_size <= UINT64_MAX - address) {
      code_ranges_.push_back({address, address + memory_size});
    }
  }
}

void ElfFile::scan_notes(Bytes notes) {
  ByteCursor cursor(notes);
  while (cursor.remaining() >= sizeof(Elf64_Nhdr)) {
    uint32_t name_size = cursor.u32();
    uint32_t data_size = cursor.u32();
    uint32_t type = cursor.u32();
    Bytes name = cursor.bytes(name_size);
    cursor.skip(std::min<uint64_t>(-name_size & 3u, cursor.remaining()));
    Bytes data = cursor.bytes(data_size);
    cursor.skip(std::min<uint64_t>(-data_size & 3u, cursor.remaining()));
    if (cursor.failed())
      return;
    if (type == NT_GNU_BUILD_ID && name.size() == 4 && std::memcmp(name.data(), "GNU", 4) == 0 &&
        !data.empty() && data.size() <= kMaxBuildIdBytes) {
      build_id_.assign(data.begin(), data.end());
      return;
    }
  }
}

const CodeRange* ElfFile::code_range_at(uint64_t address) const {
  auto after = std::upper_bound(code_ranges_.begin(), code_ranges_.end(), address,
                                [](uint64_t a, const CodeRange& range) { return a < range.begin; });
  return after != code_ranges_.begin() && address < std::prev(after)->end ? &*std::prev(after) : nullptr;
}

const ElfSection* ElfFile::find(std::string_view name) const {
  for (const ElfSection& section : sections_) {
    if (section.name == name)
      return &section;
  }
  return nullptr;
}

Bytes ElfFile::raw_data(const ElfSection& section) const {
  if (section.type == SHT_NOBITS || section.offset > file_.size())
    return {};
  // A truncated file keeps the part of the section that is there.
  return file_.subspan(section.offset, std::min(section.size, file_.size() - section.offset));
}

Bytes ElfFile::data(std::string_view name) const {
  const ElfSection* section = find(name);
  bool is_gnu_compressed = false;
  if (section == nullptr && name.starts_with(".debug_")) {
    section = find(".z" + std::string(name.substr(1)));
    is_gnu_compressed = section != nullptr;
  }
  if (section == nullptr)
    return {};
  Bytes raw = raw_data(*section);
  if (!is_gnu_compressed && (section->flags & SHF_COMPRESSED) == 0)
    return raw;

  std::lock_guard lock(inflated_mutex_);
  for (const auto& known : inflated_) {
    if (known->name == name)
      return known->bytes;
  }
  ByteCursor header(raw);
  uint32_t method = ELFCOMPRESS_ZLIB;
  uint64_t size = 0;
  if (is_gnu_compressed) {
    header.skip(4); // "ZLIB"
    for (int i = 0; i < 8; ++i)
      size = size << 8 | header.u8();
  } else {
    method = header.u32();
    if (is_64bit_)
      header.skip(4); // ch_reserved
    size = header.unsigned_of(is_64bit_ ? 8 : 4);
    header.skip(is_64bit_ ? 8 : 4); // ch_addralign
  }
  auto inflated = std::make_unique<Inflated>();
  inflated->name = name;
  if (header.failed() || !inflate_section(method, raw.subspan(header.position()), size, inflated->bytes)) {
    inflated->bytes.clear();
  }
  inflated_.push_back(std::move(inflated));
  return inflated_.back()->bytes;
}

DebugLink ElfFile::debug_link() const {
  const ElfSection* section = find(".gnu_debuglink");
  if (section == nullptr)
    return {};
  ByteCursor cursor(raw_data(*section));
  DebugLink link;
  link.file_name = cursor.c_string();
  cursor.skip(-cursor.position() & 3u);
  link.crc = cursor.u32();
  // The name is joined to trusted directories: it must not lead out of them.
  if (cursor.failed() || link.file_name.find('/') != std::string::npos)
    return {};
  return link;
}

AltDebugLink ElfFile::alt_debug_link() const {
  const ElfSection* section = find(".gnu_debugaltlink");
  if (section == nullptr)
    return {};
  ByteCursor cursor(raw_data(*section));
  AltDebugLink link;
  link.file_name = cursor.c_string();
  Bytes build_id = cursor.bytes(std::min(cursor.remaining(), kMaxBuildIdBytes));
  link.build_id.assign(build_id.begin(), build_id.end());
  if (cursor.failed())
    return {};
  return link;
}

uint32_t ElfFile::crc32() const {
  return static_cast<uint32_t>(crc32_z(::crc32(0, nullptr, 0), file_.data(), file_.size()));
}

} // namespace hl
