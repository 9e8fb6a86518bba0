// Token buckets: how many broadcast, multicast, ARP and ND, and DHCP frames a port may send a
// second, with a burst of one second. One worker's thread only.
//
// allows() judges and changes nothing; spend() takes the token, and is called only for frames that
// were not dropped: a dropped frame costs no budget (docs/ISOLATION.md, law 1).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "dataplane/limits.hpp"

namespace bulkhead {

enum class Budget : std::uint8_t { broadcast, multicast, arp_nd, dhcp, none };

inline constexpr std::size_t kBudgets = 4;
inline constexpr std::uint32_t kNoLimit = 0xffff'ffff;

/// Frames a second, by Budget.
using Rates = std::array<std::uint32_t, kBudgets>;

class Limiter {
 public:
  Limiter() : ports_(kPortsMax) {}

  [[nodiscard]] bool allows(PortIndex port, Budget budget, const Rates& rates,
                            std::uint32_t now_ms) const {
    if (budget == Budget::none) return true;
    const auto which = static_cast<std::size_t>(budget);
    return rates[which] == kNoLimit || tokens(ports_[port][which], rates[which], now_ms) >= kFrame;
  }

  void spend(PortIndex port, Budget budget, const Rates& rates, std::uint32_t now_ms) {
    const auto which = static_cast<std::size_t>(budget);
    if (budget == Budget::none || rates[which] == kNoLimit) return;
    Bucket& bucket = ports_[port][which];
    const std::uint64_t have = tokens(bucket, rates[which], now_ms);
    bucket = {have - std::min(have, kFrame), now_ms, true};
  }

  /// The port's place is used for another port from now on.
  void reset(PortIndex port) { ports_[port] = {}; }

 private:
  static constexpr std::uint64_t kFrame = 1000;  // tokens of one frame: a rate is tokens a ms
  struct Bucket {
    std::uint64_t tokens = 0;
    std::uint32_t at_ms = 0;
    bool used = false;  // full until then
  };

  static std::uint64_t tokens(const Bucket& bucket, std::uint32_t rate, std::uint32_t now_ms) {
    const std::uint64_t full = rate * kFrame;
    if (!bucket.used) return full;
    const std::uint64_t elapsed = std::min<std::uint32_t>(now_ms - bucket.at_ms, 1000);
    return std::min(full, bucket.tokens + elapsed * rate);
  }

  std::vector<std::array<Bucket, kBudgets>> ports_;
};

}  // namespace bulkhead
