#include "dataplane/forward.hpp"

#include <algorithm>
#include <cassert>
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

// Flat, with what is rare kept out: the calls would cost a third of it (frame_cost).
[[gnu::flatten]] void Forwarder::forward(const Snapshot& snapshot, Fdb& fdb,
                                         std::span<const Frame> frames, std::uint32_t now_ms) {
  assert(frames.size() <= kBatchFrames);
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
    const Verdict verdict = decide(snapshot, {fdb, limiter_}, parsed, hashes, frame.from, now_ms);
    if (verdict.kind != Verdict::Kind::drop) {
      if (verdict.change == Fdb::Change::refresh) {
        fdb.refresh(snapshot, frame.from, hashes.source, verdict.shared_source, now_ms);
      }
      if (verdict.leaves_a_mark()) remember(snapshot, fdb, frame, batch_[i], verdict, now_ms);
    }
    switch (verdict.kind) {
      case Verdict::Kind::unicast:
        ++ingress.unicast;
        ++counters_[verdict.port].offered;
        deliver(snapshot, verdict.port, frame);
        break;
      case Verdict::Kind::flood:
        ++ingress.flooded;
        flood(snapshot, frame, parsed, verdict);
        pool_.release(frame.head);
        break;
      case Verdict::Kind::drop:
        drop(frame, verdict);
        pool_.release(frame.head);
        break;
    }
  }
}

// What the frame teaches and costs, but for an age.
void Forwarder::remember(const Snapshot& snapshot, Fdb& fdb, const Frame& frame, const Read& read,
                         Verdict verdict, std::uint32_t now_ms) {
  const Parsed& parsed = read.parsed;
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
  if (change != Fdb::Change::insert && change != Fdb::Change::move) return;
  const PortIndex before =
      fdb.learn(snapshot, frame.from, read.hashes.source, verdict.shared_source, change, now_ms);
  Event event;
  event.kind = before == kNoPort ? Event::Kind::learned : Event::Kind::moved;
  event.port = frame.from;
  event.from = before;
  event.segment = snapshot.ports[frame.from].segment;
  event.mac = parsed.source;
  if (!mailbox_.events.push(event)) mailbox_.events_lost.fetch_add(1, std::memory_order_relaxed);
}

void Forwarder::flood(const Snapshot& snapshot, const Frame& frame, const Parsed& parsed,
                      Verdict verdict) {
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

void Forwarder::drop(const Frame& frame, Verdict verdict) {
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
