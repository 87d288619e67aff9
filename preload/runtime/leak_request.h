// Asking the recorder for a leak scan of this process, and waiting while it is looked at: see ScanDesk in
// session_layout.h. The recorder stops the process from outside; here nothing is done but to write a few
// words and to sleep. Async-signal-safe. Who is scanned at its end, and how long one waits:
// docs/robustness.md.
#pragma once

#include "heapledger/trace_format.h"

namespace hl {

// Lets the recorder and what it starts look into this process where the kernel's Yama module asks for that.
void allow_scanner();

// Asks for a scan under `name` (nullptr: none) and waits until the memory of this process is no longer
// needed. false: nobody answers, or nothing may be asked for here.
bool request_scan(ScanCause cause, const char* name);

// This image is about to end: asks for its last scan if the session's policy wants one and nobody has yet.
// Who comes later waits until the first one is answered.
void scan_before_end(ScanCause cause);

// Would scan_before_end() ask?
bool is_scanned_at_end();

} // namespace hl
