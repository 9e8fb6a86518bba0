// The parameters of one request. A method asks for each one that it takes; finish() then refuses by
// name whatever nobody asked for. Control thread only; lives as long as the request.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/rpc/method.hpp"

namespace bulkhead::control {

/// Every function throws UsageError if the value is not what it returns.
class Parameters {
 public:
  /// `json` must outlive it; it is an object or null.
  Parameters(const std::string& method, const Json& json);

  std::optional<std::string> text(const std::string& name);
  /// A name of something, too short to fill a log or an answer.
  std::optional<std::string> word(const std::string& name);
  std::string required_text(const std::string& name);
  std::string required_word(const std::string& name);
  std::optional<std::int64_t> number(const std::string& name, std::int64_t min, std::int64_t max);
  /// False if it is not there.
  bool flag(const std::string& name);
  /// Empty if it is not there.
  std::vector<std::string> words(const std::string& name);
  std::optional<MacAddress> mac(const std::string& name);
  MacAddress required_mac(const std::string& name);
  /// What is left, as options of a port.
  std::map<std::string, config::OptionValue> rest();
  void finish() const;

 private:
  const Json* find(const std::string& name);
  [[noreturn]] void missing(const std::string& name) const;

  std::string method_;
  const Json& json_;
  std::set<std::string> seen_;
};

}  // namespace bulkhead::control
