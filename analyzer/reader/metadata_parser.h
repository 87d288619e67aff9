// Payloads of the small chunks -> TraceMetadata and modules. Each function returns false if the payload
// cannot be what it claims; what was read before stays.
#pragma once

#include <cstdint>
#include <span>

#include "reader/module_table.h"
#include "reader/trace_metadata.h"

namespace hl {

bool parse_header(std::span<const uint8_t> payload, TraceMetadata& out);
bool parse_clock(std::span<const uint8_t> payload, TraceMetadata& out);
bool parse_threads(std::span<const uint8_t> payload, TraceMetadata& out);
bool parse_losses(std::span<const uint8_t> payload, TraceMetadata& out);
bool parse_status(std::span<const uint8_t> payload, TraceMetadata& out);
bool parse_recorder(std::span<const uint8_t> payload, TraceMetadata& out);
bool parse_sampling(std::span<const uint8_t> payload, TraceMetadata& out);
bool parse_unwind_check(std::span<const uint8_t> payload, TraceMetadata& out);
bool parse_modules(std::span<const uint8_t> payload, ModuleTable& out);

} // namespace hl
