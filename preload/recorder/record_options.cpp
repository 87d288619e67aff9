// See record_options.h. Parsed by hand: everything from the first word that is no option belongs to APP.
#include "record_options.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "heapledger/session_layout.h"

namespace hl {

const char kRecordUsage[] =
    R"(Usage: heapledger record [OPTIONS] [--] APP [ARGS...]

Runs APP and records its memory. Ends with APP's exit status (128+N after signal N).

  -o, --output FILE       trace of APP itself; its children's go to FILE.PID.N.hlt. An existing FILE is kept as
                          FILE.~1~, FILE.~2~ ... Each %p in it is the pid of the process whose trace it is.
                          Without -o: a new directory heapledger-APP-DATE-TIME-PID
      --output-dir DIR    where that directory is made (default: $HEAPLEDGER_DIR, else here, else /var/tmp)
  -q, --quiet             print nothing
      --free-stacks       record the call stack of each free too      --no-free-stacks
      --on-overload WHAT  when events come faster than they can be written: wait (default) or drop (and count)
      --overload-wait S   how long a process may wait in total before it drops (default 2 seconds)
      --pool-size MIB     memory for events on their way to the trace (default 8)
      --zstd-level N      compression, 1 (default) to 19
      --no-follow         do not record APP's children
      --leaks WHICH       who is scanned for leaks when it ends: auto (default: APP, and children that lived for a
                          second), root (APP alone), all or none
      --leak-options LIST where words count as pointers, as NAME=0 or NAME=1 with commas between: use_stacks,
                          use_registers, use_globals, use_tls, mappings, heuristics (all 1), use_unaligned (0);
                          contents=1: keep the first 64 bytes of an example block of each place in the trace
      --sample-budget PCT how much of one processor samples of memory (the memory map, cgroup, OOM score) may take:
                          0.01 to 100 percent (default 1); 0: none but those that are asked for
      --unwinder WHICH    own (default) or libunwind (slow; a reference)
      --check-unwind      compare every stack walk with libunwind's (slow; also HEAPLEDGER_CHECK_UNWIND=1)
      --private-argv      do not store APP's arguments in the trace
  -h, --help              this text
)";

namespace {

bool to_number(const std::string& text, double least, double most, double& value) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != 0 || !(number >= least) || !(number <= most))
    return false;
  value = number;
  return true;
}

bool to_leak_policy(std::string_view text, LeakPolicy& policy) {
  static constexpr std::pair<std::string_view, LeakPolicy> kPolicies[] = {
      {"auto", LeakPolicy::automatic},
      {"root", LeakPolicy::root},
      {"all", LeakPolicy::all},
      {"none", LeakPolicy::none},
  };
  for (const auto& [name, value] : kPolicies)
    if (text == name) {
      policy = value;
      return true;
    }
  return false;
}

// NAME=0|1[,NAME=0|1...], the names those of LeakSanitizer's options.
bool set_scan_options(std::string_view list, uint32_t& options) {
  static constexpr std::pair<std::string_view, uint32_t> kNames[] = {
      {"use_stacks", kScanStacks},     {"use_registers", kScanRegisters}, {"use_globals", kScanGlobals},
      {"use_tls", kScanTls},           {"use_unaligned", kScanUnaligned}, {"mappings", kScanMappings},
      {"heuristics", kScanHeuristics}, {"contents", kScanContents},
  };
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view item = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    const size_t equals = item.find('=');
    if (equals == item.npos || (item.substr(equals) != "=0" && item.substr(equals) != "=1"))
      return false;
    bool known = false;
    for (const auto& [name, bit] : kNames)
      if (name == item.substr(0, equals)) {
        options = item.back() == '1' ? options | bit : options & ~bit;
        known = true;
      }
    if (!known)
      return false;
  }
  return true;
}

} // namespace

