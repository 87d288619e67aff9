// See mapping_names.h. Sources of the names: Dart runtime/vm/virtual_memory_posix.cc; ART
// libartbase/base/mem_map.cc and gc/space; bionic (libc_malloc, stack_and_tls, .bss); scudo; Go 1.25 runtime
// (setVMAName); Firefox js/src/gc/Memory.cpp; .NET's executable allocator.
#include "memory_map/mapping_names.h"

#include <charconv>
#include <iterator>

namespace hl {
namespace {

constexpr std::string_view kAllocatorNames[] = {"libc_malloc", "scudo:",          "GWP-ASan", "jemalloc",
                                                "tcmalloc",    "partition_alloc", "mimalloc", "malloc"};
constexpr std::string_view kManagedNames[] = {"dart-", "dalvik-", "v8",    "V8",   "js-gc", "hermes",
                                              "cppgc", "mono-",   "java-", "Java", ".NET",  "GCHeap"};

template <size_t N> bool begins_with_one(std::string_view name, const std::string_view (&prefixes)[N]) {
  for (const std::string_view prefix : prefixes)
    if (name.starts_with(prefix))
      return true;
  return false;
}

uint32_t number_in(std::string_view text) {
  uint32_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

bool is_kernels(std::string_view name) {
  constexpr std::string_view kNames[] = {"[vdso", "[vvar", "[vsyscall", "[vectors", "[sigpage", "[uprobes"};
  return begins_with_one(name, kNames);
}

} // namespace

std::string_view file_part(std::string_view path) {
  return path.substr(path.rfind('/') + 1); // npos + 1 is 0
}

bool is_library_name(std::string_view path) {
  const std::string_view file = file_part(path);
  return file.ends_with(".so") || file.find(".so.") != std::string_view::npos;
}

NamedKind kind_of_given_name(std::string_view name) {
  constexpr std::string_view kStack = "stack_and_tls:";
  while (name.starts_with(' '))
    name.remove_prefix(1); // " Go: heap"
  if (name.starts_with(kStack)) {
    const std::string_view whose = name.substr(kStack.size());
    if (whose == "main")
      return {RegionKind::main_stack, "main thread", 0};
    return {RegionKind::thread_stack, "", number_in(whose)};
  }
  if (name == ".bss")
    return {RegionKind::bss, "", 0};
  if (begins_with_one(name, kAllocatorNames))
    return {RegionKind::heap_other, std::string(name), 0};
  if (begins_with_one(name, kManagedNames) || name.starts_with("Go: "))
    return {RegionKind::managed, std::string(name), 0};
  return {RegionKind::anonymous, std::string(name), 0};
}

std::optional<NamedKind> kind_of_kernel_name(std::string_view name) {
  const auto inside = [&](std::string_view prefix) {
    std::string_view rest = name.substr(prefix.size());
    if (rest.ends_with(']'))
      rest.remove_suffix(1);
    return rest;
  };
  if (name.empty())
    return {};
  if (name == "[heap]")
    return NamedKind{RegionKind::heap_brk, "", 0};
  if (name == "[stack]")
    return NamedKind{RegionKind::main_stack, "main thread", 0};
  if (name.starts_with("[stack:")) // kernels 3.4 to 4.4
    return NamedKind{RegionKind::thread_stack, "", number_in(inside("[stack:"))};
  if (is_kernels(name))
    return NamedKind{RegionKind::kernel, std::string(name), 0};
  if (name.starts_with("[anon:"))
    return kind_of_given_name(inside("[anon:"));
  if (name.starts_with("[anon_shmem:"))
    return NamedKind{RegionKind::shared, std::string(inside("[anon_shmem:")), 0};
  if (name.starts_with('['))
    return NamedKind{RegionKind::unknown, std::string(name), 0};

  if (name.starts_with("/memfd:doublemapper"))
    return NamedKind{RegionKind::managed, "dotnet-code", 0};
  if (name.starts_with("/anon_hugepage")) // MAP_HUGETLB, private or shared
    return NamedKind{RegionKind::anonymous, std::string(name), 0};
  if (name.starts_with("/memfd:java_heap")) // ZGC
    return NamedKind{RegionKind::managed, "java-heap", 0};
  if (name.starts_with("/memfd:jit-cache") || name.starts_with("/memfd:jit-zygote-cache") ||
      name.starts_with("/dev/ashmem/jit-zygote-cache"))
    return NamedKind{RegionKind::managed, "dalvik-jit-code", 0};
  if (name.starts_with("/dev/ashmem/dalvik-"))
    return NamedKind{RegionKind::managed, std::string(name.substr(12)), 0};
  if (name.ends_with(".art"))
    return NamedKind{RegionKind::managed, "dalvik-art " + std::string(file_part(name)), 0};
  if (name.starts_with("/memfd:") || name.starts_with("/dev/shm/") || name.starts_with("/SYSV") ||
      name == "/dev/zero" || name.starts_with("/dev/ashmem"))
    return NamedKind{RegionKind::shared, std::string(name), 0};
  if (name.starts_with("/dmabuf:") || name.starts_with("/i915") || name.starts_with("/drm mm object") ||
      name.starts_with("anon_inode:dmabuf") || name.starts_with("anon_inode:i915") ||
      name.starts_with("/dev/"))
    return NamedKind{RegionKind::device, std::string(name), 0};
  if (name.starts_with("anon_inode:") || name.starts_with("socket:"))
    return NamedKind{RegionKind::kernel, std::string(name),
                     0}; // rings shared with the kernel: io_uring, perf
  return {};
}

} // namespace hl
