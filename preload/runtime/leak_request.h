// Asking the recorder for a leak scan or a memory sample of this process, and waiting while it is looked at:
// see ScanDesk in session_layout.h. The recorder stops the process from outside; here nothing is done but to
// write a few words and to sleep. Async-signal-safe. Who is scanned at its end, and how long one waits:
// docs/robustness.md.
#pragma once

#include "heapledger/trace_format.h"

namespace hl {

// Lets the recorder and what it starts look into this process where the kernel's Yama module asks for that.
void allow_scanner();

// Asks for what is `wanted` (ScanDeskWants) under `name` (nullptr: none) and waits until the memory of this
// process is no longer needed. false: nobody answers, or nothing may be asked for here.
bool request_at_desk(uint32_t wanted, ScanCause cause, const char* name);

// A mark was recorded: the recorder, which may sleep for 50 ms, is to look at the process's memory at once.
// No more than one system call for each time that it looks.
void tell_of_mark();

// This image is about to end: asks for its last scan, or its last sample alone, if the session wants one and
// nobody has yet. Who comes later waits until the first one is answered.
void scan_before_end(ScanCause cause);

} // namespace hl
