// The policy: what becomes of a frame. Start reading here.
//
// decide() is the single judge for the wire, the tests, the fuzzers and `bulkhead explain`. It is
// pure: it reads the frame's parse result, the snapshot and what was learned, and changes nothing.
// Its checks stand in the order and under the numbers of docs/ISOLATION.md; the first that fails
// names the reason. forward() carries the verdict out, and learns from what was not dropped.
//
// The theorem: no frame from p leaves q unless q is in reach[p], p's binding covers its source and
// q's binding covers its destination. The first two are decide()'s, the third is admit()'s, which
// every egress passes, unicast and flood alike, whatever the MAC table says.
//
// Every check goes through a Trace, so that `explain` hears of each; the wire's trace is empty and
// compiles to nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/drop_reason.hpp"
#include "dataplane/fdb.hpp"
#include "dataplane/parse.hpp"
#include "dataplane/snapshot.hpp"

namespace bulkhead {

struct Verdict {
  enum class Kind : std::uint8_t { unicast, flood, drop };
  Kind kind = Kind::drop;
  DropReason reason = DropReason::malformed;  // of a drop
  PortIndex port = kNoPort;  // unicast: where to; drop: the egress port that refuses, or kNoPort if
                             // the drop is the ingress port's
  std::span<const PortIndex>
      ports;  // flood: candidates; `from` and what admit() refuses is left out
  Fdb::Change change = Fdb::Change::nothing;  // what the source address teaches, if not dropped
};

/// The checks by name, as `explain` prints them.
enum class Check : std::uint8_t {
  whole_header,
  length,
  source_address,
  source_binding,
  no_tag,
  no_bridge_control,
  ethertype,
  learning,
  known_destination,
  no_hairpin,
  reach,
  egress_up,
  egress_length,
  egress_address,
};

struct NoTrace {
  constexpr bool operator()(Check, bool passed) const { return passed; }
};

/// Where a destination address is: bound or static first, learned otherwise; kNoPort if nowhere.
[[nodiscard]] inline PortIndex locate(const Snapshot& snapshot, const Fdb& fdb, MacAddress mac,
                                      SegmentIndex segment, std::uint32_t now_ms) {
  if (const MacTable::Entry* entry = snapshot.bound.find(mac, segment)) return entry->port;
  if (const MacTable::Entry* entry = fdb.find(snapshot, mac, segment, now_ms)) return entry->port;
  return kNoPort;
}

[[nodiscard]] inline bool has_mac(const Snapshot& snapshot, const PortPolicy& port,
                                  MacAddress mac) {
  const std::span<const MacAddress> macs = snapshot.macs_of(port);
  return std::ranges::find(macs, mac) != macs.end();
}

/// Check E: may this frame leave by `to`? `located` is locate() of its destination. Nothing if so.
/// A guest gets group frames and what is for its own addresses; a port without a MAC list whose
/// `unknown` is on also what is for nobody known (there may be a switch behind it).
template <class Trace = NoTrace>
[[nodiscard]] std::optional<DropReason> admit(const Snapshot& snapshot, const Parsed& frame,
                                              PortIndex to, PortIndex located,
                                              const Trace& trace = {}) {
  const PortPolicy& port = snapshot.ports[to];
  if (!trace(Check::egress_up, port.up)) return DropReason::port_down;
  if (!trace(Check::egress_length, frame.length <= port.frame_bytes_max))
    return DropReason::too_big;
  const bool own = port.learns ? located == to || (located == kNoPort && port.unknown)
                               : has_mac(snapshot, port, frame.destination);
  if (!trace(Check::egress_address, port.trusted || frame.destination.is_group() || own)) {
    return DropReason::not_addressee;
  }
  return std::nullopt;
}

namespace detail {

/// Checks 1 to 5 of docs/ISOLATION.md. Nothing if the frame may come in.
template <class Trace>
[[nodiscard]] std::optional<DropReason> may_enter(const Snapshot& snapshot, const Parsed& frame,
                                                  PortIndex from, const Trace& trace) {
  const PortPolicy& port = snapshot.ports[from];
  // 1
  if (!trace(Check::whole_header, frame.whole_header)) return DropReason::malformed;
  if (!trace(Check::length, frame.length <= port.frame_bytes_max)) return DropReason::too_big;
  // 2
  const bool sound =
      !frame.source.is_group() && !frame.source.is_zero() && frame.source != frame.destination;
  if (!trace(Check::source_address, sound)) return DropReason::bad_source;
  bool own;
  if (!port.trusted && !port.learns) {
    own = has_mac(snapshot, port, frame.source);
  } else {  // law 4: what is bound is nobody else's
    const MacTable::Entry* bound = snapshot.bound.find(frame.source, port.segment);
    own = bound == nullptr || bound->port == from;
  }
  if (!trace(Check::source_binding, own)) return DropReason::spoofed_mac;
  // 3
  if (!port.trusted && !trace(Check::no_tag, frame.payload != Payload::tag)) {
    return DropReason::tagged;
  }
  // 4
  if (!trace(Check::no_bridge_control, !frame.bridge_control)) return DropReason::control_frame;
  // 5
  if (!port.trusted && !trace(Check::ethertype, frame.payload != Payload::other)) {
    return DropReason::ethertype;
  }
  return std::nullopt;
}

/// ISOLATION.md, "Where it goes".
template <class Trace>
[[nodiscard]] Verdict route(const Snapshot& snapshot, const Fdb& fdb, const Parsed& frame,
                            PortIndex from, std::uint32_t now_ms, const Trace& trace) {
  const PortPolicy& port = snapshot.ports[from];
  const ReachSet& reach = snapshot.reach[port.reach];
  Verdict verdict;
  const auto drop = [&verdict](DropReason reason, PortIndex refuser = kNoPort) {
    verdict.reason = reason;
    verdict.port = refuser;
    return verdict;
  };
  if (frame.destination.is_group()) {
    verdict.kind = Verdict::Kind::flood;
    verdict.ports = reach.flood;
    return verdict;
  }
  const PortIndex to = locate(snapshot, fdb, frame.destination, port.segment, now_ms);
  if (to == kNoPort) {
    const bool taken =
        reach.unknown.size() > 1 || (reach.unknown.size() == 1 && reach.unknown.front() != from);
    if (!trace(Check::known_destination, taken)) return drop(DropReason::unknown_destination);
    verdict.kind = Verdict::Kind::flood;
    verdict.ports = reach.unknown;
    return verdict;
  }
  if (!trace(Check::no_hairpin, to != from)) return drop(DropReason::hairpin);
  if (!trace(Check::reach, reach.contains(to))) return drop(DropReason::isolated);
  if (const auto reason = admit(snapshot, frame, to, to, trace)) return drop(*reason, to);
  verdict.kind = Verdict::Kind::unicast;
  verdict.port = to;
  return verdict;
}

}  // namespace detail

/// The verdict on a frame that came in by `from`, a present port. Any thread that owns what it
/// reads.
template <class Trace = NoTrace>
[[nodiscard]] Verdict decide(const Snapshot& snapshot, const Fdb& fdb, const Parsed& frame,
                             PortIndex from, std::uint32_t now_ms, const Trace& trace = {}) {
  Verdict drop;
  if (const auto reason = detail::may_enter(snapshot, frame, from, trace)) {
    drop.reason = *reason;
    return drop;
  }
  Fdb::Judgement taught;
  const PortPolicy& port = snapshot.ports[from];
  // A static address on its own port is known already.
  if (port.learns && snapshot.bound.find(frame.source, port.segment) == nullptr) {
    taught = fdb.judge(snapshot, from, frame.source, now_ms);
    if (!trace(Check::learning, taught.change != Fdb::Change::refuse)) {
      drop.reason = taught.reason;
      return drop;
    }
  }
  Verdict verdict = detail::route(snapshot, fdb, frame, from, now_ms, trace);
  if (verdict.kind != Verdict::Kind::drop) verdict.change = taught.change;  // law 1
  return verdict;
}

}  // namespace bulkhead
