// Frames for tests: short names for addresses, and builders that write the bytes.
//
// An address is named by one character: 'a' is 02:00:00:00:00:61. Four names are special: '*' is
// broadcast, '+' a multicast group, '0' the zero address, '#' the spanning-tree address.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/mac_address.hpp"

namespace bulkhead::test {

using Bytes = std::vector<std::uint8_t>;

constexpr std::uint16_t kIpv4 = 0x0800;
constexpr std::uint16_t kArp = 0x0806;
constexpr std::uint16_t kRarp = 0x8035;
constexpr std::uint16_t kIpv6 = 0x86dd;

constexpr MacAddress mac(char name) {
  switch (name) {
    case '*':
      return {0xffff'ffff'ffff};
    case '+':
      return {0x0100'5e00'0001};
    case '0':
      return {0};
    case '#':
      return {0x0180'c200'0000};
    default:
      return {0x0200'0000'0000u | static_cast<std::uint8_t>(name)};
  }
}

inline void put(Bytes& bytes, std::size_t offset, std::uint64_t value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    bytes[offset + i] = static_cast<std::uint8_t>(value >> (8 * (size - 1 - i)));
  }
}

/// A sound frame of its ethertype. Addresses of IP end as those of Ethernet do: 10.0.0.97 is 'a'.
inline Bytes frame(MacAddress destination, MacAddress source, std::uint16_t ethertype = kIpv4,
                   std::size_t length = 60) {
  Bytes bytes(length < 54 ? 54 : length);
  const bool broadcast = destination.is_broadcast();
  const std::uint64_t to = destination.value & 0xff;
  const std::uint64_t from = source.value & 0xff;
  put(bytes, 0, destination.value, 6);
  put(bytes, 6, source.value, 6);
  put(bytes, 12, ethertype, 2);
  if (ethertype == kIpv4) {
    put(bytes, 14, 0x45, 1);
    put(bytes, 16, length < 34 ? 20 : length - 14, 2);
    put(bytes, 22, 64, 1);   // time to live
    put(bytes, 23, 253, 1);  // for experiments
    put(bytes, 26, 0x0a00'0000 | from, 4);
    put(bytes, 30,
        broadcast                ? 0xffff'ffff
        : destination.is_group() ? 0xe000'0001
                                 : 0x0a00'0000 | to,
        4);
  } else if (ethertype == kIpv6) {
    put(bytes, 14, 0x60, 1);
    put(bytes, 18, length < 54 ? 0 : length - 54, 2);
    put(bytes, 20, 59, 1);  // nothing follows
    put(bytes, 21, 64, 1);  // hop limit
    put(bytes, 22, 0x2001'0db8, 4);
    put(bytes, 36, from, 2);
    put(bytes, 38, destination.is_group() ? 0xff02'0000 : 0x2001'0db8, 4);
    put(bytes, 52, destination.is_group() ? 1 : to, 2);
  } else if (ethertype == kArp) {
    put(bytes, 14, 0x0001'0800'0604'0001, 8);  // a request
    put(bytes, 22, source.value, 6);
    put(bytes, 28, 0x0a00'0000 | from, 4);
    put(bytes, 38, 0x0a00'0000 | to, 4);
  }
  bytes.resize(length);
  return bytes;
}

inline Bytes frame(char destination, char source, std::uint16_t ethertype = kIpv4,
                   std::size_t length = 60) {
  return frame(mac(destination), mac(source), ethertype, length);
}

/// Byte for byte what QEMU's net/announce.c, announce_self_create() sends for `own`.
inline Bytes qemu_announcement(MacAddress own) {
  Bytes bytes(60);
  put(bytes, 0, 0xffff'ffff'ffff, 6);
  put(bytes, 6, own.value, 6);
  put(bytes, 12, 0x8035, 2);     // ETH_P_RARP
  put(bytes, 14, 1, 2);          // ARP_HTYPE_ETH
  put(bytes, 16, 0x0800, 2);     // ARP_PTYPE_IP
  put(bytes, 18, 6, 1);          // hardware address length
  put(bytes, 19, 4, 1);          // protocol address length
  put(bytes, 20, 3, 2);          // ARP_OP_REQUEST_REV
  put(bytes, 22, own.value, 6);  // source hardware address
  put(bytes, 32, own.value, 6);  // target hardware address; the protocol addresses are zero
  return bytes;
}

}  // namespace bulkhead::test
