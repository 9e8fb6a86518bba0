// What runs, as OpenMetrics 1.0 text: `bulkhead metrics`.
//
// Every metric is one entry of one table in metrics.cpp: name, type, unit, help, and what its
// samples are. Counters begin anew when a port is deleted and added again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/bridge/bridge.hpp"
#include "dataplane/counters.hpp"

namespace bulkhead::control {

struct PortMetrics {
  std::string name;
  std::string segment;
  PortState state = PortState::waiting;
  bool enforced = true;
  Intake intake;
  PortCounters counters;
};

struct Metrics {
  std::string version;
  std::uint64_t uptime_seconds = 0;
  std::uint64_t learned = 0;
  std::uint64_t buffers_free = 0;
  std::uint64_t events_lost = 0;
  std::vector<PortMetrics> ports;
};

[[nodiscard]] std::string openmetrics_text(const Metrics& metrics);

}  // namespace bulkhead::control
