// The rules that no single value can break: between the keys of a port, and between ports.
//
// Invariant: a Config that passed has every port bound or trusted by decision, and within a segment
// every bound MAC, address and prefix has one owner, or owners that all say that they share it.
// Rules that need the kernel (does the device exist, does it carry the host's addresses) are
// control's. Called by parse(), and by control after a command.
#include <algorithm>
#include <limits>
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

/// What is wrong with how a port's addresses are bound, or nothing.
std::string binding_fault_of(const Port& port) {
  const bool says_mac = port.any_mac || !port.macs.empty();
  const bool says_ip = port.any_ip || port.no_ip || !port.addresses.empty();
  const bool has_other =
      !port.prefixes.empty() || !port.routes.empty() || !port.shared_addresses.empty();
  if (port.no_ip && !has_other) {
    return "ip = [] leaves the port without an address; give it `ip`, `prefixes`, `routes` or "
           "`shared` addresses, or say ip = \"any\"";
  }
  if (!port.trusted && says_mac && !says_ip && has_other) {
    return "a guest needs `ip`; say ip = [] if all its addresses are in `prefixes`, `routes` and "
           "`shared`";
  }
  if (!port.trusted && (!says_mac || !says_ip)) {
    return "a guest needs `mac` and `ip` (or \"any\"); say trusted = true to give up isolation";
  }
  if (port.trusted && !port.routes.empty()) {
    return "routes is for guests, a trusted port may send from every address; remove it";
  }
  if (port.trusted && port.link_local == LinkLocal::any) {
    return "link_local = \"any\" is for guests, a trusted port may use every one; remove it";
  }
  if (port.any_ip && !port.routes.empty()) {
    return "routes adds nothing to ip = \"any\"; remove one of them";
  }
  for (const Prefix& prefix : port.routes) {
    const auto& own = port.prefixes;
    if (std::find(own.begin(), own.end(), prefix) == own.end()) continue;
    return to_text(prefix) +
           " is in `prefixes` and `routes`; the port's own needs no route, remove that";
  }
  return {};
}

/// One port by itself. Returns what is wrong with it, or nothing.
std::string fault_of(const Port& port) {
  if (!is_name(port.name)) {
    return "a name is 1 to 32 letters, digits, '_', '.' or '-'";
  }
  if (port.device.empty()) {
    return "`device` is missing; name a network device, such as device = \"tap1\"";
  }
  if (port.transit && !port.trusted) {
    return "transit = true is for trusted ports; remove it";
  }
  if (port.mac_max && !port.learns() && port.enforce) {
    return "mac_max is for ports that learn, and this one has a `mac` list; remove it";
  }
  return binding_fault_of(port);
}

/// What a port says that others of its segment may not say as well.
struct Claim {
  std::string key;   // that says it
  std::string text;  // as it was said
  std::string item;  // the same whatever the way to write it; an address is a prefix of full length
  std::string rule;
  bool shares = false;
};

/// What is the port's own comes before what it shares.
std::vector<Claim> claims_of(const Port& port) {
  const std::string one_port = " has one port in a segment, unless both list it in `shared`";
  std::vector<Claim> claims;
  const auto claim_mac = [&](const char* key, MacAddress mac, bool shares) {
    claims.push_back({key, to_text(mac), to_text(mac), "a MAC" + one_port, shares});
  };
  const auto claim_address = [&](const char* key, const InterfaceAddress& address, bool shares) {
    const std::string item = to_text(host_of(address));
    claims.push_back({key, to_text(address), item, "an address" + one_port, shares});
  };
  for (const MacAddress mac : port.macs) claim_mac("mac", mac, false);
  for (const auto& address : port.addresses) claim_address("ip", address, false);
  for (const auto& address : port.link_locals) claim_address("link_local", address, false);
  for (const Prefix& prefix : port.prefixes) {
    const std::string text = to_text(prefix);
    claims.push_back({"prefixes", text, text, "a prefix has one port in a segment", false});
  }
  for (const MacAddress mac : port.macs) {
    if (port.link_local != LinkLocal::mac) break;
    const InterfaceAddress address = link_local_of(mac);
    claims.push_back({"link-local address", to_text(address), to_text(host_of(address)),
                      "list what this port uses instead in `link_local`", false});
  }
  for (const MacAddress mac : port.shared_macs) claim_mac("shared", mac, true);
  for (const auto& address : port.shared_addresses) claim_address("shared", address, true);
  return claims;
}

/// What each device and claim belongs to so far.
struct Owners {
  struct Owner {
    const Port* port;
    bool shares;
  };
  std::map<std::string, const Port*> devices;
  std::map<std::pair<std::string, std::string>, Owner> claims;  // by segment and item
};

