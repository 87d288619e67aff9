// See built_in_suppressions.h. Entry functions are exported ones where possible: without the debug packages
// of libc a stack names no others.
#include "suppressions/built_in_suppressions.h"

#include <initializer_list>

namespace hl {
namespace {

using Globs = std::initializer_list<std::string_view>;

constexpr std::string_view kLoader[] = {"*/ld-linux*.so*", "*/ld-2.*.so"};
constexpr std::string_view kLibc[] = {"*/libc.so.6",         "*/libc-2.*.so", "*/libpthread.so*",
                                      "*/libpthread-2.*.so", "*/libdl.so*",   "*/libdl-2.*.so"};
// Name services run as plug-ins of libc.
constexpr std::string_view kLibcPlugins[] = {"*/libnss_*.so*", "*/libresolv.so*", "*/libresolv-2.*.so"};
constexpr std::string_view kCxx[] = {"*/libstdc++.so*"};
constexpr std::string_view kGlib[] = {"*/libglib-2.0.so*", "*/libgobject-2.0.so*"};

// A resident: all frames within `inner`, then one in `entry_modules` and among `entry_functions`.
struct Resident {
  std::string_view name;
  enum Inner : uint8_t { nothing, loader, libc, cxx, glib } inner;
  enum Entry : uint8_t { at_loader, at_libc, at_cxx, at_glib } entry;
  Globs entry_functions; // empty: any
  bool needs_inner_frame = false;
};

const Resident kResidents[] = {
    {"ld.so: thread-local storage of running threads",
     Resident::loader,
     Resident::at_loader,
     {"_dl_allocate_tls*", "allocate_dtv*", "__tls_get_addr*", "_dl_resize_dtv"}},
    {"ld.so: loaded libraries", Resident::nothing, Resident::at_loader, {}},
    {"libc: dlopen and dlerror",
     Resident::libc,
     Resident::at_libc,
     {"dlopen*", "dlmopen*", "dlclose", "dlsym*", "dlvsym*", "dlerror", "dladdr*", "dlinfo", "_dlerror_run",
      "__libc_dlopen_mode", "__libc_dlsym", "__libc_unwind_link_get"}},
    {"libc: name services (users, groups, hosts)",
     Resident::libc,
     Resident::at_libc,
     {"getpwnam*",       "getpwuid*",          "getpwent*",      "setpwent",
      "endpwent",        "fgetpwent",          "getgrnam*",      "getgrgid*",
      "getgrent*",       "setgrent",           "endgrent",       "fgetgrent",
      "getgrouplist",    "initgroups",         "getspnam*",      "getspent*",
      "setspent",        "getsgnam*",          "gethostby*",     "gethostent*",
      "sethostent",      "getnetby*",          "getnetent*",     "setnetent",
      "getservby*",      "getservent*",        "setservent",     "getprotoby*",
      "getprotoent*",    "setprotoent",        "getrpcby*",      "getrpcent*",
      "setnetgrent",     "getnetgrent*",       "innetgr",        "getaliasby*",
      "getaliasent*",    "__nss_database_get", "__nss_module_*", "__nss_action_*",
      "__nss_*_lookup*", "__nss_files_data_*", "gaiconf_init",   "__check_pf",
      "getusershell",    "getttyent",          "ttyname"}},
    {"libc: resolver state",
     Resident::libc,
     Resident::at_libc,
     {"__resolv_context_get*", "__resolv_conf_*", "__res_vinit", "__res_init", "res_init", "__res_maybe_init",
      "__resolv_conf_get_current"}},
    {"libc: message catalogues (gettext)",
     Resident::libc,
     Resident::at_libc,
     {"gettext", "dgettext", "dcgettext", "ngettext", "dngettext", "dcngettext", "__dcigettext",
      "__dcgettext", "textdomain", "__textdomain", "bindtextdomain", "bind_textdomain_codeset",
      "_nl_find_domain", "_nl_load_domain"}},
    {"libc: locales",
     Resident::libc,
     Resident::at_libc,
     {"setlocale", "_nl_find_locale", "_nl_load_locale*", "_nl_intern_locale_data", "_nl_make_l10nflist",
      "_nl_expand_alias", "_nl_load_locale_from_archive"}},
    {"libc: character set conversion",
     Resident::libc,
     Resident::at_libc,
     {"__wcsmbs_load_conv",
      "__wcsmbs_getfct",
      "__gconv_read_conf",
      "__gconv_load_conf",
      "__gconv_load_cache",
      "__gconv_find_shlib",
      "__gconv_get_path",
      "__gconv_get_alias_db",
      "mbstowcs",
      "mbsrtowcs*",
      "mbsnrtowcs*",
      "mbrtowc",
      "mbtowc",
      "mbrlen",
      "mblen",
      "wcstombs",
      "wcsrtombs*",
      "wcsnrtombs*",
      "wcrtomb",
      "wctomb",
      "btowc",
      "wctob"}},
    {"libc: time zone",
     Resident::libc,
     Resident::at_libc,
     {"tzset", "tzset_internal", "__tz_convert", "__tzfile_read", "localtime*", "gmtime*", "mktime",
      "timelocal", "ctime*", "strftime*", "wcsftime*", "__strftime*"}},
    {"libc: exit handlers",
     Resident::libc,
     Resident::at_libc,
     {"__new_exitfn", "__internal_atexit", "__cxa_atexit", "__cxa_at_quick_exit", "atexit", "on_exit",
      "__cxa_thread_atexit_impl", "__register_atfork", "pthread_atfork"}},
    {"libc: values of thread-specific keys",
     Resident::libc,
     Resident::at_libc,
     {"pthread_setspecific", "__pthread_setspecific"}},
    {"libc: buffers of standard streams",
     Resident::libc,
     Resident::at_libc,
     {"printf", "vprintf", "puts", "_IO_puts", "putchar*", "putwchar*", "wprintf", "vwprintf", "__printf_chk",
      "__vprintf_chk", "__wprintf_chk", "scanf", "vscanf", "__isoc99_scanf", "getchar*", "getwchar*", "gets",
      "perror"}},
    {"libc: texts of error and signal numbers",
     Resident::libc,
     Resident::at_libc,
     {"strerror", "__strerror_l", "strerror_l", "strsignal"}},
    {"libstdc++: its own static objects (emergency pool for exceptions)",
     Resident::cxx,
     Resident::at_loader,
     {},
     true},
    {"libstdc++: standard streams",
     Resident::cxx,
     Resident::at_cxx,
     {"std::ios_base::Init::Init*", "std::ios_base::sync_with_stdio*", "std::locale::classic*",
      "std::locale::_S_initialize*"}},
    {"glib: its own static objects", Resident::glib, Resident::at_loader, {}, true},
    {"glib: names, types and per-process state",
     Resident::glib,
     Resident::at_glib,
     {"g_quark_from_string",     "g_quark_from_static_string",
      "g_intern_string",         "g_intern_static_string",
      "g_type_register_*",       "g_type_add_interface_static",
      "g_type_class_ref",        "g_thread_self",
      "g_main_context_default",  "g_get_user_name",
      "g_get_real_name",         "g_get_home_dir",
      "g_get_tmp_dir",           "g_get_host_name",
      "g_get_user_*_dir",        "g_get_system_*_dirs",
      "g_get_language_names*",   "g_get_charset",
      "g_get_filename_charsets", "g_set_prgname",
      "g_set_application_name"}},
};

template <size_t size>
void append(std::vector<NamePattern>& patterns, const std::string_view (&globs)[size]) {
  for (const std::string_view glob : globs)
    patterns.push_back(NamePattern::glob(glob));
}

std::vector<NamePattern> modules_of(Resident::Inner inner) {
  std::vector<NamePattern> modules;
  if (inner == Resident::nothing)
    return modules;
  append(modules, kLoader);
  if (inner == Resident::loader)
    return modules;
  append(modules, kLibc);
  append(modules, kLibcPlugins);
  if (inner == Resident::cxx)
    append(modules, kCxx);
  if (inner == Resident::glib)
    append(modules, kGlib);
  return modules;
}

std::vector<NamePattern> modules_of(Resident::Entry entry) {
  std::vector<NamePattern> modules;
  switch (entry) {
  case Resident::at_loader:
    append(modules, kLoader);
    break;
  case Resident::at_libc:
    append(modules, kLibc);
    break;
  case Resident::at_cxx:
    append(modules, kCxx);
    break;
  case Resident::at_glib:
    append(modules, kGlib);
    break;
  }
  return modules;
}

SuppressionRule rule_named(std::string_view name) {
  SuppressionRule rule;
  rule.name = name;
  rule.source = "built-in";
  rule.built_in = true;
  rule.classes = LeakClasses().with(LeakClass::reachable).with(LeakClass::possible);
  return rule;
}

FramePattern frames_of(Globs functions, std::vector<NamePattern> modules, bool any_frames) {
  FramePattern frame;
  frame.any_frames = any_frames;
  for (const std::string_view function : functions)
    frame.functions.push_back(NamePattern::glob(function));
  frame.modules = std::move(modules);
  return frame;
}

SuppressionRule rule_of(const Resident& resident) {
  SuppressionRule rule = rule_named(resident.name);
  if (resident.inner != Resident::nothing)
    rule.frames.push_back(frames_of({}, modules_of(resident.inner), true));
  if (resident.needs_inner_frame) {
    std::vector<NamePattern> own;
    if (resident.inner == Resident::cxx)
      append(own, kCxx);
    else
      append(own, kGlib);
    rule.frames.push_back(frames_of({}, std::move(own), false));
  }
  rule.frames.push_back(frames_of(resident.entry_functions, modules_of(resident.entry), false));
  return rule;
}

} // namespace

std::vector<SuppressionRule> built_in_suppressions() {
  std::vector<SuppressionRule> rules;
  for (const Resident& resident : kResidents)
    rules.push_back(rule_of(resident));

  // What newlocale itself allocates is its caller's; what functions within it read from files stays in libc.
  SuppressionRule locales = rule_named("libc: locales (files read by newlocale)");
  locales.frames.push_back(frames_of({}, modules_of(Resident::libc), true));
  locales.frames.push_back(frames_of({}, modules_of(Resident::at_libc), false));
  locales.frames.push_back(frames_of({"newlocale", "__newlocale"}, modules_of(Resident::at_libc), false));
  rules.push_back(std::move(locales));

  // libstdc++ linked into the program: the same pool, known by the constructor function of its source file.
  SuppressionRule pool = rule_named("libstdc++: emergency pool for exceptions (linked statically)");
  pool.frames.push_back(
      frames_of({"*::pool::pool*", "__static_initialization_and_destruction_0*"}, {}, true));
  pool.frames.push_back(frames_of({"_GLOBAL__sub_I_eh_alloc.cc"}, {}, false));
  rules.push_back(std::move(pool));

  // cout synchronised with stdio writes through stdout: libstdc++ itself calls these with no other stream.
  SuppressionRule buffers = rule_named("libc: buffers of standard streams (through C++ streams)");
  buffers.frames.push_back(frames_of({}, modules_of(Resident::libc), true));
  buffers.frames.push_back(frames_of({"fwrite", "_IO_fwrite", "putc", "_IO_putc", "fputc", "getc", "_IO_getc",
                                      "fread", "_IO_fread", "putwc"},
                                     modules_of(Resident::at_libc), false));
  buffers.frames.push_back(frames_of({}, modules_of(Resident::at_cxx), false));
  rules.push_back(std::move(buffers));
  return rules;
}

} // namespace hl
