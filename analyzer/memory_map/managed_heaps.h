// Managed runtimes that gave their heaps no name: known by the runtime's own files among the mappings, and by
// the shape its heap takes. docs/memory-map.md lists the rules and what they can get wrong.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "memory_map/smaps.h"

namespace hl {

class ManagedHeaps {
 public:
  enum Runtime : uint8_t { kDart = 1, kV8 = 2, kJvm = 4, kDotNet = 8, kGo = 16 };

  explicit ManagedHeaps(std::span<const Vma> vmas);

  // Bits of the runtimes whose files are mapped.
  uint8_t present() const { return present_; }
  // Which runtime a module belongs to; 0: none.
  static uint8_t runtime_of(std::string_view path);

  // Whether it is the memory of .NET's code, by its name: whoever mapped it is the runtime.
  static bool is_dotnet_code(const Vma& vma);

  // The name of the heap that an unnamed, private mapping belongs to ("v8-heap"); empty: no rule applies.
  // `alone`: no mapping ends where it starts.
  std::string_view by_shape(const Vma& vma, bool alone) const;
  // Whether that is told by its place alone, which glibc's arenas never have.
  bool is_at_fixed_place(const Vma& vma) const;
  // Whether Go's heap is there and may lie at `address`.
  bool is_go_heap(uint64_t address) const;
  // The same as by_shape() for [start, end), mapped by code of `runtime` (recorded).
  std::string_view by_caller(uint8_t runtime, uint64_t start, uint64_t end, bool executable) const;

 private:
  struct Extent {
    uint64_t start, end;
    std::string_view name;
  };
  void find_java(std::span<const Vma> vmas);
  void find_dotnet(std::span<const Vma> vmas);
  bool in_dotnet_heap(uint64_t start, uint64_t end) const;
  std::string_view java_part(uint64_t address) const; // empty: in none of java_

  uint8_t present_ = 0;
  bool go_alone_ = false;      // without a C library, whose memory the rest could be
  std::vector<Extent> dotnet_; // the reservation that its heap is committed in
  std::vector<Extent> java_;   // what is known by its place beside the archive of classes, by address
};

} // namespace hl
