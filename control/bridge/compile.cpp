#include "control/bridge/compile.hpp"

#include <algorithm>
#include <tuple>

namespace bulkhead::control {
namespace {

constexpr std::uint32_t kEthernetHeader = 14;
constexpr std::uint32_t kGuestMacsMax = 16;  // learned on a guest's port, unless `mac_max` says

IpAddress address_of(bool is_v6, const std::array<std::uint8_t, 16>& bytes) {
  const auto number = [&](std::size_t first, std::size_t count) {
    std::uint64_t value = 0;
    for (std::size_t i = first; i < first + count; ++i) value = value << 8 | bytes[i];
    return value;
  };
  return is_v6 ? IpAddress{number(0, 8), number(8, 8)} : IpAddress{0, number(0, 4)};
}

/// RFC 4291 appendix A: the link-local address of a MAC.
IpAddress eui64_link_local(MacAddress mac) {
  const std::uint64_t upper = (mac.value >> 24) ^ 0x02'0000;
  return {0xfe80'0000'0000'0000, upper << 40 | 0xff'fe00'0000 | (mac.value & 0xff'ffff)};
}

std::uint8_t role_bits(const std::set<config::Role>& roles) {
  std::uint8_t bits = 0;
  for (const config::Role role : roles) {
    switch (role) {
      case config::Role::dhcp_server:
        bits |= kDhcpServer;
        break;
      case config::Role::router:
        bits |= kRouter;
        break;
      case config::Role::querier:
        bits |= kQuerier;
        break;
      case config::Role::vrrp:
        bits |= kVrrp;
        break;
      case config::Role::routing:
        bits |= kRouting;
        break;
    }
  }
  return bits;
}

Rates rates_of(const config::Limit& limit) {
  return {limit.broadcast.value_or(kNoLimit), limit.multicast.value_or(kNoLimit),
          limit.arp_nd.value_or(kNoLimit), limit.dhcp.value_or(kNoLimit)};
}

/// Treated as one with mac = "any" and ip = "any".
bool in_shadow(const config::Port& port) { return !port.enforce && !port.trusted; }

PortPolicy policy_of(const config::Config& config, const config::Port& port, const Site& site,
                     SegmentIndex segment) {
  PortPolicy policy;
  policy.present = true;
  policy.up = site.up;
  policy.trusted = port.trusted;
  policy.any_mac = port.learns();
  policy.learns = port.learns() || in_shadow(port);
  policy.unknown = port.unknown.value_or(port.trusted);
  policy.any_ip = port.any_ip;
  policy.has_v4 = port.speaks(false);
  policy.has_v6 = port.speaks(true);
  policy.enforce = !in_shadow(port);
  policy.any_link_local = port.link_local == config::LinkLocal::any;
  policy.roles = role_bits(port.allow);
  policy.worker = site.worker;
  policy.spread = site.spread;
  policy.away = site.away;
  policy.road = site.road;
  policy.device = site.device;
  policy.backend = site.backend;
  policy.segment = segment;
  policy.mac_max = port.mac_max.value_or(port.trusted ? config.segments.at(port.segment).mac_limit
                                                      : kGuestMacsMax);
  policy.frame_bytes_max = site.mtu + kEthernetHeader;
  policy.rates = rates_of(port.limits());
  return policy;
}

/// Everything that reaches() and membership in a set depend on.
using ReachClass = std::tuple<std::string, bool, bool, bool>;

ReachClass class_of(const config::Port& port) {
  return {port.segment, port.trusted, port.isolated, port.transit};
}

ReachSet reach_of(const config::Config& config, const std::map<std::string, Site>& sites,
                  const config::Port& from) {
  ReachSet reach;
  for (const auto& [name, port] : config.ports) {
    const config::Port& to = port;  // clang 14 does not let a lambda have a structured binding
    if (to.segment != from.segment || !reaches(from, to)) continue;
    const Site& site = sites.at(name);
    reach.bits[site.index / 64u] |= std::uint64_t{1} << (site.index % 64u);
    if (!site.up) continue;
    const auto add_if = [&](bool belongs, std::vector<PortIndex>& ports) {
      if (belongs) ports.push_back(site.index);
    };
    const auto has_role = [&](config::Role role) { return to.trusted || to.allow.contains(role); };
    add_if(true, reach.flood);
    add_if(to.unknown.value_or(to.trusted), reach.unknown);
    add_if(to.trusted, reach.trusted);
    const bool any_ip = to.any_ip || in_shadow(to);
    add_if(to.trusted || any_ip, reach.ownerless);
    add_if(to.trusted || any_ip || to.link_local == config::LinkLocal::any, reach.link_local);
    add_if(to.trusted || to.link_local == config::LinkLocal::any, reach.testers);
    add_if(has_role(config::Role::dhcp_server), reach.dhcp_servers);
    add_if(has_role(config::Role::router), reach.routers);
    add_if(has_role(config::Role::querier), reach.queriers);
  }
  return reach;
}

void bind(Snapshot& snapshot, MacAddress mac, SegmentIndex segment, PortIndex port,
          EntryKind kind) {
  MacTable::Entry* entry = snapshot.bound.find(mac, segment);
  if (entry == nullptr) entry = snapshot.bound.insert(mac, segment);
  if (entry == nullptr)
    throw config::ConfigError("too many bound addresses: the MAC table is full");
  // What ports share is away when all of them are.
  if (kind == EntryKind::away && entry->kind == EntryKind::shared) return;
  entry->port = port;
  entry->kind = kind;
}

std::size_t count_macs(const config::Config& config) {
  std::size_t count = 0;
  for (const auto& [name, port] : config.ports) {
    count += port.macs.size() + port.shared_macs.size();
  }
  return count;
}

/// At most, link-local ones included.
std::size_t count_addresses(const config::Config& config) {
  std::size_t count = 0;
  for (const auto& [name, port] : config.ports) {
    count += port.addresses.size() + port.prefixes.size() + port.shared_addresses.size() +
             port.link_locals.size() + port.macs.size();
  }
  return count;
}

void bind_macs(Snapshot& snapshot, const config::Port& port, PortPolicy& policy, PortIndex index) {
  policy.mac_first = static_cast<std::uint32_t>(snapshot.macs.size());
  policy.mac_count = static_cast<std::uint16_t>(port.macs.size() + port.shared_macs.size());
  for (const MacAddress mac : port.macs) {
    snapshot.macs.push_back(mac);
    bind(snapshot, mac, policy.segment, index, policy.away ? EntryKind::away : EntryKind::bound);
  }
  if (!port.macs.empty()) policy.first_mac = port.macs.front();
  policy.shares_macs = !port.shared_macs.empty();
  for (const MacAddress mac : port.shared_macs) {
    snapshot.macs.push_back(mac);
    bind(snapshot, mac, policy.segment, index, policy.away ? EntryKind::away : EntryKind::shared);
  }
}

/// The port's addresses and prefixes, so that they are nobody else's; its routes; the broadcast
/// addresses of its subnets.
void bind_addresses(Snapshot& snapshot, const config::Port& port, PortPolicy& policy,
                    PortIndex index) {
  const auto own = [&](bool is_v6, IpAddress address, std::uint8_t bits) {
    snapshot.addresses.add(policy.segment, is_v6, address, bits, index);
  };
  policy.subnet_first = static_cast<std::uint32_t>(snapshot.subnets.size());
  const auto own_single = [&](const config::InterfaceAddress& address) {
    const IpAddress ip = address_of(address.is_v6, address.bytes);
    own(address.is_v6, ip, address.is_v6 ? 128 : 32);
    IpAddress& first = policy.first_address[address.is_v6 ? 1 : 0];
    if (first.is_zero()) first = ip;
    if (address.is_v6 || address.prefix_length > 30) return;
    const std::uint64_t hosts = 0xffff'ffffULL >> address.prefix_length;
    snapshot.subnets.push_back(IpAddress{0, ip.low | hosts});
  };
  for (const auto& address : port.addresses) own_single(address);
  for (const auto& address : port.shared_addresses) own_single(address);
  policy.subnet_count = static_cast<std::uint16_t>(snapshot.subnets.size() - policy.subnet_first);
  for (const config::Prefix& prefix : port.prefixes) {
    own(prefix.is_v6, address_of(prefix.is_v6, prefix.bytes), prefix.length);
  }
  policy.route_first = static_cast<std::uint32_t>(snapshot.routes.size());
  policy.route_count = static_cast<std::uint16_t>(port.routes.size());
  for (const config::Prefix& route : port.routes) {
    snapshot.routes.push_back({address_of(route.is_v6, route.bytes), route.length, route.is_v6});
  }
  if (port.link_local == config::LinkLocal::list) {
    for (const auto& address : port.link_locals) own_single(address);
  } else if (policy.has_v6) {
    for (const MacAddress mac : port.macs) own(true, eui64_link_local(mac), 128);
  }
}

}  // namespace

