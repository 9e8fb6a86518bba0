// The one canonical parser: every check, look-up and counter reads its result, and nobody else
// reads a frame's bytes (ISOLATION.md, law 2).
//
// It never reads past the first buffer of a frame and never fails: what cannot be read is said in
// the result, and decide() drops it by name.
#pragma once

#include <cstdint>

#include "dataplane/frame.hpp"
#include "dataplane/mac_address.hpp"

namespace bulkhead {

inline constexpr std::uint32_t kEthernetHeaderBytes = 14;

/// What the ethertype says the payload is, as far as a guest may send it.
enum class Payload : std::uint8_t {
  ipv4,
  arp,
  ipv6,
  rarp_announcement,  // exactly as QEMU announces a migrated guest (net/announce.c)
  tag,                // a VLAN tag of any known TPID comes first
  other,              // anything else: LLC and lengths, SNAP, other RARP, other ethertypes
};

struct Parsed {
  MacAddress destination;
  MacAddress source;
  std::uint32_t length = 0;  // bytes of the whole frame
  std::uint16_t ethertype = 0;
  Payload payload = Payload::other;
  bool whole_header = false;    // else nothing above is set but length
  bool bridge_control = false;  // destination is a bridge-control address, see parse.cpp
};

/// Bounded work: reads at most 42 bytes (an Ethernet header and a RARP body).
[[nodiscard]] Parsed parse(const Frame& frame);

}  // namespace bulkhead
