// Which known word a mistyped one probably stands for. Pure. Called wherever a word is refused:
// keys and roles (config), commands and options (control/usage), names of ports and reasons
// (control/rpc).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::config {

/// The one of `known` that is at most two slips away from `word`, or begins with it; nothing if
/// none does.
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& known);

/// The way out for whoever wrote `word`: `did you mean "port"?`, or `known are a, b, c` (of very
/// many the first), or `none is known`. `quote` goes around the suggestion.
std::string suggestion(std::string_view word, const std::vector<std::string>& known,
                       char quote = '"');

}  // namespace bulkhead::config
