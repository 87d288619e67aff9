// How numbers, names and colours are written for people. Everything here makes strings; nobody prints.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hl {

// What the reader's terminal can do and asked for.
struct TextStyle {
  bool colours = false;
  bool unicode = true;
  bool exact = false; // every byte count in full
  size_t width = 100;

  std::string bold(std::string_view text) const { return paint("1", text); }
  std::string dim(std::string_view text) const { return paint("2", text); }
  std::string warning(std::string_view text) const { return paint("33", text); }
  std::string title(std::string_view text) const { return paint("1;36", text); }

 private:
  std::string paint(const char* code, std::string_view text) const {
    if (!colours || text.empty())
      return std::string(text);
    return std::string("\x1b[") + code + "m" + std::string(text) + "\x1b[0m";
  }
};

std::string with_thousands(uint64_t value);                      // 1,234,567
std::string human_bytes(uint64_t bytes, const TextStyle& style); // 1.21 GiB; exact: 1,299,227,607 B
std::string human_ns(uint64_t ns);                               // 3.21 s, 412 ms, 2 h 05 m
std::string human_percent(uint64_t part, uint64_t whole);        // 41.7 %
std::string plural(uint64_t count, std::string_view noun);       // 1 block, 2 blocks (regular nouns)
std::string clock_time(uint64_t wall_ns);                        // 2026-11-22 14:03:07, local

// Columns a string takes on a terminal: UTF-8 code points, escape sequences not counted.
size_t display_width(std::string_view text);
std::string pad_left(const std::string& text, size_t width);
std::string pad_right(std::string text, size_t width);
// Cut in the middle to at most `width` columns. Plain ASCII or UTF-8 without escapes.
std::string fit(std::string_view text, size_t width, const TextStyle& style);

// Lines of at most style.width columns, broken at blanks; a word that is longer is cut. Ends in a line break.
std::string wrapped(std::string_view text, std::string_view first_margin, std::string_view margin,
                    const TextStyle& style);

// A C++ name one can read: parameters and return type left out, long template arguments folded.
std::string short_function(std::string_view demangled);
// The last two components of a path.
std::string short_path(std::string_view path);

// Heights 0..1 of `values` as one line.
std::string sparkline(const uint64_t* values, size_t count, uint64_t maximum, const TextStyle& style);

// Control characters and invalid UTF-8 replaced: names in a trace must not drive the terminal.
std::string printable(std::string_view text);

} // namespace hl
