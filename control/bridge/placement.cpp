#include "control/bridge/placement.hpp"

#include <algorithm>

#include "backends/error.hpp"
#include "control/bridge/engine.hpp"

namespace bulkhead::control {
namespace {

bool claims_addresses(const config::Port& port) {
  return port.link_local == config::LinkLocal::any;
}

/// By the worker's part of all ports and of all frames that come in lately.
std::uint8_t idlest_worker(std::uint8_t worker_count, const RunningPorts& running,
                           const RunningPorts& coming) {
  struct Load {
    double ports = 0, frames = 0;
  };
  std::vector<Load> loads(worker_count);
  Load all{1, 1};  // never nothing
  for (const auto* ports : {&running, &coming}) {
    for (const auto& [name, port] : *ports) {
      for (Load* load : {&loads[port.worker], &all}) {
        load->ports += 1;
        load->frames += port.arrival.frames_per_tick();
      }
    }
  }
  const auto idlest = std::ranges::min_element(loads, {}, [&](const Load& load) {
    return load.ports / all.ports + load.frames / all.frames;
  });
  return static_cast<std::uint8_t>(idlest - loads.begin());
}

}  // namespace

std::uint8_t backend_of(const config::Port& port) {
  return port.by_xdp() ? Engine::kNicBackend : Engine::kConduitBackend;
}

bool is_on_one_worker(const config::Port& port) {
  return backend_of(port) == Engine::kConduitBackend || claims_addresses(port);
}

bool same_place(const config::Port& a, const config::Port& b) {
  return a.device == b.device && a.segment == b.segment && backend_of(a) == backend_of(b) &&
         is_on_one_worker(a) == is_on_one_worker(b);
}

PortIndex PortNumbers::take() {
  for (std::size_t tries = 0; tries < kPortsMax; ++tries) {
    last_ = (last_ + 1) % kPortsMax;
    if (is_used_[last_]) continue;
    is_used_[last_] = true;
    return static_cast<PortIndex>(last_);
  }
  throw BackendError("too many ports: all places are in use");
}

// Who claims an address first is for one worker to say: where a port says, or where one is already.
WorkerChoice::WorkerChoice(const config::Config& before, const config::Config& next,
                           const RunningPorts& running) {
  for (const auto& [name, port] : next.ports) {
    if (!claims_addresses(port)) continue;
    const auto place = running.find(name);
    if (port.worker) {
      claims_[port.segment] = static_cast<std::uint8_t>(*port.worker);
    } else if (place != running.end() && same_place(before.ports.at(name), port)) {
      claims_.try_emplace(port.segment, place->second.worker);
    }
  }
}

std::optional<std::uint8_t> WorkerChoice::wanted(const config::Port& port) const {
  if (port.worker) return static_cast<std::uint8_t>(*port.worker);
  if (!claims_addresses(port)) return std::nullopt;
  const auto place = claims_.find(port.segment);
  if (place == claims_.end()) return std::nullopt;
  return place->second;
}

std::uint8_t WorkerChoice::choose(const config::Port& port, std::uint8_t worker_count,
                                  const RunningPorts& running, const RunningPorts& coming) {
  const auto must = wanted(port);
  const std::uint8_t worker = must ? *must : idlest_worker(worker_count, running, coming);
  if (claims_addresses(port)) claims_.try_emplace(port.segment, worker);
  return worker;
}

}  // namespace bulkhead::control
