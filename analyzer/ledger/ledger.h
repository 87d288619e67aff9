// The ledger: resident memory (RSS) of one moment split into accounts, each resident byte in exactly one, so
// that they add up to it; and beside them what has an address but is not resident.
//
// RSS here is the sum of the kernel's Rss over all mappings in the same reading as the resident pages. Where
// the process ran on while it was read, the two can disagree; the difference is in `unknown` (or was taken
// out of free memory, see `adjusted_bytes`), and `consistent` is false.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fragmentation/page_accounts.h"
#include "memory_map/region_map.h"

namespace hl {

enum class Account : uint8_t {
  live,      // live blocks, the bytes the program asked for
  slack,     // usable - requested of live blocks
  allocator, // the allocator's own: chunk headers, arenas, tables, and free bytes on pages with nothing else
  stranded,  // free bytes on pages that live blocks keep
  trimmable, // free bytes on pages with nothing live on them
  managed,   // heaps of managed runtimes
  anonymous, // mapped by the program itself, without a file
  code,      // of program and libraries: instructions and constants
  data,      // of program and libraries: global variables
  files,     // mapped files
  shared,    // shared memory
  device,    // drivers' memory: GPU buffers
  stacks,
  own,    // of the recording
  kernel, // vdso
  unknown,
};
inline constexpr size_t kAccounts = 16;
std::string_view to_string(Account account); // "live" ... ; of own "heapledger", of allocator "allocator"
std::string_view describe(Account account);  // in a few words, for people

// Who has the bytes of an account.
struct AccountOwner {
  uint64_t bytes = 0;
  uint32_t site = 0; // index into ReplayResult::sites; 0: `name` says who
  std::string name;  // of a mapping, file, thread, heap
};

struct Ledger {
  uint64_t rss = 0;
  bool consistent = false;
  Confidence confidence = Confidence::residency_only;      // of the split of the allocator's memory
  std::array<uint64_t, kAccounts> bytes{};                 // sum: rss
  std::array<std::vector<AccountOwner>, kAccounts> owners; // most bytes first; each sums to its account
  // Not in rss.
  uint64_t untouched = 0; // requested bytes of live blocks on pages never touched
  uint64_t swapped = 0;   // of live blocks, on swapped pages
  uint64_t swap = 0;      // of all mappings
  uint64_t mapped = 0;    // size of all mappings
  // More resident pages of the allocator were found than smaps counts there: taken out of its free accounts
  // first.
  uint64_t adjusted_bytes = 0;

  uint64_t of(Account account) const { return bytes[static_cast<size_t>(account)]; }
};

// `accounts` of the same map and moment. `stranded`: charges by site (analyses of blame); empty: the owners
// of stranded bytes are the heaps they lie in.
Ledger make_ledger(const RegionMap& map, const PageAccounts& accounts, bool consistent,
                   std::span<const AccountOwner> stranded = {});

} // namespace hl
