// `bulkhead top`: what the ports do a second, again and again. One request a refresh.
//
// On a terminal it has the screen for itself; elsewhere it prints a block a refresh, or with --json
// a line. It outlives the daemon: it says that it waits, and goes on with the next one.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "control/client/rates.hpp"
#include "control/client/terminal.hpp"

namespace bulkhead::control {

struct TopOptions {
  std::chrono::duration<double> interval{1};
  std::uint64_t count = 0;  // refreshes; 0: until interrupted
  RateOrder order = RateOrder::rate;
};

/// The exit code. Throws ClientError if there is no daemon at the start.
int top(const std::string& socket, const TopOptions& options, bool as_json);

/// What is to be seen at one time.
struct TopView {
  std::string heading;
  std::vector<PortRates> ports;  // sorted
};

/// The view as text that fits; ports that do not are one line together.
[[nodiscard]] std::vector<std::string> top_lines(const TopView& view, TerminalSize size);

/// 999, 1.0k, 12.3M: five characters at most up to a thousand million million.
[[nodiscard]] std::string short_number(double value);

}  // namespace bulkhead::control
