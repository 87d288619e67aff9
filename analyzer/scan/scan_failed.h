// Why a scan cannot be had: thrown by whatever finds out, turned into a payload without classes by
// scan_command. The words are for the user: what is the matter, and where possible what would help.
#pragma once

#include <stdexcept>
#include <string>

#include "heapledger/trace_format.h"

namespace hl {

class ScanFailed : public std::runtime_error {
 public:
  ScanFailed(ScanFailure failure, const std::string& reason)
      : std::runtime_error(reason), failure_(failure) {}
  ScanFailure failure() const { return failure_; }

 private:
  ScanFailure failure_;
};

} // namespace hl
