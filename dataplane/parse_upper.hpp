// Shared by the parts of the parser, parse.cpp and parse_*.cpp, and by nobody else: the
// range-checked way to touch bytes, and what IPv4 and IPv6 carry alike.
//
// Nothing here fails: what lies outside the first buffer reads as zero, and the caller says what
// that means by a flaw in the result.
#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/parse.hpp"

namespace bulkhead::parsing {

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

constexpr std::uint16_t kBootpServerPort = 67;
constexpr std::uint16_t kBootpClientPort = 68;
constexpr std::uint16_t kLastPort = 3222;  // that says something

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

/// What UDP carries to one end of DHCPv4 or the other; at `at` is the UDP header, which is there.
void parse_dhcp(Reader reader, std::uint32_t at, std::uint32_t end, Parsed& parsed);
/// The same of DHCPv6 to its servers.
void parse_dhcpv6(Reader reader, std::uint32_t at, std::uint32_t end, Parsed& parsed);
/// At `kEthernetHeaderBytes` is what should be an IPv6 header.
void parse_ipv6(Reader reader, Parsed& parsed);

/// UDP ports that say something; at `at` is the UDP header, which is there.
inline void parse_udp(Reader reader, std::uint32_t at, std::uint32_t end, bool is_v4,
                      Parsed& parsed) {
  parsed.ports = reader.u32(at);
  const std::uint16_t port = parsed.destination_port();
  if (port > kLastPort) return;  // most of them
  switch (port) {
    case kBootpServerPort:
    case kBootpClientPort:
      if (is_v4) parse_dhcp(reader, at, end, parsed);
      break;
    case 546:
      if (!is_v4) parsed.message = Message::dhcpv6_server;
      break;
    case 547:
      if (!is_v4) parse_dhcpv6(reader, at, end, parsed);
      break;
    case 520:  // RIP, RFC 2453
    case 521:  // RIPng, RFC 2080
      parsed.message = Message::routing_protocol;
      break;
    case 1985:       // HSRP, RFC 2281
    case 2029:       // HSRP over IPv6
    case kLastPort:  // GLBP
      parsed.message = Message::first_hop_redundancy;
      break;
    default:
      break;
  }
}

/// Protocols that mean the same over IPv4 and IPv6.
inline Message message_of(std::uint8_t protocol) {
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

}  // namespace bulkhead::parsing
