// For tests and benchmarks: an entry stub like those of the interposed functions, and a context whose nodes
// live in ordinary memory.
#pragma once

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "unwind/walker.h"

// Calls body(registers, argument), with the caller's registers as an interposed function's stub takes them.
extern "C" uint64_t hl_test_event(uint64_t (*body)(const hl::EntryRegisters*, void*), void* argument);
asm(R"(
  .pushsection .text
  .globl hl_test_event
  .type hl_test_event, @function
hl_test_event:
  .cfi_startproc
  subq $72, %rsp
  .cfi_adjust_cfa_offset 72
  movq %rbx, 0(%rsp)
  movq %rbp, 8(%rsp)
  movq %r12, 16(%rsp)
  movq %r13, 24(%rsp)
  movq %r14, 32(%rsp)
  movq %r15, 40(%rsp)
  leaq 80(%rsp), %rax
  movq %rax, 48(%rsp)
  movq 72(%rsp), %rax
  movq %rax, 56(%rsp)
  movq %rdi, %rax
  movq %rsp, %rdi
  call *%rax
  addq $72, %rsp
  .cfi_adjust_cfa_offset -72
  ret
  .cfi_endproc
  .size hl_test_event, . - hl_test_event
  .popsection
)");

namespace hl::test {

inline NodeBlock* provide_block(void*, uint32_t position) {
  static std::mutex mutex;
  static std::map<uint32_t, NodeBlock*> blocks;
  const std::lock_guard lock(mutex);
  NodeBlock*& block = blocks[position];
  if (block == nullptr) {
    void* p = mmap(nullptr, kBlockBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    block = p == MAP_FAILED ? nullptr : static_cast<NodeBlock*>(p);
  }
  return block;
}

// One for the process: modules and rules are per process anyway.
struct Environment {
  StackTree tree;
  std::atomic<uint32_t> node_count{0};
  std::atomic<uint64_t> walk_ends[kWalkEnds] = {};
  WalkContext context;
  std::vector<std::string> module_paths;

  Environment() {
    tree.storage.init(provide_block, nullptr, &node_count);
    context.tree = &tree;
    context.walk_ends = walk_ends;
    context.modules.dl_find_object = reinterpret_cast<DlFindObject>(dlsym(RTLD_DEFAULT, "_dl_find_object"));
    context.modules.executable_path = "/proc/self/exe";
    context.modules.storage.context = this;
    context.modules.storage.publish = [](void* self, const ModuleInfo& info) {
      auto& paths = static_cast<Environment*>(self)->module_paths;
      paths.push_back(info.path);
      return static_cast<uint32_t>(paths.size());
    };
    // libc's own: a sanitizer's runtime interposes it.
    void* const libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    context.epoch.find_load_counter(dlvsym(RTLD_DEFAULT, "_rtld_global", "GLIBC_PRIVATE"),
                                    dlsym(libc, "dl_iterate_phdr"));
  }

  // Frames of a stack, innermost first, as stored.
  std::vector<WalkedFrame> frames_of(StackId id) const {
    std::vector<WalkedFrame> frames;
    while (id) {
      const StackNode* node = tree.storage.node(id);
      if (node == nullptr)
        abort();
      frames.push_back({node->pc.load(std::memory_order_relaxed), node->module});
      id = node->parent;
    }
    return frames;
  }
};

// For messages: " PC/MODULE" of each frame.
inline std::string text_of(const std::vector<WalkedFrame>& frames) {
  std::string s;
  char one[40];
  for (const auto& f : frames) {
    snprintf(one, sizeof one, " %llx/%u", static_cast<unsigned long long>(f.pc), f.module);
    s += one;
  }
  return s;
}

} // namespace hl::test
