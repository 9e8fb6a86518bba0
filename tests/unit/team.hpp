// Several workers without devices or threads: configuration text -> compile -> a Worker each over a
// MemoryBackend, with the rings between them. Which worker has its turn is the test's to say, so
// that every interleaving of rounds can be played.
//
// Ports get their indices in the order of their names; port `n` of worker `w` is named in the
// configuration by `worker = w`.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backends/memory/memory.hpp"
#include "config/config.hpp"
#include "control/bridge/compile.hpp"
#include "dataplane/commands.hpp"
#include "dataplane/worker.hpp"
#include "tests/unit/frames.hpp"

namespace bulkhead::test {

class Team {
 public:
  static constexpr std::uint32_t kChunkBytes = 2048;
  static constexpr std::uint32_t kMtu = 1500;

  struct Member {
    Member(std::uint8_t number, std::uint32_t chunks)
        : memory(kChunkBytes * chunks), pool(memory, kChunkBytes, number), backend(pool) {}
    std::vector<std::uint8_t> memory;
    BufferPool pool;
    MemoryBackend backend;
    Mailbox mailbox;
    std::unique_ptr<Snapshot> snapshot;
    std::unique_ptr<Fdb> fdb;
    std::unique_ptr<Worker> worker;
  };

  explicit Team(const std::string& toml, std::size_t fdb_entries = 256, std::uint32_t chunks = 512)
      : config(config::parse(toml, "test.toml")) {
    for (const auto& [name, port] : config.ports) {
      sites[name] = {static_cast<PortIndex>(sites.size()), 0, true, kMtu,
                     static_cast<std::uint8_t>(port.worker.value_or(0))};
    }
    for (const auto& [name, segment] : config.segments) {
      segments.emplace(name, static_cast<SegmentIndex>(segments.size()));
    }
    const auto count = static_cast<std::uint8_t>(config.workers);
    passages.resize(std::size_t{count} * count);
    for (auto& passage : passages) passage = std::make_unique<Passage>();
    for (std::uint8_t i = 0; i < count; ++i) {
      Member& member = *members.emplace_back(std::make_unique<Member>(i, chunks));
      member.fdb = std::make_unique<Fdb>(fdb_entries, key, i);
      member.snapshot = snapshot_of(i);
      std::vector<Crossings::Peer> peers(count);
      for (std::size_t other = 0; other < count; ++other) {
        peers[other] = {passages[i * count + other].get(), passages[other * count + i].get(),
                        chunks};
      }
      member.worker = std::make_unique<Worker>(
          member.pool, std::vector<Backend*>{&member.backend}, member.mailbox,
          member.snapshot.get(), member.fdb.get(), std::make_unique<Crossings>(i, peers));
      member.worker->round(now_ms);  // the first pays for all ageing so far
    }
  }

  /// The configuration and sites as they are now, for one worker.
  std::unique_ptr<Snapshot> snapshot_of(std::uint8_t worker) const {
    auto part = control::part_of(*control::compile(config, sites, segments, key), worker,
                                 static_cast<std::uint8_t>(config.workers));
    part->generation = generation;
    return part;
  }
  /// Puts what config and sites say now in force at one worker only.
  void reload(std::uint8_t worker) {
    auto next = snapshot_of(worker);
    members[worker]->worker->swap_snapshot(next.get());
    members[worker]->snapshot = std::move(next);
  }

  [[nodiscard]] PortIndex port(const std::string& name) const { return sites.at(name).index; }
  [[nodiscard]] std::uint8_t worker_of(const std::string& name) const {
    return sites.at(name).worker;
  }
  bool inject(const std::string& from, const Bytes& bytes) {
    return members[worker_of(from)]->backend.inject(port(from), bytes);
  }
  Worker::Round round(std::uint8_t worker) { return members[worker]->worker->round(now_ms); }
  /// Everybody in turn, until nobody has anything to do.
  void settle() {
    for (bool busy = true; busy;) {
      busy = false;
      for (std::uint8_t i = 0; i < members.size(); ++i) busy |= round(i).busy;
    }
    for (std::uint8_t i = 0; i < members.size(); ++i) round(i);  // sends the last buffers home
    for (std::uint8_t i = 0; i < members.size(); ++i) round(i);
  }
  /// Carries a command out while all have their turns.
  void run(std::uint8_t worker, Command& command) {
    members[worker]->mailbox.commands.push(&command);
    for (bool done = false; !done;) {
      for (std::uint8_t i = 0; i < members.size(); ++i) round(i);
      members[worker]->mailbox.events.consume_all([&](const Event& event) {
        done |= event.kind == Event::Kind::done && event.command == &command;
      });
    }
  }
  /// What left since the last call: how often, by port.
  std::map<std::string, int> taken() {
    std::map<std::string, int> counts;
    for (const auto& member : members) {
      for (const auto& sent : member->backend.take()) ++counts[name_of(sent.port)];
    }
    return counts;
  }
  [[nodiscard]] std::string name_of(PortIndex index) const {
    for (const auto& [name, site] : sites) {
      if (site.index == index) return name;
    }
    return "?";
  }
  /// Where a worker believes an address to be; "" if it does not know.
  [[nodiscard]] std::string whereabouts(std::uint8_t worker, MacAddress mac) const {
    const Member& member = *members[worker];
    const MacTable::Entry* entry =
        member.fdb->find(*member.snapshot, member.snapshot->bound.hashed(mac, 0), now_ms);
    return entry == nullptr ? "" : name_of(entry->port);
  }
  [[nodiscard]] PortCounters counters(const std::string& name) const {
    PortCounters sum;
    for (const auto& member : members) sum += member->worker->forwarder().counters(port(name));
    return sum;
  }
  [[nodiscard]] std::uint64_t refused(const std::string& name, DropReason reason) const {
    return counters(name).refused[index_of(reason)];
  }
  /// "" if every port's counters agree and every buffer is at home.
  [[nodiscard]] std::string ledger_fault() const {
    const auto sum = [](const auto& counts) {
      std::uint64_t total = 0;
      for (const std::uint64_t count : counts) total += count;
      return total;
    };
    for (const auto& [name, site] : sites) {
      const PortCounters of = counters(name);
      if (of.received != of.unicast + of.flooded + sum(of.dropped)) return name + ": ingress";
      if (of.offered != of.sent + sum(of.refused)) return name + ": egress";
    }
    for (const auto& member : members) {
      const std::uint32_t missing = member->pool.chunk_count() - member->pool.free_count();
      if (missing != 0) return std::to_string(missing) + " buffers are missing";
      if (member->worker->crossings().has_lent()) return "something is lent";
    }
    return "";
  }

  config::Config config;
  std::map<std::string, control::Site> sites;
  std::map<std::string, SegmentIndex> segments;
  HashKey key{{0x9e37'79b9'7f4a'7c15, 0xd1b5'4a32'd192'ed03}};
  std::uint32_t generation = 1;
  std::uint32_t now_ms = 10'000;
  std::vector<std::unique_ptr<Passage>> passages;
  std::vector<std::unique_ptr<Member>> members;
};

}  // namespace bulkhead::test
