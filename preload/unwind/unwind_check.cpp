#include "unwind/unwind_check.h"

#include <dlfcn.h>
#include <string.h>
#include <type_traits>
#include <ucontext.h>

namespace hl {
namespace {

constexpr int kUnwindIp = 16; // UNW_X86_64_RIP

constexpr const char* kNames[] = {"ours shorter", "ours longer", "other pc", "libunwind failed",
                                  "guessed frame"};
static_assert(sizeof kNames / sizeof *kNames == static_cast<size_t>(CheckDifference::count_));

// A line of text in a bounded buffer, without stdio.
class Line {
 public:
  void add(const char* s) {
    while (*s && used_ < sizeof text_)
      text_[used_++] = *s++;
  }
  void add_hex(uint64_t v) {
    char digits[16];
    unsigned n = 0;
    do {
      digits[n++] = "0123456789abcdef"[v & 15];
      v >>= 4;
    } while (v);
    while (n && used_ < sizeof text_)
      text_[used_++] = digits[--n];
  }
  void add_number(uint32_t v) {
    char digits[10];
    unsigned n = 0;
    do {
      digits[n++] = static_cast<char>('0' + v % 10);
      v /= 10;
    } while (v);
    while (n && used_ < sizeof text_)
      text_[used_++] = digits[--n];
  }
  const char* data() const { return text_; }
  uint32_t size() const { return used_; }

