// The whole compiled policy, immutable: what the worker decides by. control/bridge/compile.cpp
// makes it, the mailbox carries it to the worker, which swaps it in between two rounds and sends
// the old one back.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/address_table.hpp"
#include "dataplane/ip_address.hpp"
#include "dataplane/limiter.hpp"
#include "dataplane/limits.hpp"
#include "dataplane/mac_table.hpp"

namespace bulkhead {

/// The ports that a port may deliver to, itself not taken out, whichever worker has them. Ports of
/// one segment with the same options share one.
struct ReachSet {
  std::array<std::uint64_t, kPortsMax / 64> bits{};  // by port index
  std::vector<PortIndex> flood;                      // those that are up: where group frames go
  std::vector<PortIndex> unknown;                    // of these, those that take unknown unicast
  std::vector<PortIndex> trusted;                    // of these, the trusted ones
  std::vector<PortIndex> ownerless;     // of these, who may have an address that nobody owns:
                                        // trusted ones, with ip = "any", in shadow
  std::vector<PortIndex> link_local;    // and those with link_local = "any"
  std::vector<PortIndex> testers;       // trusted ones, and those with link_local = "any"
  std::vector<PortIndex> dhcp_servers;  // trusted ones, and those with the role
  std::vector<PortIndex> routers;
  std::vector<PortIndex> queriers;

  [[nodiscard]] bool contains(PortIndex port) const {
    return port / 64u < bits.size() && ((bits[port / 64u] >> (port % 64u)) & 1) != 0;
  }

  /// The lists, numbered: how one worker tells another which one a frame goes to.
  static constexpr std::size_t kListCount = 9;
  static constexpr std::uint8_t kNoList = 0xff;
  [[nodiscard]] const std::vector<PortIndex>& list(std::size_t number) const;
  /// The number of the list that `ports`, not empty, is; kNoList if it is none.
  [[nodiscard]] std::uint8_t number_of(std::span<const PortIndex> ports) const;
};

/// What `allow` lets a guest be, as bits.
enum RoleBit : std::uint8_t {
  kDhcpServer = 1,
  kRouter = 2,
  kQuerier = 4,
  kVrrp = 8,
  kRouting = 16,
};

struct RoutePrefix {
  IpAddress prefix;
  std::uint8_t bits = 0;
  bool is_v6 = false;
};

/// What every frame asks about is in the first of two cache lines.
struct alignas(64) PortPolicy {
  bool present = false;  // the others say nothing if not
  bool up = false;       // device there and up
  bool trusted = false;
  bool learns = false;   // without a MAC list, or in shadow: as with mac = "any"
  bool any_mac = false;  // has no MAC list: mac = "any", or trusted without one
  bool unknown = false;  // takes unknown unicast
  bool any_ip = false;   // ip = "any": MACs only, and what nobody else owns
  bool has_v4 = false;   // may speak the family at all
  bool has_v6 = false;
  bool enforce = true;          // false: in shadow, as with mac = "any" and ip = "any"
  bool any_link_local = false;  // link_local = "any": claims what nobody has
  bool shares_macs = false;     // some of its MACs are other ports' by turns
  std::uint8_t roles = 0;       // RoleBit
  std::uint8_t worker = 0;      // whose port it is; of a spread one, this snapshot's
  SegmentIndex segment = 0;
  std::uint16_t reach = 0;            // index into Snapshot::reach
  std::uint16_t mac_count = 0;        // bound MACs, from Snapshot::macs[mac_first]
  std::uint32_t frame_bytes_max = 0;  // MTU and Ethernet header
  // One of its own MACs and of its IPv4 and IPv6 addresses each, so that most frames need no
  // look-up; kNoMac and zero: none.
  MacAddress first_mac = kNoMac;
  std::array<IpAddress, 2> first_address;
  std::uint32_t mac_first = 0;
  std::uint32_t mac_max = 0;       // learned addresses at most
  std::uint32_t route_first = 0;   // from Snapshot::routes
  std::uint32_t subnet_first = 0;  // broadcast addresses of its subnets, Snapshot::subnets
  std::uint16_t route_count = 0;
  std::uint16_t subnet_count = 0;
  std::uint8_t backend = 0;  // which of the worker's backends moves its frames
  std::uint32_t device = 0;  // which one it is at the moment; 0: none
  bool away = false;         // its device has been gone for long: trusted ports may have its
                             // addresses, guests may not
  bool spread = false;       // every worker receives and sends by it
  std::uint8_t road = 0;  // by which the kernel repeats verdicts about frames to it, BULKHEAD_ROAD_
  std::uint32_t flow_first = 0;  // those about frames from it are in the flow table from here on,
  std::uint32_t flow_sets = 0;   // in so many sets, a power of two; 0: none are repeated
  Rates rates{kNoLimit, kNoLimit, kNoLimit, kNoLimit};
};
static_assert(offsetof(PortPolicy, mac_first) == 64);

struct SegmentPolicy {
  std::uint32_t ageing_ms = 0;
  std::uint32_t mac_limit = 0;  // this worker's part of it
};

struct Snapshot {
  Snapshot(std::size_t bound_macs, std::size_t bound_addresses, HashKey key)
      : ports(kPortsMax), bound(kBoundRoom * bound_macs, key), addresses(bound_addresses, key) {}

  // Every frame asks `bound` for an address that is not there: a nearly empty table says so with
  // the first comparison.
  static constexpr std::size_t kBoundRoom = 2;

  std::uint8_t worker = 0;       // whose snapshot it is
  std::uint32_t generation = 1;  // of the policy; other workers' snapshots of it have the same
  // By port index, kPortsMax of them: frames of a port come until its device is let go, which is
  // after the policy has forgotten it. By a port that is not present nothing comes in.
  std::vector<PortPolicy> ports;
  std::vector<SegmentPolicy> segments;
  std::vector<ReachSet> reach;
  std::vector<MacAddress> macs;  // the ports' lists, one after the other
  MacTable bound;                // bound, static and shared addresses: they do not age
  AddressTable addresses;        // IP addresses and prefixes that are somebody's own
  std::vector<RoutePrefix> routes;
  std::vector<IpAddress> subnets;

  [[nodiscard]] std::span<const MacAddress> macs_of(const PortPolicy& port) const {
    return {macs.data() + port.mac_first, port.mac_count};
  }
  [[nodiscard]] std::span<const RoutePrefix> routes_of(const PortPolicy& port) const {
    return {routes.data() + port.route_first, port.route_count};
  }
  [[nodiscard]] std::span<const IpAddress> subnets_of(const PortPolicy& port) const {
    return {subnets.data() + port.subnet_first, port.subnet_count};
  }
  [[nodiscard]] bool is_local(PortIndex port) const { return ports[port].worker == worker; }
  [[nodiscard]] bool has(PortIndex port) const { return port < kPortsMax && ports[port].present; }
};

}  // namespace bulkhead
