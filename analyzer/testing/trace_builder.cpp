// See trace_builder.h.
#include "testing/trace_builder.h"

#define XXH_INLINE_ALL
#include <xxhash.h>
#include <zstd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace hl::testing {
namespace {

template <typename T> void append(std::vector<uint8_t>& out, const T& value) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}
void append_text(std::vector<uint8_t>& out, const std::string& text) {
  out.insert(out.end(), text.begin(), text.end());
}
void pad(std::vector<uint8_t>& out) {
  while (out.size() % 8 != 0)
    out.push_back(0);
}
void append_leb(std::vector<uint8_t>& out, uint64_t value) {
  uint8_t buffer[10];
  out.insert(out.end(), buffer, block_codec::put_leb(buffer, value));
}
std::vector<uint8_t> compressed(const std::vector<uint8_t>& raw, int level) {
  std::vector<uint8_t> packed(ZSTD_compressBound(raw.size()));
  packed.resize(ZSTD_compress(packed.data(), packed.size(), raw.data(), raw.size(), level));
  return packed;
}
void write_file(const std::string& path, const std::vector<uint8_t>& bytes) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr || std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size() ||
      std::fclose(file) != 0)
    std::abort();
}

} // namespace

Event malloc_event(uint64_t at, uint64_t address, uint64_t size, StackId stack) {
  Event event;
  event.kind = EventKind::malloc;
  event.ticks = event.ticks_before = kStartTicks + at;
  event.address = address;
  event.size = size;
  event.usable = predict_usable(UsablePredictor::glibc64, size);
  event.stack = stack;
  return event;
}

Event free_event(uint64_t at, uint64_t address, StackId stack) {
  Event event;
  event.kind = EventKind::free;
  event.ticks = event.ticks_before = kStartTicks + at;
  event.address = address;
  event.stack = stack;
  return event;
}

Event realloc_event(uint64_t before, uint64_t at, uint64_t old_address, uint64_t address, uint64_t size,
                    StackId stack) {
  Event event = malloc_event(at, address, size, stack);
  event.kind = EventKind::realloc;
  event.ticks_before = kStartTicks + before;
  event.old_address = old_address;
  return event;
}

TraceBuilder& TraceBuilder::begin(const Identity& identity) {
  TracePreamble preamble{};
  preamble.magic = kTraceMagic;
  preamble.version = kTraceVersion;
  preamble.preamble_bytes = sizeof preamble;
  std::memset(preamble.uuid, identity.uuid_byte, 16);
  std::memset(preamble.session_uuid, identity.session_byte, 16);
  preamble.hash = XXH3_64bits(&preamble, offsetof(TracePreamble, hash));
  append(out_, preamble);

  HeaderPayload header{};
  header.header_bytes = sizeof header;
  header.pid = header.global_pid = identity.pid;
  header.architecture = 62;
  header.pointer_bytes = 8;
  header.page_bytes = 4096;
  header.usable_predictor = static_cast<uint8_t>(UsablePredictor::glibc64);
  header.heap_kind = identity.heap_kind;
  header.image_number = identity.image_number;
  header.is_root = identity.is_root ? 1 : 0;
  std::memset(header.parent_uuid, identity.parent_uuid_byte, 16);
  header.started = {kStartTicks, kStartTicks, kStartTicks, kStartWallNs};
  std::vector<uint8_t> payload;
  append(payload, header);
  const auto property = [&payload](HeaderTag tag, const std::string& text) {
    append(payload, static_cast<uint16_t>(tag));
    append(payload, uint16_t{0});
    append(payload, static_cast<uint32_t>(text.size()));
    append_text(payload, text);
  };
  property(HeaderTag::executable, identity.executable);
  std::string argv;
  for (const std::string& argument : identity.arguments)
    argv += argument + '\0';
  property(HeaderTag::argv, argv);
  if (!identity.session_path.empty())
    property(HeaderTag::session_path, identity.session_path);
  return chunk(ChunkKind::header, payload, 1);
}

