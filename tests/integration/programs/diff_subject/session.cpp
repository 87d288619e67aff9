// Sessions: lambdas, callbacks, an anonymous namespace, two calls of one function in another.
#include "catalog.h"

namespace session {
namespace {

struct Session {
  std::vector<store::Record*> records;
  std::string name;
};

std::vector<std::unique_ptr<Session>> sessions;

#ifdef RENAMED
#define read_header read_request_header
#endif

char* read_header(int number) {
  char* header = static_cast<char*>(std::malloc(64 + static_cast<size_t>(number % 5)));
  keep(header);
  return header;
}

void* read_body(int number) {
#ifdef GROWN
  void* body = std::malloc(2200);
#else
  void* body = std::malloc(2000);
#endif
  keep(body);
  (void)number;
  return body;
}

#ifdef LEAKING
[[gnu::noinline]] void remember_client(int number) {
  char* client = static_cast<char*>(std::malloc(100));
  client[0] = static_cast<char>(number);
  keep(client);
}
#endif

std::vector<void*> bodies;

void handle(int number) {
  char* first = read_header(number);
  char* second = read_header(number + 1);
  bodies.push_back(read_body(number));
#ifdef LEAKING
  remember_client(number);
#endif
  std::free(second);
  std::free(first);
}

std::function<void(int)> handler() {
  std::string greeting = codec::name_of(0);
  return [greeting](int number) {
    auto session = std::make_unique<Session>();
    session->name = greeting + codec::name_of(number);
    session->records = catalog::repeat(4, [number](int i) { return store::open_record(number + i); });
    sessions.push_back(std::move(session));
  };
}

} // namespace

void serve(int requests) {
#ifdef LAMBDAS_REORDERED
  const auto log = [](int number) {
    void* line = std::malloc(80 + static_cast<size_t>(number % 3));
    keep(line);
    std::free(line);
  };
  const auto open = handler();
#else
  const auto open = handler();
  const auto log = [](int number) {
    void* line = std::malloc(80 + static_cast<size_t>(number % 3));
    keep(line);
    std::free(line);
  };
#endif
  catalog::Table<int, 16> numbers;
  catalog::Table<double, 8> times;
  for (int i = 0; i < requests; ++i) {
    open(i);
    log(i);
    handle(i);
    numbers.add(i);
    times.add(i * 0.5);
  }
}

void finish() {
  for (auto& session : sessions)
    for (store::Record* record : session->records)
      store::close_record(record);
  sessions.clear();
  sessions.shrink_to_fit();
  for (void* body : bodies)
    std::free(body);
  bodies.clear();
  bodies.shrink_to_fit();
}

} // namespace session
