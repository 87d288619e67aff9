// See trace_options.h.
#include "cli/trace_options.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cli/verbs.h"

namespace hl {
namespace {

bool says_utf8(const char* value) {
  return ::strcasestr(value, "utf-8") != nullptr || ::strcasestr(value, "utf8") != nullptr;
}

// By the locale's variables, as setlocale would choose them; files and pipes get UTF-8 unless told otherwise.
bool output_is_unicode() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0')
      return says_utf8(value);
  }
  return false;
}

} // namespace

void TraceOptions::add_trace(CLI::App& app, bool with_moment) {
  app.add_option("TRACE", trace,
                 with_moment ? "trace file or run directory, then optionally @peak, @+90s, @14:03:07,\n"
                               "@mark:NAME or @exit; none: the newest run here"
                             : "trace file or run directory; none: the newest run here")
      ->option_text(" ");
  app.add_option("--pid", pid, "the process of the run with this pid, instead of its root process")
      ->option_text("PID");
}

void TraceOptions::add_output(CLI::App& app) {
  app.add_flag("--json", json, "one JSON object on stdout (docs/json.md)");
  app.add_flag("--exact", exact, "byte counts in full");
  app.add_option("--width", width, "columns of text output (the terminal's, at most 120; else 100)")
      ->option_text("COLUMNS")
      ->check(CLI::Range(size_t{40}, size_t{1000}));
}

void TraceOptions::add_limits(CLI::App& app) {
  app.add_option("--max", limits,
                 "exit with 1 if METRIC is greater than VALUE; `heapledger metrics` lists them")
      ->option_text("METRIC=VALUE")
      ->expected(1)
      ->take_all();
  add_reports(app, "what came of the limits");
}

void TraceOptions::add_reports(CLI::App& app, const std::string& what) {
  app.add_option("--junit", junit_file, "write " + what + " to FILE, as JUnit XML")->option_text("FILE");
  app.add_flag("--github", github,
               "say what failed in annotations of GitHub Actions (with --json: on stderr)");
}

void TraceOptions::add_symbols(CLI::App& app) {
  app.add_option("--sysroot", symbols.sysroot,
                 "where the traced machine's files are: put before every path of the trace")
      ->option_text("DIR");
  app.add_option("--debug-dir", symbols.debug_dirs,
                 "where separate debug information is; may be given more than once")
      ->option_text("DIR")
      ->expected(1)
      ->take_all();
  app.add_flag("--no-cache", no_cache, "neither read nor write caches");
}

TextStyle TraceOptions::style() const {
  TextStyle style;
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  const char* no_colour = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  style.colours = terminal && (no_colour == nullptr || *no_colour == '\0') &&
                  (term == nullptr || std::strcmp(term, "dumb") != 0);
  style.unicode = output_is_unicode();
  style.exact = exact;
  if (width != 0) {
    style.width = width;
  } else if (winsize size{};
             terminal && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40) {
    style.width = std::min<size_t>(size.ws_col, 120);
  }
  return style;
}

SymbolizerOptions TraceOptions::symbolizer_options() const {
  SymbolizerOptions result = symbols;
  result.use_cache = !no_cache;
  return result;
}

OpenedTrace open_trace(const TraceOptions& options) {
  std::string bad_moment;
  const NamedTrace named = split_moment(options.trace, bad_moment);
  if (!bad_moment.empty())
    throw UsageError("'" + bad_moment + "' is no moment; use exit, peak, mark:NAME, +90s or 14:03:07");
  OpenedTrace opened;
  opened.moment = named.moment;
  opened.choice = choose_trace(named.path, options.pid);
  opened.trace = Trace::open(opened.choice.path, opened.choice.session_image);
  return opened;
}

int guarded_main(CLI::App& app, int argc, char** argv, const std::function<int()>& body) {
  const auto complain = [](const char* message) { std::fprintf(stderr, "heapledger: %s\n", message); };
  try {
    app.parse(argc, argv);
    const int code = body();
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      complain("the output could not be written in full");
      return code == kExitFine ? kExitUsage : code;
    }
    return code;
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return kExitFine;
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "%s: %s\nTry '%s --help'.\n", app.get_name().c_str(), error.what(),
                 app.get_name().c_str());
    return kExitUsage;
  } catch (const UsageError& error) {
    complain(error.what());
    return kExitUsage;
  } catch (const TraceError& error) {
    complain(error.what());
    return kExitUnusableTrace;
  } catch (const std::bad_alloc&) {
    complain("out of memory");
    return kExitUnusableTrace;
  }
}

} // namespace hl
