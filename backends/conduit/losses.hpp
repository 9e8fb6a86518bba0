// What the conduit lost. It drops without a trace when a queue in it is full; but a frame is on it
// for microseconds. So what had passed at one look and has not arrived at the next, some time later
// and with the ring empty, is lost: no longer on its way, and in nobody's share of the queue.
// Worker's thread, by Conduit.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "backends/slot.h"

namespace bulkhead {

class Losses {
 public:
  /// `arrived`: at the worker. Corrects `lost`, also downwards if something came after all. Says
  /// whether anything is still on its way.
  bool look(const bulkhead_u64& passed_now, std::uint64_t arrived, bulkhead_u64& lost) {
    const std::uint64_t passed = __atomic_load_n(&passed_now, __ATOMIC_RELAXED);
    const std::uint64_t mark = std::exchange(mark_, passed);
    const std::uint64_t lost_min = mark > arrived ? mark - arrived : 0;
    const std::uint64_t lost_max = passed > arrived ? passed - arrived : 0;
    const std::uint64_t settled = std::clamp<std::uint64_t>(lost, lost_min, lost_max);
    if (settled != lost) __atomic_store_n(&lost, settled, __ATOMIC_RELAXED);
    return settled != lost_max;
  }

 private:
  std::uint64_t mark_ = 0;  // what had passed at the last look
};

}  // namespace bulkhead
