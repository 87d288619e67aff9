/* Entry stubs of the interposed functions, one per row of interpose/hooks.def, and vfork's.
 * The stub itself: entry_stub_x86_64.h.
 */
#include "platform/entry_stub_x86_64.h"

  .text
/* hl::g_real begins with a pointer for each row. */
  .set row, 0
#define HL_HOOK(symbol, arguments) \
  HL_STUB symbol, hl_hook_##symbol, arguments, , hl_stands_aside, _ZN2hl6g_realE+8*row ; \
  .set row, row + 1 ;
#define HL_HOOK_BESIDE(symbol, arguments, companion) \
  HL_STUB symbol, hl_hook_##symbol, arguments, , hl_aside_##symbol, _ZN2hl6g_realE+8*row ; \
  .set row, row + 1 ;
#define HL_HOOK_WORDS(symbol) \
  HL_STUB_WORDS symbol, hl_hook_##symbol, hl_stands_aside, _ZN2hl6g_realE+8*row ; \
  .set row, row + 1 ;
#include "interpose/hooks.def"
#undef HL_HOOK

/* int hl_call_with_words(void* function, const uint64_t registers[6], const uint64_t* stack, size_t count): calls it
 * with six words in registers and `count` more on the stack. */
  .globl hl_call_with_words
  .hidden hl_call_with_words
  .type hl_call_with_words, @function
  .p2align 4
hl_call_with_words:
  .cfi_startproc
  endbr64
  pushq %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset rbp, -16
  movq %rsp, %rbp
  .cfi_def_cfa_register rbp
  movq %rdi, %r11
  movq %rsi, %r10
  movq %rdx, %rsi
  leaq 1(%rcx), %rax
  andq $-2, %rax
  shlq $3, %rax
  subq %rax, %rsp
  movq %rsp, %rdi
  rep movsq
  movq 0(%r10), %rdi
  movq 8(%r10), %rsi
  movq 16(%r10), %rdx
  movq 24(%r10), %rcx
  movq 32(%r10), %r8
  movq 40(%r10), %r9
  xorl %eax, %eax
  call *%r11
  leave
  .cfi_def_cfa rsp, 8
  ret
  .cfi_endproc
  .size hl_call_with_words, . - hl_call_with_words

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

/* What the kernel calls for SIGBUS: see boot/bus_errors.h. One entry is 16 bytes; all do the same with their number.
 * The program's handler is jumped to with the arguments and the stack that the kernel made. */
  .globl hl_bus_entries
  .hidden hl_bus_entries
  .type hl_bus_entries, @function
  .p2align 4
hl_bus_entries:
  .cfi_startproc
  .set number, 0
  .rept 32
  .p2align 4
  endbr64
  movl $number, %ecx
  jmp hl_bus_entry_body
  .set number, number + 1
  .endr
  .p2align 4
hl_bus_entry_body:
  subq $40, %rsp
  .cfi_adjust_cfa_offset 40
  movq %rdi, 0(%rsp)
  movq %rsi, 8(%rsp)
  movq %rdx, 16(%rsp)
  call hl_on_bus_error
  movq 0(%rsp), %rdi
  movq 8(%rsp), %rsi
  movq 16(%rsp), %rdx
  addq $40, %rsp
  .cfi_adjust_cfa_offset -40
  testq %rax, %rax
  jz 1f
  jmp *%rax
1:
  ret
  .cfi_endproc
  .size hl_bus_entries, . - hl_bus_entries

  .section .note.GNU-stack,"",@progbits
