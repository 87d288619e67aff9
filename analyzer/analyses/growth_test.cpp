// Growth: what is named a leak, and above all what is not.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <deque>
#include <functional>
#include <list>
#include <random>

#include "analyses/growth.h"
#include "analyses/heap_replay.h"
#include "testing/scratch_directory.h"
#include "testing/simulated_program.h"

using namespace hl;
using namespace hl::testing;

namespace {

constexpr uint64_t kSecond = 1'000'000'000;

// A simulated program's trace, replayed by generations.
struct Judged {
  ScratchDirectory scratch;
  std::unique_ptr<Trace> trace;
  Generations generations;
  HeapReplay heap;
  std::unique_ptr<GrowthAnalysis> analysis;

  explicit Judged(SimulatedProgram& program, const std::string& option = "automatic") {
    program.write(scratch.file("t.hlt"));
    trace = Trace::open(scratch.file("t.hlt"));
    const TraceCourse course = survey_course(*trace, {}, {});
    std::string why;
    const auto chosen = choose_generations(course, trace->clock(), *parse_generation_option(option), why);
    REQUIRE(chosen);
    generations = *chosen;
    heap = replay_heap(*trace, {}, {}, history_options(generations, false));
    analysis = std::make_unique<GrowthAnalysis>(generations, *heap.replay, trace->clock());
  }
  std::vector<uint32_t> sites(std::initializer_list<StackId> stacks) const {
    std::vector<uint32_t> found;
    for (uint32_t site = 0; site < heap.result().sites.size(); ++site)
      if (std::find(stacks.begin(), stacks.end(), heap.result().site_stacks[site]) != stacks.end())
        found.push_back(site);
    return found;
  }
  Growth of(StackId stack) const { return analysis->judge(sites({stack})); }
  // Sites that give an alarm, in the order of their first allocation.
  std::vector<StackId> alarms() const {
    std::vector<StackId> found;
    for (uint32_t site = 1; site < heap.result().sites.size(); ++site)
      if (analysis->judge(site).alarming())
        found.push_back(heap.result().site_stacks[site]);
    return found;
  }
};

// Parts of a service; each is run once a request.
class Part {
 public:
  virtual ~Part() = default;
  virtual void request(SimulatedProgram& program, std::mt19937_64& random) = 0;
};

// Least recently used blocks make room. Keys from a universe of `keys`.
class LruCache : public Part {
 public:
  LruCache(SimulatedProgram& program, size_t capacity, uint64_t keys)
      : stack(program.stack()), capacity_(capacity), keys_(keys) {}
  void request(SimulatedProgram& program, std::mt19937_64& random) override {
    const uint64_t key = random() % keys_;
    if (const auto found = known_.find(key); found != known_.end()) {
      order_.splice(order_.begin(), order_, found->second);
      return;
    }
    order_.push_front({key, program.allocate(stack, 100 + random() % 400)});
    known_[key] = order_.begin();
    if (order_.size() > capacity_) {
      program.release(order_.back().second);
      known_.erase(order_.back().first);
      order_.pop_back();
    }
  }
  const StackId stack;

 private:
  size_t capacity_;
  uint64_t keys_;
  std::list<std::pair<uint64_t, uint64_t>> order_;
  std::unordered_map<uint64_t, std::list<std::pair<uint64_t, uint64_t>>::iterator> known_;
};

// Slots that are overwritten at random, as a memo table by hash does.
class HashedCache : public Part {
 public:
  HashedCache(SimulatedProgram& program, size_t slots) : stack(program.stack()), slots_(slots) {}
  void request(SimulatedProgram& program, std::mt19937_64& random) override {
    uint64_t& slot = slots_[random() % slots_.size()];
    if (slot != 0)
      program.release(slot);
    slot = program.allocate(stack, 64);
  }
  const StackId stack;

