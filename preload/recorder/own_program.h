// Where this program lies: what it starts or preloads lies beside it.
#pragma once

#include <string>

namespace hl {

// Absolute; "" where neither /proc nor the kernel's word of how we were started (AT_EXECFN) tells.
std::string own_program();

} // namespace hl
