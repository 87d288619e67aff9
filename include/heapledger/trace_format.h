// The trace file (.hlt), format version 1: what the recorder writes and the analyzer reads, on any machine.
// docs/format.md describes every byte; this header is its source. Little-endian, 64-bit offsets.
//
//   TracePreamble (64 bytes), then chunks until the end of the file. A chunk is a ChunkHeader (64 bytes)
//   and payload_bytes of payload, padded with zeros to a multiple of 8. The last chunk of a cleanly closed
//   trace is `end`, before it `index`. Chunks are appended whole; a chunk whose hashes do not match is
//   damaged: a reader looks for the next kChunkMagic at a multiple of 8 and says what is missing.
//
// Unknown chunk kinds are skipped unless kChunkEssential is set; structures inside payloads carry their own
// length (`*_bytes`) where they may grow: a reader uses what it knows and skips the rest.
#pragma once

#include <cstdint>

#include "heapledger/event.h"
#include "heapledger/session_layout.h"

namespace hl {

inline constexpr uint64_t kTraceMagic = 0x0a31454341525448; // bytes "HTRACE1\n"
inline constexpr uint32_t kTraceVersion = 1;
inline constexpr uint32_t kChunkMagic = 0x4b434c48; // "HLCK"

struct TracePreamble {
  uint64_t magic;
  uint32_t version;         // a reader refuses a greater major version
  uint32_t preamble_bytes;  // 64; chunks start here
  uint8_t uuid[16];         // of this trace
  uint8_t session_uuid[16]; // of the session file that holds what this trace may lack
  uint64_t reserved;
  uint64_t hash; // XXH3_64bits of the 56 bytes before
};
static_assert(sizeof(TracePreamble) == 64);

enum class ChunkKind : uint16_t {
  none = 0,
  header = 1,        // HeaderPayload + properties: who was recorded
  clock = 2,         // ClockPair[]: for converting ticks
  modules = 3,       // ModuleEntry + path, repeated
  nodes = 4,         // NodesPayload: a run of stack nodes
  events = 5,        // EventsPayload: columns of events
  threads = 6,       // ThreadEntry + name, repeated (summary at the end; also derivable from events)
  maps = 7,          // MapsPayload: text of /proc/PID/maps at a moment (zstd)
  residency = 8,     // ResidencyPayload + name + smaps and resident pages: the whole memory map at a moment
  losses = 9,        // LossesPayload: counters so far (the newest holds)
  index = 10,        // IndexEntry per chunk before it
  end = 11,          // EndPayload: cleanly closed
  checkpoint = 12,   // reserved: live blocks at a moment, for seeking
  aggregate = 13,    // reserved: per-site totals of a compacted stretch
  snapshot = 14,     // LeakScanPayload + texts + columns: which live blocks can still be reached, at a moment
  process = 15,      // ProcessStatusPayload: how the process ended
  recorder = 16,     // RecorderStatsPayload: what recording cost
  domains = 17,      // reserved: names of allocation domains
  unwind_check = 18, // UnwindCheckPayload + text: result of HEAPLEDGER_CHECK_UNWIND
  usage = 19,        // UsagePayload: the kernel's counters of the process's memory, over time
  sampling = 20,     // SamplingPayload: what sampling did and cost so far (the newest holds)
};
enum ChunkFlags : uint16_t { kChunkEssential = 1 };

struct ChunkHeader {
  uint32_t magic;         // kChunkMagic
  uint16_t kind;          // ChunkKind
  uint16_t flags;         // ChunkFlags
  uint64_t payload_bytes; // without padding
  uint64_t first_ticks;   // time range of what is inside; 0, 0 when it has none
  uint64_t last_ticks;
  uint64_t count;        // records inside (events, nodes, modules...)
  uint64_t payload_hash; // XXH3_64bits of the payload
  uint32_t sequence;     // 0, 1, 2... in file order
  uint32_t reserved;
  uint64_t header_hash; // XXH3_64bits of the 56 bytes before
};
static_assert(sizeof(ChunkHeader) == 64);

// header: fixed part, then properties: {u16 tag, u16 reserved, u32 bytes, bytes} until the payload ends.
struct HeaderPayload {
  uint32_t header_bytes; // sizeof(HeaderPayload) of the writer; properties start there
  uint32_t pid;          // as the process sees itself
  uint32_t global_pid;   // in the recorder's pid namespace; 0 unknown
  uint32_t parent_pid;
  uint32_t image_number;
  uint16_t architecture; // ELF e_machine (62 = x86_64, 183 = aarch64)
  uint8_t pointer_bytes; // 8
  uint8_t clock_kind;    // ClockKind
  uint32_t page_bytes;
  uint8_t usable_predictor;    // UsablePredictor
  uint8_t heap_kind;           // SessionProcess::heap_kind
  uint8_t module_epoch_source; // SessionProcess::module_epoch_source
  uint8_t is_root;             // 1: the process that was asked for
  uint64_t address_tag_mask;   // bits of an address that are a tag (0 on x86_64)
  uint64_t session_flags;      // SessionHeader::flags
  uint64_t pid_namespace;
  uint64_t fork_ticks;     // moment of the fork in the parent's clock; 0: none
  uint8_t parent_uuid[16]; // zeros: none
  uint8_t boot_id[16];
  ClockPair started; // when the shim attached: time 0 of the trace
};
static_assert(sizeof(HeaderPayload) == 128);
enum class HeaderTag : uint16_t {
  executable = 1,
  argv = 2 /* NUL-separated */,
  working_directory = 3,
  host = 4,
  session_path = 5,
  recorder_version = 6,
  name = 7,
  kernel = 8,
  environment = 9 /* reserved */,
};

struct ModuleEntry {    // followed by path, padded with zeros to a multiple of 8
  uint32_t entry_bytes; // including path and padding
  uint32_t id;          // module instance id
  uint64_t load_bias, start, end;
  uint64_t loaded_ticks, unloaded_ticks; // 0: still loaded; a later entry with the same id replaces this one
  uint32_t path_bytes;
  uint8_t build_id_bytes;
  uint8_t is_main;
  MallocBinding malloc_binding;
  uint8_t reserved;
  uint8_t build_id[32];
};
static_assert(sizeof(ModuleEntry) == 88);

// nodes: three columns of `count` values, zstd-compressed together after this struct:
//   LEB128 (id - parent) for real parents (0: parent is 0), LEB128 module id (kMarkerModule as 0xffffffff),
//   LEB128 zigzag (pc with its flag bits - previous pc with its flag bits).
// Ids are first_id ... first_id + count - 1, except those listed as holes (not filled when written):
// hole_count u32 LE ids stand before the columns, uncompressed; a later nodes chunk brings them.
struct NodesPayload {
  uint32_t payload_header_bytes; // sizeof(NodesPayload)
  uint32_t first_id;
  uint32_t id_count; // ids covered, holes included
  uint32_t hole_count;
  uint64_t raw_bytes; // of the columns before zstd
};
static_assert(sizeof(NodesPayload) == 24);

// events: EventsPayload, segments, columns directory, column data.
// The events of a segment follow each other in each column; segments follow each other in the order of the
// directory. Each segment is a stretch of one thread's block: its times are in order.
struct EventsPayload {
  uint32_t payload_header_bytes; // sizeof(EventsPayload)
  uint32_t segment_count;
  uint32_t event_count;
  uint16_t segment_bytes; // sizeof(EventSegment)
  uint16_t column_count;
  // No event in a later events chunk of this trace has ticks (ticks_before for realloc, mmap, mremap)
  // below this: what is older may be merged and released. 0: unknown, 2^64-1: nothing follows.
  uint64_t low_water_ticks;
};
static_assert(sizeof(EventsPayload) == 24);

struct EventSegment {
  uint32_t process_slot;         // (slot, sequence, from, to) name the bytes of the session file:
  uint32_t process_generation;   // a reader drops what it has already seen
  uint64_t sequence;             // block
  uint32_t from_bytes, to_bytes; // payload positions in the block
  uint32_t tid;
  uint32_t thread_index;
  uint32_t events;
  uint32_t flags;      // EventBlockFlags
  uint64_t base_ticks; // cursor at from_bytes: stamps and addresses are relative to it
  uint64_t base_address;
  uint32_t base_stack;
  uint32_t reserved;
};
static_assert(sizeof(EventSegment) == 64);

enum class ColumnId : uint8_t { op = 1, time = 2, address = 3, stack = 4, size = 5, extra = 6, extended = 7 };
// codec: how the raw bytes were made from values (see event_columns.h), `compression`: 0 none, 1 zstd.
struct ColumnEntry {
  uint8_t id;
  uint8_t codec;
  uint8_t compression;
  uint8_t reserved;
  uint32_t values;
  uint32_t raw_bytes;
  uint32_t stored_bytes;
};
static_assert(sizeof(ColumnEntry) == 16);

struct ThreadEntry { // followed by the name, padded to a multiple of 8
  uint32_t entry_bytes;
  uint32_t thread_index;
  uint32_t tid;
  uint32_t name_bytes;
  uint64_t first_ticks, last_ticks;
  uint64_t events;
};
static_assert(sizeof(ThreadEntry) == 40);

struct MapsPayload { // then zstd data of the text
  uint64_t ticks;
  uint64_t raw_bytes;
};

struct LossesPayload {
  uint32_t payload_header_bytes;
  uint32_t reserved;
  uint64_t losses[kLossCauses];
  uint64_t walk_ends[kWalkEnds];
  uint64_t waits, waited_ns;
};

struct IndexEntry {
  uint64_t offset; // of the ChunkHeader in the file
  uint64_t payload_bytes;
  uint64_t first_ticks, last_ticks;
  uint64_t count;
  uint16_t kind;
  uint16_t flags;
  uint32_t sequence;
};
static_assert(sizeof(IndexEntry) == 48);

struct EndPayload {      // the last 64 + sizeof(EndPayload) bytes of a closed trace
  uint64_t index_offset; // of the index chunk's header; 0: none
  uint64_t chunks;
  uint64_t events;
  uint64_t file_bytes; // before this chunk
};
static_assert(sizeof(EndPayload) == 32);

struct ProcessStatusPayload {
  uint32_t payload_header_bytes;
  uint32_t how;       // 0 unknown 1 exited 2 killed by a signal 3 replaced by exec 4 still running
  int32_t code;       // exit status or signal number; -1 unknown
  uint32_t oom_kills; // cgroup oom_kill events during the run
  ClockPair ended;
  uint64_t user_ns, system_ns; // of the process; 0 unknown
  uint64_t peak_rss_bytes;     // VmHWM; 0 unknown
  // What it became by exec could not open the session file: why (errno; 0: it could), and what it is, a path
  // without terminating zero behind this struct.
  uint32_t unrecorded_errno;
  uint32_t unrecorded_bytes;
  // Programs that its vfork and posix_spawn children became and that could not open the session file: how
  // many, and of the newest why, and its path, behind the one above.
  uint32_t unrecorded_children;
  uint32_t unrecorded_child_errno;
  uint32_t unrecorded_child_bytes;
  uint32_t reserved;
};

struct RecorderStatsPayload {
  uint32_t payload_header_bytes;
  uint32_t restarts;
  uint64_t cpu_ns; // recorder's CPU time for the whole session so far
  uint64_t peak_rss_bytes;
  uint64_t events, raw_bytes, stored_bytes; // of this trace
  uint64_t bytes_requested;
  uint32_t recovered; // 1: closed from a session file that outlived its recorder
  uint32_t zstd_level;
};

// snapshot: LeakScanPayload, name, reason (both unpadded UTF-8), then one zstd frame of raw_bytes bytes (none
// if raw_bytes is 0): first root_count roots, then block_count blocks in the order of their addresses, as
// columns:
//   roots:  u8 RootKind each; LEB128 thread id (0: none) each; LEB128 address each (register: its number)
//   blocks: LEB128 (address - previous address) each; u8 LeakClass each; LEB128 holder each
//   contents (kScanContents), by block: LEB128 (block - block before, at first 0), u8 count, count bytes: its
//   first ones
// holder: 0 none; 2 r + 1 root r; 2 b + 2 block b (both from 0). Of a reachable or possible block: what
// points to it on a shortest way from a root, so following holders leads to the root. Of an indirectly lost
// block: the definitely lost block it goes with. Of a definitely lost one: 0.
struct LeakScanPayload {
  uint32_t payload_header_bytes; // sizeof(LeakScanPayload) of the writer
  uint16_t name_bytes;           // of the name it was asked for under
  uint16_t reason_bytes;         // way none: why not, in words
  uint8_t cause;                 // ScanCause
  uint8_t way;                   // ScanWay
  uint8_t failure;               // ScanFailure
  uint8_t reserved;
  uint32_t options;          // ScanOptions
  uint64_t ticks;            // the live set is that of all events with stamps up to here
  uint64_t pause_ns;         // the process stood still
  uint64_t duration_ns;      // of the whole scan
  uint64_t block_count;      // live blocks
  uint64_t block_bytes;      // requested, of all
  uint64_t root_bytes;       // searched for pointers, outside blocks
  uint64_t unreadable_bytes; // of blocks and roots that could not be read
  uint32_t root_count;       // entries of the root table
  uint32_t threads;          // whose registers and stacks were roots
  uint32_t threads_inside;   // of them stopped inside an allocation call for want of a better moment
  uint32_t reserved2;
  uint64_t raw_bytes;       // of the columns before zstd
  uint64_t class_blocks[4]; // totals by LeakClass, definite first; requested bytes
  uint64_t class_bytes[4];
  uint64_t contents_count; // blocks of which the first bytes follow
};
static_assert(sizeof(LeakScanPayload) == 168);

enum class ScanCause : uint8_t {
  unknown = 0,
  exit = 1, // the program was about to end by exit, or by returning from main
  abort = 2,
  signal = 3,  // was about to die of a signal
  program = 4, // heapledger_snapshot()
  outside = 5, // heapledger snapshot PID
};
enum class ScanWay : uint8_t { none = 0, stopped = 1 /* by ptrace */, copy = 2 /* of a forked copy */ };
enum class ScanFailure : uint8_t {
  none = 0,
  refused = 1,        // ptrace is not permitted, and no copy could be made
  gone = 2,           // the process ended before it could be stopped
  scanner_failed = 3, // no scanner program, or it failed
  no_memory = 4,      // the scan would not fit in memory
  too_long = 5,       // given up after its time limit
  incomplete = 6,     // events are missing from the trace (losses), so the live set is not known
};
// Set: words there count as pointers (LSan's toggles). `unaligned`: at any byte, not only at multiples of 8.
enum ScanOptions : uint32_t {
  kScanStacks = 1,
  kScanRegisters = 2,
  kScanGlobals = 4,
  kScanTls = 8,
  kScanUnaligned = 16,
  kScanMappings = 32,   // memory the program mapped itself (LSan: off)
  kScanHeuristics = 64, // Valgrind's four rescues of interior pointers
  kScanContents = 128,  // not a toggle of LSan's: keep the first bytes of an example block of each site
  kScanDefault = kScanStacks | kScanRegisters | kScanGlobals | kScanTls | kScanMappings | kScanHeuristics,
};
enum class RootKind : uint8_t {
  unknown = 0,
  reg = 1,
  stack = 2,
  tls = 3,
  global = 4,
  mapping = 5,
  loader_block = 6
};
enum class LeakClass : uint8_t { unknown = 0, definite = 1, indirect = 2, possible = 3, reachable = 4 };

// What the kernel counts of a process, its cgroup and the machine. Bytes unless said otherwise. Values are
// never renumbered; a reader skips those it does not know.
enum class UsageField : uint8_t {
  size = 0,
  rss = 1,
  shared = 2, // statm: virtual size, resident set, of it file-backed and shared memory
  pss = 3,
  pss_anon = 4,
  pss_file = 5,
  pss_shmem = 6,
  pss_dirty = 7, // from here to locked: smaps_rollup
  shared_clean = 8,
  shared_dirty = 9,
  private_clean = 10,
  private_dirty = 11,
  anonymous = 12,
  lazy_free = 13,
  anon_huge_pages = 14,
  swap = 15,
  swap_pss = 16,
  locked = 17,
  rollup_rss = 18, // Rss of that same reading; `rss` is statm's
  cgroup_current = 19,
  cgroup_peak = 20,
  cgroup_max = 21 /* 2^64-2: no limit */,
  cgroup_high = 22,
  cgroup_swap = 23,
  cgroup_anon = 24,
  cgroup_file = 25,
  cgroup_kernel = 26,
  cgroup_high_events = 27,
  cgroup_max_events = 28,
  cgroup_oom_kills = 29,   // counts
  cgroup_pressure_us = 30, // microseconds that some task of it waited for memory (PSI "some" total)
  oom_score = 31,
  oom_score_adj = 32 /* + 1000, so 0...2000 */,
  machine_total = 33,
  machine_available = 34,
  machine_pressure_us = 35,
  minor_faults = 36,
  major_faults = 37, // counts
  threads = 38,
  mappings = 39,    // counts
  page_tables = 40, // of the process (VmPTE of its status); no part of rss
};
inline constexpr uint32_t kUsageFields = 41;
inline constexpr uint64_t kUsageUnlimited = ~uint64_t{1};

// usage: UsagePayload, then one zstd frame of raw_bytes bytes: row_count rows. A row: LEB128 (ticks - ticks
// of the row before, of the first: - first_ticks), LEB128 mask (bit n: UsageField n follows), then for each
// set bit from the lowest LEB128 zigzag(value - this field's value the last time it was there in this chunk;
// at first 0).
struct UsagePayload {
  uint32_t payload_header_bytes; // sizeof(UsagePayload) of the writer
  uint32_t row_count;
  uint64_t first_ticks;
  uint64_t raw_bytes;
};
static_assert(sizeof(UsagePayload) == 24);

enum class SampleCause : uint8_t {
  unknown = 0,
  start = 1, // soon after the process was found
  periodic = 2,
  mark = 3,    // `name` is the mark's; taken as soon as the recorder saw it
  peak = 4,    // resident memory passed what it had been at any sample before
  request = 5, // heapledger snapshot PID, heapledger_snapshot()
  exit = 6,    // right before the end, also by a fatal signal
};

// residency: every mapping of the process and which of its pages are there. ResidencyPayload, name, then one
// zstd frame of raw_bytes bytes: own_ranges times {u64 start, u64 end} (memory of the recording itself, by
// address), smaps_bytes of /proc/PID/smaps as the kernel wrote it, then page_run_count page runs by address:
// LEB128 (first page - end page of the run before, at first 0), LEB128 (pages * 4 + PageState).
// Pages in no run are not resident: never touched, the zero page (smaps does not count it as Rss), or given
// back.
struct ResidencyPayload {
  uint32_t payload_header_bytes; // sizeof(ResidencyPayload) of the writer
  uint16_t name_bytes;
  uint8_t cause;      // SampleCause
  uint8_t flags;      // ResidencyFlags
  uint64_t ticks;     // all events with stamps up to here had happened when reading began
  uint64_t end_ticks; // when it ended
  uint64_t cpu_ns;    // it cost the recorder
  uint32_t page_bytes;
  uint32_t own_ranges;
  uint64_t smaps_bytes;
  uint64_t page_run_count;
  uint64_t raw_bytes;            // of everything in the zstd frame
  uint64_t fields[kUsageFields]; // of the same moment; ~0: not read
};
static_assert(sizeof(ResidencyPayload) == 64 + 8 * kUsageFields);
enum ResidencyFlags : uint8_t {
  kResidencyConsistent = 1, // the process stood still while it was read: all numbers are of one moment
  kResidencyZeroPages = 2,  // the kernel told zero pages apart; else anonymous shared pages may be zero pages
  kResidencyNoPages = 4,    // pagemap could not be read: smaps alone
};
enum class PageState : uint8_t {
  swapped = 0,
  anonymous = 1,        // resident, the process's own alone
  shared_anonymous = 2, // resident, not file-backed, and mapped more than once (after a fork), or a zero page
  file = 3,             // resident, of a file or of shared memory
};

// Arrays of three: statm; smaps_rollup with the counters of cgroup, oom and machine; whole maps with their
// pages.
struct SamplingPayload {
  uint32_t payload_header_bytes; // sizeof(SamplingPayload)
  uint32_t budget_millionths;    // of one processor, for all processes of the session; 0: none but on request
  uint64_t taken[3];
  uint64_t cpu_ns[3];  // of the recorder, for this process
  uint64_t refused[3]; // the kernel did not permit it
  uint64_t failed[3];
  uint64_t postponed;          // maps at marks that the budget did not allow
  uint64_t not_written;        // no room on the disk
  uint64_t causes[8];          // maps taken by SampleCause
  uint64_t own_unlisted_bytes; // memory of the shim that is in no sample's own ranges
};
static_assert(sizeof(SamplingPayload) == 8 + 8 * 23);

struct UnwindCheckPayload { // then text of the first differences
  uint64_t walks;
  uint64_t differences[8];
  uint64_t text_bytes;
};

} // namespace hl
