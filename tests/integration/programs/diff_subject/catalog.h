// Templates of the program that test_diff.py builds a dozen ways and compares with itself.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

// What is stored here is used, so that no compiler may leave an allocation out.
extern void* volatile sink;

inline void keep(void* pointer) {
  sink = pointer;
}

namespace catalog {

template <typename T, int kStep> class Table {
 public:
  ~Table() { std::free(slots_); }
  void add(const T& value) {
    if (used_ == room_)
      grow();
    slots_[used_++] = value;
  }
  size_t size() const { return used_; }

 private:
  void grow() {
    room_ += kStep;
    slots_ = static_cast<T*>(std::realloc(slots_, room_ * sizeof(T)));
    keep(slots_);
  }
  T* slots_ = nullptr;
  size_t used_ = 0, room_ = 0;
};

template <typename Make> auto repeat(int times, Make make) {
  std::vector<decltype(make(0))> made;
  for (int i = 0; i < times; ++i)
    made.push_back(make(i));
  return made;
}

} // namespace catalog

// codec.cpp, a library
namespace codec {
char* encode(const char* text, size_t bytes, int rounds);
std::string name_of(int number);
} // namespace codec

// store.cpp, a library
namespace store {
struct Record;
Record* open_record(int number);
void close_record(Record* record);
size_t fill(int count);
void drop_all();
} // namespace store

// session.cpp
namespace session {
void serve(int requests);
void finish();
} // namespace session