 private:
  uint32_t used_ = 0;
  char text_[400];
};

} // namespace

bool UnwindOracle::load(void* (*open)(const char*, int), void* (*symbol)(void*, const char*)) {
  void* library = open("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return false;
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(symbol(library, name));
    return function != nullptr;
  };
  const bool complete = find(init_, "_ULx86_64_init_local") && find(get_, "_ULx86_64_get_reg") &&
                        find(is_signal_, "_ULx86_64_is_signal_frame") && find(step_, "_ULx86_64_step");
  if (!complete)
    step_ = nullptr;
  return complete;
}

uint32_t UnwindOracle::walk(const EntryRegisters& entry, uint64_t* pcs, uint32_t capacity,
                            bool& failed) const {
  ucontext_t context;
  memset(&context, 0, sizeof context);
  greg_t* registers = context.uc_mcontext.gregs;
  registers[REG_RBX] = static_cast<greg_t>(entry.rbx);
  registers[REG_RBP] = static_cast<greg_t>(entry.rbp);
  registers[REG_R12] = static_cast<greg_t>(entry.r12);
  registers[REG_R13] = static_cast<greg_t>(entry.r13);
  registers[REG_R14] = static_cast<greg_t>(entry.r14);
  registers[REG_R15] = static_cast<greg_t>(entry.r15);
  registers[REG_RSP] = static_cast<greg_t>(entry.rsp);
  registers[REG_RIP] = static_cast<greg_t>(entry.rip);
  failed = false;
  Cursor cursor;
  if (init_(&cursor, &context) < 0) {
    failed = true;
    return 0;
  }
  uint32_t n = 0;
  bool interrupted = false; // the frame just reached was left by a signal, not by a call
  while (n < capacity) {
    uint64_t pc = 0;
    if (get_(&cursor, kUnwindIp, &pc) < 0 || pc == 0)
      break;
    pcs[n++] = pc | (interrupted ? kNodeExactPc : 0);
    interrupted = is_signal_(&cursor) > 0;
    const int result = step_(&cursor);
    failed = result < 0;
    if (result <= 0)
      break;
  }
  return n;
}

uint64_t UnwindOracle::all_differences() const {
  uint64_t sum = 0;
  for (const auto& d : differences_)
    sum += d.load(std::memory_order_relaxed);
  return sum;
}

bool UnwindOracle::compare(const EntryRegisters& entry, const WalkContext& context, StackId id) {
  if (!loaded())
    return true;
  uint64_t ours[kMaxFrames], theirs[kMaxFrames];
  uint32_t our_count = 0;
  bool cut = false, any_guess = false;
  uint32_t first_guess = kMaxFrames;
  while (id && our_count < kMaxFrames) {
    const StackNode* node = context.tree->storage.node(id);
    if (node == nullptr)
      break;
    const uint64_t pc = node->pc.load(std::memory_order_acquire);
    if (node->module == kMarkerModule) {
      cut |= pc == 1 + static_cast<uint64_t>(WalkEnd::depth_cap) ||
             pc == 1 + static_cast<uint64_t>(WalkEnd::node_space);
      break;
    }
    if (!any_guess && (pc & kNodeGuessed)) {
      any_guess = true;
      first_guess = our_count;
    }
    ours[our_count++] = pc & ~kNodeGuessed;
    id = node->parent;
  }
  bool failed = false;
  const uint32_t their_count = walk(entry, theirs, kMaxFrames, failed);
  compared_.fetch_add(1, std::memory_order_relaxed);

  uint32_t at = 0;
  // Whether a pc was reached by a signal matters to symbols; libunwind is not always right about it, so the
  // pc alone.
  while (at < our_count && at < their_count && (ours[at] & kNodePcMask) == (theirs[at] & kNodePcMask))
    ++at;
  if (at == our_count && (at == their_count || cut || our_count == kMaxFrames))
    return true;
  if (at == their_count && their_count == kMaxFrames)
    return true;
  CheckDifference kind = CheckDifference::other_pc;
  if (any_guess && at >= first_guess)
    kind = CheckDifference::guessed;
  else if (at == our_count)
    kind = CheckDifference::ours_shorter;
  else if (at == their_count)
    kind = failed ? CheckDifference::oracle_failed : CheckDifference::ours_longer;
  differences_[static_cast<unsigned>(kind)].fetch_add(1, std::memory_order_relaxed);
  describe(kind, at, ours, our_count, theirs, their_count);
  return false;
}

void UnwindOracle::describe(CheckDifference kind, uint32_t at, const uint64_t* ours, uint32_t our_count,
                            const uint64_t* theirs, uint32_t their_count) {
  Line line;
  line.add(kNames[static_cast<unsigned>(kind)]);
  line.add(" at depth ");
  line.add_number(at);
  const auto list = [&](const char* who, const uint64_t* pcs, uint32_t count) {
    line.add(who);
    line.add_number(count);
    line.add(":");
    for (uint32_t i = at < 3 ? 0 : at - 3; i < count && i < at + 3; ++i) {
      line.add(i == at ? " >" : " ");
      line.add_hex(pcs[i] & kNodePcMask);
    }
  };
  list("; ours ", ours, our_count);
  list("; libunwind ", theirs, their_count);
  line.add("\n");
  // Room is reserved first, so that two threads do not write over each other. A line that does not fit is the
  // last.
  const uint32_t start = text_reserved_.load(std::memory_order_relaxed);
  if (start + line.size() > kTextBytes)
    return;
  uint32_t expected = start;
  if (!text_reserved_.compare_exchange_strong(expected, start + line.size(), std::memory_order_relaxed))
    return;
  memcpy(text_ + start, line.data(), line.size());
  text_bytes_.store(start + line.size(), std::memory_order_release);
}

StackId UnwindOracle::capture(const EntryRegisters& entry, WalkContext& context) const {
  uint64_t pcs[kMaxFrames];
  bool failed = false;
  const uint32_t n = walk(entry, pcs, kMaxFrames, failed);
  const uint32_t epoch = context.epoch.now();
  const WalkEnd end = n == kMaxFrames ? WalkEnd::depth_cap : failed ? WalkEnd::no_rule : WalkEnd::outermost;
  context.count_end(end);
  StackId parent = 0;
  if (end != WalkEnd::outermost)
    parent = context.tree->intern(0, kMarkerModule, 1 + static_cast<uint64_t>(end));
  for (uint32_t i = n; i-- > 0;) {
    const bool exact = (pcs[i] & kNodeExactPc) != 0;
    // The rule is not used, but its table knows the module.
    const uint32_t module = resolve_rule(context, pcs[i] & kNodePcMask, exact, epoch).module;
    parent = context.tree->intern(parent, module, pcs[i]);
  }
  return parent;
}

} // namespace hl
