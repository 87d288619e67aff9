// Memory and string functions of our own, under the names by which compilers and headers call them.
//
// libc's would be called through the dynamic linker, which takes the first that anyone defines: a program may
// have a strlen of its own, and preloaded libraries (fuzzers', sanitizers') watch who calls theirs. Linked
// into the shared library alone, and hidden, these serve us and nobody else.
//
// Simple rather than fast: sizes that matter are known to the compiler, which then calls nothing.
#include <stddef.h>
#include <stdint.h>

// Else a loop of strlen's kind becomes a call of strlen.
#ifndef __clang__
#pragma GCC optimize("no-tree-loop-distribute-patterns")
#endif

#define HL_OURS extern "C" [[gnu::visibility("hidden"), gnu::used]]

HL_OURS void* memcpy(void* to, const void* from, size_t bytes) {
  void* const result = to;
#if defined(__x86_64__)
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
#else
  auto* out = static_cast<uint8_t*>(to);
  for (const auto* in = static_cast<const uint8_t*>(from); bytes > 0; --bytes)
    *out++ = *in++;
#endif
  return result;
}

HL_OURS void* memset(void* to, int value, size_t bytes) {
  void* const result = to;
#if defined(__x86_64__)
  asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
#else
  for (auto* out = static_cast<uint8_t*>(to); bytes > 0; --bytes)
    *out++ = static_cast<uint8_t>(value);
#endif
  return result;
}

HL_OURS int memcmp(const void* a, const void* b, size_t bytes) {
  const auto* x = static_cast<const uint8_t*>(a);
  const auto* y = static_cast<const uint8_t*>(b);
  for (; bytes > 0; --bytes, ++x, ++y)
    if (*x != *y)
      return *x - *y;
  return 0;
}

HL_OURS size_t strnlen(const char* text, size_t most) {
  size_t n = 0;
  while (n < most && text[n] != '\0')
    ++n;
  return n;
}

HL_OURS size_t strlen(const char* text) {
  return strnlen(text, SIZE_MAX);
}

HL_OURS int strncmp(const char* a, const char* b, size_t most) {
  for (; most > 0; --most, ++a, ++b) {
    if (*a != *b)
      return static_cast<unsigned char>(*a) - static_cast<unsigned char>(*b);
    if (*a == '\0')
      return 0;
  }
  return 0;
}

HL_OURS int strcmp(const char* a, const char* b) {
  return strncmp(a, b, SIZE_MAX);
}

HL_OURS char* strcpy(char* to, const char* from) {
  memcpy(to, from, strlen(from) + 1);
  return to;
}

HL_OURS char* strncpy(char* to, const char* from, size_t room) {
  const size_t bytes = strnlen(from, room);
  memcpy(to, from, bytes);
  memset(to + bytes, 0, room - bytes);
  return to;
}

HL_OURS char* strchr(const char* text, int wanted) {
  for (;; ++text) {
    if (*text == static_cast<char>(wanted))
      return const_cast<char*>(text);
    if (*text == '\0')
      return nullptr;
  }
}

HL_OURS char* strrchr(const char* text, int wanted) {
  const char* last = nullptr;
  for (;; ++text) {
    if (*text == static_cast<char>(wanted))
      last = text;
    if (*text == '\0')
      return const_cast<char*>(last);
  }
}

HL_OURS size_t strspn(const char* text, const char* set) {
  size_t n = 0;
  while (text[n] != '\0' && strchr(set, text[n]) != nullptr)
    ++n;
  return n;
}

HL_OURS size_t strcspn(const char* text, const char* set) {
  size_t n = 0;
  while (text[n] != '\0' && strchr(set, text[n]) == nullptr)
    ++n;
  return n;
}

HL_OURS char* strstr(const char* text, const char* wanted) {
  const size_t bytes = strlen(wanted);
  for (;; ++text) {
    if (strncmp(text, wanted, bytes) == 0)
      return const_cast<char*>(text);
    if (*text == '\0')
      return nullptr;
  }
}
