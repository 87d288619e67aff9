// The Rust legacy scheme decoded here, C++ handed to the language runtime under an output limit.
#include "symbols/demangle.h"

#include <csetjmp>
#include <cstdlib>
#include <cxxabi.h>
#include <memory>

#if HEAPLEDGER_DEMANGLE_CALLBACK
extern "C" int __gcclibcxx_demangle_callback(const char* mangled, void (*take)(const char*, size_t, void*),
                                             void* opaque);
#endif

namespace hl {

namespace {

bool is_lower_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

struct RustEscape {
  std::string_view code;
  std::string_view text;
};
constexpr RustEscape kRustEscapes[] = {{"SP", "@"}, {"BP", "*"}, {"RF", "&"}, {"LT", "<"},
                                       {"GT", ">"}, {"LP", "("}, {"RP", ")"}, {"C", ","}};

void append_rust_segment(std::string_view segment, std::string& out) {
  // A leading '_' only protects an escape: "_$LT$impl..." is "<impl...".
  if (segment.starts_with("_$"))
    segment.remove_prefix(1);
  while (!segment.empty()) {
    if (segment.starts_with("..")) {
      out += "::";
      segment.remove_prefix(2);
    } else if (segment[0] == '$' && segment.find('$', 1) != std::string_view::npos) {
      std::string_view code = segment.substr(1, segment.find('$', 1) - 1);
      std::string_view text;
      for (const RustEscape& escape : kRustEscapes) {
        if (escape.code == code)
          text = escape.text;
      }
      if (!text.empty()) {
        out += text;
      } else if (code.size() >= 2 && code.size() <= 3 && code[0] == 'u' && is_lower_hex(code.substr(1))) {
        out += static_cast<char>(std::strtoul(std::string(code.substr(1)).c_str(), nullptr, 16));
      } else {
        out += '$';
        segment.remove_prefix(1);
        continue;
      }
      segment.remove_prefix(code.size() + 2);
    } else {
      out += segment[0];
      segment.remove_prefix(1);
    }
  }
}

// _ZN <length segment>... 17h<16 hex digits> E: a C++ nested name whose last part is a hash.
std::string demangle_rust_legacy(std::string_view name) {
  if (!name.starts_with("_ZN"))
    return {};
  name.remove_prefix(3);
  constexpr size_t kHashSegmentBytes = 17;
  std::string result;
  while (!name.empty() && name[0] != 'E') {
    size_t length = 0;
    size_t digits = 0;
    while (digits < name.size() && digits < 6 && name[digits] >= '0' && name[digits] <= '9') {
      length = length * 10 + static_cast<size_t>(name[digits++] - '0');
    }
    if (digits == 0 || length == 0 || length > name.size() - digits)
      return {};
    std::string_view segment = name.substr(digits, length);
    name.remove_prefix(digits + length);
    bool is_last = name.starts_with('E');
    if (is_last) {
      bool is_hash = length == kHashSegmentBytes && segment[0] == 'h' && is_lower_hex(segment.substr(1));
      return is_hash ? result : std::string{};
    }
    if (!result.empty())
      result += "::";
    append_rust_segment(segment, result);
  }
  return {};
}

#if HEAPLEDGER_DEMANGLE_CALLBACK

struct BoundedOutput {
  std::string text;
  std::jmp_buf overflow;
};

void take_demangled(const char* text, size_t length, void* opaque) {
  auto* output = static_cast<BoundedOutput*>(opaque);
  // The demangler is C code without cleanup, so that leaving it this way loses nothing. It cannot be told to
  // stop, and a 300-byte name can expand to petabytes.
  if (length > kMaxDemangledBytes - output->text.size())
    std::longjmp(output->overflow, 1);
  output->text.append(text, length);
}

std::string demangle_cpp(const std::string& name) {
  auto output = std::make_unique<BoundedOutput>();
  if (setjmp(output->overflow) != 0)
    return {};
  if (__gcclibcxx_demangle_callback(name.c_str(), take_demangled, output.get()) != 0)
    return {};
  return std::move(output->text);
}

#else

std::string demangle_cpp(const std::string& name) {
  int status = 0;
  char* text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
  std::string result = status == 0 && text != nullptr ? text : "";
  std::free(text);
  return result.size() <= kMaxDemangledBytes ? result : std::string{};
}

#endif

} // namespace

std::string demangle(std::string_view linkage_name) {
  if (!linkage_name.starts_with("_Z") && !linkage_name.starts_with("__Z"))
    return {};
  if (linkage_name.starts_with("__Z"))
    linkage_name.remove_prefix(1); // as on macOS
  std::string rust = demangle_rust_legacy(linkage_name);
  return rust.empty() ? demangle_cpp(std::string(linkage_name)) : rust;
}

StringId Demangler::demangled(StringId linkage_name, StringId fallback) {
  {
    std::lock_guard lock(mutex_);
    auto found = known_.find(static_cast<uint32_t>(linkage_name));
    if (found != known_.end())
      return found->second == StringId::kEmpty ? fallback : found->second;
  }
  // Outside the lock: two threads may rarely demangle the same name, with the same result.
  StringId result = pool_.intern(demangle(pool_.text(linkage_name)));
  std::lock_guard lock(mutex_);
  known_.emplace(static_cast<uint32_t>(linkage_name), result);
  return result == StringId::kEmpty ? fallback : result;
}

} // namespace hl
