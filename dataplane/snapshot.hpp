// The whole compiled policy, immutable: what the worker decides by. control/compile.cpp makes it,
// the mailbox carries it to the worker, which swaps it in between two rounds and sends the old one
// back.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/limits.hpp"
#include "dataplane/mac_table.hpp"

namespace bulkhead {

/// The ports that a port may deliver to, itself not taken out. Ports of one segment with the same
/// options share one.
struct ReachSet {
  std::vector<std::uint64_t> bits;  // by port index
  std::vector<PortIndex> flood;     // those that are up: where group frames go
  std::vector<PortIndex> unknown;   // of these, those that take unknown unicast

  [[nodiscard]] bool contains(PortIndex port) const {
    return port / 64u < bits.size() && ((bits[port / 64u] >> (port % 64u)) & 1) != 0;
  }
};

struct PortPolicy {
  bool present = false;  // the others say nothing if not
  bool up = false;       // device there and up
  bool trusted = false;
  bool learns = false;       // has no MAC list: mac = "any", or trusted without one
  bool unknown = false;      // takes unknown unicast
  std::uint8_t backend = 0;  // which of the worker's backends moves its frames
  SegmentIndex segment = 0;
  std::uint16_t reach = 0;      // index into Snapshot::reach
  std::uint16_t mac_count = 0;  // bound MACs, from Snapshot::macs[mac_first]
  std::uint32_t mac_first = 0;
  std::uint32_t mac_max = 0;          // learned addresses at most
  std::uint32_t frame_bytes_max = 0;  // MTU and Ethernet header
};

struct SegmentPolicy {
  std::uint32_t ageing_ms = 0;
  std::uint32_t mac_limit = 0;
};

struct Snapshot {
  explicit Snapshot(std::size_t bound_macs, HashKey key) : bound(bound_macs, key) {}

  std::vector<PortPolicy> ports;  // by port index
  std::vector<SegmentPolicy> segments;
  std::vector<ReachSet> reach;
  std::vector<MacAddress> macs;  // the ports' lists, one after the other
  MacTable bound;                // bound and static addresses: they do not age and do not move

  [[nodiscard]] std::span<const MacAddress> macs_of(const PortPolicy& port) const {
    return {macs.data() + port.mac_first, port.mac_count};
  }
  [[nodiscard]] bool has(PortIndex port) const {
    return port < ports.size() && ports[port].present;
  }
};

}  // namespace bulkhead
