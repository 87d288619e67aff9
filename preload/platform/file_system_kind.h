// Which file systems may hold the session file: those where a page that was given room keeps it. Programs
// write to the file through a mapping; where such a write needs room of its own (copy on write), or an answer
// from somewhere else (a network, a process), it may block or end the program by SIGBUS. And which take a
// write before they know whether there is room for it.
//
// For the recorder and for the shim, so raw system calls alone.
#pragma once

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/vfs.h>

#include "platform/syscalls.h"

namespace hl::sys {

// The name of an unfit file system by its magic number (statfs), nullptr if it is none of those.
inline const char* unfit_file_system(uint32_t magic) {
  switch (magic) {
  case 0x6969:
    return "NFS";
  case 0x517b:
  case 0xff534d42:
  case 0xfe534d42:
    return "SMB";
  case 0x65735546:
    return "FUSE";
  case 0x9123683e:
    return "btrfs";
  case 0x2fc12fc1:
    return "ZFS";
  case 0xca451a4e:
    return "bcachefs";
  case 0x01021997:
    return "9p";
  case 0x00c36400:
    return "Ceph";
  case 0x5346414f:
  case 0x6b414653:
    return "AFS";
  case 0x73757245:
    return "Coda";
  case 0x786f4256:
    return "vboxsf";
  case 0xbacbacbc:
    return "VMware's shared folders";
  case 0x0bd00bd0:
    return "Lustre";
  case 0x47504653:
    return "GPFS";
  case 0x19830326:
    return "BeeGFS";
  case 0x20030528:
    return "OrangeFS";
  case 0xaad7aaea:
    return "PanFS";
  case 0x01161970:
    return "GFS2";
  case 0x7461636f:
    return "OCFS2";
  default:
    return nullptr;
  }
}

// Somebody else has the disk: what a write could not store is told later, by fsync or close.
inline bool tells_errors_late(uint32_t magic) {
  constexpr uint32_t kBtrfs = 0x9123683e, kZfs = 0x2fc12fc1, kBcachefs = 0xca451a4e;
  return unfit_file_system(magic) != nullptr && magic != kBtrfs && magic != kZfs && magic != kBcachefs;
}

// The same as unfit_file_system for a file that was just made and is empty and writable, which tells more:
// overlayfs gives its own magic number, whatever it stores files in. `fd` may be left with another attribute;
// it is not used if this names a reason.
inline const char* unfit_file(int fd) {
  struct statfs info = {};
  if (failed(raw_syscall(SYS_fstatfs, fd, pointer_arg(&info))))
    return nullptr;
  const uint32_t magic = static_cast<uint32_t>(info.f_type);
  if (const char* const name = unfit_file_system(magic))
    return name;
  // "No copy on write" is understood only where copies on write are made. overlayfs passes it on.
  int flags = 0;
  if (!failed(raw_syscall(SYS_ioctl, fd, static_cast<long>(FS_IOC_GETFLAGS), pointer_arg(&flags)))) {
    flags |= FS_NOCOW_FL;
    if (!failed(raw_syscall(SYS_ioctl, fd, static_cast<long>(FS_IOC_SETFLAGS), pointer_arg(&flags)))) {
      return "a copy-on-write file system";
    }
  }
  // What else may be below an overlay and cannot tell where its extents are (ZFS, a network) is not trusted
  // either.
  constexpr uint32_t kOverlay = 0x794c7630;
  fiemap extents = {};
  extents.fm_length = ~uint64_t{0};
  if (magic == kOverlay &&
      failed(raw_syscall(SYS_ioctl, fd, static_cast<long>(FS_IOC_FIEMAP), pointer_arg(&extents)))) {
    return "overlayfs above a file system without extents";
  }
  return nullptr;
}

} // namespace hl::sys
