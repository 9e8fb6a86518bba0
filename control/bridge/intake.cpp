#include "control/bridge/intake.hpp"

#include <algorithm>
#include <utility>

#include "backends/device/guard.hpp"

namespace bulkhead::control {
namespace {

std::uint64_t load(const bulkhead_u64& value) { return __atomic_load_n(&value, __ATOMIC_RELAXED); }

}  // namespace

Intake conduit_intake(const bulkhead_slot& slot, std::uint64_t received) {
  Intake intake;
  const std::uint64_t lost = load(slot.lost);
  const std::uint64_t passed = load(slot.passed);  // last: what has arrived has passed before
  // Only what was counted: if more has arrived than passed, the ledger shows it.
  intake.in_flight = passed > received + lost ? passed - received - lost : 0;
  intake.window = load(slot.window);
  intake.too_big = load(slot.too_big);
  intake.malformed = load(slot.malformed);
  intake.overrun = load(slot.overrun) + lost;
  intake.handed = passed + intake.too_big + intake.malformed + load(slot.overrun);
  return intake;
}

void SlotKeeper::look(bulkhead_slot& slot) {
  constexpr double kNewest = 0.1;  // a second or two back
  constexpr double kSilence = 1;   // neighbours look for each other now and then
  settle_losses(slot);
  const std::uint64_t received = load(slot.received);
  const auto more = static_cast<double>(received - std::exchange(received_mark_, received));
  frames_per_tick_ += kNewest * (more - frames_per_tick_);
  silent_ticks_ = more > kSilence ? 0 : silent_ticks_ + 1;
}

// The conduit drops without a trace when it is full. What was handed over longer ago than a frame
// may take and has not arrived is lost: no longer on its way, and no longer in the port's window.
void SlotKeeper::settle_losses(bulkhead_slot& slot) {
  const std::uint64_t received = load(slot.received);
  const std::uint64_t passed = load(slot.passed);
  const std::uint64_t mark = std::exchange(lost_mark_, passed);
  const std::uint64_t lost = mark > received ? mark - received : 0;
  const std::uint64_t lost_max = passed > received ? passed - received : 0;
  const std::uint64_t settled = std::clamp(slot.lost, lost, lost_max);
  if (settled != slot.lost) __atomic_store_n(&slot.lost, settled, __ATOMIC_RELAXED);
}

// Who goes on sending more than its window takes keeps a window's worth of frames in the queue that
// all share. TCP slows down before it loses one frame in thirty; a flood does not, and gets a small
// window until it is over. Who is alone in the queue keeps nobody waiting.
void SlotKeeper::set_window(bulkhead_slot& slot, bool is_alone) {
  constexpr std::uint64_t kPassedPerOverrun = 32;
  constexpr std::uint32_t kFloodTicks = 3;
  constexpr std::uint32_t kCalmTicks = 10;
  if (slot.window == 0) return;  // closed
  const std::uint64_t passed = load(slot.passed);
  const std::uint64_t overrun = load(slot.overrun);
  const std::uint64_t more_passed = passed - std::exchange(passed_mark_, passed);
  const std::uint64_t more_overrun = overrun - std::exchange(overrun_mark_, overrun);
  const bool overruns = more_overrun * kPassedPerOverrun > more_passed;
  flood_ticks_ = overruns == floods_ ? 0 : flood_ticks_ + 1;
  if (flood_ticks_ >= (floods_ ? kCalmTicks : kFloodTicks)) {
    floods_ = overruns;
    flood_ticks_ = 0;
  }
  const std::uint64_t window = is_alone  ? Guard::kLoneWindowFrames
                               : floods_ ? Guard::kFloodWindowFrames
                                         : Guard::kWindowFrames;
  __atomic_store_n(&slot.window, window, __ATOMIC_RELAXED);
}

bool SlotKeeper::is_sending() const {
  constexpr std::uint32_t kSilentTicks = 20;  // two seconds
  return silent_ticks_ < kSilentTicks;
}

}  // namespace bulkhead::control
