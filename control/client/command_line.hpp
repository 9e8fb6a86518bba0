// The words of `bulkhead`: every command and option, and what is asked for by a line of them.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "control/client/top.hpp"

namespace bulkhead::control {

/// One command line, read.
struct CommandLine {
  std::string help;  // to print, and nothing else; mostly empty
  std::string socket = "/run/bulkhead/control.sock";
  bool as_json = false;
  std::string method;  // as the socket calls it; `check` and `top` are the client's own
  nlohmann::json parameters = nlohmann::json::object();
  /// How the answer is shown; nullptr: say nothing when it is done.
  void (*show)(std::ostream&, const nlohmann::json&) = nullptr;
  std::string file;              // of check, save, capture and explain --pcap; empty if not said
  bool check_devices = false;    // of check
  std::uint64_t frames_max = 0;  // of capture; 0: until interrupted
  TopOptions top;
};

/// `words`: those behind the program's name, as words_of() makes them. Throws ClientError
/// (kExitUsage) with one line that names the word and the way out.
CommandLine read_command_line(const std::vector<std::string>& words);

}  // namespace bulkhead::control
