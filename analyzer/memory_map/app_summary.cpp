// See app_summary.h.
#include "memory_map/app_summary.h"

#include <iterator>

namespace hl {
namespace {

uint64_t less(uint64_t a, uint64_t b) {
  return a > b ? a - b : 0;
}

AndroidHeap heap_of_dalvik(std::string_view rest) {
  constexpr std::string_view kJava[] = {"alloc space",        "main space",
                                        "large object space", "free list large object space",
                                        "non moving space",   "zygote space"};
  constexpr std::string_view kCode[] = {"jit-code-cache", "data-code-cache"};
  for (const std::string_view space : kJava)
    if (rest.starts_with(space))
      return AndroidHeap::dalvik;
  for (const std::string_view cache : kCode)
    if (rest.starts_with(cache))
      return AndroidHeap::jit_code;
  return AndroidHeap::dalvik_other;
}

} // namespace

// First match wins.
AndroidHeap android_heap_of(std::string_view name) {
  constexpr std::string_view kDalvik = "[anon:dalvik-";
  const auto begins = [&](std::string_view with) { return name.starts_with(with); };
  const auto ends = [&](std::string_view with) { return name.ends_with(with); };
  const auto contains = [&](std::string_view what) { return name.find(what) != std::string_view::npos; };
  if (name.empty())
    return AndroidHeap::unknown;
  if (begins("[heap]") || begins("[anon:libc_malloc") || begins("[anon:scudo:") || begins("[anon:GWP-ASan"))
    return AndroidHeap::native;
  if (begins("[stack") || begins("[anon:stack_and_tls:"))
    return AndroidHeap::stack;
  if (ends(".so"))
    return AndroidHeap::so;
  if (ends(".jar"))
    return AndroidHeap::jar;
  if (ends(".apk"))
    return AndroidHeap::apk;
  if (ends(".ttf"))
    return AndroidHeap::ttf;
  if (ends(".odex") || contains(".dex") || contains(".vdex"))
    return AndroidHeap::dex;
  if (contains(".oat"))
    return AndroidHeap::oat;
  if (ends(".art") || ends(".art]"))
    return AndroidHeap::art;
  if (contains("kgsl-3d0"))
    return AndroidHeap::gl;
  if (begins("/dev/ashmem/CursorWindow"))
    return AndroidHeap::cursor;
  if (begins("/dev/ashmem/jit-zygote-cache") || begins("/memfd:jit-cache") ||
      begins("/memfd:jit-zygote-cache"))
    return AndroidHeap::jit_code;
  if (begins("/dev/ashmem"))
    return AndroidHeap::ashmem;
  if (begins("/dev/"))
    return AndroidHeap::other_device;
  if (begins(kDalvik))
    return heap_of_dalvik(name.substr(kDalvik.size()));
  if (begins("[anon:"))
    return AndroidHeap::unknown;
  return AndroidHeap::other_mmap;
}

AppSummary app_summary(std::span<const Vma> vmas) {
  uint64_t clean[32] = {}, dirty[32] = {};
  VmaNumbers total;
  AndroidHeap before = AndroidHeap::unknown;
  uint64_t end_before = 0;
  for (const Vma& vma : vmas) {
    AndroidHeap heap = android_heap_of(vma.name);
    if (vma.name.empty() && before == AndroidHeap::so && vma.start == end_before)
      heap = AndroidHeap::so; // its .bss
    clean[static_cast<size_t>(heap)] += vma.numbers.private_clean;
    dirty[static_cast<size_t>(heap)] += vma.numbers.private_dirty;
    total.add(vma.numbers);
    before = heap;
    end_before = vma.end;
  }
  const auto private_of = [&](AndroidHeap heap) {
    return clean[static_cast<size_t>(heap)] + dirty[static_cast<size_t>(heap)];
  };
  const auto dirty_of = [&](AndroidHeap heap) { return dirty[static_cast<size_t>(heap)]; };
  AppSummary summary;
  summary.java_heap = dirty_of(AndroidHeap::dalvik) + private_of(AndroidHeap::art);
  summary.native_heap = dirty_of(AndroidHeap::native);
  for (const AndroidHeap heap : {AndroidHeap::so, AndroidHeap::jar, AndroidHeap::apk, AndroidHeap::ttf,
                                 AndroidHeap::dex, AndroidHeap::oat, AndroidHeap::jit_code})
    summary.code += private_of(heap);
  summary.stack = dirty_of(AndroidHeap::stack);
  summary.graphics = private_of(AndroidHeap::gl);
  const uint64_t all_private = total.private_clean + total.private_dirty;
  summary.private_other = less(all_private, summary.java_heap + summary.native_heap + summary.code +
                                                summary.stack + summary.graphics);
  summary.total_pss = total.pss + total.swap_pss;
  summary.system = less(summary.total_pss, all_private);
  return summary;
}

AppleWords apple_words(const VmaNumbers& total) {
  return {total.private_dirty + total.shared_dirty, total.private_clean + total.shared_clean, total.swap};
}

VmaNumbers total_of(std::span<const Vma> vmas) {
  VmaNumbers total;
  for (const Vma& vma : vmas)
    total.add(vma.numbers);
  return total;
}

} // namespace hl
