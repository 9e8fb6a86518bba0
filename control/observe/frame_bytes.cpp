#include "control/observe/frame_bytes.hpp"

#include <algorithm>
#include <optional>
#include <span>

namespace bulkhead::control {
namespace {

using config::InterfaceAddress;

constexpr std::size_t kFrameMin = 60;
constexpr std::uint16_t kEphemeralPort = 49'152;
constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmp6 = 58;
constexpr MacAddress kBroadcast{0xffff'ffff'ffff};

void put(Bytes& bytes, std::uint64_t value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    bytes.push_back(static_cast<std::uint8_t>(value >> (8 * (size - 1 - i))));
  }
}

void put(Bytes& bytes, const InterfaceAddress& address) {
  bytes.insert(bytes.end(), address.bytes.begin(),
               address.bytes.begin() + (address.is_v6 ? 16 : 4));
}

/// RFC 1071.
std::uint16_t checksum(const Bytes& bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    sum += std::uint32_t{bytes[i]} << (i % 2 == 0 ? 8 : 0);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

void set_checksum(Bytes& bytes, std::size_t at, std::uint16_t sum) {
  bytes[at] = static_cast<std::uint8_t>(sum >> 8);
  bytes[at + 1] = static_cast<std::uint8_t>(sum);
}

/// The IP header before `payload`, whose checksum stands at `checksum_at`.
Bytes ip_packet(const FrameAddresses& addresses, std::uint8_t protocol, std::uint8_t hops,
                Bytes payload, std::optional<std::size_t> checksum_at) {
  Bytes pseudo;
  put(pseudo, addresses.sender);
  put(pseudo, addresses.receiver);
  put(pseudo, payload.size(), 4);
  put(pseudo, protocol, 4);
  if (protocol == kIcmp) pseudo.clear();  // ICMPv4's checksum has no pseudo header
  pseudo.insert(pseudo.end(), payload.begin(), payload.end());
  if (checksum_at) set_checksum(payload, *checksum_at, checksum(pseudo));
  Bytes packet;
  if (addresses.sender.is_v6) {
    put(packet, 0x6000'0000, 4);
    put(packet, payload.size(), 2);
    put(packet, protocol, 1);
    put(packet, hops, 1);
  } else {
    put(packet, 0x4500, 2);
    put(packet, 20 + payload.size(), 2);
    put(packet, 0x0000'4000, 4);  // may not be cut
    put(packet, hops, 1);
    put(packet, protocol, 1);
    put(packet, 0, 2);
  }
  put(packet, addresses.sender);
  put(packet, addresses.receiver);
  if (!addresses.sender.is_v6) set_checksum(packet, 10, checksum(packet));
  packet.insert(packet.end(), payload.begin(), payload.end());
  return packet;
}

Bytes ethernet(MacAddress destination, MacAddress source, std::uint16_t ethertype,
               const Bytes& packet) {
  Bytes bytes;
  put(bytes, destination.value, 6);
  put(bytes, source.value, 6);
  put(bytes, ethertype, 2);
  bytes.insert(bytes.end(), packet.begin(), packet.end());
  bytes.resize(std::max(bytes.size(), kFrameMin));
  return bytes;
}

Bytes ip_frame(const FrameAddresses& addresses, std::uint8_t protocol, std::uint8_t hops,
               const Bytes& payload, std::optional<std::size_t> checksum_at) {
  return ethernet(addresses.destination, addresses.source, addresses.sender.is_v6 ? 0x86dd : 0x0800,
                  ip_packet(addresses, protocol, hops, payload, checksum_at));
}

}  // namespace

Bytes tcp_frame(const FrameAddresses& addresses, std::uint16_t port) {
  Bytes syn;
  put(syn, kEphemeralPort, 2);
  put(syn, port, 2);
  put(syn, 1, 4);       // sequence number
  put(syn, 0, 4);       // nothing acknowledged
  put(syn, 0x5002, 2);  // 20 bytes, SYN
  put(syn, 0xffff, 2);  // window
  put(syn, 0, 4);
  return ip_frame(addresses, kTcp, 64, syn, 16);
}

Bytes udp_frame(const FrameAddresses& addresses, std::uint16_t port) {
  Bytes datagram;
  put(datagram, kEphemeralPort, 2);
  put(datagram, port, 2);
  put(datagram, 8, 2);
  put(datagram, 0, 2);
  return ip_frame(addresses, kUdp, 64, datagram, 6);
}

Bytes ping_frame(const FrameAddresses& addresses) {
  Bytes echo;
  put(echo, addresses.sender.is_v6 ? 0x8000 : 0x0800, 2);
  put(echo, 0x0000'0001'0001, 6);  // checksum, identifier, number
  return ip_frame(addresses, addresses.sender.is_v6 ? kIcmp6 : kIcmp, 64, echo, 2);
}

Bytes arp_frame(const FrameAddresses& addresses) {
  Bytes request;
  put(request, 0x0001'0800'0604'0001, 8);
  put(request, addresses.source.value, 6);
  put(request, addresses.sender);
  put(request, 0, 6);
  put(request, addresses.receiver);
  return ethernet(kBroadcast, addresses.source, 0x0806, request);
}

Bytes nd_frame(FrameAddresses addresses) {
  Bytes question;
  put(question, 0x8700, 2);
  put(question, 0, 6);
  put(question, addresses.receiver);
  put(question, 0x0101, 2);  // source link-layer address, 8 bytes
  put(question, addresses.source.value, 6);
  const auto tail = std::span(addresses.receiver.bytes).last<3>();
  const std::uint64_t low = std::uint64_t{tail[0]} << 16 | std::uint64_t{tail[1]} << 8 | tail[2];
  InterfaceAddress group{.is_v6 = true, .bytes = {0xff, 0x02}, .prefix_length = 128};
  group.bytes[11] = 1;
  group.bytes[12] = 0xff;
  std::copy(tail.begin(), tail.end(), group.bytes.begin() + 13);
  addresses.receiver = group;
  addresses.destination = MacAddress{0x3333'ff00'0000 | low};
  return ip_frame(addresses, kIcmp6, 255, question, 2);
}

Bytes dhcp_frame(MacAddress source) {
  Bytes message;
  put(message, 68, 2);
  put(message, 67, 2);
  put(message, 8 + 236 + 8, 2);
  put(message, 0, 2);
  put(message, 0x0101'0600, 4);
  put(message, 1, 4);  // transaction
  message.resize(message.size() + 20);
  put(message, source.value, 6);
  message.resize(8 + 236);
  put(message, 0x6382'5363'3501'01ff, 8);  // the cookie; message type 1; end
  FrameAddresses addresses{source, kBroadcast, {}, {}};
  addresses.receiver.bytes = {255, 255, 255, 255};
  return ip_frame(addresses, kUdp, 64, message, 6);
}

}  // namespace bulkhead::control
