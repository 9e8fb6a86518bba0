// DHCP as far as the checks need it: who speaks, for whom, and whether it is all there.
#include "dataplane/parse_upper.hpp"

namespace bulkhead::parsing {
namespace {

constexpr std::uint32_t kUdpHeaderBytes = 8;
constexpr std::uint8_t kBootRequest = 1;
constexpr std::uint8_t kBootReply = 2;

}  // namespace

// RFC 951, RFC 2131 section 2, by offset: 0 op, 1 htype, 2 hlen, 12 ciaddr, 24 giaddr, 28 chaddr.
void parse_dhcp(Reader reader, std::uint32_t at, std::uint32_t end, Parsed& parsed) {
  if (parsed.is_fragment) {  // what the others hold nobody can tell
    parsed.flaw = Flaw::dhcp_form;
    return;
  }
  const std::uint32_t body = at + kUdpHeaderBytes;
  const bool is_whole = body + 34 <= end && reader.holds(body + 34);
  const std::uint8_t operation = body < end ? reader.u8(body) : 0;
  if (is_whole && reader.u8(body + 1) == 1 && reader.u8(body + 2) == 6) {  // Ethernet
    parsed.claimed = reader.mac(body + 28);
    parsed.has_claimed = true;
  }
  // Servers answer relays at the servers' port: a BOOTREPLY is a server's wherever it goes.
  if (parsed.destination_port() == kBootpClientPort || operation == kBootReply) {
    parsed.message = Message::dhcp_server;
    return;
  }
  if (!is_whole) {
    parsed.flaw = Flaw::dhcp_form;
    return;
  }
  if (parsed.source_port() == kBootpServerPort || reader.u32(body + 24) != 0) {
    parsed.message = Message::dhcp_relay;
    return;
  }
  parsed.message = Message::dhcp_client;
  parsed.target = reader.v4(body + 12);
  parsed.dhcp_from_nowhere =
      operation == kBootRequest && parsed.source_port() == kBootpClientPort &&
      parsed.destination.is_broadcast() && parsed.receiver.is_v4_limited_broadcast();
}

// RFC 8415 sections 7.3, 8 and 9: relays speak to port 547 in both directions.
void parse_dhcpv6(Reader reader, std::uint32_t at, std::uint32_t end, Parsed& parsed) {
  const std::uint32_t body = at + kUdpHeaderBytes;
  if (body >= end || !reader.holds(body + 1)) {
    parsed.flaw = Flaw::dhcp_form;
    return;
  }
  switch (reader.u8(body)) {
    case 2:   // advertise
    case 7:   // reply
    case 10:  // reconfigure
    case 13:  // relay-reply
      parsed.message = Message::dhcpv6_server;
      break;
    case 12:
      parsed.message = Message::dhcpv6_relay;
      break;
    default:
      parsed.message = Message::dhcpv6_client;
  }
}

}  // namespace bulkhead::parsing
