#include "dataplane/forward.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace bulkhead {

Forwarder::Forwarder(BufferPool& pool, std::span<Backend* const> backends, Mailbox& mailbox,
                     Crossings& crossings)
    : pool_(pool),
      backends_(backends),
      mailbox_(mailbox),
      crossings_(crossings),
      reporter_(mailbox),
      counters_(kPortsMax),
      gathered_(kPortsMax) {
  dirty_.reserve(kPortsMax);
  flooded_.reserve(kPortsMax);
}

// Flat, with what is rare kept out: the calls would cost a third of it (frame_cost).
[[gnu::flatten]] void Forwarder::forward(const Snapshot& snapshot, Fdb& fdb,
                                         std::span<const Frame> frames, std::uint32_t now_ms) {
  if (!holds(frames.size() <= kBatchFrames)) {
    for (const Frame& frame : frames.subspan(kBatchFrames)) pool_.release(frame.head);
    frames = frames.first(kBatchFrames);
  }
  for (std::size_t i = 0; i < frames.size(); ++i) {
    parse(frames[i], batch_[i].parsed);
    batch_[i].hashes = hashes_of(snapshot, batch_[i].parsed, frames[i].from);
    snapshot.bound.prefetch(batch_[i].hashes.destination);
    fdb.prefetch(batch_[i].hashes.destination);
    fdb.prefetch(batch_[i].hashes.source);
  }
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const Frame& frame = frames[i];
    const auto& [parsed, hashes] = batch_[i];
    PortCounters& ingress = counters_[frame.from];
    ++ingress.received;
    ingress.received_bytes += frame.length;
    const Verdict verdict = decide(snapshot, memory(fdb), parsed, hashes, frame.from, now_ms);
    if (verdict.kind != Verdict::Kind::unicast) [[unlikely]] {
      if (verdict.kind == Verdict::Kind::drop) {
        drop(frame, verdict);
        pool_.release(frame.head);
        continue;
      }
      if (!has_share(snapshot, frame.from, verdict.ports.size() + verdict.owners.size(), now_ms)) {
        drop(frame, DropReason::rate_limited);
        pool_.release(frame.head);
        continue;
      }
    }
    if (verdict.change == Fdb::Change::refresh) {
      fdb.refresh(snapshot, frame.from, hashes.source, verdict.shared_source, now_ms);
    }
    if (verdict.leaves_a_mark()) remember(snapshot, fdb, frame, batch_[i], verdict, now_ms);
    if (verdict.kind == Verdict::Kind::flood) [[unlikely]] {
      ++ingress.flooded;
      flood(snapshot, frame, parsed, verdict, now_ms);
      pool_.release(frame.head);
      continue;
    }
    ++ingress.unicast;
    if (flows_ != nullptr && !verdict.leaves_a_mark()) {
      note(snapshot, frame, batch_[i], verdict.port, now_ms);
    }
    if (snapshot.is_local(verdict.port)) [[likely]] {
      deliver(snapshot, verdict.port, frame);
    } else {
      cross(snapshot, verdict.port, frame, parsed.destination, snapshot.generation);
    }
  }
}

bool Forwarder::has_share(const Snapshot& snapshot, PortIndex from, std::size_t copies,
                          std::uint32_t now_ms) {
  return copies <= 1 || copy_budget_.allows(from, snapshot.ports[from].segment, now_ms);
}

