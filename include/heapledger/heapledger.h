/* heapledger's public interface for programs that want to say something to the recorder. C and C++.
 *
 * Include this file; link nothing. The function is a weak symbol that only the preloaded recorder defines: without
 * it a mark is one load and one branch. Programs built against this file run unchanged where heapledger is not
 * installed.
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

/* Null unless the program is being recorded: call heapledger_mark_here() instead. `noplt`: the address comes from the
 * table of addresses that the loader fills in, also in an executable that is not position-independent. */
void heapledger_mark(const char* name) __attribute__((weak, noplt, visibility("default")));

/* Records the moment under `name` (UTF-8, copied; cut after 470 bytes; a null pointer is the empty name), with the
 * calling thread and its stack. Of several marks with one name, TRACE@mark:NAME means the first. Async-signal-safe,
 * from any thread, costs about as much as recording an allocation. */
static inline void heapledger_mark_here(const char* name) {
  if (heapledger_mark)
    heapledger_mark(name);
}

#ifdef __cplusplus
}
#endif

#endif
