/* Entry stubs of operator new and delete, one per row of operators.def. A stub jumps straight to the real
 * operator once that is known to be a layer over malloc (see operator_hooks.cpp): then no frame of ours stands
 * in the stacks that malloc's hook records.
 */
#include "platform/entry_stub_x86_64.h"

  .text
#define HL_OPERATOR(symbol, arguments, shape) HL_STUB symbol, hl_hook_##symbol, arguments, hl_pass_##symbol ;
#include "interpose/operator_new/operators.def"
#undef HL_OPERATOR

  .section .note.GNU-stack,"",@progbits
