// Our memory and string functions against libc's, over short texts of few letters, where everything happens.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

#define memcpy own_memcpy
#define memset own_memset
#define memcmp own_memcmp
#define strnlen own_strnlen
#define strlen own_strlen
#define strncmp own_strncmp
#define strcmp own_strcmp
#define strcpy own_strcpy
#define strncpy own_strncpy
#define strchr own_strchr
#define strrchr own_strrchr
#define strspn own_strspn
#define strcspn own_strcspn
#define strstr own_strstr
#include "platform/libc_functions.cpp" // NOLINT(bugprone-suspicious-include): under other names
#undef memcpy
#undef memset
#undef memcmp
#undef strnlen
#undef strlen
#undef strncmp
#undef strcmp
#undef strcpy
#undef strncpy
#undef strchr
#undef strrchr
#undef strspn
#undef strcspn
#undef strstr

namespace {

using Text = std::array<char, 16>;

std::mt19937 g_random(1);

// With its end within the array; both signs, which comparisons must not care for.
Text text() {
  Text t{};
  const size_t length = g_random() % 12;
  for (size_t i = 0; i < length; ++i)
    t[i] = "ab\xc3"[g_random() % 3];
  return t;
}

int sign(int value) {
  return (value > 0) - (value < 0);
}

} // namespace

TEST_CASE("our memory and string functions give what libc's give") {
  for (int round = 0; round < 100000; ++round) {
    const Text a = text(), b = text();
    const char *const s = a.data(), *const t = b.data();
    const size_t n = g_random() % 14;
    REQUIRE(own_strlen(s) == std::strlen(s));
    REQUIRE(own_strnlen(s, n) == ::strnlen(s, n));
    REQUIRE(sign(own_strcmp(s, t)) == sign(std::strcmp(s, t)));
    REQUIRE(sign(own_strncmp(s, t, n)) == sign(std::strncmp(s, t, n)));
    REQUIRE(sign(own_memcmp(s, t, n)) == sign(std::memcmp(s, t, n)));
    for (const char wanted : {'a', '\xc3', 'x', '\0'}) {
      REQUIRE(own_strchr(s, wanted) == std::strchr(s, wanted));
      REQUIRE(own_strrchr(s, wanted) == std::strrchr(s, wanted));
    }
    REQUIRE(own_strspn(s, t) == std::strspn(s, t));
    REQUIRE(own_strcspn(s, t) == std::strcspn(s, t));
    REQUIRE(own_strstr(s, t) == std::strstr(s, t));

    Text ours, libcs;
    ours.fill('z');
    libcs.fill('z');
    REQUIRE(own_strcpy(ours.data(), s) == ours.data());
    std::strcpy(libcs.data(), s);
    REQUIRE(ours == libcs);
    REQUIRE(own_strncpy(ours.data(), t, n) == ours.data());
    std::copy_n(t, n, libcs.begin());
    std::fill(libcs.begin() + static_cast<long>(std::min(n, std::strlen(t))),
              libcs.begin() + static_cast<long>(n), '\0');
    REQUIRE(ours == libcs);
    REQUIRE(own_memset(ours.data() + 1, 0xc3, n) == ours.data() + 1);
    std::memset(libcs.data() + 1, 0xc3, n);
    REQUIRE(own_memcpy(ours.data(), s, n) == ours.data());
    std::memcpy(libcs.data(), s, n);
    REQUIRE(ours == libcs);
  }
}
