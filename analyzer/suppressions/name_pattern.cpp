// See name_pattern.h.
#include "suppressions/name_pattern.h"

namespace hl {

// A star at either end lets that end go: then no empty piece is kept there.
void NamePattern::cut(std::string_view text, bool with_queries) {
  if (text.starts_with('*'))
    held_at_begin_ = false;
  if (text.ends_with('*'))
    held_at_end_ = false;
  while (!text.empty()) {
    const size_t star = text.find('*');
    const std::string_view piece = text.substr(0, star);
    text.remove_prefix(star == std::string_view::npos ? text.size() : star + 1);
    if (piece.empty())
      continue;
    const bool has_query = with_queries && piece.find('?') != std::string_view::npos;
    pieces_.push_back({std::string(piece), has_query});
    for (const char c : piece)
      literal_bytes_ += with_queries && c == '?' ? 0 : 1;
  }
}

NamePattern NamePattern::glob(std::string_view text) {
  NamePattern pattern;
  pattern.held_at_begin_ = pattern.held_at_end_ = true;
  pattern.key_ = "g" + std::string(text);
  pattern.cut(text, true);
  return pattern;
}

NamePattern NamePattern::leak_template(std::string_view text) {
  NamePattern pattern;
  pattern.key_ = "t" + std::string(text);
  if (text.starts_with('^')) {
    pattern.held_at_begin_ = true;
    text.remove_prefix(1);
  }
  if (text.ends_with('$')) {
    pattern.held_at_end_ = true;
    text.remove_suffix(1);
  }
  pattern.cut(text, false);
  return pattern;
}

const std::string* NamePattern::exact() const {
  const bool is_one = held_at_begin_ && held_at_end_ && pieces_.size() == 1 && !pieces_[0].has_query;
  // Two pieces would have a star between them; one piece held at both ends has none.
  return is_one ? &pieces_[0].text : nullptr;
}

bool NamePattern::piece_at(const Piece& piece, std::string_view name, size_t at) {
  if (!piece.has_query)
    return name.compare(at, piece.text.size(), piece.text) == 0;
  if (name.size() - at < piece.text.size())
    return false;
  for (size_t i = 0; i < piece.text.size(); ++i)
    if (piece.text[i] != '?' && piece.text[i] != name[at + i])
      return false;
  return true;
}

// Where the piece first lies within [from, end), or npos.
size_t NamePattern::find_piece(const Piece& piece, std::string_view name, size_t from, size_t end) {
  if (!piece.has_query) {
    const size_t found = name.substr(0, end).find(piece.text, from);
    return found;
  }
  for (size_t at = from; at + piece.text.size() <= end; ++at)
    if (piece_at(piece, name, at))
      return at;
  return std::string_view::npos;
}

bool NamePattern::matches(std::string_view name) const {
  if (name.empty())
    return false;
  size_t first = 0, last = pieces_.size();
  size_t from = 0, end = name.size();
  if (held_at_begin_ && held_at_end_ && pieces_.size() == 1)
    return pieces_[0].text.size() == name.size() && piece_at(pieces_[0], name, 0);
  if (pieces_.empty())
    return !(held_at_begin_ && held_at_end_);
  if (held_at_begin_) {
    if (!piece_at(pieces_[0], name, 0))
      return false;
    from = pieces_[0].text.size();
    first = 1;
  }
  if (held_at_end_) {
    const size_t size = pieces_[last - 1].text.size();
    if (size > end - from || !piece_at(pieces_[last - 1], name, end - size))
      return false;
    end -= size;
    --last;
  }
  // Leftmost is best: what it leaves to the pieces behind it is the most there can be.
  for (size_t i = first; i < last; ++i) {
    const size_t at = find_piece(pieces_[i], name, from, end);
    if (at == std::string_view::npos)
      return false;
    from = at + pieces_[i].text.size();
  }
  return true;
}

} // namespace hl
