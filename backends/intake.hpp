// What became of a port's frames between its device and the worker, as control sees it.
#pragma once

#include <cstdint>

namespace bulkhead {

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

}  // namespace bulkhead
