// IPv6 and what is in it: the chain of extension headers, ICMPv6, neighbour discovery.
#include <algorithm>
#include <array>

#include "dataplane/parse_upper.hpp"

namespace bulkhead::parsing {
namespace {

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
    parsed.target = reader.v6(at + 8);
    if (parsed.target.is_v6_multicast()) parsed.flaw = Flaw::nd_form;
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

}  // namespace

void parse_ipv6(Reader reader, Parsed& parsed) {
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
      parse_udp(reader, upper.at, end, false, parsed);
      break;
    case kIcmpv6:
      parse_icmpv6(reader, upper.at, end, upper.has_extension, parsed);
      break;
    default:
      parsed.message = message_of(upper.protocol);
  }
}

}  // namespace bulkhead::parsing
