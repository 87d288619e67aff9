// A service in small, for tests of growth: threads that serve requests beside everything that grows and is no
// leak - a cache that evicts, a table still filling, vectors that double, a pool, a hash table, a ring,
// caches of threads - and, if asked, a leak: a request that times out opens another session and forgets to
// close it. The forgotten ones stay in a map, so they can be reached.
//   leaks_service THREADS REQUESTS TIMEOUT_EVERY MARK_EVERY
// REQUESTS are those of each thread; of its sessions every TIMEOUT_EVERY-th times out (0: none does); each
// MARK_EVERY requests of the first thread are marked "served" (0: no marks). Prints what is certain, the same
// in each run: how many sessions were opened and how many forgotten.
#include <heapledger/heapledger.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

constexpr int kSessionsPerRequest = 10;

struct Session {
  char state[200];
  __attribute__((noinline)) static Session* open() {
    Session* session = new Session;
    asm volatile("" : : "r"(session) : "memory"); // no tail call, and not left out
    return session;
  }
  __attribute__((noinline)) static void close(Session* session) {
    delete session;
    asm volatile("" : : : "memory");
  }
};

std::mutex mutex;
std::map<long, Session*>* forgotten;
std::atomic<long> opened, lost;

// Least recently used entries make room.
class Cache {
 public:
  explicit Cache(size_t capacity) : capacity_(capacity) {}
  __attribute__((noinline)) void put(long key) {
    order_.push_front({key, std::make_unique<std::array<char, 300>>()});
    entries_[key] = order_.begin();
    if (order_.size() > capacity_) {
      entries_.erase(order_.back().first);
      order_.pop_back();
    }
  }

 private:
  size_t capacity_;
  std::list<std::pair<long, std::unique_ptr<std::array<char, 300>>>> order_;
  std::unordered_map<long, decltype(order_)::iterator> entries_;
};

struct Shared {
  Cache quick{500}, large{6000};
  std::unordered_map<long, std::string> interned; // of 12000 names, ever more of them seen
  std::vector<std::string> log;                   // doubles
  std::vector<std::unique_ptr<char[]>> pool;
  std::vector<std::unique_ptr<char[]>> ring = std::vector<std::unique_ptr<char[]>>(700);
  long next_key = 0;
};
Shared* shared;

__attribute__((noinline)) void handle_timeout(long number) {
  Session* session = Session::open();
  std::lock_guard lock(mutex);
  (*forgotten)[number] = session;
  ++lost;
}

__attribute__((noinline)) void handle_request(long number, long timeout_every) {
  for (int i = 0; i < kSessionsPerRequest; ++i) {
    Session* session = Session::open();
    ++opened;
    if (timeout_every != 0 && (number * kSessionsPerRequest + i) % timeout_every == 0)
      handle_timeout(++opened);
    Session::close(session);
  }
}

__attribute__((noinline)) void keep_books(std::mt19937_64& random) {
  std::lock_guard lock(mutex);
  for (int i = 0; i < 4; ++i)
    shared->quick.put(++shared->next_key);
  for (int i = 0; i < 4; ++i)
    shared->large.put(++shared->next_key);
  shared->interned.try_emplace(static_cast<long>(random() % 12000),
                               "a name that is too long for the string itself");
  shared->log.emplace_back("short");
  std::binomial_distribution<size_t> in_use(400, 0.5);
  const size_t slabs = in_use(random) / 8;
  while (shared->pool.size() < slabs)
    shared->pool.push_back(std::make_unique<char[]>(4096));
  shared->ring[static_cast<size_t>(shared->next_key / 8) % shared->ring.size()] =
      std::make_unique<char[]>(64 + random() % 1000);
}

void serve(int thread, long requests, long timeout_every, long mark_every) {
  std::mt19937_64 random(static_cast<uint64_t>(thread) + 1);
  thread_local std::vector<std::unique_ptr<char[]>> own_cache;
  for (long request = 0; request < requests; ++request) {
    if (thread == 0 && mark_every != 0 && request % mark_every == 0)
      heapledger_mark_here("served");
    handle_request(request, timeout_every);
    keep_books(random);
    if (own_cache.size() < 100 && request % 3 == 0)
      own_cache.push_back(std::make_unique<char[]>(500));
    std::this_thread::sleep_for(std::chrono::microseconds(300));
  }
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 5)
    return 2;
  const int threads = std::atoi(argv[1]);
  const long requests = std::atol(argv[2]), timeout_every = std::atol(argv[3]),
             mark_every = std::atol(argv[4]);
  forgotten = new std::map<long, Session*>;
  shared = new Shared;
  std::vector<std::thread> serving;
  for (int i = 0; i < threads; ++i)
    serving.emplace_back(serve, i, requests, timeout_every, mark_every);
  for (std::thread& thread : serving)
    thread.join();
  std::printf("opened %ld, forgotten %ld\n", opened.load(), lost.load());
  return 0;
}
