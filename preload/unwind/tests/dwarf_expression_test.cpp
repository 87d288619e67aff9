// The expression evaluator: the expressions that real objects carry, each operation, and hostile bytes.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "unwind/dwarf_expression.h"

namespace {

struct Memory {
  uint64_t word_at_0x1000 = 0x1122334455667788;
  static bool read(void* self, uint64_t address, unsigned bytes, uint64_t& value) {
    if (address < 0x1000 || address + bytes > 0x1008)
      return false;
    value = 0;
    memcpy(&value, reinterpret_cast<char*>(&static_cast<Memory*>(self)->word_at_0x1000) + (address - 0x1000),
           bytes);
    return true;
  }
};

struct Evaluated {
  bool ok;
  uint64_t value;
  bool operator==(const Evaluated&) const = default;
};
doctest::String toString(const Evaluated& e) {
  return e.ok ? doctest::toString(e.value) : "refused";
}

hl::FrameRegisters registers() {
  hl::FrameRegisters r;
  r.set(hl::kRsp, 0x7000);
  r.set(hl::kRbp, 0x1008);
  r.set(hl::kReturnAddress, 0x40101b);
  return r;
}

Evaluated evaluate(std::vector<uint8_t> bytes, const uint64_t* initial = nullptr) {
  Memory memory;
  uint64_t value = 0;
  const bool ok =
      hl::evaluate_expression(reinterpret_cast<uint64_t>(bytes.data()), static_cast<uint32_t>(bytes.size()),
                              registers(), {Memory::read, &memory}, initial, value);
  return {ok, ok ? value : 0};
}
const Evaluated kRefused{false, 0};
Evaluated is(uint64_t v) {
  return {true, v};
}

} // namespace

TEST_CASE("the CFA of a PLT entry depends on how far its code has got") {
  // rsp + 8 + ((rip & 15) >= 11) * 8, as ld writes it for .plt
  const std::vector<uint8_t> plt = {0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22};
  CHECK(evaluate(plt) == is(0x7000 + 16)); // rip ends in b
  auto earlier = plt;
  earlier[6] = 0x3c; // >= 12: not yet pushed
  CHECK(evaluate(earlier) == is(0x7000 + 8));
}

TEST_CASE("the CFA of a realigned stack is read from below rbp") {
  CHECK(evaluate({0x76, 0x78, 0x06}) == is(0x1122334455667788));
}

TEST_CASE("a register rule starts with the CFA on the stack") {
  const uint64_t cfa = 0x5000;
  CHECK(evaluate({0x23, 0x10}, &cfa) == is(0x5010));
}

TEST_CASE("each operation does what DWARF says") {
  CHECK(evaluate({0x31, 0x35, 0x22}) == is(6));
  CHECK(evaluate({0x35, 0x32, 0x1c}) == is(3));
  CHECK(evaluate({0x35, 0x32, 0x1e}) == is(10));
  CHECK(evaluate({0x09, 0xf9, 0x32, 0x1b}) == is(static_cast<uint64_t>(-3)));
  CHECK(evaluate({0x37, 0x34, 0x1d}) == is(3));
  CHECK(evaluate({0x09, 0xff, 0x19}) == is(1));
  CHECK(evaluate({0x31, 0x1f}) == is(~uint64_t{0}));
  CHECK(evaluate({0x30, 0x20}) == is(~uint64_t{0}));
  CHECK(evaluate({0x3c, 0x3a, 0x1a}) == is(8));
  CHECK(evaluate({0x3c, 0x3a, 0x21}) == is(14));
  CHECK(evaluate({0x3c, 0x3a, 0x27}) == is(6));
  CHECK(evaluate({0x31, 0x34, 0x24}) == is(16));
  CHECK(evaluate({0x40, 0x32, 0x25}) == is(4));
  CHECK(evaluate({0x09, 0xf0, 0x32, 0x26}) == is(static_cast<uint64_t>(-4)));
  CHECK(evaluate({0x31, 0x08, 0xff, 0x24}) == is(0));
  CHECK(evaluate({0x31, 0x32, 0x29}) == is(0));
  CHECK(evaluate({0x31, 0x32, 0x2d}) == is(1));
  CHECK(evaluate({0x09, 0xff, 0x31, 0x2b}) == is(0));
  CHECK(evaluate({0x31, 0x32, 0x14}) == is(1));
  CHECK(evaluate({0x31, 0x32, 0x16}) == is(1));
  CHECK(evaluate({0x31, 0x32, 0x33, 0x17}) == is(2));
  CHECK(evaluate({0x31, 0x32, 0x15, 1}) == is(1));
  CHECK(evaluate({0x31, 0x32, 0x13}) == is(1));
  CHECK(evaluate({0x0a, 0x34, 0x12}) == is(0x1234));
  CHECK(evaluate({0x0d, 0xfe, 0xff, 0xff, 0xff}) == is(static_cast<uint64_t>(-2)));
  CHECK(evaluate({0x10, 0x80, 0x01}) == is(128));
  CHECK(evaluate({0x11, 0x7f}) == is(static_cast<uint64_t>(-1)));
  CHECK(evaluate({0x0a, 0x00, 0x10, 0x94, 2}) == is(0x7788));
  CHECK(evaluate({0x92, 0x07, 0x10}) == is(0x7010));
  CHECK(evaluate({0x31, 0x28, 1, 0, 0x35, 0x36}) == is(6)); // bra taken
  CHECK(evaluate({0x30, 0x28, 1, 0, 0x35, 0x36, 0x22}) == is(11));
  CHECK(evaluate({0x35, 0x2f, 1, 0, 0x36}) == is(5));
}

TEST_CASE("what cannot be evaluated is refused") {
  CHECK(evaluate({}) == kRefused);
  CHECK(evaluate({0x22}) == kRefused);             // empty stack
  CHECK(evaluate({0x31, 0x30, 0x1b}) == kRefused); // division by zero
  CHECK(evaluate({0x30, 0x06}) == kRefused);       // unreadable memory
  CHECK(evaluate({0x73, 0x00}) == kRefused);       // rbx was not recovered
  CHECK(evaluate({0x0c, 0x01}) == kRefused);       // operand cut off
  CHECK(evaluate({0x10, 0x80}) == kRefused);
  CHECK(evaluate({0xe0}) == kRefused);                   // vendor operation
  CHECK(evaluate({0x31, 0x2f, 0xfc, 0xff}) == kRefused); // endless loop: stack or steps run out
  CHECK(evaluate({0x2f, 0xfd, 0xff}) == kRefused);
  CHECK(evaluate({0x2f, 0x00, 0x70}) == kRefused); // jump out of the expression
  CHECK(evaluate(std::vector<uint8_t>(40, 0x31)) == kRefused);
}
