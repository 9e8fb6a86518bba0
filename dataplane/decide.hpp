// The policy: what becomes of a frame. Start reading here.
//
// decide() is the single judge for the wire, the tests, the fuzzers and `bulkhead explain`. It is
// pure: it reads the frame's parse result, the snapshot and what the worker remembers, and changes
// nothing. Its checks stand in the order and under the numbers of docs/ISOLATION.md; the first that
// fails names the reason. forward() carries the verdict out, and learns from what was not dropped.
//
// The theorem: no frame from p leaves q unless q is in reach[p], p's binding covers its source and
// q's binding covers its destination. The first two are decide()'s, the third is admit()'s, which
// every egress passes, unicast and flood alike, whatever the MAC table says.
//
// Every check goes through a Trace, so that `explain` hears of each; the wire's trace is empty and
// compiles to nothing.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <span>

#include "dataplane/claims.hpp"
#include "dataplane/drop_reason.hpp"
#include "dataplane/fdb.hpp"
#include "dataplane/limiter.hpp"
#include "dataplane/parse.hpp"
#include "dataplane/snapshot.hpp"

namespace bulkhead {

struct Verdict {
  enum class Kind : std::uint8_t { unicast, flood, drop };
  Kind kind = Kind::drop;
  DropReason reason = DropReason::malformed;  // of a drop
  PortIndex port = kNoPort;  // unicast: where to; drop: the egress port that refuses, or kNoPort if
                             // the drop is the ingress port's
  // flood: candidates, without repetition. `from`, what is out of reach and what admit() refuses is
  // left out.
  std::span<const PortIndex> ports;
  std::span<const PortIndex> owners;
  // What the frame teaches and costs, if it is not dropped.
  Fdb::Change change = Fdb::Change::nothing;
  bool shared_source = false;
  bool claims =
      false;  // its sender or target is a link-local address that is the port's from now on
  Budget budget = Budget::none;
  Refusal shadow;         // what it would have been dropped as, were the port enforced
  Refusal egress_shadow;  // unicast: what `port` would have refused it as, were it enforced

