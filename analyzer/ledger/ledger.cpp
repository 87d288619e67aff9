// See ledger.h.
#include "ledger/ledger.h"

#include <algorithm>
#include <map>

namespace hl {
namespace {

struct AccountWords {
  std::string_view name, words;
};
constexpr AccountWords kWords[kAccounts] = {
    {"live", "live blocks, as asked for"},
    {"slack", "unused ends of live blocks"},
    {"allocator", "the allocator's headers, tables"},
    {"stranded", "free, kept by blocks beside it"},
    {"trimmable", "free, could be given back"},
    {"managed", "managed runtimes' heaps"},
    {"anonymous", "mapped by the program itself"},
    {"code", "code and constants"},
    {"data", "global variables"},
    {"files", "mapped files"},
    {"shared", "shared memory"},
    {"device", "memory of devices (GPU)"},
    {"stacks", "stacks of threads"},
    {"heapledger", "heapledger's own"},
    {"kernel", "the kernel's pages (vdso)"},
    {"unknown", "unknown"},
};

Account account_of(const Region& region) {
  switch (region.kind) {
  case RegionKind::code:
  case RegionKind::read_only_data:
    return Account::code;
  case RegionKind::data:
  case RegionKind::bss:
    return Account::data;
  case RegionKind::managed:
    return Account::managed;
  case RegionKind::anonymous:
    // Nobody is known to have mapped it: not the program's calls, not a name.
    return region.evidence == RegionEvidence::none ? Account::unknown : Account::anonymous;
  case RegionKind::file:
    return Account::files;
  case RegionKind::shared:
    return Account::shared;
  case RegionKind::device:
    return Account::device;
  case RegionKind::main_stack:
  case RegionKind::thread_stack:
    return Account::stacks;
  case RegionKind::kernel:
    return Account::kernel;
  case RegionKind::own:
    return Account::own;
  case RegionKind::heap_brk:
  case RegionKind::heap_arena:
  case RegionKind::heap_mapped:
  case RegionKind::heap_other:
  case RegionKind::unknown:
    break;
  }
  return Account::unknown;
}

std::string name_of(const Region& region) {
  if (!region.name.empty())
    return region.name;
  switch (region.kind) {
  case RegionKind::heap_brk:
    return "main heap (brk)";
  case RegionKind::heap_arena:
    return "further arenas";
  case RegionKind::heap_mapped:
    return "blocks with a mapping each";
  case RegionKind::heap_other:
    return "the allocator's mappings";
  case RegionKind::own:
    return "tables of the shim";
  case RegionKind::anonymous:
  case RegionKind::unknown:
    return "anonymous memory";
  default:
    return std::string(to_string(region.kind));
  }
}

class LedgerMaker {
 public:
  Ledger make(const RegionMap& map, const PageAccounts& accounts, bool consistent,
              std::span<const AccountOwner> stranded) {
    ledger_.consistent = consistent;
    ledger_.confidence = accounts.confidence;
    ledger_.untouched = accounts.untouched;
    ledger_.swapped = accounts.swapped;
    std::vector<const RegionAccounts*> of_region(map.regions.size());
    for (const RegionAccounts& entry : accounts.regions)
      if (entry.region < of_region.size())
        of_region[entry.region] = &entry;
    for (size_t i = 0; i < map.regions.size(); ++i) {
      const Region& region = map.regions[i];
      ledger_.rss += region.rss;
      ledger_.swap += region.swap;
      ledger_.mapped += region.bytes();
      if (of_region[i] != nullptr)
        book_heap(region, of_region[i]->bytes);
      else
        book(account_of(region), region.rss, region.site, name_of(region));
    }
    settle_sites(accounts, stranded);
    for (size_t i = 0; i < kAccounts; ++i)
      list_owners(static_cast<Account>(i));
    return std::move(ledger_);
  }

