// Where a port gets its place: its number, which is its index in the dataplane, its worker and its
// backend. Control thread only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "control/bridge/port.hpp"

namespace bulkhead::control {

/// The number of the backend that a port's frames move by: Engine::k...Backend.
[[nodiscard]] std::uint8_t backend_of(const config::Port& port);
/// Whether all that comes from it comes to one worker, on whatever queue: of guests that claim
/// addresses one worker has the first word.
[[nodiscard]] bool is_on_one_worker(const config::Port& port);
/// The same place on the same device: a change from one to the other needs only a new policy.
[[nodiscard]] bool same_place(const config::Port& a, const config::Port& b);

/// The numbers in use.
class PortNumbers {
 public:
  PortNumbers() : is_used_(kPortsMax) {}
  /// In turn, so that a number rests before it is another port's. Throws BackendError.
  [[nodiscard]] PortIndex take();
  void give_back(PortIndex index) { is_used_[index] = false; }

 private:
  std::vector<bool> is_used_;
  std::size_t last_ = kPortsMax - 1;
};

/// Whose worker each port is, while one configuration follows another.
class WorkerChoice {
 public:
  /// `running`: of `before`.
  WorkerChoice(const config::Config& before, const config::Config& next,
               const RunningPorts& running);
  /// The worker that a port has to have; nothing if any will do.
  [[nodiscard]] std::optional<std::uint8_t> wanted(const config::Port& port) const;
  /// One for a port that comes: the wanted one, or the one of `worker_count` with the least to do.
  [[nodiscard]] std::uint8_t choose(const config::Port& port, std::uint8_t worker_count,
                                    const RunningPorts& running, const RunningPorts& coming);

 private:
  std::map<std::string, std::uint8_t> claims_;  // by segment, the worker of ports that claim
};

}  // namespace bulkhead::control
