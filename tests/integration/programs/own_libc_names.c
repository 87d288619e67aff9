// A program with functions of its own under names of libc's, which are therefore exported: whoever calls
// libc's by name gets these. Each complains when another than main() calls it.
#include <stddef.h>

extern char** environ;
extern void* malloc(size_t);
extern void* calloc(size_t, size_t);
extern void* realloc(void*, size_t);
extern void free(void*);
extern long write(int, const void*, size_t);
extern int fork(void);
extern int waitpid(int, int*, int);
extern void _exit(int);
extern int posix_spawn(int*, const char*, const void*, const void*, char* const[], char* const[]);
extern int posix_spawnattr_init(void*);
extern int posix_spawnattr_setflags(void*, short);

static int by_main;

static void complain(const char* name) {
  if (by_main)
    return;
  size_t n = 0;
  while (name[n])
    ++n;
  write(1, name, n);
  write(1, " was called by somebody else\n", 29);
}

void* memmove(void* to, const void* from, size_t n) {
  complain("memmove");
  char* d = to;
  const char* s = from;
  if (d < s)
    for (size_t i = 0; i < n; ++i)
      d[i] = s[i];
  else
    while (n-- > 0)
      d[n] = s[n];
  return to;
}
void* memcpy(void* to, const void* from, size_t n) {
  complain("memcpy");
  for (size_t i = 0; i < n; ++i)
    ((volatile char*)to)[i] = ((const char*)from)[i];
  return to;
}
void* memset(void* to, int value, size_t n) {
  complain("memset");
  for (size_t i = 0; i < n; ++i)
    ((volatile char*)to)[i] = (char)value;
  return to;
}
int memcmp(const void* a, const void* b, size_t n) {
  complain("memcmp");
  for (size_t i = 0; i < n; ++i)
    if (((const unsigned char*)a)[i] != ((const unsigned char*)b)[i])
      return ((const unsigned char*)a)[i] - ((const unsigned char*)b)[i];
  return 0;
}
size_t strnlen(const char* s, size_t most) {
  complain("strnlen");
  size_t n = 0;
  while (n < most && s[n])
    ++n;
  return n;
}
size_t strlen(const char* s) {
  complain("strlen");
  size_t n = 0;
  while (s[n])
    ++n;
  return n;
}
int strncmp(const char* a, const char* b, size_t n) {
  complain("strncmp");
  for (; n > 0; --n, ++a, ++b)
    if (*a != *b || !*a)
      return (unsigned char)*a - (unsigned char)*b;
  return 0;
}
int strcmp(const char* a, const char* b) {
  complain("strcmp");
  while (*a && *a == *b)
    ++a, ++b;
  return (unsigned char)*a - (unsigned char)*b;
}
char* strcpy(char* to, const char* from) {
  complain("strcpy");
  char* d = to;
  while ((*d++ = *from++))
    ;
  return to;
}
char* strchr(const char* s, int c) {
  complain("strchr");
  for (; *s != (char)c; ++s)
    if (!*s)
      return 0;
  return (char*)s;
}
char* strrchr(const char* s, int c) {
  complain("strrchr");
  const char* last = 0;
  for (;; ++s) {
    if (*s == (char)c)
      last = s;
    if (!*s)
      return (char*)last;
  }
}

// What these do for the program has nothing to do with what they are in libc.
#define QUITE_ANOTHER(name)                                                                                  \
  int name(void) {                                                                                           \
    complain(#name);                                                                                         \
    return 7;                                                                                                \
  }
QUITE_ANOTHER(on_exit)
QUITE_ANOTHER(getauxval)
QUITE_ANOTHER(dl_iterate_phdr)
QUITE_ANOTHER(sigaddset)
QUITE_ANOTHER(posix_spawnattr_getflags)
QUITE_ANOTHER(pthread_key_create)
QUITE_ANOTHER(pthread_setspecific)
QUITE_ANOTHER(getenv)
QUITE_ANOTHER(getpid)
QUITE_ANOTHER(gettid)
QUITE_ANOTHER(open)
QUITE_ANOTHER(read)
QUITE_ANOTHER(close)
QUITE_ANOTHER(syscall)
QUITE_ANOTHER(clock_gettime)
QUITE_ANOTHER(sched_yield)
QUITE_ANOTHER(nanosleep)
QUITE_ANOTHER(dlsym)
QUITE_ANOTHER(raise)
QUITE_ANOTHER(kill)

int main(void) {
  by_main = 1;
  const int sum = on_exit() + getauxval() + dl_iterate_phdr() + sigaddset() + posix_spawnattr_getflags() +
                  pthread_key_create() + pthread_setspecific() + getenv() + getpid() + gettid() + open() +
                  read() + close() + syscall() + clock_gettime() + sched_yield() + nanosleep() + dlsym() +
                  raise() + kill();
  by_main = 0;
  char* block = malloc(100);
  block = realloc(block, 1000);
  free(block);
  free(calloc(3, 5));
  int status = 0;
  const int child = fork();
  if (child == 0) {
    free(malloc(50));
    _exit(3);
  }
  waitpid(child, &status, 0);
  // As large as posix_spawnattr_t (336 bytes) at least.
  static long attributes[64];
  posix_spawnattr_init(attributes);
  posix_spawnattr_setflags(attributes, 1); // POSIX_SPAWN_RESETIDS
  char* arguments[] = {"true", 0};
  int spawned = 0;
  const int error = posix_spawn(&spawned, "/bin/true", 0, attributes, arguments, environ);
  if (error == 0)
    waitpid(spawned, &status, 0);
  return sum == 140 && error == 0 ? 0 : 1;
}