TraceBuilder& TraceBuilder::chunk(ChunkKind kind, const std::vector<uint8_t>& payload, uint64_t count,
                                  uint64_t first_ticks, uint64_t last_ticks, uint16_t flags) {
  ChunkHeader header{};
  header.magic = kChunkMagic;
  header.kind = static_cast<uint16_t>(kind);
  header.flags = flags;
  header.payload_bytes = payload.size();
  header.first_ticks = first_ticks;
  header.last_ticks = last_ticks;
  header.count = count;
  header.payload_hash = XXH3_64bits(payload.data(), payload.size());
  header.sequence = static_cast<uint32_t>(index_.size());
  header.header_hash = XXH3_64bits(&header, offsetof(ChunkHeader, header_hash));
  index_.push_back({spilled_bytes_ + out_.size(), payload.size(), first_ticks, last_ticks, count, header.kind,
                    flags, header.sequence});
  append(out_, header);
  out_.insert(out_.end(), payload.begin(), payload.end());
  pad(out_);
  return *this;
}

TraceBuilder& TraceBuilder::clock(const std::vector<ClockPair>& pairs) {
  std::vector<uint8_t> payload;
  for (const ClockPair& pair : pairs)
    append(payload, pair);
  return chunk(ChunkKind::clock, payload, pairs.size());
}

TraceBuilder& TraceBuilder::module(uint32_t id, const std::string& path, uint64_t start, uint64_t end,
                                   bool is_main) {
  std::vector<uint8_t> payload;
  ModuleEntry entry{};
  entry.entry_bytes = static_cast<uint32_t>((sizeof entry + path.size() + 7) & ~size_t{7});
  entry.id = id;
  entry.load_bias = entry.start = start;
  entry.end = end;
  entry.path_bytes = static_cast<uint32_t>(path.size());
  entry.is_main = is_main ? 1 : 0;
  append(payload, entry);
  append_text(payload, path);
  pad(payload);
  return chunk(ChunkKind::modules, payload, 1);
}

StackId TraceBuilder::node(StackId parent, uint32_t module_id, uint64_t pc) {
  new_nodes_.push_back({parent, module_id, pc});
  return next_node_ + static_cast<uint32_t>(new_nodes_.size()) - 1;
}

TraceBuilder& TraceBuilder::add(uint32_t thread, const Event& event) {
  threads_[thread].events.push_back(event);
  ++events_;
  return *this;
}

TraceBuilder& TraceBuilder::add_extended(uint32_t thread, uint64_t at, ExtendedKind kind,
                                         const std::vector<uint64_t>& numbers, const std::string& text,
                                         StackId stack) {
  std::vector<uint8_t> payload;
  for (const uint64_t number : numbers)
    append_leb(payload, number);
  if (!text.empty()) {
    append_leb(payload, text.size());
    append_text(payload, text);
  }
  payloads_.push_back(std::move(payload));
  Event event;
  event.kind = EventKind::extended;
  event.extended_kind = kind;
  event.ticks = event.ticks_before = kStartTicks + at;
  event.stack = stack;
  event.payload = payloads_.back().data();
  event.payload_bytes = static_cast<uint32_t>(payloads_.back().size());
  return add(thread, event);
}