/// One port among those before it, whose ranks it joins. Returns what is wrong, or nothing.
std::string clash_of(const Port& port, Owners& owners) {
  const auto taken = [](const std::string& what, const Port* owner, const std::string& remedy) {
    return what + " already belongs to port " + owner->name + "; " + remedy;
  };
  const auto [device, is_new_device] = owners.devices.emplace(port.device, &port);
  if (!is_new_device) {
    return taken("device " + port.device, device->second, "a device attaches one port");
  }
  for (const Claim& claim : claims_of(port)) {
    const auto [entry, is_new] = owners.claims.emplace(std::pair(port.segment, claim.item),
                                                       Owners::Owner{&port, claim.shares});
    const Owners::Owner& owner = entry->second;
    if (is_new || (owner.shares && claim.shares)) continue;
    const std::string what = claim.key + ' ' + claim.text;
    if (owner.port != &port) return taken(what, owner.port, claim.rule);
    if (claim.shares) return what + " is bound as the port's own too; remove it from one of them";
  }
  return {};
}

/// The rules of static addresses, one after the other: the first of two that clash is right.
class StaticRules {
 public:
  explicit StaticRules(const Config& config) : config_(config) {
    for (const auto& [name, port] : config.ports) {
      for (const MacAddress mac : port.macs) {
        owners_.emplace(std::pair(port.segment, mac), "is bound to port " + name);
      }
      for (const MacAddress mac : port.shared_macs) {
        owners_.emplace(std::pair(port.segment, mac), "is shared by port " + name);
      }
    }
  }

  /// Returns what is wrong, or nothing.
  std::string fault_of(const Static& entry) {
    const std::string what = "address " + to_text(entry.mac) + ": ";
    const auto port = config_.ports.find(entry.port);
    if (port == config_.ports.end()) {
      return what + "there is no " + thing("port", entry.port) + "; name one that learns";
    }
    if (!port->second.learns()) {
      return what + thing("port", entry.port) +
             " has a MAC list; add it there (port set --mac), or name a port that learns";
    }
    const std::string on = "is static on port " + entry.port;
    const auto [owner, is_new] = owners_.emplace(std::pair(port->second.segment, entry.mac), on);
    if (!is_new) return what + owner->second + " of the same segment; remove one of them";
    if (++count_ <= kStaticsMax) return {};
    return what + "one too many; at most " + std::to_string(kStaticsMax) + " are allowed";
  }

 private:
  const Config& config_;
  std::map<std::pair<std::string, MacAddress>, std::string> owners_;
  std::size_t count_ = 0;
};

/// What is wrong with the port's worker. `claimants`: by segment, a port before that claims
/// link-local addresses and says a worker; who claims first is one worker's to say.
std::string worker_fault_of(const Config& config, const Port& port,
                            std::map<std::string, const Port*>& claimants) {
  if (!port.worker) return {};
  const std::string said = "worker = " + std::to_string(*port.worker);
  if (*port.worker >= config.workers) {
    return said + ", and there " +
           (config.workers == 1 ? "is only worker 0; raise `workers` or remove it"
                                : "are workers 0 to " + std::to_string(config.workers - 1) +
                                      "; choose one of them or raise `workers`");
  }
  if (port.link_local != LinkLocal::any) return {};
  const Port* other = claimants.try_emplace(port.segment, &port).first->second;
  if (other->worker == port.worker) return {};
  return said + ", and port " + other->name + " has " + std::to_string(*other->worker) +
         ": ports of one segment with link_local = \"any\" share a worker; say the same for both";
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

bool Port::speaks(bool is_v6) const {
  const auto is_of = [is_v6](const auto& of) { return of.is_v6 == is_v6; };
  return any_ip || std::ranges::any_of(addresses, is_of) || std::ranges::any_of(prefixes, is_of) ||
         std::ranges::any_of(routes, is_of) || std::ranges::any_of(shared_addresses, is_of) ||
         (is_v6 && link_local != LinkLocal::mac);
}

Limit Port::limits() const {
  const Limit unsaid = trusted ? Limit{} : kGuestLimit;
  return {.broadcast = limit.broadcast.value_or(unsaid.broadcast),
          .multicast = limit.multicast.value_or(unsaid.multicast),
          .arp_nd = limit.arp_nd.value_or(unsaid.arp_nd),
          .dhcp = limit.dhcp.value_or(unsaid.dhcp)};
}

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
  std::map<std::string, const Port*> claimants;
  std::size_t count = 0;
  for (const Port* port : in_order_of_arrival(config)) {
    std::string fault = fault_of(*port);
    if (fault.empty()) fault = clash_of(*port, owners);
    if (fault.empty()) fault = worker_fault_of(config, *port, claimants);
    if (++count > kPortsMax) {
      fault = "one port too many; at most " + std::to_string(kPortsMax) + " are allowed";
    }
    if (fault.empty()) continue;
    throw ConfigError(place(config.file, port->position) + thing("port", port->name) + ": " +
                      fault);
  }
  StaticRules rules(config);
  for (const Static& entry : config.statics) {
    const std::string fault = rules.fault_of(entry);
    if (!fault.empty()) throw ConfigError(place(config.file, entry.position) + fault);
  }
}

std::vector<std::string> remove_overruled_statics(Config& config) {
  std::vector<std::string> faults;
  StaticRules rules(config);
  std::erase_if(config.statics, [&](const Static& entry) {
    std::string fault = rules.fault_of(entry);
    if (fault.empty()) return false;
    faults.push_back(std::move(fault));
    return true;
  });
  return faults;
}

}  // namespace bulkhead::config
