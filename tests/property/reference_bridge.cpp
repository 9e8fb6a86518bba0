#include "tests/property/reference_bridge.hpp"

#include <algorithm>

namespace bulkhead::reference {
namespace {

constexpr std::uint32_t kHeaderBytes = 14;
constexpr long kMovesMax = 5;  // a second, of one address
constexpr Mac kBroadcast = 0xffffffffffff;

std::uint64_t number(const std::vector<std::uint8_t>& bytes, std::size_t at, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value = value * 256 + bytes.at(at + i);
  return value;
}

bool is_group(Mac mac) { return (mac >> 40) % 2 == 1; }

long moves_since(const std::map<Bridge::Place, std::vector<std::uint64_t>>& moves,
                 const Bridge::Place& place, std::uint64_t since_ms) {
  const auto found = moves.find(place);
  if (found == moves.end()) return 0;
  return std::ranges::count_if(found->second, [&](std::uint64_t at) { return at >= since_ms; });
}

}  // namespace

struct Bridge::Header {
  bool whole = false;
  std::uint64_t length = 0;
  Mac destination = 0;
  Mac source = 0;
  std::uint64_t type = 0;
  bool announces = false;  // is a RARP self-announcement as QEMU sends it

  Header(const std::vector<std::uint8_t>& bytes, std::size_t head) : length(bytes.size()) {
    whole = head >= kHeaderBytes;
    if (!whole) return;
    destination = number(bytes, 0, 6);
    source = number(bytes, 6, 6);
    type = number(bytes, 12, 2);
    if (type != 0x8035 || head < 42) return;
    const bool is_rarp_for_ip = number(bytes, 14, 2) == 1 && number(bytes, 16, 2) == 0x0800 &&
                                bytes.at(18) == 6 && bytes.at(19) == 4 && number(bytes, 20, 2) == 3;
    const bool has_no_addresses = number(bytes, 28, 4) == 0 && number(bytes, 38, 4) == 0;
    const bool is_of_itself = number(bytes, 22, 6) == source && number(bytes, 32, 6) == source;
    announces = destination == kBroadcast && is_rarp_for_ip && has_no_addresses && is_of_itself;
  }
};

/// Who has it bound or by a static entry; "" if nobody.
std::string Bridge::binder_of(const std::string& segment, Mac mac) const {
  for (const auto& [name, port] : world_.ports) {
    if (port.segment == segment && port.macs.contains(mac)) return name;
  }
  const auto fixed = world_.statics.find({segment, mac});
  return fixed == world_.statics.end() ? "" : fixed->second;
}

/// Whose it is in the MAC table; "" if nobody's.
std::string Bridge::owner_of(const std::string& segment, Mac mac) const {
  const std::string binder = binder_of(segment, mac);
  if (!binder.empty()) return binder;
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

/// Checks 1 to 5.
std::string Bridge::ingress_fault(const std::string& from, const Header& header) const {
  const Port& port = world_.ports.at(from);
  if (!header.whole) return "malformed";
  if (header.length > port.mtu + kHeaderBytes) return "too_big";

  if (is_group(header.source)) return "bad_source";
  if (header.source == 0) return "bad_source";
  if (header.source == header.destination) return "bad_source";
  const bool has_list = !port.macs.empty();
  if (has_list && !port.trusted && !port.macs.contains(header.source)) return "spoofed_mac";
  const std::string binder = binder_of(port.segment, header.source);
  if (!binder.empty() && binder != from) return "spoofed_mac";

  if (!port.trusted) {
    for (const std::uint64_t tpid : {0x8100u, 0x88a8u, 0x9100u, 0x9200u, 0x9300u}) {
      if (header.type == tpid) return "tagged";
    }
  }

  if (header.destination >= 0x0180c2000000 && header.destination <= 0x0180c200002f) {
    return "control_frame";
  }
  if (header.destination == 0x01000ccccccc || header.destination == 0x01000ccccccd) {
    return "control_frame";
  }

  if (!port.trusted) {
    const bool known = header.type == 0x0800 || header.type == 0x0806 || header.type == 0x86dd;
    if (!known && !header.announces) return "ethertype";
  }
  return "";
}

/// "Who is in the MAC table". Decided where the text is silent: what is forbidden whatever the
/// budget comes before the budget, and all of it before where the frame would go.
std::string Bridge::learning_fault(const std::string& from, Mac source, Flapping flapping) const {
  const Port& port = world_.ports.at(from);
  const bool learns = port.macs.empty();
  if (!learns) return "";
  if (binder_of(port.segment, source) == from) return "";  // static: it does not age or move

  const auto entry = table_.find({port.segment, source});
  const bool known = entry != table_.end();
  if (known && entry->second.port == from) return "";
  if (known) {
    if (world_.ports.at(entry->second.port).trusted && !port.trusted) return "spoofed_mac";
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
  if (on_port >= port.mac_max) return "mac_limit";
  if (!known && in_segment >= world_.segments.at(port.segment).mac_limit) return "mac_limit";
  return "";
}

/// Check E, and that there is a device that works. Decided where the text is silent: the order.
std::string Bridge::egress_fault(const std::string& to, const Header& header) const {
  const Port& port = world_.ports.at(to);
  if (!port.up) return "port_down";
  if (header.length > port.mtu + kHeaderBytes) return "too_big";
  if (port.trusted) return "";
  if (is_group(header.destination)) return "";
  const bool has_list = !port.macs.empty();
  if (has_list) return port.macs.contains(header.destination) ? "" : "not_addressee";
  const std::string owner = owner_of(port.segment, header.destination);
  if (owner == to) return "";
  if (owner.empty() && port.unknown) return "";
  return "not_addressee";
}

void Bridge::learn(const std::string& from, Mac source, std::uint64_t now_ms) {
  const Port& port = world_.ports.at(from);
  if (!port.macs.empty()) return;
  if (!binder_of(port.segment, source).empty()) return;
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
}

Result Bridge::receive(const std::string& from, const std::vector<std::uint8_t>& bytes,
                       std::size_t head, std::uint64_t now_ms, Flapping flapping) {
  forget_the_old(now_ms);
  const Header header(bytes, std::min(head, bytes.size()));
  Result result;
  result.reason = ingress_fault(from, header);
  if (result.reason.empty()) result.reason = learning_fault(from, header.source, flapping);
  if (!result.reason.empty()) return result;

  const std::string segment = world_.ports.at(from).segment;
  std::set<std::string> candidates;
  const std::string owner =
      is_group(header.destination) ? "" : owner_of(segment, header.destination);
  if (is_group(header.destination)) {
    result.flooded = true;
    for (const auto& [name, port] : world_.ports) {
      if (reaches(from, name) && port.up) candidates.insert(name);
    }
  } else if (owner.empty()) {
    result.flooded = true;
    for (const auto& [name, port] : world_.ports) {
      if (reaches(from, name) && port.up && port.unknown) candidates.insert(name);
    }
    if (candidates.empty()) result.reason = "unknown_destination";
  } else if (owner == from) {
    result.reason = "hairpin";
  } else if (!reaches(from, owner)) {
    result.reason = "isolated";
  } else {
    candidates.insert(owner);
  }
  if (!result.reason.empty()) return result;

  for (const std::string& name : candidates) {
    const std::string fault = egress_fault(name, header);
    if (fault.empty()) {
      result.delivered.insert(name);
    } else {
      result.refused[name] = fault;
    }
  }
  const bool dropped = !result.flooded && result.delivered.empty();
  if (!dropped) learn(from, header.source, now_ms);
  return result;
}

bool Bridge::may_flap(const Place& place, std::uint64_t now_ms) const {
  constexpr std::uint64_t kTwoSweepsMilliseconds = 2500;
  return moves_since(moves_, place, now_ms - kTwoSweepsMilliseconds) >= kMovesMax;
}

void Bridge::second_passed(std::uint64_t now_ms) {
  forget_the_old(now_ms);
  second_began_ms_ = now_ms;
}

void Bridge::change(World world) {
  world_ = std::move(world);
  std::erase_if(table_, [&](const auto& item) {
    const auto& [place, entry] = item;
    const auto port = world_.ports.find(entry.port);
    return port == world_.ports.end() || port->second.segment != place.first ||
           !port->second.macs.empty() || !binder_of(place.first, place.second).empty();
  });
}

const std::map<Bridge::Place, Bridge::Entry>& Bridge::learned(std::uint64_t now_ms) {
  forget_the_old(now_ms);
  return table_;
}

}  // namespace bulkhead::reference
