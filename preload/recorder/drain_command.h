// `heapledger-recorder drain SESSION`: the recorder process itself, whoever started it. It leaves everything
// of its starter behind: descriptors, signals, LD_PRELOAD, terminal, priority.
#pragma once

namespace hl {

int drain_command(int argc, char** argv);

} // namespace hl