bool parse_record_options(int argc, char** argv, RecordOptions& o, std::string& why) {
  if (const char* directory = std::getenv("HEAPLEDGER_DIR"))
    o.output_directory = directory;
  if (const char* check = std::getenv(kEnvCheckUnwind); check != nullptr && std::strcmp(check, "1") == 0)
    o.flags |= kSessionCheckUnwind;
  const auto set_flag = [&o](uint32_t flag, bool on) { o.flags = on ? o.flags | flag : o.flags & ~flag; };
  int i = 0;
  for (; i < argc; i++) {
    const std::string_view word = argv[i];
    if (word == "--") {
      i++;
      break;
    }
    if (word.size() < 2 || word[0] != '-')
      break;
    if (word == "-q" || word == "--quiet")
      o.quiet = true;
    else if (word == "-h" || word == "--help")
      o.help = true;
    else if (word == "--free-stacks")
      set_flag(kSessionFreeStacks, true);
    else if (word == "--no-free-stacks")
      set_flag(kSessionFreeStacks, false);
    else if (word == "--no-follow")
      set_flag(kSessionNoFollow, true);
    else if (word == "--private-argv")
      set_flag(kSessionPrivateArgv, true);
    else if (word == "--check-unwind")
      set_flag(kSessionCheckUnwind, true);
    else {
      // Options with a value: --name VALUE, --name=VALUE, -o FILE, -oFILE.
      std::string name(word), value;
      bool has_value = false;
      if (word.starts_with("-o") && word.size() > 2) {
        name = "-o";
        value = word.substr(2);
        has_value = true;
      } else if (const size_t equals = word.find('='); word.starts_with("--") && equals != word.npos) {
        name = word.substr(0, equals);
        value = word.substr(equals + 1);
        has_value = true;
      }
      static constexpr std::string_view kNames[] = {"-o",
                                                    "--output",
                                                    "--output-dir",
                                                    "--on-overload",
                                                    "--overload-wait",
                                                    "--wait-budget",
                                                    "--pool-size",
                                                    "--pool",
                                                    "--zstd-level",
                                                    "--unwinder",
                                                    "--leaks",
                                                    "--leak-options",
                                                    "--sample-budget"};
      bool known = false;
      for (const std::string_view k : kNames)
        known |= name == k;
      if (!known) {
        why = "unknown option " + name;
        return false;
      }
      if (!has_value) {
        if (++i == argc) {
          why = name + " needs a value";
          return false;
        }
        value = argv[i];
      }
      double number = 0;
      bool good = true;
      if (name == "-o" || name == "--output") {
        good = !value.empty();
        o.output = value;
      } else if (name == "--output-dir") {
        good = !value.empty();
        o.output_directory = value;
      } else if (name == "--on-overload") {
        good = value == "wait" || value == "drop";
        set_flag(kSessionDropOnOverload, value == "drop");
      } else if (name == "--overload-wait" || name == "--wait-budget") {
        good = to_number(value, 0, 86400, o.overload_wait_s);
      } else if (name == "--pool-size" || name == "--pool") {
        if ((good = to_number(value, 1, 1024, number)))
          o.pool_mib = static_cast<uint32_t>(number);
      } else if (name == "--zstd-level") {
        if ((good = to_number(value, 1, 19, number)))
          o.zstd_level = static_cast<int>(number);
      } else if (name == "--leaks") {
        good = to_leak_policy(value, o.leaks);
      } else if (name == "--sample-budget") {
        good = to_number(value, 0, 100, o.sample_budget_percent) &&
               (o.sample_budget_percent == 0 || o.sample_budget_percent >= 0.01);
      } else if (name == "--leak-options") {
        good = set_scan_options(value, o.scan_options);
      } else {
        good = value == "own" || value == "libunwind";
        set_flag(kSessionUnwinderLibunwind, value == "libunwind");
      }
      if (!good) {
        why = "wrong value for ";
        why.append(name).append(": ").append(value);
        return false;
      }
    }
  }
  for (; i < argc; i++)
    o.command.emplace_back(argv[i]);
  if (o.command.empty() && !o.help) {
    why = "no application given";
    return false;
  }
  return true;
}

} // namespace hl
