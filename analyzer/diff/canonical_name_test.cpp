// Names as gcc and clang spell them, and what is left of them.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "diff/canonical_name.h"

using namespace hl;

TEST_CASE("parameters, qualifiers, template arguments and return types are left out") {
  CHECK(canonical_name("main").name == "main");
  CHECK(canonical_name("app::Cache::fill(int, char const*)").name == "app::Cache::fill");
  CHECK(canonical_name("void ns::Vec<int>::grow<4>(int) const").name == "ns::Vec::grow");
  CHECK(canonical_name("void ns::Vec<int>::grow<4>(int) const").details == "<int><4>(int)");
  CHECK(canonical_name("std::map<int, std::vector<long> > app::build<3ul>()").name == "app::build");
  CHECK(canonical_name("app::name[abi:cxx11](int)").name == "app::name");
  CHECK(canonical_name("static void app::f()").name == "app::f");
  CHECK(canonical_name("non-virtual thunk to app::D::f()").name == "app::D::f");
  CHECK(canonical_name("decltype (x) app::g(int) const &").name == "app::g");
}

TEST_CASE("clones of a function are the function") {
  for (const char* clone : {"work.constprop.0", "work.isra.0.cold", "work.part.3", "work.lto_priv.12",
                            "work.cold", "work.llvm.12345", "work.constprop.0.isra.1",
                            "work [clone .isra.0] [clone .cold]", "work@plt", "work@@GLIBC_2.2.5"})
    CHECK(canonical_name(clone).name == "work");
  CHECK(canonical_name("app::run(int) [clone .constprop.0]").name == "app::run");
  CHECK(canonical_name("app::run(int) (.cold)").name == "app::run");
  // No clones: names that hold dots for other reasons.
  CHECK(canonical_name("main.main").name == "main.main");
  CHECK(canonical_name(".constprop.0").name == ".constprop.0");
}

TEST_CASE("both compilers' lambdas are one, whatever their number") {
  CHECK(canonical_name("main::{lambda(int)#1}::operator()(int) const").name == "main::{lambda}::operator()");
  CHECK(canonical_name("main::{lambda(int)#2}::operator()(int) const").name == "main::{lambda}::operator()");
  CHECK(canonical_name("main::$_0::operator()(int) const").name == "main::{lambda}::operator()");
  CHECK(canonical_name("main::'lambda0'(int)::operator()(int) const").name == "main::{lambda}::operator()");
  CHECK(canonical_name("app::run(int)::{lambda()#1}::operator()() const").name ==
        "app::run::{lambda}::operator()");
  CHECK(canonical_name("app::A::run(int) const::{lambda()#1}::operator()() const").name ==
        "app::A::run::{lambda}::operator()");
  CHECK(canonical_name("main::{lambda()#1}::_FUN()").name == "main::{lambda}::__invoke");
  CHECK(canonical_name("main::$_0::__invoke()").name == "main::{lambda}::__invoke");
  CHECK(canonical_name("auto app::f()::{lambda(auto:1)#1}::operator()<int>(int) const").name ==
        "app::f::{lambda}::operator()");
  CHECK(last_component("main::{lambda}::operator()") == "{lambda}::operator()");
}

TEST_CASE("anonymous namespaces and unnamed types leave no trace but their members") {
  CHECK(canonical_name("app::(anonymous namespace)::helper(int)").name == "app::helper");
  CHECK(canonical_name("(anonymous namespace)::helper(int)").name == "helper");
  CHECK(canonical_name("app::{anonymous}::helper").name == "app::helper");
  CHECK(canonical_name("app::{unnamed type#1}::f()").name == "app::{unnamed}::f");
  CHECK(canonical_name("app::'unnamed'::f()").name == "app::{unnamed}::f");
  CHECK(canonical_name("app::$_0::f()").name == "app::{unnamed}::f");
}

TEST_CASE("operators keep their signs") {
  CHECK(canonical_name("app::Vec<int>::operator[](unsigned long)").name == "app::Vec::operator[]");
  CHECK(canonical_name("std::ostream& app::operator<< <int>(std::ostream&, int)").name == "app::operator<<");
  CHECK(canonical_name("bool app::operator< <int>(int, int)").name == "app::operator<");
  CHECK(canonical_name("app::Name::operator std::string() const").name == "app::Name::operator std::string");
  CHECK(canonical_name("operator new(unsigned long)").name == "operator new");
  CHECK(canonical_name("app::Ptr::operator->() const").name == "app::Ptr::operator->");
  CHECK(canonical_name("app::operators(int)").name == "app::operators");
  CHECK(last_component("app::Name::operator std::string") == "operator std::string");
}

TEST_CASE("literals of template arguments read the same from both compilers") {
  CHECK(canonical_name("f<4ul, 3u>()").details == canonical_name("f<4, 3>()").details);
  CHECK(canonical_name("f<int>()").details != canonical_name("f<long>()").details);
}

TEST_CASE("addresses stay addresses") {
  CHECK(is_nameless("libfoo.so.1+0x12ab"));
  CHECK(is_nameless("0x7f00"));
  CHECK_FALSE(is_nameless("main"));
  CHECK_FALSE(is_nameless("x+0xzz"));
  CHECK(canonical_name("libfoo.so.1+0x12ab").name == "libfoo.so.1+0x12ab");
}

TEST_CASE("anything goes in") {
  for (const char* odd :
       {"",        "<",       ">",       "(",         ")",           "{",
        "}",       "'",       "$_",      "[",         "::",          "operator",
        "a::",     "f(",      "f<",      "operator<", "operator ",   "(anonymous namespace)::",
        " ",       "{lambda", "<lambda", "[clone .",  " [clone .a]", " (.",
        "f (.)",   "@",       "@@",      "a@",        ".0",          "_FUN",
        "\xff\xfe"}) {
    const CanonicalName name = canonical_name(odd);
    CHECK((name.name.empty() == std::string_view(odd).empty()));
    last_component(name.name);
    canonical_module(odd);
  }
}

TEST_CASE("modules lose directory and version") {
  CHECK(canonical_module("/usr/lib/x86_64-linux-gnu/libz.so.1.2.13") == "libz");
  CHECK(canonical_module("/opt/app/server-2.4") == "server");
  CHECK(canonical_module("/usr/bin/python3.11") == "python");
  CHECK(canonical_module("/usr/bin/sqlite3") == "sqlite3");
  CHECK(canonical_module("/usr/lib/libfoo-1.2.so") == "libfoo");
  CHECK(canonical_module("/tmp/a.out (deleted)") == "a.out");
}
