#include "dataplane/parse.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace bulkhead {
namespace {

constexpr std::uint16_t kEthertypeIpv4 = 0x0800;
constexpr std::uint16_t kEthertypeArp = 0x0806;
constexpr std::uint16_t kEthertypeRarp = 0x8035;
constexpr std::uint16_t kEthertypeIpv6 = 0x86dd;

// IANA "Assigned Internet Protocol Numbers".
enum Protocol : std::uint8_t {
  kHopByHop = 0,
  kIcmp = 1,
  kIgmp = 2,
  kTcp = 6,
  kIgrp = 9,
  kUdp = 17,
  kRoutingHeader = 43,
  kFragment = 44,
  kAuthentication = 51,
  kIcmpv6 = 58,
  kDestinationOptions = 60,
  kEigrp = 88,
  kOspf = 89,
  kPim = 103,
  kVrrp = 112,  // and CARP
};

/// The one range-checked way to touch bytes: what lies outside reads as zero, and holds() says so.
class Reader {
 public:
  explicit Reader(const Buffer& buffer) : data_(buffer.data), length_(buffer.length) {}

  /// Whether the first `bytes` are in the buffer.
  [[nodiscard]] bool holds(std::uint32_t bytes) const { return bytes <= length_; }
  [[nodiscard]] std::uint8_t u8(std::uint32_t offset) const {
    return static_cast<std::uint8_t>(big_endian<1>(offset));
  }
  [[nodiscard]] std::uint16_t u16(std::uint32_t offset) const {
    return static_cast<std::uint16_t>(big_endian<2>(offset));
  }
  [[nodiscard]] std::uint32_t u32(std::uint32_t offset) const {
    return static_cast<std::uint32_t>(big_endian<4>(offset));
  }
  [[nodiscard]] std::uint64_t u64(std::uint32_t offset) const { return big_endian<8>(offset); }
  [[nodiscard]] MacAddress mac(std::uint32_t offset) const { return {big_endian<6>(offset)}; }
  [[nodiscard]] IpAddress v4(std::uint32_t offset) const { return IpAddress::v4(u32(offset)); }
  [[nodiscard]] IpAddress v6(std::uint32_t offset) const { return {u64(offset), u64(offset + 8)}; }

 private:
  template <std::uint32_t kBytes>
  [[nodiscard]] std::uint64_t big_endian(std::uint32_t offset) const {
    if (offset > length_ || length_ - offset < kBytes) return 0;
    // Loads of whole words: a word put together in memory would have to wait for its parts.
    if constexpr (kBytes == 1) return data_[offset];
    if constexpr (kBytes == 2) return __builtin_bswap16(load<std::uint16_t>(offset));
    if constexpr (kBytes == 4) return __builtin_bswap32(load<std::uint32_t>(offset));
    if constexpr (kBytes == 6) {
      return std::uint64_t{__builtin_bswap32(load<std::uint32_t>(offset))} << 16 |
             __builtin_bswap16(load<std::uint16_t>(offset + 4));
    }
    if constexpr (kBytes == 8) return __builtin_bswap64(load<std::uint64_t>(offset));
  }
  template <class Word>
  [[nodiscard]] Word load(std::uint32_t offset) const {
    Word word;
    std::memcpy(&word, data_ + offset, sizeof word);
    return word;
  }

