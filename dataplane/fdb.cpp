#include "dataplane/fdb.hpp"

#include <algorithm>

namespace bulkhead {

Fdb::Judgement Fdb::judge_arrival(const Snapshot& snapshot, PortIndex from,
                                  const MacTable::Hashed& source, const MacTable::Entry* entry,
                                  bool shared, std::uint32_t now_ms) const {
  const PortPolicy& port = snapshot.ports[from];
  const auto refuse = [](DropReason reason) { return Judgement{Change::refuse, reason}; };
  if (entry != nullptr && is_alive(snapshot, *entry, now_ms)) {
    // By what the ports are now: a reload may have changed it.
    const bool was_shared = entry->kind == EntryKind::shared;
    if (kind_of(snapshot.ports[entry->port], was_shared) > kind_of(port, shared)) {
      return refuse(DropReason::spoofed_mac);
    }
    if (entry->moves >= kMovesPerSweep) return refuse(DropReason::flapping);
  }
  if (!shared && on_port_[from] >= port.mac_max) return refuse(DropReason::mac_limit);
  if (entry != nullptr) return {Change::move};  // a dead entry makes way without a trace
  if (in_segment_[port.segment] >= snapshot.segments[port.segment].mac_limit || size() >= room() ||
      !store_.table.has_place(source)) {
    return refuse(DropReason::mac_limit);
  }
  return {Change::insert};
}

PortIndex Fdb::learn(const Snapshot& snapshot, PortIndex from, const MacTable::Hashed& source,
                     bool shared, Change change, std::uint32_t now_ms) {
  const PortPolicy& port = snapshot.ports[from];
  PortIndex before = kNoPort;
  MacTable::Entry* entry = nullptr;
  switch (change) {
    case Change::nothing:
    case Change::refuse:
      return before;
    case Change::refresh:
      refresh(snapshot, from, source, shared, now_ms);
      return before;
    case Change::insert:
      entry = store_.table.insert(source);
      break;
    case Change::move:
      entry = store_.table.find(source);
      if (is_alive(snapshot, *entry, now_ms)) {
        before = entry->port;
        ++entry->moves;
      }
      leave_port(*entry);
      break;
  }
  clock_ += kWorkersMax;
  set_stamp(*entry, clock_);
  entry->heard = false;
  entry->port = from;
  entry->kind = kind_of(port, shared);
  entry->seen_ms = now_ms;
  count_in(*entry);
  return before;
}

void Fdb::hear(MacAddress mac, SegmentIndex segment, PortIndex port, EntryKind kind,
               std::uint64_t stamp) {
  constexpr std::uint64_t kWorkerBits = kWorkersMax - 1;
  if (stamp > clock_) clock_ = (stamp & ~kWorkerBits) | (clock_ & kWorkerBits);
  MacTable::Entry* entry = store_.table.find(mac, segment);
  if (entry == nullptr) {
    entry = store_.table.insert(mac, segment);
    if (entry == nullptr) return;  // no place: unknown here
  } else {
    if (stamp <= stamp_of(*entry)) return;
    if (entry->port != port && entry->moves < kMovesPerSweep) entry->moves += 1;
    leave_port(*entry);
  }
  entry->heard = true;
  entry->port = port;
  entry->kind = kind;
  set_stamp(*entry, stamp);
  count_in(*entry);
}

void Fdb::forget_heard(MacAddress mac, SegmentIndex segment, std::uint64_t stamp) {
  MacTable::Entry* entry = store_.table.find(mac, segment);
  if (entry != nullptr && entry->heard && stamp_of(*entry) == stamp) forget(*entry);
}

void Fdb::count_in(const MacTable::Entry& entry) {
  ++on_port_[entry.port];
  if (entry.heard) {
    ++heard_count_;
  } else {
    ++own_on_port_[entry.port];
    ++in_segment_[entry.segment()];
  }
}

void Fdb::count_out(const MacTable::Entry& entry) {
  --on_port_[entry.port];
  if (entry.heard) {
    --heard_count_;
  } else {
    --own_on_port_[entry.port];
    --in_segment_[entry.segment()];
  }
}

// Where the address was, nothing of it is any more.
void Fdb::leave_port(const MacTable::Entry& entry) {
  count_out(entry);
  epochs_.advance(store_.table.hashed(entry.mac(), entry.segment()).hash);
}

void Fdb::forget(MacTable::Entry& entry) {
  leave_port(entry);
  store_of(entry).table.erase(entry);
}

void Fdb::begin_move(Store& other) {
  std::swap(store_, other);
  store_.table.begin_move(other.table);
  before_ = &other;
  move_place_ = 0;
  sweep_place_ = 0;
}

bool Fdb::bring_over(MacTable::Entry& entry) {
  MacTable::Entry* to = store_.table.insert(entry.mac(), entry.segment());
  if (to == nullptr) return false;
  *to = entry;
  store_.stamps[store_.table.place_of(*to)] = before_->stamps[before_->table.place_of(entry)];
  before_->table.erase(entry);
  return true;
}

}  // namespace bulkhead
