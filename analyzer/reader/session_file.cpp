// See session_file.h.
#include "reader/session_file.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

namespace hl {
namespace {

Uuid uuid_from(const uint8_t (&bytes)[16]) {
  Uuid uuid;
  std::memcpy(uuid.data(), bytes, sizeof bytes);
  return uuid;
}

uint64_t own_pid_namespace() {
  struct stat status;
  return ::stat("/proc/self/ns/pid", &status) == 0 ? static_cast<uint64_t>(status.st_ino) : 0;
}

// The kernel's boot id as 16 bytes; nil where there is none.
Uuid own_boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string text;
  file >> text;
  Uuid id{};
  size_t digits = 0;
  for (const char c : text) {
    const int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (value < 0)
      continue;
    if (digits >= 32)
      return {};
    id[digits / 2] = static_cast<uint8_t>(id[digits / 2] << 4 | value);
    ++digits;
  }
  return digits == 32 ? id : Uuid{};
}

// A killed process that nobody has waited for yet still has its pid, and answers kill(pid, 0).
bool exists_and_lives(uint32_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line))
    return ::kill(static_cast<pid_t>(pid), 0) == 0 || errno == EPERM;
  // PID (NAME) STATE ...; the name may hold anything, parentheses too.
  const size_t name_end = line.rfind(')');
  const char state = name_end != line.npos && name_end + 2 < line.size() ? line[name_end + 2] : '?';
  return state != 'Z' && state != 'X';
}

} // namespace

bool is_session_name(const std::string& file_name) {
  return file_name == "session" || file_name.ends_with(".session") || file_name.ends_with(".hls");
}

bool SessionFile::looks_like_one(const InputFile& file) {
  uint64_t magic = 0;
  return file.read_struct(0, magic) && magic == kSessionMagic;
}

SessionFile::SessionFile(const std::string& path) : file_(path), header_(std::make_shared<SessionHeader>()) {
  if (!looks_like_one(file_))
    throw TraceError(TraceErrorKind::not_a_trace, path, "not a session file");
  if (file_.read_at(0, static_cast<void*>(header_.get()), sizeof(SessionHeader)) != sizeof(SessionHeader))
    throw TraceError(TraceErrorKind::nothing_whole, path, "the session file ends inside its header");
  if (header_->version > kSessionVersion)
    throw TraceError(TraceErrorKind::newer_version, path,
                     "session file version " + std::to_string(header_->version) +
                         " needs a newer heapledger");
  if (header_->block_bytes != kBlockBytes)
    throw TraceError(TraceErrorKind::not_a_trace, path, "session file with blocks of an unknown size");
  const uint64_t whole = file_.size() > kBlocksOffset ? (file_.size() - kBlocksOffset) / kBlockBytes : 0;
  blocks_ = static_cast<uint32_t>(std::min<uint64_t>({whole, kMaxBlocks, header_->blocks_available.load()}));

  std::vector<uint32_t> table(kMaxProcesses);
  const size_t got = file_.read_at(kProcessTableOffset, table.data(), table.size() * 4) / 4;
  for (uint32_t slot = 0; slot < got; ++slot) {
    if (table[slot] == 0 || table[slot] > blocks_)
      continue;
    auto process = std::make_shared<SessionProcess>();
    if (file_.read_at(block_offset(table[slot] - 1), static_cast<void*>(process.get()),
                      sizeof(SessionProcess)) != sizeof(SessionProcess) ||
        process->header.kind.load() != static_cast<uint32_t>(BlockKind::process))
      continue;
    Image image;
    image.slot = slot;
    image.process = std::move(process);
    images_.push_back(std::move(image));
  }
  std::sort(images_.begin(), images_.end(),
            [](const Image& a, const Image& b) { return a.generation() < b.generation(); });
}

Uuid SessionFile::uuid() const {
  return uuid_from(header_->uuid);
}
Uuid SessionFile::Image::uuid() const {
  return uuid_from(process->uuid);
}

const SessionFile::Image* SessionFile::find_image(const Uuid& trace_uuid) const {
  for (const Image& image : images_)
    if (image.uuid() == trace_uuid)
      return &image;
  return nullptr;
}

