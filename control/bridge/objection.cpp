#include "control/bridge/objection.hpp"

#include <filesystem>
#include <system_error>

#include "backends/conduit/conduit.hpp"
#include "backends/device/device.hpp"
#include "backends/device/guard.hpp"

namespace bulkhead::control {

std::string owner_of(const config::Config& config) {
  std::error_code error;
  return std::filesystem::absolute(config::state_path(config), error);
}

std::optional<std::string> objection(const config::Port& port, const Link& link, const Pins& pins,
                                     const Look& look) {
  const std::string device = "device " + link.name;
  if (!link.is_ethernet) return device + " is no Ethernet device; choose another";
  if (link.name.starts_with("bhc") && link.kind == "veth" && link.mtu == ConduitDevice::kMtu) {
    return device + " is a conduit of bulkhead itself; choose another";
  }
  if (link.kind == "bridge" || link.kind == "openvswitch") {
    return device + " is a bridge itself; use its ports, or one end of a veth pair in it";
  }
  if (link.master != 0) {
    return device + " belongs to a bridge or bond; take it out: ip link set " + link.name +
           " nomaster";
  }
  if (port.by_xdp() && !link.kind.empty() && !has_far_end(link)) {
    return device + " is a " + link.kind + ", no NIC; leave `attach` out, which makes it " +
           "\"conduit\"";
  }
  if (link.mtu > ConduitDevice::kPortMtuMax) {
    return device + " has an MTU of " + std::to_string(link.mtu) +
           ", more than the 3494 that are supported; lower it: ip link set " + link.name +
           " mtu 1500";
  }
  if (const auto program = Guard::foreign_program(pins, link.ifindex)) {
    return device + " has " + *program + " of somebody else; take it off first (bpftool net)";
  }
  if (port.take_over) return std::nullopt;
  const auto& uses = look.uses();
  if (const auto use = uses.find(link.ifindex); use != uses.end()) {
    return device + " carries the host's " + use->second +
           ", which it would lose; say take_over = true (--take-over) if that is meant";
  }
  return std::nullopt;
}

std::vector<std::string> device_objections(const config::Config& config) {
  const Look look;
  const Pins pins = Pins::to_look_at(owner_of(config));
  std::vector<std::string> found;
  for (const auto& [name, port] : config.ports) {
    const Link* link = look.find(port.device);
    if (link == nullptr) {
      found.push_back("port " + name + ": there is no device " + port.device + " yet");
      continue;
    }
    if (pins.read(link->ifindex, "name")) continue;  // it is ours already
    const auto reason = objection(port, *link, pins, look);
    if (reason) found.push_back("port " + name + ": " + *reason);
  }
  return found;
}

}  // namespace bulkhead::control
