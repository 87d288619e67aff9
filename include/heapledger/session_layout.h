// The session file: the shared memory between the preloaded shim, the recorder and (after a crash of
// everybody) the analyzer. It is a file so that it outlives every process that maps it. One session file
// serves a whole process tree.
//
//   0         SessionHeader (4 KiB)
//   4 KiB     process table: kMaxProcesses atomic u32, (block index + 1) of a SessionProcess, 0 = free
//   68 KiB    block bitmap: kMaxBlocks bits, 1 = taken
//   256 KiB   blocks of 32 KiB: event blocks, process blocks, node blocks, module blocks
//
// The recorder alone creates, fallocates and extends the file (without a recorder: the shim, see
// kSessionRecorderless). A block may be touched only if its index is below SessionHeader::blocks_available.
// Everything here is little-endian and may be read by a process that trusts nothing: readers bound every
// index. Nothing in this file may be a pointer.
//
// Ownership of a block: a taker sets its bit (CAS on the bitmap word, acquire; pairs with the release of the
// clearing). Event blocks are returned by the recorder after the write() of their chunk returned; process,
// node and module blocks after the process has ended and all its chunks are written. Before the bit is
// cleared (release) BlockHeader::kind is set to `free`.
#pragma once

#include <atomic>
#include <cstdint>

#include "heapledger/event.h"

