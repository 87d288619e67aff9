// See site_matching.h. Equal stacks are found by numbering: a class is a number for (class of the callers,
// name of the frame), so that two nodes have one number if and only if their stacks are equal.
#include "diff/site_matching.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "diff/canonical_name.h"
#include "diff/line_pairing.h"
#include "diff/stack_alignment.h"
#include "diff/stack_classes.h"

namespace hl {
namespace {

constexpr uint64_t kMaxCells = 300'000'000; // of alignments: two seconds at most
constexpr size_t kMaxCandidates = 48;       // that a site is aligned with

class Matcher {
 public:
  Matcher(const ComparedNames& names, const MatchOptions& options) : names_(names), options_(options) {
    for (const Side side : {kBase, kNew}) {
      const RunProfile& profile = names.profile(side);
      taken_[side].assign(profile.sites.size(), false);
    }
  }

  SiteMatching run() {
    for (const NameStrength strength : {NameStrength::exact, NameStrength::detailed, NameStrength::arguments,
                                        NameStrength::placed, NameStrength::canonical, NameStrength::bare}) {
      // Of sites that the program's own code does not tell apart (two copies in one line), first those that
      // came the same way through the runtime.
      const MatchTier tier = strength == NameStrength::exact ? MatchTier::exact : MatchTier::canonical;
      by_names(strength, tier, true);
      by_names(strength, tier, false);
    }
    if (anything_left()) {
      for (const Side side : {kBase, kNew})
        for (const ProfileSite& site : names_.profile(side).sites)
          stacks_[side].push_back(compared_stack(names_, side, site.node));
      const FunctionFrequency frequency(names_, stacks_[kBase], stacks_[kNew]);
      StackAligner aligner(names_, frequency);
      by_common_functions(frequency, aligner);
      by_alignment(frequency, aligner);
    }
    absorb();
    for (const Side side : {kBase, kNew})
      for (uint32_t i = 0; i < taken_[side].size(); ++i)
        if (!taken_[side][i])
          (side == kBase ? result_.only_base : result_.only_new).push_back(i);
    finish_renames();
    return std::move(result_);
  }

 private:
  const MetricValues& metrics(Side side, uint32_t site) const {
    return names_.profile(side).sites[site].metrics;
  }
  bool anything_left() const {
    const auto left = [](const std::vector<bool>& taken) {
      return std::find(taken.begin(), taken.end(), false) != taken.end();
    };
    return left(taken_[kBase]) && left(taken_[kNew]);
  }

  struct Member {
    uint64_t key;
    uint32_t site;
    Side side;
  };
  // Sites that have a partner of the same class, class by class.
  template <typename Visit> void for_each_class(std::vector<Member>& members, Visit visit) {
    std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) {
      return a.key != b.key ? a.key < b.key : a.side != b.side ? a.side < b.side : a.site < b.site;
    });
    std::vector<uint32_t> base, next;
    for (size_t first = 0; first < members.size();) {
      base.clear();
      next.clear();
      size_t end = first;
      for (; end < members.size() && members[end].key == members[first].key; ++end)
        (members[end].side == kBase ? base : next).push_back(members[end].site);
      first = end;
      if (!base.empty() && !next.empty())
        visit(base, next);
    }
  }

  void take(SitePair pair) {
    for (const uint32_t site : pair.base)
      taken_[kBase][site] = true;
    for (const uint32_t site : pair.next)
      taken_[kNew][site] = true;
    result_.pairs.push_back(std::move(pair));
  }

  // Nodes that a site without a partner leads to.
  std::vector<bool> wanted_nodes(Side side) const {
    const RunProfile& profile = names_.profile(side);
    std::vector<bool> wanted(profile.nodes.size(), false);
    for (uint32_t i = 0; i < profile.sites.size(); ++i)
      if (!taken_[side][i])
        for (uint32_t node = profile.sites[i].node; node != 0 && !wanted[node];
             node = profile.nodes[node].parent)
          wanted[node] = true;
    return wanted;
  }

