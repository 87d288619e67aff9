// A library with a cache that lives as long as the program.
#include "catalog.h"

void* volatile sink_of_store;

namespace store {

struct Record {
  int number;
  char* text;
};

namespace {

std::map<int, std::vector<char>>& cache() {
  static auto* all = new std::map<int, std::vector<char>>();
  return *all;
}

template <int kBytes> struct Padding {
  static void* make() {
    void* block = std::calloc(1, kBytes);
    sink_of_store = block;
    return block;
  }
};

} // namespace

Record* open_record(int number) {
  auto* record = new Record{number, nullptr};
  record->text = codec::encode("record", 6, number % 3);
  return record;
}

void close_record(Record* record) {
  std::free(record->text);
  delete record;
}

size_t fill(int count) {
#ifndef WITHOUT_CACHE
  for (int i = 0; i < count; ++i)
    cache()[i].resize(static_cast<size_t>(1000 + i));
#endif
  for (int i = 0; i < count; ++i) {
    std::free(Padding<24>::make());
    std::free(Padding<40>::make());
  }
  return static_cast<size_t>(count);
}

void drop_all() {
  cache().clear();
}

} // namespace store