// What the frame teaches and costs, but for an age.
void Forwarder::remember(const Snapshot& snapshot, Fdb& fdb, const Frame& frame, const Read& read,
                         Verdict verdict, std::uint32_t now_ms) {
  const Parsed& parsed = read.parsed;
  const PortPolicy& port = snapshot.ports[frame.from];
  limiter_.spend(frame.from, verdict.budget, port.rates, now_ms);
  if (verdict.shadow) excuse(frame.from, *verdict.shadow, false, frame);
  if (verdict.egress_shadow) excuse(verdict.port, *verdict.egress_shadow, true, frame);
  if (verdict.claims) claim(snapshot, frame.from, parsed, now_ms);
  const Fdb::Change change = verdict.change;
  const bool is_news = change == Fdb::Change::insert || change == Fdb::Change::move;
  if (!is_news || crossings_.room() == 0) return;  // without room the next frame teaches it
  const PortIndex before =
      fdb.learn(snapshot, frame.from, read.hashes.source, verdict.shared_source, change, now_ms);
  if (!crossings_.alone()) {
    const MacTable::Entry* entry = fdb.find(snapshot, read.hashes.source, now_ms);
    Crossing news;
    news.kind = Crossing::Kind::learned;
    news.entry_kind = entry->kind;
    news.from = frame.from;
    news.segment = port.segment;
    news.stamp = fdb.stamp_of(*entry);
    news.mac = parsed.source;
    crossings_.announce(news);
  }
  Event event;
  event.kind = before == kNoPort ? Event::Kind::learned : Event::Kind::moved;
  event.port = frame.from;
  event.from = before;
  event.segment = port.segment;
  event.mac = parsed.source;
  if (!mailbox_.events.push(event)) mailbox_.events_lost.fetch_add(1, std::memory_order_relaxed);
}

void Forwarder::note(const Snapshot& snapshot, const Frame& frame, const Read& read, PortIndex to,
                     std::uint32_t now_ms) {
  if (snapshot.ports[frame.from].flow_sets == 0 || snapshot.ports[to].road == 0) return;
  const FlowTable::Noted noted =
      flows_->note(snapshot, read.parsed, read.hashes, frame.from, to, now_ms);
  if (noted == FlowTable::Noted::refused) ++counters_[frame.from].flows_refused;
}

void Forwarder::claim(const Snapshot& snapshot, PortIndex port, const Parsed& parsed,
                      std::uint32_t now_ms) {
  const bool speaks_of_itself = parsed.message == Message::dad_solicitation ||
                                parsed.message == Message::neighbor_advertisement;
  const bool is_router = parsed.message == Message::router_advertisement;
  const IpAddress target = speaks_of_itself ? parsed.target : parsed.sender;
  for (const IpAddress address : {parsed.sender, target}) {
    if (!is_claimable(address) || ownership(snapshot, port, true, address) != Ownership::nobodys) {
      continue;
    }
    Claims::Entry* claim = claims_.use(snapshot, port, address.low, is_router, now_ms);
    if (claim == nullptr || crossings_.alone() || crossings_.room() == 0 ||
        !claims_.tell(*claim, now_ms)) {
      continue;  // without room the next frame announces it
    }
    Crossing news;
    news.kind = Crossing::Kind::claimed;
    news.list = static_cast<std::uint8_t>(claim->rank);
    news.from = port;
    news.interface = address.low;
    crossings_.announce(news);
  }
}

void Forwarder::flood(const Snapshot& snapshot, const Frame& frame, const Parsed& parsed,
                      Verdict verdict, std::uint32_t now_ms) {
  const PortPolicy& port = snapshot.ports[frame.from];
  const ReachSet& reach = snapshot.reach[port.reach];
  std::uint32_t copies = 0;
  std::uint32_t others = 0;  // workers with a port in the list, as bits
  for (const PortIndex to : verdict.ports) {
    if (snapshot.is_local(to)) {
      copies += offer(snapshot, reach, parsed, frame, to) ? 1 : 0;
    } else {
      others |= 1u << snapshot.ports[to].worker;
    }
  }
  for (const PortIndex to : verdict.owners) {
    if (std::ranges::find(verdict.ports, to) != verdict.ports.end()) continue;
    if (snapshot.is_local(to)) {
      copies += offer(snapshot, reach, parsed, frame, to) ? 1 : 0;
    } else if (reach.contains(to)) {
      pool_.retain(frame.head);
      cross(snapshot, to, frame, parsed.destination, 0);
    }
  }
  if (copies > 1) copy_budget_.charge(frame.from, port.segment, copies, now_ms);
  if (others == 0) return;
  Crossing flooded;
  flooded.kind = Crossing::Kind::flood;
  flooded.list = reach.number_of(verdict.ports);
  if (flooded.list == ReachSet::kNoList) return;
  flooded.from = frame.from;
  flooded.length = frame.length;
  flooded.head = frame.head;
  for (; others != 0; others &= others - 1) {
    const auto worker = static_cast<std::uint8_t>(std::countr_zero(others));
    pool_.retain(frame.head);
    if (crossings_.send(worker, flooded)) continue;
    for (const PortIndex to : verdict.ports) {
      if (snapshot.ports[to].worker != worker) continue;
      refuse(to, DropReason::overrun, frame);
    }
    pool_.release(frame.head);
  }
}

