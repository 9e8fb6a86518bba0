// Ports' care for those that run: what happens on their devices without a change of the
// configuration, by notice or by a look now and then.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "backends/error.hpp"
#include "control/bridge/ports.hpp"

namespace bulkhead::control {

// A port without a carrier is shown as down, and goes on: the kernel tells of a carrier up to a
// second late (net/core/link_watch.c), and what a guest says first must not be lost.
void Ports::follow_carrier(const std::string& name, RunningPort& running, const Link& link) {
  if (running.state != PortState::up) {
    running.had_carrier = true;
    return;
  }
  if (std::exchange(running.had_carrier, link.has_carrier) == link.has_carrier) return;
  listener_(name, link.has_carrier ? PortState::up : PortState::down);
  if (link.has_carrier) {
    spdlog::info("port {}: up", name);
  } else {
    spdlog::warn("port {}: {}", name, down_text(link));
  }
}

// What somebody did to a guard, and that it is undone: to the log, and counted for the port.
void Ports::note_mended(const Device& device, const Guard::Mended& mended) {
  const std::string& name = device.link().name;
  for (auto& [port_name, running] : running_) {
    if (config_.ports.at(port_name).device != device.taken_as()) continue;
    if (!mended.put_back.empty()) {
      ++running.guard_restored;
      spdlog::warn("port {}: device {}: somebody took off {} of the guard; it is back", port_name,
                   name, mended.put_back);
    }
    if (!mended.trouble.empty()) {
      spdlog::warn("port {}: device {}: {}", port_name, name, mended.trouble);
    }
  }
}

void Ports::tick(Clock::time_point now) {
  constexpr std::uint32_t kRetryTicksMax = 32;
  constexpr std::size_t kLooks = 50;    // ticks for all devices: five seconds
  constexpr std::size_t kLooksMax = 8;  // a tick: with more than 400 devices it takes longer
  constexpr std::uint32_t kOutdatedEvery = 10;
  constexpr std::chrono::milliseconds kLingerMin{500};  // several ticks: one may be late
  ++ticks_;
  if (Shortcut* shortcut = engine_.shortcut()) {
    const auto linger = may_linger_ ? config_.linger : std::chrono::seconds(0);
    shortcut->keep_open_for(std::max<std::chrono::nanoseconds>(linger, kLingerMin));
  }
  follow_absences(now);
  if (are_in_turn_) refresh();
  if (devices_.has_new()) devices_.look_at_qdiscs();
  devices_.mend_some(
      std::min(1 + devices_.size() / kLooks, kLooksMax),
      [this](const Device& device, const Guard::Mended& mended) { note_mended(device, mended); });
  if (retry_ticks_ > 0 && --retry_ticks_ == 0) {
    retry_ticks_next_ = std::min(2 * retry_ticks_next_, kRetryTicksMax);
    refresh();
    if (retry_ticks_ == 0) retry_ticks_next_ = 1;
  }
  for (auto& [name, running] : running_) {
    if (running.state == PortState::waiting) continue;
    running.arrival.look(running.way->load());
    if (ticks_ % kOutdatedEvery == 0) follow_outdated(name, running);
  }
}

// Frames of a queue that a NIC has got since have no socket to go to; and a veth does not run the
// program on it (veth_set_channels() of 6.18), so that they end at the guard. The device is taken
// anew.
void Ports::follow_outdated(const std::string& name, RunningPort& running) {
  if (running.state != PortState::up) return;
  try {
    const std::string what = running.way->outdated();
    if (what.empty()) return;
    spdlog::info("port {}: device {} {}", name, running.device->link().name, what);
    running.state = PortState::down;
    install_();
    let_device_go(running);
    refresh();
  } catch (const BackendError&) {
    // The device has gone; refresh() will hear of it.
  }
}

// A guest whose device has been gone for long may live on another host by now, behind a trusted
// port: there its addresses are accepted then.
void Ports::follow_absences(Clock::time_point now) {
  constexpr std::chrono::seconds kAwayAfter{60};
  bool changed = false;
  for (auto& [name, running] : running_) {
    if (running.state != PortState::waiting) {
      running.waiting_since.reset();
      changed |= std::exchange(running.away, false);
      continue;
    }
    if (!running.waiting_since) running.waiting_since = now;
    if (running.away || now - *running.waiting_since < kAwayAfter) continue;
    running.away = changed = true;
    const config::Port& port = config_.ports.at(name);
    spdlog::warn(
        "port {}: device {} has been gone for a minute; until it is back, trusted ports of "
        "segment {} may use what is {}'s: {}",
        name, port.device, port.segment, name, addresses_text(port));
  }
  if (changed) install_();
}

}  // namespace bulkhead::control
