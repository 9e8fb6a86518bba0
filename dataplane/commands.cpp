#include "dataplane/commands.hpp"

#include <algorithm>
#include <utility>

namespace bulkhead {

bool Drain::step(Worker& worker, std::uint32_t) {
  const Crossings& crossings = worker.crossings();
  bool done = true;
  for (std::size_t from = 0; from < crossings.lane_count(); ++from) {
    if (!marked_) marks_[from] = crossings.arrived(from);
    done = done && crossings.taken(from) >= marks_[from];
  }
  marked_ = true;
  return done;
}

bool SwapSnapshot::step(Worker& worker, std::uint32_t) {
  snapshot = worker.swap_snapshot(snapshot);
  return true;
}

bool ResizeFdb::step(Worker& worker, std::uint32_t) {
  if (!std::exchange(has_begun_, true)) worker.fdb().begin_move(store_);
  // What finds no place is forgotten, and that is announced: as much as there is room for.
  const std::size_t lost_max = worker.crossings().room() / MacTable::kBucketEntries;
  const auto buckets =
      static_cast<std::uint32_t>(std::min<std::size_t>(kMovedBucketsPerRound, lost_max));
  return worker.fdb().move(buckets, [&](const MacTable::Entry& entry) {
    if (!entry.heard) worker.tell_aged(entry);
  });
}

bool Plug::step(Worker& worker, std::uint32_t) {
  worker.backend(backend).plug(port, attachment);
  return true;
}

bool Unplug::step(Worker& worker, std::uint32_t) {
  attachment = worker.backend(backend).unplug(port);
  return true;
}

bool FlushFdb::step(Worker& worker, std::uint32_t) {
  const bool is_one = what_.mac && what_.segment;
  if (!(is_one ? forget_one(worker) : forget_many(worker))) return false;
  if (what_.reset) {
    worker.forwarder().counters(what_.port) = {};
    worker.forwarder().limiter().reset(what_.port);
    worker.forwarder().copy_budget().reset(what_.port);
  }
  return true;
}

bool FlushFdb::concerns(const MacTable::Entry& entry) const {
  return !entry.heard && (what_.port == kNoPort || entry.port == what_.port) &&
         (!what_.segment || entry.segment() == *what_.segment) &&
         (!what_.mac || entry.mac() == *what_.mac);
}

bool FlushFdb::may_find_more(const Fdb& fdb) const {
  return fdb.own_count() > 0 && (what_.port == kNoPort || fdb.own_count_on(what_.port) > 0) &&
         (!what_.segment || fdb.own_count_in(*what_.segment) > 0);
}

void FlushFdb::forget(Worker& worker, const MacTable::Entry& entry) {
  ++forgotten;
  worker.announce_aged(entry);
}

bool FlushFdb::forget_one(Worker& worker) {
  if (worker.crossings().room() == 0) return false;
  worker.fdb().visit_one(*what_.mac, *what_.segment, [&](const MacTable::Entry& entry) {
    const bool goes = concerns(entry);
    if (goes) forget(worker, entry);
    return goes;
  });
  return true;
}

bool FlushFdb::forget_many(Worker& worker) {
  std::uint32_t buckets = kTableBucketsPerRound;
  while (may_find_more(worker.fdb())) {
    // What is forgotten is announced: as much of it as there is room for.
    const std::size_t announced_max = worker.crossings().room() / MacTable::kBucketEntries;
    const auto slice = static_cast<std::uint32_t>(std::min<std::size_t>(buckets, announced_max));
    if (slice == 0) return false;
    buckets -= slice;
    place_ = worker.fdb().visit(place_, slice, [&](const MacTable::Entry& entry) {
      const bool goes = concerns(entry);
      if (goes) forget(worker, entry);
      return goes;
    });
    if (place_ == 0) break;
  }
  return true;
}

bool CopyFdb::step(Worker& worker, std::uint32_t now_ms) {
  if (place >= worker.fdb().bucket_count()) {  // the table is a smaller one by now
    place = 0;
    return true;
  }
  const Snapshot& snapshot = worker.snapshot();
  const std::size_t fitting = (rows_max_ - rows.size()) / MacTable::kBucketEntries;
  const auto buckets =
      static_cast<std::uint32_t>(std::min<std::size_t>(kTableBucketsPerRound, fitting));
  if (buckets == 0) return true;
  place = worker.fdb().visit(place, buckets, [&](const MacTable::Entry& entry) {
    if (!entry.heard && worker.fdb().is_alive(snapshot, entry, now_ms)) {
      rows.push_back({entry.mac(), entry.segment(), entry.port, now_ms - entry.seen_ms});
    }
    return false;
  });
  return place == 0;
}

bool CopyCounters::step(Worker& worker, std::uint32_t) {
  const std::size_t end = std::min(next_ + kCopiesPerRound, counters.size());
  for (; next_ < end; ++next_) {
    counters[next_] = worker.forwarder().counters(static_cast<PortIndex>(next_));
  }
  fdb_size = worker.fdb().own_count();
  buffers_free = worker.pool().free_count();
  rounds = worker.rounds();
  return next_ == counters.size();
}

Explain::Explain(PortIndex from_port, std::vector<std::uint8_t> frame_bytes)
    : from(from_port), bytes(std::move(frame_bytes)) {
  steps.reserve(32 + 4 * kPortsMax);
  egress.reserve(kPortsMax);
}

bool Explain::step(Worker& worker, std::uint32_t now_ms) {
  const Snapshot& snapshot = worker.snapshot();
  if (!snapshot.has(from)) return true;
  PortIndex at = kNoPort;
  const auto trace = [this, &at](Check check, bool passed) {
    steps.push_back({check, passed, at});
    return passed;
  };
  Buffer buffer;
  buffer.data = bytes.data();
  buffer.length = static_cast<std::uint32_t>(bytes.size());
  parsed = parse(Frame{&buffer, buffer.length, from});
  verdict = decide(snapshot, worker.forwarder().memory(worker.fdb()), parsed, from, now_ms, trace);
  if (verdict.kind == Verdict::Kind::unicast) egress.push_back(verdict.port);
  const ReachSet& reach = snapshot.reach[snapshot.ports[from].reach];
  for (const std::span<const PortIndex> candidates : {verdict.ports, verdict.owners}) {
    for (const PortIndex to : candidates) {
      const bool done = std::ranges::find(egress, to) != egress.end();
      if (to == from || !reach.contains(to) || done) continue;
      at = to;
      if (admit(snapshot, parsed, to, kNoPort, trace)) continue;
      egress.push_back(to);
      if (!snapshot.ports[to].enforce) (void)would_refuse(snapshot, parsed, to, trace);
    }
  }
  verdict.ports = {};
  verdict.owners = {};
  return true;
}

bool SetCapture::step(Worker& worker, std::uint32_t) {
  done = worker.forwarder().reporter().set_capture(before_, after_);
  return true;
}

bool WatchDrops::step(Worker& worker, std::uint32_t) {
  worker.forwarder().reporter().set_limit(limit_);
  return true;
}

}  // namespace bulkhead
