// What the ports have taught: the learned half of the MAC table, with ages, limits and moves.
//
// judge() says what a source address would change and whether it may; learn() does it, and is
// called only for frames that were not dropped (ISOLATION.md, law 1). An entry older than its
// segment's ageing is as good as gone at once; sweep() takes it out within a second. Entries of a
// port that no longer learns are dead too: find() asks the snapshot. One worker's thread only.
//
// The worker of a port owns what the port has taught: it counts and ages it, and announces it to
// the others (dataplane/crossing), whose entries are `heard` and live until it says otherwise. Each
// lesson has a stamp, greater than that of every lesson its worker knew of; where two workers learn
// an address at once, all keep the one with the greater stamp, in whatever order they hear of them.
// A stamp has 64 bits, so that it never wraps: ten million lessons a second take 3,600 years.
// (L. Lamport, "Time, clocks, and the ordering of events in a distributed system", 1978.)
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/drop_reason.hpp"
#include "dataplane/flow_epochs.hpp"
#include "dataplane/mac_table.hpp"
#include "dataplane/snapshot.hpp"

// The table is as large as what is known wants it: control makes another one when is_crowded() or
// is_sparse() says so, and ResizeFdb has the entries move over in slices.

namespace bulkhead {

class Fdb {
 public:
  /// The memory of the table. Made and freed by control, so that no worker allocates.
  struct Store {
    Store(std::size_t entries, HashKey key)
        : table(entries, key),
          stamps(std::size_t{table.bucket_count()} * MacTable::kBucketEntries) {}
    [[nodiscard]] bool holds(const MacTable::Entry& entry) const { return table.holds(entry); }

    MacTable table;
    // Stamps are a count, and the worker in the lowest bits: no two are the same.
    std::vector<std::uint64_t> stamps;  // by place in the table
  };
  /// What a table is made for at least, and for how many times what is known.
  static constexpr std::size_t kEntriesMin = 16'384;
  static constexpr std::size_t kRoomFactor = 2;

  enum class Change : std::uint8_t { nothing, refresh, insert, move, refuse };
  struct Judgement {
    Change change = Change::nothing;
    DropReason reason = DropReason::mac_limit;  // of a refusal
  };

  /// `entries`: learned addresses of all segments together, whichever worker owns them, for which
  /// the first table is right.
  Fdb(std::size_t entries, HashKey key, std::uint8_t worker = 0)
      : store_(entries, key), clock_(kWorkersMax - 1u - worker) {}
  Fdb(const Fdb&) = delete;
  Fdb& operator=(const Fdb&) = delete;

  /// What is told of addresses that move or are forgotten; nothing if nobody repeats verdicts.
  void set_epochs(FlowEpochs epochs) { epochs_ = epochs; }

  /// Where an address was learned; nullptr if nowhere, or if that no longer counts.
  [[nodiscard]] const MacTable::Entry* find(const Snapshot& snapshot,
                                            const MacTable::Hashed& address,
                                            std::uint32_t now_ms) const {
    const MacTable::Entry* entry = store_.table.find(address);
    return entry != nullptr && is_alive(snapshot, *entry, now_ms) ? entry : nullptr;
  }

  /// What seeing `source` on port `from` would change. `shared`: it is an address that the port may
  /// hold by turns with others, and takes over now. Changes nothing.
  [[nodiscard]] Judgement judge(const Snapshot& snapshot, PortIndex from,
                                const MacTable::Hashed& source, bool shared,
                                std::uint32_t now_ms) const {
    const MacTable::Entry* entry = store_.table.find(source);
    if (entry == nullptr || entry->port != from) {
      return judge_arrival(snapshot, from, source, entry, shared, now_ms);
    }
    const bool fresh =
        entry->seen_ms == now_ms && entry->kind == kind_of(snapshot.ports[from], shared);
    return {fresh ? Change::nothing : Change::refresh};
  }

  /// Carries out what judge() said. Returns the port that the address was on before a move.
  PortIndex learn(const Snapshot& snapshot, PortIndex from, const MacTable::Hashed& source,
                  bool shared, Change change, std::uint32_t now_ms);

  /// The part of learn() that most frames need: of an address that is where it was.
  void refresh(const Snapshot& snapshot, PortIndex from, const MacTable::Hashed& source,
               bool shared, std::uint32_t now_ms) {
    MacTable::Entry* entry = store_.table.find(source);
    entry->kind = kind_of(snapshot.ports[from], shared);
    entry->seen_ms = now_ms;
  }

