// See unmatched_groups.h.
#include "diff/unmatched_groups.h"

#include <algorithm>
#include <map>
#include <unordered_map>

namespace hl {
namespace {

bool cancel(const UnmatchedGroup& group, ProfileMetric metric, bool nearly) {
  const uint64_t base = group.base[metric], next = group.next[metric];
  const uint64_t less = std::min(base, next), more = std::max(base, next);
  return less != 0 && less >= (nearly ? more - more / 4 : more / 4);
}

class Grouping {
 public:
  Grouping(const RunDiff& diff, std::vector<DiffSite>& sites)
      : diff_(diff), names_(diff.names()), sites_(sites) {
    for (const Side side : {kBase, kNew}) {
      const RunProfile& profile = diff.profile(side);
      called_[side].assign(names_.numbers(), false);
      std::vector<bool> seen(profile.nodes.size(), false);
      for (const ProfileSite& site : profile.sites)
        for (uint32_t at = site.node; at != 0 && !seen[at]; at = profile.nodes[at].parent) {
          seen[at] = true;
          called_[side][names(side, at).canonical()] = true;
        }
    }
    for (DiffSite& site : sites_)
      site.other_work = site.match == MatchTier::none && has_function_of_its_own(diff.place(site));
  }

  std::vector<UnmatchedGroup> run() {
    const bool one_build = is_one_build();
    if (one_build)
      group_by_function();
    group_by_caller(true);
    group_by_caller(false);
    if (!one_build)
      group_by_function();
    const ProfileMetric by = diff_.byte_metric();
    std::sort(groups_.begin(), groups_.end(), [&](const UnmatchedGroup& a, const UnmatchedGroup& b) {
      const uint64_t left = std::max(a.base[by], a.next[by]), right = std::max(b.base[by], b.next[by]);
      return left != right ? left > right : a.sites.front() < b.sites.front();
    });
    return std::move(groups_);
  }

 private:
  const FrameNames& names(Side side, uint32_t node) const {
    return names_.frame(side, diff_.profile(side).nodes[node].frame);
  }
  static Side other(Side side) { return side == kBase ? kNew : kBase; }
  bool is_lonely(const DiffSite& site) const { return site.match == MatchTier::none && !site.ambiguous; }

  bool is_one_build() const {
    const auto build_of = [](const RunProfile& profile) -> std::string_view {
      for (const ProfileModule& module : profile.modules)
        if (module.is_main)
          return module.build_id;
      return {};
    };
    const std::string_view build = build_of(diff_.profile(kBase));
    return !build.empty() && build == build_of(diff_.profile(kNew));
  }

  // An address alone says nothing: it is a call, not a function.
  bool has_function_of_its_own(const RunDiff::Place& where) const {
    for (uint32_t at = where.node; at != 0; at = diff_.profile(where.side).nodes[at].parent) {
      const FrameNames& frame = names(where.side, at);
      if (frame.kept && !frame.nameless && !called_[other(where.side)][frame.canonical()])
        return true;
    }
    return false;
  }

  void keep(UnmatchedGroup&& group) {
    for (const uint32_t i : group.sites)
      sites_[i].ambiguous = true;
    groups_.push_back(std::move(group));
  }
  void add(UnmatchedGroup& group, uint32_t site) const {
    group.base.add(sites_[site].base);
    group.next.add(sites_[site].next);
    group.sites.push_back(site);
  }

  // The node whose function an allocation is told of wherever it is called from: the first that is not an
  // allocator by its name, or the second of the program's own that is: one that calls another is a pool.
  uint32_t told_node(const RunDiff::Place& where) const {
    const RunProfile& profile = diff_.profile(where.side);
    size_t allocators = 0;
    for (uint32_t at = where.node; at != 0; at = profile.nodes[at].parent) {
      if (names(where.side, at).kept)
        return at;
      const ProfileFrame& frame = profile.frames[profile.nodes[at].frame];
      const std::string_view function = profile.function(frame);
      const bool own = profile.module(frame).is_main && (frame.flags & kFrameAllocator) != 0 &&
                       !function.starts_with("std::") && !function.starts_with("operator ") &&
                       !function.starts_with("__gnu_cxx::");
      allocators += own ? 1 : 0;
      if (own && allocators == 2)
        return at;
    }
    return 0;
  }

