// Random frames that mean something, or nearly: ARP, neighbour discovery, DHCP, IGMP and MLD,
// router messages, fragments and chains of extension headers, with addresses from a small world, so
// that they are somebody's; then a byte or two changed. For the property test.
#pragma once

#include <random>
#include <vector>

#include "tests/unit/frames.hpp"

namespace bulkhead::test {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  /// 0 to sides - 1
  std::size_t roll(std::size_t sides) { return engine_() % sides; }
  bool chance(std::size_t percent) { return roll(100) < percent; }
  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[roll(from.size())];
  }

 private:
  std::mt19937_64 engine_;
};

/// What a frame is drawn from: one address of each kind, as likely as not the sender's own.
struct Cast {
  MacAddress destination;
  MacAddress source;
  MacAddress other_mac;
  Bytes own_v4, other_v4;  // four octets
  Bytes own_v6, other_v6;  // sixteen
};

Bytes draw_packet(const Cast& cast, Dice& dice);

}  // namespace bulkhead::test