  const std::uint8_t* data_;
  std::uint32_t length_;
};

struct AddressRange {
  std::uint64_t first;
  std::uint64_t last;
};

/// Bridges and switches talk to each other here; no guest does, and what a trusted port says here
/// is meant for the device at the other end of its wire.
constexpr std::array kBridgeControl{
    AddressRange{0x0180'c200'0000, 0x0180'c200'002f},  // IEEE 802.1Q-2022 tables 8-1 to 8-3, GMRP
    AddressRange{0x0100'0c00'0000, 0x0100'0cff'ffff},  // Cisco: CDP, VTP, DTP, UDLD, PVST+, ISL
    AddressRange{0x0100'8100'0100, 0x0100'8100'0101},  // Nortel discovery (SONMP)
    AddressRange{0x0119'a700'0000, 0x0119'a700'00ff},  // ITU-T G.8032 ring protection (R-APS)
    AddressRange{0x01e0'2b00'0000, 0x01e0'2b00'0004},  // Extreme discovery and ring protection
    AddressRange{0x01e0'52cc'cccc, 0x01e0'52cc'cccc},  // Foundry discovery
};

bool is_bridge_control(MacAddress destination) {
  for (const AddressRange& range : kBridgeControl) {
    if (destination.value >= range.first && destination.value <= range.last) return true;
  }
  return false;
}

/// QEMU net/announce.c, qemu_announce_self_create(): a broadcast RARP request for itself.
bool is_rarp_announcement(Reader reader, MacAddress destination, MacAddress source) {
  constexpr std::uint32_t kBodyEnd = kEthernetHeaderBytes + 28;
  return destination.is_broadcast() && reader.holds(kBodyEnd) &&  //
         reader.u16(14) == 1 && reader.u16(16) == kEthertypeIpv4 && reader.u16(18) == 0x0604 &&
         reader.u16(20) == 3 &&                              // sizes, reverse request
         reader.mac(22) == source && reader.u32(28) == 0 &&  // SHA, SPA
         reader.mac(32) == source && reader.u32(38) == 0;    // THA, TPA
}

// RFC 826 and RFC 5227.
[[gnu::noinline]] void parse_arp(Reader reader, Parsed& parsed) {
  constexpr std::uint32_t kAt = kEthernetHeaderBytes;
  const std::uint16_t operation = reader.u16(kAt + 6);
  parsed.claimed = reader.mac(kAt + 8);
  parsed.has_claimed = true;
  parsed.sender = reader.v4(kAt + 14);
  parsed.arp_target = reader.mac(kAt + 18);
  parsed.receiver = reader.v4(kAt + 24);
  if (!reader.holds(kAt + 28) || reader.u16(kAt) != 1 || reader.u16(kAt + 2) != kEthertypeIpv4 ||
      reader.u16(kAt + 4) != 0x0604 || (operation != 1 && operation != 2)) {
    parsed.flaw = Flaw::arp_form;
    return;
  }
  if (parsed.sender == parsed.receiver) {
    parsed.message = Message::arp_announcement;
  } else if (operation == 2) {
    parsed.message = Message::arp_reply;
  } else {
    parsed.message = parsed.sender.is_zero() ? Message::arp_probe : Message::arp_request;
  }
}

// RFC 951, RFC 2131 section 2: op, htype, hlen, ..., chaddr at 28.
void parse_dhcp_client(Reader reader, std::uint32_t at, std::uint32_t end, Parsed& parsed) {
  const bool has_client =
      at + 34 <= end && reader.holds(at + 34) && reader.u8(at + 1) == 1 && reader.u8(at + 2) == 6;
  if (has_client) {
    parsed.claimed = reader.mac(at + 28);
    parsed.has_claimed = true;
  }
}

/// A datagram to one end of DHCPv4 or the other. `whole`: not the first of its fragments.
[[gnu::noinline]] void parse_dhcp(Reader reader, std::uint32_t at, std::uint32_t end, bool whole,
                                  Parsed& parsed) {
  const std::uint8_t operation = end - at > 8 ? reader.u8(at + 8) : 0;
  const bool to_server = reader.u16(at + 2) == 67;
  // Servers answer relays at the clients' end of it: BOOTREPLY is a server's wherever it goes.
  parsed.message = to_server && operation != 2 ? Message::dhcp_client : Message::dhcp_server;
  parsed.dhcp_from_nowhere = to_server && operation == 1 && whole && reader.u16(at) == 68 &&
                             parsed.destination.is_broadcast() &&
                             parsed.receiver.is_v4_limited_broadcast();
  parse_dhcp_client(reader, at + 8, end, parsed);
}

/// UDP ports that say something; at `at` is the UDP header, which is there.
inline void parse_udp(Reader reader, std::uint32_t at, std::uint32_t end, bool is_v4, bool whole,
                      Parsed& parsed) {
  parsed.ports = reader.u32(at);
  switch (parsed.destination_port()) {
    case 67:
    case 68:
      if (is_v4) parse_dhcp(reader, at, end, whole, parsed);
      break;
    case 546:
      if (!is_v4) parsed.message = Message::dhcpv6_server;
      break;
    case 547:
      if (!is_v4) parsed.message = Message::dhcpv6_client;
      break;
    case 520:  // RIP, RFC 2453
    case 521:  // RIPng, RFC 2080
      parsed.message = Message::routing_protocol;
      break;
    case 1985:  // HSRP, RFC 2281
    case 2029:  // HSRP over IPv6
    case 3222:  // GLBP
      parsed.message = Message::first_hop_redundancy;
      break;
    default:
      break;
  }
}

Message igmp_message(std::uint8_t type) {
  switch (type) {
    case 0x11:
      return Message::igmp_query;
    case 0x12:  // reports of version 1, 2 and 3, and leave (RFC 3376 section 4)
    case 0x16:
    case 0x17:
    case 0x22:
      return Message::igmp_report;
    default:  // DVMRP, PIMv1, mtrace, multicast router discovery, and what is not known
      return Message::routing_protocol;
  }
}

/// Protocols that mean the same over IPv4 and IPv6.
Message message_of(std::uint8_t protocol) {
  switch (protocol) {
    case kVrrp:
      return Message::first_hop_redundancy;
    case kOspf:
    case kEigrp:
    case kIgrp:
    case kPim:
      return Message::routing_protocol;
    default:
      return Message::data;
  }
}

/// Option types of IPv4 that are known to be harmless: end, no operation, security, record route,
/// quick start, timestamp, CIPSO, stream, router alert (IANA "IP Option Numbers"). Not loose (131)
/// and strict (137) source routing.
bool is_harmless_v4_option(std::uint8_t type) {
  constexpr std::array<std::uint8_t, 7> kHarmless{7, 25, 68, 130, 134, 136, 148};
  return std::ranges::find(kHarmless, type) != kHarmless.end();
}

bool has_sound_v4_options(Reader reader, std::uint32_t at, std::uint32_t end) {
  while (at < end) {
    const std::uint8_t type = reader.u8(at);
    if (type == 0) return true;  // end of list
    if (type == 1) {
      ++at;
      continue;
    }
    const std::uint8_t length = reader.u8(at + 1);
    if (length < 2 || length > end - at || !is_harmless_v4_option(type)) return false;
    at += length;
  }
  return true;
}

/// Enough to say what it is: ports, or a type.
constexpr std::uint32_t ipv4_payload_bytes(std::uint8_t protocol) {
  switch (protocol) {
    case kUdp:
      return 8;
    case kTcp:
    case kIcmp:
    case kIgmp:
      return 4;
    default:
      return 0;
  }
}

/// What follows an IPv4 header of `header` bytes, which has been found sound.
inline void parse_ipv4_payload(Reader reader, std::uint32_t header, std::uint32_t total,
                               Parsed& parsed) {
  constexpr std::uint32_t kAt = kEthernetHeaderBytes;
  const std::uint16_t fragment = reader.u16(kAt + 6);
  const std::uint8_t protocol = reader.u8(kAt + 9);
  parsed.protocol = protocol;
  if ((fragment & 0x3fff) != 0) [[unlikely]] {
    parsed.is_fragment = true;
    if ((fragment & 0x1fff) != 0) return;  // not the first: its source is all there is to it
  }
  const std::uint32_t at = kAt + header;
  const std::uint32_t needed = ipv4_payload_bytes(protocol);
  if (total - header < needed || !reader.holds(at + needed)) {
    parsed.flaw = Flaw::ipv4_payload;
    return;
  }
  parsed.upper_at = static_cast<std::uint16_t>(at);
  switch (protocol) {
    case kTcp:
      parsed.ports = reader.u32(at);
      break;
    case kUdp:
      parse_udp(reader, at, kAt + total, true, (fragment & 0x2000) == 0, parsed);
      break;
    case kIgmp:
      parsed.message = igmp_message(reader.u8(at));
      break;
    case kIcmp:
      parsed.icmp_type = reader.u8(at);
      if (parsed.icmp_type == 5) parsed.message = Message::redirect;
      if (parsed.icmp_type == 9) parsed.message = Message::router_advertisement;  // RFC 1256
      break;
    default:
      parsed.message = message_of(protocol);
  }
}

[[gnu::noinline]] void parse_ipv4_options(Reader reader, std::uint32_t header, std::uint32_t total,
                                          Parsed& parsed) {
  constexpr std::uint32_t kAt = kEthernetHeaderBytes;
  if (!has_sound_v4_options(reader, kAt + 20, kAt + header)) {
    parsed.flaw = Flaw::ipv4_option;
    return;
  }
  parse_ipv4_payload(reader, header, total, parsed);
}

/// Bytes of an IPv4 header with options, or of another version; 0 if it is not sound.
[[gnu::noinline]] std::uint32_t unusual_ipv4_header_bytes(Reader reader) {
  constexpr std::uint32_t kAt = kEthernetHeaderBytes;
  const std::uint32_t bytes = (reader.u8(kAt) & 0x0fu) * 4;
  const bool is_sound = reader.u8(kAt) >> 4 == 4 && bytes >= 20 && reader.holds(kAt + bytes);
  return is_sound ? bytes : 0;
}

// RFC 791. What most frames need is kept free of calls that it would have to come back from.
inline void parse_ipv4(Reader reader, Parsed& parsed) {
  constexpr std::uint32_t kAt = kEthernetHeaderBytes;
  constexpr std::uint8_t kWithoutOptions = 0x45;  // version 4, 5 words
  if (!reader.holds(kAt + 20)) {  // first, so that nothing below need be range-checked
    parsed.flaw = Flaw::ipv4_header;
    return;
  }
  const std::uint32_t total = reader.u16(kAt + 2);
  std::uint32_t header = 20;
  if (reader.u8(kAt) != kWithoutOptions) [[unlikely]] {
    header = unusual_ipv4_header_bytes(reader);
  }
  if (header == 0 || total < header || total > parsed.length - kAt) {
    parsed.flaw = Flaw::ipv4_header;
    return;
  }
  parsed.sender = reader.v4(kAt + 12);
  parsed.receiver = reader.v4(kAt + 16);
  if (header > 20) return parse_ipv4_options(reader, header, total, parsed);
  parse_ipv4_payload(reader, 20, total, parsed);
}

/// What a host may say beside a link-layer address (IANA "IPv6 Neighbor Discovery Option Formats"):
/// secure neighbour discovery with its nonce and timestamp, address registration.
bool is_harmless_nd_option(std::uint8_t type) { return (type >= 11 && type <= 16) || type == 33; }

/// RFC 4861 section 4.6: type, length in units of 8 bytes. `unique`: no type twice.
bool parse_nd_options(Reader reader, std::uint32_t at, std::uint32_t end, bool unique,
                      Parsed& parsed) {
  const bool is_hosts =
      parsed.message != Message::router_advertisement && parsed.message != Message::redirect;
  std::array<std::uint64_t, 4> seen{};
  for (std::uint32_t count = 0; at < end; ++count) {
    const std::uint8_t type = reader.u8(at);
    const std::uint32_t length = reader.u8(at + 1) * 8u;
    if (count == kOptionsMax || length == 0 || length > end - at) return false;
    const std::uint64_t bit = std::uint64_t{1} << (type % 64);
    const bool is_link_layer = type == 1 || type == 2;
    if (is_hosts && !is_link_layer && !is_harmless_nd_option(type)) return false;
    if ((seen[type / 64] & bit) != 0 && (unique || is_link_layer)) return false;
    seen[type / 64] |= bit;
    if (is_link_layer) {
      // A solicitation speaks of its source (1), an advertisement of its target (2): the other
      // kind, or another size than Ethernet's, has no business here.
      const bool of_target =
          parsed.message == Message::neighbor_advertisement || parsed.message == Message::redirect;
      if (length != 8 || (type == 2) != of_target) return false;
      parsed.claimed = reader.mac(at + 2);
      parsed.has_claimed = true;
    }
    at += length;
  }
  return true;
}

/// RFC 4861 sections 4.1 to 4.5: bytes before the options.
std::uint32_t nd_body_bytes(Message message) {
  switch (message) {
    case Message::router_solicitation:
      return 8;
    case Message::router_advertisement:
      return 16;
    case Message::redirect:
      return 40;
    default:
      return 24;
  }
}

void parse_nd(Reader reader, std::uint32_t at, std::uint32_t end, bool has_extension,
              Parsed& parsed) {
  const std::uint32_t body = nd_body_bytes(parsed.message);
  if (has_extension) {
    parsed.flaw = Flaw::nd_extension;
    return;
  }
  const std::uint8_t hop_limit = reader.u8(kEthernetHeaderBytes + 7);
  if (hop_limit != 255 || reader.u8(at + 1) != 0 || end - at < body || !reader.holds(end)) {
    parsed.flaw = Flaw::nd_form;
    return;
  }
  if (body == 24) {
    parsed.nd_target = reader.v6(at + 8);
    if (parsed.nd_target.is_v6_multicast()) parsed.flaw = Flaw::nd_form;
  }
  const bool unique = parsed.message != Message::router_advertisement;  // prefixes may be many
  if (!parse_nd_options(reader, at + body, end, unique, parsed)) parsed.flaw = Flaw::nd_option;
  // RFC 4861 section 7.1.1: from the unspecified address there is nobody to claim an address for.
  if (parsed.message == Message::dad_solicitation && parsed.has_claimed) {
    parsed.flaw = Flaw::nd_option;
  }
}

void parse_icmpv6(Reader reader, std::uint32_t at, std::uint32_t end, bool has_extension,
                  Parsed& parsed) {
  parsed.icmp_type = reader.u8(at);
  switch (parsed.icmp_type) {
    case 130:
      parsed.message = Message::mld_query;
      return;
    case 131:
    case 132:
    case 143:
      parsed.message = Message::mld_report;
      return;
    case 133:
      parsed.message = Message::router_solicitation;
      break;
    case 134:
      parsed.message = Message::router_advertisement;
      break;
    case 135:
      parsed.message =
          parsed.sender.is_zero() ? Message::dad_solicitation : Message::neighbor_solicitation;
      break;
    case 136:
      parsed.message = Message::neighbor_advertisement;
      break;
    case 137:
      parsed.message = Message::redirect;
      break;
    case 138:  // router renumbering, RFC 2894
    case 149:  // certification path advertisement, RFC 3971
      parsed.message = Message::router_advertisement;
      return;
    case 141:  // inverse neighbour discovery, RFC 3122, says who is where: nothing checks it
    case 142:
      parsed.flaw = Flaw::nd_form;
      return;
    case 151:  // multicast router discovery, RFC 4286
    case 152:
    case 153:
    case 155:  // RPL, RFC 6550
      parsed.message = Message::routing_protocol;
      return;
    default:
      return;
  }
  parse_nd(reader, at, end, has_extension, parsed);
}

/// Options of hop-by-hop and destination headers that are known to be harmless (IANA "Destination
/// Options and Hop-by-Hop Options"): tunnel limit, router alert, CALIPSO, SMF, PDM, IOAM, alternate
/// marking, quick start, path MTU, RPL, MPL. Not jumbo (c2) and home address (c9).
bool is_harmless_v6_option(std::uint8_t type) {
  constexpr std::array<std::uint8_t, 14> kHarmless{0x04, 0x05, 0x07, 0x08, 0x0f, 0x11, 0x12,
                                                   0x23, 0x26, 0x30, 0x31, 0x32, 0x63, 0x6d};
  return std::ranges::find(kHarmless, type) != kHarmless.end();
}

bool has_sound_v6_options(Reader reader, std::uint32_t at, std::uint32_t end) {
  for (std::uint32_t count = 0; at < end; ++count) {
    if (count == kOptionsMax) return false;
    const std::uint8_t type = reader.u8(at);
    if (type == 0) {  // Pad1
      ++at;
      continue;
    }
    const std::uint32_t length = 2u + reader.u8(at + 1);
    if (length > end - at || (type != 1 && !is_harmless_v6_option(type))) return false;
    at += length;
  }
  return true;
}

/// Where the chain of extension headers has led to.
struct Upper {
  std::uint8_t protocol = 0;
  std::uint32_t at = 0;
  bool has_extension = false;
  bool is_later_fragment = false;  // of which there is nothing more to know
  bool is_fragment = false;
};

// RFC 8200 section 4.
Flaw walk_chain(Reader reader, std::uint32_t end, Upper& upper) {
  for (std::uint32_t count = 0; count <= kExtensionHeadersMax; ++count) {
    const std::uint32_t at = upper.at;
    const Flaw cut = upper.is_fragment ? Flaw::ipv6_first_fragment : Flaw::ipv6_chain;
    std::uint32_t length = 8;
    switch (upper.protocol) {
      case kHopByHop:
        if (count != 0) return Flaw::ipv6_chain;  // first, or nowhere
        [[fallthrough]];
      case kDestinationOptions:
      case kRoutingHeader:
        length = (reader.u8(at + 1) + 1u) * 8;
        break;
      case kAuthentication:
        length = (reader.u8(at + 1) + 2u) * 4;
        break;
      case kFragment:
        break;
      case 135:  // mobility
      case 139:  // HIP
      case 140:  // shim6
      case 253:  // experiments
      case 254:
        return Flaw::ipv6_chain;
      default:
        return Flaw::none;  // here is the upper layer
    }
    if (count == kExtensionHeadersMax) return Flaw::ipv6_chain;
    if (at + length > end || !reader.holds(at + length)) return cut;
    upper.has_extension = true;
    if (upper.protocol == kHopByHop || upper.protocol == kDestinationOptions) {
      if (!has_sound_v6_options(reader, at + 2, at + length)) return Flaw::ipv6_option;
    } else if (upper.protocol == kRoutingHeader) {
      // Mobile IPv6, RPL and segment routing; type 0 is dead (RFC 5095).
      const std::uint8_t type = reader.u8(at + 2);
      if (type < 2 || type > 4) return Flaw::ipv6_routing;
    } else if (upper.protocol == kFragment) {
      if (upper.is_fragment) return Flaw::ipv6_chain;
      upper.is_fragment = true;
      upper.is_later_fragment = reader.u16(at + 2) >> 3 != 0;
    }
    upper.protocol = reader.u8(at);
    upper.at = at + length;
    if (upper.is_later_fragment) return Flaw::none;
  }
  return Flaw::ipv6_chain;
}

[[gnu::noinline]] void parse_ipv6(Reader reader, Parsed& parsed) {
  constexpr std::uint32_t kAt = kEthernetHeaderBytes;
  constexpr std::uint32_t kHeader = 40;
  const std::uint32_t payload = reader.u16(kAt + 4);
  if (!reader.holds(kAt + kHeader) || reader.u8(kAt) >> 4 != 6 ||
      payload > parsed.length - kAt - kHeader) {
    parsed.flaw = Flaw::ipv6_header;
    return;
  }
  parsed.sender = reader.v6(kAt + 8);
  parsed.receiver = reader.v6(kAt + 24);
  const std::uint32_t end = kAt + kHeader + payload;
  Upper upper;
  upper.protocol = reader.u8(kAt + 6);
  upper.at = kAt + kHeader;
  parsed.flaw = walk_chain(reader, end, upper);
  if (parsed.flaw != Flaw::none) return;
  parsed.protocol = upper.protocol;
  parsed.is_fragment = upper.is_fragment;
  if (upper.is_later_fragment) return;
  // RFC 7112: the first fragment has the upper-layer header, too.
  const std::uint32_t needed = upper.protocol == kTcp                                 ? 20
                               : upper.protocol == kUdp                               ? 8
                               : upper.protocol == kIcmpv6 || upper.protocol == kVrrp ? 4
                                                                                      : 0;
  if (end - upper.at < needed || !reader.holds(upper.at + needed)) {
    parsed.flaw = upper.is_fragment ? Flaw::ipv6_first_fragment : Flaw::ipv6_payload;
    return;
  }
  parsed.upper_at = static_cast<std::uint16_t>(upper.at);
  switch (upper.protocol) {
    case kTcp:
      parsed.ports = reader.u32(upper.at);
      break;
    case kUdp:
      parse_udp(reader, upper.at, end, false, true, parsed);
      break;
    case kIcmpv6:
      parse_icmpv6(reader, upper.at, end, upper.has_extension, parsed);
      break;
    default:
      parsed.message = message_of(upper.protocol);
  }
}

}  // namespace

