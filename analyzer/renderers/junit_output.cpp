// See junit_output.h.
#include "renderers/junit_output.h"

#include <algorithm>

#include "renderers/utf8.h"

namespace hl {
namespace {

// Characters that XML 1.0 has no way to write, not even as references.
bool is_forbidden(std::string_view sequence) {
  if (sequence.size() == 1) {
    const auto byte = static_cast<uint8_t>(sequence[0]);
    return byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r';
  }
  return sequence == "\xef\xbf\xbe" || sequence == "\xef\xbf\xbf"; // U+FFFE, U+FFFF
}

// In an attribute a reader would turn line breaks and tabs into blanks, and everywhere a carriage return into
// a line break, unless they are references.
std::string escaped(std::string_view text, bool in_attribute) {
  std::string result;
  result.reserve(text.size() + 16);
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text.substr(i));
    const std::string_view sequence = text.substr(i, std::max<size_t>(length, 1));
    i += sequence.size();
    if (length == 0 || is_forbidden(sequence)) {
      result += "\xef\xbf\xbd";
      continue;
    }
    switch (sequence[0]) {
    case '&':
      result += "&amp;";
      break;
    case '<':
      result += "&lt;";
      break;
    case '>':
      result += "&gt;";
      break;
    case '"':
      result += in_attribute ? "&quot;" : "\"";
      break;
    case '\r':
      result += "&#13;";
      break;
    case '\n':
      result += in_attribute ? "&#10;" : "\n";
      break;
    case '\t':
      result += in_attribute ? "&#9;" : "\t";
      break;
    default:
      result += sequence;
    }
  }
  return result;
}

std::string attribute(std::string_view name, std::string_view value) {
  return " " + std::string(name) + "=\"" + escaped(value, true) + "\"";
}

std::string counts(std::span<const CheckResult> results) {
  const auto failures =
      std::count_if(results.begin(), results.end(), [](const CheckResult& r) { return !r.passed; });
  return attribute("tests", std::to_string(results.size())) +
         attribute("failures", std::to_string(failures)) + attribute("errors", "0");
}

} // namespace

std::string junit_xml(std::string_view suite, std::span<const CheckResult> results) {
  std::string xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
  xml += "<testsuites" + attribute("name", "heapledger") + counts(results) + ">\n";
  xml += "  <testsuite" + attribute("name", suite) + counts(results) + attribute("skipped", "0") + ">\n";
  for (const CheckResult& result : results) {
    xml += "    <testcase" + attribute("classname", "heapledger." + result.group) +
           attribute("name", result.name);
    if (!result.file.empty()) {
      xml += attribute("file", result.file);
      if (result.line != 0)
        xml += attribute("line", std::to_string(result.line));
    }
    if (result.passed && result.message.empty()) {
      xml += "/>\n";
      continue;
    }
    xml += ">\n";
    if (result.passed) {
      xml += "      <system-out>" + escaped(result.message, false) + "</system-out>\n";
    } else {
      xml += "      <failure" + attribute("message", result.message) + attribute("type", result.group) + ">" +
             escaped(result.details.empty() ? result.message : result.details, false) + "</failure>\n";
    }
    xml += "    </testcase>\n";
  }
  return xml + "  </testsuite>\n</testsuites>\n";
}

} // namespace hl