// A flooded frame, for one port of this worker.
bool Forwarder::offer(const Snapshot& snapshot, const ReachSet& reach, const Parsed& parsed,
                      const Frame& frame, PortIndex to) {
  if (to == frame.from || !reach.contains(to)) return false;
  if (const auto reason = admit(snapshot, parsed, to, kNoPort)) {
    refuse(to, *reason, frame);
    return false;
  }
  if (!snapshot.ports[to].enforce) [[unlikely]] {
    if (const auto reason = would_refuse(snapshot, parsed, to)) excuse(to, *reason, true, frame);
  }
  pool_.retain(frame.head);
  deliver_copy(snapshot, to, frame);
  return true;
}

void Forwarder::cross(const Snapshot& snapshot, PortIndex port, const Frame& frame,
                      MacAddress destination, std::uint32_t generation) {
  Crossing crossing;
  crossing.kind = Crossing::Kind::unicast;
  crossing.from = frame.from;
  crossing.to = port;
  crossing.length = frame.length;
  crossing.generation = generation;
  crossing.head = frame.head;
  if (!destination.is_group()) crossing.mac = destination;
  if (crossings_.send(snapshot.ports[port].worker, crossing)) return;
  refuse(port, DropReason::overrun, frame);
  pool_.release(frame.head);
}

void Forwarder::arrive(const Snapshot& snapshot, Fdb& fdb, const Crossing& crossing,
                       std::uint32_t now_ms) {
  switch (crossing.kind) {
    case Crossing::Kind::unicast:
      return arrive_unicast(snapshot, fdb, crossing, now_ms);
    case Crossing::Kind::flood:
      return arrive_flood(snapshot, crossing, now_ms);
    case Crossing::Kind::learned:
      return fdb.hear(crossing.mac, crossing.segment, crossing.from, crossing.entry_kind,
                      crossing.stamp);
    case Crossing::Kind::aged:
      return fdb.forget_heard(crossing.mac, crossing.segment, crossing.stamp);
    case Crossing::Kind::claimed:
      return claims_.hear(snapshot, crossing.from, crossing.interface,
                          static_cast<Claims::Rank>(crossing.list), now_ms);
  }
}

void Forwarder::arrive_unicast(const Snapshot& snapshot, const Fdb& fdb, const Crossing& crossing,
                               std::uint32_t now_ms) {
  const Frame frame{crossing.head, crossing.length, crossing.from};
  if (const auto reason = refusal(snapshot, fdb, crossing, now_ms)) {
    refuse(crossing.to, *reason, frame);
    pool_.release(frame.head);
  } else {
    deliver(snapshot, crossing.to, frame);
  }
}

// The worker of the egress port has the last word: under its own policy, and by what it knows of
// its own ports. Another worker's word counts as far as it has the same policy.
Refusal Forwarder::refusal(const Snapshot& snapshot, const Fdb& fdb, const Crossing& crossing,
                           std::uint32_t now_ms) {
  const PortIndex from = crossing.from, to = crossing.to;
  if (!snapshot.has(to) || !snapshot.is_local(to)) return DropReason::port_down;
  const PortPolicy& port = snapshot.ports[to];
  if (port.learns && !crossing.mac.is_zero() &&
      locate(snapshot, fdb, snapshot.bound.hashed(crossing.mac, port.segment), now_ms) != to) {
    return DropReason::not_addressee;
  }
  if (crossing.generation == snapshot.generation) return kPassed;
  if (!snapshot.has(from) || !snapshot.reach[snapshot.ports[from].reach].contains(to)) {
    return DropReason::isolated;
  }
  const Parsed parsed = parse({crossing.head, crossing.length, from});
  return admit(snapshot, parsed, to, crossing.mac.is_zero() ? kNoPort : to);
}

