// What of a function's name survives another compiler, optimisation level or a small edit, so that frames of
// two builds can be compared: the qualified name alone.
//
// Left out are suffixes of clones (.constprop.0, .isra, .part, .cold, .lto_priv, .llvm, "[clone ...]"), ABI
// tags, parameters and qualifiers, return types, template arguments, anonymous namespaces, and numbers of
// lambdas and unnamed types, in gcc's and clang's spelling:
//
//   "void app::(anonymous namespace)::Vec<int>::grow<4>(int) const [clone .isra.0]" -> "app::Vec::grow"
//   "main::{lambda(int)#2}::operator()(int) const", "main::$_1::operator()(int) const"
//                                                                   -> "main::{lambda}::operator()"
//
// Pure functions of the demangled name. Any bytes are accepted: what is no C++ name stays as it is.
#pragma once

#include <string>
#include <string_view>

namespace hl {

struct CanonicalName {
  std::string name;    // never empty unless the input was
  std::string details; // template arguments and parameters that were left out: tells namesakes apart
};

CanonicalName canonical_name(std::string_view function);

// The last component of a canonical name: "grow", "{lambda}::operator()". Debug information of inlined
// functions may name no more than this.
std::string_view last_component(std::string_view canonical);

// Without ".constprop.0" and its kin, "[clone ...]", "@plt" and "@@VERSION".
std::string_view without_clone_suffix(std::string_view function);

// "module+0x1234": nothing is known but where it is.
bool is_nameless(std::string_view function);

// A library's or program's file without directory and version: "/usr/lib/libz.so.1.2.13" -> "libz",
// "/opt/app/server-2.4" -> "server", "python3.11" -> "python".
std::string canonical_module(std::string_view path);

} // namespace hl