  // A number for each of these nodes: of its stack's frames, by the given names.
  void number_nodes(Side side, NameStrength strength, bool all_frames, const std::vector<bool>& wanted,
                    StackClasses& classes, std::vector<uint32_t>& of_node) const {
    const RunProfile& profile = names_.profile(side);
    of_node.assign(profile.nodes.size(), 0);
    // Parents stand before their children.
    for (uint32_t node = 1; node < profile.nodes.size(); ++node) {
      if (!wanted[node])
        continue;
      const FrameNames& frame = names_.frame(side, profile.nodes[node].frame);
      const uint32_t parent = of_node[profile.nodes[node].parent];
      of_node[node] = frame.kept || all_frames ? classes.child(parent, frame.of(strength)) : parent;
    }
  }
  // The same with bare names, a function that calls itself counted once.
  void number_nodes_without_recursion(Side side, StackClasses& classes,
                                      std::vector<uint32_t>& of_node) const {
    const RunProfile& profile = names_.profile(side);
    of_node.assign(profile.nodes.size(), 0);
    std::vector<uint32_t> last(profile.nodes.size(), 0);
    for (uint32_t node = 1; node < profile.nodes.size(); ++node) {
      const FrameNames& frame = names_.frame(side, profile.nodes[node].frame);
      const uint32_t parent = profile.nodes[node].parent, name = frame.of(NameStrength::bare);
      last[node] = frame.kept ? name : last[parent];
      of_node[node] =
          frame.kept && last[parent] != name ? classes.child(of_node[parent], name) : of_node[parent];
    }
  }

  void by_names(NameStrength strength, MatchTier tier, bool same_runtime) {
    if (!anything_left())
      return;
    StackClasses classes, runtime;
    std::vector<Member> members;
    std::vector<uint32_t> of_node, runtime_of_node;
    for (const Side side : {kBase, kNew}) {
      const RunProfile& profile = names_.profile(side);
      const std::vector<bool> wanted = wanted_nodes(side);
      number_nodes(side, strength, false, wanted, classes, of_node);
      if (same_runtime)
        number_nodes(side, NameStrength::bare, true, wanted, runtime, runtime_of_node);
      for (uint32_t i = 0; i < profile.sites.size(); ++i) {
        if (taken_[side][i])
          continue;
        const uint32_t node = profile.sites[i].node;
        uint64_t key = of_node[node];
        if (key == 0) { // no frame is kept, so that all are
          const std::vector<uint32_t> stack = profile.stack(node);
          for (size_t f = stack.size(); f-- > 0;)
            key = classes.child(static_cast<uint32_t>(key), names_.frame(side, stack[f]).of(strength));
        }
        members.push_back({key << 32 | (same_runtime ? runtime_of_node[node] : 0), i, side});
      }
    }
    for_each_class(members, [&](const std::vector<uint32_t>& base, const std::vector<uint32_t>& next) {
      pair_by_lines(base, next, tier);
    });
  }

