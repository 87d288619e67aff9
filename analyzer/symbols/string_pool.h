// Interned texts: each distinct function, file and module name is stored once, addressed by a 32-bit id.
//
// Ids are handed out in order of first use and never freed; texts never move. Several worker threads intern
// at once, so every call takes the mutex: workers keep their own memo of what they interned before, which
// leaves a few thousand calls a report. Texts longer than kMaxTextBytes are cut: a hostile string table must
// not make the report's memory explode.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "symbols/symbolizer.h"

namespace hl {

class StringPool {
 public:
  static constexpr size_t kMaxTextBytes = 64 * 1024;

  StringPool();
  StringPool(const StringPool&) = delete;
  StringPool& operator=(const StringPool&) = delete;

  StringId intern(std::string_view text);
  // NUL-terminated; valid as long as the pool. An id of another pool gives the empty text.
  std::string_view text(StringId id) const;
  size_t size() const;

 private:
  const char* store(std::string_view text);

  mutable std::mutex mutex_;
  std::unordered_map<std::string_view, StringId> ids_;
  std::vector<std::string_view> texts_;
  std::vector<std::unique_ptr<char[]>> chunks_;
  size_t chunk_used_ = 0;
  size_t chunk_size_ = 0;
};

} // namespace hl
