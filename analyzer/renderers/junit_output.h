// Checks as JUnit XML, which CI systems read as test results: a testcase for each check, of the class
// heapledger.GROUP.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "renderers/check_result.h"

namespace hl {

// The whole document. `suite` names what was checked, such as the trace. Well-formed XML 1.0 whatever the
// texts hold: what that cannot express (control characters, bytes that are no UTF-8) becomes U+FFFD. The same
// results give the same bytes: no time, no host.
std::string junit_xml(std::string_view suite, std::span<const CheckResult> results);

} // namespace hl
