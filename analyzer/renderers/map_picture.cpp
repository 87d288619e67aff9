// See map_picture.h.
#include "renderers/map_picture.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <vector>

#include "memory_map/mapping_names.h"
#include "renderers/stack_text.h"

namespace hl {
namespace {

constexpr uint64_t kFarApart = uint64_t{1} << 32; // a gap worth drawing
constexpr uint64_t kSmallest = 256 * 1024;

// One line of the picture: a region, or several that belong together.
struct Line {
  uint64_t start = 0, end = 0;
  std::string key;                         // regions that follow each other with the same key are one line
  std::string label;                       // what it is
  std::string kind;                        // a noun, for folded runs: "module"
  std::map<RegionKind, uint64_t> segments; // resident bytes
  uint32_t site = 0;
  std::string evidence;
  CategoryNumbers numbers;
  uint64_t regions = 0;
  uint64_t reserved = 0; // of its size: address space without rights
  bool foldable = true;
};

std::string_view segment_words(RegionKind kind) {
  switch (kind) {
  case RegionKind::code:
    return "code";
  case RegionKind::read_only_data:
    return "read-only";
  case RegionKind::data:
    return "data";
  case RegionKind::bss:
    return "bss";
  default:
    return "";
  }
}

class Picture {
 public:
  Picture(const MapAnswer& answer, const TextStyle& style) : answer_(answer), style_(style) {
    if (answer.heap != nullptr)
      program_ = answer.heap->trace.metadata().executable;
  }

  std::string draw() {
    make_lines();
    if (!answer_.all)
      fold();
    return print();
  }

 private:
  void describe(const Region& region, bool guard, Line& line) const {
    const std::string file = std::string(file_part(region.name));
    switch (region.kind) {
    case RegionKind::code:
    case RegionKind::read_only_data:
    case RegionKind::data:
    case RegionKind::bss: {
      if (region.evidence == RegionEvidence::thread) {
        line.label = "main thread's TLS";
        line.kind = "thread-local map";
        break;
      }
      const bool program = !program_.empty() && region.name == program_;
      line.label = file.empty() ? std::string(segment_words(region.kind)) : file;
      line.key = "module " + region.name;
      line.kind = "module";
      line.foldable = !program;
      if (program)
        line.evidence = "the program";
      break;
    }
    case RegionKind::file:
      line.label = file.empty() ? region.name : file;
      line.key = "file " + region.name;
      line.kind = "file";
      break;
    case RegionKind::heap_brk:
      line.label = "heap (brk)";
      line.foldable = false;
      break;
    case RegionKind::heap_arena:
      line.label = "malloc arena";
      line.key = "arena " + std::to_string(region.start >> 26);
      line.kind = "malloc arena";
      break;
    case RegionKind::heap_mapped:
      line.label = "malloc, one block";
      line.kind = "malloc block";
      line.key = "block " + std::to_string(region.site);
      break;
    case RegionKind::heap_other:
      line.label = region.name.empty() ? "heap" : "heap: " + region.name;
      line.kind = "heap piece";
      break;
    case RegionKind::managed:
      line.label = category_of(region);
      line.key = "managed " + line.label;
      line.foldable = false;
      break;
    case RegionKind::anonymous:
      line.label = region.name.empty() ? "anonymous" : region.name;
      line.kind = "anonymous map";
      line.key = "anonymous " + region.name + " " + std::to_string(region.site);
      break;
    case RegionKind::shared:
      line.label = region.name.empty() ? "shared memory" : "shared: " + region.name;
      line.kind = "shared map";
      break;
    case RegionKind::device:
      line.label = region.name;
      line.kind = "device map";
      break;
    case RegionKind::main_stack:
      line.label = "main stack";
      line.foldable = false;
      break;
    case RegionKind::thread_stack:
      line.label = "thread stack";
      if (region.tid != 0) {
        const size_t name = region.name.find('(');
        line.label = name == std::string::npos
                         ? "stack of " + std::to_string(region.tid)
                         : "stack: " + region.name.substr(name + 1, region.name.size() - name - 2);
        line.evidence = region.name;
      }
      line.kind = "thread stack";
      // Of threads nobody knows: a guard goes with the stack above it.
      line.key = "stack " + (region.tid != 0 ? std::to_string(region.tid)
                                             : "at " + std::to_string(guard ? region.end : region.start));
      break;
    case RegionKind::kernel:
      line.label = region.name;
      line.kind = "kernel map";
      break;
    case RegionKind::own:
      line.label = "heapledger's own";
      line.key = "own";
      line.kind = "heapledger map";
      break;
    case RegionKind::unknown:
      line.label = region.name.empty() ? "unknown" : region.name;
      line.kind = "unknown map";
      break;
    }
  }

