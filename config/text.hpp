// How this room writes names and values into messages. Private to config/.
//
// Invariant: what comes out is one line of printable ASCII, whatever a file or a command put in, so
// that a message cannot forge a second one in a log. The text forms of values are in config.hpp.
// Called by parse.cpp, options.cpp and check.cpp.
#pragma once

#include <string>
#include <string_view>

#include "config/config.hpp"

namespace bulkhead::config {

/// Everything but printable ASCII as \xNN.
std::string printable(std::string_view text);

/// In quotation marks, printable, cut when very long.
std::string quoted(std::string_view text);

/// 1 to kNameLengthMax of letters, digits, '_', '.' and '-': the names of ports and segments.
bool is_name(std::string_view text);

/// `port vm1`, `segment lan`: the thing that a message is about.
std::string thing(std::string_view kind, std::string_view name);

/// `bulkhead.toml:12:9: `; empty without a file or if the position means "given by command".
std::string place(const std::string& file, Position position);

}  // namespace bulkhead::config
