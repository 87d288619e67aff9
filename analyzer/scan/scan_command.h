// `heapledger scan-process`: the leak scanner, a child of the recorder (not for users; see docs/leaks.md).
//
//   --trace FILE --pid PID --channel FD --result FD --cause N --name TEXT --options BITS [--memory-limit
//   BYTES]
//
// or  --sample-of UUID --session FILE  beside these: holds the process while the recorder reads its memory
// map, and writes nothing.
//
// Replays the running trace, stops the process, looks who points to whom, lets it go on, and writes the
// payload of a snapshot chunk into the result's descriptor. Whatever goes wrong, the process goes on, and the
// payload says why there are no classes. Exit status 0 means that there is a payload.
#pragma once

namespace hl {

int run_scan_process(int argc, char** argv);

} // namespace hl
