// What ports do a second, from one answer to `stats` after the other. Pure: no clock, no terminal.
// `bulkhead top` shows it.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bulkhead::control {

/// All a second.
struct Rates {
  double rx_frames = 0;
  double rx_bits = 0;
  double tx_frames = 0;
  double tx_bits = 0;
  double drops = 0;  // before the dataplane, ingress and egress
};

struct PortRates {
  std::string name;
  std::string segment;
  std::string state;
  std::optional<Rates> rates;  // nothing at the first look
  std::string reason;          // for which most was dropped; empty if nothing was
  double reason_share = 0;     // of all drops
};

enum class RateOrder { rate, drops, name };

class RateMeter {
 public:
  /// The rates since the look before, `seconds` ago. A port that has appeared since, or whose
  /// counters went back (it was deleted and added again), has counted from zero in between.
  [[nodiscard]] std::vector<PortRates> measure(const nlohmann::json& stats, double seconds);
  /// The next look is the first one: it is another daemon that counts.
  void forget() { before_.reset(); }

 private:
  struct Counters {
    std::uint64_t rx_frames = 0;
    std::uint64_t rx_bytes = 0;
    std::uint64_t tx_frames = 0;
    std::uint64_t tx_bytes = 0;
    std::map<std::string, std::uint64_t> drops;  // by reason
  };

  static Counters counters_of(const nlohmann::json& port);
  static bool went_back(const Counters& before, const Counters& now);
  static void rate(PortRates& port, const Counters& before, const Counters& now, double seconds);

  std::optional<std::map<std::string, Counters>> before_;  // by port
};

/// Rates: most frames first, in and out. Drops: most drops first. Equal ones by name.
void sort(std::vector<PortRates>& ports, RateOrder order);

[[nodiscard]] Rates sum(std::span<const PortRates> ports);

}  // namespace bulkhead::control
