// The lists behind frame classes, and reduction of a demangled name to the qualified name they are made of.
#include "symbols/frame_classify.h"

#include <algorithm>
#include <cctype>
#include <string>

#include "symbols/module_files.h"

namespace hl {

namespace {

bool is_identifier(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$';
}

// Index behind the bracket that closes the one at `at`, or the end.
size_t skip_bracketed(std::string_view text, size_t at) {
  int depth = 0;
  for (; at < text.size(); ++at) {
    char c = text[at];
    if (c == '<' || c == '(' || c == '{' || c == '[')
      ++depth;
    bool is_arrow = c == '>' && at > 0 && text[at - 1] == '-';
    if ((c == '>' && !is_arrow) || c == ')' || c == '}' || c == ']')
      --depth;
    if (depth == 0)
      return at + 1;
  }
  return at;
}

// The name after "operator", with its symbol or type, up to its parameters.
size_t operator_end(std::string_view text, size_t at) {
  if (text.substr(at).starts_with("()"))
    return at + 2;
  if (at < text.size() && text[at] == ' ') {
    size_t end = at + 1;
    while (end < text.size() && text[end] != '(' && text[end] != '<')
      ++end;
    return end;
  }
  while (at < text.size() && text[at] != '(' && !is_identifier(text[at]))
    ++at;
  return at;
}

// "void ns::Vec<int>::grow<4>(int) const" -> "ns::Vec::grow"; C names stay as they are.
std::string qualified_name(std::string_view function) {
  std::string name;
  size_t at = 0;
  while (at < function.size()) {
    std::string_view rest = function.substr(at);
    char before = at == 0 ? ' ' : function[at - 1];
    constexpr std::string_view kAnonymous = "(anonymous namespace)";
    constexpr std::string_view kOperator = "operator";
    if (rest.starts_with(kAnonymous)) {
      name += kAnonymous;
      at += kAnonymous.size();
    } else if (rest.starts_with(kOperator) && (before == ' ' || before == ':') &&
               rest.size() > kOperator.size() && !is_identifier(rest[kOperator.size()])) {
      size_t end = operator_end(function, at + kOperator.size());
      name += function.substr(at, end - at);
      at = end;
    } else if (rest[0] == '{') {
      size_t end = skip_bracketed(function, at);
      name += function.substr(at, end - at);
      at = end;
    } else if (rest[0] == '<') {
      at = skip_bracketed(function, at);
    } else if (rest[0] == '(') {
      // A lambda's or local class's enclosing function carries its parameters: "main(int)::{lambda()#1}".
      size_t end = skip_bracketed(function, at);
      std::string_view after = function.substr(std::min(end, function.size()));
      if (after.starts_with(" const"))
        after.remove_prefix(6);
      if (!after.starts_with("::"))
        break;
      at = function.size() - after.size();
    } else if (rest[0] == ' ') {
      if (rest.starts_with(" [clone"))
        break;
      name.clear(); // what came before was the return type
      ++at;
    } else {
      name += rest[0];
      ++at;
    }
  }
  // ".cold", ".part.0", ".constprop.1": pieces of the same function.
  size_t dot = name.find('.', 1);
  return dot == std::string::npos || name.starts_with("operator") ? name : name.substr(0, dot);
}

template <size_t N> bool is_one_of(std::string_view name, const std::string_view (&list)[N]) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

template <size_t N> bool starts_with_any(std::string_view name, const std::string_view (&list)[N]) {
  return std::any_of(std::begin(list), std::end(list),
                     [&](std::string_view p) { return name.starts_with(p); });
}

constexpr std::string_view kAllocatorNames[] = {
    "malloc", "calloc", "realloc", "reallocarray", "free", "cfree", "memalign", "posix_memalign",
    "aligned_alloc", "valloc", "pvalloc", "free_sized", "free_aligned_sized", "malloc_usable_size", "strdup",
    "strndup", "wcsdup", "asprintf", "vasprintf", "mmap", "mmap64", "mremap", "munmap", "brk", "sbrk",
    "_int_malloc", "_int_free", "_int_realloc", "_int_memalign", "_mid_memalign", "sysmalloc", "tcache_init",
    "malloc_consolidate", "operator new", "operator new[]", "operator delete", "operator delete[]",
    // Wrappers and entry points whose names do not tell by their end.
    "xpalloc", "alloc_page", "ggc_internal_alloc", "ggc_internal_cleared_alloc", "ggc_alloc",
    "_obstack_begin", "_obstack_begin_1", "_obstack_newchunk", "_obstack_allocated_p", "zcalloc_num",
    "lua_newuserdata", "apr_palloc", "palloc", "memory::allocate", "memory::reallocate", "AllocateHeap",
    "ReallocateHeap", "__rust_alloc", "__rust_realloc", "__rust_alloc_zeroed", "__rg_alloc", "__rdl_alloc",
    "__rg_realloc", "__rdl_realloc", "__rdl_alloc_zeroed"};

constexpr std::string_view kAllocatorPrefixes[] = {"__libc_malloc",
                                                   "__libc_calloc",
                                                   "__libc_realloc",
                                                   "__libc_memalign",
                                                   "__libc_free",
                                                   "__GI___libc_",
                                                   "__libc_valloc",
                                                   "__libc_pvalloc",
                                                   "__libc_reallocarray",
                                                   "__strdup",
                                                   "__strndup",
                                                   "__GI___strdup",
                                                   "je_",
                                                   "mi_malloc",
                                                   "mi_calloc",
                                                   "mi_realloc",
                                                   "mi_zalloc",
                                                   "mi_heap_",
                                                   "mi_new",
                                                   "mi_free",
                                                   "_mi_",
                                                   "tc_malloc",
                                                   "tc_calloc",
                                                   "tc_realloc",
                                                   "tc_new",
                                                   "tc_memalign",
                                                   "tc_posix_memalign",
                                                   "tcmalloc::",
                                                   "g_malloc",
                                                   "g_try_malloc",
                                                   "g_realloc",
                                                   "g_try_realloc",
                                                   "g_calloc",
                                                   "g_slice_alloc",
                                                   "g_slice_copy",
                                                   "g_strdup",
                                                   "g_strndup",
                                                   "g_memdup",
                                                   "g_aligned_alloc",
                                                   "PyMem_",
                                                   "_PyMem_",
                                                   "PyObject_Malloc",
                                                   "PyObject_Calloc",
                                                   "PyObject_Realloc",
                                                   "PyObject_Free",
                                                   "_PyObject_Malloc",
                                                   "_PyObject_Calloc",
                                                   "_PyObject_Realloc",
                                                   "_PyObject_Free",
                                                   "_PyObject_New",
                                                   "_PyObject_GC_New",
                                                   "_PyObject_GC_Alloc",
                                                   "_PyObject_GC_Malloc",
                                                   "_PyObject_GC_Resize",
                                                   "pymalloc_",
                                                   "PyType_GenericAlloc",
                                                   "_PyType_AllocNoTrack",
                                                   "sqlite3_malloc",
                                                   "sqlite3_realloc",
                                                   "sqlite3Malloc",
                                                   "sqlite3Realloc",
                                                   "sqlite3MemMalloc",
                                                   "sqlite3MemRealloc",
                                                   "sqlite3DbMalloc",
                                                   "sqlite3DbRealloc",
                                                   "sqlite3DbStrDup",
                                                   "sqlite3DbStrNDup",
                                                   "sqlite3MallocZero",
                                                   "mallocWithAlarm",
                                                   "dbMallocRawFinish",
                                                   "dbReallocFinish",
                                                   "heapledger_",
                                                   "alloc::alloc::",
                                                   "alloc::raw_vec::",
                                                   "std::allocator::",
                                                   "std::allocator_traits::",
                                                   "std::__new_allocator::",
                                                   "std::__allocated_ptr::",
                                                   "std::__allocate_guarded",
                                                   "__gnu_cxx::new_allocator::",
                                                   "__gnu_cxx::__alloc_traits::",
                                                   "__gnu_cxx::malloc_allocator::",
                                                   "__gnu_cxx::__pool_alloc::",
                                                   "std::pmr::",
                                                   "std::__libcpp_allocate",
                                                   "std::__libcpp_operator_new",
                                                   "std::__allocate_at_least",
                                                   "std::__allocation_guard::"};

constexpr std::string_view kNamesOfC[] = {"aligned_alloc", "free"};

// Members of standard containers that only obtain memory.
constexpr std::string_view kContainerAllocators[] = {
    "_M_allocate",         "_M_allocate_and_copy", "_M_allocate_map",   "_M_allocate_node",
    "_M_allocate_buckets", "_M_create_storage",    "_M_create",         "_M_create_plus",
    "_M_get_node",         "_M_create_node",       "_M_initialize_map", "_M_create_nodes",
    "_M_deallocate",       "_S_allocate",          "_S_create",         "__vallocate",
    "__allocate_at_least", "__construct_node",     "__allocate_node"};

constexpr std::string_view kRuntimeNames[] = {"_start",
                                              "__libc_start_main",
                                              "__libc_start_main_impl",
                                              "__libc_start_call_main",
                                              "__libc_init",
                                              "generic_start_main",
                                              "__libc_csu_init",
                                              "_init",
                                              "call_init",
                                              "start_thread",
                                              "clone",
                                              "clone3",
                                              "__clone",
                                              "__clone3",
                                              "__clone_internal",
                                              "__pthread_start",
                                              "__start_thread",
                                              "thread_start",
                                              "execute_native_thread_routine",
                                              "__restore_rt",
                                              "__run_exit_handlers",
                                              "__GI_exit",
                                              "exit",
                                              "_exit",
                                              "__libc_exit",
                                              "__cxa_finalize",
                                              "__cxa_atexit",
                                              "__do_global_ctors_aux",
                                              "__do_global_dtors_aux",
                                              "frame_dummy",
                                              "__pthread_once_slow",
                                              "__pthread_create_2_1",
                                              "pthread_create",
                                              "tls_get_addr_tail",
                                              "__tls_get_addr",
                                              "update_get_addr",
                                              "allocate_dtv",
                                              "allocate_dtv_entry",
                                              "do_lookup_x",
                                              "dl_open_worker",
                                              "dl_open_worker_begin",
                                              "openaux",
                                              "open_path",
                                              "dl_main",
                                              "rust_begin_unwind",
                                              "__rust_try",
                                              "__rust_begin_short_backtrace",
                                              "__libc_freeres",
                                              "dlopen",
                                              "dlopen_doit",
                                              "dlsym"};

constexpr std::string_view kRuntimePrefixes[] = {
    "_dl_",         "__dl_",  "_Unwind_", "__cxa_",  "__gxx_",         "std::",   "__gnu_cxx::",
    "__cxxabiv1::", "core::", "alloc::",  "__rust_", "__interceptor_", "__asan_", "__tsan_"};

// Rust's "<alloc::vec::Vec<T> as core::iter::FromIterator<T>>::from_iter" -> "alloc::vec::Vec".
std::string_view rust_self_type(std::string_view function) {
  if (!function.starts_with('<'))
    return {};
  function.remove_prefix(1);
  return function.substr(0, function.find_first_of("< >"));
}

// libc++ and libstdc++'s versioned namespaces hide nothing of interest.
std::string without_inline_namespaces(std::string name) {
  for (std::string_view inlined : {"std::__1::", "std::__cxx11::", "std::__ndk1::", "std::__8::"}) {
    if (name.starts_with(inlined))
      return "std::" + name.substr(inlined.size());
  }
  return name;
}

// Perl_safesysmalloc, git__calloc, js_realloc_array, xmlStrdup: a program's own wrapper says so at the end of
// its name. What uses, tests or compiles malloc begins with a word for that.
bool is_named_like_a_wrapper(std::string_view name) {
  constexpr std::string_view kEndings[] = {"malloc", "calloc",  "realloc", "zalloc",
                                           "strdup", "strndup", "memdup",  "memalign"};
  constexpr std::string_view kTails[] = {"array", "_or_die", "_zero", "_usable", "_internal", "_impl", "_"};
  constexpr std::string_view kVerbs[] = {"use_",  "test_",   "bench_", "call_",  "leak_", "run_",
                                         "emit_", "expand_", "fold_",  "check_", "is_",   "print_"};
  std::string lower(name.substr(name.rfind(':') + 1));
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (starts_with_any(lower, kVerbs))
    return false;
  std::string_view rest = lower;
  const auto strip_any = [&rest](std::span<const std::string_view> endings) {
    for (std::string_view ending : endings) {
      if (rest.ends_with(ending)) {
        rest.remove_suffix(ending.size());
        return true;
      }
    }
    return false;
  };
  while (!rest.empty() && std::isdigit(static_cast<unsigned char>(rest.back())))
    rest.remove_suffix(1);
  while (strip_any(kTails)) {
  }
  if (rest.ends_with("allocz"))
    rest.remove_suffix(1);
  return strip_any(kEndings);
}

bool is_allocator_name(std::string_view name) {
  if (is_one_of(name, kAllocatorNames) || starts_with_any(name, kAllocatorPrefixes) ||
      is_named_like_a_wrapper(name))
    return true;
  size_t colon = name.rfind("::");
  // A member that bears the name of C's function stands for it: Pool::aligned_alloc.
  if (colon != std::string_view::npos && is_one_of(name.substr(colon + 2), kNamesOfC))
    return true;
  if (!name.starts_with("std::") && !name.starts_with("__gnu_cxx::"))
    return false;
  return is_one_of(name.substr(colon + 2), kContainerAllocators);
}

} // namespace

std::string_view to_string(FrameClass frame_class) {
  switch (frame_class) {
  case FrameClass::kAllocator:
    return "allocator";
  case FrameClass::kRuntime:
    return "runtime";
  case FrameClass::kLibrary:
    return "library";
  case FrameClass::kOwn:
    return "own";
  }
  return "unknown";
}

bool is_allocator_function(std::string_view function) {
  if (function.ends_with("@plt"))
    function.remove_suffix(4);
  if (rust_self_type(function).starts_with("alloc::alloc::"))
    return true;
  return is_allocator_name(without_inline_namespaces(qualified_name(function)));
}

bool is_runtime_function(std::string_view function) {
  if (function.ends_with("@plt"))
    function.remove_suffix(4);
  std::string_view self = rust_self_type(function);
  if (self.starts_with("alloc::") || self.starts_with("core::") || self.starts_with("std::"))
    return true;
  std::string name = qualified_name(function);
  return is_one_of(name, kRuntimeNames) || starts_with_any(name, kRuntimePrefixes);
}

bool is_system_module(std::string_view module_path) {
  constexpr std::string_view kSystemDirs[] = {"/lib/",       "/lib32/",     "/lib64/",     "/libx32/",
                                              "/usr/lib/",   "/usr/lib32/", "/usr/lib64/", "/usr/libx32/",
                                              "/nix/store/", "/gnu/store/", "/system/",    "/apex/",
                                              "/vendor/",    "/product/",   "/system_ext/"};
  constexpr std::string_view kSystemNames[] = {
      "libc.so",  "libc-2.",      "libm.so",       "libm-2.",      "libpthread",  "libdl.so",
      "librt.so", "libstdc++.so", "libc++.so",     "libc++abi.so", "libgcc_s.so", "ld-linux",
      "ld-2.",    "ld-musl",      "libheapledger", "linux-vdso",   "[vdso]",      "[vsyscall]"};
  return starts_with_any(module_path, kSystemDirs) ||
         starts_with_any(module_base_name(module_path), kSystemNames);
}

FrameClass classify_frame(std::string_view function, std::string_view module_path, bool is_main_executable) {
  std::string_view module = module_base_name(module_path);
  if (module.starts_with("libheapledger") || is_allocator_function(function))
    return FrameClass::kAllocator;
  constexpr std::string_view kRuntimeModules[] = {"ld-linux", "ld-2.",      "ld-musl",
                                                  "[vdso]",   "linux-vdso", "[vsyscall]"};
  if (starts_with_any(module, kRuntimeModules) || is_runtime_function(function))
    return FrameClass::kRuntime;
  if (is_main_executable || !is_system_module(module_path))
    return FrameClass::kOwn;
  return FrameClass::kLibrary;
}

FoldedStack fold_stack(std::span<const FrameClass> innermost_first) {
  FoldedStack folded;
  auto first_where = [&](auto wanted) {
    return static_cast<size_t>(std::find_if(innermost_first.begin(), innermost_first.end(), wanted) -
                               innermost_first.begin());
  };
  size_t size = innermost_first.size();
  size_t own = first_where([](FrameClass c) { return c == FrameClass::kOwn; });
  size_t library = first_where([](FrameClass c) { return c == FrameClass::kLibrary; });
  size_t no_allocator = first_where([](FrameClass c) { return c != FrameClass::kAllocator; });
  folded.has_own_frame = own < size;
  for (size_t candidate : {own, library, no_allocator, size_t{0}}) {
    folded.first_shown = candidate;
    if (candidate < size)
      break;
  }
  folded.end_shown = size;
  while (folded.end_shown > folded.first_shown + 1 &&
         innermost_first[folded.end_shown - 1] == FrameClass::kRuntime) {
    --folded.end_shown;
  }
  return folded;
}

} // namespace hl