 private:
  std::vector<uint64_t> slots_;
};

// A vector that doubles: to a bound, or for ever.
class DoublingVector : public Part {
 public:
  DoublingVector(SimulatedProgram& program, uint64_t most)
      : stack(program.stack()), most_(most), block_(program.allocate(stack, 16)) {}
  void request(SimulatedProgram& program, std::mt19937_64&) override {
    if (++used_ <= capacity_ || capacity_ >= most_)
      return;
    capacity_ *= 2;
    const uint64_t bigger = program.allocate(stack, capacity_ * 8);
    program.release(block_);
    block_ = bigger;
  }
  const StackId stack;

 private:
  uint64_t most_, capacity_ = 2, used_ = 0;
  uint64_t block_;
};

// Grows by slabs to the most that was ever in use at once.
class Pool : public Part {
 public:
  explicit Pool(SimulatedProgram& program) : stack(program.stack()) {}
  void request(SimulatedProgram& program, std::mt19937_64& random) override {
    std::binomial_distribution<int> in_use(1000, 0.5);
    const auto slabs = static_cast<size_t>(in_use(random) / 10);
    while (slabs_.size() < slabs)
      slabs_.push_back(program.allocate(stack, 4096));
  }
  const StackId stack;

 private:
  std::vector<uint64_t> slabs_;
};

// First in, first out: a ring of pointers, each slot overwritten in turn; turns once in `slots` requests.
class Ring : public Part {
 public:
  Ring(SimulatedProgram& program, size_t slots) : stack(program.stack()), slots_(slots) {}
  void request(SimulatedProgram& program, std::mt19937_64&) override {
    uint64_t& slot = slots_[next_++ % slots_.size()];
    if (slot != 0)
      program.release(slot);
    slot = program.allocate(stack, 200);
  }
  const StackId stack;

 private:
  std::vector<uint64_t> slots_;
  size_t next_ = 0;
};

// Sessions that live for a number of requests, many generations long; one in `leak_every` is never closed.
class Sessions : public Part {
 public:
  Sessions(SimulatedProgram& program, uint64_t life, uint64_t leak_every = 0)
      : stack(program.stack()), life_(life), leak_every_(leak_every) {}
  void request(SimulatedProgram& program, std::mt19937_64& random) override {
    ++now_;
    if (random() % 4 == 0) {
      const uint64_t block = program.allocate(stack, 300);
      ++opened_;
      if (leak_every_ == 0 || opened_ % leak_every_ != 0)
        open_.push_back({now_ + life_ / 2 + random() % life_, block});
    }
    for (auto at = open_.begin(); at != open_.end() && at->first <= now_;) {
      program.release(at->second);
      at = open_.erase(at);
    }
  }
  const StackId stack;

 private:
  uint64_t life_, leak_every_, now_ = 0, opened_ = 0;
  std::deque<std::pair<uint64_t, uint64_t>> open_;
};

// One thread after the other, each with a cache that goes with it.
class ThreadCaches : public Part {
 public:
  explicit ThreadCaches(SimulatedProgram& program) : stack(program.stack()) {}
  void request(SimulatedProgram& program, std::mt19937_64& random) override {
    if (++calls_ % 29 == 0)
      cache_.push_back(program.allocate(stack, 128, thread_));
    if (calls_ % 3000 == 0) {
      for (const uint64_t block : cache_)
        program.release(block, 0, thread_);
      cache_.clear();
      thread_ = 2 + static_cast<uint32_t>(random() % 8);
    }
  }
  const StackId stack;

 private:
  uint64_t calls_ = 0;
  uint32_t thread_ = 2;
  std::vector<uint64_t> cache_;
};

// Never freed, at a slowing rate: a table of all keys seen, of which ever fewer are new.
class InternTable : public Part {
 public:
  InternTable(SimulatedProgram& program, uint64_t keys) : stack(program.stack()), seen_(keys) {}
  void request(SimulatedProgram& program, std::mt19937_64& random) override {
    const uint64_t key = random() % seen_.size();
    if (!seen_[key])
      program.allocate(stack, 48);
    seen_[key] = true;
  }
  const StackId stack;

