// `heapledger report`: who allocated what, held how much at the peak, and did not free it.
#include "cli/heap_question.h"
#include "cli/verbs.h"

namespace hl {

int run_report(int argc, char** argv) {
  CLI::App app("Who allocated, who held the memory at the peak, what was not freed, and what was lost.",
               "heapledger report");
  HeapQuestion question;
  question.add_options(app);
  return guarded_main(app, argc, argv, [&] { return question.answer(report_text, report_json); });
}

} // namespace hl
