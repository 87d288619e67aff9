// Suppression rules: reading both dialects, what is an error and where, and which stacks rules match.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <ctime>
#include <deque>
#include <random>

#include "suppressions/built_in_suppressions.h"
#include "suppressions/suppression_matcher.h"
#include "suppressions/suppression_parser.h"

namespace {

using namespace hl;

constexpr const char* kProgram = "/opt/app/bin/app";
constexpr const char* kLibc = "/usr/lib/x86_64-linux-gnu/libc.so.6";
constexpr const char* kLoader = "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
constexpr const char* kCxx = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30";

SuppressionFrame own(std::string_view function, std::string_view linkage = {}, std::string_view file = {},
                     uint32_t line = 0) {
  return {function, linkage, file, kProgram, line};
}

SuppressionFrame in(std::string_view module, std::string_view function, std::string_view linkage = {}) {
  return {function, linkage, {}, module, 0};
}

using Stack = std::vector<SuppressionFrame>;

bool suppressed(std::string_view rules, const Stack& stack, LeakClass leak_class = LeakClass::definite) {
  ParsedSuppressions parsed = parse_suppressions(rules, "test");
  REQUIRE(parsed.errors.empty());
  SuppressionMatcher matcher(std::move(parsed.rules));
  return matcher.match(stack, leak_class).has_value();
}

std::string valgrind(std::string_view frames, std::string_view kinds = "") {
  return "{\n  a name\n  Memcheck:Leak\n" + std::string(kinds) + std::string(frames) + "}\n";
}

std::string first_error(std::string_view text) {
  const ParsedSuppressions parsed = parse_suppressions(text, "file");
  return parsed.errors.empty() ? "" : parsed.errors.front();
}

TEST_CASE("globs match whole names") {
  const auto matches = [](std::string_view pattern, std::string_view name) {
    return NamePattern::glob(pattern).matches(name);
  };
  CHECK(matches("malloc", "malloc"));
  CHECK_FALSE(matches("malloc", "xmalloc"));
  CHECK_FALSE(matches("malloc", "mallocx"));
  CHECK(matches("*alloc", "xmalloc"));
  CHECK(matches("mall*", "malloc"));
  CHECK(matches("*", "anything"));
  CHECK_FALSE(matches("*", ""));
  CHECK_FALSE(matches("", ""));
  CHECK_FALSE(matches("", "x"));
  CHECK(matches("m?lloc", "malloc"));
  CHECK_FALSE(matches("m?lloc", "mlloc"));
  CHECK_FALSE(matches("malloc?", "malloc"));
  CHECK(matches("a*b*c", "aXbYbc"));
  CHECK(matches("a*bc", "abcbc"));
  CHECK_FALSE(matches("ab*ba", "aba"));
  CHECK(matches("*?o?*", "foo_bar"));
  CHECK(matches("**a**", "bab"));
  CHECK(matches("/lib*/lib?.so*", "/lib64/libz.so.1"));
  CHECK(NamePattern::glob("malloc").exact() != nullptr);
  CHECK(NamePattern::glob("mal*").exact() == nullptr);
  CHECK(NamePattern::glob("mal?oc").exact() == nullptr);
}

TEST_CASE("LeakSanitizer's templates are found anywhere unless held") {
  const auto matches = [](std::string_view pattern, std::string_view name) {
    return NamePattern::leak_template(pattern).matches(name);
  };
  CHECK(matches("alloc", "xmallocx"));
  CHECK_FALSE(matches("^alloc", "xalloc"));
  CHECK(matches("^alloc", "allocator"));
  CHECK(matches("alloc$", "malloc"));
  CHECK_FALSE(matches("alloc$", "mallocs"));
  CHECK(matches("foo$", "foofoo")); // LeakSanitizer itself misses this one
  CHECK(matches("^foo$", "foo"));
  CHECK_FALSE(matches("^foo$", "foofoo"));
  CHECK(matches("a*c", "xxaBcxx"));
  CHECK(matches("^a*c", "aBcxx"));
  CHECK_FALSE(matches("^a*c$", "aBcxx"));
  CHECK(matches("*foo", "xfoox"));
  CHECK(matches("^*foo", "xfoo"));
  CHECK(matches("foo*$", "foobar"));
  CHECK(matches("*", "x"));
  CHECK_FALSE(matches("*", ""));
  CHECK_FALSE(matches("?oo", "foo")); // no wildcard here
}

// Against the plain recursive definition, on small alphabets where everything occurs.
bool slow_glob(std::string_view pattern, std::string_view name) {
  if (pattern.empty())
    return name.empty();
  if (pattern[0] == '*')
    return slow_glob(pattern.substr(1), name) || (!name.empty() && slow_glob(pattern, name.substr(1)));
  return !name.empty() && (pattern[0] == '?' || pattern[0] == name[0]) &&
         slow_glob(pattern.substr(1), name.substr(1));
}

TEST_CASE("patterns agree with their plain definition") {
  std::mt19937 random(11);
  const auto text = [&](std::string_view letters, size_t most) {
    std::string result;
    for (size_t i = random() % (most + 1); i != 0; --i)
      result += letters[random() % letters.size()];
    return result;
  };
  for (int round = 0; round < 200000; ++round) {
    const std::string pattern = text("ab*?", 6), name = text("ab", 7);
    if (name.empty())
      continue;
    CAPTURE(pattern);
    CAPTURE(name);
    REQUIRE(NamePattern::glob(pattern).matches(name) == slow_glob(pattern, name));
    std::string plain = text("ab*", 5);
    if (plain.empty())
      continue;
    const std::string wide = "*" + plain + "*";
    REQUIRE(NamePattern::leak_template(plain).matches(name) == slow_glob(wide, name));
    REQUIRE(NamePattern::leak_template("^" + plain + "$").matches(name) == slow_glob(plain, name));
    REQUIRE(NamePattern::leak_template("^" + plain).matches(name) == slow_glob(plain + "*", name));
    REQUIRE(NamePattern::leak_template(plain + "$").matches(name) == slow_glob("*" + plain, name));
  }
}

TEST_CASE("a leak: rule looks at function, file and module of every frame") {
  const Stack stack = {own("Cache::fill(int)", "_ZN5Cache4fillEi", "/src/cache.cc", 10),
                       in("/usr/lib/libssl.so.3", "SSL_new"), own("main", "main", "/src/main.cc", 3)};
  CHECK(suppressed("leak:Cache::fill", stack));
  CHECK(suppressed("leak:SSL_new", stack));
  CHECK(suppressed("leak:libssl", stack));
  CHECK(suppressed("leak:/src/main.cc", stack));
  CHECK(suppressed("leak:^main$", stack));
  CHECK(suppressed("leak:*cache.cc$", stack));
  CHECK_FALSE(suppressed("leak:_ZN5Cache", stack)); // demangled names only, as in LeakSanitizer
  CHECK_FALSE(suppressed("leak:^fill", stack));
  CHECK_FALSE(suppressed("leak:libcrypto", stack));
  CHECK(suppressed("leak:main", stack, LeakClass::reachable));
}

TEST_CASE("files of LeakSanitizer and heaptrack: comments, blanks, other kinds") {
  const ParsedSuppressions parsed = parse_suppressions("# comment\n"
                                                       "\n"
                                                       "  leak:one  \r\n"
                                                       "\t# indented comment\n"
                                                       "leak: two\n"
                                                       "race:Foo::bar\n"
                                                       "signed-integer-overflow:x\n"
                                                       "race:baz\n"
                                                       "leak:std::three",
                                                       "lsan.supp");
  CHECK(parsed.errors.empty());
  REQUIRE(parsed.rules.size() == 3);
  CHECK(parsed.rules[0].name == "leak:one");
  CHECK(parsed.rules[0].source == "lsan.supp:3");
  CHECK(parsed.rules[1].name == "leak:two");
  CHECK(parsed.rules[2].name == "leak:std::three");
  CHECK(parsed.rules[2].source == "lsan.supp:9");
  REQUIRE(parsed.skipped.size() == 2);
  CHECK(parsed.skipped.at("race") == 2);
  CHECK(parsed.skipped.at("signed-integer-overflow") == 1);
  CHECK(parse_suppressions("", "x").errors.empty());
  CHECK(parse_suppressions("# nothing\n", "x").rules.empty());
}

TEST_CASE("errors in leak: files name line and text") {
  CHECK(first_error("leak:ok\nsome_function\n") ==
        "file:2: a suppression reads leak:PATTERN, not 'some_function'");
  CHECK(first_error("std::foo") == "file:1: a suppression reads leak:PATTERN, not 'std::foo'");
  CHECK(first_error("leak:\n") == "file:1: 'leak:' without a pattern; leak:* matches everything");
  CHECK(first_error("leak:a$b\n") ==
        "file:1: '$' means the end of the name; 'b' behind it can match nothing");
  CHECK(first_error(std::string("ab\x01") + std::string(100, 'c')) ==
        "file:1: a suppression reads leak:PATTERN, not 'ab?" + std::string(57, 'c') + "...'");
  const ParsedSuppressions many = parse_suppressions(
      std::string(200, '\n') +
          [] {
            std::string lines;
            for (int i = 0; i < 100; ++i)
              lines += "wrong\n";
            return lines;
          }(),
      "file");
  CHECK(many.errors.size() == ParsedSuppressions::kMaxErrors);
  CHECK(many.errors.front().starts_with("file:201: "));
}

TEST_CASE("a Valgrind entry describes the stack from the allocation outward") {
  // Recorded stacks begin with the caller of malloc.
  const Stack stack = {own("helper"), own("Cache::fill(int)", "_ZN5Cache4fillEi", "/src/cache.cc", 10),
                       in("/usr/lib/libssl.so.3", "SSL_new"), own("main", "main", "/src/main.cc", 3)};
  CHECK(suppressed(valgrind("fun:malloc\nfun:helper\n"), stack));
  CHECK(suppressed(valgrind("fun:calloc\nfun:helper\nfun:_ZN5Cache4fillEi\n"), stack));
  CHECK(suppressed(valgrind("fun:*alloc\nfun:helper\nfun:Cache::fill(int)\n"), stack));
  CHECK(suppressed(valgrind("fun:malloc\n...\nfun:main\n"), stack));
  CHECK(suppressed(valgrind("...\nfun:SSL_new\n"), stack));
  CHECK(suppressed(valgrind("...\nobj:*/libssl.so.?\nfun:main\n"), stack));
  CHECK(suppressed(valgrind("fun:malloc\nfun:helper\nsrc:cache.cc:10\n"), stack));
  CHECK(suppressed(valgrind("...\nsrc:main.cc\n"), stack));
  CHECK(suppressed(valgrind("...\nfun:helper\n...\nfun:SSL_*\n...\nfun:main\n"), stack));
  CHECK(suppressed(valgrind("fun:malloc\n"), stack));
  CHECK(suppressed(valgrind("obj:*vgpreload_memcheck*\nfun:helper\n"), stack));

  CHECK_FALSE(suppressed(valgrind("fun:helper\n"), stack)); // the innermost frame is the allocation function
  CHECK_FALSE(suppressed(valgrind("fun:malloc\nfun:_ZN5Cache4fillEi\n"), stack));
  CHECK_FALSE(suppressed(valgrind("fun:free\nfun:helper\n"), stack));
  CHECK_FALSE(suppressed(valgrind("...\nfun:main\n...\nfun:helper\n"), stack));
  CHECK_FALSE(suppressed(valgrind("...\nsrc:cache.cc:11\n"), stack));
  CHECK_FALSE(suppressed(valgrind("...\nsrc:ache.cc\n"), stack));
  CHECK_FALSE(suppressed(valgrind("...\nfun:SSL_new\nfun:SSL_new\n"), stack));
  CHECK_FALSE(suppressed(valgrind("...\nfun:main\nfun:_start\n"), stack)); // beyond the stack
}

TEST_CASE("operator new counts as Valgrind shows it") {
  const Stack array = {in(kCxx, "operator new(unsigned long)", "_Znwm"),
                       in(kCxx, "operator new[](unsigned long)", "_Znam"), own("make")};
  CHECK(suppressed(valgrind("fun:_Znam\nfun:make\n"), array));
  CHECK_FALSE(suppressed(valgrind("fun:_Znwm\nfun:make\n"), array));
  const Stack single = {in(kCxx, "operator new(unsigned long)", "_Znwm"), own("make")};
  CHECK(suppressed(valgrind("fun:_Znwm\nfun:make\n"), single));
  // An operator of the program's own is shown with malloc within it.
  CHECK(suppressed(valgrind("fun:malloc\nfun:_Znwm\nfun:make\n"), single));
  CHECK(suppressed(valgrind("...\nfun:make\n"), single));
  // Where operator new is recorded itself, its caller comes first.
  CHECK(suppressed(valgrind("fun:_Znwm\nfun:make\n"), {own("make")}));
}

TEST_CASE("names that Valgrind writes differently") {
  CHECK(suppressed(valgrind("...\nfun:pthread_create@@GLIBC_2.34\n"), {in(kLibc, "pthread_create")}));
  CHECK(suppressed(valgrind("...\nfun:*@*\n"), {in(kLibc, "a@b")}));
  CHECK_FALSE(suppressed(valgrind("...\nfun:*@*\n"), {in(kLibc, "pthread_create")}));
  CHECK(suppressed(valgrind("...\nfun:__nss_database_get\n"), {in(kLibc, "__GI___nss_database_get")}));
  CHECK(suppressed(valgrind("...\nfun:main\nfun:(below main)\n"),
                   {own("main"), in(kLibc, "__libc_start_call_main")}));
  CHECK(suppressed(valgrind("...\nfun:???\nfun:main\n"), {own("app+0x1234"), own("main")}));
  CHECK_FALSE(suppressed(valgrind("...\nfun:????\nfun:main\n"), {own("app+0x1234"), own("main")}));
}

TEST_CASE("match-leak-kinds") {
  const Stack stack = {own("f")};
  const std::string some = valgrind("...\nfun:f\n", "match-leak-kinds: definite, possible\n");
  CHECK(suppressed(some, stack, LeakClass::definite));
  CHECK(suppressed(some, stack, LeakClass::possible));
  CHECK_FALSE(suppressed(some, stack, LeakClass::indirect));
  CHECK_FALSE(suppressed(some, stack, LeakClass::reachable));
  CHECK(suppressed(some, stack, LeakClass::unknown)); // not scanned: nobody knows
  for (const LeakClass each :
       {LeakClass::definite, LeakClass::indirect, LeakClass::possible, LeakClass::reachable}) {
    CHECK(suppressed(valgrind("...\nfun:f\n"), stack, each));
    CHECK(suppressed(valgrind("...\nfun:f\n", "match-leak-kinds: all\n"), stack, each));
    CHECK_FALSE(suppressed(valgrind("...\nfun:f\n", "match-leak-kinds:none\n"), stack, each));
  }
}

TEST_CASE("Valgrind entries of other tools and kinds are counted, and their insides not judged") {
  const ParsedSuppressions parsed =
      parse_suppressions("# head\n"
                         "{\n  one\n  Memcheck:Param\n  write(buf)\n  fun:x\n}\n"
                         "{\n  two\n  Helgrind:Race\n  fun:x\n}\n"
                         "{\n  three\n  Memcheck,Addrcheck:Leak\n  fun:malloc\n}\n"
                         "{\n  four\n  Memcheck:Param\n  ioctl\n  obj:*\n}\n",
                         "vg.supp");
  CHECK(parsed.errors.empty());
  REQUIRE(parsed.rules.size() == 1);
  CHECK(parsed.rules[0].name == "three");
  CHECK(parsed.rules[0].source == "vg.supp:13");
  CHECK(parsed.skipped.at("Memcheck:Param") == 2);
  CHECK(parsed.skipped.at("Helgrind:Race") == 1);
}

TEST_CASE("errors in Valgrind's files name line and text") {
  CHECK(first_error("{\nname\nLeak\nfun:x\n}\n") ==
        "file:3: the second line of an entry is its kind, such as Memcheck:Leak, not 'Leak'");
  CHECK(first_error("{\nname\nMemcheck:Leak\nfun:x\n") == "file:1: the entry that begins here has no end");
  CHECK(first_error("{\nname\n") ==
        "file:1: the entry that begins here has no end; 'Memcheck:Leak' is missing");
  CHECK(first_error("{\n}\n") == "file:2: unexpected '}'; its name is missing");
  CHECK(first_error("{\nname\nMemcheck:Leak\n}\n") == "file:4: an entry without frames");
  CHECK(first_error("{\nname\nMemcheck:Leak\n...\n...\n}\n") ==
        "file:6: an entry of nothing but '...' would match all");
  CHECK(first_error("{\nname\nMemcheck:Leak\nfunc:x\n}\n") ==
        "file:4: a frame is '...', fun:FUNCTION, obj:MODULE or src:FILE, not 'func:x'");
  CHECK(first_error("{\nname\nMemcheck:Leak\nfun:\n}\n") == "file:4: 'fun:' names nothing");
  CHECK(first_error("{\nname\nMemcheck:Leak\nsrc:a.c:x\n}\n") ==
        "file:4: a source location is FILE or FILE:LINE, not 'a.c:x'");
  CHECK(first_error("{\nname\nMemcheck:Leak\nmatch-leak-kinds: definitely\nfun:x\n}\n") ==
        "file:4: there is no leak kind 'definitely'; there are definite, indirect, possible, reachable, all "
        "and none");
  CHECK(first_error("{ name\nMemcheck:Leak\nfun:x\n}\n") ==
        "file:1: expected '{' alone on a line, not '{ name'");
  CHECK(first_error("{\nname\nMemcheck:Leak\nfun:x\n}\nleak:foo\n") ==
        "file:6: expected '{' alone on a line, not 'leak:foo'");
  // After an error the next entry is read as ever.
  const ParsedSuppressions parsed =
      parse_suppressions("{\nbad\nMemcheck:Leak\nnonsense\n}\n{\ngood\nMemcheck:Leak\nfun:x\n}\n", "file");
  CHECK(parsed.errors.size() == 1);
  REQUIRE(parsed.rules.size() == 1);
  CHECK(parsed.rules[0].name == "good");
}

TEST_CASE("a file that cannot be read is an error that names it") {
  const ParsedSuppressions missing = read_suppression_file("/no/such/file.supp");
  REQUIRE(missing.errors.size() == 1);
  CHECK(missing.errors[0] == "suppression file /no/such/file.supp: No such file or directory");
  const ParsedSuppressions directory = read_suppression_file("/");
  REQUIRE(directory.errors.size() == 1);
  CHECK(directory.errors[0] == "suppression file /: Is a directory");
}

TEST_CASE("the first rule that matches wins") {
  ParsedSuppressions parsed = parse_suppressions("leak:nothing\nleak:inner\nleak:main\n", "x");
  SuppressionMatcher matcher(std::move(parsed.rules));
  const Stack both = {own("inner"), own("main")}, outer = {own("other"), own("main")}, none = {own("other")};
  CHECK(matcher.match(both, LeakClass::definite) == std::optional<size_t>(1));
  CHECK(matcher.match(outer, LeakClass::definite) == std::optional<size_t>(2));
  CHECK_FALSE(matcher.match(none, LeakClass::definite).has_value());
  CHECK_FALSE(matcher.match({}, LeakClass::definite).has_value());
}

std::string built_in(const Stack& stack, LeakClass leak_class = LeakClass::reachable) {
  SuppressionMatcher matcher(built_in_suppressions());
  const auto rule = matcher.match(stack, leak_class);
  return rule ? matcher.rules()[*rule].name : "";
}

TEST_CASE("built-in rules know what the runtime keeps") {
  const SuppressionFrame user = own("work");
  CHECK(built_in({in(kLibc, "__nss_module_allocate"), in(kLibc, "__GI___nss_passwd_lookup2"),
                  in(kLibc, "getpwnam"), user}) == "libc: name services (users, groups, hosts)");
  // Without libc's debug package most frames have no names.
  CHECK(built_in({in(kLibc, "libc.so.6+0x1234"), in(kLibc, "getpwnam"), user}) ==
        "libc: name services (users, groups, hosts)");
  CHECK(built_in({in(kLibc, "libc.so.6+0x1234"), in(kLibc, "setlocale"), user}) == "libc: locales");
  CHECK(built_in({in(kLibc, "strndup"), in(kLibc, "_nl_find_locale"), in(kLibc, "newlocale"), user}) ==
        "libc: locales");
  CHECK(built_in({in(kLibc, "libc.so.6+0x1234"), in(kLibc, "newlocale"), user}) ==
        "libc: locales (files read by newlocale)");
  CHECK(built_in({in(kLibc, "newlocale"), user}) == ""); // the locale itself is the caller's
  CHECK(built_in({in(kLibc, "tzset_internal"), in(kLibc, "localtime"), user}) == "libc: time zone");
  CHECK(built_in({in(kLibc, "_IO_file_doallocate"), in(kLibc, "puts"), user}) ==
        "libc: buffers of standard streams");
  CHECK(built_in({in(kLibc, "_IO_file_doallocate"), in(kLibc, "fwrite"), in(kCxx, "std::ostream::write"),
                  user}) == "libc: buffers of standard streams (through C++ streams)");
  CHECK(built_in({in(kLoader, "calloc"), in(kLoader, "allocate_dtv"), in(kLoader, "_dl_allocate_tls"),
                  in(kLibc, "pthread_create"), user},
                 LeakClass::possible) == "ld.so: thread-local storage of running threads");
  CHECK(built_in({in(kLoader, "ld-linux-x86-64.so.2+0x99"), in(kLibc, "dlopen"), user}) ==
        "ld.so: loaded libraries");
  CHECK(built_in(
            {in(kCxx, "libstdc++.so.6.0.30+0xa57ba"), in(kLoader, "call_init"), in(kLoader, "_dl_init")}) ==
        "libstdc++: its own static objects (emergency pool for exceptions)");
  CHECK(built_in({own("_GLOBAL__sub_I_eh_alloc.cc"), in(kLibc, "__libc_start_main")}) ==
        "libstdc++: emergency pool for exceptions (linked statically)");
  CHECK(built_in({in("/usr/lib/x86_64-linux-gnu/libglib-2.0.so.0.7400.6", "g_malloc"),
                  in("/usr/lib/x86_64-linux-gnu/libglib-2.0.so.0.7400.6", "g_quark_from_string"), user}) ==
        "glib: names, types and per-process state");
}

TEST_CASE("built-in rules hide nothing of the program's own") {
  const SuppressionFrame user = own("work");
  // What these give is the caller's to free.
  for (const char* function : {"strdup", "fopen", "getline", "asprintf", "duplocale", "iconv_open", "scandir",
                               "getaddrinfo", "open_memstream", "realpath", "setenv", "regcomp", "opendir"})
    CHECK(built_in({in(kLibc, "libc.so.6+0x1234"), in(kLibc, function), user}) == "");
  // A callback of the program's in between: constructors of loaded libraries, exit handlers, plug-ins.
  CHECK(built_in({own("plugin_init"), in(kLoader, "call_init"), in(kLoader, "_dl_init"),
                  in(kLoader, "dl_open_worker"), in(kLibc, "dlopen"), user}) == "");
  CHECK(built_in({in(kCxx, "operator new(unsigned long)", "_Znwm"), own("_GLOBAL__sub_I_plugin.cpp"),
                  in(kLoader, "call_init"), in(kLoader, "_dl_init")}) == "");
  CHECK(built_in({in(kLibc, "strdup"), own("on_start"), in(kLibc, "setlocale"), user}) == "");
  CHECK(built_in({in(kCxx, "operator new(unsigned long)", "_Znwm"), user}) == "");
  // The same names in other libraries.
  CHECK(built_in({own("setlocale"), user}) == "");
  CHECK(built_in({in("/opt/app/lib/libc_utils.so", "getpwnam"), user}) == "");
  CHECK(built_in({own("getpwnam_cached"), user}) == "");
  CHECK(built_in({in(kLibc, "_IO_file_doallocate"), in(kLibc, "fwrite"), user}) == "");
  // What is really lost is shown, whoever lost it.
  for (const LeakClass lost : {LeakClass::definite, LeakClass::indirect})
    CHECK(built_in({in(kLibc, "libc.so.6+0x1234"), in(kLibc, "getpwnam"), user}, lost) == "");
}

// Rules must agree with a matcher that has no index, whatever they and the stacks look like.
bool slow_match(const SuppressionRule& rule, const Stack& stack, size_t element, size_t position) {
  if (element == rule.frames.size())
    return true;
  const FramePattern& pattern = rule.frames[element];
  const auto fits = [&](size_t at) {
    const auto any = [](const std::vector<NamePattern>& patterns, std::string_view name) {
      for (const NamePattern& each : patterns)
        if (each.matches(name))
          return true;
      return patterns.empty();
    };
    return any(pattern.functions, stack[at].function) && any(pattern.modules, stack[at].module);
  };
  if (!pattern.any_frames)
    return position < stack.size() && fits(position) && slow_match(rule, stack, element + 1, position + 1);
  return slow_match(rule, stack, element + 1, position) ||
         (position < stack.size() && fits(position) && slow_match(rule, stack, element, position + 1));
}

TEST_CASE("the index changes nothing about what matches") {
  std::mt19937 random(3);
  const char* const functions[] = {"fa", "fb", "fc", "ga"};
  const char* const modules[] = {"/m/a", "/m/b"};
  const char* const function_globs[] = {"fa", "fb", "f*", "?a", "*"};
  const char* const module_globs[] = {"/m/a", "*b", "*"};
  for (int round = 0; round < 4000; ++round) {
    std::vector<SuppressionRule> rules(1 + random() % 4);
    for (SuppressionRule& rule : rules) {
      for (size_t i = 1 + random() % 4; i != 0; --i) {
        FramePattern frame;
        frame.any_frames = random() % 3 == 0;
        if (random() % 4 != 0)
          frame.functions.push_back(NamePattern::glob(function_globs[random() % 5]));
        if (random() % 2 == 0)
          frame.modules.push_back(NamePattern::glob(module_globs[random() % 3]));
        rule.frames.push_back(std::move(frame));
      }
    }
    SuppressionMatcher matcher(rules);
    for (int each = 0; each < 10; ++each) {
      Stack stack;
      for (size_t i = 1 + random() % 5; i != 0; --i)
        stack.push_back(in(modules[random() % 2], functions[random() % 4]));
      std::optional<size_t> wanted;
      for (size_t rule = 0; rule < rules.size() && !wanted; ++rule)
        if (slow_match(rules[rule], stack, 0, 0))
          wanted = rule;
      REQUIRE(matcher.match(stack, LeakClass::definite) == wanted);
    }
  }
}

TEST_CASE("a hundred thousand sites against five hundred rules take about a second") {
  std::mt19937 random(5);
  std::deque<std::string> texts;
  const auto name = [&](const std::string& stem, size_t number) -> std::string_view {
    return texts.emplace_back(stem + std::to_string(number) + "(std::vector<int>, unsigned long) const");
  };
  std::vector<SuppressionFrame> frames;
  for (size_t i = 0; i < 30000; ++i)
    frames.push_back({name("app::module::Class::method", i), name("_ZN3app6module5Class6method", i),
                      name("/src/app/module/file", i / 20), name("/usr/lib/libmodule", i / 500),
                      static_cast<uint32_t>(i % 1000)});
  std::string text;
  for (size_t i = 0; i < 250; ++i)
    text += "leak:Nothing" + std::to_string(i) + "*::handle\n";
  ParsedSuppressions lsan = parse_suppressions(text, "lsan");
  text.clear();
  for (size_t i = 0; i < 250; ++i)
    text += valgrind("match-leak-kinds: all\nfun:*alloc\n...\nfun:*nothing" + std::to_string(i) +
                     "*\nobj:*libmodule*\n...\nfun:main\n");
  ParsedSuppressions stacks = parse_suppressions(text, "valgrind");
  REQUIRE(stacks.errors.empty());
  std::vector<SuppressionRule> rules = std::move(lsan.rules);
  rules.insert(rules.end(), stacks.rules.begin(), stacks.rules.end());
  for (SuppressionRule& rule : built_in_suppressions())
    rules.push_back(std::move(rule));
  rules.push_back(parse_suppressions("leak:method29999(", "x").rules.at(0));

  const std::clock_t begin = std::clock(); // other processes' time does not count
  SuppressionMatcher matcher(std::move(rules));
  size_t hits = 0;
  Stack stack(30);
  for (size_t site = 0; site < 160000; ++site) {
    for (SuppressionFrame& frame : stack)
      frame = frames[random() % frames.size()];
    hits += matcher.match(stack, LeakClass::definite).has_value() ? 1 : 0;
  }
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  MESSAGE("160 000 sites, 500 rules: ", seconds, " s of CPU, ", hits, " hits");
  CHECK(hits > 0);
  CHECK(seconds < 20); // sanitizers included; a release build takes about one
}

} // namespace
