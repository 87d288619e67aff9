// A heap of so many MiB (the argument) in blocks of 16 to 511 bytes, one list through all of it: what a leak
// scan must read and follow while the program stands still.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {
struct Node {
  Node* next;
  Node* other;
};
Node* volatile g_first;
} // namespace

int main(int, char** argv) {
  const uint64_t wanted_bytes = strtoull(argv[1], nullptr, 10) << 20;
  uint64_t random = 88172645463325252u, bytes = 0, blocks = 0;
  Node* other = nullptr;
  while (bytes < wanted_bytes) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    const size_t size = 16 + random % 496;
    void* const block = malloc(size);
    memset(block, 0, size);
    Node* const node = static_cast<Node*>(block);
    node->next = g_first;
    node->other = other;
    g_first = node;
    if (random % 64 == 0)
      other = node;
    bytes += size;
    ++blocks;
  }
  printf("%llu\n", static_cast<unsigned long long>(blocks));
}
