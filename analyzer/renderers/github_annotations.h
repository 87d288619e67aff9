// Failed checks as workflow commands of GitHub Actions, which shows them on the lines of a pull request:
// ::error file=F,line=L,title=T::MESSAGE
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "renderers/check_result.h"

namespace hl {

// GitHub shows ten errors of a step and drops the rest without a word.
inline constexpr size_t kMaxAnnotations = 10;

// A line for each failed check; beyond kMaxAnnotations the last line says how many more failed. `workspace`
// is taken from the beginning of files, for GitHub knows them by their path in the repository; empty: none.
std::string github_annotations(std::span<const CheckResult> results, std::string_view workspace);

} // namespace hl