 private:
  std::vector<bool> seen_;
};

// What every request needs and gives back, some of it later.
class Scratch : public Part {
 public:
  explicit Scratch(SimulatedProgram& program) : stack(program.stack()) {}
  void request(SimulatedProgram& program, std::mt19937_64& random) override {
    in_flight_.push_back(program.allocate(stack, 32 + random() % 2000));
    while (in_flight_.size() > random() % 64) {
      program.release(in_flight_.front());
      in_flight_.pop_front();
    }
  }
  const StackId stack;

 private:
  std::deque<uint64_t> in_flight_;
};

// The planted leak: one block in a thousand calls.
class RareLeak : public Part {
 public:
  RareLeak(SimulatedProgram& program, uint64_t every) : stack(program.stack()), every_(every) {}
  void request(SimulatedProgram& program, std::mt19937_64& random) override {
    const uint64_t block = program.allocate(stack, 80);
    if (random() % every_ != 0)
      program.release(block);
  }
  const StackId stack;

 private:
  uint64_t every_;
};

constexpr int kRequests = 12000;

void serve(SimulatedProgram& program, std::mt19937_64& random, const std::vector<Part*>& parts,
           int requests = kRequests, int mark_every = 0) {
  for (int i = 0; i < requests; ++i) {
    if (mark_every != 0 && i % mark_every == 0)
      program.mark("request");
    for (Part* part : parts)
      part->request(program, random);
    program.wait(random() % 2'000'000); // 12 s for all
  }
}

} // namespace

TEST_CASE("the slope of Theil and Sen and its interval") {
  // Sen 1968, the example of his paper (p. 1385 f.): x 1, 2, 3, 4, 10, 12, 18; y 9, 15, 19, 20, 45, 55, 78:
  // slope 4.
  const std::vector<double> x{1, 2, 3, 4, 10, 12, 18}, y{9, 15, 19, 20, 45, 55, 78};
  const Slope slope = theil_sen(x, y);
  CHECK(slope.estimate == doctest::Approx(4.0));
  CHECK(slope.low <= 4.0);
  CHECK(slope.high >= 4.0);
  CHECK(slope.low > 3.0);
  CHECK(slope.high < 6.0);
  CHECK(theil_sen(std::vector<double>{1, 1, 1}, std::vector<double>{1, 2, 3}).estimate == 0);
  // One wild value does not move it.
  const Slope robust =
      theil_sen(std::vector<double>{1, 2, 3, 4, 5, 6}, std::vector<double>{2, 4, 6, 1000, 10, 12});
  CHECK(robust.estimate == doctest::Approx(2.0));
}

TEST_CASE("options of generations are parsed, nonsense is refused") {
  CHECK(parse_generation_option("automatic")->kind == GenerationOption::Kind::automatic);
  CHECK(parse_generation_option("marks")->mark.empty());
  CHECK(parse_generation_option("marks:a:b")->mark == "a:b");
  CHECK(parse_generation_option("time:12")->slices == 12);
  CHECK(parse_generation_option("allocations")->slices == 24);
  for (const char* bad :
       {"", "marks:", "time:", "time:1", "time:65", "time:x", "time:12x", "mark", "frees:3"})
    CHECK_FALSE(parse_generation_option(bad));
}

