// The keys of a port as options of `port add` and `port set`: config/options.cpp has them all.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace bulkhead::control {

class PortOptions {
 public:
  void add_to(CLI::App& command);
  /// What was given, as parameters. What it cannot be is refused by the daemon, by name.
  [[nodiscard]] nlohmann::json json() const;

 private:
  std::map<std::string, CLI::Option*> options_;  // by key
};

}  // namespace bulkhead::control