bool reaches(const config::Port& from, const config::Port& to) {
  return !(from.isolated && to.isolated) &&
         (!(from.trusted && to.trusted) || (from.transit && to.transit));
}

std::unique_ptr<Snapshot> compile(const config::Config& config,
                                  const std::map<std::string, Site>& sites,
                                  const std::map<std::string, SegmentIndex>& segments,
                                  HashKey key) {
  auto snapshot = std::make_unique<Snapshot>(count_macs(config) + config.statics.size(),
                                             count_addresses(config), key);
  for (const auto& [name, index] : segments) {
    const config::Segment& segment = config.segments.at(name);
    snapshot->segments.resize(std::max<std::size_t>(snapshot->segments.size(), index + 1u));
    snapshot->segments[index] = {static_cast<std::uint32_t>(segment.ageing.count()) * 1000,
                                 segment.mac_limit};
  }
  std::map<ReachClass, std::uint16_t> reach_sets;
  for (const auto& [name, port] : config.ports) {
    const Site& site = sites.at(name);
    const SegmentIndex segment = segments.at(port.segment);
    PortPolicy policy = policy_of(config, port, site, segment);
    const auto [place, is_new] =
        reach_sets.try_emplace(class_of(port), static_cast<std::uint16_t>(snapshot->reach.size()));
    if (is_new) snapshot->reach.push_back(reach_of(config, sites, port));
    policy.reach = place->second;
    bind_macs(*snapshot, port, policy, site.index);
    bind_addresses(*snapshot, port, policy, site.index);
    snapshot->ports[site.index] = policy;
  }
  for (const config::Static& entry : config.statics) {  // as good as bound
    const config::Port& port = config.ports.at(entry.port);
    const Site& site = sites.at(entry.port);
    bind(*snapshot, entry.mac, segments.at(port.segment), site.index,
         site.away ? EntryKind::away : EntryKind::fixed);
  }
  snapshot->addresses.finish();
  return snapshot;
}

