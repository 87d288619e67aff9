// `heapledger live`: the live heap at a moment, by site.
#include "cli/heap_question.h"
#include "cli/verbs.h"

namespace hl {

int run_live(int argc, char** argv) {
  CLI::App app("The live heap at a moment (default: the end), by site.", "heapledger live");
  HeapQuestion question;
  question.add_options(app);
  return guarded_main(app, argc, argv, [&] {
    return question.answer([&](const HeapAnswer& answer) {
      if (question.options.json) {
        JsonWriter json(stdout);
        live_json(answer, json);
        json.flush();
        std::fputc('\n', stdout);
      } else {
        std::fputs(live_text(answer, question.options.style()).c_str(), stdout);
      }
    });
  });
}

} // namespace hl