void Forwarder::arrive_flood(const Snapshot& snapshot, const Crossing& crossing,
                             std::uint32_t now_ms) {
  const Frame frame{crossing.head, crossing.length, crossing.from};
  if (snapshot.has(frame.from)) {
    const PortPolicy& port = snapshot.ports[frame.from];
    const ReachSet& reach = snapshot.reach[port.reach];
    const auto& list = reach.list(crossing.list);
    const bool is_allowed = has_share(snapshot, frame.from, list.size(), now_ms);
    const Parsed parsed = parse(frame);
    std::uint32_t copies = 0;
    for (const PortIndex to : list) {
      // By a spread port the worker where the frame came in has sent it.
      if (!snapshot.is_local(to) || snapshot.ports[to].spread) continue;
      if (is_allowed) {
        copies += offer(snapshot, reach, parsed, frame, to) ? 1 : 0;
      } else if (to != frame.from) {
        refuse(to, DropReason::rate_limited, frame);
      }
    }
    if (copies > 1) copy_budget_.charge(frame.from, port.segment, copies, now_ms);
  }
  pool_.release(frame.head);
}

void Forwarder::drop(const Frame& frame, Verdict verdict) {
  if (verdict.port == kNoPort) {
    drop(frame, verdict.reason);
  } else {  // it came in well, and its egress port refuses it
    ++counters_[frame.from].unicast;
    refuse(verdict.port, verdict.reason, frame);
  }
}

void Forwarder::drop(const Frame& frame, DropReason reason) {
  ++counters_[frame.from].dropped[index_of(reason)];
  reporter_.report(reason, false, frame.from, frame);
}

void Forwarder::refuse(PortIndex port, DropReason reason, const Frame& frame) {
  ++counters_[port].offered;
  ++counters_[port].refused[index_of(reason)];
  reporter_.report(reason, true, port, frame);
}

void Forwarder::excuse(PortIndex port, DropReason reason, bool egress, const Frame& frame) {
  ++counters_[port].shadowed[index_of(reason)];
  reporter_.report(reason, egress, port, frame, true);
}

void Forwarder::deliver(const Snapshot& snapshot, PortIndex port, const Frame& frame) {
  if (!std::exchange(gathered_[port].listed, true)) dirty_.push_back(port);
  gather(snapshot, port, frame);
}

void Forwarder::deliver_copy(const Snapshot& snapshot, PortIndex port, const Frame& frame) {
  if (!std::exchange(gathered_[port].flooded, true)) flooded_.push_back(port);
  gather(snapshot, port, frame);
}

void Forwarder::gather(const Snapshot& snapshot, PortIndex port, const Frame& frame) {
  Gathered& gathered = gathered_[port];
  if (gathered.count == gathered.frames.size()) flush_port(snapshot, port);
  gathered.bytes += frame.length;
  gathered.frames[gathered.count++] = frame;
}

void Forwarder::flush_port(const Snapshot& snapshot, PortIndex port) {
  Gathered& gathered = gathered_[port];
  const std::span<const Frame> frames(gathered.frames.data(), gathered.count);
  const std::size_t sent = backends_[snapshot.ports[port].backend]->send(port, frames);
  if (sent < frames.size()) overrun(port, frames.subspan(sent));
  PortCounters& egress = counters_[port];
  egress.offered += sent;
  egress.sent += sent;
  egress.sent_bytes += gathered.bytes;
  gathered.bytes = 0;
  gathered.count = 0;
}

// What a backend did not take.
void Forwarder::overrun(PortIndex port, std::span<const Frame> frames) {
  for (const Frame& frame : frames) {
    gathered_[port].bytes -= frame.length;
    refuse(port, DropReason::overrun, frame);
    pool_.release(frame.head);
  }
}

void Forwarder::flush(const Snapshot& snapshot) {
  for (const PortIndex port : dirty_) {
    flush_port(snapshot, port);
    gathered_[port].listed = false;
  }
  dirty_.clear();
  for (const PortIndex port : flooded_) {
    if (gathered_[port].count > 0) flush_port(snapshot, port);
    gathered_[port].flooded = false;
  }
  flooded_.clear();
}

}  // namespace bulkhead
