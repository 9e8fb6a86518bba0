// What runs, as OpenMetrics 1.0 text: `bulkhead metrics`.
//
// Every metric is one entry of one table in metrics.cpp: name, type, unit, help, and what its
// samples are. The text is made in parts: with a thousand ports it has megabytes. Counters begin
// anew when a port is deleted and added again.
#pragma once

#include <cstddef>
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
  bulkhead_flow_port flows{};  // by the shortcut
  std::uint64_t guard_restored = 0;
};

struct Metrics {
  std::string version;
  std::uint64_t uptime_seconds = 0;
  std::uint64_t learned = 0;
  std::uint64_t buffers_free = 0;
  std::uint64_t events_lost = 0;
  std::uint64_t breaches = 0;
  std::uint64_t conduits_mended = 0;
  bool conduits_in_trouble = false;
  std::vector<PortMetrics> ports;
};

inline constexpr const char* kMetricsEnd = "# EOF\n";

/// How many metrics there are.
[[nodiscard]] std::size_t metric_count();
/// Whether the metric has samples of each port.
[[nodiscard]] bool has_ports(std::size_t metric);
/// One metric, or a part of it: the samples of these ports, and if `is_first` what stands before
/// them. All of them in order, and kMetricsEnd, are the whole text.
[[nodiscard]] std::string openmetrics_text(const Metrics& metrics, std::size_t metric,
                                           bool is_first);

}  // namespace bulkhead::control
