// What is wrong with a text that is no TOML, in words for whoever wrote it. Private to config/: the
// library's own words ("unescaped control characters") are about its parser. Called by parse.cpp.
#pragma once

#include <string>
#include <string_view>

#include "config/config.hpp"

namespace bulkhead::config {

struct TomlFault {
  Position position;
  std::string text;  // one line of printable characters
};

/// `position` and `description` are the library's.
TomlFault toml_fault(std::string_view text, Position position, std::string_view description);

}  // namespace bulkhead::config
