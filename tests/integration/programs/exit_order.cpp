// Blocks that are freed as late as a program can: by atexit functions, by destructors of static objects, by a
// library's destructor function, and by a destructor that itself allocates. Recorded to the very end, nothing
// of this remains live. Only leave_one_behind's 123 bytes do. No iostreams: libstdc++ keeps memory of its
// own.
#include <cstdlib>
#include <unistd.h>

extern "C" int touch_exit_order_library();

namespace {

struct FreesAtExit {
  FreesAtExit() : block_(malloc(901)) {}
  FreesAtExit(const FreesAtExit&) = delete;
  FreesAtExit& operator=(const FreesAtExit&) = delete;
  ~FreesAtExit() {
    void* volatile last = malloc(902);
    free(last);
    free(block_);
  }
  void* block_;
} frees_at_exit;

void* for_atexit;
void at_exit() {
  free(for_atexit);
}

[[gnu::noinline]] void leave_one_behind() {
  void* volatile block = malloc(123);
  (void)block;
}

} // namespace

int main() {
  for_atexit = malloc(903);
  atexit(at_exit);
  leave_one_behind();
  return touch_exit_order_library();
}
