// One pattern over a name, as suppression files write them, taken apart once so that a million names can be
// tried cheaply. Two dialects: Valgrind's globs (`*`, `?`, the whole name) and LeakSanitizer's templates
// (`*`, found anywhere in the name unless held by a leading `^` or a trailing `$`).
//
// An empty name matches nothing, not even `*`: it stands for a name that is not known.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hl {

class NamePattern {
 public:
  // Valgrind: `*` any characters, `?` any one; no escapes.
  static NamePattern glob(std::string_view text);
  // LeakSanitizer: `*`, `^` at the beginning, `$` at the end; everything else is literal. The caller has
  // checked that nothing follows a `$`.
  static NamePattern leak_template(std::string_view text);

  bool matches(std::string_view name) const;
  // The only name it matches, if there is just one.
  const std::string* exact() const;
  // Characters that a name must have: how selective the pattern is.
  size_t literal_bytes() const { return literal_bytes_; }

  // Equal keys match the same names.
  const std::string& key() const { return key_; }

 private:
  struct Piece {
    std::string text;
    bool has_query = false; // `?` stands for any character here
  };

  void cut(std::string_view text, bool with_queries);
  static bool piece_at(const Piece& piece, std::string_view name, size_t at);
  static size_t find_piece(const Piece& piece, std::string_view name, size_t from, size_t end);

  std::vector<Piece> pieces_; // what stands between stars
  bool held_at_begin_ = false;
  bool held_at_end_ = false;
  size_t literal_bytes_ = 0;
  std::string key_;
};

} // namespace hl