  /// The kernel has forwarded frames of an address that is on `from`: the same as refresh().
  void keep_young(const Snapshot& snapshot, PortIndex from, const MacTable::Hashed& source,
                  std::uint32_t now_ms) {
    MacTable::Entry* entry = store_.table.find(source);
    if (entry == nullptr || entry->heard || entry->port != from) return;
    if (is_alive(snapshot, *entry, now_ms)) entry->seen_ms = now_ms;
  }

  /// An address as judge() and learn() want it, in the segment of the port.
  [[nodiscard]] MacTable::Hashed hashed(const Snapshot& snapshot, PortIndex from,
                                        MacAddress source) const {
    return store_.table.hashed(source, snapshot.ports[from].segment);
  }

  /// Another worker's port has taught it, with that stamp.
  void hear(MacAddress mac, SegmentIndex segment, PortIndex port, EntryKind kind,
            std::uint64_t stamp);
  /// The worker whose lesson had the stamp has forgotten it.
  void forget_heard(MacAddress mac, SegmentIndex segment, std::uint64_t stamp);
  [[nodiscard]] std::uint64_t stamp_of(const MacTable::Entry& entry) const {
    const Store& store = before_ != nullptr && before_->holds(entry) ? *before_ : store_;
    return store.stamps[store.table.place_of(entry)];
  }

  void prefetch(const MacTable::Hashed& address) const { store_.table.prefetch(address); }

  /// Takes out what is dead, or bound meanwhile, of its own in `buckets` buckets from where the
  /// last call stopped; `aged(entry)` is told of each before it goes.
  template <class Aged>
  void sweep(const Snapshot& snapshot, std::uint32_t now_ms, std::uint32_t buckets, Aged&& aged) {
    for (; buckets > 0; --buckets, sweep_place_ = next_place(sweep_place_)) {
      for (MacTable::Entry& entry : store_.table.bucket(sweep_place_)) {
        if (entry.is_free()) continue;
        entry.moves = 0;
        if (entry.heard) continue;
        const MacTable::Entry* bound = snapshot.bound.find(entry.mac(), entry.segment());
        const bool is_shared = bound != nullptr && bound->kind == EntryKind::shared;
        const bool replaced = is_shared ? !has_shared(snapshot, entry)
                                        : (bound != nullptr && bound->kind != EntryKind::away) ||
                                              entry.kind == EntryKind::shared;
        if (!replaced && is_alive(snapshot, entry, now_ms)) continue;
        aged(entry);
        forget(entry);
      }
    }
  }

  /// Visits `buckets` buckets from `place` on; the visitor says whether to forget the entry.
  /// Returns the place to go on from, 0 at the end.
  template <class Visitor>
  std::uint32_t visit(std::uint32_t place, std::uint32_t buckets, Visitor&& visitor) {
    for (; buckets > 0; --buckets) {
      for (MacTable::Entry& entry : store_.table.bucket(place)) {
        if (!entry.is_free() && visitor(std::as_const(entry))) forget(entry);
      }
      place = next_place(place);
      if (place == 0) return 0;
    }
    return place;
  }

  /// The same with the one entry of an address, if there is one.
  template <class Visitor>
  void visit_one(MacAddress mac, SegmentIndex segment, Visitor&& visitor) {
    MacTable::Entry* entry = store_.table.find(mac, segment);
    if (entry != nullptr && visitor(std::as_const(*entry))) forget(*entry);
  }

  /// Puts another table in place of the one there is, which is in `other` then: nothing may be
  /// visited until move() has said that all entries have come over.
  void begin_move(Store& other);
  /// Brings over the entries of `buckets` buckets; `lost(entry)` is told of one that finds no place
  /// before it goes. Says whether these were the last.
  template <class Lost>
  bool move(std::uint32_t buckets, Lost&& lost) {
    const std::uint32_t count = before_->table.bucket_count();
    for (; buckets > 0 && move_place_ < count; --buckets, ++move_place_) {
      for (MacTable::Entry& entry : before_->table.bucket(move_place_)) {
        if (entry.is_free() || bring_over(entry)) continue;
        lost(std::as_const(entry));
        forget(entry);
      }
    }
    if (move_place_ < count) return false;
    store_.table.end_move();
    before_ = nullptr;
    return true;
  }
  /// Whether a larger table should be made soon: three quarters are used of what it was made for.
  [[nodiscard]] bool is_crowded() const { return size() > store_.table.room() / 4 * 3; }
  /// Whether a much smaller one would do.
  [[nodiscard]] bool is_sparse() const {
    return store_.table.room() > kEntriesMin && size() < store_.table.room() / (4 * kRoomFactor) &&
           before_ == nullptr;
  }

