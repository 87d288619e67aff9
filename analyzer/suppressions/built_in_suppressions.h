// Rules for what the C and C++ runtime keep for the life of every process: not leaks of anybody, and nothing
// a program could free.
//
// They must not hide a leak of the program's own. So each is a fact about a whole inner end of a stack: from
// the allocation outward nothing but frames in the runtime's own libraries, up to a function that never hands
// a block to its caller (getpwnam, setlocale, tzset; not strdup, fopen, newlocale, setenv). A callback of the
// program's in between ends it. And they suppress only what is still reachable or possibly lost: what libc
// really loses, or what is lost with its owner, is shown. Which were seen where: docs/leaks.md.
#pragma once

#include <vector>

#include "suppressions/suppression_rule.h"

namespace hl {

std::vector<SuppressionRule> built_in_suppressions();

} // namespace hl
