// usage: trace_check FILE...   prints what a trace of numbered events holds
#include <cstdio>

#include "trace_check.h"

int main(int argc, char** argv) {
  for (int i = 1; i < argc; i++) {
    const hl::TraceFacts f = hl::check_trace(argv[i]);
    std::printf("%s: readable %d closed %d events %lu threads %zu out_of_order %lu below_low_water %lu "
                "unknown_stacks %lu "
                "nodes %lu modules %lu how %u code %d %s\n",
                argv[i], f.readable, f.closed, static_cast<unsigned long>(f.all_events), f.events.size(),
                static_cast<unsigned long>(f.out_of_order), static_cast<unsigned long>(f.below_low_water),
                static_cast<unsigned long>(f.unknown_stacks), static_cast<unsigned long>(f.nodes),
                static_cast<unsigned long>(f.modules), f.status.how, f.status.code, f.why.c_str());
    for (const auto& [thread, count] : f.events)
      std::printf("  thread %u: %lu\n", thread, static_cast<unsigned long>(count));
    for (const auto& [kind, count] : f.chunks)
      std::printf("  kind %u: %u\n", kind, count);
  }
}
