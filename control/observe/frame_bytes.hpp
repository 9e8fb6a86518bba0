// The bytes of frames, from their addresses: whole, at least 60 bytes, checksums right. Pure. For
// `explain`, by example_frame.hpp.
#pragma once

#include <cstdint>
#include <vector>

#include "config/config.hpp"

namespace bulkhead::control {

using Bytes = std::vector<std::uint8_t>;

/// `sender` and `receiver` are of one family.
struct FrameAddresses {
  MacAddress source, destination;
  config::InterfaceAddress sender, receiver;
};

Bytes tcp_frame(const FrameAddresses& addresses, std::uint16_t port);  // a SYN
Bytes udp_frame(const FrameAddresses& addresses, std::uint16_t port);  // empty
Bytes ping_frame(const FrameAddresses& addresses);
/// The question who has `receiver` (RFC 826); `destination` does not matter.
Bytes arp_frame(const FrameAddresses& addresses);
/// The same for IPv6, to the solicited-node group (RFC 4861, RFC 4291).
Bytes nd_frame(FrameAddresses addresses);
/// DHCPDISCOVER (RFC 2131).
Bytes dhcp_frame(MacAddress source);

}  // namespace bulkhead::control
