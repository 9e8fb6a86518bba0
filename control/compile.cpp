#include "control/compile.hpp"

#include <algorithm>
#include <tuple>

namespace bulkhead::control {
namespace {

constexpr std::uint32_t kEthernetHeader = 14;
constexpr std::uint32_t kGuestMacsMax = 16;  // learned on a guest's port, unless `mac_max` says

PortPolicy policy_of(const config::Config& config, const config::Port& port, const Site& site,
                     SegmentIndex segment) {
  PortPolicy policy;
  policy.present = true;
  policy.up = site.up;
  policy.trusted = port.trusted;
  policy.learns = port.learns();
  policy.unknown = port.unknown.value_or(port.trusted);
  policy.backend = site.backend;
  policy.segment = segment;
  policy.mac_max = port.mac_max.value_or(port.trusted ? config.segments.at(port.segment).mac_limit
                                                      : kGuestMacsMax);
  policy.frame_bytes_max = site.mtu + kEthernetHeader;
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
  reach.bits.resize(kPortsMax / 64);
  for (const auto& [name, to] : config.ports) {
    if (to.segment != from.segment || !reaches(from, to)) continue;
    const Site& site = sites.at(name);
    reach.bits[site.index / 64u] |= std::uint64_t{1} << (site.index % 64u);
    if (!site.up) continue;
    reach.flood.push_back(site.index);
    if (to.unknown.value_or(to.trusted)) reach.unknown.push_back(site.index);
  }
  return reach;
}

void bind(Snapshot& snapshot, MacAddress mac, SegmentIndex segment, PortIndex port,
          EntryKind kind) {
  MacTable::Entry* entry = snapshot.bound.insert(mac, segment);
  if (entry == nullptr)
    throw config::ConfigError("too many bound addresses: the MAC table is full");
  entry->port = port;
  entry->kind = kind;
}

std::size_t count_macs(const config::Config& config) {
  std::size_t count = 0;
  for (const auto& [name, port] : config.ports) count += port.macs.size();
  return count;
}

}  // namespace

bool reaches(const config::Port& from, const config::Port& to) {
  return !(from.isolated && to.isolated) &&
         (!(from.trusted && to.trusted) || (from.transit && to.transit));
}

std::unique_ptr<Snapshot> compile(const config::Config& config,
                                  const std::map<std::string, Site>& sites,
                                  const std::map<std::string, SegmentIndex>& segments,
                                  const std::vector<StaticEntry>& statics, HashKey key) {
  auto snapshot = std::make_unique<Snapshot>(count_macs(config) + statics.size(), key);
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
    policy.mac_first = static_cast<std::uint32_t>(snapshot->macs.size());
    policy.mac_count = static_cast<std::uint16_t>(port.macs.size());
    for (const MacAddress mac : port.macs) {
      snapshot->macs.push_back(mac);
      bind(*snapshot, mac, segment, site.index, EntryKind::bound);
    }
    snapshot->ports.resize(std::max<std::size_t>(snapshot->ports.size(), site.index + 1u));
    snapshot->ports[site.index] = policy;
  }
  for (const StaticEntry& entry : statics) {
    const config::Port& port = config.ports.at(entry.port);
    bind(*snapshot, entry.mac, segments.at(port.segment), sites.at(entry.port).index,
         EntryKind::fixed);
  }
  return snapshot;
}

}  // namespace bulkhead::control