bool SessionFile::recorder_alive() const {
  const uint32_t pid = header_->recorder_pid.load();
  if (static_cast<RecorderState>(header_->recorder_state.load()) != RecorderState::running || pid == 0)
    return false;
  if (const Uuid boot = own_boot_id(); !is_nil(boot) && boot != uuid_from(header_->boot_id))
    return false;
  if (header_->pid_namespace != 0 && header_->pid_namespace == own_pid_namespace())
    return exists_and_lives(pid);
  // Another pid namespace: its pid means nothing here, its heartbeat does.
  const auto heartbeat = [this] {
    uint64_t value = 0;
    file_.read_at(reinterpret_cast<const char*>(&header_->recorder_heartbeat) -
                      reinterpret_cast<const char*>(header_.get()),
                  &value, sizeof value);
    return value;
  };
  const uint64_t before = heartbeat();
  for (int i = 0; i < 15; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (heartbeat() != before)
      return true;
  }
  return false;
}

bool SessionFile::read_block(uint32_t index, void* out) const {
  return index < blocks_ && file_.read_at(block_offset(index), out, kBlockBytes) == kBlockBytes;
}

void SessionFile::load_tables(const Image& image, NodeTable& nodes, ModuleTable& modules,
                              ProblemLog& problems) const {
  const SessionProcess& process = *image.process;
  uint64_t unreadable = 0;
  const uint32_t node_count = std::min(process.node_count.load(), NodeTable::kMaxId);
  const auto block = std::make_unique<EventBlock>(); // any block: room and alignment
  for (uint32_t at = 0; at * kNodesPerBlock < node_count && at < kNodeDirectoryEntries; ++at) {
    const uint32_t index = process.node_blocks[at].load();
    const auto* node_block = reinterpret_cast<const NodeBlock*>(block.get());
    if (index == 0 || !read_block(index - 1, static_cast<void*>(block.get())) ||
        node_block->header.kind.load() != static_cast<uint32_t>(BlockKind::nodes)) {
      ++unreadable;
      continue;
    }
    for (uint32_t i = 0; i < kNodesPerBlock; ++i) {
      const StackNode& node = node_block->nodes[i];
      const uint64_t pc = node.pc.load();
      if (pc != 0)
        nodes.set(at * kNodesPerBlock + i + 1, {node.parent, node.module, pc});
    }
  }
  const uint32_t module_count =
      std::min(process.module_count.load(), kModuleDirectoryEntries * kModulesPerBlock);
  std::vector<uint8_t> records;
  for (uint32_t at = 0; at * kModulesPerBlock < module_count && at < kModuleDirectoryEntries; ++at) {
    const uint32_t index = process.module_blocks[at].load();
    records.resize((at + 1) * sizeof(ModuleRecord) * kModulesPerBlock, 0);
    if (index == 0 || !read_block(index - 1, static_cast<void*>(block.get()))) {
      ++unreadable;
      continue;
    }
    std::memcpy(&records[at * sizeof(ModuleRecord) * kModulesPerBlock],
                reinterpret_cast<const uint8_t*>(block.get()) + offsetof(ModuleBlock, modules),
                sizeof(ModuleRecord) * kModulesPerBlock);
  }
  const uint32_t readable = static_cast<uint32_t>(records.size() / sizeof(ModuleRecord));
  const auto record = std::make_unique<ModuleRecord>();
  for (uint32_t i = 0; i < readable;) {
    std::memcpy(static_cast<void*>(record.get()), &records[i * sizeof(ModuleRecord)], sizeof(ModuleRecord));
    const uint32_t run = std::max<uint32_t>(1, record->record_count);
    if (record->published.load() != 1 || run > readable - i || record->build_id_bytes > 32) {
      ++i;
      continue;
    }
    const size_t path_room = sizeof(ModuleRecord::path) + size_t{run - 1} * sizeof(ModuleRecord);
    TraceModule module;
    module.id = i + 1;
    module.load_bias = record->load_bias;
    module.start = record->start;
    module.end = record->end;
    module.loaded_ticks = record->loaded_ticks;
    module.unloaded_ticks = record->unloaded_ticks.load();
    module.is_main = record->is_main != 0;
    module.malloc_binding = record->malloc_binding;
    module.path.assign(
        reinterpret_cast<const char*>(&records[i * sizeof(ModuleRecord) + offsetof(ModuleRecord, path)]),
        std::min<size_t>(record->path_bytes, path_room));
    module.build_id.assign(record->build_id, record->build_id + record->build_id_bytes);
    modules.set(std::move(module));
    i += run;
  }
  if (unreadable != 0)
    problems.add(ProblemKind::bad_session, 0,
                 path() + ": " + std::to_string(unreadable) +
                     " blocks of stacks or modules are not readable");
}