  // A recursion that one compiler turned into a loop: sites with equal stacks but for its depth, whose sums
  // are equal, are one, although some of them seemed to have a partner.
  void absorb() {
    StackClasses classes;
    std::vector<uint32_t> of_node;
    std::array<std::vector<uint32_t>, 2> class_of_site;
    std::unordered_map<uint32_t, std::array<MetricValues, 2>> sums;
    std::unordered_map<uint32_t, bool> wanted; // a class with a lonely site
    for (const Side side : {kBase, kNew}) {
      const RunProfile& profile = names_.profile(side);
      number_nodes_without_recursion(side, classes, of_node);
      for (uint32_t i = 0; i < profile.sites.size(); ++i) {
        class_of_site[side].push_back(of_node[profile.sites[i].node]);
        if (!taken_[side][i])
          wanted[class_of_site[side][i]] = true;
      }
    }
    wanted.erase(0);
    if (wanted.empty())
      return;
    for (const Side side : {kBase, kNew})
      for (uint32_t i = 0; i < class_of_site[side].size(); ++i)
        if (wanted.contains(class_of_site[side][i]))
          sums[class_of_site[side][i]][side].add(metrics(side, i));
    std::unordered_map<uint32_t, SitePair> merged;
    for (const auto& [number, sum] : sums)
      if (sum[kBase][ProfileMetric::allocation_calls] != 0 &&
          sum[kBase][ProfileMetric::allocation_calls] == sum[kNew][ProfileMetric::allocation_calls] &&
          sum[kBase][ProfileMetric::bytes_requested] == sum[kNew][ProfileMetric::bytes_requested])
        merged[number].tier = MatchTier::canonical;
    // A pair across two classes would tear one of them.
    for (const SitePair& pair : result_.pairs)
      for (const uint32_t b : pair.base)
        for (const uint32_t n : pair.next)
          if (class_of_site[kBase][b] != class_of_site[kNew][n]) {
            merged.erase(class_of_site[kBase][b]);
            merged.erase(class_of_site[kNew][n]);
          }
    if (merged.empty())
      return;
    std::erase_if(result_.pairs, [&](const SitePair& pair) {
      return merged.contains(class_of_site[kBase][pair.base.front()]);
    });
    for (const Side side : {kBase, kNew})
      for (uint32_t i = 0; i < class_of_site[side].size(); ++i)
        if (const auto found = merged.find(class_of_site[side][i]); found != merged.end())
          (side == kBase ? found->second.base : found->second.next).push_back(i);
    std::vector<SitePair> pairs;
    pairs.reserve(merged.size());
    for (auto& [number, pair] : merged)
      pairs.push_back(std::move(pair));
    std::sort(pairs.begin(), pairs.end(),
              [](const SitePair& a, const SitePair& b) { return a.base.front() < b.base.front(); });
    for (SitePair& pair : pairs)
      take(std::move(pair));
  }

  void pair_by_lines(const std::vector<uint32_t>& base, const std::vector<uint32_t>& next, MatchTier tier) {
    if (base.size() == 1 && next.size() == 1)
      return take({base, next, tier, 1});
    LinePairing pairing(lined_sites(kBase, base), lined_sites(kNew, next));
    if (pairing.merged())
      return take({base, next, tier, 1});
    for (const auto& [b, n] : pairing.pairs())
      take({{b}, {n}, tier, 1});
  }

  std::vector<LinedSite> lined_sites(Side side, const std::vector<uint32_t>& sites) const {
    std::vector<LinedSite> result;
    for (const uint32_t site : sites) {
      LinedSite lined;
      lined.site = site;
      lined.metrics = &metrics(side, site);
      const std::vector<uint32_t> stack = compared_stack(names_, side, names_.profile(side).sites[site].node);
      for (size_t f = stack.size(); f-- > 0;)
        lined.lines.push_back(names_.profile(side).frames[stack[f]].line);
      result.push_back(std::move(lined));
    }
    return result;
  }

  // Functions that one build alone has (inlined away, renamed, cut by a tail call) are passed over, and so is
  // how deep a recursion was; what then is equal is judged by alignment.
  void by_common_functions(const FunctionFrequency& frequency, StackAligner& aligner) {
    StackClasses classes;
    std::vector<Member> members;
    for (const Side side : {kBase, kNew})
      for (uint32_t i = 0; i < stacks_[side].size(); ++i) {
        if (taken_[side][i])
          continue;
        uint32_t key = 0, before = UINT32_MAX;
        const std::vector<uint32_t>& stack = stacks_[side][i];
        for (size_t f = stack.size(); f-- > 0;) {
          const uint32_t name = names_.frame(side, stack[f]).canonical();
          if (name == before || frequency.sites(kBase, name) == 0 || frequency.sites(kNew, name) == 0)
            continue;
          key = classes.child(key, name);
          before = name;
        }
        if (key != 0)
          members.push_back({key, i, side});
      }
    for_each_class(members, [&](const std::vector<uint32_t>& base, const std::vector<uint32_t>& next) {
      std::vector<ScoredPair> scored;
      const size_t limit = 64;
      for (size_t b = 0; b < std::min(base.size(), limit); ++b)
        for (size_t n = 0; n < std::min(next.size(), limit); ++n)
          if (!score(base[b], next[n], aligner, scored)) {
            result_.given_up = true;
            return;
          }
      take_best(scored, aligner);
    });
  }

