// The rules that no single value can break: between the keys of a port, and between ports.
//
// Invariant: a Config that passed has every port bound or trusted by decision, and within a segment
// every bound MAC and address has one owner. Rules that need the kernel (does the device exist,
// does it carry the host's addresses) are control's. Called by parse(), and by control after a
// command.
#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "config/text.hpp"

namespace bulkhead::config {
namespace {

/// In the order of the file, then what was given by command: so a clash is the later one's fault.
std::vector<const Port*> in_order_of_arrival(const Config& config) {
  std::vector<const Port*> ports;
  for (const auto& [name, port] : config.ports) ports.push_back(&port);
  const auto arrival = [](const Port* port) {
    const auto [line, column] = port->position;
    return std::pair(line == 0 ? std::numeric_limits<std::uint32_t>::max() : line, column);
  };
  std::stable_sort(ports.begin(), ports.end(), [&](const Port* left, const Port* right) {
    return arrival(left) < arrival(right);
  });
  return ports;
}

/// One port by itself. Returns what is wrong with it, or nothing.
std::string fault_of(const Port& port) {
  if (!is_name(port.name)) {
    return "a name is 1 to 32 letters, digits, '_', '.' or '-'";
  }
  if (port.device.empty()) {
    return "`device` is missing; name a network device, such as device = \"tap1\"";
  }
  const bool says_mac = port.any_mac || !port.macs.empty();
  const bool says_ip = port.any_ip || !port.addresses.empty();
  if (!port.trusted && (!says_mac || !says_ip)) {
    return "a guest needs `mac` and `ip` (or \"any\"); say trusted = true to give up isolation";
  }
  if (port.transit && !port.trusted) {
    return "transit = true is for trusted ports; remove it";
  }
  if (port.mac_max && !port.learns()) {
    return "mac_max is for ports that learn, and this one has a `mac` list; remove it";
  }
  return {};
}

/// What each device, MAC and address belongs to so far.
struct Owners {
  using Address = std::pair<bool, std::array<std::uint8_t, 16>>;  // without its subnet
  std::map<std::string, const Port*> devices;
  std::map<std::pair<std::string, MacAddress>, const Port*> macs;  // by segment
  std::map<std::pair<std::string, Address>, const Port*> addresses;
};

/// One port among those before it, whose ranks it joins. Returns what is wrong, or nothing.
std::string clash_of(const Port& port, Owners& owners) {
  const auto taken = [](const std::string& what, const Port* owner, const char* remedy) {
    return what + " already belongs to port " + owner->name + "; " + remedy;
  };
  const auto [device, is_new_device] = owners.devices.emplace(port.device, &port);
  if (!is_new_device) {
    return taken("device " + port.device, device->second, "a device attaches one port");
  }
  for (const MacAddress mac : port.macs) {
    const auto [entry, is_new] = owners.macs.emplace(std::pair(port.segment, mac), &port);
    if (is_new || entry->second == &port) continue;
    return taken("mac " + to_text(mac), entry->second, "a MAC has one port in a segment");
  }
  for (const InterfaceAddress& address : port.addresses) {
    const Owners::Address host(address.is_v6, address.bytes);
    const auto [entry, is_new] = owners.addresses.emplace(std::pair(port.segment, host), &port);
    if (is_new || entry->second == &port) continue;
    return taken("ip " + to_text(address), entry->second, "an address has one port in a segment");
  }
  return {};
}

void check_segments(const Config& config) {
  std::size_t count = 0;
  for (const auto& [name, segment] : config.segments) {
    std::string fault;
    if (!is_name(name)) fault = "a name is 1 to 32 letters, digits, '_', '.' or '-'";
    if (++count > kSegmentsMax) {
      fault = "one segment too many; at most " + std::to_string(kSegmentsMax) + " are allowed";
    }
    if (fault.empty()) continue;
    throw ConfigError(place(config.file, segment.position) + thing("segment", name) + ": " + fault);
  }
}

}  // namespace

bool Port::same_as(const Port& other) const {
  Port moved = other;
  moved.position = position;
  return *this == moved;
}

void add_missing_segments(Config& config) {
  const auto add = [&](const std::string& name, Position position) {
    Segment segment;
    segment.name = name;
    segment.position = position;
    config.segments.emplace(name, std::move(segment));
  };
  add("default", {});
  for (const auto& [name, port] : config.ports) add(port.segment, port.position);
}

void check(const Config& config) {
  check_segments(config);
  Owners owners;
  std::size_t count = 0;
  for (const Port* port : in_order_of_arrival(config)) {
    std::string fault = fault_of(*port);
    if (fault.empty()) fault = clash_of(*port, owners);
    if (++count > kPortsMax) {
      fault = "one port too many; at most " + std::to_string(kPortsMax) + " are allowed";
    }
    if (fault.empty()) continue;
    throw ConfigError(place(config.file, port->position) + thing("port", port->name) + ": " +
                      fault);
  }
}

}  // namespace bulkhead::config
