#include "control/client/rates.hpp"

#include <algorithm>
#include <tuple>

namespace bulkhead::control {

using Json = nlohmann::json;

std::vector<PortRates> RateMeter::measure(const Json& stats, double seconds) {
  std::map<std::string, Counters> now;
  std::vector<PortRates> ports;
  for (const Json& port : stats) {
    PortRates row{.name = port.at("name"),
                  .segment = port.value("segment", "-"),  // a daemon of 0.1.0 may not say
                  .state = port.value("state", "-"),
                  .rates = std::nullopt,
                  .reason = "",
                  .reason_share = 0};
    Counters counters = counters_of(port);
    if (before_ && seconds > 0) {
      const auto place = before_->find(row.name);
      const bool anew = place == before_->end() || went_back(place->second, counters);
      rate(row, anew ? Counters() : place->second, counters, seconds);
    }
    now.emplace(row.name, std::move(counters));
    ports.push_back(std::move(row));
  }
  before_ = std::move(now);
  return ports;
}

RateMeter::Counters RateMeter::counters_of(const Json& port) {
  const Json& ingress = port.at("ingress");
  const Json& egress = port.at("egress");
  const auto sum = [&](const char* one, const char* other) {
    return ingress.at(one).get<std::uint64_t>() + ingress.at(other).get<std::uint64_t>();
  };
  Counters counters{.rx_frames = sum("received", "shortcut"),
                    .rx_bytes = sum("bytes", "shortcut_bytes"),
                    .tx_frames = egress.at("tx"),
                    .tx_bytes = egress.at("bytes"),
                    .drops = {}};
  for (const Json* drops : {&ingress.at("before"), &ingress.at("drops"), &egress.at("drops")}) {
    for (const auto& [reason, count] : drops->items()) {
      counters.drops[reason] += count.get<std::uint64_t>();
    }
  }
  return counters;
}

bool RateMeter::went_back(const Counters& before, const Counters& now) {
  if (now.rx_frames < before.rx_frames || now.rx_bytes < before.rx_bytes ||
      now.tx_frames < before.tx_frames || now.tx_bytes < before.tx_bytes) {
    return true;
  }
  return std::ranges::any_of(before.drops, [&](const auto& drop) {
    const auto place = now.drops.find(drop.first);
    return (place == now.drops.end() ? 0 : place->second) < drop.second;
  });
}

void RateMeter::rate(PortRates& port, const Counters& before, const Counters& now, double seconds) {
  constexpr double kBitsPerByte = 8;
  const auto a_second = [seconds](std::uint64_t from, std::uint64_t to) {
    return static_cast<double>(to - from) / seconds;
  };
  Rates rates{.rx_frames = a_second(before.rx_frames, now.rx_frames),
              .rx_bits = a_second(before.rx_bytes, now.rx_bytes) * kBitsPerByte,
              .tx_frames = a_second(before.tx_frames, now.tx_frames),
              .tx_bits = a_second(before.tx_bytes, now.tx_bytes) * kBitsPerByte,
              .drops = 0};
  double most = 0;
  for (const auto& [reason, count] : now.drops) {
    const auto place = before.drops.find(reason);
    const double drops = a_second(place == before.drops.end() ? 0 : place->second, count);
    rates.drops += drops;
    if (drops > most) {
      most = drops;
      port.reason = reason;
    }
  }
  if (rates.drops > 0) port.reason_share = most / rates.drops;
  port.rates = rates;
}

void sort(std::vector<PortRates>& ports, RateOrder order) {
  const auto key = [order](const PortRates& port) {
    const Rates rates = port.rates.value_or(Rates());
    double first = 0;
    if (order == RateOrder::rate) first = rates.rx_frames + rates.tx_frames;
    if (order == RateOrder::drops) first = rates.drops;
    return std::tuple<double, const std::string&>(-first, port.name);
  };
  std::ranges::sort(ports, [&](const auto& a, const auto& b) { return key(a) < key(b); });
}

Rates sum(std::span<const PortRates> ports) {
  Rates total;
  for (const PortRates& port : ports) {
    if (!port.rates) continue;
    total.rx_frames += port.rates->rx_frames;
    total.rx_bits += port.rates->rx_bits;
    total.tx_frames += port.rates->tx_frames;
    total.tx_bits += port.rates->tx_bits;
    total.drops += port.rates->drops;
  }
  return total;
}

}  // namespace bulkhead::control
