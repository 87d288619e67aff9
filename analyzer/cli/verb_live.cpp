// `heapledger live`: the live heap at a moment, by site.
#include "cli/heap_question.h"
#include "cli/verbs.h"

namespace hl {

int run_live(int argc, char** argv) {
  CLI::App app("The live heap at a moment (default: the end), by site.", "heapledger live");
  HeapQuestion question;
  question.add_options(app);
  return guarded_main(app, argc, argv, [&] { return question.answer(live_text, live_json); });
}

} // namespace hl
