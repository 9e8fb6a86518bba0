// The daemon's log: lines on stderr. For the journal they begin with their priority, as
// sd-daemon(3) says, instead of the time, which the journal has itself.
#pragma once

#include <string>

namespace bulkhead::control {

void start_log(const std::string& level);

/// What a line that is an error begins with where the logger does not write it.
[[nodiscard]] std::string error_prefix();

}  // namespace bulkhead::control