TraceBuilder& TraceBuilder::flush(uint64_t low_water) {
  if (!new_nodes_.empty()) {
    std::vector<uint8_t> raw;
    for (size_t i = 0; i < new_nodes_.size(); ++i)
      append_leb(raw, new_nodes_[i].parent == 0 ? 0 : next_node_ + i - new_nodes_[i].parent);
    for (const Node& node : new_nodes_)
      append_leb(raw, node.module);
    uint64_t previous = 0;
    for (const Node& node : new_nodes_) {
      append_leb(raw, zigzag(static_cast<int64_t>(node.pc - previous)));
      previous = node.pc;
    }
    NodesPayload head{sizeof(NodesPayload), next_node_, static_cast<uint32_t>(new_nodes_.size()), 0,
                      raw.size()};
    std::vector<uint8_t> payload;
    append(payload, head);
    const auto packed = compressed(raw, level_);
    payload.insert(payload.end(), packed.begin(), packed.end());
    chunk(ChunkKind::nodes, payload, new_nodes_.size());
    next_node_ += static_cast<uint32_t>(new_nodes_.size());
    new_nodes_.clear();
  }

  encoder_->reset(UsablePredictor::glibc64);
  for (auto& [thread, stretch] : threads_) {
    if (stretch.events.empty())
      continue;
    EventSegment segment{};
    segment.process_generation = 1;
    if (stretch.to_bytes == 0 || stretch.to_bytes > 16000) {
      stretch.sequence = next_sequence_++;
      stretch.to_bytes = 0;
    }
    segment.sequence = stretch.sequence;
    segment.from_bytes = stretch.to_bytes;
    BlockCursor cursor{kStartTicks, 0x10000, 0};
    uint8_t scratch[kMaxExtendedEventBytes + kMaxShortEventBytes + 16];
    uint32_t bytes = 0;
    for (const Event& event : stretch.events) {
      // Only the length counts: where the event would end in its block.
      bytes += event.kind == EventKind::extended
                   ? encode_extended_event(scratch, cursor, event.extended_kind, event.ticks, event.stack,
                                           event.payload, event.payload_bytes)
                   : encode_short_event(scratch, cursor, event,
                                        predict_usable(UsablePredictor::glibc64, event.size));
    }
    segment.to_bytes = stretch.to_bytes += bytes;
    segment.tid = 10000 + thread;
    segment.thread_index = thread;
    segment.base_ticks = kStartTicks;
    segment.base_address = 0x10000;
    encoder_->begin_segment(segment);
    for (const Event& event : stretch.events)
      encoder_->add(event);
    stretch.events.clear();
  }
  payloads_.clear();
  if (encoder_->events() == 0)
    return *this;

  const auto columns = encoder_->columns();
  EventsPayload head{};
  head.payload_header_bytes = sizeof head;
  head.segment_count = static_cast<uint32_t>(encoder_->segments().size());
  head.event_count = encoder_->events();
  head.segment_bytes = sizeof(EventSegment);
  head.column_count = static_cast<uint16_t>(columns.size());
  head.low_water_ticks = low_water == UINT64_MAX ? low_water : kStartTicks + low_water;
  std::vector<uint8_t> payload;
  append(payload, head);
  for (const EventSegment& segment : encoder_->segments())
    append(payload, segment);
  std::vector<std::vector<uint8_t>> stored;
  for (const RawColumn& column : columns) {
    std::vector<uint8_t> raw;
    for (const auto& part : column.parts)
      raw.insert(raw.end(), part.begin(), part.end());
    stored.push_back(level_ == 0 ? raw : compressed(raw, level_));
    const uint8_t compression = level_ == 0 ? 0 : 1;
    append(payload,
           ColumnEntry{static_cast<uint8_t>(column.id), kColumnCodecPredicted, compression, 0, column.values,
                       static_cast<uint32_t>(raw.size()), static_cast<uint32_t>(stored.back().size())});
  }
  for (const auto& bytes : stored)
    payload.insert(payload.end(), bytes.begin(), bytes.end());
  const size_t at = out_.size();
  chunk(ChunkKind::events, payload, head.event_count, encoder_->first_ticks(), encoder_->last_ticks());
  last_events_chunk_.assign(out_.begin() + static_cast<ptrdiff_t>(at), out_.end());
  last_events_entry_ = index_.back();
  return *this;
}

TraceBuilder& TraceBuilder::repeat_last_events_chunk() {
  index_.push_back(last_events_entry_);
  index_.back().offset = spilled_bytes_ + out_.size();
  out_.insert(out_.end(), last_events_chunk_.begin(), last_events_chunk_.end());
  return *this;
}

TraceBuilder& TraceBuilder::losses(LossCause cause, uint64_t count) {
  LossesPayload losses{};
  losses.payload_header_bytes = sizeof losses;
  losses.losses[static_cast<size_t>(cause)] = count;
  std::vector<uint8_t> payload;
  append(payload, losses);
  return chunk(ChunkKind::losses, payload, 1);
}

TraceBuilder& TraceBuilder::close() {
  const uint64_t index_offset = spilled_bytes_ + out_.size();
  std::vector<uint8_t> payload;
  for (const IndexEntry& entry : index_)
    append(payload, entry);
  chunk(ChunkKind::index, payload, index_.size());
  EndPayload end{index_offset, index_.size() + 1, events_, spilled_bytes_ + out_.size()};
  std::vector<uint8_t> end_payload;
  append(end_payload, end);
  return chunk(ChunkKind::end, end_payload, 1);
}

