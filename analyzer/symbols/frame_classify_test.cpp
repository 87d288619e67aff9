// Classes of frames as reports use them: what is folded and which frame is shown first.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <vector>

#include "symbols/frame_classify.h"

namespace hl {
namespace {

constexpr const char* kProgram = "/home/me/bin/program";
constexpr const char* kLibc = "/usr/lib/x86_64-linux-gnu/libc.so.6";
constexpr const char* kLibstdcxx = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30";

TEST_CASE("allocation functions of C, C++, Rust, GLib, Python and program wrappers") {
  for (const char* name :
       {"malloc", "calloc", "realloc", "__libc_malloc", "posix_memalign", "strdup", "malloc@plt", "mmap64",
        "operator new(unsigned long)", "operator new[](unsigned long, std::align_val_t)",
        "operator delete(void*, unsigned long)", "std::allocator<int>::allocate(unsigned long)",
        "std::__new_allocator<std::pair<int const, char> >::allocate(unsigned long, void const*)",
        "__gnu_cxx::new_allocator<char>::allocate(unsigned long, void const*)",
        "std::allocator_traits<std::allocator<char> >::allocate(std::allocator<char>&, unsigned long)",
        "std::_Vector_base<int, std::allocator<int> >::_M_allocate(unsigned long)",
        // NOLINTNEXTLINE(bugprone-suspicious-missing-comma): one name
        "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >::_M_create("
        "unsigned long&, unsigned long)",
        "std::__1::allocator<int>::allocate[abi:v15006](unsigned long)",
        "std::_Rb_tree<int, int, std::_Identity<int>, std::less<int>, std::allocator<int> >::_M_get_node()",
        "g_malloc0", "g_strdup_printf", "PyMem_RawMalloc", "_PyObject_Malloc", "PyObject_Calloc", "xmalloc",
        "xrealloc.part.0", "zmalloc", "sqlite3DbMallocRawNN", "memory::allocate(unsigned long)",
        "os::malloc(unsigned long, MemoryType)", "pool::Arena::realloc(void*, unsigned long)",
        "AllocateHeap(unsigned long, MemoryType)", "Perl_safesysmalloc", "git__calloc", "js_realloc_array",
        "xmlStrdup", "xmallocz_or_die", "ztryrealloc_usable_internal",
        "base::Debug::safe_malloc_0(unsigned long)", "__rust_alloc",
        "<alloc::alloc::Global as core::alloc::Allocator>::allocate", "alloc::alloc::exchange_malloc"}) {
    CAPTURE(name);
    CHECK(is_allocator_function(name));
  }
  for (const char* name : {"main", "mallocator", "my::malloc_things(int)", "Pool::allocate(unsigned long)",
                           "use_malloc", "malloc_stats", "emit_realloc", "freeze", "",
                           "std::vector<int, std::allocator<int> >::push_back(int const&)", "parse_operator",
                           "operator+(A, B)", "void fill<std::allocator<int> >(int)"}) {
    CAPTURE(name);
    CHECK_FALSE(is_allocator_function(name));
  }
}

TEST_CASE("start-up, threads, loader and library internals are runtime") {
  for (const char* name :
       {"_start", "__libc_start_main", "__libc_start_call_main", "start_thread", "clone3", "_dl_open",
        "call_init.part.0", "std::vector<int, std::allocator<int> >::push_back(int const&)",
        "void std::__sort<int*, bool (*)(int, int)>(int*, int*, bool (*)(int, int))",
        "std::thread::_State_impl<std::thread::_Invoker<std::tuple<main::{lambda()#1}> > >::_M_run()",
        "__cxa_throw", "_Unwind_RaiseException", "core::ops::function::FnOnce::call_once",
        "<alloc::vec::Vec<T> as core::iter::Extend<T>>::extend"}) {
    CAPTURE(name);
    CHECK(is_runtime_function(name));
  }
  for (const char* name : {"main", "starter", "my::std::thing()", "load(std::vector<int>&)", "std_like()",
                           "Foo::operator()(std::string const&) const"}) {
    CAPTURE(name);
    CHECK_FALSE(is_runtime_function(name));
  }
}

TEST_CASE("system modules") {
  for (const char* path :
       {kLibc, "/lib64/ld-linux-x86-64.so.2", "/nix/store/abc-glibc/lib/libc.so.6", "[vdso]",
        "/apex/com.android.runtime/lib64/bionic/libc.so", "/opt/sdk/lib/libstdc++.so.6"}) {
    CAPTURE(path);
    CHECK(is_system_module(path));
  }
  for (const char* path : {kProgram, "/usr/local/lib/libmine.so", "/opt/app/lib/libapp.so",
                           "/data/app/libgame.so", "", "/home/me/libcrypt/libmine.so"}) {
    CAPTURE(path);
    CHECK_FALSE(is_system_module(path));
  }
}

TEST_CASE("the module decides what the name leaves open") {
  CHECK(classify_frame("main", kProgram, true) == FrameClass::kOwn);
  CHECK(classify_frame("cmd_status", "/usr/bin/git", true) == FrameClass::kOwn);
  CHECK(classify_frame("xmalloc", "/usr/bin/git", true) == FrameClass::kAllocator);
  CHECK(classify_frame("getdelim", kLibc, false) == FrameClass::kLibrary);
  CHECK(classify_frame("start_thread", kLibc, false) == FrameClass::kRuntime);
  CHECK(classify_frame("operator new(unsigned long)", kLibstdcxx, false) == FrameClass::kAllocator);
  CHECK(classify_frame("std::string::append(char const*)", kProgram, true) == FrameClass::kRuntime);
  CHECK(classify_frame("ld-linux-x86-64.so.2+0x1d3a", "/lib64/ld-linux-x86-64.so.2", false) ==
        FrameClass::kRuntime);
  CHECK(classify_frame("anything", "/opt/hl/lib/libheapledger.so", false) == FrameClass::kAllocator);
  CHECK(classify_frame("decode", "/opt/app/libcodec.so", false) == FrameClass::kOwn);
  CHECK(classify_frame("+0x1000", "", false) == FrameClass::kOwn); // JIT code is the program's
}

TEST_CASE("a stack is shown from its first own frame to its start-up code") {
  using enum FrameClass;
  std::vector<FrameClass> usual = {kAllocator, kAllocator, kRuntime, kOwn,
                                   kLibrary,   kOwn,       kRuntime, kRuntime};
  FoldedStack folded = fold_stack(usual);
  CHECK(folded.first_shown == 3);
  CHECK(folded.end_shown == 6);
  CHECK(folded.has_own_frame);

  std::vector<FrameClass> library_only = {kAllocator, kLibrary, kRuntime};
  CHECK(fold_stack(library_only).first_shown == 1);
  CHECK(fold_stack(library_only).end_shown == 2);
  CHECK_FALSE(fold_stack(library_only).has_own_frame);

  std::vector<FrameClass> runtime_only = {kAllocator, kRuntime, kRuntime};
  CHECK(fold_stack(runtime_only).first_shown == 1);
  CHECK(fold_stack(runtime_only).end_shown == 2);

  std::vector<FrameClass> allocator_only = {kAllocator};
  CHECK(fold_stack(allocator_only).first_shown == 0);
  CHECK(fold_stack(allocator_only).end_shown == 1);
  CHECK(fold_stack({}).end_shown == 0);
}

} // namespace
} // namespace hl