  void group_by_function() {
    const ProfileMetric by = diff_.byte_metric();
    std::map<std::pair<uint32_t, uint32_t>, UnmatchedGroup> groups; // by function and module
    for (uint32_t i = 0; i < sites_.size(); ++i) {
      if (!is_lonely(sites_[i]) || sites_[i].other_work)
        continue;
      const RunDiff::Place where = diff_.place(sites_[i]);
      const uint32_t node = told_node(where);
      if (node == 0)
        continue;
      const FrameNames& frame = names(where.side, node);
      UnmatchedGroup& group = groups[{frame.canonical(), frame.module}];
      uint32_t& example = where.side == kBase ? group.base_node : group.new_node;
      uint64_t& most = most_[where.side][&group];
      const uint64_t bytes = (where.side == kBase ? sites_[i].base : sites_[i].next)[by];
      if (example == 0 || bytes > most) {
        example = where.node;
        most = bytes;
        if (where.side == kNew)
          group.new_frame = diff_.profile(kNew).nodes[node].frame;
      }
      add(group, i);
    }
    for (auto& [key, group] : groups) {
      group.kind = UnmatchedKind::elsewhere;
      if (cancel(group, ProfileMetric::allocation_calls, false) ||
          cancel(group, ProfileMetric::bytes_requested, false))
        keep(std::move(group));
    }
    most_[kBase].clear();
    most_[kNew].clear();
  }

  // A prefix tree over the callers of sites without a partner. `strictly`: of all of them, where their sums
  // nearly agree; then even functions that only one run has are no new ones (a build without inlined calls in
  // its debug information). Otherwise of sites named after functions that both runs have.
  void group_by_caller(bool strictly) {
    struct Node {
      uint32_t parent = 0, depth = 0;
      uint32_t example[2] = {0, 0}; // node of that side's profile
      uint32_t sites[2] = {0, 0};   // candidates below
    };
    std::vector<Node> tree(1);
    std::unordered_map<uint64_t, uint32_t> children;
    struct Leaf {
      uint32_t site, node, frames;
    };
    std::vector<Leaf> leaves;
    std::vector<std::pair<uint32_t, uint32_t>> path; // node of the profile, canonical number
    for (uint32_t i = 0; i < sites_.size(); ++i) {
      if (!is_lonely(sites_[i]))
        continue;
      const RunDiff::Place where = diff_.place(sites_[i]);
      if (where.frame == 0 ||
          (!strictly && !called_[other(where.side)][names_.frame(where.side, where.frame).canonical()]))
        continue;
      path.clear();
      for (uint32_t at = where.node; at != 0; at = diff_.profile(where.side).nodes[at].parent)
        if (const FrameNames& frame = names(where.side, at); frame.kept)
          path.emplace_back(at, frame.canonical());
      uint32_t node = 0;
      ++tree[0].sites[where.side];
      for (size_t p = path.size(); p-- > 0;) {
        const auto [found, is_new] =
            children.try_emplace(uint64_t{node} << 32 | path[p].second, static_cast<uint32_t>(tree.size()));
        if (is_new)
          tree.push_back({node, tree[node].depth + 1, {0, 0}, {0, 0}});
        node = found->second;
        tree[node].example[where.side] = path[p].first;
        ++tree[node].sites[where.side];
      }
      leaves.push_back({i, node, static_cast<uint32_t>(path.size())});
    }
    std::map<uint32_t, UnmatchedGroup> groups;
    for (const Leaf& leaf : leaves) {
      uint32_t node = leaf.node;
      while (node != 0 && (tree[node].sites[kBase] == 0 || tree[node].sites[kNew] == 0))
        node = tree[node].parent;
      // A caller far from the allocation has many unlike things below it.
      if (node == 0 || tree[node].depth * (strictly ? 3 : 2) < leaf.frames)
        continue;
      UnmatchedGroup& group = groups[node];
      group.base_node = tree[node].example[kBase];
      group.new_node = tree[node].example[kNew];
      group.new_frame = diff_.profile(kNew).nodes[group.new_node].frame;
      add(group, leaf.site);
    }
    for (auto& [node, group] : groups) {
      const bool calls = cancel(group, ProfileMetric::allocation_calls, strictly),
                 bytes = cancel(group, ProfileMetric::bytes_requested, strictly);
      if (strictly ? calls && bytes : calls || bytes)
        keep(std::move(group));
    }
  }

  const RunDiff& diff_;
  const ComparedNames& names_;
  std::vector<DiffSite>& sites_;
  std::vector<bool> called_[2];                                 // by side and canonical number: in some stack
  std::unordered_map<const UnmatchedGroup*, uint64_t> most_[2]; // bytes of the example stack, by side
  std::vector<UnmatchedGroup> groups_;
};

} // namespace

std::vector<UnmatchedGroup> group_unmatched(const RunDiff& diff, std::vector<DiffSite>& sites) {
  return Grouping(diff, sites).run();
}

} // namespace hl
