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
constexpr uint64_t kGoStart = 0xc000000000, kGoEnd = kGoStart + (uint64_t{1} << 36);

constexpr bool aligned(uint64_t start, uint64_t end, uint64_t to) {
  return start % to == 0 && end % to == 0;
}

bool is_reserve(const Vma& vma) {
  return vma.name.empty() && !vma.shared && !vma.readable && !vma.writable && !vma.executable;
}

} // namespace

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
  for (size_t i = 0; i < vmas.size(); ++i) {
    const Vma& vma = vmas[i];
    if (!vma.name.empty()) {
      present_ |= runtime_of(vma.name);
    } else if (vma.start == kGoStart && vma.writable) {
      present_ |= kGo; // linked statically: no file tells
    }
  }
  if ((present_ & kDotNet) == 0)
    return;
  for (size_t i = 0; i < vmas.size(); ++i) {
    if (!is_reserve(vmas[i]) || vmas[i].bytes() < 4 * kGiB)
      continue;
    size_t first = i;
    while (first > 0 && vmas[first - 1].end == vmas[first].start && vmas[first - 1].name.empty() &&
           !vmas[first - 1].shared && !vmas[first - 1].executable)
      --first;
    dotnet_.push_back({vmas[first].start, vmas[i].end});
  }
}

bool ManagedHeaps::is_at_fixed_place(const Vma& vma) const {
  return ((present_ & kGo) != 0 && vma.start >= kGoStart && vma.end <= kGoEnd) ||
         ((present_ & kJvm) != 0 && vma.start >= 64 * kKiB && vma.end <= kCompressedEnd + 4 * kGiB);
}

std::string_view ManagedHeaps::by_shape(const Vma& vma, bool alone) const {
  if ((present_ & kGo) != 0 && vma.start >= kGoStart && vma.end <= kGoEnd)
    return "go-heap";
  if ((present_ & kJvm) != 0) {
    if (vma.executable)
      return "java-code";
    if (vma.start >= 64 * kKiB && vma.end <= kCompressedEnd)
      return "java-heap";
    if (vma.start >= kCompressedEnd && vma.end <= kCompressedEnd + 4 * kGiB)
      return "java-class-space";
  }
  if ((present_ & kDotNet) != 0) {
    for (const Extent& extent : dotnet_)
      if (vma.start >= extent.start && vma.end <= extent.end)
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
std::string_view ManagedHeaps::by_caller(uint8_t runtime, uint64_t start, uint64_t end, bool executable) {
  switch (runtime) {
  case kDart:
    return executable ? "dart-code" : start % kDartPage == 0 ? "dart-heap" : "";
  case kV8:
    return executable ? "v8-code" : start % kV8Page == 0 ? "v8-heap" : "";
  case kJvm:
    return executable                                                    ? "java-code"
           : end <= kCompressedEnd                                       ? "java-heap"
           : start >= kCompressedEnd && end <= kCompressedEnd + 4 * kGiB ? "java-class-space"
                                                                         : "java-other";
  case kDotNet:
    return executable ? "dotnet-code" : "dotnet-other";
  default:
    return "";
  }
}

} // namespace hl
