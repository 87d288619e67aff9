// See managed_heaps.h. Shapes: Dart runtime/vm/heap/page.h (512 KiB pages, aligned); V8 src/heap
// (256 KiB chunks, aligned); HotSpot with compressed references reserves its heap below 32 GiB and its class
// space from there on; Go's first arena is at 0xc000000000 (runtime/malloc.go); .NET's GC commits parts of
// one reservation, 256 GiB by default.
#include "memory_map/managed_heaps.h"

#include <algorithm>

#include "memory_map/mapping_names.h"

namespace hl {
namespace {

constexpr uint64_t kKiB = 1024, kGiB = uint64_t{1} << 30;
constexpr uint64_t kDartPage = 512 * kKiB, kV8Page = 256 * kKiB;
constexpr uint64_t kCompressedEnd = 32 * kGiB;
constexpr uint64_t kMetaspaceNode = uint64_t{64} << 20; // 8 M words, metaspace::Settings
constexpr uint64_t kArchiveUnit = uint64_t{16} << 20,
                   kClassSpace = kGiB; // CompressedClassSpaceSize by default
constexpr uint64_t kGoStart = 0xc000000000, kGoEnd = kGoStart + (uint64_t{1} << 36);

constexpr bool aligned(uint64_t start, uint64_t end, uint64_t to) {
  return start % to == 0 && end % to == 0;
}

bool is_plain_or_reserve(const Vma& vma) {
  return vma.name.empty() && !vma.shared && !vma.executable;
}
bool is_reserve(const Vma& vma) {
  return vma.name.empty() && !vma.shared && !vma.readable && !vma.writable && !vma.executable;
}

} // namespace

bool ManagedHeaps::is_dotnet_code(const Vma& vma) {
  return vma.name.starts_with("/memfd:doublemapper");
}

uint8_t ManagedHeaps::runtime_of(std::string_view path) {
  const std::string_view file = file_part(path);
  if (file == "dart" || file == "dartaotruntime" || file == "dartvm" || file == "libflutter.so" ||
      file == "libflutter_linux_gtk.so" || file == "flutter_tester")
    return kDart;
  if (file == "node" || file == "nodejs" || file.starts_with("libnode.so") || file.starts_with("libv8.so") ||
      file == "d8" || file == "chrome" || file == "chromium" || file == "electron" || file == "deno")
    return kV8;
  if (file == "libjvm.so")
    return kJvm;
  if (file == "libcoreclr.so" || file == "libclrgc.so")
    return kDotNet;
  return 0;
}

ManagedHeaps::ManagedHeaps(std::span<const Vma> vmas) {
  bool c_library = false;
  for (const Vma& vma : vmas) {
    if (!vma.name.empty()) {
      present_ |= runtime_of(vma.name);
      if (is_dotnet_code(vma))
        present_ |= kDotNet; // also where the runtime is part of the program (single-file)
      const std::string_view file = file_part(vma.name);
      c_library |= file.starts_with("ld-") || file.starts_with("libc.") || vma.name == "[heap]";
    } else if (vma.start == kGoStart && vma.writable) {
      present_ |= kGo; // linked statically: no file tells
    }
  }
  go_alone_ = (present_ & kGo) != 0 && !c_library;
  if ((present_ & kJvm) != 0)
    find_java(vmas);
  if ((present_ & kDotNet) != 0)
    find_dotnet(vmas);
}

// JDK 17 and later may map their archive of classes anywhere (ArchiveRelocationMode). The class space follows
// it in one reservation, and the first part of the metaspace is often reserved right below.
void ManagedHeaps::find_java(std::span<const Vma> vmas) {
  for (size_t i = 0; i < vmas.size(); ++i) {
    if (vmas[i].start < kCompressedEnd || !file_part(vmas[i].name).ends_with(".jsa"))
      continue;
    const uint64_t archive = vmas[i].start;
    uint64_t below = archive;
    for (size_t k = i; k > 0 && below > archive - kMetaspaceNode && vmas[k - 1].end == below &&
                       is_plain_or_reserve(vmas[k - 1]);
         --k)
      below = vmas[k - 1].start;
    if (below == archive - kMetaspaceNode)
      java_.push_back({below, archive, "java-metaspace"});
    size_t last = i;
    while (last + 1 < vmas.size() && vmas[last + 1].start == vmas[last].end &&
           vmas[last + 1].name == vmas[i].name)
      ++last;
    const uint64_t end = vmas[last].end;
    const uint64_t most = (end + kArchiveUnit - 1) / kArchiveUnit * kArchiveUnit + kClassSpace;
    uint64_t above = end;
    for (size_t k = last + 1;
         k < vmas.size() && vmas[k].start == above && above < most && is_plain_or_reserve(vmas[k]); ++k)
      above = std::min(vmas[k].end, most);
    if (above > end)
      java_.push_back({end, above, "java-class-space"});
    i = last;
  }
  for (size_t i = 0; i + 1 < vmas.size(); ++i) // what the code cache may still grow into
    if (vmas[i].executable && vmas[i].name.empty() && vmas[i + 1].start == vmas[i].end &&
        is_reserve(vmas[i + 1]))
      java_.push_back({vmas[i + 1].start, vmas[i + 1].end, "java-code"});
  std::sort(java_.begin(), java_.end(), [](const Extent& a, const Extent& b) { return a.start < b.start; });
}

std::string_view ManagedHeaps::java_part(uint64_t address) const {
  const auto after = std::upper_bound(java_.begin(), java_.end(), address,
                                      [](uint64_t at, const Extent& extent) { return at < extent.start; });
  return after != java_.begin() && std::prev(after)->end > address ? std::prev(after)->name
                                                                   : std::string_view();
}

void ManagedHeaps::find_dotnet(std::span<const Vma> vmas) {
  for (size_t i = 0; i < vmas.size(); ++i) {
    if (!is_reserve(vmas[i]) || vmas[i].bytes() < 4 * kGiB)
      continue;
    size_t first = i;
    while (first > 0 && vmas[first - 1].end == vmas[first].start && vmas[first - 1].name.empty() &&
           !vmas[first - 1].shared && !vmas[first - 1].executable)
      --first;
    dotnet_.push_back({vmas[first].start, vmas[i].end, "dotnet-heap"});
  }
}

bool ManagedHeaps::in_dotnet_heap(uint64_t start, uint64_t end) const {
  return std::any_of(dotnet_.begin(), dotnet_.end(),
                     [&](const Extent& extent) { return start >= extent.start && end <= extent.end; });
}

bool ManagedHeaps::is_at_fixed_place(const Vma& vma) const {
  return is_go_heap(vma.start) ||
         ((present_ & kJvm) != 0 && vma.start >= 64 * kKiB && vma.end <= kCompressedEnd + 4 * kGiB) ||
         !java_part(vma.start).empty();
}

bool ManagedHeaps::is_go_heap(uint64_t address) const {
  return (present_ & kGo) != 0 && address >= kGoStart && address < kGoEnd;
}

std::string_view ManagedHeaps::by_shape(const Vma& vma, bool alone) const {
  if (is_go_heap(vma.start))
    return "go-heap";
  if (go_alone_ && !vma.executable)
    return "go-other";
  if ((present_ & kJvm) != 0) {
    if (vma.executable)
      return "java-code";
    if (const std::string_view part = java_part(vma.start); !part.empty())
      return part;
    if (vma.start >= 64 * kKiB && vma.end <= kCompressedEnd)
      return "java-heap";
    if (vma.start >= kCompressedEnd && vma.end <= kCompressedEnd + 4 * kGiB)
      return "java-class-space";
  }
  if ((present_ & kDotNet) != 0) {
    if (in_dotnet_heap(vma.start, vma.end))
      return "dotnet-heap";
    if (vma.executable)
      return "dotnet-code";
  }
  for (const auto& [runtime, page] :
       {std::pair{uint8_t{kDart}, kDartPage}, std::pair{uint8_t{kV8}, kV8Page}}) {
    if ((present_ & runtime) == 0)
      continue;
    // V8 asks for its chunks at random places, where nothing else is; large ones end anywhere.
    if (vma.executable || aligned(vma.start, vma.end, page) || (runtime == kV8 && alone))
      return by_caller(runtime, vma.start, vma.end, vma.executable);
  }
  return {};
}

// The caller is certain, so only the beginning need be aligned: large objects end anywhere.
std::string_view ManagedHeaps::by_caller(uint8_t runtime, uint64_t start, uint64_t end,
                                         bool executable) const {
  switch (runtime) {
  case kGo:
    return is_go_heap(start) ? "go-heap" : "go-other";
  case kDart:
    return executable ? "dart-code" : start % kDartPage == 0 ? "dart-heap" : "";
  case kV8:
    return executable ? "v8-code" : start % kV8Page == 0 ? "v8-heap" : "";
  case kJvm:
    if (const std::string_view part = java_part(start); !executable && !part.empty())
      return part;
    return executable                                                    ? "java-code"
           : end <= kCompressedEnd                                       ? "java-heap"
           : start >= kCompressedEnd && end <= kCompressedEnd + 4 * kGiB ? "java-class-space"
                                                                         : "java-other";
  case kDotNet:
    return executable ? "dotnet-code" : in_dotnet_heap(start, end) ? "dotnet-heap" : "dotnet-other";
  default:
    return "";
  }
}

} // namespace hl
