#include "tests/property/reference_bridge.hpp"

#include <algorithm>

#include "tests/property/reference_packet.hpp"

namespace bulkhead::reference {
namespace {

constexpr long kMovesMax = 5;  // a second, of one address
constexpr std::size_t kClaimsMax = 16;

long moves_since(const std::map<Bridge::Place, std::vector<std::uint64_t>>& moves,
                 const Bridge::Place& place, std::uint64_t since_ms) {
  const auto found = moves.find(place);
  if (found == moves.end()) return 0;
  return std::ranges::count_if(found->second, [&](std::uint64_t at) { return at >= since_ms; });
}

bool covers(const Prefix& prefix, const Address& address) {
  if (prefix.address.size() != address.size()) return false;
  for (std::size_t bit = 0; bit < prefix.bits; ++bit) {
    const int shift = 7 - static_cast<int>(bit % 8);
    if ((prefix.address[bit / 8] >> shift) % 2 != (address[bit / 8] >> shift) % 2) return false;
  }
  return true;
}

bool covers(const std::vector<Prefix>& prefixes, const Address& address) {
  return std::ranges::any_of(prefixes, [&](const Prefix& one) { return covers(one, address); });
}

bool is_zero(const Address& address) {
  return std::ranges::all_of(address, [](std::uint8_t octet) { return octet == 0; });
}

bool is_v6(const Address& address) { return address.size() == 16; }

bool is_multicast(const Address& address) {
  return is_v6(address) ? address[0] == 0xff : address[0] >= 224 && address[0] < 240;
}

bool is_limited_broadcast(const Address& address) { return address == Address(4, 255); }

/// fe80::/10
bool is_link_local(const Address& address) {
  return is_v6(address) && address[0] == 0xfe && address[1] / 64 == 2;
}

/// fe80::/64, which a port with link_local = "any" may choose from
bool is_claimable(const Address& address) {
  if (!covers(Prefix{{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 64}, address)) {
    return false;
  }
  return !std::all_of(address.begin() + 8, address.end(), [](auto octet) { return octet == 0; });
}

/// What a route can be about: one station beyond a link.
bool is_routable(const Address& address) {
  if (is_v6(address)) {
    Address loopback(16, 0);
    loopback[15] = 1;
    return !is_zero(address) && address != loopback && !is_multicast(address) &&
           !is_link_local(address);
  }
  return address[0] != 0 && address[0] != 127 && address[0] < 224;
}

Address solicited_node(const Address& address) {
  Address group{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0};
  std::copy(address.begin() + 13, address.end(), group.begin() + 13);
  return group;
}

Result dropped(const std::string& reason) {
  Result result;
  result.reason = reason;
  return result;
}

/// Of `limit`; "" costs nothing.
std::string budget_of(const std::string& says, Mac destination) {
  if (says.starts_with("arp") || says == "router solicitation" || says == "router advertisement" ||
      says == "neighbor solicitation" || says == "dad" || says == "neighbor advertisement") {
    return "arp_nd";
  }
  if (says.starts_with("dhcp")) return "dhcp";
  if (destination == kBroadcast) return "broadcast";
  return is_group(destination) ? "multicast" : "";
}

}  // namespace

bool Bridge::is_shared(const std::string& segment, Mac mac) const {
  return std::ranges::any_of(world_.ports, [&](const auto& port) {
    return port.second.segment == segment && port.second.shared_macs.contains(mac);
  });
}

/// Who has it bound or by a static entry; "" if nobody.
std::string Bridge::binder_of(const std::string& segment, Mac mac) const {
  for (const auto& [name, port] : world_.ports) {
    if (port.segment == segment && port.macs.contains(mac)) return name;
  }
  const auto fixed = world_.statics.find({segment, mac});
  return fixed == world_.statics.end() ? "" : fixed->second;
}

/// Whether all who have it bound or share it are away: trusted ports may have it meanwhile.
bool Bridge::is_away(const std::string& segment, Mac mac) const {
  Names names;
  for (const auto& [name, port] : world_.ports) {
    if (port.segment == segment && (port.macs.contains(mac) || port.shared_macs.contains(mac))) {
      names.insert(name);
    }
  }
  const auto fixed = world_.statics.find({segment, mac});
  if (fixed != world_.statics.end()) names.insert(fixed->second);
  return are_away(names);
}

bool Bridge::are_away(const Names& names) const {
  return !names.empty() && std::ranges::all_of(names, [&](const std::string& name) {
    return world_.ports.at(name).away;
  });
}

/// Whose it is in the MAC table; "" if nobody's.
std::string Bridge::owner_of(const std::string& segment, Mac mac) const {
  const std::string binder = binder_of(segment, mac);
  if (!binder.empty() && !is_away(segment, mac)) return binder;
  const auto entry = table_.find({segment, mac});
  return entry == table_.end() ? "" : entry->second.port;
}

bool Bridge::reaches(const std::string& from, const std::string& to) const {
  const Port& one = world_.ports.at(from);
  const Port& other = world_.ports.at(to);
  if (from == to) return false;
  if (one.segment != other.segment) return false;
  if (one.isolated && other.isolated) return false;
  if (one.trusted && other.trusted) return one.transit && other.transit;
  return true;
}

/// Who has the address bound, by the longest prefix.
Bridge::Names Bridge::owners_of(const std::string& segment, const Address& address) const {
  Names owners;
  std::size_t longest = 0;
  if (is_zero(address)) return owners;
  for (const auto& [name, port] : world_.ports) {
    if (port.segment != segment) continue;
    for (const Prefix& prefix : port.own) {
      if (!covers(prefix, address)) continue;
      if (prefix.bits > longest) owners.clear();
      longest = std::max(longest, prefix.bits);
      if (prefix.bits == longest) owners.insert(name);
    }
  }
  return owners;
}

/// Or has claimed it, or uses it if trusted.
Bridge::Names Bridge::holders_of(const std::string& segment, const Address& address) const {
  const Names owners = owners_of(segment, address);
  if (!owners.empty() || !is_claimable(address)) return owners;
  const std::string claimant = claimant_of(segment, address);
  return claimant.empty() ? Names{} : Names{claimant};
}

std::string Bridge::claimant_of(const std::string& segment, const Address& address) const {
  const auto claim = claims_.find({segment, address});
  if (claim == claims_.end()) return "";
  const auto port = world_.ports.find(claim->second.port);
  if (port == world_.ports.end() || port->second.segment != segment) return "";
  return port->second.trusted || port->second.any_link_local ? port->first : "";
}

bool Bridge::has_claims_left(const std::string& name) const {
  const auto count = std::ranges::count_if(claims_, [&](const auto& claim) {
    return claimant_of(claim.first.first, claim.first.second) == name;
  });
  return static_cast<std::size_t>(count) < kClaimsMax;
}

bool Bridge::speaks(const std::string& port, int family) const {
  return world_.ports.at(port).any_ip || world_.ports.at(port).families.contains(family);
}

bool Bridge::is_others(const std::string& port, const Address& address) const {
  const Names holders = holders_of(world_.ports.at(port).segment, address);
  return !holders.empty() && !holders.contains(port);
}

bool Bridge::may_claim(const std::string& name, const Address& address) const {
  const Port& port = world_.ports.at(name);
  if (!speaks(name, is_v6(address) ? 6 : 4)) return false;
  if (is_others(name, address)) return false;
  if (holders_of(port.segment, address).contains(name)) return true;
  if (port.any_ip) return true;
  return port.any_link_local && is_claimable(address) && has_claims_left(name);
}

bool Bridge::may_send_from(const std::string& name, const Address& address) const {
  if (may_claim(name, address)) return true;
  const Port& port = world_.ports.at(name);
  return covers(port.routes, address) && is_routable(address) && !is_others(name, address);
}

bool Bridge::is_own_mac(const std::string& name, const Packet& packet) const {
  const Port& port = world_.ports.at(name);
  return packet.claimed == packet.source || port.macs.contains(*packet.claimed) ||
         port.shared_macs.contains(*packet.claimed);
}

/// Checks 1 to 5, and for guests the others.
std::string Bridge::ingress_fault(const std::string& from, const Packet& packet) const {
  const Port& port = world_.ports.at(from);
  if (!packet.whole) return "malformed";
  if (packet.length > port.mtu + kHeaderBytes) return "too_big";

  if (is_group(packet.source)) return "bad_source";
  if (packet.source == 0) return "bad_source";
  if (packet.source == packet.destination) return "bad_source";
  const bool is_listed =
      port.macs.contains(packet.source) || port.shared_macs.contains(packet.source);
  if (!port.macs.empty() && !port.trusted && !is_listed) return "spoofed_mac";
  const bool may_have = port.trusted && is_away(port.segment, packet.source);
  if (!may_have && !is_listed && is_others_mac(from, packet.source)) return "spoofed_mac";

  if (!port.trusted && packet.kind == "tag") return "tagged";

  const auto is_within = [&](Mac first, Mac last) {
    return packet.destination >= first && packet.destination <= last;
  };
  if (is_within(0x0180c2000000, 0x0180c200002f) || is_within(0x01000c000000, 0x01000cffffff) ||
      is_within(0x010081000100, 0x010081000101) || is_within(0x0119a7000000, 0x0119a70000ff) ||
      is_within(0x01e02b000000, 0x01e02b000004) || packet.destination == 0x01e052cccccc) {
    return "control_frame";
  }
  return port.trusted ? "" : guest_fault(from, packet);
}

std::string Bridge::guest_fault(const std::string& from, const Packet& packet) const {
  const Port& port = world_.ports.at(from);
  if (packet.kind == "other") return "ethertype";
  if (packet.kind == "rarp") return "";
  if (!speaks(from, packet.family()) && !speaks_for_others(from, packet)) return "unbound_family";
  if (packet.kind == "arp") return arp_fault(from, packet);
  std::string fault = packet.kind == "ipv4" ? ipv4_fault(from, packet) : ipv6_fault(from, packet);
  if (fault.empty()) fault = role_fault(from, packet);
  if (!fault.empty()) return fault;

  if (!is_group(packet.destination) || is_multicast(packet.receiver)) return "";
  if (is_v6(packet.receiver)) return "group_mac";
  if (is_limited_broadcast(packet.receiver)) return "";
  if (std::ranges::count(port.broadcasts, packet.receiver) > 0) return "";
  if (port.any_ip && owners_of(port.segment, packet.receiver).empty()) return "";
  return "group_mac";
}

std::string Bridge::arp_fault(const std::string& from, const Packet& packet) const {
  if (!packet.fault.empty()) return "spoofed_arp";
  if (!is_own_mac(from, packet)) return "spoofed_arp";
  const Address& claim = packet.says == "arp probe" ? packet.receiver : packet.sender;
  if (!may_claim(from, claim)) return "spoofed_arp";
  if (is_group(packet.destination) && packet.destination != kBroadcast) return "spoofed_arp";
  return "";
}

std::string Bridge::ipv4_fault(const std::string& from, const Packet& packet) const {
  if (!packet.fault.empty()) return "malformed";
  const bool from_nowhere = is_zero(packet.sender) && speaks(from, 4) &&
                            (packet.says == "igmp report" || packet.dhcp_from_nowhere);
  if (!from_nowhere && !may_send_from(from, packet.sender)) return "spoofed_ip";
  if (packet.says != "dhcp client") return "";
  if (!packet.claimed || !is_own_mac(from, packet)) return "spoofed_dhcp";
  return is_zero(packet.target) || may_claim(from, packet.target) ? "" : "spoofed_dhcp";
}

std::string Bridge::ipv6_fault(const std::string& from, const Packet& packet) const {
  if (packet.fault == "malformed") return "malformed";
  if (packet.fault == "nd behind extension") return "spoofed_nd";
  if (packet.fault == "dad") return "spoofed_nd";
  if (packet.says == "dad") {
    const bool own = may_claim(from, packet.target);
    return own && packet.receiver == solicited_node(packet.target) ? "" : "spoofed_nd";
  }
  const bool to_link = packet.receiver[0] == 0xff && packet.receiver[1] == 2;
  const bool from_nowhere =
      is_zero(packet.sender) && speaks(from, 6) && packet.says == "mld report" && to_link;
  if (!from_nowhere && !may_send_from(from, packet.sender)) return "spoofed_ip";
  if (!packet.fault.empty()) return "spoofed_nd";
  const bool asks = packet.says == "neighbor solicitation" || packet.says == "router solicitation";
  const bool answers = packet.says == "neighbor advertisement";
  if ((asks || answers) && packet.claimed && !is_own_mac(from, packet)) return "spoofed_nd";
  if (answers && !may_claim(from, packet.target)) return "spoofed_nd";
  return "";
}

std::string Bridge::role_fault(const std::string& from, const Packet& packet) const {
  const auto lacks = [&](const char* role) { return !world_.ports.at(from).allow.contains(role); };
  const std::string& says = packet.says;
  if (says == "router advertisement" && lacks("router")) return "rogue_router";
  if (says == "redirect" && lacks("router")) return "rogue_router";
  if (says == "vrrp" && lacks("vrrp")) return "rogue_router";
  if (says == "routing" && lacks("routing")) return "rogue_router";
  if (says == "dhcp server" && lacks("dhcp-server")) return "rogue_dhcp";
  if (says == "dhcp relay" && lacks("dhcp-server")) return "rogue_dhcp";
  if ((says == "igmp query" || says == "mld query") && lacks("querier")) return "rogue_querier";
  return "";
}

bool Bridge::is_others_mac(const std::string& from, Mac mac) const {
  const Port& port = world_.ports.at(from);
  const std::string binder = binder_of(port.segment, mac);
  if (!binder.empty() && binder != from) return true;
  return is_shared(port.segment, mac) && !port.shared_macs.contains(mac);
}

/// In shadow mode: what is bound is nobody else's all the same.
bool Bridge::breaks_law_4(const std::string& from, const Packet& packet) const {
  if (is_others_mac(from, packet.source)) return true;
  if (packet.hides || packet.kind == "tag") return true;
  if (packet.says == "dhcp client" && packet.claimed && is_others_mac(from, *packet.claimed)) {
    return true;
  }
  return speaks_for_others(from, packet);
}

bool Bridge::speaks_for_others(const std::string& from, const Packet& packet) const {
  if (packet.addresses_read && is_others(from, packet.sender)) return true;
  if (packet.says == "arp probe") return is_others(from, packet.receiver);
  if (packet.says == "dad" || packet.says == "neighbor advertisement" ||
      (packet.says == "dhcp client" && packet.kind == "ipv4")) {
    return is_others(from, packet.target);
  }
  return false;
}

/// "Who is in the MAC table". Decided where the text is silent: what is forbidden whatever the
/// budget comes before the budget, and all of it before where the frame would go.
std::string Bridge::learning_fault(const std::string& from, Mac source, Flapping flapping) const {
  const Port& port = world_.ports.at(from);
  const bool away = is_away(port.segment, source);
  const bool shared = is_shared(port.segment, source) && !away;
  if (!shared && !port.learns()) return "";
  if (binder_of(port.segment, source) == from) return "";  // static: it does not age or move

  const auto entry = table_.find({port.segment, source});
  const bool known = entry != table_.end();
  if (known && entry->second.port == from) return "";
  if (known) {
    if (!shared && world_.ports.at(entry->second.port).trusted && !port.trusted) {
      return "spoofed_mac";
    }
    const bool many = moves_since(moves_, {port.segment, source}, second_began_ms_) >= kMovesMax;
    if (flapping == Flapping::as_seen_yes || (flapping == Flapping::by_the_second && many)) {
      return "flapping";
    }
  }
  std::uint32_t on_port = 0;
  std::uint32_t in_segment = 0;
  for (const auto& [place, other] : table_) {
    if (place.first != port.segment) continue;
    ++in_segment;
    if (other.port == from) ++on_port;
  }
  if (!shared && on_port >= port.mac_max) return "mac_limit";
  if (!known && in_segment >= world_.segments.at(port.segment).mac_limit) return "mac_limit";
  return "";
}

/// Check E, and that there is a device that works. Decided where the text is silent: the order.
std::string Bridge::egress_fault(const std::string& to, const Packet& packet) const {
  const Port& port = world_.ports.at(to);
  if (!port.up) return "port_down";
  if (packet.length > port.mtu + kHeaderBytes) return "too_big";
  if (port.trusted) return "";
  if (!is_group(packet.destination)) {
    if (!port.learns()) {
      if (!listed_at(to, packet.destination)) return "not_addressee";
    } else {
      const std::string owner = owner_of(port.segment, packet.destination);
      if (owner != to && !(owner.empty() && port.unknown)) return "not_addressee";
    }
  }
  const bool fits = port.takes_any_ip() ? is_not_others(to, packet) : egress_covers(to, packet);
  return fits ? "" : "not_addressee";
}

bool Bridge::listed_at(const std::string& to, Mac mac) const {
  const Port& port = world_.ports.at(to);
  return port.macs.contains(mac) || port.shared_macs.contains(mac);
}

bool Bridge::is_not_others(const std::string& to, const Packet& packet) const {
  const bool is_ip = packet.kind == "ipv4" || packet.kind == "ipv6";
  if (is_ip && !packet.addresses_read) return false;
  if (!is_ip && packet.says != "arp reply") return true;
  const Names owners = owners_of(world_.ports.at(to).segment, packet.receiver);
  return owners.empty() || owners.contains(to);
}

bool Bridge::egress_covers(const std::string& to, const Packet& packet) const {
  const Port& port = world_.ports.at(to);
  const Names owners = packet.addresses_read ? owners_of(port.segment, packet.receiver) : Names{};
  if (packet.kind == "rarp" || packet.kind == "other") return true;
  if (packet.kind == "tag") return false;
  if (!packet.fault.empty() || !speaks(to, packet.family())) return false;
  if (packet.kind == "arp") {
    if (packet.says != "arp reply") return true;
    const bool to_its_mac = port.macs.empty() || port.macs.contains(packet.arp_target) ||
                            port.shared_macs.contains(packet.arp_target);
    return to_its_mac && (owners.contains(to) || is_zero(packet.receiver));
  }
  if (is_multicast(packet.receiver) || is_limited_broadcast(packet.receiver)) return true;
  if (owners.contains(to)) return true;
  if (!owners.empty()) return false;
  if (covers(port.routes, packet.receiver) && is_routable(packet.receiver)) return true;
  if (std::ranges::count(port.broadcasts, packet.receiver) > 0) return true;
  return port.any_link_local && is_link_local(packet.receiver);
}

void Bridge::learn(const std::string& from, Mac source, std::uint64_t now_ms) {
  const Port& port = world_.ports.at(from);
  const bool away = is_away(port.segment, source);
  if (!port.learns() && (away || !is_shared(port.segment, source))) return;
  if (!away && !binder_of(port.segment, source).empty()) return;
  const Place place{port.segment, source};
  const auto entry = table_.find(place);
  if (entry != table_.end() && entry->second.port != from) moves_[place].push_back(now_ms);
  table_[place] = {from, now_ms};
}

void Bridge::forget_the_old(std::uint64_t now_ms) {
  std::erase_if(table_, [&](const auto& item) {
    const auto& [place, entry] = item;
    return now_ms - entry.seen_ms >= world_.segments.at(place.first).ageing_ms;
  });
  std::erase_if(claims_, [&](const auto& item) {
    return now_ms - item.second.seen_ms >= world_.segments.at(item.first.first).ageing_ms;
  });
}

/// Burst of one second. Tokens are counted in thousandths, so that a millisecond earns whole ones.
bool Bridge::has_token(const std::string& from, const std::string& budget,
                       std::uint64_t now_ms) const {
  const auto& limit = world_.ports.at(from).limit;
  if (budget.empty() || !limit.contains(budget)) return true;
  const std::uint64_t rate = limit.at(budget);
  const auto bucket = buckets_.find({from, budget});
  if (bucket == buckets_.end()) return rate > 0;
  const std::uint64_t earned = bucket->second.thousandths + (now_ms - bucket->second.at_ms) * rate;
  return std::min(earned, rate * 1000) >= 1000;
}

void Bridge::spend(const std::string& from, const std::string& budget, std::uint64_t now_ms) {
  const auto& limit = world_.ports.at(from).limit;
  if (budget.empty() || !limit.contains(budget)) return;
  const std::uint64_t rate = limit.at(budget);
  const auto [place, is_new] = buckets_.try_emplace({from, budget});
  Bucket& bucket = place->second;
  std::uint64_t have = rate * 1000;
  if (!is_new) have = std::min(have, bucket.thousandths + (now_ms - bucket.at_ms) * rate);
  bucket = {have < 1000 ? 0 : have - 1000, now_ms};
}

/// What a trusted port uses is no guest's, whoever was first.
void Bridge::claim(const std::string& from, const Address& address, std::uint64_t now_ms) {
  const Port& port = world_.ports.at(from);
  if ((!port.any_link_local && !port.trusted) || !is_claimable(address)) return;
  if (!owners_of(port.segment, address).empty()) return;
  const std::string claimant = claimant_of(port.segment, address);
  const bool may = claimant.empty() ? has_claims_left(from) : claimant == from;
  if (port.trusted || may) claims_[{port.segment, address}] = {from, now_ms};
}

/// The ports in reach that are up and are wanted.
Bridge::Names Bridge::up_and(const std::string& from, bool (*wanted)(const Port&)) const {
  Names names;
  for (const auto& [name, port] : world_.ports) {
    if (reaches(from, name) && port.up && wanted(port)) names.insert(name);
  }
  return names;
}

void Bridge::send_to_mac(const std::string& from, Mac mac, Result& result,
                         Names& candidates) const {
  const std::string owner = owner_of(world_.ports.at(from).segment, mac);
  if (owner.empty()) {
    result.flooded = true;
    candidates = up_and(from, [](const Port& port) { return port.unknown; });
    if (candidates.empty()) result.reason = "unknown_destination";
  } else if (owner == from) {
    result.reason = "hairpin";
  } else if (!reaches(from, owner)) {
    result.reason = "isolated";
  } else {
    candidates.insert(owner);
  }
}

void Bridge::ask(const std::string& from, const Address& address, Result& result,
                 Names& candidates) const {
  const Names holders = holders_of(world_.ports.at(from).segment, address);
  if (holders == Names{from}) {
    candidates = up_and(from, [](const Port& port) { return port.trusted || port.takes_any_ip(); });
    return;
  }
  const bool is_trusteds = holders.size() == 1 && world_.ports.at(*holders.begin()).trusted &&
                           owners_of(world_.ports.at(from).segment, address).empty();
  if (are_away(holders) || is_trusteds) {
    candidates = up_and(from, [](const Port& port) { return port.trusted; });
    return;
  }
  if (holders.size() == 1 && !reaches(from, *holders.begin())) {
    result.reason = "isolated";
  }
  for (const std::string& name : holders) {
    if (reaches(from, name)) candidates.insert(name);
  }
  if (!holders.empty()) return;
  candidates = up_and(from, [](const Port& port) { return port.trusted || port.takes_any_ip(); });
  if (!is_claimable(address)) return;
  candidates.merge(up_and(from, [](const Port& port) { return port.any_link_local; }));
}

void Bridge::send_to_group(const std::string& from, const Packet& packet, Result& result,
                           Names& candidates) const {
  const std::string& says = packet.says;
  result.flooded = true;
  if (says == "arp probe" || says == "dad") {
    const Address& address = says == "dad" ? packet.target : packet.receiver;
    const Names holders = holders_of(world_.ports.at(from).segment, address);
    candidates = up_and(from, [](const Port& port) { return port.trusted; });
    for (const std::string& name : holders) {
      if (reaches(from, name)) candidates.insert(name);
    }
    if (holders.empty() && is_claimable(address)) {
      candidates.merge(up_and(from, [](const Port& port) { return port.any_link_local; }));
    }
  } else if (says == "arp request") {
    ask(from, packet.receiver, result, candidates);
  } else if (says == "neighbor solicitation") {
    ask(from, packet.target, result, candidates);
  } else if (says == "dhcp client" || says == "dhcp relay") {
    candidates = up_and(
        from, [](const Port& port) { return port.trusted || port.allow.contains("dhcp-server"); });
  } else if (says == "router solicitation") {
    candidates = up_and(
        from, [](const Port& port) { return port.trusted || port.allow.contains("router"); });
  } else if (says == "igmp report" || says == "mld report") {
    candidates = up_and(
        from, [](const Port& port) { return port.trusted || port.allow.contains("querier"); });
  } else {
    candidates = up_and(from, [](const Port&) { return true; });
  }
}

Result Bridge::receive(const std::string& from, const std::vector<std::uint8_t>& bytes,
                       std::size_t head, std::uint64_t now_ms, Flapping flapping) {
  forget_the_old(now_ms);
  const Packet packet(bytes, std::min(head, bytes.size()));
  const Port& port = world_.ports.at(from);
  Result result;
  result.reason = ingress_fault(from, packet);
  if (!result.reason.empty() && !port.enforce && packet.whole && !breaks_law_4(from, packet)) {
    result.shadow = result.reason;
    result.reason = "";
  }
  if (!result.reason.empty()) return result;
  const std::string budget = budget_of(packet.says, packet.destination);
  if (!has_token(from, budget, now_ms)) {
    if (port.enforce) {
      result.reason = "rate_limited";
      return result;
    }
    if (result.shadow.empty()) result.shadow = "rate_limited";
  }
  const bool teaches = packet.source != 0 && !is_group(packet.source);
  if (teaches) result.reason = learning_fault(from, packet.source, flapping);
  if (!result.reason.empty()) return dropped(result.reason);

  Names candidates;
  if (!is_group(packet.destination)) {
    send_to_mac(from, packet.destination, result, candidates);
  } else if (packet.says == "dhcp server" && packet.kind == "ipv4") {
    send_to_mac(from, packet.claimed.value_or(0), result, candidates);
  } else {
    send_to_group(from, packet, result, candidates);
  }
  if (!result.reason.empty()) return dropped(result.reason);

  for (const std::string& name : candidates) {
    const std::string fault = egress_fault(name, packet);
    if (fault.empty()) {
      result.delivered.insert(name);
      const Port& to = world_.ports.at(name);
      const bool by_mac =
          to.macs.empty() || is_group(packet.destination) || listed_at(name, packet.destination);
      const bool by_ip = to.any_ip || egress_covers(name, packet);
      if (!to.enforce && !(by_mac && by_ip)) result.shadowed[name] = "not_addressee";
    } else {
      result.refused[name] = fault;
    }
  }
  if (!result.flooded && result.delivered.empty()) {  // dropped
    result.shadow = "";
    return result;
  }
  if (teaches) learn(from, packet.source, now_ms);
  spend(from, budget, now_ms);
  if (result.shadow.empty() && packet.kind == "ipv6" && packet.fault.empty()) {
    claim(from, packet.sender, now_ms);
    if (packet.says == "dad" || packet.says == "neighbor advertisement") {
      claim(from, packet.target, now_ms);
    }
  }
  return result;
}

bool Bridge::may_flap(const Place& place, std::uint64_t now_ms) const {
  constexpr std::uint64_t kTwoSweepsMilliseconds = 10'000;  // and the longest step in between
  return moves_since(moves_, place, now_ms - kTwoSweepsMilliseconds) >= kMovesMax;
}

void Bridge::second_passed(std::uint64_t now_ms) {
  forget_the_old(now_ms);
  second_began_ms_ = now_ms;
}

void Bridge::change(World world) {
  std::set<Place> was_shared;
  for (const auto& [place, entry] : table_) {
    if (is_shared(place.first, place.second) && !is_away(place.first, place.second)) {
      was_shared.insert(place);
    }
  }
  world_ = std::move(world);
  std::erase_if(table_, [&](const auto& item) {
    const auto& [place, entry] = item;
    const auto port = world_.ports.find(entry.port);
    return port == world_.ports.end() || port->second.segment != place.first ||
           (!binder_of(place.first, place.second).empty() && !is_away(place.first, place.second)) ||
           (is_shared(place.first, place.second) && !is_away(place.first, place.second)
                ? !was_shared.contains(place) || !port->second.shared_macs.contains(place.second)
                : !port->second.learns() || was_shared.contains(place));
  });
}

const std::map<Bridge::Place, Bridge::Entry>& Bridge::learned(std::uint64_t now_ms) {
  forget_the_old(now_ms);
  return table_;
}

}  // namespace bulkhead::reference
