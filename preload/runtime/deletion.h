// A call under way that ends a block and may say so again through free's public name: operator delete,
// realloc. Both preloaded libraries pass it on.
#pragma once

#include <stdint.h>

namespace hl {

struct Deletion {
  uint64_t address; // of the block; 0: none
  uint64_t frame;   // CFA of the call
};

} // namespace hl
