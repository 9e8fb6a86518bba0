// The bridge against the reference: random configurations, random frames, the same verdicts.
//
// Per sequence one configuration, changed now and then, and some hundred frames whose addresses are
// drawn from a handful, so that they collide. After every batch: who got which frame, every counter
// of every port, and what was learned; and for every frame that left a port the theorem, asked of
// the configuration. After every sequence the ledger and the buffers.
//
// Two kinds of time: whole seconds, with a sweep at the end of each, where limits and flapping are
// exact; and any milliseconds, where ageing is exact, limits are out of reach, and what a sweep may
// or may not have forgotten is not held against the bridge.
//
// BULKHEAD_SEED and BULKHEAD_SEQUENCES: a failure names the seed of its sequence; run that one
// again with BULKHEAD_SEED=… BULKHEAD_SEQUENCES=1.
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "tests/property/draw_packet.hpp"
#include "tests/property/reference_bridge.hpp"
#include "tests/unit/test_bridge.hpp"

namespace bulkhead {
namespace {

using reference::Flapping;
using test::Bytes;
using test::Dice;
using test::put;
using test::TestBridge;

constexpr std::uint32_t kHeader = 14;
constexpr std::size_t kMacsInPlay = 10;
constexpr std::uint64_t kSequences = 700;

MacAddress mac_in_play(std::size_t i) { return {0x0200'0000'0010u + i}; }
MacAddress shared_mac(std::size_t i) { return {0x0000'5e00'0101u + i}; }

const std::vector<std::string> kAddresses4 = {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4",
                                              "10.0.0.5", "10.0.1.1", "10.0.1.2"};
const std::vector<std::string> kAddresses6 = {"fd00::1", "fd00::2", "fd00::3", "fd00::4",
                                              "fd00::5", "fd01::1", "fd01::2"};
const std::vector<std::string> kLinkLocals = {"fe80::1", "fe80::2", "fe80::3", "fe80::4"};
const std::vector<std::string> kPrefixes = {"10.0.0.0/29", "10.0.1.0/24", "10.0.0.4/31",
                                            "fd00::/125",  "fd01::/64",   "fd00::4/127"};
const std::vector<std::string> kRoutes = {"0.0.0.0/0", "10.0.0.0/8", "::/0", "fd01::/16"};

config::InterfaceAddress address_of(const std::string& text) {
  const bool is_v6 = text.find(':') != std::string::npos;
  return config::parse_interface_address(text + (is_v6 ? "/64" : "/24")).value();
}

/// A configuration and its surroundings, as they are handed to both bridges.
struct Setting {
  config::Config config;
  std::map<std::string, std::uint32_t> mtus;
  std::set<std::string> down;
  std::set<std::string> away;  // of these, long since
};

/// Its addresses, roles and limits.
void draw_binding(config::Port& port, Dice& dice, std::set<std::string>& taken) {
  const auto some = [&](const std::vector<std::string>& from, std::size_t percent, auto&& use) {
    for (int i = 0; i < 2; ++i) {
      const std::string& text = dice.pick(from);
      if (dice.chance(percent) && taken.insert(text).second) use(text);
    }
  };
  some(kAddresses4, 60, [&](const auto& text) { port.addresses.push_back(address_of(text)); });
  some(kAddresses6, 60, [&](const auto& text) { port.addresses.push_back(address_of(text)); });
  some(kPrefixes, 15,
       [&](const auto& text) { port.prefixes.push_back(*config::parse_prefix(text)); });
  if (dice.chance(25)) port.shared_macs.push_back(shared_mac(dice.roll(2)));
  if (dice.chance(25)) port.shared_addresses.push_back(address_of("10.0.0.6"));
  if (dice.chance(25)) port.shared_addresses.push_back(address_of("fd00::6"));
  if (!port.trusted && dice.chance(20)) {
    port.routes.push_back(*config::parse_prefix(dice.pick(kRoutes)));
  }
  if (!port.trusted && dice.chance(25)) port.link_local = config::LinkLocal::any;
  if (dice.chance(15)) {
    port.link_local = config::LinkLocal::list;
    some(kLinkLocals, 60, [&](const auto& text) { port.link_locals.push_back(address_of(text)); });
  }
  port.any_ip = port.addresses.empty() ? dice.chance(70) : dice.chance(10);
  if (port.any_ip) port.addresses.clear(), port.routes.clear();
  port.no_ip = !port.any_ip && port.addresses.empty();
  for (const config::Role role : config::kRoles) {
    if (dice.chance(20)) port.allow.insert(role);
  }
  port.enforce = port.trusted || dice.chance(85);
  const auto draw_rate = [&](std::optional<config::Rate>& rate) {
    if (dice.chance(10)) rate = static_cast<std::uint32_t>(dice.roll(4));
  };
  draw_rate(port.limit.broadcast);
  draw_rate(port.limit.multicast);
  draw_rate(port.limit.arp_nd);
  draw_rate(port.limit.dhcp);
}

/// Draws everything of the ports but their names, devices and segments.
void draw_options(Setting& setting, Dice& dice, bool limits) {
  setting.mtus.clear();
  setting.down.clear();
  setting.away.clear();
  setting.config.statics.clear();
  std::map<std::string, std::set<MacAddress>> taken;  // by segment
  std::map<std::string, std::set<std::string>> taken_text;
  for (auto& [name, old] : setting.config.ports) {
    config::Port port;
    port.name = name;
    port.device = name;
    port.segment = old.segment;
    port.trusted = dice.chance(30);
    port.isolated = dice.chance(30);
    port.transit = port.trusted && dice.chance(40);
    if (dice.chance(30)) port.unknown = dice.chance(50);
    if (dice.chance(port.trusted ? 15 : 50)) {
      for (std::size_t i = 0; i <= dice.roll(2); ++i) {
        const MacAddress mac = mac_in_play(dice.roll(kMacsInPlay));
        if (taken[port.segment].insert(mac).second) port.macs.push_back(mac);
      }
    }
    port.any_mac = port.macs.empty() && !port.trusted;
    if (port.learns() && limits && dice.chance(60)) {
      port.mac_max = static_cast<std::uint32_t>(1 + dice.roll(4));
    }
    if (port.learns() && !limits) port.mac_max = 1000;
    draw_binding(port, dice, taken_text[port.segment]);
    if (!port.enforce && limits && dice.chance(60)) {
      port.mac_max = static_cast<std::uint32_t>(1 + dice.roll(4));
    }
    setting.mtus[name] = dice.pick<std::uint32_t>({90, 120, 200});
    if (dice.chance(10)) setting.down.insert(name);
    if (dice.chance(5) && setting.away.size() + 1 < setting.config.ports.size()) {
      setting.down.insert(name);
      setting.away.insert(name);
    }
    old = port;
  }
  for (const auto& [name, port] : setting.config.ports) {
    const MacAddress mac = mac_in_play(dice.roll(kMacsInPlay));
    if (!port.learns() || !dice.chance(15) || !taken[port.segment].insert(mac).second) continue;
    setting.config.statics.push_back({mac, name});
  }
}

/// As often as it takes to draw something that the configuration would let pass.
void draw_sound_options(Setting& setting, Dice& dice, bool limits) {
  for (int i = 0; i < 1000; ++i) {
    draw_options(setting, dice, limits);
    try {
      config::check(setting.config);
      return;
    } catch (const config::ConfigError& error) {
      if (i == 999) throw;
    }
  }
}

Setting draw_setting(Dice& dice, bool limits) {
  Setting setting;
  const std::size_t segments = 1 + dice.roll(3);
  const std::size_t ports = 2 + dice.roll(11);
  for (std::size_t i = 0; i < ports; ++i) {
    const std::string name(1, static_cast<char>('a' + i));
    setting.config.ports[name].segment =
        std::string(1, static_cast<char>('s' + dice.roll(segments)));
  }
  config::add_missing_segments(setting.config);
  for (auto& [name, segment] : setting.config.segments) {
    segment.ageing = std::chrono::seconds(1 + dice.roll(6));
    if (limits && dice.chance(50)) segment.mac_limit = static_cast<std::uint32_t>(1 + dice.roll(8));
  }
  draw_sound_options(setting, dice, limits);
  return setting;
}

reference::Prefix prefix_of(const config::Prefix& prefix) {
  const long octets = prefix.is_v6 ? 16 : 4;
  return {{prefix.bytes.begin(), prefix.bytes.begin() + octets}, prefix.length};
}

/// What of a port is its own, as the documentation of `ip` and the keys beside it has it.
void bind(reference::Port& to, const config::Port& port) {
  const auto own = [&](const config::InterfaceAddress& address) {
    to.own.push_back(prefix_of(config::host_of(address)));
    to.families.insert(address.is_v6 ? 6 : 4);
    if (address.is_v6 || address.prefix_length > 30) return;
    reference::Address last = to.own.back().address;
    for (std::size_t bit = address.prefix_length; bit < 32; ++bit) {
      last[bit / 8] = static_cast<std::uint8_t>(last[bit / 8] | 0x80u >> bit % 8);
    }
    to.broadcasts.push_back(last);
  };
  for (const auto& address : port.addresses) own(address);
  for (const auto& address : port.shared_addresses) own(address);
  for (const config::Prefix& prefix : port.prefixes) {
    to.own.push_back(prefix_of(prefix));
    to.families.insert(prefix.is_v6 ? 6 : 4);
  }
  for (const config::Prefix& prefix : port.routes) {
    to.routes.push_back(prefix_of(prefix));
    to.families.insert(prefix.is_v6 ? 6 : 4);
  }
  if (port.link_local != config::LinkLocal::mac) to.families.insert(6);
  for (const auto& address : port.link_locals) own(address);
  if (port.link_local != config::LinkLocal::list && (port.any_ip || to.families.contains(6))) {
    for (const MacAddress mac : port.macs) own(config::link_local_of(mac));
  }
}

reference::World world_of(const Setting& setting) {
  reference::World world;
  for (const auto& [name, segment] : setting.config.segments) {
    world.segments[name] = {static_cast<std::uint64_t>(segment.ageing.count()) * 1000,
                            segment.mac_limit};
  }
  for (const auto& [name, port] : setting.config.ports) {
    reference::Port& to = world.ports[name];
    to.segment = port.segment;
    for (const MacAddress mac : port.macs) to.macs.insert(mac.value);
    for (const MacAddress mac : port.shared_macs) to.shared_macs.insert(mac.value);
    bind(to, port);
    to.any_ip = port.any_ip;
    to.any_link_local = port.link_local == config::LinkLocal::any;
    for (const config::Role role : port.allow) to.allow.insert(config::to_text(role));
    const config::Limit limit = port.limits();
    if (limit.broadcast) to.limit["broadcast"] = *limit.broadcast;
    if (limit.multicast) to.limit["multicast"] = *limit.multicast;
    if (limit.arp_nd) to.limit["arp_nd"] = *limit.arp_nd;
    if (limit.dhcp) to.limit["dhcp"] = *limit.dhcp;
    to.enforce = port.enforce;
    to.trusted = port.trusted;
    to.isolated = port.isolated;
    to.transit = port.transit;
    to.unknown = port.unknown.value_or(port.trusted);
    to.up = !setting.down.contains(name);
    to.away = setting.away.contains(name);
    to.mtu = setting.mtus.at(name);
    to.mac_max =
        port.mac_max.value_or(port.trusted ? world.segments.at(port.segment).mac_limit : 16);
  }
  for (const auto& [mac, port, position] : setting.config.statics) {
    world.statics[{setting.config.ports.at(port).segment, mac.value}] = port;
  }
  return world;
}

void put_in_force(const Setting& setting, TestBridge& bridge) {
  bridge.config = setting.config;
  for (auto& [name, site] : bridge.sites) {
    site.up = !setting.down.contains(name);
    site.away = setting.away.contains(name);
    site.mtu = setting.mtus.at(name);
  }
  bridge.reload();
}

struct Sent {
  std::string from;
  Bytes bytes;
  std::size_t split = SIZE_MAX;
};

/// The last four bytes tell frames apart, if there is room for them.
bool is_tagged(const Sent& sent) { return sent.bytes.size() >= kHeader + 4; }

/// An address that the port may have, as far as it has one.
Bytes draw_address(const config::Port& port, bool is_v6, Dice& dice, bool own) {
  std::vector<config::InterfaceAddress> from;
  const auto consider = [&](const std::vector<config::InterfaceAddress>& list) {
    for (const auto& address : list) {
      if (address.is_v6 == is_v6) from.push_back(address);
    }
  };
  if (own) {
    consider(port.addresses);
    consider(port.shared_addresses);
    consider(port.link_locals);
    if (is_v6 && !port.macs.empty()) from.push_back(config::link_local_of(port.macs.front()));
    if (is_v6 && port.link_local == config::LinkLocal::any) {
      from.push_back(address_of("fe80::" + std::to_string(10 + dice.roll(25))));
    }
  }
  if (from.empty()) {
    from.push_back(address_of(dice.pick(is_v6 ? kAddresses6 : kAddresses4)));
    from.push_back(address_of(is_v6 ? "fd00::6" : "10.0.0.6"));
    if (is_v6) {
      from.push_back(address_of(dice.pick(kLinkLocals)));
      from.push_back(config::link_local_of(mac_in_play(dice.roll(kMacsInPlay))));
      from.push_back(address_of("fe80::" + std::to_string(10 + dice.roll(25))));
    }
  }
  const config::InterfaceAddress& address = dice.pick(from);
  return {address.bytes.begin(), address.bytes.begin() + (is_v6 ? 16 : 4)};
}

/// An address of a port that a frame to `mac` would reach, if somebody has it bound.
Bytes draw_target(const Setting& setting, MacAddress mac, bool is_v6, Dice& dice) {
  for (const auto& [name, port] : setting.config.ports) {
    if (std::ranges::find(port.macs, mac) != port.macs.end() && dice.chance(75)) {
      return draw_address(port, is_v6, dice, true);
    }
  }
  return draw_address({}, is_v6, dice, false);
}

Sent draw_frame(const Setting& setting, Dice& dice, std::uint32_t number) {
  Sent sent;
  auto port = setting.config.ports.begin();
  do {
    port = setting.config.ports.begin();
    std::advance(port, static_cast<long>(dice.roll(setting.config.ports.size())));
  } while (setting.away.contains(port->first));
  sent.from = port->first;

  MacAddress source = mac_in_play(dice.roll(kMacsInPlay));
  if (!port->second.macs.empty() && dice.chance(80)) source = dice.pick(port->second.macs);
  if (!port->second.shared_macs.empty() && dice.chance(20)) {
    source = port->second.shared_macs.front();
  }
  if (dice.chance(2)) source = dice.pick<MacAddress>({{0}, test::mac('*'), test::mac('+')});
  MacAddress destination = mac_in_play(dice.roll(kMacsInPlay + 1));
  if (dice.chance(60)) {  // to one who is there
    auto other = setting.config.ports.begin();
    std::advance(other, static_cast<long>(dice.roll(setting.config.ports.size())));
    const bool is_near = other != port && other->second.segment == port->second.segment;
    if (is_near && !other->second.macs.empty()) destination = dice.pick(other->second.macs);
  }
  while (destination == source && !dice.chance(10))
    destination = mac_in_play(dice.roll(kMacsInPlay));
  if (dice.chance(15)) destination = dice.pick<MacAddress>({test::mac('*'), test::mac('+')});
  if (dice.chance(5)) destination = shared_mac(dice.roll(2));
  if (dice.chance(4)) {
    destination = {dice.pick<std::uint64_t>({0x0180'c200'0000, 0x0180'c200'002f, 0x0180'c200'0030,
                                             0x0100'0ccc'cccc, 0x0100'0ccc'cccd})};
  }
  const auto ethertype = dice.pick<std::uint16_t>(
      {0x0800, 0x0800, 0x0800, 0x0800, 0x0800, 0x0806, 0x86dd, 0x0800, 0x86dd,
       dice.pick<std::uint16_t>({0x8100, 0x88a8, 0x9100, 46, 0x88cc, 0x8035})});

  if (dice.chance(75)) {
    const test::Cast cast{destination,
                          source,
                          mac_in_play(dice.roll(kMacsInPlay)),
                          draw_address(port->second, false, dice, true),
                          draw_target(setting, destination, false, dice),
                          draw_address(port->second, true, dice, true),
                          draw_target(setting, destination, true, dice)};
    sent.bytes = test::draw_packet(cast, dice);
    sent.bytes.resize(sent.bytes.size() + 4);  // for the number
  } else if (dice.chance(10)) {
    sent.bytes = test::qemu_announcement(source);
    if (dice.chance(30)) {
      std::uint8_t& byte = sent.bytes[dice.roll(42)];
      byte = static_cast<std::uint8_t>(byte ^ 1u << dice.roll(8));
    }
  } else {
    const auto mtu = dice.pick<std::size_t>({90, 120, 200});
    std::size_t length = 18 + dice.roll(60);
    if (dice.chance(20)) length = mtu + kHeader - 1 + dice.roll(3);
    if (dice.chance(3)) length = dice.roll(18);
    sent.bytes = test::frame(destination, source, ethertype, length);
  }
  if (is_tagged(sent)) put(sent.bytes, sent.bytes.size() - 4, number, 4);
  if (dice.chance(10) && !sent.bytes.empty()) {
    sent.split = dice.chance(50) ? dice.pick<std::size_t>({13, 14, 41, 42})
                                 : 1 + dice.roll(sent.bytes.size());
  }
  return sent;
}

std::string to_text(const Setting& setting) {
  std::ostringstream text;
  for (const auto& [name, segment] : setting.config.segments) {
    text << "segment " << name << " ageing " << segment.ageing.count() << " mac_limit "
         << segment.mac_limit << '\n';
  }
  const reference::World world = world_of(setting);
  for (const auto& [name, port] : world.ports) {
    text << "port " << name << " in " << port.segment << std::hex;
    for (const reference::Mac mac : port.macs) text << ' ' << mac;
    text << std::dec << (port.trusted ? " trusted" : "") << (port.isolated ? " isolated" : "")
         << (port.transit ? " transit" : "") << (port.unknown ? " unknown" : "")
         << (port.up ? "" : " down") << (port.away ? " away" : "") << (port.any_ip ? " any_ip" : "")
         << (port.enforce ? "" : " shadow") << (port.any_link_local ? " any_link_local" : "");
    for (const reference::Mac mac : port.shared_macs) text << " shared " << std::hex << mac;
    const auto show = [&](const char* what, const reference::Prefix& prefix) {
      text << ' ' << what << ' ' << std::hex;
      for (const int octet : prefix.address) text << octet / 16 << octet % 16;
      text << std::dec << '/' << prefix.bits;
    };
    for (const reference::Prefix& prefix : port.own) show("own", prefix);
    for (const reference::Prefix& prefix : port.routes) show("route", prefix);
    for (const std::string& role : port.allow) text << ' ' << role;
    for (const auto& [what, rate] : port.limit) text << ' ' << what << '=' << rate;
    text << std::dec << " mac_max " << port.mac_max << " mtu " << port.mtu << '\n';
  }
  for (const auto& [place, port] : world.statics) {
    text << "static " << place.first << ' ' << std::hex << place.second << std::dec << " on "
         << port << '\n';
  }
  return text.str();
}

std::string to_text(const Sent& sent) {
  std::ostringstream text;
  text << "from " << sent.from << ' ' << sent.bytes.size() << " bytes";
  if (sent.split != SIZE_MAX) text << " split at " << sent.split;
  text << std::hex;
  for (std::size_t i = 0; i < sent.bytes.size(); ++i) {
    text << (i == 6 || i == 12 || i == 14 ? " " : "") << sent.bytes[i] / 16 << sent.bytes[i] % 16;
  }
  return text.str();
}

using Counts = std::map<std::string, std::int64_t>;  // "a unicast", "b refused too_big"
using Deliveries = std::multiset<std::pair<std::string, Bytes>>;

Counts counts_of(TestBridge& bridge) {
  Counts counts;
  for (const auto& [name, site] : bridge.sites) {
    const PortCounters& of = bridge.counters(name);
    const auto set = [&, &port = name](std::string_view what, std::string_view reason,
                                       std::uint64_t value) {
      if (value == 0) return;
      counts[port + std::string(what) + std::string(reason)] = static_cast<std::int64_t>(value);
    };
    set(" received", "", of.received);
    set(" received_bytes", "", of.received_bytes);
    set(" unicast", "", of.unicast);
    set(" flooded", "", of.flooded);
    set(" offered", "", of.offered);
    set(" sent", "", of.sent);
    set(" sent_bytes", "", of.sent_bytes);
    for (std::size_t i = 0; i < kDropReasonCount; ++i) {
      set(" dropped ", kDropReasons[i].name, of.dropped[i]);
      set(" refused ", kDropReasons[i].name, of.refused[i]);
      set(" shadowed ", kDropReasons[i].name, of.shadowed[i]);
    }
  }
  return counts;
}

void count(Counts& counts, const Sent& sent, const reference::Result& result) {
  const auto bytes = static_cast<std::int64_t>(sent.bytes.size());
  ++counts[sent.from + " received"];
  if (bytes > 0) counts[sent.from + " received_bytes"] += bytes;
  if (!result.reason.empty()) {
    ++counts[sent.from + " dropped " + result.reason];
    return;
  }
  ++counts[sent.from + (result.flooded ? " flooded" : " unicast")];
  if (!result.shadow.empty()) ++counts[sent.from + " shadowed " + result.shadow];
  for (const std::string& to : result.delivered) {
    ++counts[to + " offered"];
    ++counts[to + " sent"];
    counts[to + " sent_bytes"] += bytes;
  }
  for (const auto& [to, reason] : result.shadowed) ++counts[to + " shadowed " + reason];
  for (const auto& [to, reason] : result.refused) {
    ++counts[to + " offered"];
    ++counts[to + " refused " + reason];
  }
}

/// No frame from p leaves q unless q is in reach of p, p's binding covers its source and q's its
/// destination. `owner`: whose the destination was in the table. "" if it holds.
std::string theorem_fault(const reference::Bridge& bridge, const Sent& sent, const std::string& to,
                          const std::string& owner) {
  const reference::Port& p = bridge.world().ports.at(sent.from);
  const reference::Port& q = bridge.world().ports.at(to);
  const auto mac_at = [&](std::size_t at) {
    reference::Mac mac = 0;
    for (std::size_t i = 0; i < 6; ++i) mac = mac << 8 | sent.bytes.at(at + i);
    return mac;
  };
  const reference::Mac source = mac_at(6);
  const reference::Mac destination = mac_at(0);
  if (!bridge.reaches(sent.from, to)) return "out of reach";
  const auto has = [](const reference::Port& port, reference::Mac mac) {
    return port.macs.contains(mac) || port.shared_macs.contains(mac);
  };
  if (!p.trusted && p.enforce && !p.macs.empty() && !has(p, source))
    return "source not in the list";
  for (const auto& [name, other] : bridge.world().ports) {
    if (name != sent.from && other.segment == p.segment && other.macs.contains(source) &&
        !(p.trusted && other.away)) {
      return "source bound to " + name;
    }
  }
  const bool is_group = ((destination >> 40) & 1) != 0;
  if (q.trusted || is_group || has(q, destination)) return "";
  if (!q.learns()) return "destination not in the list";
  if (owner == to || (owner.empty() && q.unknown)) return "";
  return "destination not learned there";
}

class Sequence {
 public:
  explicit Sequence(std::uint64_t seed)
      : dice_(seed),
        by_the_second_(dice_.chance(70)),
        setting_(draw_setting(dice_, by_the_second_)),
        bridge_(setting_.config),
        reference_(world_of(setting_)) {
    // The worker's clock has 32 bits; every other sequence passes its end.
    now_ms_ = (dice_.chance(50) ? 0x1'0000'0000u - dice_.roll(20'000) : 20'000u);
    bridge_.now_ms = static_cast<std::uint32_t>(now_ms_);
    put_in_force(setting_, bridge_);
    second();
  }

  void run(std::map<std::string, std::uint64_t>& seen) {
    for (int step = 0; step < 80; ++step) {
      const std::size_t what = dice_.roll(100);
      if (what < 12) {
        pass_time();
      } else if (what < 15) {
        draw_sound_options(setting_, dice_, by_the_second_);
        put_in_force(setting_, bridge_);
        reference_.change(world_of(setting_));
        second();
      } else if (what < 17) {
        storm(seen);
      } else {
        batch(seen);
      }
      if (::testing::Test::HasFatalFailure()) return;
    }
    EXPECT_EQ(bridge_.ledger_fault(), "");
  }

  [[nodiscard]] const Setting& setting() const { return setting_; }

 private:
  void second() {
    now_ms_ += 1000;
    bridge_.tick();
    reference_.second_passed(now_ms_);
  }

  void pass_time() {
    if (by_the_second_) {
      for (std::size_t i = dice_.roll(4); i <= 3; ++i) second();
      return;
    }
    std::uint64_t step = 1 + dice_.roll(300);
    const auto& entries = reference_.learned(now_ms_);
    if (!entries.empty() && dice_.chance(50)) {  // to the edge of an entry's life
      auto entry = entries.begin();
      std::advance(entry, static_cast<long>(dice_.roll(entries.size())));
      const std::uint64_t ageing = world_of(setting_).segments.at(entry->first.first).ageing_ms;
      step = entry->second.seen_ms + ageing - now_ms_ - dice_.roll(2);
    }
    now_ms_ += step;
    bridge_.now_ms = static_cast<std::uint32_t>(now_ms_);
  }

  void batch(std::map<std::string, std::uint64_t>& seen) {
    std::vector<Sent> frames;
    const std::size_t size = by_the_second_ && dice_.chance(40) ? 2 + dice_.roll(30) : 1;
    while (frames.size() < size) {
      const Sent sent = draw_frame(setting_, dice_, ++number_);
      if (size > 1 && !is_tagged(sent)) continue;
      frames.push_back(sent);
    }
    exchange(frames, seen);
  }

  void exchange(const std::vector<Sent>& frames, std::map<std::string, std::uint64_t>& seen) {
    Counts& expected = expected_;
    bridge_.backend.take();
    for (const Sent& sent : frames) {
      ASSERT_TRUE(bridge_.backend.inject(bridge_.port(sent.from), sent.bytes, sent.split));
    }
    bridge_.worker->round(bridge_.now_ms);
    const Counts counts = counts_of(bridge_);
    Deliveries deliveries;
    for (auto& [port, bytes] : bridge_.backend.take()) {
      deliveries.emplace(bridge_.name_of(port), std::move(bytes));
    }
    Deliveries expected_deliveries;
    std::string what;
    for (const Sent& sent : frames) {
      what += '\n' + to_text(sent);
      const std::string owner = owner_before(sent);
      const reference::Result result =
          reference_.receive(sent.from, sent.bytes, std::min(sent.split, sent.bytes.size()),
                             now_ms_, flapping(sent, counts, expected));
      count(expected, sent, result);
      for (const std::string& to : result.delivered) expected_deliveries.emplace(to, sent.bytes);
      note(seen, result);
      check_theorem(sent, owner, deliveries);
    }
    ASSERT_EQ(counts, expected) << what;
    ASSERT_EQ(deliveries, expected_deliveries) << what;
    compare_tables(what);
    bridge_.events();
  }

  /// One address from many ports, so that it moves until it may not.
  void storm(std::map<std::string, std::uint64_t>& seen) {
    std::vector<std::string> ports;
    for (const auto& [name, port] : setting_.config.ports) {
      if ((port.learns() || !port.enforce) && !setting_.away.contains(name)) ports.push_back(name);
    }
    const MacAddress source = mac_in_play(dice_.roll(kMacsInPlay));
    for (int i = 0; i < 16 && !ports.empty(); ++i) {
      Sent sent{dice_.pick(ports), test::frame(test::mac('*'), source), SIZE_MAX};
      put(sent.bytes, sent.bytes.size() - 4, ++number_, 4);
      exchange({sent}, seen);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }

  std::string owner_before(const Sent& sent) {
    if (sent.bytes.size() < kHeader) return "";
    reference::Mac destination = 0;
    for (std::size_t i = 0; i < 6; ++i) destination = destination << 8 | sent.bytes[i];
    const std::string& segment = setting_.config.ports.at(sent.from).segment;
    reference_.forget_the_old(now_ms_);
    return reference_.owner_of(segment, destination);
  }

  // Between two sweeps of unknown times the bridge may say `flapping` or not: as it said.
  Flapping flapping(const Sent& sent, const Counts& counts, const Counts& before) {
    if (by_the_second_) return Flapping::by_the_second;
    if (sent.bytes.size() < kHeader) return Flapping::as_seen_no;
    reference::Mac source = 0;
    for (std::size_t i = 6; i < 12; ++i) source = source << 8 | sent.bytes[i];
    const std::string& segment = setting_.config.ports.at(sent.from).segment;
    if (!reference_.may_flap({segment, source}, now_ms_)) return Flapping::as_seen_no;
    const std::string key = sent.from + " dropped flapping";
    const auto value = [&](const Counts& of) { return of.contains(key) ? of.at(key) : 0; };
    return value(counts) > value(before) ? Flapping::as_seen_yes : Flapping::as_seen_no;
  }

  void check_theorem(const Sent& sent, const std::string& owner, const Deliveries& deliveries) {
    for (const auto& [to, bytes] : deliveries) {
      if (bytes != sent.bytes) continue;
      ASSERT_EQ(theorem_fault(reference_, sent, to, owner), "") << to << ": " << to_text(sent);
    }
  }

  static void note(std::map<std::string, std::uint64_t>& seen, const reference::Result& result) {
    ++seen["frames"];
    if (!result.reason.empty()) ++seen[result.reason];
    if (!result.shadow.empty()) ++seen["shadow " + result.shadow];
    for (const auto& [to, reason] : result.shadowed) ++seen["egress shadow " + reason];
    if (result.reason.empty()) ++seen[result.flooded ? "flooded" : "unicast"];
    seen["deliveries"] += result.delivered.size();
    for (const auto& [to, reason] : result.refused) ++seen["egress " + reason];
  }

  void compare_tables(const std::string& what) {
    using Row = std::tuple<std::string, reference::Mac, std::string, std::uint32_t>;
    std::set<Row> rows;
    std::set<Row> expected;
    std::map<SegmentIndex, std::string> names;
    for (const auto& [name, index] : bridge_.segments) names[index] = name;
    bridge_.fdb->visit(0, bridge_.fdb->bucket_count(), [&](const MacTable::Entry& entry) {
      if (bridge_.fdb->is_alive(*bridge_.snapshot, entry, bridge_.now_ms)) {
        rows.emplace(names.at(entry.segment()), entry.mac().value, bridge_.name_of(entry.port),
                     entry.seen_ms);
      }
      return false;
    });
    for (const auto& [place, entry] : reference_.learned(now_ms_)) {
      expected.emplace(place.first, place.second, entry.port,
                       static_cast<std::uint32_t>(entry.seen_ms));
    }
    ASSERT_EQ(rows, expected) << what;
  }

  Dice dice_;
  bool by_the_second_;
  Setting setting_;
  TestBridge bridge_;
  reference::Bridge reference_;
  std::uint64_t now_ms_ = 0;
  std::uint32_t number_ = 0;
  Counts expected_;  // since the sequence began
};

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

TEST(Property, TheBridgeDoesAsTheReference) {
  const std::uint64_t first = from_environment("BULKHEAD_SEED", 1);
  const std::uint64_t sequences = from_environment("BULKHEAD_SEQUENCES", kSequences);
  std::map<std::string, std::uint64_t> seen;
  for (std::uint64_t seed = first; seed < first + sequences; ++seed) {
    Sequence sequence(seed);
    sequence.run(seen);
    if (HasFailure()) {
      FAIL() << "BULKHEAD_SEED=" << seed << " BULKHEAD_SEQUENCES=1\n"
             << to_text(sequence.setting());
    }
  }
  for (const auto& [what, times] : seen) std::printf("%12lu %s\n", times, what.c_str());
  if (sequences < kSequences) return;
  // What was not drawn often enough was not compared.
  EXPECT_GE(seen["frames"], 100'000u);
  for (const DropReasonText& reason : kDropReasons) {
    const std::string name(reason.name);
    if (name == "overrun") continue;
    EXPECT_GE(seen[name] + seen["egress " + name], 100u) << name;
  }
  EXPECT_GE(seen["egress shadow not_addressee"], 100u);
  EXPECT_GE(seen["unicast"], 10'000u);
  EXPECT_GE(seen["flooded"], 10'000u);
}

}  // namespace
}  // namespace bulkhead