  // Whether two sites may be one, by what allocates. Within one build that is the same function.
  static bool may_be_one(const FrameNames& base, const FrameNames& next) {
    return base.build == 0 || base.build != next.build || base.canonical() == next.canonical();
  }

  struct ScoredPair {
    double score, alike;
    uint32_t base, next;
  };
  bool score(uint32_t base, uint32_t next, StackAligner& aligner, std::vector<ScoredPair>& scored) {
    if (!may_be_one(names_.frame(kBase, stacks_[kBase][base].front()),
                    names_.frame(kNew, stacks_[kNew][next].front())))
      return true;
    const double alike = alike_numbers(metrics(kBase, base), metrics(kNew, next));
    const double score = aligner.align(stacks_[kBase][base], stacks_[kNew][next], alike, false).score;
    if (score >= options_.threshold)
      scored.push_back({score, alike, base, next});
    return aligner.cells() < kMaxCells;
  }

  void take_best(std::vector<ScoredPair>& scored, StackAligner& aligner) {
    std::sort(scored.begin(), scored.end(), [](const ScoredPair& a, const ScoredPair& b) {
      const double rank_a = a.score + 0.2 * a.alike, rank_b = b.score + 0.2 * b.alike;
      if (rank_a != rank_b)
        return rank_a > rank_b;
      return a.base != b.base ? a.base < b.base : a.next < b.next;
    });
    for (const ScoredPair& pair : scored) {
      if (taken_[kBase][pair.base] || taken_[kNew][pair.next])
        continue;
      take({{pair.base}, {pair.next}, MatchTier::fuzzy, pair.score});
      const Alignment alignment =
          aligner.align(stacks_[kBase][pair.base], stacks_[kNew][pair.next], pair.alike, true);
      // A function under another name allocates as it did.
      if (pair.alike < 0.9)
        continue;
      for (const Substitution& substitution : alignment.substitutions) {
        Rename& rename = renames_[{substitution.base, substitution.next}];
        ++rename.sites;
        rename.bytes += metrics(kNew, pair.next)[ProfileMetric::bytes_requested];
        rename.calls += metrics(kNew, pair.next)[ProfileMetric::allocation_calls];
      }
    }
  }

