// What our own code keeps true whatever guests send: checked in release builds too, where that
// costs nothing measurable. A breach is a fault of bulkhead. It is counted, and whoever asked does
// what is safe: leaves a buffer unused, or drops a frame. A debug build aborts. Any thread.
#pragma once

#include <cstdint>

namespace bulkhead {

/// How often something did not hold since the start. The log, `status` and `metrics` tell.
[[nodiscard]] std::uint64_t breaches();
void count_breach();

/// Whether it is as it must be.
[[nodiscard]] inline bool holds(bool condition) {
  if (condition) [[likely]] {
    return true;
  }
  count_breach();
  return false;
}

}  // namespace bulkhead