TEST_CASE("a program without a leak gives no alarm, whatever caches it keeps") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SimulatedProgram program;
    std::mt19937_64 random(seed);
    std::vector<std::unique_ptr<Part>> parts;
    const auto add = [&](auto part) { parts.push_back(std::move(part)); };
    // Caches from quickly turning over to once in the run. (One that never evicts and never hits cannot be
    // told from a leak by anything that it does.)
    for (const size_t capacity : {100, 600, 2000, 4000, 6000, 8000, 10000})
      add(std::make_unique<LruCache>(program, capacity + seed % 7 * capacity / 60, 1'000'000'000));
    add(std::make_unique<LruCache>(program, 2000, 3000 + 100 * seed)); // most requests hit
    add(std::make_unique<HashedCache>(program, 400 * (seed % 5 + 1)));
    add(std::make_unique<DoublingVector>(program, 1u << 30));
    add(std::make_unique<DoublingVector>(program, 1u << (5 + seed % 10)));
    add(std::make_unique<Pool>(program));
    add(std::make_unique<Ring>(program, 200 * seed));
    add(std::make_unique<Sessions>(program, 100 * seed));
    add(std::make_unique<ThreadCaches>(program));
    add(std::make_unique<InternTable>(program, 2000 * (seed % 5 + 1))); // still filling at the end
    add(std::make_unique<Scratch>(program));
    std::vector<Part*> all;
    for (auto& part : parts)
      all.push_back(part.get());
    serve(program, random, all, kRequests, seed % 2 == 0 ? 600 : 0);
    const Judged judged(program);
    CAPTURE(seed);
    CHECK(judged.generations.kind ==
          (seed % 2 == 0 ? GenerationOption::Kind::marks : GenerationOption::Kind::time));
    for (const StackId stack : judged.alarms()) {
      CAPTURE(stack);
      const Growth growth = judged.of(stack);
      CAPTURE(growth.bytes_per_second.estimate);
      CAPTURE(growth.oldest_blocks);
      CAPTURE(growth.oldest_deaths);
      CHECK(stack == 0);
    }
  }
}

TEST_CASE("a leak of one block in a thousand calls is found beside a large cache") {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SimulatedProgram program;
    std::mt19937_64 random(seed);
    LruCache cache(program, 3000, 1'000'000'000), slow(program, 9000, 1'000'000'000);
    RareLeak leak(program, 1000), leak_often(program, 50);
    Scratch scratch(program);
    std::vector<Part*> parts{&cache, &slow, &leak_often, &scratch};
    for (int i = 0; i < 20; ++i)
      parts.push_back(&leak); // two hundred blocks or so
    serve(program, random, parts, kRequests, seed % 2 == 0 ? 600 : 0);
    const Judged judged(program);
    CAPTURE(seed);
    const Growth growth = judged.of(leak.stack);
    CAPTURE(growth.share_with_survivors);
    CAPTURE(growth.reason);
    CHECK(growth.alarming());
    CHECK(growth.oldest_deaths == 0);
    // 80 bytes in every thousand of 20 calls a request; 1000 requests a second.
    CHECK(growth.bytes_per_second.estimate == doctest::Approx(1600).epsilon(0.4));
    CHECK(growth.bytes_per_second.low <= growth.bytes_per_second.estimate);
    CHECK(growth.bytes_per_second.high >= growth.bytes_per_second.estimate);
    const Growth often = judged.of(leak_often.stack);
    CHECK(often.alarming());
    CHECK(often.bytes_per_second.estimate == doctest::Approx(1600).epsilon(0.3));
    const Growth bounded = judged.of(cache.stack);
    CHECK(bounded.verdict == GrowthVerdict::bounded);
    CHECK(bounded.since_ns > 2 * kSecond);
    CHECK(bounded.since_ns < 5 * kSecond);
    // In one group with what hides them, they are found one by one.
    const Growth group =
        judged.analysis->judge_group(judged.sites({slow.stack, leak.stack, leak_often.stack}));
    CHECK(group.alarming());
    CHECK(group.bytes_per_second.estimate == doctest::Approx(3200).epsilon(0.3));
    std::vector<StackId> through;
    for (const uint32_t site : group.through_sites)
      through.push_back(judged.heap.result().site_stacks[site]);
    CHECK((through == std::vector<StackId>{leak_often.stack, leak.stack}));
    CHECK((judged.alarms() == std::vector<StackId>{leak_often.stack, leak.stack}));
  }
}

TEST_CASE("sessions that live long are no leak, those that are never closed are") {
  SimulatedProgram program;
  std::mt19937_64 random(5);
  Sessions closed(program, 800), leaking(program, 800, 20);
  Scratch scratch(program);
  serve(program, random, {&closed, &leaking, &scratch});
  const Judged judged(program);
  CHECK(judged.of(closed.stack).verdict == GrowthVerdict::bounded);
  CHECK(judged.of(leaking.stack).alarming());
}