  // The heaviest first; each is aligned with sites of the other side that share its rarest functions.
  void by_alignment(const FunctionFrequency& frequency, StackAligner& aligner) {
    std::unordered_map<uint32_t, std::vector<uint32_t>> next_with; // canonical number -> sites
    for (uint32_t i = 0; i < stacks_[kNew].size(); ++i) {
      if (taken_[kNew][i])
        continue;
      for (const uint32_t frame : stacks_[kNew][i]) {
        const uint32_t name = names_.frame(kNew, frame).canonical();
        if (frequency.sites(kBase, name) == 0)
          continue;
        std::vector<uint32_t>& sites = next_with[name];
        if (sites.empty() || sites.back() != i)
          sites.push_back(i);
      }
    }
    std::vector<uint32_t> order;
    for (uint32_t i = 0; i < stacks_[kBase].size(); ++i)
      if (!taken_[kBase][i])
        order.push_back(i);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      const MetricValues &left = metrics(kBase, a), &right = metrics(kBase, b);
      if (left[options_.by] != right[options_.by])
        return left[options_.by] > right[options_.by];
      if (left[ProfileMetric::bytes_requested] != right[ProfileMetric::bytes_requested])
        return left[ProfileMetric::bytes_requested] > right[ProfileMetric::bytes_requested];
      return a < b;
    });
    std::vector<ScoredPair> scored;
    std::vector<std::pair<double, uint32_t>> rarest;
    std::vector<uint32_t> candidates;
    for (const uint32_t base : order) {
      rarest.clear();
      const std::vector<uint32_t>& stack = stacks_[kBase][base];
      for (size_t depth = 0; depth < stack.size(); ++depth) {
        const uint32_t name = names_.frame(kBase, stack[depth]).canonical();
        const auto with = next_with.find(name);
        // What a quarter of all sites have leads to no site in particular.
        if (with != next_with.end() && with->second.size() <= std::max<size_t>(256, stacks_[kNew].size() / 4))
          rarest.emplace_back(-frequency.rarity(name) / (1 + 0.1 * static_cast<double>(depth)), name);
      }
      std::sort(rarest.begin(), rarest.end());
      candidates.clear();
      for (size_t i = 0; i < std::min<size_t>(rarest.size(), 3) && candidates.size() < kMaxCandidates; ++i)
        for (const uint32_t next : next_with[rarest[i].second]) {
          if (candidates.size() >= kMaxCandidates)
            break;
          if (!taken_[kNew][next] &&
              std::find(candidates.begin(), candidates.end(), next) == candidates.end())
            candidates.push_back(next);
        }
      for (const uint32_t next : candidates)
        if (!score(base, next, aligner, scored)) {
          result_.given_up = true;
          break;
        }
      if (result_.given_up)
        break;
    }
    take_best(scored, aligner);
  }

  // A name has one new name: the one that most sites speak for. A few calls say little, and so do names
  // that have nothing in common.
  void finish_renames() {
    constexpr uint64_t kCalls = 8;
    constexpr double kLikeness = 0.3;
    std::map<uint32_t, std::pair<uint32_t, Rename>> best;
    for (const auto& [names, rename] : renames_) {
      if (rename.calls < kCalls || name_likeness(last_component(names_.name(names.first)),
                                                 last_component(names_.name(names.second))) < kLikeness)
        continue;
      auto& [next, known] = best[names.first];
      if (known.sites < rename.sites) {
        next = names.second;
        known = rename;
      }
    }
    for (const auto& [base, chosen] : best)
      result_.renames.push_back({std::string(names_.name(base)), std::string(names_.name(chosen.first)),
                                 chosen.second.sites, chosen.second.bytes});
    std::stable_sort(result_.renames.begin(), result_.renames.end(),
                     [](const RenameSuggestion& a, const RenameSuggestion& b) { return a.bytes > b.bytes; });
  }

  struct Rename {
    uint32_t sites = 0;
    uint64_t bytes = 0, calls = 0;
  };

  const ComparedNames& names_;
  const MatchOptions options_;
  std::array<std::vector<bool>, 2> taken_;
  // Compared frames, innermost first; once exact and canonical matching are done.
  std::array<std::vector<std::vector<uint32_t>>, 2> stacks_;
  std::map<std::pair<uint32_t, uint32_t>, Rename> renames_;
  SiteMatching result_;
};

} // namespace

std::string_view to_string(MatchTier tier) {
  switch (tier) {
  case MatchTier::exact:
    return "exact";
  case MatchTier::canonical:
    return "canonical";
  case MatchTier::fuzzy:
    return "fuzzy";
  case MatchTier::none:
    break;
  }
  return "none";
}

std::vector<uint32_t> compared_stack(const ComparedNames& names, Side side, uint32_t node) {
  const RunProfile& profile = names.profile(side);
  std::vector<uint32_t> kept;
  for (uint32_t at = node; at != 0; at = profile.nodes[at].parent)
    if (names.frame(side, profile.nodes[at].frame).kept)
      kept.push_back(profile.nodes[at].frame);
  return kept.empty() ? profile.stack(node) : kept;
}

SiteMatching match_sites(const ComparedNames& names, const MatchOptions& options) {
  return Matcher(names, options).run();
}

} // namespace hl