namespace hl {

inline constexpr uint64_t kSessionMagic = 0x314e535345534c48; // "HLSESSN1"
inline constexpr uint32_t kSessionVersion = 1;
inline constexpr uint32_t kBlockBytes = 32 * 1024;
inline constexpr uint32_t kMaxBlocks = 1u << 20;
inline constexpr uint32_t kMaxProcesses = 16384;
inline constexpr uint64_t kProcessTableOffset = 4096;
inline constexpr uint64_t kBitmapOffset = kProcessTableOffset + 4 * kMaxProcesses;
inline constexpr uint64_t kBlocksOffset = 256 * 1024;
static_assert(kBitmapOffset + kMaxBlocks / 8 <= kBlocksOffset);

constexpr uint64_t block_offset(uint32_t index) {
  return kBlocksOffset + uint64_t{index} * kBlockBytes;
}

enum SessionFlags : uint32_t {
  kSessionDropOnOverload = 1,     // never wait for a block: drop and count
  kSessionFreeStacks = 2,         // frees carry a stack
  kSessionRecorderless = 4,       // nobody drains; the shim extends the file itself
  kSessionNoFollow = 8,           // children are not recorded
  kSessionCheckUnwind = 16,       // compare each walk with libunwind's
  kSessionUnwinderLibunwind = 32, // reference unwinder on the event path (hazards documented)
  kSessionPrivateArgv = 64,       // do not store arguments
};

enum class ClockKind : uint8_t { tsc = 0, logical = 1, cntvct = 2 };

// A reading of four clocks as close together as possible. ns of CLOCK_*; ticks of the trace clock.
struct ClockPair {
  uint64_t ticks, monotonic_ns, boottime_ns, realtime_ns;
};
static_assert(sizeof(ClockPair) == 32);

// Which images are scanned for leaks right before they end.
enum class LeakPolicy : uint32_t {
  none = 0,
  automatic = 1, // the program asked for; its children if they lived for a second
  root = 2,      // the program asked for alone
  all = 3,
};

// What recorders have counted: one that dies leaves it to its successor. Written by the recorder alone.
struct RunTotals {
  std::atomic<uint64_t> lost, lost_disk_full; // events of images whose recording is over
  std::atomic<uint32_t> images;               // that were recorded
  std::atomic<uint32_t> unrecorded;           // programs that could not open the session file
  char unrecorded_path[256];                  // executable of the newest of them, NUL-terminated
};
enum CountedOfImage : uint32_t { kImageCounted = 1, kEndCounted = 2 };

struct SessionHeader {
  uint64_t magic; // written last by the creator (release)
  uint32_t version;
  uint32_t header_bytes; // sizeof(SessionHeader) of the creator
  uint32_t block_bytes;
  uint32_t page_bytes;
  uint32_t flags;  // SessionFlags; fixed after creation
  ClockKind clock; // fixed after creation
  uint8_t pad0[3];
  uint8_t uuid[16]; // of the session
  uint8_t boot_id[16];
  uint64_t wait_budget_ns;                // a thread waits at most this long in total before it drops
  std::atomic<uint32_t> blocks_available; // blocks that are allocated on disk; grows only
  std::atomic<uint32_t> search_hint;      // bitmap word where a taker starts to look; a hint only
  std::atomic<uint32_t> blocks_taken;     // statistics: bits set; relaxed
  std::atomic<uint32_t>
      event_block_limit; // event blocks beyond this are not taken (bounds the app's RSS); 0 = none
  std::atomic<uint32_t> event_blocks;  // event blocks taken now (relaxed; a bound, not an invariant)
  std::atomic<uint32_t> space_futex;   // bumped by the recorder after it returned blocks (FUTEX_WAIT word)
  std::atomic<uint32_t> space_waiters; // threads waiting on space_futex
  std::atomic<uint32_t> recorder_generation; // 0: none yet; +1 at each (re)start
  std::atomic<uint32_t> recorder_pid;        // as the recorder sees itself; 0 = none
  std::atomic<uint32_t> recorder_state;      // RecorderState
  std::atomic<uint64_t> recorder_heartbeat;  // +1 each pass
  std::atomic<uint32_t> next_process_serial; // statistics
  std::atomic<uint32_t> cannot_extend;       // 1 while the recorder finds no room to extend the file
  std::atomic<uint64_t> coarse_clock;        // recorder's last pass, in ticks; a hint for cheap stamps
  std::atomic<uint64_t> logical_clock;       // next stamp where the TSC is forbidden; starts at created.ticks
  ClockPair created;
  uint64_t pid_namespace;                     // inode of the creator's /proc/self/ns/pid
  char directory[1024];                       // absolute path of the directory traces go to, NUL-terminated
  char output[1024];                          // -o FILE for the root process, absolute, or ""
  char name[128];                             // application's base name
  char path[1024];                            // absolute path of this session file
  std::atomic<uint32_t> unrecorded_processes; // found no room here; the recorder counts them as lost
  std::atomic<uint32_t> root_pid;             // of the program asked for, in pid_namespace; 0 not known yet
  LeakPolicy leak_policy;                     // fixed after creation, like the two below
  uint32_t scan_options;                      // ScanOptions
  uint64_t scan_wait_ns;             // a process that asked for a scan waits at most so long for a recorder
                                     // whose heartbeat stands still
  uint32_t sample_budget_millionths; // of one processor, for samples of memory; 0: none but on request. Fixed
  RunTotals totals;
};
static_assert(sizeof(SessionHeader) <= 4096);
enum class RecorderState : uint32_t { none = 0, running = 1, finished = 2, failed = 3 };

enum class BlockKind : uint32_t { free = 0, event = 1, process = 2, nodes = 3, modules = 4 };

// First 64 bytes of every block; written by the taker; constant until the block is returned,
// but for `kind`, which is stored last (release) and read first (acquire).
struct BlockHeader {
  std::atomic<uint32_t> kind;  // BlockKind
  uint32_t process_slot;       // index into the process table
  uint32_t tid;                // event: kernel tid as the process sees it
  uint32_t thread_index;       // event: per-process serial from 1
  uint64_t sequence;           // event: per-process serial from 0; orders blocks of one process
  uint64_t base_ticks;         // event: the first event's ticks are relative to this
  uint64_t base_address;       // event: the first event's address is relative to this
  uint32_t flags;              // EventBlockFlags
  uint32_t index_in_directory; // nodes, modules: position in the process's directory
  uint32_t process_generation; // SessionProcess::generation of the taker
  uint32_t reserved[3];
};
static_assert(sizeof(BlockHeader) == 64);
enum EventBlockFlags : uint32_t {
  kBlockNested = 1,       // filled by signal handlers inside our own code
  kBlockLogicalClock = 2, // stamps come from SessionHeader::logical_clock: they order, they measure nothing
};

// An event block: header, a line the writer stores to with each event, then the events.
//
// Commit protocol. The writer appends bytes beyond `committed`, then stores committed (release); a reader
// loads it (acquire) and may decode [0, committed) of the payload. `sealed` (release) is stored after the
// last commit: nothing is appended afterwards.
// `floor_ticks`: 0 when the thread is outside our code. Otherwise no event that this thread has still to
// commit *for the call in progress* has a stamp below it. Stored before the stamp is taken (relaxed: the
// recorder subtracts a margin larger than any store-buffer delay); cleared after the commit.
struct EventBlock {
  BlockHeader header;
  std::atomic<uint32_t> committed_bytes;
  std::atomic<uint32_t> sealed;
  std::atomic<uint64_t> floor_ticks;
  std::atomic<uint64_t> last_ticks; // stamp of the last committed event (relaxed, before committed)
  std::atomic<uint32_t> events;     // committed events, for cheap counting (relaxed, before committed)
  uint32_t reserved0;
  uint64_t reserved[4];
  uint8_t payload[kBlockBytes - 128];
};
static_assert(sizeof(EventBlock) == kBlockBytes);
inline constexpr uint32_t kEventPayloadBytes = kBlockBytes - 128;

// A node of the stack tree: 16 bytes. `pc` is stored last (release); 0 = not filled yet.
// Ids count from 1: id i is entry (i-1) % kNodesPerBlock of node block (i-1) / kNodesPerBlock.
// Marker nodes: module == kMarkerModule, pc = 1 + WalkEnd; they stand outermost (parent 0) or, for
// depth_cap, between the two ends that were kept.
struct StackNode {
  uint32_t parent;          // StackId of the caller, 0 = outermost
  uint32_t module;          // module instance id (1...), 0 = none, or kMarkerModule
  std::atomic<uint64_t> pc; // absolute address of the frame; bit 63: see kNodeExactPc
};
static_assert(sizeof(StackNode) == 16);
inline constexpr uint32_t kMarkerModule = 0xffffffff;
inline constexpr uint64_t kNodeExactPc = uint64_t{1}
                                         << 63; // pc is not a return address (signal frame): no -1
inline constexpr uint64_t kNodeGuessed = uint64_t{1} << 62; // found by frame pointer, without CFI
inline constexpr uint64_t kNodePcMask = kNodeGuessed - 1;
inline constexpr uint32_t kNodesPerBlock = (kBlockBytes - 64) / 16;
struct NodeBlock {
  BlockHeader header;
  StackNode nodes[kNodesPerBlock];
};
static_assert(sizeof(NodeBlock) <= kBlockBytes);

// Who serves a module's allocations: us, or one that we do not see.
enum class MallocBinding : uint8_t {
  usual = 0,
  stands_before_ours = 1, // this module's malloc serves all that do not ask for another
  bound_past_us = 2,      // its references to malloc are bound elsewhere (RTLD_DEEPBIND)
};

// A module instance: a file (or vdso) mapped at one place for a while. Never re-used. Instance id i is
// record (i-1) % kModulesPerBlock of module block (i-1) / kModulesPerBlock. A path longer than fits takes
// `record_count - 1` following ids, whose bytes all hold path (record r of the run: bytes
// sizeof(ModuleRecord::path) + (r-1) * sizeof(ModuleRecord)).
struct ModuleRecord {
  std::atomic<uint32_t> published;      // 0 empty, 1 published (release, after everything else)
  uint32_t record_count;                // 1 + continuation records
  uint64_t load_bias;                   // address = bias + ELF vaddr
  uint64_t start, end;                  // mapped range [start, end) of the LOAD segments
  uint64_t loaded_ticks;                // first seen
  std::atomic<uint64_t> unloaded_ticks; // 0 while mapped
  uint32_t path_bytes;
  uint8_t build_id_bytes; // 0..32
  uint8_t is_main;        // 1: the executable
  MallocBinding malloc_binding;
  uint8_t reserved;
  uint8_t build_id[32];
  char path[512 - 96 + 8]; // not NUL-terminated
};
static_assert(sizeof(ModuleRecord) == 512);
inline constexpr uint32_t kModulesPerBlock = (kBlockBytes - 64) / 512;
struct ModuleBlock {
  BlockHeader header;
  ModuleRecord modules[kModulesPerBlock];
};
static_assert(sizeof(ModuleBlock) <= kBlockBytes);

// States of a process slot. The shim moves it up to `ending`; the recorder to `drained`.
enum class ProcessState : uint32_t { claimed = 0, running = 1, ending = 2, execing = 3, drained = 4 };

inline constexpr uint32_t kNodeDirectoryEntries = 4096; // 8.4 M nodes
inline constexpr uint32_t kModuleDirectoryEntries = 64; // 4 032 module instances
inline constexpr uint32_t kProcessTextBytes = 8192;

// Where leak scans and marks of a process are asked for, by the process itself or from outside, and answered
// by the recorder. One request at a time: who asks takes `lock`, fills in what and raises `requested`; the
// recorder copies that and clears `lock`. A request that a recorder left open when it died is its
// successor's.
struct ScanDesk {
  std::atomic<uint32_t> lock;         // who writes a request, or waits for it to be taken up: a thread id of
                                      // the process, kScanDeskOutside; 0 nobody
  std::atomic<uint32_t> requested;    // serial of the newest request (release, after cause and name)
  std::atomic<uint32_t> answered;     // its memory is no longer needed up to this serial; futex word
  std::atomic<uint32_t> completed;    // results are in the trace up to this serial; futex word
  uint32_t wanted;                    // ScanDeskWants
  uint32_t cause;                     // ScanCause
  std::atomic<uint32_t> way, failure; // of the newest scan's result: ScanWay, ScanFailure
  std::atomic<uint64_t> pause_ns;
  std::atomic<uint64_t> class_blocks[4], class_bytes[4]; // as in LeakScanPayload
  char name[472];                                        // UTF-8, NUL-terminated
};
static_assert(sizeof(ScanDesk) == 576);
enum ScanDeskWants : uint32_t {
  kDeskScan = 1,
  kDeskMark = 2,   // an event with the name, before the scan
  kDeskSample = 4, // a sample of the memory map
  kDeskStill = 8,  // the sample of a process that stands still
};
enum class SampleAnswer : uint32_t { none = 0, running = 1, still = 2 };

inline constexpr uint32_t kScanDeskOutside = 0xffffffff;

// Anonymous memory that the shim mapped for itself: one word a range, first page << 19 | pages (of 4 KiB).
inline constexpr uint32_t kOwnMemoryEntries = 384;
inline constexpr uint64_t kOwnMemoryPageBytes = 4096;
inline constexpr uint32_t kOwnMemoryPagesBits = 19;
inline constexpr uint64_t kOwnMemoryMostPages = (uint64_t{1} << kOwnMemoryPagesBits) - 1;
constexpr uint64_t own_memory_word(uint64_t start, uint64_t bytes) {
  return start / kOwnMemoryPageBytes << kOwnMemoryPagesBits | bytes / kOwnMemoryPageBytes;
}
constexpr uint64_t own_memory_start(uint64_t word) {
  return (word >> kOwnMemoryPagesBits) * kOwnMemoryPageBytes;
}
constexpr uint64_t own_memory_bytes(uint64_t word) {
  return (word & kOwnMemoryMostPages) * kOwnMemoryPageBytes;
}

// A pid namespace that is not the session creator's, but which one the process could not find out: without
// /proc.
constexpr uint64_t kOtherPidNamespace = ~uint64_t{0};
// Of SessionProcess::pid_namespace; 0: which one it is is not known.
constexpr uint64_t known_pid_namespace(uint64_t pid_namespace) {
  return pid_namespace == kOtherPidNamespace ? 0 : pid_namespace;
}

// One process image (exec makes a new one): a block of kind `process`.
struct SessionProcess {
  BlockHeader header;
  std::atomic<uint32_t> state;      // ProcessState
  uint32_t generation;              // unique number of this image in the session, from 1
  uint32_t pid;                     // as the process sees itself
  uint32_t parent_slot;             // 0xffffffff: none known
  uint32_t parent_pid;              // getppid at the start of the image
  uint32_t image_number;            // 0: first image of this pid (fork or start); +1 at each exec
  uint8_t uuid[16];                 // of this image's trace
  uint8_t parent_uuid[16];          // of the trace it was forked or executed from; zeros: none
  uint64_t fork_ticks;              // moment of fork in the parent's clock; 0: not a fork child
  uint64_t pid_namespace;           // inode; 0 unknown; kOtherPidNamespace
  std::atomic<uint32_t> global_pid; // filled by the recorder: pid in the recorder's namespace
  uint8_t usable_predictor;         // UsablePredictor
  uint8_t clock_kind;               // ClockKind in use by this process
  uint8_t heap_kind;                // 0 unknown 1 glibc 2 jemalloc 3 tcmalloc 4 mimalloc 5 static
  uint8_t module_epoch_source;      // 0 hooks (fallback) 1 ld.so's load counter
  ClockPair started;
  std::atomic<uint64_t> next_block_sequence;
  std::atomic<uint32_t> node_count;     // nodes reserved so far (some may not be filled yet)
  std::atomic<uint32_t> module_count;   // module records reserved so far
  std::atomic<uint32_t> thread_count;   // threads seen
  std::atomic<uint32_t> multi_threaded; // 1 since a second thread was seen
  std::atomic<uint64_t> losses[kLossCauses];
  std::atomic<uint64_t> walk_ends[kWalkEnds];
  std::atomic<uint64_t> waits; // times a thread waited for a block
  std::atomic<uint64_t> waited_ns;
  std::atomic<uint64_t> check_walks; // HEAPLEDGER_CHECK_UNWIND: walks compared, and differences by kind
  std::atomic<uint64_t> check_differences[8];
  std::atomic<uint32_t> node_blocks[kNodeDirectoryEntries];     // block index + 1
  std::atomic<uint32_t> module_blocks[kModuleDirectoryEntries]; // block index + 1
  uint32_t exe_bytes, argv_bytes, cwd_bytes; // text holds exe, then argv (NUL-separated), then cwd
  std::atomic<uint32_t> check_text_bytes;    // text of the first differences, from check_text
  char text[kProcessTextBytes];
  char check_text[2048];
  ScanDesk scans;
  std::atomic<uint32_t>
      marks_waiting; // 1: a mark was set since the recorder last drained (release, after it)
  std::atomic<uint32_t> sample_answer;                 // SampleAnswer: of the newest request at the desk
  std::atomic<uint64_t> own_memory_unlisted;           // bytes that found no entry below
  std::atomic<uint64_t> own_memory[kOwnMemoryEntries]; // 0: free; ranges do not overlap
  std::atomic<uint32_t> counted; // CountedOfImage: what of it is in RunTotals; the recorder's alone
  // heapledger/copy_window.h: 1, whoever waits at the desk is to fork a copy (release, after the file is
  // there); errno of what stood in its way, for the recorder.
  std::atomic<uint32_t> copy_wanted, copy_refused;
};
static_assert(sizeof(SessionProcess) <= kBlockBytes);

// Environment variables between record and shim.
inline constexpr char kEnvSession[] = "HEAPLEDGER_SESSION"; // path of the session file
inline constexpr char kEnvCheckUnwind[] = "HEAPLEDGER_CHECK_UNWIND";

} // namespace hl
