// What a cached profile belongs to: a finished trace, a moment, and the files its names came from.
#pragma once

#include <optional>
#include <string>

#include "analyses/moment.h"
#include "diff/profile_file.h"
#include "reader/trace.h"
#include "symbols/symbolizer.h"

namespace hl {

// nullopt: this trace is not finished, so nothing about it is kept.
std::optional<ProfileKey> profile_key(const Trace& trace, const Moment& moment,
                                      const SymbolizerOptions& symbols);
// Where the cache of that key is: beside the trace.
std::string profile_cache_path(const Trace& trace, const ProfileKey& key);

} // namespace hl
