// What users may ask for over the control socket: the command words of INTERFACE.md as JSON-RPC
// methods (`port.add`), in one table. What each one does is in the files of method.hpp. Control
// thread only.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/observe/capture.hpp"
#include "control/rpc/method.hpp"

namespace bulkhead::control {

/// The events that somebody wants.
struct Subscription {
  std::vector<std::string> kinds;   // of "fdb", "port" and "drop"
  std::optional<std::string> port;  // only of this one

  [[nodiscard]] bool has(const std::string& kind) const {
    return std::ranges::find(kinds, kind) != kinds.end();
  }
  [[nodiscard]] bool is_about(const Json& event) const {
    return !port || event.value("port", "") == *port || event.value("from", "") == *port;
  }
};

class Methods {
 public:
  explicit Methods(MethodContext context) : context_(std::move(context)) {}

  /// Throws UsageError, FailureError, ConfigError or BackendError. `method` is one that knows() is
  /// true for.
  Json call(const std::string& method, const Json& parameters) const;
  /// The same for one that answers_at_length(). `next` throws the same.
  LongAnswer call_long(const std::string& method, const Json& parameters) const;
  [[nodiscard]] static bool answers_at_length(const std::string& method);
  [[nodiscard]] static bool knows(const std::string& method);
  [[nodiscard]] static std::vector<std::string> names();
  /// Whether the method changes anything, which not everybody may. True if nobody knows it.
  [[nodiscard]] static bool changes(const std::string& method);

  /// One event as `monitor` prints it; null if its port has gone meanwhile.
  [[nodiscard]] Json event_json(const Event& event) const;
  /// What `monitor` is about. Throws UsageError or FailureError.
  [[nodiscard]] Subscription subscription(const Json& parameters) const;
  /// What `capture` is about. Throws UsageError or BackendError.
  [[nodiscard]] std::unique_ptr<Capture> capture(const Json& parameters) const;
  [[nodiscard]] static Json port_event_json(const std::string& port, PortState state);

 private:
  MethodContext context_;
};

}  // namespace bulkhead::control
