// What happens between a port's device and the worker, on the conduit: what is lost on the way, and
// how much may be on it. Control thread only.
#pragma once

#include <cstdint>

#include "backends/slot.h"

namespace bulkhead::control {

/// In frames, GSO in segments: handed = received + in_flight + too_big + malformed + overrun.
struct Intake {
  std::uint64_t handed = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t too_big = 0;
  std::uint64_t malformed = 0;
  std::uint64_t overrun = 0;
  std::uint64_t window = 0;  // how many may be in flight
};

/// Of a port on the conduit. `received`: what the worker has counted for it.
[[nodiscard]] Intake conduit_intake(const bulkhead_slot& slot, std::uint64_t received);

/// Looks after a port's slot, ten times a second: a tick.
class SlotKeeper {
 public:
  /// Settles what the conduit lost, and measures what arrives.
  void look(bulkhead_slot& slot);
  /// Sets the port's window, unless it is closed. `is_alone`: no other port is_sending(), and
  /// there is one worker. Once a tick, after look().
  void set_window(bulkhead_slot& slot, bool is_alone);

  /// More than a frame in a tick, in the last two seconds.
  [[nodiscard]] bool is_sending() const;
  /// Lately.
  [[nodiscard]] double frames_per_tick() const { return frames_per_tick_; }

 private:
  void settle_losses(bulkhead_slot& slot);

  std::uint64_t lost_mark_ = 0;      // what had been handed over at the last look
  std::uint64_t passed_mark_ = 0;    // at the last tick: into the conduit
  std::uint64_t overrun_mark_ = 0;   // and dropped beyond the window
  std::uint64_t received_mark_ = 0;  // at the last tick: arrived at the worker
  double frames_per_tick_ = 0;
  std::uint32_t silent_ticks_ = 0;  // since it sent
  std::uint32_t flood_ticks_ = 0;   // for so long `floods_` has been wrong
  bool floods_ = false;             // overruns its window, and goes on
};

}  // namespace bulkhead::control
