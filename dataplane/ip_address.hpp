// An IP address as two numbers, so that comparing, masking and hashing one takes an instruction or
// two. IPv4 addresses stand in the lower 32 bits; which family it is, whoever holds it knows.
#pragma once

#include <cstdint>

namespace bulkhead {

struct IpAddress {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  static constexpr IpAddress v4(std::uint32_t address) { return {0, address}; }

  [[nodiscard]] constexpr bool is_zero() const { return (high | low) == 0; }
  /// RFC 5771: 224.0.0.0/4.
  [[nodiscard]] constexpr bool is_v4_multicast() const { return (low >> 28) == 0xe; }
  [[nodiscard]] constexpr bool is_v4_limited_broadcast() const { return low == 0xffff'ffff; }
  /// RFC 4291 2.7: ff00::/8.
  [[nodiscard]] constexpr bool is_v6_multicast() const { return (high >> 56) == 0xff; }
  /// RFC 4291 2.7: ff02::/16, link-local scope.
  [[nodiscard]] constexpr bool is_v6_link_multicast() const { return (high >> 48) == 0xff02; }
  /// RFC 4291 2.5.6: fe80::/10, of which only fe80::/64 is ever used.
  [[nodiscard]] constexpr bool is_v6_link_local() const { return (high >> 54) == 0xfe80 >> 6; }
  /// RFC 4291 2.7.1: ff02::1:ffXX:XXXX of this address.
  [[nodiscard]] constexpr IpAddress solicited_node() const {
    return {0xff02'0000'0000'0000, 0x0000'0001'ff00'0000 | (low & 0xff'ffff)};
  }
  /// The first `bits` of it, the rest zero; of an IPv4 address, of its 32.
  [[nodiscard]] constexpr IpAddress masked(bool is_v6, unsigned bits) const {
    if (!is_v6) return {0, bits == 0 ? 0 : low & (~std::uint64_t{0} << (32 - bits)) & 0xffff'ffff};
    if (bits >= 64) return {high, bits == 64 ? 0 : low & (~std::uint64_t{0} << (128 - bits))};
    return {bits == 0 ? 0 : high & (~std::uint64_t{0} << (64 - bits)), 0};
  }

  constexpr bool operator==(const IpAddress&) const = default;
};

}  // namespace bulkhead
