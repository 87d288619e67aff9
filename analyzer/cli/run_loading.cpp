// See run_loading.h.
#include "cli/run_loading.h"

#include <exception>
#include <optional>
#include <thread>

#include "diff/profile_builder.h"
#include "diff/profile_key.h"

namespace hl {

RunProfile load_run(const RunRequest& request) {
  if (is_profile_file(request.argument)) {
    if (!request.rules.usual())
      throw UsageError("suppressions want the trace; " + request.argument + " is a saved profile");
    std::optional<RunProfile> profile = load_profile(request.argument);
    if (!profile)
      throw TraceError(TraceErrorKind::unreadable, request.argument,
                       "a saved profile, but damaged or of another version");
    return std::move(*profile);
  }
  TraceOptions options = *request.options;
  options.trace = request.argument;
  const OpenedTrace opened = open_trace(options);
  const Trace& trace = *opened.trace;
  const SymbolizerOptions symbols = options.symbolizer_options();
  const std::optional<ProfileKey> key =
      options.no_cache || !request.rules.usual() ? std::nullopt : profile_key(trace, opened.moment, symbols);
  const std::string cache = key ? profile_cache_path(trace, *key) : "";
  if (key)
    if (std::optional<RunProfile> kept = load_profile(cache, &*key))
      return std::move(*kept);

  LeakRules rules{request.rules};
  RuleOf rule_of;
  std::string why;
  std::optional<RunProfile> profile = build_profile(
      trace,
      {.moment = opened.moment,
       .symbols = symbols,
       .suppressed = [&](const Trace& of, const ReplayResult& result,
                         const StackResolver& resolver) -> SuppressedSite {
         rule_of = rules.rule_of(of, result, resolver);
         return [&rule_of](uint32_t site) { return rule_of(LeakClass::definite, site).has_value(); };
       },
       .progress = request.progress},
      why);
  if (!profile)
    throw UsageError(why);
  // A cache is a convenience: where it cannot be written, nothing is lost but time.
  if (key)
    save_profile(cache, *profile, *key);
  return std::move(*profile);
}

std::pair<RunProfile, RunProfile> load_runs(const RunRequest& base, const RunRequest& next) {
  std::optional<RunProfile> first;
  std::exception_ptr failure;
  std::thread other([&] {
    try {
      first = load_run(base);
    } catch (...) {
      failure = std::current_exception();
    }
  });
  std::optional<RunProfile> second;
  try {
    second = load_run(next);
  } catch (...) {
    other.join();
    if (failure)
      std::rethrow_exception(failure);
    throw;
  }
  other.join();
  if (failure)
    std::rethrow_exception(failure);
  return {std::move(*first), std::move(*second)};
}

} // namespace hl
