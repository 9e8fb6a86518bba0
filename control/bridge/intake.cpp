#include "control/bridge/intake.hpp"

#include <algorithm>

namespace bulkhead::control {
namespace {

std::uint64_t load(const bulkhead_u64& value) { return __atomic_load_n(&value, __ATOMIC_RELAXED); }

/// Less what has gone; nothing if that seems more, as the numbers change while they are read.
std::uint64_t less(std::uint64_t all, std::uint64_t gone) { return all > gone ? all - gone : 0; }

}  // namespace

Intake conduit_intake(const bulkhead_slot& slot, const bulkhead_conduit& queue,
                      std::uint64_t received) {
  Intake intake;
  const std::uint64_t lost = load(slot.lost);
  const std::uint64_t passed = load(slot.passed);  // last: what has arrived has passed before
  intake.in_flight = less(passed, received + lost);
  if (load(slot.open) != 0) {
    const std::uint64_t gone = load(queue.received) + load(queue.lost);
    intake.window = less(BULKHEAD_CONDUIT_FRAMES, less(load(queue.passed), gone));
  }
  intake.too_big = load(slot.too_big);
  intake.malformed = load(slot.malformed);
  intake.overrun = load(slot.overrun) + lost;
  intake.handed = passed + intake.too_big + intake.malformed + load(slot.overrun);
  return intake;
}

}  // namespace bulkhead::control