  // Address space without rights and pages goes with what it follows: guards, what a heap may grow into.
  static bool is_mere_reserve(const Region& region, const Vma& vma) {
    return region.kind == RegionKind::unknown && !vma.readable && !vma.writable && !vma.executable &&
           region.rss == 0 && region.swap == 0;
  }

  void make_lines() {
    for (const Region& region : answer_.report.map.regions) {
      const Vma& vma = answer_.report.map.vmas[region.vma];
      Line line;
      line.start = region.start;
      line.end = region.end;
      describe(region, !vma.readable && !vma.writable && !vma.executable, line);
      // The kernel's page at the end of the address space, the same in every process.
      if (!answer_.all && region.kind == RegionKind::kernel && region.start >> 63 != 0)
        continue;
      if (is_mere_reserve(region, vma)) {
        if (!answer_.all && !lines_.empty() && lines_.back().end == region.start) {
          lines_.back().end = region.end;
          lines_.back().numbers.add(region);
          lines_.back().reserved += region.bytes();
          continue;
        }
        line.label = "reserved, not used";
        line.kind = "reserved range";
      }
      line.site = region.site;
      if (line.evidence.empty())
        line.evidence = evidence_words(region);
      if (line.key.empty())
        line.key = line.label + std::to_string(region.site);
      line.numbers.add(region);
      line.segments[region.kind] += region.rss;
      line.regions = 1;
      if (!answer_.all && !lines_.empty() && lines_.back().key == line.key) {
        merge(lines_.back(), line);
        continue;
      }
      if (answer_.all && !segment_words(region.kind).empty() && line.key.starts_with("module "))
        line.evidence =
            std::string(segment_words(region.kind)) + (line.evidence.empty() ? "" : "; " + line.evidence);
      lines_.push_back(std::move(line));
    }
  }

  static void merge(Line& into, const Line& line) {
    into.end = std::max(into.end, line.end);
    into.numbers.add(line.numbers);
    into.regions += line.regions;
    into.reserved += line.reserved;
    for (const auto& [kind, bytes] : line.segments)
      into.segments[kind] += bytes;
  }

  void fold() {
    const uint64_t total = answer_.report.sample().total.rss;
    const uint64_t least = std::max(kSmallest, total / 50);
    std::vector<Line> folded;
    for (size_t i = 0; i < lines_.size();) {
      size_t end = i;
      while (end < lines_.size() && lines_[end].foldable &&
             lines_[end].numbers.rss + lines_[end].numbers.swap < least &&
             (end == i || lines_[end].start < lines_[end - 1].end + kFarApart))
        ++end;
      if (end - i < 2) {
        folded.push_back(std::move(lines_[i]));
        ++i;
        continue;
      }
      Line run = lines_[i];
      std::map<std::string, uint64_t> kinds;
      for (size_t k = i; k < end; ++k) {
        kinds[lines_[k].kind]++;
        if (k != i)
          merge(run, lines_[k]);
      }
      run.label = std::to_string(end - i) + " small ones";
      run.site = 0;
      run.segments.clear();
      run.evidence.clear();
      std::vector<std::pair<uint64_t, std::string>> order;
      for (const auto& [kind, count] : kinds)
        order.push_back({count, kind});
      std::sort(order.rbegin(), order.rend());
      if (order.size() == 1)
        run.label = std::to_string(end - i) + " " + order[0].second + "s";
      else
        for (const auto& [count, kind] : order)
          run.evidence += (run.evidence.empty() ? "" : ", ") + plural(count, kind);
      folded.push_back(std::move(run));
      i = end;
    }
    lines_ = std::move(folded);
  }

  std::string print() const {
    const size_t column = short_bytes_width(style_);
    const size_t numbers = 8 * column, address = answer_.all ? 18 : 14;
    const size_t room = style_.width > numbers + address + 14 ? style_.width - numbers - address - 2 : 14;
    std::string head = "  " + pad_right("from", address) + pad_right("what", room);
    for (const char* name : {"size", "RSS", "PSS", "private", "shared", "clean", "dirty", "swap"})
      head += pad_left(name, column);
    std::string out = style_.dim(head) + "\n";
    uint64_t end = 0;
    for (const Line& line : lines_) {
      if (end != 0 && line.start > end && line.start - end > kFarApart)
        out += style_.dim("  " + pad_right(style_.unicode ? "⋮" : ":", address) + "nothing for " +
                          human_bytes(line.start - end, {.unicode = style_.unicode})) +
               "\n";
      end = line.end;
      out += print_line(line, address, room, column);
    }
    return out;
  }

