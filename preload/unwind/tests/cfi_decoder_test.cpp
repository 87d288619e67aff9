// Our reading of call frame information against binutils' (`readelf --debug-dump=frames-interp`), for every
// row of every function of large real objects, and against hand-made damaged input.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <elf.h>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

#include "unwind/cfi_decoder.h"

namespace {

// An ELF file laid out in memory as the loader would, but not relocated: .eh_frame needs no relocation.
struct Image {
  std::vector<uint8_t> memory;
  hl::CfiSection section;
  uint64_t base = 0;

  explicit Image(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
    if (bytes.size() < sizeof(Elf64_Ehdr))
      return;
    Elf64_Ehdr header;
    memcpy(&header, bytes.data(), sizeof header);
    std::vector<Elf64_Phdr> segments(header.e_phnum);
    memcpy(segments.data(), bytes.data() + header.e_phoff, segments.size() * sizeof(Elf64_Phdr));
    uint64_t low = ~uint64_t{0}, high = 0;
    for (const auto& p : segments) {
      if (p.p_type != PT_LOAD)
        continue;
      low = std::min<uint64_t>(low, p.p_vaddr);
      high = std::max<uint64_t>(high, p.p_vaddr + p.p_memsz);
    }
    memory.resize(high - low);
    base = reinterpret_cast<uint64_t>(memory.data()) - low;
    for (const auto& p : segments) {
      if (p.p_type == PT_LOAD)
        memcpy(reinterpret_cast<void*>(base + p.p_vaddr), bytes.data() + p.p_offset, p.p_filesz);
      if (p.p_type == PT_GNU_EH_FRAME)
        section.eh_frame_hdr = base + p.p_vaddr;
    }
    for (const auto& p : segments) {
      const uint64_t start = base + p.p_vaddr;
      if (p.p_type == PT_LOAD && section.eh_frame_hdr >= start && section.eh_frame_hdr < start + p.p_filesz) {
        section.segment_start = start;
        section.segment_end = start + p.p_filesz;
      }
    }
  }
};

const std::map<std::string, unsigned> kColumns = {
    {"rax", 0},  {"rdx", 1},  {"rcx", 2},  {"rbx", 3},  {"rsi", 4},  {"rdi", 5},
    {"rbp", 6},  {"rsp", 7},  {"r8", 8},   {"r9", 9},   {"r10", 10}, {"r11", 11},
    {"r12", 12}, {"r13", 13}, {"r14", 14}, {"r15", 15}, {"ra", 16}};

// One of readelf's cells ("c-8", "u", "exp", "rsp+8") in our terms.
std::string cell_of(const hl::RegisterRule& rule) {
  switch (rule.kind) {
  case hl::RegisterRule::same:
  case hl::RegisterRule::undefined:
    return "-";
  case hl::RegisterRule::offset:
    return (rule.value < 0 ? "c" : "c+") + std::to_string(rule.value);
  case hl::RegisterRule::val_offset:
    return (rule.value < 0 ? "v" : "v+") + std::to_string(rule.value);
  case hl::RegisterRule::in_register:
    return "r" + std::to_string(rule.value);
  case hl::RegisterRule::expression:
    return "exp";
  case hl::RegisterRule::val_expression:
    return "vexp";
  }
  return "?";
}

struct Comparison {
  uint64_t rows = 0, functions = 0, compact = 0;
  std::string first_difference;
};

// Compares at the first and last pc of each row.
Comparison compare_with_readelf(const std::string& path) {
  Comparison result;
  const Image image(path);
  hl::CfiFrame frame;
  FILE* pipe = popen(("readelf --wide --debug-dump=frames-interp '" + path + "' 2>/dev/null").c_str(), "r");
  if (pipe == nullptr)
    return result;
  struct Row {
    uint64_t pc;
    std::vector<std::string> cells;
  };
  std::vector<std::string> names;
  std::vector<Row> rows;
  uint64_t end = 0;
  const auto finish = [&] {
    for (size_t i = 0; i < rows.size(); ++i) {
      const uint64_t next = i + 1 < rows.size() ? rows[i + 1].pc : end;
      if (next <= rows[i].pc)
        continue; // an empty row: the following one counts
      for (const uint64_t pc : {rows[i].pc, next - 1}) {
        ++result.rows;
        std::string ours, theirs;
        if (hl::decode_cfi(image.section, image.base + pc, frame) != hl::CfiResult::found) {
          ours = "not found";
        } else {
          const hl::CfiRow& row = frame.row;
          for (const auto& [name, number] : kColumns)
            if (row.cfa_register == number)
              ours = name;
          ours += "+" + std::to_string(row.cfa_value);
          if (row.cfa_is_expression)
            ours = "exp";
          for (size_t c = 1; c < names.size(); ++c)
            if (kColumns.count(names[c]))
              ours += " " + cell_of(row.registers[kColumns.at(names[c])]);
          result.compact += hl::compact_rule(frame).kind != hl::RuleKind::complex;
        }
        theirs = rows[i].cells[0];
        for (size_t c = 1; c < names.size(); ++c) {
          const std::string& cell = rows[i].cells[c];
          if (kColumns.count(names[c]))
            theirs += " " + (cell == "u" || cell == "s" || cell == "n" ? "-" : cell);
        }
        if (ours != theirs && result.first_difference.empty()) {
          std::ostringstream s;
          s << path << " at " << std::hex << pc << ": ours \"" << ours << "\", readelf \"" << theirs << '"';
          result.first_difference = s.str();
        }
      }
    }
    rows.clear();
  };
  char line[4096];
  while (fgets(line, sizeof line, pipe)) {
    std::istringstream words(line);
    std::string first, word;
    words >> first;
    const char* pc = strstr(line, " pc=");
    if (pc && strstr(line, " FDE ")) {
      finish();
      ++result.functions;
      names.clear();
      end = strtoull(strstr(pc, "..") + 2, nullptr, 16);
    } else if (strstr(line, " CIE ")) {
      finish();
      names.clear();
      end = 0;
    } else if (first == "LOC") {
      names.clear();
      while (words >> word)
        names.push_back(word);
    } else if (!names.empty() && end && first.size() == 16) {
      Row row{strtoull(first.c_str(), nullptr, 16), {}};
      while (words >> word)
        if (word[0] != '(')
          row.cells.push_back(word); // "r9 (r9)"
      if (row.cells.size() == names.size())
        rows.push_back(row);
    }
  }
  finish();
  pclose(pipe);
  return result;
}

std::string library_path(const char* name) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const size_t slash = line.find('/');
    if (slash != std::string::npos && line.find(name) != std::string::npos)
      return line.substr(slash);
  }
  return {};
}

