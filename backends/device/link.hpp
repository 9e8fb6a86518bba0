// The kernel's devices, as rtnetlink tells of them: look-ups, what forbids a device as a port,
// features. Control thread only; every call may throw BackendError.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/mac_address.hpp"

namespace bulkhead {

struct Link {
  int ifindex = 0;
  std::string name;
  std::string kind;  // "veth", "tun", ...; empty for hardware
  std::uint32_t mtu = 0;
  bool is_ethernet = false;  // ARPHRD_ETHER and no loopback
  bool up = false;           // IFF_UP
  bool has_carrier = false;  // a tap that nobody has open has none, nor a veth whose peer is down
  int master = 0;            // of the bridge or bond that it is a port of; 0 if none
  bool peer_elsewhere = false;  // a veth whose other end is in another network namespace
  int lower = 0;                // of the device that this one is on (VLAN, macvlan); 0 if none
};

/// Nothing if there is no such device in this network namespace.
std::optional<Link> find_link(const std::string& name);

/// All devices of this network namespace, by name.
std::map<std::string, Link> list_links();

/// What the host itself uses devices for, by interface index: an address of its own (IPv6
/// link-local ones aside), or the default route, as text: "address 192.0.2.1/24", "default route".
/// What is on a device (a VLAN, a macvlan) uses it, too: "address 192.0.2.1/24 on eth1.5".
std::map<int, std::string> host_uses(const std::map<std::string, Link>& links);

/// Makes a veth pair, both ends down.
void make_veth(const std::string& name, const std::string& peer, std::uint32_t mtu);
void delete_link(int ifindex);
void set_up(const std::string& name);

/// Queues that the device uses at the moment (`ethtool -l`). Throws BackendError also for one that
/// has several and does not say how many it uses.
struct QueueCounts {
  std::uint32_t rx = 0;
  std::uint32_t tx = 0;
  bool operator==(const QueueCounts&) const = default;
};
QueueCounts queues_of(const std::string& name);

/// Those of the ethtool features, by the names of the kernel's strings, that are on by decision of
/// the administrator or by default; unknown ones are ignored.
std::vector<std::string> features_on(const std::string& name,
                                     const std::vector<std::string>& features);
/// Those of them that are in force.
std::vector<std::string> active_features(const std::string& name,
                                         const std::vector<std::string>& features);
/// Asks for them to be on, or off, without a look at what becomes of it.
void request_features(const std::string& name, const std::vector<std::string>& features, bool on);
/// Switches features off; one that stays on is an error.
void switch_features_off(const std::string& name, const std::vector<std::string>& features);

/// Makes the device hear frames for other addresses than its own, until the returned fd is closed.
int make_promiscuous(int ifindex);

/// A name that one process at a time holds, within this network namespace (an abstract socket:
/// the kernel lets go of it when the process ends, however it ends). -1 if somebody has it.
int lock_name(const std::string& name);

}  // namespace bulkhead
