// The mailbox: the only road between control and a worker, two lock-free single-producer
// single-consumer rings. Control sends commands; the worker sends each one back when it is done
// and announces what it learned and dropped.
//
// Control owns every command: it makes it, and it frees it when it is back. A command may take
// many rounds, a bounded step in each; commands are carried out one after the other, in order.
//
// Beside it, for those who capture, rings of whole dropped frames: control makes each, a command
// lends it to the worker and another takes it back.
#pragma once

#include <array>
#include <atomic>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstdint>
#include <optional>
#include <vector>

#include "dataplane/drop_reason.hpp"
#include "dataplane/frame.hpp"
#include "dataplane/limits.hpp"
#include "dataplane/mac_address.hpp"

namespace bulkhead {

class Worker;

class Command {
 public:
  Command() = default;
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;
  virtual ~Command() = default;
  /// On the worker's thread: a bounded piece of the work. Says whether it is done.
  virtual bool step(Worker& worker, std::uint32_t now_ms) = 0;
};

/// What a worker has to say. Trivially copyable.
struct Event {
  enum class Kind : std::uint8_t { done, learned, moved, aged, dropped };
  static constexpr std::size_t kHeadBytes = 96;

  Kind kind = Kind::done;
  DropReason reason = DropReason::malformed;  // dropped
  bool at_egress = false;                     // dropped: `port` is the one that would have got it
  bool shadow = false;                        // dropped: it was not, its port being in shadow mode
  PortIndex port = kNoPort;
  PortIndex from = kNoPort;  // moved: the port before; dropped: where the frame came in
  SegmentIndex segment = 0;
  MacAddress mac;                 // learned, moved, aged
  Command* command = nullptr;     // done
  std::uint32_t length = 0;       // dropped: bytes of the frame
  std::uint32_t head_length = 0;  // dropped: of them in `head`
  std::array<std::uint8_t, kHeadBytes> head{};
};

struct Mailbox {
  boost::lockfree::spsc_queue<Command*, boost::lockfree::capacity<256>> commands;
  boost::lockfree::spsc_queue<Event, boost::lockfree::capacity<4096>> events;
  std::atomic<std::uint64_t> events_lost{0};  // announcements that found the ring full
};

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

}  // namespace bulkhead
