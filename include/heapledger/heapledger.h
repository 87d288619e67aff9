/* heapledger's public interface for programs that want to say something to the recorder. C and C++.
 *
 * Include this file; link nothing. The functions are weak symbols that only the preloaded recorder defines:
 * without it a call is one load and one branch. Call those that end in _here: the others are null when nobody
 * records. Programs built against this file run unchanged where heapledger is not installed.
 *
 *   heapledger_mark_here("level loaded");
 *
 * and afterwards: heapledger live TRACE@mark:"level loaded"
 */
#ifndef HEAPLEDGER_H
#define HEAPLEDGER_H

#ifdef __cplusplus
extern "C" {
#endif

/* Null unless the program is being recorded: call heapledger_mark_here() instead. `noplt`: the address comes
 * from the table of addresses that the loader fills in, also in an executable that is not
 * position-independent. */
void heapledger_mark(const char* name) __attribute__((weak, noplt, visibility("default")));

/* Records the moment under `name` (UTF-8, copied; cut after 470 bytes; a null pointer is the empty name),
 * with the calling thread and its stack. Of several marks with one name, TRACE@mark:NAME means the first.
 * Async-signal-safe, from any thread, costs about as much as recording an allocation. */
static inline void heapledger_mark_here(const char* name) {
  if (heapledger_mark)
    heapledger_mark(name);
}

/* Also looks for leaks: stops the program, for about two seconds a GiB of live heap at most, and classes each
 * live block by whether it can still be reached (heapledger leaks TRACE). */
#define HEAPLEDGER_LEAKS 1u

int heapledger_snapshot(const char* name, unsigned flags) __attribute__((weak, noplt, visibility("default")));

/* A mark under `name`, the memory map while the program stands still, and, with HEAPLEDGER_LEAKS, a leak
 * scan; comes back when the program may go on. Not 0: it was made. 0: nobody records, or there is no answer
 * (from a recorder that has died; after the program forbade system calls to itself). May be called from any
 * thread, also from a signal handler. */
static inline int heapledger_snapshot_here(const char* name, unsigned flags) {
  return heapledger_snapshot ? heapledger_snapshot(name, flags) : 0;
}

void heapledger_pause(void) __attribute__((weak, noplt, visibility("default")));
void heapledger_resume(void) __attribute__((weak, noplt, visibility("default")));

/* Between the two no thread's allocations are recorded, for stretches that are of no interest: a call then
 * costs a few nanoseconds. Frees are recorded all the same, or blocks from before would seem to live on; so
 * is the old block of a realloc. Blocks from such a stretch appear nowhere: freed later they count as
 * unknown_frees, and what only they point to looks lost to a leak scan. Calls do not nest. The trace has the
 * marks "heapledger: paused" and "heapledger: resumed", and before the second a counter: "allocations while
 * paused". */
static inline void heapledger_pause_here(void) {
  if (heapledger_pause)
    heapledger_pause();
}
static inline void heapledger_resume_here(void) {
  if (heapledger_resume)
    heapledger_resume();
}

#ifdef __cplusplus
}
#endif

#endif
