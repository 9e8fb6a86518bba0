// The mailbox: the only road between control and a worker, two lock-free single-producer
// single-consumer rings. Control sends commands; the worker sends each one back when it is done
// and announces what it learned and dropped.
//
// Control owns every command: it makes it, and it frees it when it is back. A command may take
// many rounds, a bounded step in each; commands are carried out one after the other, in order.
#pragma once

#include <array>
#include <atomic>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstdint>

#include "dataplane/drop_reason.hpp"
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
  enum class Kind : std::uint8_t { done, learned, moved, aged, dropped, resize };
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
  std::uint32_t addresses = 0;    // resize: that want a table of another size
  std::uint32_t length = 0;       // dropped: bytes of the frame
  std::uint32_t head_length = 0;  // dropped: of them in `head`
  std::array<std::uint8_t, kHeadBytes> head{};
};

struct Mailbox {
  boost::lockfree::spsc_queue<Command*, boost::lockfree::capacity<256>> commands;
  boost::lockfree::spsc_queue<Event, boost::lockfree::capacity<4096>> events;
  std::atomic<std::uint64_t> events_lost{0};  // announcements that found the ring full
};

}  // namespace bulkhead