 private:
  void book(Account account, uint64_t bytes, uint32_t site, const std::string& name) {
    if (bytes == 0)
      return;
    ledger_.bytes[static_cast<size_t>(account)] += bytes;
    // A site's mappings belong together, whatever they are called; without a site the name tells.
    AccountOwner& owner = named_[static_cast<size_t>(account)]
                                [{site, site == 0 || account == Account::managed ? name : std::string()}];
    owner.site = site;
    if (owner.name.empty())
      owner.name = name;
    owner.bytes += bytes;
  }

  // The pages as they were read one by one against what the kernel summed up a moment before.
  void book_heap(const Region& region, AccountBytes bytes) {
    const uint64_t found = bytes.resident();
    uint64_t excess = found > region.rss ? found - region.rss : 0;
    ledger_.adjusted_bytes += excess;
    for (uint64_t* part : {&bytes.top, &bytes.trimmable, &bytes.stranded, &bytes.held, &bytes.slack,
                           &bytes.metadata, &bytes.requested}) {
      const uint64_t taken = std::min(*part, excess);
      *part -= taken;
      excess -= taken;
    }
    const std::string name = name_of(region);
    book(Account::live, bytes.requested, 0, name);
    book(Account::slack, bytes.slack, 0, name);
    book(Account::allocator, bytes.metadata + bytes.held, 0, name);
    book(Account::stranded, bytes.stranded, 0, name);
    book(Account::trimmable, bytes.trimmable + bytes.top, 0, name);
    if (found < region.rss)
      book(Account::unknown, region.rss - found, 0, name);
  }

  // Live bytes, slack and stranded bytes belong to sites rather than to heaps, where their sums agree.
  void settle_sites(const PageAccounts& accounts, std::span<const AccountOwner> stranded) {
    std::vector<AccountOwner> live, slack;
    for (uint32_t site = 0; site < accounts.sites.size(); ++site) {
      live.push_back({accounts.sites[site].requested, site, {}});
      slack.push_back({accounts.sites[site].slack, site, {}});
    }
    replace_owners(Account::live, live);
    replace_owners(Account::slack, slack);
    replace_owners(Account::stranded, stranded);
  }

  void replace_owners(Account account, std::span<const AccountOwner> by_site) {
    uint64_t sum = 0;
    for (const AccountOwner& owner : by_site)
      sum += owner.bytes;
    const uint64_t booked = ledger_.of(account);
    if (sum == 0 || sum > booked)
      return; // adjusted: no longer theirs alone
    auto& named = named_[static_cast<size_t>(account)];
    named.clear();
    for (const AccountOwner& owner : by_site)
      if (owner.bytes != 0) {
        AccountOwner& entry = named[{owner.site, owner.name}];
        entry.site = owner.site;
        entry.name = owner.site == 0 && owner.name.empty() ? "blocks without a known stack" : owner.name;
        entry.bytes += owner.bytes;
      }
    if (sum < booked)
      named[{0, "others"}] = {booked - sum, 0, "others"};
  }

  void list_owners(Account account) {
    std::vector<AccountOwner>& owners = ledger_.owners[static_cast<size_t>(account)];
    for (const auto& [key, owner] : named_[static_cast<size_t>(account)])
      owners.push_back(owner);
    std::stable_sort(owners.begin(), owners.end(),
                     [](const AccountOwner& a, const AccountOwner& b) { return a.bytes > b.bytes; });
  }

  Ledger ledger_;
  std::array<std::map<std::pair<uint32_t, std::string>, AccountOwner>, kAccounts> named_;
};

} // namespace

std::string_view to_string(Account account) {
  return kWords[static_cast<size_t>(account)].name;
}

std::string_view describe(Account account) {
  return kWords[static_cast<size_t>(account)].words;
}

Ledger make_ledger(const RegionMap& map, const PageAccounts& accounts, bool consistent,
                   std::span<const AccountOwner> stranded) {
  return LedgerMaker().make(map, accounts, consistent, stranded);
}

} // namespace hl
