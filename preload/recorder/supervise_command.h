// `heapledger record`: chooses where the trace goes, starts the recorder, runs the application under the
// supervisor and prints the closing lines.
#pragma once

namespace hl {

int supervise_command(int argc, char** argv);

} // namespace hl
