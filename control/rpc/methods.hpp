// What users may ask for over the control socket: the command words of INTERFACE.md as JSON-RPC
// methods (`port.add`), and their answers. Control thread only.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "control/bridge/bridge.hpp"
#include "control/observe/capture.hpp"

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

class Methods {
 public:
  /// `change` checks a configuration, keeps it and puts it in force, `reload` reads the
  /// configuration's file again and does the same; or they throw.
  Methods(Bridge& bridge, std::function<void(config::Config)> change, std::function<void()> reload);

  /// Throws UsageError, FailureError, ConfigError or BackendError.
  Json call(const std::string& method, const Json& parameters);
  [[nodiscard]] bool knows(const std::string& method) const { return methods_.contains(method); }
  /// Whether the method changes anything, which not everybody may.
  [[nodiscard]] static bool changes(const std::string& method);

  /// One event as `monitor` prints it; null if its port has gone meanwhile.
  [[nodiscard]] Json event_json(const Event& event) const;
  /// What `capture` is about. Throws UsageError or BackendError.
  [[nodiscard]] std::unique_ptr<Capture> capture(const Json& parameters);
  [[nodiscard]] static Json port_event_json(const std::string& port, PortState state);

 private:
  using Method = Json (Methods::*)(const Json&);

  Json status(const Json& parameters);
  Json port_add(const Json& parameters);
  Json port_set(const Json& parameters);
  Json port_del(const Json& parameters);
  Json port_show(const Json& parameters);
  Json fdb_show(const Json& parameters);
  Json fdb_add(const Json& parameters);
  Json fdb_del(const Json& parameters);
  Json fdb_flush(const Json& parameters);
  Json stats(const Json& parameters);
  Json metrics(const Json& parameters);
  Json explain(const Json& parameters);
  Json reload(const Json& parameters);
  Json save(const Json& parameters);

  /// The running configuration with one port more or other, put in force.
  void put_port(const config::Port& port);
  /// Throws FailureError if there is none.
  const config::Port& port_named(const std::string& name) const;
  [[nodiscard]] std::string port_text(PortIndex index) const;
  [[nodiscard]] std::uint64_t uptime_seconds() const;

  Bridge& bridge_;
  std::function<void(config::Config)> change_;
  std::function<void()> reload_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::map<std::string, Method> methods_;
};

}  // namespace bulkhead::control
