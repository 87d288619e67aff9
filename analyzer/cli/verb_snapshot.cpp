// `heapledger snapshot PID`: a mark in the trace of a running program and, with --leaks, a leak scan of it.
#include <unistd.h>

#include "cli/trace_options.h"
#include "cli/verbs.h"
#include "heapledger/trace_format.h"
#include "live/running_process.h"
#include "renderers/text_style.h"

namespace hl {
namespace {

const char* failure_words(uint32_t failure) {
  switch (static_cast<ScanFailure>(failure)) {
  case ScanFailure::refused:
    return "stopping it (ptrace) is refused. By a tracer that is attached already, by a container or its "
           "seccomp filter (--cap-add=SYS_PTRACE permits it), or by kernel.yama.ptrace_scope; "
           "`heapledger leaks` of its trace says more. The scan at its end needs none of this";
  case ScanFailure::gone:
    return "the process ended, or became another program";
  case ScanFailure::no_memory:
    return "there is too little memory for it";
  case ScanFailure::too_long:
    return "it took too long";
  case ScanFailure::incomplete:
    return "events are missing from the trace";
  default:
    return "the scanner failed";
  }
}

std::string scan_line(const ScanDesk& desk) {
  const auto part = [&desk](LeakClass c, const char* words) {
    const size_t i = static_cast<size_t>(c) - 1;
    const uint64_t blocks = desk.class_blocks[i].load(std::memory_order_relaxed);
    return human_bytes(desk.class_bytes[i].load(std::memory_order_relaxed), TextStyle{}) + " in " +
           std::to_string(blocks) + (blocks == 1 ? " block " : " blocks ") + words;
  };
  return part(LeakClass::definite, "definitely lost, ") + part(LeakClass::indirect, "indirectly, ") +
         part(LeakClass::possible, "possibly, ") +
         part(LeakClass::reachable, "reachable; it stood still for ") +
         human_ns(desk.pause_ns.load(std::memory_order_relaxed));
}

} // namespace

int run_snapshot(int argc, char** argv) {
  CLI::App app("Names this moment in the trace of a program that is being recorded, takes its memory map "
               "while it stands still,\n"
               "and looks for leaks in it.",
               "heapledger snapshot");
  uint32_t pid = 0;
  std::string name;
  bool leaks = false;
  app.add_option("PID", pid, "the process")->required()->check(CLI::Range(1u, 1u << 22));
  app.add_flag("--leaks", leaks,
               "class each live block by whether it can still be reached; stops the program for a moment");
  app.add_option("--name", name, "of the mark; without it snapshot-N")->option_text("NAME");
  return guarded_main(app, argc, argv, [&] {
    const bool terminal = ::isatty(2) != 0;
    bool shown = false;
    try {
      RunningProcess process(pid, kExitUnusableTrace);
      name = process.ask(name, leaks ? kDeskScan : kDeskSample | kDeskStill, [&](double seconds) {
        if (!terminal || seconds < 2)
          return;
        std::fprintf(stderr, "\r\033[Kscanning, %.0f s", seconds);
        shown = true;
      });
      if (shown)
        std::fputs("\r\033[K", stderr);
      if (!leaks) {
        const char* const answer = process.sample_answer() == SampleAnswer::none
                                       ? "; its memory map could not be read"
                                   : process.sample_answer() == SampleAnswer::running
                                       ? "; memory map taken while it ran, as it could not be stopped"
                                       : "; memory map taken";
        const uint64_t pause_ns = process.desk().pause_ns.load(std::memory_order_relaxed);
        std::printf("marked: %s%s%s\n", name.c_str(), answer,
                    pause_ns != 0 ? (", it stood still for " + human_ns(pause_ns)).c_str() : "");
        return int{kExitFine};
      }
      const ScanDesk& desk = process.desk();
      if (desk.way.load() == static_cast<uint32_t>(ScanWay::none)) {
        std::fprintf(stderr, "heapledger snapshot: %s: not scanned: %s\n", name.c_str(),
                     failure_words(desk.failure.load()));
        return int{kExitUnusableTrace};
      }
      std::printf("%s: %s\n", name.c_str(), scan_line(desk).c_str());
    } catch (const NotRecorded& problem) {
      std::fprintf(stderr, "%sheapledger snapshot: %s\n", shown ? "\r\033[K" : "", problem.what());
      return int{kExitUnusableTrace};
    }
    return int{kExitFine};
  });
}

} // namespace hl