void TraceBuilder::write(const std::string& path) const {
  write_file(path, out_);
}

void TraceBuilder::spill(std::FILE* file) {
  if (std::fwrite(out_.data(), 1, out_.size(), file) != out_.size())
    std::abort();
  spilled_bytes_ += out_.size();
  out_.clear();
}

SessionBuilder::SessionBuilder(uint8_t session_byte, uint8_t image_uuid_byte, uint32_t pid)
    : header_(kBlocksOffset, 0), blocks_(2 * kBlockBytes, 0) {
  auto* header = new (header_.data()) SessionHeader{};
  header->magic = kSessionMagic;
  header->version = kSessionVersion;
  header->header_bytes = sizeof(SessionHeader);
  header->block_bytes = kBlockBytes;
  header->page_bytes = 4096;
  std::memset(header->uuid, session_byte, 16);
  header->created = {kStartTicks - 500'000'000, kStartTicks - 500'000'000, kStartTicks - 500'000'000,
                     kStartWallNs - 500'000'000};
  const uint32_t first_slot = 1; // block index + 1 of the process block
  std::memcpy(&header_[kProcessTableOffset], &first_slot, 4);

  auto* process = new (blocks_.data()) SessionProcess{};
  process->header.kind = static_cast<uint32_t>(BlockKind::process);
  process->generation = 1;
  process->pid = pid;
  std::memset(process->uuid, image_uuid_byte, 16);
  process->usable_predictor = static_cast<uint8_t>(UsablePredictor::glibc64);
  process->started = {kStartTicks, kStartTicks, kStartTicks, kStartWallNs};
  process->node_blocks[0] = 2;
  static constexpr char kExecutable[] = "/usr/bin/app";
  process->exe_bytes = sizeof kExecutable - 1;
  std::memcpy(process->text, kExecutable, sizeof kExecutable - 1);
  auto* nodes = new (blocks_.data() + kBlockBytes) NodeBlock{};
  nodes->header.kind = static_cast<uint32_t>(BlockKind::nodes);
}

StackId SessionBuilder::node(StackId parent, uint32_t module, uint64_t pc) {
  auto* nodes = reinterpret_cast<NodeBlock*>(blocks_.data() + kBlockBytes);
  nodes->nodes[nodes_].parent = parent;
  nodes->nodes[nodes_].module = module;
  nodes->nodes[nodes_].pc = pc;
  reinterpret_cast<SessionProcess*>(blocks_.data())->node_count = ++nodes_;
  return nodes_;
}

SessionBuilder& SessionBuilder::block(uint32_t thread, uint64_t sequence, const std::vector<Event>& events) {
  const size_t at = blocks_.size();
  blocks_.resize(at + kBlockBytes, 0);
  auto* block = new (blocks_.data() + at) EventBlock{};
  block->header.kind = static_cast<uint32_t>(BlockKind::event);
  block->header.tid = 10000 + thread;
  block->header.thread_index = thread;
  block->header.sequence = sequence;
  block->header.base_ticks = kStartTicks;
  block->header.base_address = 0x10000;
  block->header.process_generation = 1;
  BlockCursor cursor{kStartTicks, 0x10000, 0};
  uint32_t bytes = 0;
  for (const Event& event : events)
    bytes += encode_short_event(block->payload + bytes, cursor, event,
                                predict_usable(UsablePredictor::glibc64, event.size));
  block->committed_bytes = bytes;
  return *this;
}

std::vector<uint8_t> SessionBuilder::bytes() const {
  std::vector<uint8_t> out = header_;
  const uint32_t count = static_cast<uint32_t>(blocks_.size() / kBlockBytes);
  reinterpret_cast<SessionHeader*>(out.data())->blocks_available = count;
  for (uint32_t i = 0; i < count; ++i)
    out[kBitmapOffset + i / 8] = static_cast<uint8_t>(out[kBitmapOffset + i / 8] | 1u << (i % 8));
  out.insert(out.end(), blocks_.begin(), blocks_.end());
  return out;
}

void SessionBuilder::write(const std::string& path) const {
  write_file(path, bytes());
}

} // namespace hl::testing
