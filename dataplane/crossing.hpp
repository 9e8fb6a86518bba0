// What crosses from one worker to another: frames for its ports, and addresses that were learned,
// have aged or were claimed. One lock-free ring for each ordered pair of workers carries both in
// order, so that an address is announced ahead of every frame that followed from it; a second one
// takes the buffers home.
//
// Nobody ever waits. A frame that finds no place in its ring is dropped and counted at its egress
// port. A port may have as many places as it leaves free, so that a flood never takes what others
// need (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches",
// 1998, with a share of one); the last kReserved are kept for announcements, and who finds these
// taken too learns or forgets later: an announcement is never lost. Buffers stay the property of
// the worker that received them: it counts one reference for each time it lent them, borrowers
// count theirs.
//
// The rings are Boost.Lockfree's, filled and emptied in batches; what that costs beside a ring of
// our own is in docs/BENCHMARKS.md.
#pragma once

#include <array>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/frame.hpp"
#include "dataplane/invariant.hpp"
#include "dataplane/limits.hpp"
#include "dataplane/mac_table.hpp"

namespace bulkhead {

struct Crossing {
  enum class Kind : std::uint8_t {
    unicast,  // a frame for `to`
    flood,    // a frame for the receiver's ports among `list` of from's reach
    learned,  // `mac` is on `from` now
    aged,     // `mac` is not on `from` any more
    claimed,  // `from` has claimed fe80::`interface`, or uses it if trusted
  };
  Kind kind = Kind::unicast;
  EntryKind entry_kind = EntryKind::learned_guest;  // learned
  std::uint8_t list = 0;         // flood: see ReachSet::list(); claimed: Claims::Rank
  PortIndex from = kNoPort;      // where the frame came in; whose address it is
  PortIndex to = kNoPort;        // unicast
  SegmentIndex segment = 0;      // learned, aged
  std::uint32_t length = 0;      // of a frame, whole
  std::uint32_t generation = 0;  // unicast: of the snapshot whose check E it has passed; 0: none
  Buffer* head = nullptr;        // of a frame
  MacAddress mac;                // learned, aged; unicast: its destination, or zero if a group
  std::uint64_t stamp = 0;       // learned, aged: of the lesson
  std::uint64_t interface = 0;   // claimed

  [[nodiscard]] bool is_frame() const { return kind == Kind::unicast || kind == Kind::flood; }
};

/// The rings of one ordered pair of workers. Made by control.
struct Passage {
  static constexpr std::size_t kCrossings = 4096;
  static constexpr std::size_t kLentMax = 8192;
  boost::lockfree::spsc_queue<Crossing, boost::lockfree::capacity<kCrossings>> forth;
  boost::lockfree::spsc_queue<Buffer*, boost::lockfree::capacity<kLentMax>> home;
};

/// One worker's ends of all rings, and what it has borrowed. Its thread only.
class Crossings {
 public:
  static constexpr std::size_t kReserved = 1024;  // places of a ring that frames leave free
  static constexpr std::size_t kBatchCrossings = 64;

  struct Peer {
    Passage* out = nullptr;    // to it
    Passage* in = nullptr;     // from it
    std::uint32_t chunks = 0;  // of its pool
  };

  /// A worker alone.
  Crossings() = default;
  /// `peers`: by number of the worker, with an empty one in its own place.
  Crossings(std::uint8_t self, const std::vector<Peer>& peers);

  [[nodiscard]] bool alone() const { return lanes_.empty(); }

  /// Hands a frame over, with one of the worker's own references. False, and nothing done, if its
  /// port finds no place.
  bool send(std::uint8_t to, const Crossing& frame);
  /// How many announcements find room now.
  [[nodiscard]] std::size_t room();
  /// To everybody; there must be room.
  void announce(const Crossing& announcement);
  /// Publishes what was sent since. Says who got something, as bits.
  std::uint32_t flush();

  /// Takes what has come, a bounded number: `arrived` is called for each and owns a reference of a
  /// frame. Says whether there was any.
  template <class Arrived>
  bool receive(BufferPool& pool, Arrived&& arrived) {
    bool any = false;
    for (Lane& lane : lanes_) {
      if (lane.peer.in == nullptr) continue;
      any |= take_home(lane, pool);
      const std::size_t count = lane.peer.in->forth.pop(batch_.data(), batch_.size());
      lane.taken += count;
      any |= count > 0;
      for (const Crossing& crossing : std::span(batch_.data(), count)) {
        if (crossing.is_frame()) borrow(crossing.head);
        arrived(crossing);
      }
    }
    return any;
  }
  /// Whether anything has come and was not taken. May be asked between two rounds.
  [[nodiscard]] bool has_arrivals() const;
  /// Whether others still have buffers of this worker.
  [[nodiscard]] bool has_lent() const;

  /// How much has ever come from worker `from`: taken, and in all.
  [[nodiscard]] std::uint64_t taken(std::size_t from) const { return lanes_[from].taken; }
  [[nodiscard]] std::uint64_t arrived(std::size_t from) const;
  [[nodiscard]] std::size_t lane_count() const { return lanes_.size(); }

  /// References of borrowed frames: BufferPool::retain() and release().
  void retain(Buffer* head) { ++lanes_[head->owner].borrowed[head->chunk]; }
  void release(Buffer* head) {
    std::uint32_t& references = lanes_[head->owner].borrowed[head->chunk];
    if (--references == 0) {
      give_back(head);
    } else if (!holds(references != UINT32_MAX)) {
      references = 0;  // it was given back already
    }
  }

 private:
  struct Lane {
    Peer peer;
    std::uint32_t lent = 0;  // references that the peer has
    // Of the ring out: ever entered, pending ones too, and of these known to have been taken.
    std::size_t entered = 0;
    std::size_t left = 0;
    std::array<PortIndex, Passage::kCrossings> ports;  // whose a place is, as in the ring
    std::array<std::uint16_t, kPortsMax> places{};     // how many a port has
    std::uint64_t taken = 0;
    std::size_t pending_count = 0;
    std::array<Crossing, kBatchCrossings> pending;
    std::size_t homeward_count = 0;
    std::array<Buffer*, kBatchCrossings> homeward;
    std::vector<std::uint32_t> borrowed;  // own references of the peer's frames, by chunk
  };

  static std::size_t room(const Lane& lane) {
    return Passage::kCrossings - (lane.entered - lane.left);
  }
  static bool has_place(const Lane& lane, PortIndex port) {
    return lane.places[port] + kReserved < room(lane);
  }
  static void look(Lane& lane);
  bool append(std::size_t to, const Crossing& crossing);
  static void push_pending(Lane& lane);
  static void push_homeward(Lane& lane);
  void borrow(Buffer* head) {
    // Lent once more while we have it: one of the two loans ends at once.
    if (lanes_[head->owner].borrowed[head->chunk]++ > 0) give_back(head);
  }
  void give_back(Buffer* head);
  bool take_home(Lane& lane, BufferPool& pool);

  std::vector<Lane> lanes_;  // by worker; empty for a worker alone
  std::array<Crossing, kBatchCrossings> batch_;
  std::uint32_t told_ = 0;
};

}  // namespace bulkhead
