#include "dataplane/claims.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace bulkhead {
namespace {

__extension__ using Wide = unsigned __int128;

std::uint32_t ageing_of(const Snapshot& snapshot, SegmentIndex segment) {
  return segment < snapshot.segments.size() ? snapshot.segments[segment].ageing_ms : 0;
}

}  // namespace

std::size_t Claims::bucket_of(const Snapshot& snapshot, SegmentIndex segment,
                              std::uint64_t interface) {
  const HashKey key = snapshot.bound.hash_key();
  const Wide hash = static_cast<Wide>(interface ^ key.words[0]) *
                    (std::rotl(std::uint64_t{segment}, 40) ^ key.words[1]);
  const auto folded = static_cast<std::uint64_t>(hash) ^ static_cast<std::uint64_t>(hash >> 64);
  return folded % kBuckets;
}

bool Claims::is_fresh(const Snapshot& snapshot, const Entry& entry, std::uint32_t now_ms) {
  const std::uint32_t ageing = ageing_of(snapshot, entry.segment);
  return entry.interface != 0 && now_ms - entry.seen_ms < ageing + (entry.heard ? ageing / 4 : 0);
}

bool Claims::is_alive(const Snapshot& snapshot, const Entry& entry, std::uint32_t now_ms) {
  if (!snapshot.has(entry.port)) return false;
  const PortPolicy& port = snapshot.ports[entry.port];
  return (port.trusted || port.any_link_local) && port.segment == entry.segment &&
         port.device == entry.device && is_fresh(snapshot, entry, now_ms);
}

const Claims::Entry* Claims::entry_of(const Snapshot& snapshot, SegmentIndex segment,
                                      std::uint64_t interface) const {
  for (const Entry& entry : buckets_[bucket_of(snapshot, segment, interface)]) {
    if (entry.interface == interface && entry.segment == segment) return &entry;
  }
  return nullptr;
}

const Claims::Entry* Claims::find(const Snapshot& snapshot, SegmentIndex segment,
                                  std::uint64_t interface, std::uint32_t now_ms) const {
  const Entry* entry = entry_of(snapshot, segment, interface);
  return entry != nullptr && is_alive(snapshot, *entry, now_ms) ? entry : nullptr;
}

Claims::Entry* Claims::find(const Snapshot& snapshot, SegmentIndex segment, std::uint64_t interface,
                            std::uint32_t now_ms) {
  return const_cast<Entry*>(std::as_const(*this).find(snapshot, segment, interface, now_ms));
}

std::span<const PortIndex> Claims::holder(const Snapshot& snapshot, SegmentIndex segment,
                                          std::uint64_t interface, std::uint32_t now_ms) const {
  const Entry* entry = find(snapshot, segment, interface, now_ms);
  if (entry == nullptr) return {};
  return {&entry->port, 1};
}

bool Claims::may_use(const Snapshot& snapshot, PortIndex port, std::uint64_t interface,
                     std::uint32_t now_ms) const {
  const Entry* entry = find(snapshot, snapshot.ports[port].segment, interface, now_ms);
  if (entry != nullptr) return entry->port == port;
  return note_for(snapshot, port, interface, now_ms) != kClaimsMax &&
         place_for(snapshot, port, interface, Rank::fleeting, now_ms) != nullptr;
}

std::size_t Claims::note_for(const Snapshot& snapshot, PortIndex port, std::uint64_t interface,
                             std::uint32_t now_ms) const {
  const SegmentIndex segment = snapshot.ports[port].segment;
  const auto& notes = notes_[port];
  const auto place_of = [&](auto note) { return static_cast<std::size_t>(note - notes.begin()); };
  const auto same = std::ranges::find(notes, interface);
  if (same != notes.end()) return place_of(same);
  return place_of(std::ranges::find_if(notes, [&](std::uint64_t noted) {
    const Entry* entry = find(snapshot, segment, noted, now_ms);
    return entry == nullptr || entry->port != port;
  }));
}

