// The one canonical parser: every check, look-up and counter reads its result, and nobody else
// reads a frame's bytes (docs/ISOLATION.md, law 2).
//
// It never reads past the first buffer of a frame and never fails: what it cannot read to the end
// of what a check needs is a flaw in the result, and decide() drops it by name. It knows headers by
// allow-lists: what it does not know to be harmless is a flaw too.
//
// Bounded work: at most kExtensionHeadersMax IPv6 extension headers with kOptionsMax options each,
// and kOptionsMax options of IPv4 or neighbour discovery. No recursion.
#pragma once

#include <cstdint>

#include "dataplane/frame.hpp"
#include "dataplane/ip_address.hpp"
#include "dataplane/mac_address.hpp"

namespace bulkhead {

inline constexpr std::uint32_t kEthernetHeaderBytes = 14;
inline constexpr std::uint32_t kExtensionHeadersMax = 8;
inline constexpr std::uint32_t kOptionsMax = 40;  // the option bytes that an IPv4 header can have

/// What the ethertype says the payload is, as far as a guest may send it.
enum class Payload : std::uint8_t {
  ipv4,
  arp,
  ipv6,
  rarp_announcement,  // exactly as QEMU announces a migrated guest (net/announce.c)
  tag,                // a VLAN tag of any known TPID comes first
  other,              // anything else: LLC and lengths, SNAP, other RARP, other ethertypes
};

/// What the frame says, where that matters to a check or to where it goes.
enum class Message : std::uint8_t {
  data,  // none of the following
  arp_request,
  arp_probe,         // a request with sender 0 (RFC 5227)
  arp_announcement,  // sender = target
  arp_reply,
  dhcp_client,    // UDP to port 67, and none of the following
  dhcp_relay,     // with giaddr, or from port 67
  dhcp_server,    // UDP to port 68, or a BOOTREPLY
  dhcpv6_client,  // UDP to port 547, and none of the following
  dhcpv6_relay,   // relay-forward
  dhcpv6_server,  // UDP to port 546, or a server's message to a relay
  igmp_report,
  igmp_query,
  mld_report,
  mld_query,
  router_solicitation,
  router_advertisement,  // and ICMPv4's, and router renumbering
  neighbor_solicitation,
  dad_solicitation,  // from the unspecified address
  neighbor_advertisement,
  redirect,              // ICMPv4's and ICMPv6's
  first_hop_redundancy,  // VRRP, CARP, HSRP, GLBP
  routing_protocol,      // OSPF, EIGRP, RIP, PIM, DVMRP, RPL, multicast router discovery
};

enum class Flaw : std::uint8_t {
#define FLAW(name, text) name,
#include "dataplane/flaws.def"
#undef FLAW
};

struct Parsed {
  Parsed() {
  }  // not an aggregate: GCC would clear one with rep stos, which takes longer than parse()

  MacAddress destination;
  MacAddress source;
  IpAddress sender;    // IP source, or ARP sender protocol address
  IpAddress receiver;  // IP destination, or ARP target protocol address
  IpAddress target;    // of a neighbour solicitation or advertisement; ciaddr of a dhcp_client
  MacAddress claimed;  // ARP sender hardware address, ND source or target link-layer address, DHCP
                       // client hardware address: who the frame says it speaks for
  MacAddress arp_target;     // ARP target hardware address
  std::uint32_t length = 0;  // bytes of the whole frame
  std::uint32_t ports = 0;   // of TCP and UDP, source above destination; 0 if they were not read
  std::uint16_t ethertype = 0;
  std::uint16_t upper_at = 0;  // bytes before the upper-layer header of an IP frame; 0 if that was
                               // not reached, or is not in this fragment
  std::uint8_t protocol = 0;   // of an IP frame, what follows its headers (IANA); 0 if not read
  std::uint8_t icmp_type = 0;  // of ICMP, over IPv4 and IPv6
  Payload payload = Payload::other;
  Message message = Message::data;
  Flaw flaw = Flaw::none;
  bool whole_header = false;       // else nothing above is set but length
  bool bridge_control = false;     // destination is a bridge-control address, see parse.cpp
  bool has_claimed = false;        // `claimed` was there
  bool is_fragment = false;        // of an IP datagram, the first one too
  bool dhcp_from_nowhere = false;  // dhcp_client, of the one form that may have source 0.0.0.0

  [[nodiscard]] bool is_ip() const { return payload == Payload::ipv4 || payload == Payload::ipv6; }
  /// Bytes before the IP header, or whatever follows the Ethernet header.
  [[nodiscard]] static constexpr std::uint32_t network_at() { return kEthernetHeaderBytes; }
  [[nodiscard]] std::uint16_t source_port() const {
    return static_cast<std::uint16_t>(ports >> 16);
  }
  [[nodiscard]] std::uint16_t destination_port() const { return static_cast<std::uint16_t>(ports); }
};

/// Whatever was in `parsed` before.
void parse(const Frame& frame, Parsed& parsed);
[[nodiscard]] inline Parsed parse(const Frame& frame) {
  Parsed parsed;
  parse(frame, parsed);
  return parsed;
}

}  // namespace bulkhead
