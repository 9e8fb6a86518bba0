// Ethernet, ARP and IPv4: what most frames need, in one place so that it becomes one function.
#include "dataplane/parse.hpp"

#include <algorithm>
#include <array>

#include "dataplane/parse_upper.hpp"

namespace bulkhead {
namespace {

using namespace parsing;

constexpr std::uint16_t kEthertypeIpv4 = 0x0800;
constexpr std::uint16_t kEthertypeArp = 0x0806;
constexpr std::uint16_t kEthertypeRarp = 0x8035;
constexpr std::uint16_t kEthertypeIpv6 = 0x86dd;

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
  const auto has = [&](std::uint32_t bytes) {  // enough to say what it is: ports, or a type
    const bool is_whole = total - header >= bytes && reader.holds(at + bytes);
    if (is_whole) {
      parsed.upper_at = static_cast<std::uint16_t>(at);
    } else {
      parsed.flaw = Flaw::ipv4_payload;
    }
    return is_whole;
  };
  switch (protocol) {
    case kTcp:
      if (has(4)) parsed.ports = reader.u32(at);
      break;
    case kUdp:
      if (has(8)) parse_udp(reader, at, kAt + total, true, parsed);
      break;
    case kIgmp:
      if (has(4)) parsed.message = igmp_message(reader.u8(at));
      break;
    case kIcmp:
      if (!has(4)) break;
      parsed.icmp_type = reader.u8(at);
      if (parsed.icmp_type == 5) parsed.message = Message::redirect;
      if (parsed.icmp_type == 9) parsed.message = Message::router_advertisement;  // RFC 1256
      break;
    default:
      if (has(0)) parsed.message = message_of(protocol);
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
