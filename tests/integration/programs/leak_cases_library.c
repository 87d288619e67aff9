// Thread-local memory of a library that is loaded late: each thread's copy is allocated when first asked for.
static __thread void* slot[512];

void* thread_local_slot(void) {
  return &slot[300];
}
