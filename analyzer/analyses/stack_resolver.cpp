// See stack_resolver.h.
#include "analyses/stack_resolver.h"

#include <algorithm>
#include <cstdio>
#include <unordered_set>

#include "reader/extended_payload.h"

namespace hl {
namespace {

std::string_view marker_text(uint64_t pc) {
  switch (static_cast<WalkEnd>(pc - 1)) {
  case WalkEnd::outermost:
    return "";
  case WalkEnd::no_rule:
    return "[stack ends: no unwind information]";
  case WalkEnd::bad_cfa:
    return "[stack ends: inconsistent unwind information]";
  case WalkEnd::unreadable:
    return "[stack ends: unreadable stack memory]";
  case WalkEnd::depth_cap:
    return "[frames left out: deeper than the limit]";
  case WalkEnd::node_space:
    return "[stack cut: no room for more stacks]";
  default:
    return "[stack ends]";
  }
}

// "libfoo.so+0x1234", "0x1234".
bool is_unnamed(std::string_view function) {
  return function.starts_with("0x") || function.find("+0x") != std::string_view::npos;
}

} // namespace

StackResolver::StackResolver(const Trace& trace, SymbolizerOptions options)
    : trace_(trace), symbolizer_(std::move(options)) {
  missing_outward_.function = "[outer frames are not in the trace]";
  missing_outward_.marker = true;
  missing_outward_.frame_class = FrameClass::kRuntime;
}

ModuleId StackResolver::symbol_module(uint32_t instance) {
  const auto [found, is_new] = symbol_modules_.try_emplace(instance);
  if (is_new) {
    const TraceModule& module = *trace_.modules().find(instance);
    found->second = symbolizer_.add_module({module.path, module.build_id});
  }
  return found->second;
}

void StackResolver::resolve(std::span<const StackId> stacks) {
  const NodeTable& nodes = trace_.nodes();
  query_of_node_.resize(nodes.size(), 0);
  std::vector<AddressQuery> queries;
  std::vector<uint32_t> asking_nodes;
  std::vector<uint32_t> plain_nodes; // markers and addresses without a module
  std::vector<bool> seen(nodes.size(), false);
  for (const StackId stack : stacks) {
    for (uint32_t id = stack; id != 0 && nodes.defined(id) && !seen[id] && query_of_node_[id] == 0;
         id = nodes[id].parent) {
      seen[id] = true;
      const TraceNode& node = nodes[id];
      const TraceModule* module = node.module == kMarkerModule ? nullptr : trace_.modules().find(node.module);
      if (module == nullptr) {
        plain_nodes.push_back(id);
        continue;
      }
      // Not the program's: our hook on raise or exit, below handlers that run during the call.
      if (is_recording_library(module->path)) {
        extents_.push_back({0, 0});
        query_of_node_[id] = static_cast<uint32_t>(extents_.size());
        continue;
      }
      asking_nodes.push_back(id);
      const ModuleId symbol = symbol_module(node.module);
      ++asked_[static_cast<uint32_t>(symbol)];
      queries.push_back({symbol, (node.pc & kNodePcMask) - module->load_bias, (node.pc & kNodeExactPc) == 0});
    }
  }
  const SymbolizedFrames answers = symbolizer_.symbolize(queries);
  std::unordered_map<uint64_t, FrameClass> classes; // by function and module
  for (size_t i = 0; i < asking_nodes.size(); ++i) {
    const uint32_t id = asking_nodes[i];
    const TraceModule& module = *trace_.modules().find(nodes[id].module);
    const uint32_t first = static_cast<uint32_t>(frames_.size());
    for (const Frame& frame : answers[i]) {
      ResolvedFrame resolved;
      resolved.function = symbolizer_.text(frame.function);
      resolved.linkage_name = symbolizer_.text(frame.linkage_name);
      resolved.file = symbolizer_.text(frame.file);
      resolved.line = frame.line;
      resolved.module = module.path;
      resolved.inlined = frame.inlined;
      resolved.guessed = (nodes[id].pc & kNodeGuessed) != 0;
      const uint64_t key = uint64_t{static_cast<uint32_t>(frame.function)} << 32 | nodes[id].module;
      const auto [found, is_new] = classes.try_emplace(key);
      if (is_new)
        found->second = classify_frame(resolved.function, module.path, module.is_main);
      resolved.frame_class = found->second;
      // Members of std that were inlined have lost their namespace: "allocate". Their files tell.
      if (resolved.frame_class == FrameClass::kOwn &&
          resolved.file.find("/include/c++/") != std::string_view::npos)
        resolved.frame_class = FrameClass::kRuntime;
      // What nobody called and has no name: _start of a stripped program.
      if (frame.source == NameSource::kModuleOffset && nodes[id].parent == 0 && module.is_main)
        resolved.frame_class = FrameClass::kRuntime;
      frames_.push_back(resolved);
    }
    extents_.push_back({first, static_cast<uint32_t>(frames_.size()) - first});
    query_of_node_[id] = static_cast<uint32_t>(extents_.size());
  }
  for (const uint32_t id : plain_nodes) {
    const TraceNode& node = nodes[id];
    ResolvedFrame frame;
    const uint32_t first = static_cast<uint32_t>(frames_.size());
    if (node.module == kMarkerModule) {
      frame.function = marker_text(node.pc & kNodePcMask);
      frame.marker = true;
      frame.frame_class = FrameClass::kRuntime;
    } else {
      char text[40];
      std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(node.pc & kNodePcMask));
      own_texts_.push_back(std::make_unique<std::string>(text));
      frame.function = *own_texts_.back();
      frame.guessed = (node.pc & kNodeGuessed) != 0;
      frame.frame_class = FrameClass::kLibrary;
    }
    if (!frame.function.empty())
      frames_.push_back(frame);
    extents_.push_back({first, static_cast<uint32_t>(frames_.size()) - first});
    query_of_node_[id] = static_cast<uint32_t>(extents_.size());
  }
}

