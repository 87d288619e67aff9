// What recordings say wrote them.
#pragma once

namespace hl {

inline constexpr char kRecorderVersion[] = "heapledger 0.1.0";

} // namespace hl