TEST_CASE("what is built at the start, what stopped growing and what shrinks is called so") {
  SimulatedProgram program;
  std::mt19937_64 random(5);
  const StackId table = program.stack(), filled = program.stack(), shrinking = program.stack();
  std::vector<uint64_t> held;
  for (int i = 0; i < 100; ++i)
    program.allocate(table, 1000);
  for (int i = 0; i < 1000; ++i)
    held.push_back(program.allocate(shrinking, 100));
  Scratch scratch(program);
  for (int second = 0; second < 24; ++second) {
    serve(program, random, {&scratch}, 200);
    if (second < 12)
      for (int i = 0; i < 50; ++i)
        program.allocate(filled, 500);
    for (int i = 0; i < 40; ++i) {
      program.release(held.back());
      held.pop_back();
    }
  }
  const Judged judged(program);
  CHECK(judged.of(table).verdict == GrowthVerdict::one_time);
  const Growth plateau = judged.of(filled);
  CHECK(plateau.verdict == GrowthVerdict::plateau);
  const uint64_t half = program.now_ns() / 2;
  CHECK(plateau.since_ns > half - half / 5);
  CHECK(plateau.since_ns < half + half / 5);
  const Growth falling = judged.of(shrinking);
  CHECK(falling.verdict == GrowthVerdict::falling);
  CHECK(falling.bytes_per_second.high < 0);
  CHECK(judged.alarms().empty());
}

TEST_CASE("a cache that is still filling is low confidence, and says so") {
  SimulatedProgram program;
  std::mt19937_64 random(9);
  InternTable table(program, 12000);
  Ring ring(program, 1200);
  Scratch scratch(program);
  serve(program, random, {&table, &ring, &scratch});
  const Judged judged(program);
  const Growth growth = judged.of(table.stack);
  CHECK(growth.verdict == GrowthVerdict::growing);
  CHECK(growth.confidence == GrowthConfidence::low);
  CHECK(growth.reason.find("filling") != std::string::npos);
  // Nor is it an alarm where a ring shares the place with it: what is not replaced yet is not growth.
  const Growth both = judged.analysis->judge_group(judged.sites({table.stack, ring.stack}));
  CHECK_FALSE(both.alarming());
}

TEST_CASE("a service that frees all at its end has still grown") {
  SimulatedProgram program;
  std::mt19937_64 random(9);
  const StackId map = program.stack();
  Scratch scratch(program);
  std::vector<uint64_t> nodes;
  for (int i = 0; i < 500; ++i) {
    nodes.push_back(program.allocate(map, 56));
    serve(program, random, {&scratch}, 20);
  }
  for (const uint64_t node : nodes)
    program.release(node);
  const Judged judged(program);
  CHECK(judged.of(map).alarming());
  CHECK(judged.heap.result().sites[judged.sites({map})[0]].live_blocks == 0);
}

