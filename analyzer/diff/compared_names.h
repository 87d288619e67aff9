// The frames of two profiles in one set of numbers: equal numbers mean equal names, at several strengths. The
// names are looked at once for each distinct frame; matching then compares integers.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "diff/rename_map.h"
#include "diff/run_profile.h"
#include "diff/stack_classes.h"

namespace hl {

enum Side : uint8_t { kBase = 0, kNew = 1 };

// What must be equal of two frames, from the strictest on. Lines are part of none.
enum class NameStrength : uint8_t {
  exact,     // the whole name, the file, the module
  detailed,  // the canonical name with template arguments and parameters, the file, the module
  arguments, // the canonical name with template arguments and parameters
  placed,    // the canonical name and the module
  canonical, // the canonical name
  bare,      // its last component and the file: debug information of inlined functions may know no more
};
inline constexpr size_t kNameStrengths = 6;

struct FrameNames {
  std::array<uint32_t, kNameStrengths> by_strength{};
  uint32_t last = 0;   // last component of the canonical name
  uint32_t file = 0;   // 0: not known
  uint32_t module = 0; // without directory and version; the program itself is one, whatever it is called
  uint32_t build = 0;  // of the module's build-id; 0: not known
  bool kept = false;   // neither allocator nor runtime
  bool own = false;
  bool nameless = false; // an address alone

  uint32_t of(NameStrength strength) const { return by_strength[static_cast<size_t>(strength)]; }
  uint32_t canonical() const { return of(NameStrength::canonical); }
};

class ComparedNames {
 public:
  ComparedNames(const RunProfile& base, const RunProfile& next, const RenameMap& renames);

  const RunProfile& profile(Side side) const { return *profiles_[side]; }
  // By index into the profile's frames.
  const FrameNames& frame(Side side, uint32_t index) const { return frames_[side][index]; }
  // Of a number of FrameNames::canonical() or last.
  std::string_view name(uint32_t number) const { return texts_[number]; }
  size_t numbers() const { return texts_.size(); }

  // Files that are the same file under another name. Those of one directory that was moved as a whole (the
  // build directory) are not among them.
  struct MovedFile {
    std::string base, next;
  };
  const std::vector<MovedFile>& moved_files() const { return moved_; }

 private:
  uint32_t text_number(std::string_view text);
  void number_files();
  void number_frames(Side side, const RenameMap& renames);

  std::array<const RunProfile*, 2> profiles_;
  std::array<std::vector<FrameNames>, 2> frames_;
  std::array<std::vector<uint32_t>, 2> file_numbers_; // by string index
  std::deque<std::string> texts_;                     // by number
  std::unordered_map<std::string_view, uint32_t> text_numbers_;
  StackClasses pairs_;
  std::vector<MovedFile> moved_;
  uint32_t files_ = 0;
};

} // namespace hl
