#include "dataplane/forward.hpp"

#include <algorithm>
#include <cassert>
#include <new>
#include <utility>

namespace bulkhead {

Forwarder::Forwarder(BufferPool& pool, std::span<Backend* const> backends, Mailbox& mailbox)
    : pool_(pool),
      backends_(backends),
      mailbox_(mailbox),
      reporter_(mailbox),
      counters_(kPortsMax),
      gathered_(kPortsMax) {
  dirty_.reserve(kPortsMax);
}

void Forwarder::forward(const Snapshot& snapshot, Fdb& fdb, std::span<const Frame> frames,
                        std::uint32_t now_ms) {
  assert(frames.size() <= kBatchFrames);
  for (std::size_t i = 0; i < frames.size(); ++i) {
    // Made in place, here and below: a copy would wait for the parts of what was just written.
    new (&parsed_[i]) Parsed(parse(frames[i]));
    const SegmentIndex segment = snapshot.ports[frames[i].from].segment;
    const MacTable::Hashed destination = snapshot.bound.hashed(parsed_[i].destination, segment);
    snapshot.bound.prefetch(destination);
    fdb.prefetch(destination);
  }
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const Frame& frame = frames[i];
    PortCounters& ingress = counters_[frame.from];
    ++ingress.received;
    ingress.received_bytes += frame.length;
    new (&verdicts_[i]) Verdict(decide(snapshot, {fdb, limiter_}, parsed_[i], frame.from, now_ms));
    if (verdicts_[i].kind != Verdict::Kind::drop && verdicts_[i].leaves_a_mark()) {
      remember(snapshot, fdb, frame, parsed_[i], verdicts_[i], now_ms);
    }
  }
  for (std::size_t i = 0; i < frames.size(); ++i) {
    if (verdicts_[i].kind != Verdict::Kind::unicast) continue;
    ++counters_[frames[i].from].unicast;
    ++counters_[verdicts_[i].port].offered;
    deliver(snapshot, verdicts_[i].port, frames[i]);
  }
  for (std::size_t i = 0; i < frames.size(); ++i) {
    if (verdicts_[i].kind != Verdict::Kind::flood) continue;
    ++counters_[frames[i].from].flooded;
    flood(snapshot, frames[i], parsed_[i], verdicts_[i]);
    pool_.release(frames[i].head);
  }
  for (std::size_t i = 0; i < frames.size(); ++i) {
    if (verdicts_[i].kind != Verdict::Kind::drop) continue;
    drop(frames[i], verdicts_[i]);
    pool_.release(frames[i].head);
  }
}

// What the frame teaches and costs.
void Forwarder::remember(const Snapshot& snapshot, Fdb& fdb, const Frame& frame,
                         const Parsed& parsed, const Verdict& verdict, std::uint32_t now_ms) {
  const PortPolicy& port = snapshot.ports[frame.from];
  limiter_.spend(frame.from, verdict.budget, port.rates, now_ms);
  if (verdict.shadow) {
    ++counters_[frame.from].shadowed[index_of(*verdict.shadow)];
    reporter_.report(*verdict.shadow, false, frame.from, frame, true);
  }
  if (verdict.claims) {
    const bool speaks_of_itself = parsed.message == Message::dad_solicitation ||
                                  parsed.message == Message::neighbor_advertisement;
    const IpAddress target = speaks_of_itself ? parsed.nd_target : parsed.sender;
    for (const IpAddress address : {parsed.sender, target}) {
      if (is_claimable(address) &&
          ownership(snapshot, frame.from, true, address) == Ownership::nobodys &&
          fdb.may_claim(snapshot, frame.from, address.low)) {
        fdb.claim(frame.from, address.low);
      }
    }
  }
  const Fdb::Change change = verdict.change;
  const PortIndex before =
      fdb.learn(snapshot, frame.from, parsed.source, verdict.shared_source, change, now_ms);
  if (change != Fdb::Change::insert && change != Fdb::Change::move) return;
  Event event;
  event.kind = before == kNoPort ? Event::Kind::learned : Event::Kind::moved;
  event.port = frame.from;
  event.from = before;
  event.segment = snapshot.ports[frame.from].segment;
  event.mac = parsed.source;
  if (!mailbox_.events.push(event)) mailbox_.events_lost.fetch_add(1, std::memory_order_relaxed);
}

void Forwarder::flood(const Snapshot& snapshot, const Frame& frame, const Parsed& parsed,
                      const Verdict& verdict) {
  const ReachSet& reach = snapshot.reach[snapshot.ports[frame.from].reach];
  const auto offer = [&](PortIndex to) {
    if (to == frame.from || !reach.contains(to)) return;
    ++counters_[to].offered;
    if (const auto reason = admit(snapshot, parsed, to, kNoPort)) {
      refuse(to, *reason, frame);
      return;
    }
    ++frame.head->references;
    deliver(snapshot, to, frame);
  };
  for (const PortIndex to : verdict.ports) offer(to);
  for (const PortIndex to : verdict.owners) {
    if (std::ranges::find(verdict.ports, to) == verdict.ports.end()) offer(to);
  }
}

void Forwarder::drop(const Frame& frame, const Verdict& verdict) {
  if (verdict.port == kNoPort) {
    ++counters_[frame.from].dropped[index_of(verdict.reason)];
    reporter_.report(verdict.reason, false, frame.from, frame);
  } else {  // it came in well, and its egress port refuses it
    ++counters_[frame.from].unicast;
    ++counters_[verdict.port].offered;
    refuse(verdict.port, verdict.reason, frame);
  }
}

void Forwarder::refuse(PortIndex port, DropReason reason, const Frame& frame) {
  ++counters_[port].refused[index_of(reason)];
  reporter_.report(reason, true, port, frame);
}

void Forwarder::deliver(const Snapshot& snapshot, PortIndex port, const Frame& frame) {
  Gathered& gathered = gathered_[port];
  if (gathered.count == gathered.frames.size()) flush_port(snapshot, port);
  if (!std::exchange(gathered.listed, true)) dirty_.push_back(port);
  gathered.frames[gathered.count++] = frame;
}

void Forwarder::flush_port(const Snapshot& snapshot, PortIndex port) {
  Gathered& gathered = gathered_[port];
  const std::span<const Frame> frames(gathered.frames.data(), gathered.count);
  PortCounters& egress = counters_[port];
  const std::size_t sent = backends_[snapshot.ports[port].backend]->send(port, frames);
  egress.sent += sent;
  for (const Frame& frame : frames.first(sent)) egress.sent_bytes += frame.length;
  for (const Frame& frame : frames.subspan(sent)) {
    refuse(port, DropReason::overrun, frame);
    pool_.release(frame.head);
  }
  gathered.count = 0;
}

void Forwarder::flush(const Snapshot& snapshot) {
  for (const PortIndex port : dirty_) {
    flush_port(snapshot, port);
    gathered_[port].listed = false;
  }
  dirty_.clear();
}

}  // namespace bulkhead