void SessionFile::load_metadata(const Image& image, TraceMetadata& out) const {
  const SessionProcess& process = *image.process;
  if (!out.has_header) {
    out.uuid = image.uuid();
    out.session_uuid = uuid();
    HeaderPayload& header = out.header;
    header = HeaderPayload{};
    header.header_bytes = sizeof header;
    header.pid = process.pid;
    header.global_pid = process.global_pid.load();
    header.parent_pid = process.parent_pid;
    header.image_number = process.image_number;
    header.pointer_bytes = 8;
    header.clock_kind = process.clock_kind;
    header.page_bytes = header_->page_bytes;
    header.usable_predictor = process.usable_predictor;
    header.heap_kind = process.heap_kind;
    header.module_epoch_source = process.module_epoch_source;
    header.is_root = process.generation == images_.front().generation() ? 1 : 0;
    header.session_flags = header_->flags;
    header.pid_namespace = known_pid_namespace(process.pid_namespace);
    header.fork_ticks = process.fork_ticks;
    std::memcpy(header.parent_uuid, process.parent_uuid, sizeof header.parent_uuid);
    std::memcpy(header.boot_id, header_->boot_id, sizeof header.boot_id);
    header.started = process.started;
    const auto text = [&process](uint64_t from, uint64_t bytes) {
      if (from > kProcessTextBytes)
        return std::string();
      return std::string(process.text + from, std::min<uint64_t>(bytes, kProcessTextBytes - from));
    };
    out.executable = text(0, process.exe_bytes);
    const std::string argv = text(process.exe_bytes, process.argv_bytes);
    for (size_t at = 0; at < argv.size();) {
      const size_t end = std::min(argv.find('\0', at), argv.size());
      out.arguments.push_back(argv.substr(at, end - at));
      at = end + 1;
    }
    out.working_directory = text(uint64_t{process.exe_bytes} + process.argv_bytes, process.cwd_bytes);
    out.session_path = path();
    out.has_header = true;
  }
  out.clock_pairs.push_back(header_->created);
  out.clock_pairs.push_back(process.started);
  out.losses = LossesPayload{};
  for (uint32_t i = 0; i < kLossCauses; ++i)
    out.losses.losses[i] = process.losses[i].load();
  for (uint32_t i = 0; i < kWalkEnds; ++i)
    out.losses.walk_ends[i] = process.walk_ends[i].load();
  out.losses.waits = process.waits.load();
  out.losses.waited_ns = process.waited_ns.load();
  out.has_losses = true;
  if (process.check_walks.load() != 0) {
    out.unwind_check.walks = process.check_walks.load();
    for (size_t i = 0; i < 8; ++i)
      out.unwind_check.differences[i] = process.check_differences[i].load();
    out.unwind_check_text.assign(
        process.check_text, std::min<size_t>(process.check_text_bytes.load(), sizeof process.check_text));
    out.has_unwind_check = true;
  }
}

std::vector<SessionEventBlock> SessionFile::event_blocks(const Image& image) const {
  std::vector<SessionEventBlock> found;
  std::vector<uint64_t> bitmap(kMaxBlocks / 64, 0);
  file_.read_at(kBitmapOffset, bitmap.data(), bitmap.size() * 8);
  struct Head {
    BlockHeader header;
    uint32_t committed_bytes;
  };
  static_assert(offsetof(EventBlock, committed_bytes) == offsetof(Head, committed_bytes));
  for (uint32_t index = 0; index < blocks_; ++index) {
    if ((bitmap[index / 64] >> (index % 64) & 1) == 0)
      continue;
    alignas(8) uint8_t bytes[sizeof(Head)];
    if (file_.read_at(block_offset(index), bytes, sizeof bytes) != sizeof bytes)
      continue;
    const Head& head = *reinterpret_cast<const Head*>(bytes);
    const BlockHeader& header = head.header;
    if (header.kind.load() != static_cast<uint32_t>(BlockKind::event) || header.process_slot != image.slot ||
        header.process_generation != image.generation() || head.committed_bytes == 0)
      continue;
    found.push_back({index, header.process_slot, header.tid, header.thread_index, header.sequence,
                     header.flags, std::min(head.committed_bytes, kEventPayloadBytes),
                     BlockCursor{header.base_ticks, header.base_address, 0}});
  }
  std::sort(found.begin(), found.end(),
            [](const SessionEventBlock& a, const SessionEventBlock& b) { return a.sequence < b.sequence; });
  return found;
}

bool SessionFile::read_events(const SessionEventBlock& block, std::vector<uint8_t>& out) const {
  out.resize(block.committed_bytes);
  return file_.read_at(block_offset(block.index) + offsetof(EventBlock, payload), out.data(), out.size()) ==
         out.size();
}

} // namespace hl
