// What a worker counts for a port. The ledger, at every moment between two rounds:
//   received = unicast + flooded + sum of dropped        (ingress)
//   offered  = sent + sum of refused                     (egress)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/drop_reason.hpp"

namespace bulkhead {

/// What every frame counts in is in one cache line.
struct alignas(64) PortCounters {
  // ingress: frames that came in by this port
  std::uint64_t received = 0;
  std::uint64_t received_bytes = 0;
  std::uint64_t unicast = 0;
  std::uint64_t flooded = 0;
  // egress: frames that were to leave by this port
  std::uint64_t offered = 0;
  std::uint64_t sent = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t flows_refused = 0;  // frames from it whose verdict found no place in the flow table
  // ingress
  std::array<std::uint64_t, kDropReasonCount> dropped{};
  std::array<std::uint64_t, kDropReasonCount> shadowed{};  // passed, and would have been dropped
  // egress
  std::array<std::uint64_t, kDropReasonCount> refused{};

  /// Together with what another worker has counted for the same port.
  PortCounters& operator+=(const PortCounters& other) {
    received += other.received;
    received_bytes += other.received_bytes;
    unicast += other.unicast;
    flooded += other.flooded;
    offered += other.offered;
    sent += other.sent;
    sent_bytes += other.sent_bytes;
    flows_refused += other.flows_refused;
    for (std::size_t i = 0; i < kDropReasonCount; ++i) {
      dropped[i] += other.dropped[i];
      shadowed[i] += other.shadowed[i];
      refused[i] += other.refused[i];
    }
    return *this;
  }
};

}  // namespace bulkhead