  std::string print_line(const Line& line, size_t address, size_t room, size_t column) const {
    char from[24];
    std::snprintf(from, sizeof from, "%llx", static_cast<unsigned long long>(line.start));
    const CategoryNumbers& n = line.numbers;
    std::string out = "  " + style_.dim(pad_right(from, address)) +
                      pad_right(fit(printable(line.label), room - 1, style_), room);
    for (const uint64_t bytes :
         {n.size, n.rss, n.pss, n.private_clean + n.private_dirty, n.shared_clean + n.shared_dirty,
          n.private_clean + n.shared_clean, n.private_dirty + n.shared_dirty, n.swap})
      out += pad_left(short_bytes(bytes, style_), column);
    out += "\n";
    const std::string more = details(line);
    if (!more.empty())
      out += wrapped(more, std::string(2 + address + 2, ' '), std::string(2 + address + 2, ' '), style_);
    return out;
  }

  std::string details(const Line& line) const {
    std::string text;
    if (!answer_.all && line.segments.size() > 1 && line.key.starts_with("module ") &&
        line.label.find("small") == std::string::npos)
      for (const auto& [kind, bytes] : line.segments)
        if (bytes != 0)
          text += (text.empty() ? "" : ", ") + std::string(segment_words(kind)) + " " +
                  short_bytes(bytes, style_);
    if (line.site != 0 && answer_.heap != nullptr) {
      const auto& stacks = answer_.heap->heap.result().site_stacks;
      if (line.site < stacks.size() && stacks[line.site] != 0) {
        const ResolvedFrame frame = answer_.heap->resolver.leading_frame(stacks[line.site]);
        // The allocator maps on behalf of whoever happened to call it.
        const bool heap = line.segments.contains(RegionKind::heap_other);
        text += (text.empty() ? "" : "; ") + std::string(heap ? "mapped in a call of " : "by ") +
                frame_label(frame, {.unicode = style_.unicode}, 60);
      }
    }
    if (line.reserved * 10 > line.numbers.size)
      text += (text.empty() ? "" : "; ") + std::string("of the size ") + short_bytes(line.reserved, style_) +
              " reserved, not usable yet";
    if (!line.evidence.empty())
      text += (text.empty() ? "" : "; ") + line.evidence;
    return text;
  }

  const MapAnswer& answer_;
  const TextStyle& style_;
  std::string program_;
  std::vector<Line> lines_;
};

} // namespace

std::string category_words(const std::string& category) {
  return category == "read_only_data" ? "read-only data" : category;
}

std::string evidence_words(const Region& region) {
  switch (region.evidence) {
  case RegionEvidence::given_name:
    return "the program named it so (recorded prctl)";
  case RegionEvidence::kernel_name:
    return region.kind == RegionKind::managed ? "named so in smaps" : "";
  case RegionEvidence::shape:
    return region.kind == RegionKind::managed || region.kind == RegionKind::heap_arena ||
                   region.kind == RegionKind::thread_stack
               ? "known by its shape"
               : "";
  case RegionEvidence::blocks:
    return region.kind == RegionKind::heap_other ? "live blocks lie in it" : "";
  case RegionEvidence::call:
    return region.kind == RegionKind::managed      ? "mapped by its runtime (recorded mmap)"
           : region.kind == RegionKind::heap_other ? "mapped by the allocator (recorded mmap)"
                                                   : "";
  default:
    return "";
  }
}

size_t short_bytes_width(const TextStyle& style) {
  return style.exact ? 16 : 8;
}

std::string short_bytes(uint64_t bytes, const TextStyle& style) {
  if (bytes == 0)
    return "-";
  if (style.exact)
    return with_thousands(bytes);
  static constexpr char kUnits[] = {'K', 'M', 'G', 'T', 'P', 'E'};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < sizeof kUnits) {
    value /= 1024;
    ++unit;
  }
  char text[24];
  std::snprintf(text, sizeof text, value < 9.95 && unit > 0 ? "%.1f%c" : "%.0f%c", value, kUnits[unit]);
  return text;
}

std::string map_picture(const MapAnswer& answer, const TextStyle& style) {
  return Picture(answer, style).draw();
}

} // namespace hl