std::span<const ResolvedFrame> StackResolver::frames_of_node(StackId node) const {
  if (!trace_.nodes().defined(node) || query_of_node_[node] == 0)
    return {&missing_outward_, 1};
  const Extent& extent = extents_[query_of_node_[node] - 1];
  return {frames_.data() + extent.first, extent.count};
}

std::vector<ResolvedFrame> StackResolver::frames(StackId stack) const {
  const NodeTable& nodes = trace_.nodes();
  std::vector<ResolvedFrame> result;
  for (uint32_t id = stack; id != 0; id = nodes[id].parent) {
    const std::span<const ResolvedFrame> here = frames_of_node(id);
    result.insert(result.end(), here.begin(), here.end());
    if (here.data() == &missing_outward_)
      break;
  }
  return result;
}

ResolvedFrame StackResolver::leading_frame(StackId stack) const {
  const NodeTable& nodes = trace_.nodes();
  // Nearly every stack has a frame of the program's own within the first few: no need to look at them all.
  for (uint32_t id = stack; id != 0 && nodes.defined(id) && query_of_node_[id] != 0; id = nodes[id].parent) {
    const Extent& extent = extents_[query_of_node_[id] - 1];
    for (uint32_t i = extent.first; i < extent.first + extent.count; ++i)
      if (frames_[i].frame_class == FrameClass::kOwn)
        return frames_[i];
  }
  const std::vector<ResolvedFrame> all = frames(stack);
  if (!all.empty())
    return all[std::min(fold(all).first_shown, all.size() - 1)];
  ResolvedFrame unknown;
  unknown.function = "[stack not known]";
  unknown.marker = true;
  return unknown;
}

const ResolvedFrame* StackResolver::library_frame(StackId stack) const {
  const NodeTable& nodes = trace_.nodes();
  const ResolvedFrame* unnamed = nullptr;
  for (uint32_t id = stack; id != 0 && nodes.defined(id); id = nodes[id].parent) {
    for (const ResolvedFrame& frame : frames_of_node(id)) {
      if (frame.frame_class == FrameClass::kOwn)
        return unnamed;
      if (frame.frame_class != FrameClass::kLibrary)
        continue;
      if (!is_unnamed(frame.function))
        return &frame;
      if (unnamed == nullptr)
        unnamed = &frame;
    }
  }
  return nullptr; // no frame of the program's own: a library's leads
}

FoldedStack StackResolver::fold(std::span<const ResolvedFrame> frames) {
  std::vector<FrameClass> classes;
  classes.reserve(frames.size());
  for (const ResolvedFrame& frame : frames)
    classes.push_back(frame.frame_class);
  return fold_stack(classes);
}

std::vector<ModuleTrouble> StackResolver::troubles() const {
  std::vector<ModuleTrouble> found;
  for (const auto& [id, count] : asked_) {
    const ModuleId module{id};
    const ModuleState& state = symbolizer_.module_state(module);
    if (state.status == ModuleStatus::kDebugInfo || state.status == ModuleStatus::kNotLoaded)
      continue;
    found.push_back(
        {symbolizer_.module_info(module).path, state.status, std::string(describe(state.status)), count});
  }
  std::sort(found.begin(), found.end(), [](const ModuleTrouble& a, const ModuleTrouble& b) {
    return a.frames != b.frames ? a.frames > b.frames : a.path < b.path;
  });
  return found;
}

} // namespace hl