void check_object(const std::string& path, uint64_t least_functions) {
  const Comparison c = compare_with_readelf(path);
  MESSAGE(path << ": " << c.functions << " functions, " << c.rows << " pcs, of which compact " << c.compact);
  CHECK(c.functions >= least_functions);
  CHECK(c.first_difference == "");
  CHECK(c.compact * 100 >= c.rows * 97);
}

} // namespace

TEST_CASE("every row of libc is read as readelf reads it") {
  check_object(library_path("/libc.so.6"), 1000);
}
TEST_CASE("every row of libstdc++ is read as readelf reads it") {
  check_object(library_path("/libstdc++.so"), 1000);
}
TEST_CASE("every row of the dynamic linker is read as readelf reads it") {
  check_object(library_path("/ld-linux-x86-64"), 100);
}
TEST_CASE("every row of python3 is read as readelf reads it") {
  const char* python = "/usr/bin/python3";
  if (access(python, R_OK) != 0) {
    MESSAGE("no " << python << " here: skipped");
    return;
  }
  check_object(python, 1000);
}

TEST_CASE("damaged call frame information is refused, never read out of bounds") {
  Image image(library_path("/libstdc++.so"));
  // A copy of .eh_frame_hdr and .eh_frame that ends at an unreadable page would be ideal; here the section's
  // bounds are narrowed instead, and the sanitizer presets watch the rest.
  hl::CfiFrame frame;
  uint64_t seed = 1;
  const auto random = [&] { return seed = seed * 6364136223846793005u + 1442695040888963407u, seed >> 33; };
  const uint64_t bytes = image.section.segment_end - image.section.eh_frame_hdr;
  std::vector<uint64_t> starts;
  for (uint64_t i = 0; i < 2000; ++i) {
    int32_t start;
    memcpy(&start, reinterpret_cast<void*>(image.section.eh_frame_hdr + 12 + 8 * i), sizeof start);
    starts.push_back(image.section.eh_frame_hdr + static_cast<uint64_t>(int64_t{start}));
  }
  uint64_t found = 0;
  for (int round = 0; round < 20'000; ++round) {
    auto* at = reinterpret_cast<uint8_t*>(image.section.eh_frame_hdr + random() % bytes);
    *at = static_cast<uint8_t>(random());
    const uint64_t pc = starts[random() % starts.size()] + random() % 64;
    found += hl::decode_cfi(image.section, pc, frame) == hl::CfiResult::found;
    hl::CfiSection narrow = image.section;
    narrow.segment_end = narrow.eh_frame_hdr + random() % bytes;
    hl::decode_cfi(narrow, pc, frame);
  }
  CHECK(found > 1000); // most of it stayed whole, so the test did look at programs
}
