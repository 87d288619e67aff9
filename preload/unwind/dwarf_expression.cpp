// The stack machine of DWARF 5 section 2.5.1, less what has no meaning in call frame information (objects,
// calls, locations). Bounded in stack and in steps: a damaged expression may loop.
#include "unwind/dwarf_expression.h"

#include "unwind/byte_reader.h"

namespace hl {
namespace {

constexpr unsigned kStackDepth = 32;
constexpr unsigned kStepLimit = 1000;

class Machine {
 public:
  Machine(uint64_t begin, uint32_t bytes, const FrameRegisters& registers, MemoryReader memory)
      : begin_(begin), end_(begin + bytes), reader_(begin, begin + bytes), registers_(registers),
        memory_(memory) {}

  void push(uint64_t v) {
    if (depth_ == kStackDepth) {
      failed_ = true;
      return;
    }
    stack_[depth_++] = v;
  }
  bool run(uint64_t& result) {
    for (unsigned steps = 0; !reader_.at_end() && !failed_; ++steps) {
      if (steps == kStepLimit)
        return false;
      step();
    }
    if (failed_ || !reader_.ok() || depth_ == 0)
      return false;
    result = stack_[depth_ - 1];
    return true;
  }

 private:
  uint64_t pop() {
    if (depth_ == 0) {
      failed_ = true;
      return 0;
    }
    return stack_[--depth_];
  }
  uint64_t peek(uint64_t below) {
    if (below >= depth_) {
      failed_ = true;
      return 0;
    }
    return stack_[depth_ - 1 - below];
  }
  void push_register(uint64_t number, int64_t offset) {
    if (number >= kDwarfRegisters || !registers_.has(static_cast<unsigned>(number))) {
      failed_ = true;
      return;
    }
    push(registers_.value[number] + static_cast<uint64_t>(offset));
  }
  void dereference(unsigned bytes) {
    uint64_t value = 0;
    const uint64_t address = pop();
    if (failed_ || (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8) ||
        !memory_(address, bytes, value)) {
      failed_ = true;
      return;
    }
    push(value);
  }
  void branch(int64_t distance) {
    const uint64_t target = reader_.position() + static_cast<uint64_t>(distance);
    if (!reader_.ok() || target < begin_ || target > end_) {
      failed_ = true;
      return;
    }
    reader_ = ByteReader(target, end_);
  }
  void step();
  void arithmetic(uint8_t op);

  uint64_t begin_, end_;
  ByteReader reader_;
  const FrameRegisters& registers_;
  MemoryReader memory_;
  unsigned depth_ = 0;
  bool failed_ = false;
  uint64_t stack_[kStackDepth];
};

void Machine::step() {
  const uint8_t op = reader_.u8();
  if (op >= 0x30 && op <= 0x4f)
    return push(op - 0x30u); // lit0..lit31
  if (op >= 0x50 && op <= 0x6f)
    return push_register(op - 0x50u, 0); // reg0..reg31, as libgcc reads them
  if (op >= 0x70 && op <= 0x8f)
    return push_register(op - 0x70u, reader_.sleb());
  switch (op) {
  case 0x03:
    return push(reader_.read<uint64_t>()); // addr
  case 0x06:
    return dereference(8); // deref
  case 0x08:
    return push(reader_.u8()); // const1u
  case 0x09:
    return push(static_cast<uint64_t>(int64_t{reader_.read<int8_t>()})); // const1s
  case 0x0a:
    return push(reader_.read<uint16_t>()); // const2u
  case 0x0b:
    return push(static_cast<uint64_t>(int64_t{reader_.read<int16_t>()})); // const2s
  case 0x0c:
    return push(reader_.read<uint32_t>()); // const4u
  case 0x0d:
    return push(static_cast<uint64_t>(int64_t{reader_.read<int32_t>()})); // const4s
  case 0x0e:                                                              // const8u
  case 0x0f:
    return push(reader_.read<uint64_t>()); // const8s
  case 0x10:
    return push(reader_.uleb()); // constu
  case 0x11:
    return push(static_cast<uint64_t>(reader_.sleb())); // consts
  case 0x12:
    return push(peek(0)); // dup
  case 0x13:
    pop();
    return; // drop
  case 0x14:
    return push(peek(1)); // over
  case 0x15:
    return push(peek(reader_.u8())); // pick
  case 0x16: {                       // swap
    const uint64_t a = pop(), b = pop();
    push(a);
    return push(b);
  }
  case 0x17: { // rot
    const uint64_t a = pop(), b = pop(), c = pop();
    push(a);
    push(c);
    return push(b);
  }
  case 0x19: { // abs
    const uint64_t a = pop();
    return push(static_cast<int64_t>(a) < 0 ? 0 - a : a);
  }
  case 0x1f:
    return push(0 - pop()); // neg
  case 0x20:
    return push(~pop()); // not
  case 0x23: {           // plus_uconst
    const uint64_t a = pop();
    return push(a + reader_.uleb());
  }
  case 0x28: { // bra
    const int64_t distance = reader_.read<int16_t>();
    if (pop() != 0)
      branch(distance);
    return;
  }
  case 0x2f:
    return branch(reader_.read<int16_t>()); // skip
  case 0x90:
    return push_register(reader_.uleb(), 0); // regx
  case 0x92: {                               // bregx
    const uint64_t number = reader_.uleb();
    return push_register(number, reader_.sleb());
  }
  case 0x94:
    return dereference(reader_.u8()); // deref_size
  case 0x96:
    return; // nop
  default:
    return arithmetic(op);
  }
}

void Machine::arithmetic(uint8_t op) {
  const uint64_t b = pop(), a = pop();
  const int64_t sa = static_cast<int64_t>(a), sb = static_cast<int64_t>(b);
  switch (op) {
  case 0x1a:
    return push(a & b); // and
  case 0x1b:            // div
    if (sb == 0 || (sb == -1 && sa == INT64_MIN))
      break;
    return push(static_cast<uint64_t>(sa / sb));
  case 0x1c:
    return push(a - b); // minus
  case 0x1d:            // mod
    if (b == 0)
      break;
    return push(a % b);
  case 0x1e:
    return push(a * b); // mul
  case 0x21:
    return push(a | b); // or
  case 0x22:
    return push(a + b); // plus
  case 0x24:
    return push(b < 64 ? a << b : 0); // shl
  case 0x25:
    return push(b < 64 ? a >> b : 0); // shr
  case 0x26:
    return push(static_cast<uint64_t>(sa >> (b < 64 ? b : 63))); // shra
  case 0x27:
    return push(a ^ b); // xor
  case 0x29:
    return push(sa == sb); // eq
  case 0x2a:
    return push(sa >= sb); // ge
  case 0x2b:
    return push(sa > sb); // gt
  case 0x2c:
    return push(sa <= sb); // le
  case 0x2d:
    return push(sa < sb); // lt
  case 0x2e:
    return push(sa != sb); // ne
  default:
    break;
  }
  failed_ = true;
}

} // namespace

bool evaluate_expression(uint64_t begin, uint32_t bytes, const FrameRegisters& registers, MemoryReader memory,
                         const uint64_t* initial, uint64_t& result) {
  Machine machine(begin, bytes, registers, memory);
  if (initial)
    machine.push(*initial);
  return machine.run(result);
}

} // namespace hl