const Claims::Entry* Claims::place_for(const Snapshot& snapshot, PortIndex port,
                                       std::uint64_t interface, Rank rank,
                                       std::uint32_t now_ms) const {
  const PortPolicy& policy = snapshot.ports[port];
  const Entry* free = nullptr;
  const Entry* weakest = nullptr;  // of its own
  std::size_t free_count = 0, own_count = 0;
  for (const Entry& entry : buckets_[bucket_of(snapshot, policy.segment, interface)]) {
    if (!is_alive(snapshot, entry, now_ms)) {
      if (free == nullptr || free->interface != 0) free = &entry;
      ++free_count;
    } else if (entry.port == port) {
      ++own_count;
      const bool weaker =
          weakest == nullptr || entry.rank < weakest->rank ||
          (entry.rank == weakest->rank && now_ms - entry.seen_ms > now_ms - weakest->seen_ms);
      if (weaker) weakest = &entry;
    }
  }
  if (free_count > own_count) return free;
  if (!policy.trusted || weakest == nullptr) return nullptr;
  const bool gives_way = weakest->rank == Rank::fleeting || rank == Rank::router;
  return gives_way ? weakest : nullptr;
}

Claims::Entry* Claims::begin(const Snapshot& snapshot, PortIndex port, std::uint64_t interface,
                             Rank rank, std::uint32_t now_ms) {
  const PortPolicy& policy = snapshot.ports[port];
  const Entry* place = entry_of(snapshot, policy.segment, interface);
  if (place == nullptr) place = place_for(snapshot, port, interface, rank, now_ms);
  if (place == nullptr) return nullptr;
  auto* entry = const_cast<Entry*>(place);
  *entry = {interface, now_ms, now_ms, policy.device, port, policy.segment, rank, false, false};
  return entry;
}

Claims::Entry* Claims::use(const Snapshot& snapshot, PortIndex port, std::uint64_t interface,
                           bool is_router, std::uint32_t now_ms) {
  const PortPolicy& policy = snapshot.ports[port];
  const Rank rank = is_router ? Rank::router : Rank::fleeting;
  Entry* entry = find(snapshot, policy.segment, interface, now_ms);
  if (entry != nullptr && entry->port == port) {
    const std::uint32_t quarter = ageing_of(snapshot, policy.segment) / 4;
    entry->seen_ms = now_ms;
    entry->heard = false;
    entry->rank = std::max(entry->rank, rank);
    const std::uint32_t since = now_ms - entry->told_ms;
    if (since >= std::min(quarter, kSweepMilliseconds)) {
      entry->rank = std::max(entry->rank, Rank::settled);
    }
    return entry->told && since < quarter ? nullptr : entry;
  }
  if (policy.trusted) return begin(snapshot, port, interface, rank, now_ms);
  const std::size_t note = note_for(snapshot, port, interface, now_ms);
  if (entry != nullptr || note == kClaimsMax) return nullptr;
  entry = begin(snapshot, port, interface, Rank::settled, now_ms);
  if (entry != nullptr) notes_[port][note] = interface;
  return entry;
}

bool Claims::tell(Entry& claim, std::uint32_t now_ms) {
  const bool is_router = claim.rank == Rank::router;
  if (news_ >= kNewsPerSweep + (is_router ? kNewsOfRouters : 0)) return false;
  ++news_;
  claim.told = true;
  claim.told_ms = now_ms;
  return true;
}

void Claims::hear(const Snapshot& snapshot, PortIndex port, std::uint64_t interface, Rank rank,
                  std::uint32_t now_ms) {
  if (!snapshot.has(port)) return;
  const PortPolicy& policy = snapshot.ports[port];
  Entry* entry = find(snapshot, policy.segment, interface, now_ms);
  if (entry != nullptr && entry->port == port) {
    if (entry->heard) entry->seen_ms = now_ms;
    return;
  }
  const bool is_trusteds = entry != nullptr && snapshot.ports[entry->port].trusted;
  if (is_trusteds && !policy.trusted) return;
  entry = begin(snapshot, port, interface, rank, now_ms);
  if (entry != nullptr) entry->heard = true;
}

// So that nothing is there so long that it looks new when the clock comes round.
void Claims::sweep(const Snapshot& snapshot, std::uint32_t now_ms) {
  news_ = 0;
  for (std::size_t i = 0; i < kBucketsPerSweep; ++i) {
    for (Entry& entry : buckets_[sweep_place_]) {
      if (!is_fresh(snapshot, entry, now_ms)) entry = {};
    }
    sweep_place_ = (sweep_place_ + 1) % kBuckets;
  }
}

}  // namespace bulkhead
