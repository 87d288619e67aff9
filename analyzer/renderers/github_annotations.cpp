// See github_annotations.h. How the runner unescapes: %25, %0D, %0A everywhere, %3A and %2C in properties
// too.
#include "renderers/github_annotations.h"

#include <vector>

#include "renderers/utf8.h"

namespace hl {
namespace {

std::string escaped(std::string_view text, bool in_property) {
  std::string result;
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text.substr(i));
    const char c = text[i];
    if (length == 0 || (static_cast<uint8_t>(c) < 0x20 && c != '\n' && c != '\r' && c != '\t')) {
      result += "\xef\xbf\xbd";
      ++i;
      continue;
    }
    if (c == '%')
      result += "%25";
    else if (c == '\r')
      result += "%0D";
    else if (c == '\n')
      result += "%0A";
    else if (c == ':' && in_property)
      result += "%3A";
    else if (c == ',' && in_property)
      result += "%2C";
    else
      result += text.substr(i, length);
    i += length;
  }
  return result;
}

std::string_view in_repository(std::string_view file, std::string_view workspace) {
  while (workspace.ends_with('/'))
    workspace.remove_suffix(1);
  const bool is_inside = !workspace.empty() && file.size() > workspace.size() &&
                         file.starts_with(workspace) && file[workspace.size()] == '/';
  return is_inside ? file.substr(workspace.size() + 1) : file;
}

std::string annotation(const CheckResult& result, std::string_view workspace) {
  std::string properties;
  const auto add = [&](std::string_view name, std::string_view value) {
    properties += (properties.empty() ? " " : ",") + std::string(name) + "=" + escaped(value, true);
  };
  if (!result.file.empty()) {
    add("file", in_repository(result.file, workspace));
    if (result.line != 0)
      add("line", std::to_string(result.line));
  }
  add("title", "heapledger: " + result.name);
  std::string message = result.message;
  if (!result.details.empty())
    message += "\n" + result.details;
  return "::error" + properties + "::" + escaped(message, false) + "\n";
}

} // namespace

std::string github_annotations(std::span<const CheckResult> results, std::string_view workspace) {
  std::vector<const CheckResult*> failed;
  for (const CheckResult& result : results)
    if (!result.passed)
      failed.push_back(&result);
  const size_t shown = failed.size() > kMaxAnnotations ? kMaxAnnotations - 1 : failed.size();
  std::string text;
  for (size_t i = 0; i < shown; ++i)
    text += annotation(*failed[i], workspace);
  if (shown < failed.size())
    text +=
        "::error title=heapledger::and " + std::to_string(failed.size() - shown) + " more failed checks\n";
  return text;
}

} // namespace hl
