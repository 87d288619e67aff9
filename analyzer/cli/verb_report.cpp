// `heapledger report`: who allocated what, held how much at the peak, and did not free it.
#include "cli/heap_question.h"
#include "cli/verbs.h"

namespace hl {

int run_report(int argc, char** argv) {
  CLI::App app("Who allocated, who held the memory at the peak, what was not freed, and what was lost.",
               "heapledger report");
  HeapQuestion question;
  question.add_options(app);
  return guarded_main(app, argc, argv, [&] {
    return question.answer([&](const HeapAnswer& answer) {
      if (question.options.json) {
        JsonWriter json(stdout);
        report_json(answer, json);
        json.flush();
        std::fputc('\n', stdout);
      } else {
        std::fputs(report_text(answer, question.options.style()).c_str(), stdout);
      }
    });
  });
}

} // namespace hl
