#include "tests/harness/house.hpp"

#include <utility>

namespace bulkhead::test {

House::House(config::Config from, const HouseOptions& options) : config(std::move(from)) {
  for (const auto& [name, port] : config.ports) {
    sites[name] = {static_cast<PortIndex>(sites.size()), 0, true, options.mtu,
                   static_cast<std::uint8_t>(port.worker.value_or(0))};
  }
  for (const auto& [name, segment] : config.segments) {
    segments.emplace(name, static_cast<SegmentIndex>(segments.size()));
  }
  std::vector<control::Team::Place> team;
  for (std::uint8_t i = 0; i < config.workers; ++i) {
    Place& place = *places.emplace_back(std::make_unique<Place>(i, options.chunks));
    team.push_back({&place.pool, {options.backend ? options.backend(place.pool) : &place.backend}});
  }
  const auto policy = control::compile(config, sites, segments, kHouseKey);
  team_ = std::make_unique<control::Team>(*policy, kHouseKey, options.fdb_entries, team);
  for (std::uint8_t i = 0; i < config.workers; ++i) {
    members.push_back(&team_->member(i));
    if (!options.backend) round(i);  // the first pays for all ageing so far
  }
}

std::unique_ptr<Snapshot> House::snapshot_of(std::uint8_t worker) const {
  auto part = control::part_of(*control::compile(config, sites, segments, kHouseKey), worker,
                               static_cast<std::uint8_t>(config.workers));
  part->generation = generation;
  return part;
}

void House::reload(std::uint8_t worker) {
  auto next = snapshot_of(worker);
  members[worker]->worker->swap_snapshot(next.get());
  members[worker]->snapshot = std::move(next);
}

std::string House::name_of(PortIndex index) const {
  for (const auto& [name, site] : sites) {
    if (site.index == index) return name;
  }
  return "?";
}

void House::settle() {
  for (bool busy = true; busy;) {
    busy = false;
    for (std::uint8_t i = 0; i < members.size(); ++i) busy |= round(i).busy;
  }
  for (std::uint8_t i = 0; i < members.size(); ++i) round(i);  // sends the last buffers home
  for (std::uint8_t i = 0; i < members.size(); ++i) round(i);
}

void House::run(std::uint8_t worker, Command& command) {
  members[worker]->mailbox.commands.push(&command);
  for (bool done = false; !done;) {
    for (std::uint8_t i = 0; i < members.size(); ++i) round(i);
    members[worker]->mailbox.events.consume_all([&](const Event& event) {
      done |= event.kind == Event::Kind::done && event.command == &command;
    });
  }
}

std::map<std::string, int> House::taken() {
  std::map<std::string, int> counts;
  for (const auto& place : places) {
    for (const auto& sent : place->backend.take()) ++counts[name_of(sent.port)];
  }
  return counts;
}

std::string House::whereabouts(std::uint8_t worker, MacAddress mac) const {
  const control::Team::Member& member = *members[worker];
  const MacTable::Entry* entry =
      member.fdb->find(*member.snapshot, member.snapshot->bound.hashed(mac, 0), now_ms);
  return entry == nullptr ? "" : name_of(entry->port);
}

PortCounters House::counters(const std::string& name) const {
  PortCounters sum;
  for (const auto* member : members) sum += member->worker->forwarder().counters(port(name));
  return sum;
}

std::string House::ledger_fault() const {
  const auto sum = [](const auto& counts) {
    std::uint64_t total = 0;
    for (const std::uint64_t count : counts) total += count;
    return total;
  };
  std::uint64_t sent = 0, handed = 0;
  for (const auto& [name, site] : sites) {
    const PortCounters of = counters(name);
    if (of.received != of.unicast + of.flooded + sum(of.dropped)) return name + ": ingress";
    if (of.offered != of.sent + sum(of.refused)) return name + ": egress";
    sent += of.sent;
  }
  for (std::size_t i = 0; i < places.size(); ++i) {
    const BufferPool& pool = places[i]->pool;
    handed += places[i]->backend.sent_count();
    if (pool.free_count() != pool.chunk_count()) {
      return std::to_string(pool.chunk_count() - pool.free_count()) + " buffers are missing";
    }
    if (members[i]->worker->crossings().has_lent()) return "something is lent";
  }
  if (sent != handed) return "the backends sent another number of frames";
  return "";
}

}  // namespace bulkhead::test
