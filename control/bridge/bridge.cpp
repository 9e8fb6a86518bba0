#include "control/bridge/bridge.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "backends/conduit/conduit.hpp"
#include "backends/error.hpp"
#include "control/bridge/objection.hpp"

namespace bulkhead::control {
namespace {

Engine::Options engine_options(const config::Config& config) {
  return {config.workers, config.cpus, config.poll == config::Poll::busy, owner_of(config),
          config.shortcut ? config.shortcut_entries : 0};
}

std::map<std::string, SegmentIndex> first_numbers(const config::Config& config) {
  std::map<std::string, SegmentIndex> numbers;
  for (const auto& [name, segment] : config.segments) {
    numbers.emplace(name, static_cast<SegmentIndex>(numbers.size()));
  }
  return numbers;
}

config::Config without_ports(config::Config config) {
  config.ports.clear();
  config.statics.clear();
  return config;
}

}  // namespace

Bridge::Bridge(config::Config config, Leftovers leftovers, Ports::Listener listener)
    : key_(random_hash_key()), config_(without_ports(config)), segments_(first_numbers(config)) {
  engine_ = std::make_unique<Engine>(*compile(config_, {}, segments_, key_), key_,
                                     engine_options(config));
  if (!engine_->guard().has_tcx()) {
    const std::string& trouble = engine_->guard().pins().trouble();
    spdlog::warn(
        "{}: clsact alone guards the devices, and a tcx program that somebody attaches later can "
        "pass by it",
        trouble.empty() ? "this kernel has no tcx" : trouble);
  }
  engine_->guard().release_vanished();
  ports_ = std::make_unique<Ports>(
      config_, *engine_, [this] { install(config_); }, std::move(listener));
  change(std::move(config));
  is_starting_ = false;
  // A killed daemon leaves its guards. Those of our ports' devices were taken over, or stay closed
  // as long as the port cannot have its device.
  ports_->settle_leftovers(leftovers == Leftovers::keep);
  ports_->refresh();
  ports_->replace_shortcut();
}

void Bridge::number_segments(const config::Config& config) {
  std::erase_if(segments_,
                [&](const auto& entry) { return !config.segments.contains(entry.first); });
  for (const auto& [name, segment] : config.segments) {
    if (segments_.contains(name)) continue;
    SegmentIndex number = 0;
    while (std::ranges::any_of(segments_, [&](const auto& e) { return e.second == number; })) {
      ++number;
    }
    segments_.emplace(name, number);
  }
}

// Puts the policy of `config`, for the ports as they are now, in force.
void Bridge::install(const config::Config& config) {
  std::map<std::string, Site> sites;
  for (const auto& [name, port] : config.ports) {
    const RunningPort& running = ports_->running().at(name);
    const bool is_waiting = running.state == PortState::waiting;
    sites[name] = {running.index,
                   backend_of(port),
                   running.state == PortState::up,
                   std::min(running.mtu, ConduitDevice::kPortMtuMax),
                   running.worker,
                   running.way->is_spread(),
                   is_waiting ? 0 : static_cast<std::uint32_t>(running.device->ifindex()),
                   running.away && is_waiting,
                   road_to(config, port, running)};
  }
  engine_->swap(compile(config, sites, segments_, key_));
}

void Bridge::change(config::Config next) {
  WorkerChoice workers(config_, next, ports_->running());
  Change change = plan(next, workers);
  try {
    prepare(change, next, workers);
  } catch (...) {
    undo(change);
    throw;
  }
  commit(change, std::move(next));
}

// What stays, what goes, what comes.
Bridge::Change Bridge::plan(const config::Config& next, const WorkerChoice& workers) const {
  Change change;
  for (const auto& [name, port] : config_.ports) {
    const auto after = next.ports.find(name);
    const std::uint8_t worker = ports_->running().at(name).worker;
    const bool stays = after != next.ports.end() && same_place(port, after->second) &&
                       workers.wanted(after->second).value_or(worker) == worker;
    if (!stays) change.gone.insert(name);
  }
  for (const auto& [name, port] : next.ports) {
    if (!config_.ports.contains(name) || change.gone.contains(name)) change.come.insert(name);
  }
  return change;
}

// Everything that may fail, on the side.
void Bridge::prepare(Change& change, const config::Config& next, WorkerChoice& workers) {
  std::set<std::string> moved_devices;
  for (const std::string& name : change.gone) moved_devices.insert(config_.ports.at(name).device);
  for (const std::string& name : change.come) {
    const config::Port& port = next.ports.at(name);
    const std::uint8_t worker =
        workers.choose(port, engine_->worker_count(), ports_->running(), change.fresh);
    const PortIndex index = numbers_.take();
    RunningPort& fresh =
        change.fresh.emplace(name, ports_->make(port, index, worker)).first->second;
    const Link* link = change.look.find(port.device);
    if (link == nullptr) continue;
    if (moved_devices.contains(port.device)) {
      ports_->try_out(port, fresh, *link, change.look);
    } else if (!is_starting_) {  // else Ports::refresh() tries, and may fail
      if (ports_->take_device(port, fresh, *link, change.look)) {
        change.taken.push_back(link->ifindex);
      }
    }
  }
}

void Bridge::undo(Change& change) {
  for (auto& [name, fresh] : change.fresh) {
    ports_->let_device_go(fresh);
    numbers_.give_back(fresh.index);
  }
  for (const int ifindex : change.taken) ports_->undo_take(ifindex);
}

// First the ports that go: out of the policy, then off their devices.
void Bridge::commit(Change& change, config::Config&& next) {
  if (!change.gone.empty()) {
    config::Config remaining = config_;
    for (const std::string& name : change.gone) remaining.ports.erase(name);
    std::erase_if(remaining.statics,
                  [&](const config::Static& entry) { return change.gone.contains(entry.port); });
    install(remaining);
  }
  for (const std::string& name : change.gone) {
    const PortIndex index = ports_->running().at(name).index;
    ports_->remove(name);
    numbers_.give_back(index);
  }
  number_segments(next);
  ports_->add(std::move(change.fresh));
  config_ = std::move(next);
  install(config_);
  tell_of(change);
  ports_->refresh(change.look, {},
                  is_starting_ ? Ports::kOpeningMaxOfStart : Ports::kOpeningMaxOfChange);
  ports_->give_back_unnamed();
}

void Bridge::tell_of(const Change& change) const {
  for (const std::string& name : change.come) {
    const config::Port& port = config_.ports.at(name);
    spdlog::info("port {}: added, segment {}, device {}", name, port.segment, port.device);
    if (change.look.find(port.device) == nullptr) {
      spdlog::warn("port {}: waiting for device {}", name, port.device);
    }
    if (!port.enforce) spdlog::warn("port {}: shadow mode, the port is NOT protected", name);
  }
}

PortStatus Bridge::status_of(const std::string& port) const {
  return control::status_of(config_, config_.ports.at(port), ports_->running().at(port));
}

Intake Bridge::intake_of(const std::string& port, std::uint64_t received) const {
  return ports_->running().at(port).way->intake(received);
}

std::optional<std::string> Bridge::name_of(PortIndex index) const {
  for (const auto& [name, running] : ports_->running()) {
    if (running.index == index) return name;
  }
  return std::nullopt;
}

std::string Bridge::segment_name(SegmentIndex index) const {
  for (const auto& [name, number] : segments_) {
    if (number == index) return name;
  }
  return {};
}

}  // namespace bulkhead::control