  /// Whether the frame, if it is not dropped, changes more than the age of its source.
  [[nodiscard]] bool leaves_a_mark() const {
    return change > Fdb::Change::refresh || budget != Budget::none || claims || bool(shadow) ||
           bool(egress_shadow);
  }
};

/// The checks by name, as `explain` prints them.
enum class Check : std::uint8_t {
#define CHECK(name, text) name,
#include "dataplane/checks.def"
#undef CHECK
};

#ifdef BULKHEAD_MUTANTS
/// Of the mutants' build (tests/mutants.py) only: the check that passes whatever it finds.
[[nodiscard]] bool is_removed(Check check);
#else
[[nodiscard]] constexpr bool is_removed(Check) { return false; }
#endif

struct NoTrace {
  bool operator()(Check check, bool passed) const { return passed || is_removed(check); }
};

/// What a worker remembers from one frame to the next.
struct Memory {
  const Fdb& fdb;
  const Limiter& limiter;
  const Claims& claims;
};

/// Where a frame's addresses are in every MAC table: hashed once.
struct Hashes {
  MacTable::Hashed source;
  MacTable::Hashed destination;
};
[[nodiscard]] inline Hashes hashes_of(const Snapshot& snapshot, const Parsed& frame,
                                      PortIndex from) {
  const SegmentIndex segment = snapshot.ports[from].segment;
  return {snapshot.bound.hashed(frame.source, segment),
          snapshot.bound.hashed(frame.destination, segment)};
}

[[nodiscard]] inline bool has_mac(const Snapshot& snapshot, const PortPolicy& port,
                                  MacAddress mac) {
  if (mac == port.first_mac) return true;
  constexpr std::size_t kFewMacs = 4;  // as fast to go through as to look up
  if (port.mac_count > kFewMacs) {
    const MacTable::Entry* bound = snapshot.bound.find(mac, port.segment);
    if (bound == nullptr) return false;
    if (bound->kind == EntryKind::bound) return &snapshot.ports[bound->port] == &port;
  }
  const std::span<const MacAddress> macs = snapshot.macs_of(port);
  return std::ranges::find(macs, mac) != macs.end();
}

/// Where a destination address is: bound or static first, learned otherwise; kNoPort if nowhere.
[[nodiscard]] inline PortIndex locate(const Snapshot& snapshot, const Fdb& fdb,
                                      const MacTable::Hashed& address, std::uint32_t now_ms) {
  assert(snapshot.bound.hash_key() == fdb.hash_key());
  const MacTable::Entry* bound = snapshot.bound.find(address);
  if (bound != nullptr && stays(bound->kind)) return bound->port;
  if (const MacTable::Entry* entry = fdb.find(snapshot, address, now_ms)) return entry->port;
  return kNoPort;
}

/// Whose an IP address is, seen from one port.
enum class Ownership : std::uint8_t { own, others, nobodys };

/// Who has an address bound. The unspecified address is nobody's, whatever prefix covers it.
[[nodiscard]] inline std::span<const PortIndex> owners_of(const Snapshot& snapshot,
                                                          SegmentIndex segment, bool is_v6,
                                                          IpAddress address) {
  if (address.is_zero()) return {};
  return snapshot.addresses.owners(segment, is_v6, address);
}

[[nodiscard]] inline Ownership ownership(const Snapshot& snapshot, PortIndex index, bool is_v6,
                                         IpAddress address) {
  if (address == snapshot.ports[index].first_address[is_v6 ? 1 : 0] && !address.is_zero()) {
    return Ownership::own;
  }
  const auto owners = owners_of(snapshot, snapshot.ports[index].segment, is_v6, address);
  if (owners.empty()) return Ownership::nobodys;
  return std::ranges::find(owners, index) != owners.end() ? Ownership::own : Ownership::others;
}

/// Of one station, and of use beyond a link: what a route can be about.
[[nodiscard]] constexpr bool is_routable(bool is_v6, IpAddress address) {
  if (is_v6) {
    const bool is_loopback = address.high == 0 && address.low <= 1;  // and ::
    return !is_loopback && !address.is_v6_multicast() && !address.is_v6_link_local();
  }
  const std::uint64_t network = address.low >> 24;
  return network != 0 && network != 127 && network < 224;  // multicast, reserved, broadcast
}

/// What a port with link_local = "any" may claim.
[[nodiscard]] constexpr bool is_claimable(IpAddress address) {
  return address.high == 0xfe80'0000'0000'0000 && address.low != 0;
}

[[nodiscard]] inline bool has_route(const Snapshot& snapshot, const PortPolicy& port, bool is_v6,
                                    IpAddress address) {
  if (port.route_count == 0 || !is_routable(is_v6, address)) return false;
  return std::ranges::any_of(snapshot.routes_of(port), [&](const RoutePrefix& route) {
    return route.is_v6 == is_v6 && address.masked(is_v6, route.bits) == route.prefix;
  });
}

/// Check E: may this frame leave by `to`? `located` is locate() of its destination. Nothing if so.
template <class Trace = NoTrace>
[[nodiscard]] Refusal admit(const Snapshot& snapshot, const Parsed& frame, PortIndex to,
                            PortIndex located, const Trace& trace = {});

/// What check E would say of a frame that it lets pass, were `to`, which is in shadow, enforced.
template <class Trace = NoTrace>
[[nodiscard]] Refusal would_refuse(const Snapshot& snapshot, const Parsed& frame, PortIndex to,
                                   const Trace& trace = {});

/// The verdict on a frame that came in by `from`: a drop if that port is not present; `hashes` are
/// hashes_of() it. Any thread that owns what it reads.
template <class Trace = NoTrace>
[[nodiscard]] Verdict decide(const Snapshot& snapshot, const Memory& memory, const Parsed& frame,
                             const Hashes& hashes, PortIndex from, std::uint32_t now_ms,
                             const Trace& trace = {});
template <class Trace = NoTrace>
[[nodiscard]] Verdict decide(const Snapshot& snapshot, const Memory& memory, const Parsed& frame,
                             PortIndex from, std::uint32_t now_ms, const Trace& trace = {}) {
  return decide(snapshot, memory, frame, hashes_of(snapshot, frame, from), from, now_ms, trace);
}

namespace detail {

/// What every check of one frame looks at.
template <class Trace>
struct Case {
  const Snapshot& snapshot;
  const Memory& memory;
  const Parsed& frame;
  const Hashes& hashes;
  PortIndex from;
  const PortPolicy& port;
  const MacTable::Entry* bound;  // the source's, if it need not be the port's own
  std::uint32_t now_ms;
  const Trace& trace;

