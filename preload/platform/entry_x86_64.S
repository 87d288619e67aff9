/* Entry stubs of the interposed functions, one per row of interpose/hooks.def, and vfork's.
 * The stub itself: entry_stub_x86_64.h.
 */
#include "platform/entry_stub_x86_64.h"

  .text
#define HL_HOOK(symbol, arguments) HL_STUB symbol, hl_hook_##symbol, arguments ;
#include "interpose/hooks.def"
#undef HL_HOOK

/* vfork returns twice on one frame, so nothing of ours may stand on the stack when it runs: note the event,
 * then jump. The pointer is resolved by hl_before_vfork, which returns it. */
  .globl vfork
  .type vfork, @function
  .p2align 4
vfork:
  .cfi_startproc
  endbr64
  HL_SNAPSHOT
  leaq HL_REGISTERS(%rsp), %rdi
  call hl_before_vfork
  addq $HL_STACK, %rsp
  .cfi_adjust_cfa_offset -HL_STACK
  jmp *%rax
  .cfi_endproc
  .size vfork, . - vfork

/* What our signal handlers return through. Debuggers and unwinders know these very bytes for the end of a
 * handler's frame. */
  .globl hl_signal_return
  .hidden hl_signal_return
  .type hl_signal_return, @function
  .p2align 4
  nop
hl_signal_return:
  movq $15, %rax
  syscall
  .size hl_signal_return, . - hl_signal_return

  .section .note.GNU-stack,"",@progbits
