#include "unwind/full_walk.h"

#include <string.h>

#include "unwind/scratch_pool.h"

namespace hl {
namespace {

constinit ScratchPool<CfiFrame, 8> g_cfi_frames;

// Runs `use(CfiFrame&)` with a pooled buffer, or with one on the stack when all are in use.
template <typename Use> auto with_cfi_frame(Use use) {
  if (CfiFrame* pooled = g_cfi_frames.take()) {
    auto result = use(*pooled);
    g_cfi_frames.give(pooled);
    return result;
  }
  return [&]() __attribute__((noinline)) {
    CfiFrame own;
    return use(own);
  }
  ();
}

bool is_plausible_code(uint64_t pc) {
  return pc >= 4096 && pc < (uint64_t{1} << 47);
}

// `mov $15, %rax; syscall`: what every libc's signal restorer is, also those without CFI.
constexpr uint8_t kSigreturnCode[] = {0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};

bool is_sigreturn(uint64_t pc, const ModuleInstance& m) {
  return pc >= m.text_start && pc + sizeof kSigreturnCode <= m.text_end && probe_readable(pc) &&
         probe_readable(pc + sizeof kSigreturnCode) &&
         memcmp(reinterpret_cast<const void*>(pc), kSigreturnCode, sizeof kSigreturnCode) == 0;
}

// Registers in the order of ucontext's gregs (r8..r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip), which
// start 40 bytes into the ucontext (uc_flags, uc_link, uc_stack).
constexpr uint8_t kContextOrder[] = {8,    9,    10,   11,   12,   13,   14,   15,
                                     kRdi, kRsi, kRbp, kRbx, kRdx, kRax, kRcx, kRsp};
constexpr uint64_t kContextRegisters = 40;

constexpr uint32_t kCallerSaved = (1u << kRax) | (1u << kRdx) | (1u << kRcx) | (1u << kRsi) | (1u << kRdi) |
                                  (1u << 8) | (1u << 9) | (1u << 10) | (1u << 11);

} // namespace

Rule resolve_rule(WalkContext& context, uint64_t pc, bool exact_pc, uint32_t epoch) {
  const uint64_t key = pc | (exact_pc ? RuleTable::kExactPcKey : 0);
  // The call itself lies before its return address, perhaps in another function or row.
  const uint64_t at = exact_pc ? pc : pc - 1;
  if (const RuleEntry* e = context.rules.find(key, epoch))
    return e->rule;
  for (RuleEntry* e = context.rules.find_any(key, nullptr); e; e = context.rules.find_any(key, e)) {
    const bool holds = e->instance == ModuleTable::kNoInstance
                           ? context.modules.find(at, epoch) == ModuleTable::kNoInstance
                           : context.modules.revalidate(e->instance, at, epoch);
    if (!holds)
      continue;
    if (e->instance == ModuleTable::kNoInstance && !context.believes_in_unknown_code(epoch))
      return e->rule;
    e->epoch.store(epoch, std::memory_order_relaxed);
    const Rule rule = e->rule;
    // In an older level of the table? Then bring it where the next lookup looks first.
    if (context.rules.find(key, epoch) == nullptr)
      context.rules.insert(key, rule, epoch, e->instance);
    return rule;
  }
  const uint32_t instance = context.modules.find(at, epoch);
  Rule rule{};
  rule.kind = RuleKind::frame_pointer;
  if (instance != ModuleTable::kNoInstance) {
    const ModuleInstance& module = context.modules.instance(instance);
    with_cfi_frame([&](CfiFrame& frame) {
      if (decode_cfi(module.cfi, at, frame) == CfiResult::found)
        rule = compact_rule(frame);
      // A return address that nothing called: the first byte of a function, pushed by hand at the base of a
      // stack (makecontext pushes __start_context).
      else if (decode_cfi(module.cfi, pc, frame) == CfiResult::found && frame.function_start == pc &&
               !exact_pc)
        rule.kind = RuleKind::outermost;
      else if (is_sigreturn(pc, module))
        rule.kind = RuleKind::complex;
      return 0;
    });
    rule.module = module.id;
  }
  // An entry of epoch 0, which never was, is confirmed before each use.
  const bool to_be_confirmed =
      instance == ModuleTable::kNoInstance && !context.believes_in_unknown_code(epoch);
  context.rules.insert(key, rule, to_be_confirmed ? 0 : epoch, instance);
  return rule;
}

FullWalk::FullWalk(const EntryRegisters& entry, WalkContext& context, ReadableRanges& ranges)
    : context_(context), ranges_(ranges), epoch_(context.epoch.now()) {
  registers_.set(kRbx, entry.rbx);
  registers_.set(kRbp, entry.rbp);
  registers_.set(kR12, entry.r12);
  registers_.set(kR13, entry.r13);
  registers_.set(kR14, entry.r14);
  registers_.set(kR15, entry.r15);
  registers_.set(kRsp, entry.rsp);
  ranges_.select(entry.rsp);
  arrive(entry.rip, false, false);
}

bool FullWalk::arrive(uint64_t pc, bool exact, bool guessed) {
  pc_ = pc;
  exact_ = exact;
  guessed_ = guessed;
  any_guess_ |= guessed;
  registers_.set(kReturnAddress, pc); // expressions may ask for the pc, as a PLT entry's does
  if (!is_plausible_code(pc))
    return stop(pc == 0 ? WalkEnd::outermost : WalkEnd::no_rule);
  rule_ = resolve_rule(context_, pc, exact, epoch_);
  return true;
}

bool FullWalk::read(uint64_t address, uint64_t& value) {
  if (!ranges_.ensure(address, 8))
    return false;
  memcpy(&value, reinterpret_cast<const void*>(address), sizeof value);
  return true;
}

MemoryReader FullWalk::memory() {
  return {[](void* self, uint64_t address, unsigned bytes, uint64_t& value) {
            value = 0;
            if (!static_cast<FullWalk*>(self)->ranges_.ensure(address, bytes))
              return false;
            memcpy(&value, reinterpret_cast<const void*>(address), bytes);
            return true;
          },
          this};
}

bool FullWalk::step() {
  switch (rule_.kind) {
  case RuleKind::cfa_rsp:
  case RuleKind::cfa_rbp:
    return step_compact();
  case RuleKind::frame_pointer:
    return step_by_frame_pointer();
  case RuleKind::outermost:
    return stop(WalkEnd::outermost);
  case RuleKind::cfa_at_rbp:
  case RuleKind::complex:
    return step_by_cfi();
  }
  return stop(WalkEnd::no_rule);
}

bool FullWalk::step_compact() {
  const uint64_t sp = registers_.value[kRsp];
  const unsigned base = rule_.kind == RuleKind::cfa_rsp ? kRsp : kRbp;
  if (!registers_.has(base))
    return stop(WalkEnd::bad_cfa);
  const uint64_t cfa = registers_.value[base] + static_cast<uint64_t>(int64_t{rule_.cfa_offset});
  if (cfa < sp + 8)
    return stop(WalkEnd::bad_cfa);
  uint64_t pc = 0;
  if (!read(cfa - 8, pc))
    return stop(WalkEnd::unreadable);
  for (unsigned i = 0; i < kSavedCount; ++i) {
    if (rule_.saved[i] == 0)
      continue;
    uint64_t value = 0;
    if (!read(cfa - 8 * uint64_t{rule_.saved[i]}, value))
      return stop(WalkEnd::unreadable);
    registers_.set(kSavedDwarf[i], value);
  }
  registers_.known &= ~kCallerSaved;
  registers_.set(kRsp, cfa);
  return arrive(pc, false, false);
}

bool FullWalk::step_by_frame_pointer() {
  const uint64_t sp = registers_.value[kRsp], bp = registers_.value[kRbp];
  if (!registers_.has(kRbp))
    return stop(WalkEnd::no_rule);
  if (bp == 0)
    return stop(WalkEnd::outermost);
  if (bp < sp || bp % 8 != 0)
    return stop(WalkEnd::no_rule);
  // A guess stays inside the stack: ensure() alone would accept any readable address.
  uint64_t caller_bp = 0, pc = 0;
  if (!read(bp, caller_bp) || !read(bp + 8, pc) || !ranges_.contains(bp + 8))
    return stop(WalkEnd::no_rule);
  if (!is_plausible_code(pc))
    return stop(pc == 0 ? WalkEnd::outermost : WalkEnd::no_rule);
  registers_.known &= ~kCallerSaved;
  registers_.set(kRbp, caller_bp);
  registers_.set(kRsp, bp + 16);
  return arrive(pc, false, true);
}

bool FullWalk::step_by_cfi() {
  const uint64_t at = exact_ ? pc_ : pc_ - 1;
  const uint32_t instance = context_.modules.find(at, epoch_);
  if (instance == ModuleTable::kNoInstance)
    return stop(WalkEnd::no_rule);
  const ModuleInstance& module = context_.modules.instance(instance);
  return with_cfi_frame([&](CfiFrame& frame) {
    if (decode_cfi(module.cfi, at, frame) == CfiResult::found)
      return evaluate(frame);
    if (is_sigreturn(pc_, module))
      return step_signal_context(registers_.value[kRsp]);
    return stop(WalkEnd::no_rule);
  });
}

bool FullWalk::evaluate(const CfiFrame& frame) {
  const CfiRow& row = frame.row;
  const uint64_t sp = registers_.value[kRsp];
  if (row.registers[kReturnAddress].kind == RegisterRule::undefined)
    return stop(WalkEnd::outermost);
  uint64_t cfa = 0;
  if (row.cfa_is_expression) {
    if (!evaluate_expression(static_cast<uint64_t>(row.cfa_value), row.cfa_expression_bytes, registers_,
                             memory(), nullptr, cfa))
      return stop(WalkEnd::bad_cfa);
  } else {
    if (!registers_.has(row.cfa_register))
      return stop(WalkEnd::bad_cfa);
    cfa = registers_.value[row.cfa_register] + static_cast<uint64_t>(row.cfa_value);
  }
  // Across a signal frame the stack may change; elsewhere a caller's frame is always farther out, but for
  // code interrupted after it has popped its return address (libgcc jumps to a landing pad like that).
  if (!frame.is_signal_frame && cfa < sp + (exact_ ? 0 : 8))
    return stop(WalkEnd::bad_cfa);
  FrameRegisters caller = registers_;
  if (!frame.is_signal_frame)
    caller.known &= ~kCallerSaved;
  caller.set(kRsp, cfa);
  uint64_t pc = 0;
  bool has_pc = false;
  for (unsigned i = 0; i < kDwarfRegisters; ++i) {
    const RegisterRule& rule = row.registers[i];
    uint64_t value = 0;
    switch (rule.kind) {
    case RegisterRule::same:
      continue;
    case RegisterRule::undefined:
      caller.forget(i);
      continue;
    case RegisterRule::offset:
      if (!read(cfa + static_cast<uint64_t>(rule.value), value))
        return stop(WalkEnd::unreadable);
      break;
    case RegisterRule::val_offset:
      value = cfa + static_cast<uint64_t>(rule.value);
      break;
    case RegisterRule::in_register:
      if (!registers_.has(static_cast<unsigned>(rule.value))) {
        caller.forget(i);
        continue;
      }
      value = registers_.value[rule.value];
      break;
    case RegisterRule::expression:
    case RegisterRule::val_expression:
      if (!evaluate_expression(static_cast<uint64_t>(rule.value), rule.expression_bytes, registers_, memory(),
                               &cfa, value))
        return stop(WalkEnd::bad_cfa);
      if (rule.kind == RegisterRule::expression && !read(value, value))
        return stop(WalkEnd::unreadable);
      break;
    }
    if (i == kReturnAddress) {
      pc = value;
      has_pc = true;
    } else {
      caller.set(i, value);
    }
  }
  if (!has_pc)
    return stop(WalkEnd::no_rule);
  registers_ = caller;
  any_signal_frame_ |= frame.is_signal_frame;
  if (frame.is_signal_frame)
    ranges_.select(registers_.value[kRsp]);
  return arrive(pc, frame.is_signal_frame, false);
}

bool FullWalk::step_signal_context(uint64_t context_address) {
  FrameRegisters caller;
  uint64_t value = 0;
  for (unsigned i = 0; i < sizeof kContextOrder; ++i) {
    if (!read(context_address + kContextRegisters + 8 * i, value))
      return stop(WalkEnd::unreadable);
    caller.set(kContextOrder[i], value);
  }
  if (!read(context_address + kContextRegisters + 8 * sizeof kContextOrder, value))
    return stop(WalkEnd::unreadable);
  registers_ = caller;
  any_signal_frame_ = true;
  ranges_.select(registers_.value[kRsp]);
  return arrive(value, true, false);
}

PlainWalk walk_plainly(const EntryRegisters& entry, WalkContext& context, ReadableRanges& ranges,
                       WalkedFrame* out, uint32_t capacity) {
  FullWalk walk(entry, context, ranges);
  uint32_t n = 0;
  while (walk.pc() != 0) {
    if (n == capacity)
      return {n, WalkEnd::depth_cap};
    out[n++] = {walk.node_pc(), walk.module()};
    if (!walk.step())
      break;
  }
  return {n, walk.end()};
}

} // namespace hl
