// Storage of interned texts: append-only chunks, so that views stay valid while the pool grows.
#include "symbols/string_pool.h"

#include <algorithm>
#include <cstring>

namespace hl {

namespace {
constexpr size_t kChunkBytes = 256 * 1024;
}

StringPool::StringPool() {
  texts_.emplace_back("");
  ids_.emplace(texts_[0], StringId::kEmpty);
}

StringId StringPool::intern(std::string_view text) {
  text = text.substr(0, kMaxTextBytes);
  std::lock_guard lock(mutex_);
  auto found = ids_.find(text);
  if (found != ids_.end())
    return found->second;
  std::string_view stored(store(text), text.size());
  StringId id{static_cast<uint32_t>(texts_.size())};
  texts_.push_back(stored);
  ids_.emplace(stored, id);
  return id;
}

std::string_view StringPool::text(StringId id) const {
  std::lock_guard lock(mutex_);
  size_t index = static_cast<size_t>(id);
  return index < texts_.size() ? texts_[index] : texts_[0];
}

size_t StringPool::size() const {
  std::lock_guard lock(mutex_);
  return texts_.size();
}

const char* StringPool::store(std::string_view text) {
  size_t needed = text.size() + 1;
  if (chunk_size_ - chunk_used_ < needed) {
    chunk_size_ = std::max(kChunkBytes, needed);
    chunk_used_ = 0;
    chunks_.push_back(std::make_unique_for_overwrite<char[]>(chunk_size_));
  }
  char* place = chunks_.back().get() + chunk_used_;
  if (!text.empty())
    std::memcpy(place, text.data(), text.size());
  place[text.size()] = '\0';
  chunk_used_ += needed;
  return place;
}

} // namespace hl
