// Code that no unwinder has a description of: assembly without call frame information, with and without a
// frame pointer, and code that the program writes itself, again and again at the same address, made
// executable in several ways.
//
// usage: odd_code MODE ROUNDS   MODE: assembly, generated   prints: MODE done
#define _GNU_SOURCE
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "counting.h"

#define OWN_FRAME __attribute__((noinline, noclone))
#define AFTER_CALL __asm__ volatile("" ::: "memory")

// Both allocate and free a block; the second leaves a value in rbp that is no frame pointer.
void with_frame_pointer(size_t size);
void without_frame_pointer(size_t size);
__asm__(
    ".text\n.p2align 4\n.type with_frame_pointer, @function\nwith_frame_pointer:\n"
    "push %rbp\nmov %rsp, %rbp\nsub $32, %rsp\ncall malloc@plt\nmov %rax, %rdi\ncall free@plt\nleave\nret\n"
    ".size with_frame_pointer, . - with_frame_pointer\n"
    ".p2align 4\n.type without_frame_pointer, @function\nwithout_frame_pointer:\n"
    "push %rbp\nmov $1, %ebp\ncall malloc@plt\nmov %rax, %rdi\ncall free@plt\npop %rbp\nret\n"
    ".size without_frame_pointer, . - without_frame_pointer\n");

OWN_FRAME static void call_assembly(void) {
  with_frame_pointer(1300);
  without_frame_pointer(1301);
  AFTER_CALL;
}

// A function that allocates `size` bytes, in a frame of `frame_bytes`, and frees them.
static size_t generate(unsigned char* at, uint32_t size, uint32_t frame_bytes) {
  unsigned char* p = at;
  void* (*const allocate)(size_t) = malloc;
  void (*const release)(void*) = free;
  const unsigned char enter[] = {0x55, 0x48, 0x89, 0xe5,
                                 0x48, 0x81, 0xec}; // push rbp; mov rbp, rsp; sub rsp, imm32
  memcpy(p, enter, sizeof enter), p += sizeof enter;
  memcpy(p, &frame_bytes, 4), p += 4;
  *p++ = 0xbf; // mov edi, imm32
  memcpy(p, &size, 4), p += 4;
  *p++ = 0x48, *p++ = 0xb8; // mov rax, imm64
  memcpy(p, &allocate, 8), p += 8;
  *p++ = 0xff, *p++ = 0xd0;              // call rax
  *p++ = 0x48, *p++ = 0x89, *p++ = 0xc7; // mov rdi, rax
  *p++ = 0x48, *p++ = 0xb8;
  memcpy(p, &release, 8), p += 8;
  *p++ = 0xff, *p++ = 0xd0, *p++ = 0xc9, *p++ = 0xc3; // call rax; leave; ret
  return (size_t)(p - at);
}

OWN_FRAME static void call_generated(unsigned char* code) {
  void (*function)(void);
  memcpy(&function, &code, sizeof function);
  function();
  AFTER_CALL;
}

// Each round's code stands where the last round's stood.
static void run_generated(int rounds) {
  unsigned char* const place = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < rounds; i++) {
    const uint32_t size = 1310 + (uint32_t)i % 4, frame = 16 * (1 + (uint32_t)i % 7);
    if (i % 4 < 2) { // mapped anew, writable and executable, or first the one and then the other
      const int rights = PROT_READ | PROT_WRITE | (i % 4 ? PROT_EXEC : 0);
      if (mmap(place, 8192, rights, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != place)
        abort();
      generate(place, size, frame);
      mprotect(place, 8192, PROT_READ | PROT_EXEC);
    } else { // two views of a file
      const int file = memfd_create("code", 0);
      unsigned char code[100];
      const size_t bytes = generate(code, size, frame);
      if (write(file, code, bytes) != (ssize_t)bytes ||
          mmap(place, 4096, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, file, 0) != place)
        abort();
      close(file);
    }
    call_generated(place);
    munmap(place, 8192);
  }
}

int main(int argc, char** argv) {
  if (argc < 3)
    return 2;
  const int rounds = atoi(argv[2]);
  if (strcmp(argv[1], "generated") == 0)
    run_generated(rounds);
  else
    for (int i = 0; i < rounds; i++)
      call_assembly();
  say("%s done\n", argv[1]);
  return 0;
}
