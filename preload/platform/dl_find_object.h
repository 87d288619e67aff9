// glibc's lock-free answer to which object an address lies in (_dl_find_object, 2.35 and newer), declared
// here because old headers lack it.
#pragma once

namespace hl {

// Layout of glibc's struct dl_find_object on x86-64.
struct DlFindObjectResult {
  unsigned long long flags;
  void* map_start;
  void* map_end;
  void* link_map;
  void* eh_frame; // PT_GNU_EH_FRAME
  unsigned long long reserved[7];
};
using DlFindObject = int (*)(void* address, DlFindObjectResult* result);

} // namespace hl
