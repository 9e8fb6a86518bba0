// One method of the control socket: a function from parameters to an answer; from whose answer may
// be long, to a LongAnswer, which the context outlives. The families are files: port_methods.cpp,
// fdb_methods.cpp, flow_methods.cpp, counter_methods.cpp, observe_methods.cpp and
// config_methods.cpp. methods.cpp has the table. Control thread only.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "config/changes.hpp"
#include "control/bridge/bridge.hpp"
#include "control/rpc/long_answer.hpp"

namespace bulkhead::control {

using Json = nlohmann::json;

/// The request is at fault: exit code 2. Its text names the thing and the way out.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The request is well and could not be carried out: exit code 1.
class FailureError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What a method works on.
struct MethodContext {
  Bridge& bridge;
  std::function<void(config::Config)> change;  // checks, keeps and puts in force, or throws
  std::function<config::Changes()> reload;     // reads the configuration's file again, or throws
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();

  /// Throw FailureError if there is none.
  [[nodiscard]] const config::Port& port_named(const std::string& name) const;
  void require_port(const std::string& name) const { static_cast<void>(port_named(name)); }
  void require_segment(const std::string& name) const;

  using PortRow = Json (*)(const MethodContext&, const config::Port&, const Engine::Totals&);
  /// A row for each port, or for one of them. Throws FailureError if that is none.
  [[nodiscard]] LongAnswer list_ports(const std::optional<std::string>& only, PortRow row) const;
  /// The next ones in the order of their names, as many as fit into a piece of a long answer.
  [[nodiscard]] std::vector<const config::Port*> ports_behind(const std::string& name) const;

  /// What was counted: now for the first piece of an answer, and for the others at most a second
  /// ago, for whichever answer. Valid until the next call.
  [[nodiscard]] const Engine::Totals& totals_for_piece(bool is_first) const;

  [[nodiscard]] std::uint64_t uptime_seconds() const;

  mutable Engine::Totals totals{};  // totals_for_piece()'s alone
  mutable std::chrono::steady_clock::time_point counted{};
};

/// Those that are not 0, by reason.
[[nodiscard]] Json drops_json(const std::array<std::uint64_t, kDropReasonCount>& drops);

// Each throws UsageError, FailureError, ConfigError or BackendError.

Json port_add(const MethodContext& context, const Json& parameters);
Json port_set(const MethodContext& context, const Json& parameters);
Json port_del(const MethodContext& context, const Json& parameters);
LongAnswer port_show(const MethodContext& context, const Json& parameters);

LongAnswer fdb_show(const MethodContext& context, const Json& parameters);
Json fdb_add(const MethodContext& context, const Json& parameters);
Json fdb_del(const MethodContext& context, const Json& parameters);
Json fdb_flush(const MethodContext& context, const Json& parameters);

LongAnswer flow_show(const MethodContext& context, const Json& parameters);
Json flow_flush(const MethodContext& context, const Json& parameters);

Json status(const MethodContext& context, const Json& parameters);
LongAnswer stats(const MethodContext& context, const Json& parameters);
LongAnswer metrics(const MethodContext& context, const Json& parameters);

Json explain(const MethodContext& context, const Json& parameters);

Json reload(const MethodContext& context, const Json& parameters);
Json save(const MethodContext& context, const Json& parameters);

}  // namespace bulkhead::control