  [[nodiscard]] bool is_v6() const { return frame.payload == Payload::ipv6; }
  [[nodiscard]] bool speaks(bool v6) const {
    return port.any_ip || (v6 ? port.has_v6 : port.has_v4);
  }

  /// May the port say that the address is its own, by ARP, ND or as a source?
  [[nodiscard]] bool may_claim(bool v6, IpAddress address) const {
    if (!speaks(v6)) return false;
    switch (whose(v6, address)) {
      case Ownership::own:
        return true;
      case Ownership::others:
        return false;
      default:  // of fe80::/64, it belongs to who claims it first
        return port.any_ip || (v6 && port.any_link_local && is_claimable(address) &&
                               memory.claims.may_use(snapshot, from, address.low, now_ms));
    }
  }
  /// Who has it: bound, or a link-local address that a port has claimed, or uses if trusted.
  [[nodiscard]] std::span<const PortIndex> holders(bool v6, IpAddress address) const {
    const auto owners = owners_of(snapshot, port.segment, v6, address);
    if (!owners.empty() || !v6 || !is_claimable(address)) return owners;
    return memory.claims.holder(snapshot, port.segment, address.low, now_ms);
  }
  [[nodiscard]] Ownership whose(bool v6, IpAddress address) const {
    if (address == port.first_address[v6 ? 1 : 0] && !address.is_zero()) return Ownership::own;
    const auto who = holders(v6, address);
    if (who.empty()) return Ownership::nobodys;
    return std::ranges::find(who, from) != who.end() ? Ownership::own : Ownership::others;
  }
  [[nodiscard]] bool may_send_from(bool v6, IpAddress address) const {
    return may_claim(v6, address) || (has_route(snapshot, port, v6, address) && speaks(v6) &&
                                      whose(v6, address) == Ownership::nobodys);
  }
  /// Does the frame speak for the port itself? The address of another port is not its own.
  [[nodiscard]] bool claims_own_mac() const {
    return frame.claimed == frame.source || has_mac(snapshot, port, frame.claimed);
  }
};

/// Whether there may be a sender or target that the parser has not seen.
[[nodiscard]] constexpr bool hides_addresses(const Parsed& frame) {
  const Flaw flaw = frame.flaw;
  if (frame.payload == Payload::tag) return true;  // hosts take ARP behind a tag of VID 0
  return flaw != Flaw::none && flaw != Flaw::ipv4_option && flaw != Flaw::ipv4_payload &&
         flaw != Flaw::dhcp_form;
}

/// Whether a MAC is another port's, or shared by others.
template <class Trace>
[[nodiscard]] bool is_bound_to_others(const Case<Trace>& c, MacAddress mac) {
  const MacTable::Entry* bound = c.snapshot.bound.find(mac, c.port.segment);
  return bound != nullptr && bound->port != c.from && !has_mac(c.snapshot, c.port, mac);
}

/// Whether the frame speaks for an address that others have, of whatever family.
template <class Trace>
[[nodiscard]] bool speaks_for_others(const Case<Trace>& c) {
  const Parsed& frame = c.frame;
  const bool v6 = c.is_v6();
  const auto is_others = [&](IpAddress address) {
    return c.whose(v6, address) == Ownership::others;
  };
  const bool is_arp = frame.payload == Payload::arp && frame.flaw == Flaw::none;
  if ((frame.is_ip() || is_arp) && is_others(frame.sender)) return true;
  if (frame.flaw != Flaw::none) return false;
  switch (frame.message) {
    case Message::arp_probe:
      return is_others(frame.receiver);
    case Message::dhcp_client:
    case Message::dad_solicitation:
    case Message::neighbor_advertisement:
      return is_others(frame.target);
    default:
      return false;
  }
}

/// Law 4, the part that no port is excused from: what is bound is nobody else's.
// Used for shadow mode: what hides its addresses from the parser cannot be excused either.
template <class Trace>
[[nodiscard]] bool takes_what_is_others(const Case<Trace>& c) {
  if (hides_addresses(c.frame) || is_bound_to_others(c, c.frame.source)) return true;
  const bool is_client = c.frame.message == Message::dhcp_client;
  return (is_client && is_bound_to_others(c, c.frame.claimed)) || speaks_for_others(c);
}

// Checks 1 and 2, and 4: every port's.
template <class Trace>
[[nodiscard]] Refusal check_ethernet(const Case<Trace>& c) {
  const Parsed& frame = c.frame;
  if (!c.trace(Check::whole_header, frame.whole_header)) return DropReason::malformed;
  if (!c.trace(Check::length, frame.length <= c.port.frame_bytes_max)) return DropReason::too_big;
  const bool sound =
      !frame.source.is_group() && !frame.source.is_zero() && frame.source != frame.destination;
  if (!c.trace(Check::source_address, sound)) return DropReason::bad_source;
  bool own;
  if (!c.port.trusted && !c.port.any_mac) {
    own = has_mac(c.snapshot, c.port, frame.source);
  } else {
    const bool may_have = c.port.trusted && c.bound != nullptr && c.bound->kind == EntryKind::away;
    own = c.bound == nullptr || c.bound->port == c.from || may_have ||
          has_mac(c.snapshot, c.port, frame.source);
  }
  if (!c.trace(Check::source_binding, own)) return DropReason::spoofed_mac;
  if (!c.port.trusted && !c.trace(Check::no_tag, frame.payload != Payload::tag)) {
    return DropReason::tagged;  // check 3
  }
  if (!c.trace(Check::no_bridge_control, !frame.bridge_control)) return DropReason::control_frame;
  return kPassed;
}

/// Behind check 5: a port speaks the families that it has addresses of. Speaking for others is a
/// fault of its own kind, which the checks behind this one find.
template <class Trace>
[[nodiscard]] bool may_speak(const Case<Trace>& c) {
  const bool has_family = c.frame.is_ip() || c.frame.payload == Payload::arp;
  return !has_family || c.speaks(c.is_v6()) || speaks_for_others(c);
}

// Check 6: RFC 826, RFC 5227.
template <class Trace>
[[nodiscard]] Refusal check_arp(const Case<Trace>& c) {
  const Parsed& frame = c.frame;
  if (!c.trace(Check::arp_form, frame.flaw == Flaw::none)) return DropReason::spoofed_arp;
  if (!c.trace(Check::arp_sender_mac, c.claims_own_mac())) return DropReason::spoofed_arp;
  const IpAddress claim = frame.message == Message::arp_probe ? frame.receiver : frame.sender;
  if (!c.trace(Check::arp_sender_ip, c.may_claim(false, claim))) return DropReason::spoofed_arp;
  const bool addressed = frame.destination.is_broadcast() || !frame.destination.is_group();
  if (!c.trace(Check::arp_destination, addressed)) return DropReason::spoofed_arp;
  return kPassed;
}

// Check 7.
template <class Trace>
[[nodiscard]] Refusal check_ipv4(const Case<Trace>& c) {
  const Parsed& frame = c.frame;
  if (!c.trace(Check::ipv4_header, frame.flaw == Flaw::none)) return DropReason::malformed;
  const bool from_nowhere = frame.sender.is_zero() && c.speaks(false) &&
                            (frame.message == Message::igmp_report || frame.dhcp_from_nowhere);
  if (!c.trace(Check::ipv4_source, from_nowhere || c.may_send_from(false, frame.sender))) {
    return DropReason::spoofed_ip;
  }
  if (frame.message == Message::dhcp_client) {
    const bool own = frame.has_claimed && c.claims_own_mac() &&
                     (frame.target.is_zero() || c.may_claim(false, frame.target));
    if (!c.trace(Check::dhcp_client, own)) return DropReason::spoofed_dhcp;
  }
  return kPassed;
}

[[nodiscard]] constexpr bool is_neighbor_discovery(Message message) {
  return message == Message::neighbor_solicitation || message == Message::dad_solicitation ||
         message == Message::neighbor_advertisement || message == Message::router_solicitation;
}

// Checks 8, 9 and 10.
template <class Trace>
[[nodiscard]] Refusal check_ipv6(const Case<Trace>& c) {
  const Parsed& frame = c.frame;
  const bool nd_sound = frame.flaw != Flaw::nd_extension && frame.flaw != Flaw::nd_form &&
                        frame.flaw != Flaw::nd_option;
  if (!c.trace(Check::ipv6_header, frame.flaw == Flaw::none || !nd_sound)) {
    return DropReason::malformed;
  }
  if (!c.trace(Check::nd_alone, frame.flaw != Flaw::nd_extension)) return DropReason::spoofed_nd;
  if (frame.message == Message::dad_solicitation) {  // 9, RFC 4862
    const bool own =
        c.may_claim(true, frame.target) && frame.receiver == frame.target.solicited_node();
    if (!c.trace(Check::dad_target, nd_sound && own)) return DropReason::spoofed_nd;
    return kPassed;
  }
  const bool from_nowhere = frame.sender.is_zero() && c.speaks(true) &&
                            frame.message == Message::mld_report &&
                            frame.receiver.is_v6_link_multicast();
  if (!c.trace(Check::ipv6_source, from_nowhere || c.may_send_from(true, frame.sender))) {
    return DropReason::spoofed_ip;
  }
  if (!c.trace(Check::nd_form, nd_sound)) return DropReason::spoofed_nd;  // 10
  if (is_neighbor_discovery(frame.message)) {
    const bool own = !frame.has_claimed || c.claims_own_mac();
    if (!c.trace(Check::nd_link_layer, own)) return DropReason::spoofed_nd;
  }
  if (frame.message == Message::neighbor_advertisement &&
      !c.trace(Check::na_target, c.may_claim(true, frame.target))) {
    return DropReason::spoofed_nd;
  }
  return kPassed;
}

/// Check 11: which role a message needs, and what it is dropped as without.
struct RoleNeeded {
  std::uint8_t role = 0;
  DropReason reason = DropReason::rogue_router;
};

[[nodiscard]] constexpr RoleNeeded role_needed(Message message) {
  switch (message) {
    case Message::router_advertisement:
    case Message::redirect:
      return {kRouter, DropReason::rogue_router};
    case Message::first_hop_redundancy:
      return {kVrrp, DropReason::rogue_router};
    case Message::routing_protocol:
      return {kRouting, DropReason::rogue_router};
    case Message::dhcp_relay:
    case Message::dhcp_server:
    case Message::dhcpv6_relay:
    case Message::dhcpv6_server:
      return {kDhcpServer, DropReason::rogue_dhcp};
    case Message::igmp_query:
    case Message::mld_query:
      return {kQuerier, DropReason::rogue_querier};
    default:
      return {};
  }
}

/// Check 12, RFC 1122 3.3.6: in a frame to a group, no address of one station.
template <class Trace>
[[nodiscard]] bool is_group_address(const Case<Trace>& c) {
  const IpAddress to = c.frame.receiver;
  if (c.is_v6()) return to.is_v6_multicast();
  if (to.is_v4_multicast() || to.is_v4_limited_broadcast()) return true;
  // ip = "any" knows no subnets: what nobody has may be a broadcast address.
  if (c.port.any_ip) {
    return ownership(c.snapshot, c.from, false, to) == Ownership::nobodys;
  }
  const auto subnets = c.snapshot.subnets_of(c.port);
  return std::ranges::find(subnets, to) != subnets.end();
}

[[nodiscard]] inline Budget budget_of(const Parsed& frame) {
  const Budget by_destination = !frame.destination.is_group()      ? Budget::none
                                : frame.destination.is_broadcast() ? Budget::broadcast
                                                                   : Budget::multicast;
  if (frame.message == Message::data || frame.flaw != Flaw::none) return by_destination;
  switch (frame.message) {
    case Message::arp_request:
    case Message::arp_probe:
    case Message::arp_announcement:
    case Message::arp_reply:
    case Message::router_solicitation:
    case Message::router_advertisement:
    case Message::neighbor_solicitation:
    case Message::dad_solicitation:
    case Message::neighbor_advertisement:
      return Budget::arp_nd;
    case Message::dhcp_client:
    case Message::dhcp_relay:
    case Message::dhcp_server:
    case Message::dhcpv6_client:
    case Message::dhcpv6_relay:
    case Message::dhcpv6_server:
      return Budget::dhcp;
    default:
      return by_destination;
  }
}

/// Checks 1 to 12. Nothing if the frame may come in.
template <class Trace>
[[nodiscard]] Refusal may_enter(const Case<Trace>& c) {
  if (const Refusal refusal = check_ethernet(c)) return refusal;
  if (c.port.trusted) return kPassed;
  if (!c.trace(Check::family, may_speak(c))) return DropReason::unbound_family;
  switch (c.frame.payload) {
    case Payload::arp:
      return check_arp(c);
    case Payload::ipv4:
      if (const Refusal refusal = check_ipv4(c)) return refusal;
      break;
    case Payload::ipv6:
      if (const Refusal refusal = check_ipv6(c)) return refusal;
      break;
    case Payload::rarp_announcement:
      return kPassed;
    default:  // check 5
      if (!c.trace(Check::ethertype, false)) return DropReason::ethertype;
  }
  const RoleNeeded needed = role_needed(c.frame.message);
  if (!c.trace(Check::role, (c.port.roles & needed.role) == needed.role)) return needed.reason;
  const bool fits = !c.frame.destination.is_group() || is_group_address(c);
  if (!c.trace(Check::group_mac, fits)) return DropReason::group_mac;
  return kPassed;
}

/// Whether an accepted frame says that its port uses an address of fe80::/64.
template <class Trace>
[[nodiscard]] bool uses_link_local(const Case<Trace>& c) {
  const Parsed& frame = c.frame;
  if (!(c.port.trusted || c.port.any_link_local) || frame.flaw != Flaw::none) return false;
  const bool speaks_of_itself = frame.message == Message::dad_solicitation ||
                                frame.message == Message::neighbor_advertisement;
  return is_claimable(frame.sender) || (speaks_of_itself && is_claimable(frame.target));
}

// A verdict is filled in where it is to be: it is too large to hand about.

/// Floods over `ports`, and over `owners` too.
inline void flood(Verdict& verdict, std::span<const PortIndex> ports,
                  std::span<const PortIndex> owners = {}) {
  verdict.kind = Verdict::Kind::flood;
  verdict.ports = ports;
  verdict.owners = owners;
}

inline void drop(Verdict& verdict, DropReason reason, PortIndex refuser = kNoPort) {
  verdict.kind = Verdict::Kind::drop;
  verdict.reason = reason;
  verdict.port = refuser;
  verdict.shadow = kPassed;
}

/// Whether there are owners, and their devices have been gone for long.
[[nodiscard]] inline bool are_away(const Snapshot& snapshot, std::span<const PortIndex> owners) {
  const auto is_away = [&](PortIndex owner) { return snapshot.ports[owner].away; };
  return !owners.empty() && std::ranges::all_of(owners, is_away);
}

/// Whether it is a link-local address that a trusted port was seen to use: another one may have it
/// by now.
template <class Trace>
[[nodiscard]] bool are_trusteds(const Case<Trace>& c, bool v6, IpAddress address,
                                std::span<const PortIndex> holders) {
  return v6 && holders.size() == 1 && is_claimable(address) &&
         c.snapshot.ports[holders.front()].trusted &&
         owners_of(c.snapshot, c.port.segment, v6, address).empty();
}

/// A question who has an address: to the owner if in reach, and nobody else. Without one, to those
/// who may have it. Who asks for an address does not have it: it may be that of a router inside the
/// asker's own prefix.
template <class Trace>
void route_question(const Case<Trace>& c, const ReachSet& reach, Verdict& verdict, bool v6,
                    IpAddress address) {
  const auto owners = c.holders(v6, address);
  if (owners.size() == 1 && owners.front() == c.from) return flood(verdict, reach.ownerless);
  if (are_away(c.snapshot, owners) || are_trusteds(c, v6, address, owners)) {
    return flood(verdict, reach.trusted);
  }
  if (owners.size() == 1 && !c.trace(Check::reach, reach.contains(owners.front())))
    return drop(verdict, DropReason::isolated);
  if (!owners.empty()) return flood(verdict, {}, owners);
  return flood(verdict, v6 && is_claimable(address) ? reach.link_local : reach.ownerless);
}

/// ISOLATION.md, "Where it goes": frames to a group.
template <class Trace>
void route_group(const Case<Trace>& c, const ReachSet& reach, Verdict& verdict) {
  const Parsed& frame = c.frame;
  if (frame.flaw != Flaw::none) return flood(verdict, reach.flood);  // from a trusted port
  switch (frame.message) {
    case Message::arp_probe:
      return flood(verdict, reach.trusted, c.holders(false, frame.receiver));
    case Message::dad_solicitation: {
      const auto holders = c.holders(true, frame.target);
      if (holders.empty() && is_claimable(frame.target)) return flood(verdict, reach.testers);
      return flood(verdict, reach.trusted, holders);
    }
    case Message::arp_request:
      return route_question(c, reach, verdict, false, frame.receiver);
    case Message::neighbor_solicitation:
      return route_question(c, reach, verdict, true, frame.target);
    case Message::dhcp_client:
    case Message::dhcp_relay:
    case Message::dhcpv6_client:
    case Message::dhcpv6_relay:
      return flood(verdict, reach.dhcp_servers);
    case Message::router_solicitation:
      return flood(verdict, reach.routers);
    case Message::igmp_report:
    case Message::mld_report:
      return flood(verdict, reach.queriers);
    default:
      return flood(verdict, reach.flood);
  }
}

template <class Trace>
void route_unicast(const Case<Trace>& c, const ReachSet& reach, Verdict& verdict,
                   const MacTable::Hashed& mac) {
  const PortIndex to = locate(c.snapshot, c.memory.fdb, mac, c.now_ms);
  if (to == kNoPort) {
    const bool taken =
        reach.unknown.size() > 1 || (reach.unknown.size() == 1 && reach.unknown.front() != c.from);
    if (!c.trace(Check::known_destination, taken))
      return drop(verdict, DropReason::unknown_destination);
    return flood(verdict, reach.unknown);
  }
  if (!c.trace(Check::no_hairpin, to != c.from)) return drop(verdict, DropReason::hairpin);
  if (!c.trace(Check::reach, reach.contains(to))) return drop(verdict, DropReason::isolated);
  if (const Refusal reason = admit(c.snapshot, c.frame, to, to, c.trace))
    return drop(verdict, *reason, to);
  if (!c.snapshot.ports[to].enforce) [[unlikely]] {
    verdict.egress_shadow = would_refuse(c.snapshot, c.frame, to, c.trace);
  }
  verdict.kind = Verdict::Kind::unicast;
  verdict.port = to;
}

template <class Trace>
void route(const Case<Trace>& c, Verdict& verdict) {
  const ReachSet& reach = c.snapshot.reach[c.port.reach];
  if (!c.frame.destination.is_group())
    return route_unicast(c, reach, verdict, c.hashes.destination);
  // A DHCP answer to all is for one.
  if (c.frame.message == Message::dhcp_server) {
    return route_unicast(c, reach, verdict,
                         c.snapshot.bound.hashed(c.frame.claimed, c.port.segment));
  }
  return route_group(c, reach, verdict);
}

/// Check E for a port with ip = "any": no address that is bound elsewhere.
[[nodiscard]] inline bool is_not_others(const Snapshot& snapshot, const Parsed& frame,
                                        PortIndex to) {
  const bool answers = frame.payload == Payload::arp && frame.message == Message::arp_reply;
  if (!frame.is_ip() && !answers) return true;
  if (frame.flaw == Flaw::ipv4_header || frame.flaw == Flaw::ipv6_header) return false;  // not read
  return ownership(snapshot, to, frame.payload == Payload::ipv6, frame.receiver) !=
         Ownership::others;
}

/// The destination addresses of check E, by ARP, IPv4 and IPv6.
[[nodiscard]] inline bool covers(const Snapshot& snapshot, const Parsed& frame, PortIndex to) {
  const PortPolicy& port = snapshot.ports[to];
  const bool v6 = frame.payload == Payload::ipv6;
  if (frame.payload == Payload::rarp_announcement) return true;
  if (frame.payload == Payload::tag) return false;
  if (frame.payload == Payload::other) return true;  // no address to look at: by MAC
  if (frame.flaw != Flaw::none || !(v6 ? port.has_v6 : port.has_v4)) return false;
  const Ownership whose = ownership(snapshot, to, v6, frame.receiver);
  if (frame.payload == Payload::arp) {
    const bool answers = frame.message == Message::arp_reply;
    const bool own = (port.any_mac || has_mac(snapshot, port, frame.arp_target)) &&
                     (whose == Ownership::own || frame.receiver.is_zero());
    return !answers || own;
  }
  if (v6 ? frame.receiver.is_v6_multicast()
         : frame.receiver.is_v4_multicast() || frame.receiver.is_v4_limited_broadcast()) {
    return true;
  }
  if (whose == Ownership::own) return true;
  if (whose == Ownership::others) return false;
  const auto subnets = snapshot.subnets_of(port);
  return has_route(snapshot, port, v6, frame.receiver) ||
         (!v6 && std::ranges::find(subnets, frame.receiver) != subnets.end()) ||
         (v6 && port.any_link_local && frame.receiver.is_v6_link_local());
}

}  // namespace detail

template <class Trace>
Refusal admit(const Snapshot& snapshot, const Parsed& frame, PortIndex to, PortIndex located,
              const Trace& trace) {
  const PortPolicy& port = snapshot.ports[to];
  if (!trace(Check::egress_up, port.up)) return DropReason::port_down;
  if (!trace(Check::egress_length, frame.length <= port.frame_bytes_max))
    return DropReason::too_big;
  if (port.trusted) return kPassed;
  const bool own_mac = port.learns ? located == to || (located == kNoPort && port.unknown)
                                   : has_mac(snapshot, port, frame.destination);
  const bool by_mac = frame.destination.is_group() || own_mac;
  if (!trace(Check::egress_mac, by_mac)) return DropReason::not_addressee;
  const bool by_ip = port.any_ip || !port.enforce ? detail::is_not_others(snapshot, frame, to)
                                                  : detail::covers(snapshot, frame, to);
  if (!trace(Check::egress_ip, by_ip)) return DropReason::not_addressee;
  return kPassed;
}

template <class Trace>
Refusal would_refuse(const Snapshot& snapshot, const Parsed& frame, PortIndex to,
                     const Trace& trace) {
  const PortPolicy& port = snapshot.ports[to];
  const bool by_mac =
      port.any_mac || frame.destination.is_group() || has_mac(snapshot, port, frame.destination);
  if (!trace(Check::egress_mac, by_mac)) return DropReason::not_addressee;
  const bool by_ip = port.any_ip || detail::covers(snapshot, frame, to);
  if (!trace(Check::egress_ip, by_ip)) return DropReason::not_addressee;
  return kPassed;
}

template <class Trace>
[[gnu::always_inline]] inline Verdict decide(const Snapshot& snapshot, const Memory& memory,
                                             const Parsed& frame, const Hashes& hashes,
                                             PortIndex from, std::uint32_t now_ms,
                                             const Trace& trace) {
  const PortPolicy& port = snapshot.ports[from];
  const bool may_be_others = port.trusted || port.learns || port.shares_macs;
  const MacTable::Entry* bound = may_be_others ? snapshot.bound.find(hashes.source) : nullptr;
  const detail::Case<Trace> c{snapshot, memory, frame, hashes, from, port, bound, now_ms, trace};
  Verdict verdict;
  if (const auto reason = detail::may_enter(c)) {
    verdict.reason = *reason;
    const bool excused = !port.enforce && frame.whole_header && !detail::takes_what_is_others(c);
    if (!excused) return verdict;
    verdict.shadow = reason;
  }
  // Check 13.
  verdict.budget = detail::budget_of(frame);
  if (!trace(Check::rate, memory.limiter.allows(from, verdict.budget, port.rates, now_ms))) {
    if (!verdict.shadow) verdict.shadow = DropReason::rate_limited;
    if (port.enforce) {
      detail::drop(verdict, DropReason::rate_limited);
      return verdict;
    }
  }
  // A bound or static address on its own port is known already.
  Fdb::Change change = Fdb::Change::nothing;
  if (port.learns || port.shares_macs) {
    verdict.shared_source = bound != nullptr && bound->kind == EntryKind::shared;
    const bool sound =
        !frame.source.is_group() && !frame.source.is_zero();  // in shadow, it may not
    const bool is_free = bound == nullptr || (port.trusted && bound->kind == EntryKind::away);
    if (sound && (verdict.shared_source || (port.learns && is_free))) {
      const Fdb::Judgement taught =
          memory.fdb.judge(snapshot, from, hashes.source, verdict.shared_source, now_ms);
      change = taught.change;
      if (!trace(Check::learning, change != Fdb::Change::refuse)) {
        detail::drop(verdict, taught.reason);
        return verdict;
      }
    }
  }
  detail::route(c, verdict);
  if (verdict.kind == Verdict::Kind::drop) return verdict;  // law 1
  verdict.change = change;
  verdict.claims = frame.payload == Payload::ipv6 && detail::uses_link_local(c) && !verdict.shadow;
  return verdict;
}

}  // namespace bulkhead