void parse(const Frame& frame, Parsed& parsed) {
  const Reader reader(*frame.head);
  parsed = Parsed();
  parsed.length = frame.length;
  parsed.whole_header = reader.holds(kEthernetHeaderBytes);
  if (!parsed.whole_header) return;
  const std::uint64_t source_and_ethertype = reader.u64(6);
  parsed.destination = {reader.u64(0) >> 16};
  parsed.source = {source_and_ethertype >> 16};
  parsed.ethertype = static_cast<std::uint16_t>(source_and_ethertype);
  if (parsed.destination.is_group()) [[unlikely]] {
    parsed.bridge_control = is_bridge_control(parsed.destination);
  }
  if (parsed.ethertype == kEthertypeIpv4) [[likely]] {
    parsed.payload = Payload::ipv4;
    return parse_ipv4(reader, parsed);
  }
  switch (parsed.ethertype) {
    case kEthertypeArp:
      parsed.payload = Payload::arp;
      parse_arp(reader, parsed);
      break;
    case kEthertypeIpv6:
      parsed.payload = Payload::ipv6;
      parse_ipv6(reader, parsed);
      break;
    case kEthertypeRarp:
      if (is_rarp_announcement(reader, parsed.destination, parsed.source)) {
        parsed.payload = Payload::rarp_announcement;
      }
      break;
    case 0x8100:  // 802.1Q
    case 0x88a8:  // 802.1ad
    case 0x9100:  // older double tags
    case 0x9200:
    case 0x9300:
      parsed.payload = Payload::tag;
      break;
    default:
      break;
  }
}

}  // namespace bulkhead
