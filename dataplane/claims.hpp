// Which addresses of fe80::/64 are in use beyond those that ports have bound, and by whom
// (docs/ISOLATION.md, law 4).
//
// A guest with link_local = "any" has what it was the first to use. What a trusted port uses is no
// guest's, whoever was first. A claim ends with its device, and when nothing has used it for the
// segment's ageing time; find() says so at once, sweep() takes it out later.
//
// Who evicts whom: nobody another port's claim that is alive. The table is buckets of eight, and a
// port may have as many places of a bucket as it leaves free, so that a flood of addresses behind
// one port leaves room for others. A trusted port that wants more gives up its own: a router's
// (which has advertised itself) for no other than a router's, one that was used for more than a
// second for a router's only, a fleeting one for any. So a flood behind the uplink passes through
// while the router stays, and a router that comes late finds its place. A guest has kClaimsMax.
//
// The worker of the port owns a claim and tells the others of it, again at every quarter of the
// ageing time; what they have heard lives a quarter longer. One worker's thread only.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/snapshot.hpp"

namespace bulkhead {

class Claims {
 public:
  enum class Rank : std::uint8_t { fleeting, settled, router };

  struct Entry {
    std::uint64_t interface = 0;  // the lower half of the address; 0: the place is free
    std::uint32_t seen_ms = 0;
    std::uint32_t told_ms = 0;  // when the other workers were told, or it began
    std::uint32_t device = 0;   // of the port then, see PortPolicy::device
    PortIndex port = kNoPort;
    SegmentIndex segment = 0;
    Rank rank = Rank::fleeting;
    bool told = false;
    bool heard = false;  // of another worker
  };

  Claims() : buckets_(kBuckets), notes_(kPortsMax) {}

  /// Who has fe80::`interface`: one port, or none.
  [[nodiscard]] std::span<const PortIndex> holder(const Snapshot& snapshot, SegmentIndex segment,
                                                  std::uint64_t interface,
                                                  std::uint32_t now_ms) const;
  /// Whether a guest with link_local = "any" has it, or may: nobody has, and there is room.
  [[nodiscard]] bool may_use(const Snapshot& snapshot, PortIndex port, std::uint64_t interface,
                             std::uint32_t now_ms) const;
  /// A frame from `port` that was not dropped uses it; `is_router`: to advertise a router. Returns
  /// the claim if the other workers should be told of it, see tell().
  Entry* use(const Snapshot& snapshot, PortIndex port, std::uint64_t interface, bool is_router,
             std::uint32_t now_ms);
  /// Whether there may be one announcement more in this second; notes that it was made.
  bool tell(Entry& claim, std::uint32_t now_ms);
  /// Another worker's port uses it.
  void hear(const Snapshot& snapshot, PortIndex port, std::uint64_t interface, Rank rank,
            std::uint32_t now_ms);
  /// To be called once in kSweepMilliseconds.
  void sweep(const Snapshot& snapshot, std::uint32_t now_ms);

  /// Calls `visitor` with every claim of the port that is alive.
  template <class Visitor>
  void visit(const Snapshot& snapshot, PortIndex port, std::uint32_t now_ms,
             Visitor&& visitor) const {
    for (const Bucket& bucket : buckets_) {
      for (const Entry& entry : bucket) {
        if (entry.port == port && is_alive(snapshot, entry, now_ms)) visitor(entry);
      }
    }
  }

 private:
  static constexpr std::size_t kBuckets = 2048;
  static constexpr std::size_t kBucketEntries = 8;
  static constexpr std::size_t kBucketsPerSweep = 64;  // all within half a minute
  static constexpr std::uint32_t kNewsPerSweep = 256;  // announcements
  static constexpr std::uint32_t kNewsOfRouters = 64;  // and these beyond them
  using Bucket = std::array<Entry, kBucketEntries>;

  [[nodiscard]] static std::size_t bucket_of(const Snapshot& snapshot, SegmentIndex segment,
                                             std::uint64_t interface);
  /// By time alone: what a reload has taken may come back with the next.
  [[nodiscard]] static bool is_fresh(const Snapshot& snapshot, const Entry& entry,
                                     std::uint32_t now_ms);
  [[nodiscard]] static bool is_alive(const Snapshot& snapshot, const Entry& entry,
                                     std::uint32_t now_ms);
  /// Its entry, alive or not; nullptr if there is none.
  [[nodiscard]] const Entry* entry_of(const Snapshot& snapshot, SegmentIndex segment,
                                      std::uint64_t interface) const;
  /// The same if it is alive.
  [[nodiscard]] const Entry* find(const Snapshot& snapshot, SegmentIndex segment,
                                  std::uint64_t interface, std::uint32_t now_ms) const;
  [[nodiscard]] Entry* find(const Snapshot& snapshot, SegmentIndex segment, std::uint64_t interface,
                            std::uint32_t now_ms);
  /// Where a new claim of the port can be; nullptr if nowhere.
  [[nodiscard]] const Entry* place_for(const Snapshot& snapshot, PortIndex port,
                                       std::uint64_t interface, Rank rank,
                                       std::uint32_t now_ms) const;
  /// Which of a guest's notes one more claim of it can have; kClaimsMax if none.
  [[nodiscard]] std::size_t note_for(const Snapshot& snapshot, PortIndex port,
                                     std::uint64_t interface, std::uint32_t now_ms) const;
  Entry* begin(const Snapshot& snapshot, PortIndex port, std::uint64_t interface, Rank rank,
               std::uint32_t now_ms);

  std::vector<Bucket> buckets_;
  std::vector<std::array<std::uint64_t, kClaimsMax>> notes_;  // by port, a guest's claims; some
                                                              // may have ended
  std::size_t sweep_place_ = 0;
  std::uint32_t news_ = 0;  // in this second
};

}  // namespace bulkhead
