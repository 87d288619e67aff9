/* The entry stub of an interposed function, for the assembly files of both preloaded libraries.
 *
 * A stub snapshots the caller's callee-saved registers before any compiled code can move them (the walk then
 * starts in the caller, not in a frame of ours), passes the arguments on untouched and the address of the
 * snapshot as one argument more, and calls the body. It must stay transparent: no flags, no other registers,
 * 16-byte stack alignment, CFI so that debuggers and exceptions pass through.
 *
 * Stack inside a stub, from rsp: [0] argument on the stack for six-argument functions, [8] padding,
 * [16] EntryRegisters (64 bytes), [80] padding, [88] return address.
 */
/* clang-format off */

#define HL_STACK 88
#define HL_REGISTERS 16

/* Makes the stub's frame and fills the EntryRegisters in it. Changes r11 alone. */
  .macro HL_SNAPSHOT
  subq $HL_STACK, %rsp
  .cfi_adjust_cfa_offset HL_STACK
  movq %rbx, HL_REGISTERS+0(%rsp)
  movq %rbp, HL_REGISTERS+8(%rsp)
  movq %r12, HL_REGISTERS+16(%rsp)
  movq %r13, HL_REGISTERS+24(%rsp)
  movq %r14, HL_REGISTERS+32(%rsp)
  movq %r15, HL_REGISTERS+40(%rsp)
  leaq HL_STACK+8(%rsp), %r11
  movq %r11, HL_REGISTERS+48(%rsp)
  movq HL_STACK(%rsp), %r11
  movq %r11, HL_REGISTERS+56(%rsp)
  .endm

/* `pass`: a variable that, once not null, holds where to jump instead, as if the stub were not there. `aside`:
 * a byte; while it is not 0, the same holds for the variable `real`. */
  .macro HL_STUB symbol, body, arguments, pass, aside, real
  .globl \symbol
  .type \symbol, @function
  .p2align 4
\symbol:
  .cfi_startproc
  endbr64
  .ifnb \pass
  movq \pass(%rip), %rax
  testq %rax, %rax
  jz 1f
  jmp *%rax
1:
  .endif
  .ifnb \aside
  cmpb $0, \aside(%rip)
  jne 2f
3:
  .endif
  HL_SNAPSHOT
  leaq HL_REGISTERS(%rsp), %r11
  .if \arguments == 0
  movq %r11, %rdi
  .elseif \arguments == 1
  movq %r11, %rsi
  .elseif \arguments == 2
  movq %r11, %rdx
  .elseif \arguments == 3
  movq %r11, %rcx
  .elseif \arguments == 4
  movq %r11, %r8
  .elseif \arguments == 5
  movq %r11, %r9
  .else
  movq %r11, (%rsp)
  .endif
  call \body
  addq $HL_STACK, %rsp
  .cfi_adjust_cfa_offset -HL_STACK
  ret
  .ifnb \aside
2:
  movq \real(%rip), %r11
  testq %r11, %r11
  jz 3b
  jmp *%r11
  .endif
  .cfi_endproc
  .size \symbol, . - \symbol
  .endm

/* The same for a function of a list of words: the body gets the six that are in registers, the ones on the stack,
 * and the caller's registers. */
#define HL_WORDS 48
  .macro HL_STUB_WORDS symbol, body, aside, real
  .globl \symbol
  .type \symbol, @function
  .p2align 4
\symbol:
  .cfi_startproc
  endbr64
  cmpb $0, \aside(%rip)
  jne 2f
3:
  HL_SNAPSHOT
  subq $HL_WORDS, %rsp
  .cfi_adjust_cfa_offset HL_WORDS
  movq %rdi, 0(%rsp)
  movq %rsi, 8(%rsp)
  movq %rdx, 16(%rsp)
  movq %rcx, 24(%rsp)
  movq %r8, 32(%rsp)
  movq %r9, 40(%rsp)
  movq %rsp, %rdi
  leaq HL_WORDS+HL_STACK+8(%rsp), %rsi
  leaq HL_WORDS+HL_REGISTERS(%rsp), %rdx
  call \body
  addq $HL_WORDS+HL_STACK, %rsp
  .cfi_adjust_cfa_offset -HL_WORDS-HL_STACK
  ret
2:
  movq \real(%rip), %r11
  testq %r11, %r11
  jz 3b
  jmp *%r11
  .cfi_endproc
  .size \symbol, . - \symbol
  .endm