TEST_CASE("what stayed after each iteration is exact, and one block an iteration is enough to be found") {
  SimulatedProgram program;
  const StackId early = program.stack(), leak = program.stack(), passing = program.stack();
  program.allocate(early, 1000);
  uint64_t carried = 0;
  for (int i = 0; i < 8; ++i) {
    program.mark("screen");
    if (i == 0)
      program.allocate(early, 500);
    program.allocate(leak, 64);
    if (carried != 0)
      program.release(carried);
    carried = program.allocate(passing, 200);
  }
  const Judged judged(program);
  CHECK(judged.generations.kind == GenerationOption::Kind::marks);
  CHECK(judged.generations.mark == "screen");
  CHECK(judged.generations.boundaries.size() == 8);
  CHECK(judged.generations.too_short.empty());
  std::vector<SiteGroup> groups;
  for (const StackId stack : {early, leak, passing}) {
    groups.emplace_back();
    groups.back().sites = judged.sites({stack});
  }
  const auto iterations = judged.analysis->iterations(groups, 5);
  REQUIRE(iterations.size() == 9);
  CHECK(iterations[0].survivor_bytes == 1000);
  CHECK(iterations[0].name == "before the first mark");
  CHECK(iterations[1].name == "screen 1");
  CHECK(iterations[1].survivor_bytes == 564);
  CHECK(iterations[1].survivor_blocks == 2);
  for (size_t i = 2; i < 7; ++i) {
    CHECK(iterations[i].survivor_bytes == 64);
    CHECK(iterations[i].live_bytes == 1500 + 64 * i + 200);
    REQUIRE(iterations[i].top.size() == 1);
    CHECK(iterations[i].top[0].group == 1);
    CHECK(iterations[i].allocation_calls == 2);
  }
  // What the seventh carried over was still there at the last mark, and gone at the end.
  CHECK(iterations[7].survivor_bytes == 264);
  CHECK(iterations[7].end_bytes == 64);
  CHECK(iterations[8].survivor_bytes == 264);
  CHECK(iterations[8].name == "after the last mark");
  const Growth growth = judged.of(leak);
  CHECK(growth.alarming());
  CHECK(growth.bytes_per_generation.estimate == doctest::Approx(64));
  CHECK(growth.survivor_blocks == std::vector<uint64_t>{0, 1, 1, 1, 1, 1, 1, 1, 1});
  CHECK(judged.of(passing).verdict != GrowthVerdict::growing);
  CHECK(judged.of(early).verdict == GrowthVerdict::one_time);
}

TEST_CASE("a short run is not guessed about") {
  SimulatedProgram program;
  const StackId stack = program.stack();
  for (int i = 0; i < 1000; ++i)
    program.allocate(stack, 64);
  const Judged judged(program); // a millisecond
  CHECK_FALSE(judged.generations.too_short.empty());
  const Growth growth = judged.of(stack);
  CHECK(growth.verdict == GrowthVerdict::too_short);
  CHECK_FALSE(growth.reason.empty());

  SimulatedProgram few_marks;
  const StackId leak = few_marks.stack();
  for (int i = 0; i < 5; ++i) {
    few_marks.mark("once");
    few_marks.allocate(leak, 64);
  }
  const Judged judged_marks(few_marks);
  CHECK(judged_marks.of(leak).verdict == GrowthVerdict::too_short);
}

TEST_CASE("generations are chosen as asked: by name, by calls, and not more marks than there is room for") {
  const auto program = [] {
    auto made = std::make_unique<SimulatedProgram>();
    const StackId stack = made->stack();
    for (int i = 0; i < 200; ++i) {
      made->mark("begin");
      for (int k = 0; k < 10; ++k)
        made->release(made->allocate(stack, 64));
      made->mark("end");
      if (i % 50 == 49)
        made->mark("report");
    }
    return made;
  };
  const Judged automatic(*program());
  CHECK(automatic.generations.mark == "end"); // the state after an iteration, not before
  CHECK(automatic.generations.marks_per_generation == 5);
  CHECK(automatic.generations.boundaries.size() == 40);
  CHECK(automatic.generations.names[1] == "end 5-9");
  CHECK(automatic.generations.names[39] == "end 195-199");
  const Judged named(*program(), "marks:report");
  CHECK(named.generations.boundaries.size() == 4);
  const Judged calls(*program(), "allocations:20");
  CHECK(calls.generations.boundaries.size() == 19);
  for (const ProcessNote& note : calls.analysis->history().process())
    CHECK(note.allocation_calls % 100 == 0);
  const Judged time(*program(), "time:10");
  CHECK(time.generations.boundaries.size() == 9);
  ScratchDirectory scratch;
  program()->write(scratch.file("t.hlt"));
  const auto trace = Trace::open(scratch.file("t.hlt"));
  std::string why;
  CHECK_FALSE(choose_generations(survey_course(*trace, {}, {}), trace->clock(),
                                 *parse_generation_option("marks:lunch"), why));
  CHECK(why.find("lunch") != std::string::npos);
}
