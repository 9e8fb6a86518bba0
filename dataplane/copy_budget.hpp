// How many copies of flooded frames a worker makes, fairly among those who send them. A port's
// `limit` counts frames, but what a flood costs is its copies: fifty ports at 480 broadcasts a
// second each, all within their limits, are more than a million copies.
//
// Copies are remembered for a second: what was made is a level that falls by e^-1 a second. As long
// as the worker's level is below kCopies, who floods seldom is served. Who floods often has a share
// by a dynamic threshold (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory
// packet switches", 1998, with a share of one): the segment may have as much as the worker leaves
// free, and the port as much as is left of that by its segment. So one port alone makes a quarter
// of kCopies a second, the ports of one segment three eighths, and all together never more than
// kCopies. How often a port floods is asked of what it sent, dropped or not: whoever sends most is
// dropped first.
//
// A frame for one port is no flood, and is not asked about. One worker's thread only, by Forwarder,
// for the copies that this worker makes, of its own ports' frames and of those that cross to it.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "dataplane/limits.hpp"

namespace bulkhead {

class CopyBudget {
 public:
  /// A second. A copy takes 1.3 µs, the receiver's part of it included: four tenths of a core.
  static constexpr float kCopies = 300'000;
  static constexpr float kCopiesOfOften = kCopies * 3 / 4;  // the rest is for those who seldom do
  static constexpr float kSeldomFloods = 5;                 // a second at most

  CopyBudget() : ports_(kPortsMax), segments_(kSegmentsMax) {}

  /// Whether a flood may be sent; counts that the port wanted to.
  [[nodiscard]] bool allows(PortIndex port, SegmentIndex segment, std::uint32_t now_ms) {
    age(all_, now_ms);
    age(segments_[segment], now_ms);
    Level& sender = ports_[port];
    age(sender, now_ms);
    const bool is_seldom = ++sender.floods <= kSeldomFloods;
    const float free = (is_seldom ? kCopies : kCopiesOfOften) - all_.copies;
    if (is_seldom) return segments_[segment].copies < free;
    return sender.copies < free - segments_[segment].copies;
  }

  /// So many copies were made.
  void charge(PortIndex port, SegmentIndex segment, std::uint32_t copies, std::uint32_t now_ms) {
    for (Level* level : {&all_, &segments_[segment], &ports_[port]}) {
      age(*level, now_ms);
      level->copies += static_cast<float>(copies);
    }
  }

  /// The port's place is used for another port from now on.
  void reset(PortIndex port) { ports_[port] = {}; }

 private:
  struct Level {
    float copies = 0;  // made
    float floods = 0;  // wanted
    std::uint32_t at_ms = 0;
  };

  static void age(Level& level, std::uint32_t now_ms) {
    const std::uint32_t elapsed_ms = now_ms - level.at_ms;
    if (elapsed_ms == 0) return;
    const float kept = std::exp(static_cast<float>(elapsed_ms) / -1000);
    level.copies *= kept;
    level.floods *= kept;
    level.at_ms = now_ms;
  }

  Level all_;
  std::vector<Level> ports_;
  std::vector<Level> segments_;
};

}  // namespace bulkhead
