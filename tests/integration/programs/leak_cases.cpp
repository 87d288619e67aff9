// Blocks that are lost and blocks that are kept, one way to be so in each function: whoever looks for leaks
// in this program tells by the function what class its blocks must have. All stand side by side in one
// process, which ends by returning from main with threads still waiting.
//
// A pointer that must be found in one place alone is inverted everywhere else, and what earlier calls left on
// the stack is wiped out.
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>

#define CASE extern "C" [[gnu::noinline, gnu::noclone]] void

namespace {

struct Node {
  Node* left;
  Node* right;
  Node* deep[10];
};

// Roots. Index by case.
Node* volatile g_root[32];
Node* interior(Node* node) {
  return reinterpret_cast<Node*>(reinterpret_cast<char*>(node) + 48);
}

[[gnu::always_inline]] inline void* take(size_t bytes) {
  void* block = malloc(bytes);
  asm volatile("" : "+r"(block) : : "memory"); // it may not be left out
  memset(block, 0, bytes);
  return block;
}
[[gnu::always_inline]] inline Node* node() {
  return static_cast<Node*>(take(sizeof(Node)));
}

[[gnu::noinline]] void wipe_stack() {
  volatile char room[32768];
  for (volatile char& byte : room)
    byte = 0;
}

std::atomic<int> g_waiting; // threads that have their pointers where they belong
sem_t g_never;
[[noreturn]] void wait_for_ever() {
  ++g_waiting;
  while (true)
    sem_wait(&g_never);
}
int g_threads;
void start(void* (*body)(void*)) {
  pthread_t thread;
  pthread_create(&thread, nullptr, body, nullptr);
  ++g_threads;
}

} // namespace

// The nine ways from a root over a block to another (Valgrind's manual, "Memcheck: Detailed Memory Leak
// Checking").
CASE nine_1_start() {
  g_root[1] = node();
}
CASE nine_2_start_start() {
  g_root[2] = node();
  g_root[2]->left = node();
}
CASE nine_3_nothing() {
  node();
}
CASE nine_4_lost_start() {
  node()->left = node();
}
CASE nine_5_interior() {
  g_root[5] = interior(node());
}
CASE nine_6_start_interior() {
  g_root[6] = node();
  g_root[6]->left = interior(node());
}
CASE nine_7_interior_start() {
  Node* const first = node();
  first->left = node();
  g_root[7] = interior(first);
}
CASE nine_8_interior_interior() {
  Node* const first = node();
  first->left = interior(node());
  g_root[8] = interior(first);
}
CASE nine_9_lost_interior() {
  node()->left = interior(node());
}

// Shapes of what is lost.
CASE lost_cycle() {
  Node* const first = node();
  first->left = node();
  first->left->left = node();
  first->left->left->left = first;
}
CASE lost_cycle_with_tail() {
  Node* const first = node();
  first->left = node();
  first->left->left = first;
  first->left->right = node();
  first->left->right->left = node();
}
CASE lost_way_into_cycle() {
  Node* const first = node();
  first->left = node();
  first->left->left = node();
  first->left->left->left = first->left;
}
CASE lost_tree() {
  Node* const top = node();
  for (Node** child : {&top->left, &top->right}) {
    *child = node();
    (*child)->left = node();
    (*child)->right = node();
  }
}
CASE lost_two_parents() {
  Node* const shared = node();
  node()->left = shared;
  node()->left = shared;
}
CASE lost_points_to_itself() {
  Node* const alone = node();
  alone->left = alone;
  alone->right = interior(alone);
}
CASE kept_cycle() {
  Node* const first = node();
  first->left = node();
  first->left->left = first;
  g_root[9] = first;
}
CASE lost_empty() {
  take(0);
}
CASE kept_empty() {
  g_root[10] = static_cast<Node*>(take(0));
}

// Pointers into the middle that stand for the whole.
CASE middle_of_string() {
  // A string of the old shared kind: length, capacity, count of users, then the text that is pointed to.
  uint64_t* const block = static_cast<uint64_t*>(take(24 + 32));
  block[0] = 20;
  block[1] = 31;
  block[2] = 0;
  g_root[11] = reinterpret_cast<Node*>(block + 3);
}
CASE middle_of_length64() {
  uint64_t* const block = static_cast<uint64_t*>(take(8 + 100));
  block[0] = 100;
  g_root[12] = reinterpret_cast<Node*>(block + 1);
}
struct Counted {
  uint64_t values[3];
  ~Counted() { values[0] = 1; }
};
CASE middle_of_new_array() {
  Counted* array = new Counted[5]();
  asm volatile("" : "+r"(array) : : "memory");
  g_root[13] = reinterpret_cast<Node*>(array);
}
struct First {
  virtual ~First() {}
  uint64_t a = 0;
};
struct Second {
  virtual ~Second() {}
  uint64_t b = 0;
};
struct Both : First, Second {
  uint64_t c = 0;
};
CASE middle_of_two_bases() {
  Second* part = new Both;
  asm volatile("" : "+r"(part) : : "memory");
  g_root[14] = reinterpret_cast<Node*>(part);
}

// Where a pointer may stand.
namespace {
alignas(8) char g_packed[24];
__thread Node* volatile t_kept;
Node** g_mapping;
Node** g_shared_mapping;

[[gnu::noinline]] uintptr_t inverted_node() {
  return ~reinterpret_cast<uintptr_t>(node());
}
} // namespace