std::unique_ptr<Snapshot> part_of(const Snapshot& policy, std::uint8_t worker,
                                  std::uint8_t workers) {
  auto part = std::make_unique<Snapshot>(policy);
  part->worker = worker;
  if (workers == 1) return part;
  struct Learnable {
    std::uint64_t before = 0, own = 0, all = 0;  // on lower workers, on this one, everywhere
  };
  std::vector<Learnable> learnable(policy.segments.size());
  for (PortPolicy& port : part->ports) {
    if (!port.present) continue;
    const bool learns = port.learns || port.shares_macs;
    const std::uint64_t most = learns ? port.mac_max : 0;
    Learnable& of = learnable[port.segment];
    if (port.spread) {
      port.worker = worker;
      for (std::uint32_t& rate : port.rates) {
        if (rate != kNoLimit) rate = (rate + workers - 1) / workers;
      }
      of.all += most * workers;
      of.before += most * worker;
      of.own += most;
    } else {
      of.all += most;
      if (port.worker < worker) of.before += most;
      if (port.worker == worker) of.own += most;
    }
  }
  for (std::size_t i = 0; i < learnable.size(); ++i) {
    const Learnable& of = learnable[i];
    if (of.all == 0) continue;
    std::uint32_t& limit = part->segments[i].mac_limit;
    const auto up_to = [&](std::uint64_t macs) { return limit * macs / of.all; };
    limit = static_cast<std::uint32_t>(up_to(of.before + of.own) - up_to(of.before));
  }
  return part;
}

}  // namespace bulkhead::control
