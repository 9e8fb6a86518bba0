#include "control/bridge/port.hpp"

#include "backends/device/link.hpp"
#include "dataplane/flow_entry.h"

namespace bulkhead::control {
namespace {

/// As the kernel says now, if its last notice said no.
bool has_carrier(const RunningPort& port) {
  const Link& known = port.device->link();
  if (known.has_carrier) return true;
  const std::optional<Link> now = find_link(known.name);
  return now && now->ifindex == known.ifindex && now->has_carrier;
}

std::string trouble_of(const std::string& name, const RunningPort& port, bool is_up) {
  if (port.device == nullptr) return {};
  if (port.in_turn) {
    return "port " + name + ": is opened in a moment, many others are before it";
  }
  const Link& link = port.device->link();
  if (!is_up) return "port " + name + ": " + down_text(link);
  if (port.device->trouble().empty()) return {};
  return "port " + name + ": device " + link.name + ": " + port.device->trouble();
}

}  // namespace

const char* name_of(PortState state) {
  switch (state) {
    case PortState::up:
      return "up";
    case PortState::down:
      return "down";
    default:
      return "waiting";
  }
}

PortStatus status_of(const config::Config& config, const config::Port& port,
                     const RunningPort& running) {
  const bool is_up = running.state == PortState::up && has_carrier(running);
  return {.config = &port,
          .state = running.state == PortState::up && !is_up ? PortState::down : running.state,
          .why = running.why_waiting.empty() ? trouble_of(port.name, running, is_up)
                                             : running.why_waiting,
          .mtu = running.mtu,
          .index = running.index,
          .worker = running.worker,
          .queues = is_up ? running.way->queues() : std::nullopt,
          .road = road_to(config, port, running),
          .why_no_road = why_no_road(config, port, running),
          .guard_restored = running.guard_restored};
}

std::string why_no_road(const config::Config& config, const config::Port& port,
                        const RunningPort& running) {
  if (!config.shortcut) return "shortcut = false in [bulkhead]";
  if (port.shortcut == config::ShortcutUse::none) return "shortcut = false";
  if (!running.way->has_shortcut()) return "attach = \"xdp\"";
  if (running.state != PortState::up) return "the port is not up";
  return {};
}

std::uint8_t road_to(const config::Config& config, const config::Port& port,
                     const RunningPort& running) {
  if (!why_no_road(config, port, running).empty()) return BULKHEAD_ROAD_NONE;
  const bool by_peer =
      port.shortcut == config::ShortcutUse::full && running.device->link().peer_elsewhere;
  return by_peer ? BULKHEAD_ROAD_PEER : BULKHEAD_ROAD_REDIRECT;
}

std::string down_text(const Link& link) {
  if (!link.up) {
    return "device " + link.name + " is down; set it up: ip link set " + link.name + " up";
  }
  return "device " + link.name + " has no carrier: nobody has it open, or its other end is down";
}

std::string addresses_text(const config::Port& port) {
  std::string text;
  const auto add = [&](const std::string& what) { text += (text.empty() ? "" : ", ") + what; };
  for (const MacAddress mac : port.macs) add(config::to_text(mac));
  for (const auto& address : port.addresses) add(config::to_text(address));
  for (const auto& prefix : port.prefixes) add(config::to_text(prefix));
  return text.empty() ? "nothing" : text;
}

}  // namespace bulkhead::control
