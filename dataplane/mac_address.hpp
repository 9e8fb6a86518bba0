// An Ethernet address as a number, so that comparing and hashing one is a single instruction.
//
// Invariant: the upper 16 bits are zero, but of kNoMac. The first octet on the wire is the most
// significant of the lower 48 bits, so 52:54:00:9f:5d:c1 is 0x5254009f5dc1.
#pragma once

#include <compare>
#include <cstdint>

namespace bulkhead {

struct MacAddress {
  std::uint64_t value = 0;

  /// I/G bit of IEEE 802-2014 8.2.2: set for multicast and broadcast.
  [[nodiscard]] constexpr bool is_group() const { return (value >> 40) & 1; }
  [[nodiscard]] constexpr bool is_broadcast() const { return value == 0xffff'ffff'ffffULL; }
  [[nodiscard]] constexpr bool is_zero() const { return value == 0; }

  constexpr auto operator<=>(const MacAddress&) const = default;
};

/// Equal to no address.
inline constexpr MacAddress kNoMac{~std::uint64_t{0}};

}  // namespace bulkhead
