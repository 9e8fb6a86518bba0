// What control hears of dropped frames: an event each, up to a limit, for the log and `monitor
// drop`; and for `capture` the whole frame, in a ring that control makes, a command lends to the
// worker and another takes back. Worker's thread, where nothing else is said.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "dataplane/frame.hpp"
#include "dataplane/limits.hpp"
#include "dataplane/mailbox.hpp"

namespace bulkhead {

/// Copies of dropped frames, and which ones: lock-free, the worker writes and control reads. What
/// finds it full is counted and left out.
class CaptureRing {
 public:
  static constexpr std::size_t kSlots = 1024;
  static constexpr std::size_t kFrameBytesMax = 3520;  // of a frame; no port's MTU allows more
  struct Slot {
    Event event;               // of the drop
    std::uint32_t length = 0;  // of `bytes`
    std::array<std::uint8_t, kFrameBytesMax> bytes;
  };

  explicit CaptureRing(std::optional<DropReason> only_reason)
      : reason_(only_reason), slots_(kSlots) {}

  /// The worker: takes a copy if the ring is about such frames.
  void offer(const Event& event, const Frame& frame);

  /// Control: only drops that count on this port; kNoPort: on any.
  void set_port(PortIndex port) { port_.store(port, std::memory_order_relaxed); }
  /// Control: the oldest, until pop(); nullptr if there is none.
  [[nodiscard]] const Slot* front() const {
    const std::uint64_t taken = taken_.load(std::memory_order_relaxed);
    return put_.load(std::memory_order_acquire) == taken ? nullptr : &slots_[taken % kSlots];
  }
  void pop() { taken_.fetch_add(1, std::memory_order_release); }
  [[nodiscard]] std::uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  const std::optional<DropReason> reason_;  // nothing: any
  std::atomic<PortIndex> port_{kNoPort};
  std::vector<Slot> slots_;
  alignas(64) std::atomic<std::uint64_t> put_{0};
  std::atomic<std::uint64_t> lost_{0};
  alignas(64) std::atomic<std::uint64_t> taken_{0};
};

inline constexpr std::size_t kCapturesMax = 4;  // at a time

/// Tells control of drops, but at most so many a port and sweep: a port that floods neither fills
/// the ring nor uses up what another port may say.
class DropReporter {
 public:
  explicit DropReporter(Mailbox& mailbox) : mailbox_(mailbox) {}

  void report(DropReason reason, bool at_egress, PortIndex port, const Frame& frame,
              bool shadow = false);
  void renew() { said_.fill(0); }
  void set_limit(std::uint16_t reports_per_sweep) { limit_ = reports_per_sweep; }
  /// In place of `before`, `after` gets every drop from now on, whole and beyond the limit;
  /// nullptr: none. False if `before` is not there.
  bool set_capture(CaptureRing* before, CaptureRing* after);

  static constexpr std::uint16_t kQuiet = 4;     // enough for a log line
  static constexpr std::uint16_t kWatched = 64;  // while somebody runs `monitor drop`

 private:
  Mailbox& mailbox_;
  std::array<CaptureRing*, kCapturesMax> captures_{};
  bool capturing_ = false;  // any of them
  std::uint16_t limit_ = kQuiet;
  std::array<std::uint16_t, kPortsMax> said_{};  // by the port that sent the frame
};

}  // namespace bulkhead