  [[nodiscard]] bool is_alive(const Snapshot& snapshot, const MacTable::Entry& entry,
                              std::uint32_t now_ms) const {
    if (!snapshot.has(entry.port)) return false;
    const PortPolicy& port = snapshot.ports[entry.port];
    return (port.learns || entry.kind == EntryKind::shared) && port.segment == entry.segment() &&
           (entry.heard || now_ms - entry.seen_ms < snapshot.segments[port.segment].ageing_ms);
  }
  [[nodiscard]] std::uint32_t bucket_count() const { return store_.table.bucket_count(); }
  [[nodiscard]] std::size_t size() const {
    return store_.table.used() + (before_ == nullptr ? 0 : before_->table.used());
  }
  /// Of them, what this worker's ports have taught.
  [[nodiscard]] std::size_t own_count() const { return size() - heard_count_; }
  [[nodiscard]] std::uint32_t own_count_on(PortIndex port) const { return own_on_port_[port]; }
  [[nodiscard]] std::uint32_t own_count_in(SegmentIndex segment) const {
    return in_segment_[segment];
  }
  /// How many find room at most, until there is a larger table. Beyond it two in a million of the
  /// addresses that came would find no place.
  [[nodiscard]] std::size_t room() const { return 2 * store_.table.room(); }
  [[nodiscard]] HashKey hash_key() const { return store_.table.hash_key(); }

 private:
  [[nodiscard]] static EntryKind kind_of(const PortPolicy& port, bool shared) {
    if (shared) return EntryKind::shared;
    return port.trusted ? EntryKind::learned_trusted : EntryKind::learned_guest;
  }
  /// judge() of an address that is new or, in `entry`, on another port.
  [[nodiscard]] Judgement judge_arrival(const Snapshot& snapshot, PortIndex from,
                                        const MacTable::Hashed& source,
                                        const MacTable::Entry* entry, bool shared,
                                        std::uint32_t now_ms) const;
  [[nodiscard]] std::uint32_t next_place(std::uint32_t place) const {
    return (place + 1) & (store_.table.bucket_count() - 1);
  }
  void forget(MacTable::Entry& entry);
  void leave_port(const MacTable::Entry& entry);
  [[nodiscard]] Store& store_of(const MacTable::Entry& entry) {
    return before_ != nullptr && before_->holds(entry) ? *before_ : store_;
  }
  void set_stamp(const MacTable::Entry& entry, std::uint64_t stamp) {
    Store& store = store_of(entry);
    store.stamps[store.table.place_of(entry)] = stamp;
  }
  /// Into the table in use. False if there is no place.
  bool bring_over(MacTable::Entry& entry);
  /// An entry is on its port from now on, or not any more.
  void count_in(const MacTable::Entry& entry);
  void count_out(const MacTable::Entry& entry);
  /// Whether the entry is of an address that its port may still hold by turns with others.
  [[nodiscard]] static bool has_shared(const Snapshot& snapshot, const MacTable::Entry& entry) {
    if (!snapshot.has(entry.port) || entry.kind != EntryKind::shared) return false;
    const auto macs = snapshot.macs_of(snapshot.ports[entry.port]);
    return std::ranges::find(macs, entry.mac()) != macs.end();
  }

  FlowEpochs epochs_;
  Store store_;
  Store* before_ = nullptr;       // from which entries are coming over
  std::uint32_t move_place_ = 0;  // its bucket that is next
  std::uint64_t clock_;           // the last stamp
  std::array<std::uint32_t, kPortsMax> on_port_{};
  std::array<std::uint32_t, kPortsMax> own_on_port_{};
  std::array<std::uint32_t, kSegmentsMax> in_segment_{};  // its own
  std::size_t heard_count_ = 0;
  std::uint32_t sweep_place_ = 0;
};

}  // namespace bulkhead