CASE at_odd_address() {
  Node* const block = node();
  memcpy(g_packed + 3, &block, sizeof block);
  asm volatile("" : : "r"(g_packed) : "memory");
}
CASE in_register() {
  const uintptr_t inverted = inverted_node();
  wipe_stack();
  static std::atomic<int>* const waiting = &g_waiting;
  asm volatile("mov %0, %%r12\n not %%r12\n lock incl (%1)\n 1: mov $34, %%eax\n syscall\n jmp 1b"
               :
               : "r"(inverted), "r"(waiting)
               : "rax", "rcx", "r11", "r12", "memory");
}
CASE on_live_stack() {
  Node* volatile kept = node();
  (void)kept;
  wait_for_ever();
}
CASE on_dead_stack() {
  Node* volatile kept = node();
  (void)kept;
}
CASE in_own_thread_local() {
  t_kept = node();
}
CASE in_live_thread_local() {
  t_kept = node();
  wipe_stack();
  wait_for_ever();
}
CASE in_dead_thread_local() {
  t_kept = node();
}
CASE in_mapping() {
  g_mapping =
      static_cast<Node**>(mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  g_mapping[5000] = node();
}
CASE in_shared_mapping() {
  g_shared_mapping =
      static_cast<Node**>(mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  g_shared_mapping[5000] = node();
}
CASE behind_requested_bytes() {
  // 20 bytes are asked for; malloc gives 24. The pointer stands in [16, 24).
  char* const block = static_cast<char*>(take(20));
  Node* const behind = node();
  char* volatile at = block + 16;
  memcpy(at, &behind, sizeof behind);
  g_root[15] = reinterpret_cast<Node*>(block);
}
CASE in_freed_block() {
  Node* const holder = node();
  holder->deep[4] = node();
  asm volatile("" : : "r"(holder) : "memory");
  free(holder);
}

namespace {
void* (*g_library_slot)();

pthread_key_t key_number(unsigned wanted) {
  pthread_key_t key;
  do
    pthread_key_create(&key, nullptr);
  while (key < wanted);
  return key;
}

ucontext_t g_main, g_fibers[2];
void run_fiber(int which, void (*body)(), void* stack, size_t bytes) {
  getcontext(&g_fibers[which]);
  g_fibers[which].uc_stack.ss_sp = stack;
  g_fibers[which].uc_stack.ss_size = bytes;
  makecontext(&g_fibers[which], body, 0);
  swapcontext(&g_main, &g_fibers[which]);
}
} // namespace

CASE in_library_thread_local() {
  *static_cast<Node**>(g_library_slot()) = node();
}
CASE in_library_live_thread_local() {
  *static_cast<Node**>(g_library_slot()) = node();
  wipe_stack();
  wait_for_ever();
}
CASE in_first_key() {
  pthread_setspecific(key_number(0), node());
}
CASE in_late_key() {
  pthread_setspecific(key_number(70), node());
}
CASE in_fiber_on_heap() {
  Node* volatile kept = reinterpret_cast<Node*>(~inverted_node());
  (void)kept;
  wipe_stack();
  swapcontext(&g_fibers[0], &g_main);
}
CASE in_fiber_on_mapping() {
  Node* volatile kept = reinterpret_cast<Node*>(~inverted_node());
  (void)kept;
  wipe_stack();
  swapcontext(&g_fibers[1], &g_main);
}
CASE kept_fiber_stack() {
  void* const stack = take(131072);
  g_root[16] = static_cast<Node*>(stack);
  run_fiber(0, in_fiber_on_heap, stack, 131072);
}

namespace {

template <void (*kCase)()> void* in_thread(void*) {
  kCase();
  return nullptr;
}
template <void (*kCase)()> void in_thread_that_ends() {
  pthread_t thread;
  pthread_create(&thread, nullptr, in_thread<kCase>, nullptr);
  pthread_join(thread, nullptr);
}

} // namespace

int main(int, char** argv) {
  sem_init(&g_never, 0, 0);
  char library[4096];
  snprintf(library, sizeof library, "%.*s/leak_cases_library.so",
           static_cast<int>(strrchr(argv[0], '/') - argv[0]), argv[0]);
  void* const handle = dlopen(library, RTLD_NOW);
  if (handle == nullptr) {
    puts(dlerror());
    return 1;
  }
  g_library_slot = reinterpret_cast<void* (*)()>(dlsym(handle, "thread_local_slot"));

  in_thread_that_ends<on_dead_stack>();
  in_thread_that_ends<in_dead_thread_local>();
  for (void (*one)() : {nine_1_start,
                        nine_2_start_start,
                        nine_3_nothing,
                        nine_4_lost_start,
                        nine_5_interior,
                        nine_6_start_interior,
                        nine_7_interior_start,
                        nine_8_interior_interior,
                        nine_9_lost_interior,
                        lost_cycle,
                        lost_cycle_with_tail,
                        lost_way_into_cycle,
                        lost_tree,
                        lost_two_parents,
                        lost_points_to_itself,
                        kept_cycle,
                        lost_empty,
                        kept_empty,
                        middle_of_string,
                        middle_of_length64,
                        middle_of_new_array,
                        middle_of_two_bases,
                        at_odd_address,
                        in_own_thread_local,
                        in_mapping,
                        in_shared_mapping,
                        behind_requested_bytes,
                        in_freed_block,
                        in_library_thread_local,
                        in_first_key,
                        in_late_key,
                        kept_fiber_stack}) {
    one();
    wipe_stack();
  }
  run_fiber(1, in_fiber_on_mapping,
            mmap(nullptr, 131072, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 131072);
  wipe_stack();
  start(in_thread<in_register>);
  start(in_thread<on_live_stack>);
  start(in_thread<in_live_thread_local>);
  start(in_thread<in_library_live_thread_local>);
  while (g_waiting != g_threads)
    sched_yield();
  wipe_stack();
  puts("done");
  return 0;
}
