// What happens between a port's device and the worker, on the conduit, as control sees it. Control
// thread only.
#pragma once

#include <cstdint>
#include <utility>

#include "backends/slot.h"

namespace bulkhead::control {

/// In frames, GSO in segments: handed = received + in_flight + too_big + malformed + overrun. Only
/// what was counted: if more has arrived than passed, the sum is wrong and shows it.
struct Intake {
  std::uint64_t handed = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t too_big = 0;
  std::uint64_t malformed = 0;
  std::uint64_t overrun = 0;
  std::uint64_t window = 0;  // how many may be in flight now, as the queue is
};

/// Of a port on the conduit. `received`: what the worker has counted for it.
[[nodiscard]] Intake conduit_intake(const bulkhead_slot& slot, const bulkhead_conduit& queue,
                                    std::uint64_t received);

/// How many frames of a port arrive at the worker, lately. look() once a tick.
class ArrivalRate {
 public:
  void look(std::uint64_t received) {
    constexpr double kNewest = 0.1;  // a second or two back
    const auto more = static_cast<double>(received - std::exchange(mark_, received));
    frames_per_tick_ += kNewest * (more - frames_per_tick_);
  }
  [[nodiscard]] double frames_per_tick() const { return frames_per_tick_; }

 private:
  std::uint64_t mark_ = 0;
  double frames_per_tick_ = 0;
};

}  // namespace bulkhead::control
