// A whole bridge without devices or threads: configuration → snapshots → workers over memory, with
// the rings between them. The one harness of unit, property and fuzz tests and of the benchmarks.
// Which worker has its turn is the test's to say, so that every interleaving of rounds can be
// played; the set-up of the workers is the engine's own (control/bridge/team).
//
// Ports and segments get their indices in the order of their names; a port is worker w's if the
// configuration says `worker = w`, and the first one's otherwise.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backends/memory/memory.hpp"
#include "config/config.hpp"
#include "control/bridge/compile.hpp"
#include "control/bridge/team.hpp"
#include "dataplane/commands.hpp"

namespace bulkhead::test {

inline constexpr HashKey kHouseKey{{0x9e37'79b9'7f4a'7c15, 0xd1b5'4a32'd192'ed03}};

struct HouseOptions {
  std::size_t fdb_entries = 256;
  std::uint32_t chunks = 512;  // of each worker
  std::uint32_t mtu = 1500;
  /// What moves the frames instead of the MemoryBackend, if anything; the maker keeps it.
  std::function<Backend*(BufferPool&)> backend = nullptr;
};

class House {
 public:
  static constexpr std::uint32_t kChunkBytes = 2048;

  /// What a worker has to work with.
  struct Place {
    Place(std::uint8_t number, std::uint32_t chunks)
        : memory(std::size_t{kChunkBytes} * chunks),
          pool(memory, kChunkBytes, number),
          backend(pool) {}
    std::vector<std::uint8_t> memory;
    BufferPool pool;
    MemoryBackend backend;
  };

  explicit House(const std::string& toml, const HouseOptions& options = {})
      : House(config::parse(toml, "test.toml"), options) {}
  explicit House(config::Config from, const HouseOptions& options = {});

  /// The configuration and sites as they are now, for one worker.
  [[nodiscard]] std::unique_ptr<Snapshot> snapshot_of(std::uint8_t worker) const;
  /// Puts what config and sites say now in force at one worker only.
  void reload(std::uint8_t worker = 0);

  [[nodiscard]] PortIndex port(const std::string& name) const { return sites.at(name).index; }
  [[nodiscard]] std::string name_of(PortIndex index) const;
  [[nodiscard]] std::uint8_t worker_of(const std::string& name) const {
    return sites.at(name).worker;
  }
  bool inject(const std::string& from, std::span<const std::uint8_t> bytes) {
    return places[worker_of(from)]->backend.inject(port(from), bytes);
  }
  Worker::Round round(std::uint8_t worker) { return members[worker]->worker->round(now_ms); }
  /// Everybody in turn, until nobody has anything to do.
  void settle();
  /// Carries a command out while all have their turns.
  void run(std::uint8_t worker, Command& command);
  /// What left since the last call: how often, by port.
  std::map<std::string, int> taken();
  /// Where a worker believes an address to be; "" if it does not know.
  [[nodiscard]] std::string whereabouts(std::uint8_t worker, MacAddress mac) const;
  /// By all workers.
  [[nodiscard]] PortCounters counters(const std::string& name) const;
  [[nodiscard]] std::uint64_t refused(const std::string& name, DropReason reason) const {
    return counters(name).refused[index_of(reason)];
  }
  /// "" if every port's counters agree and every buffer is at home.
  [[nodiscard]] std::string ledger_fault() const;

  config::Config config;
  std::map<std::string, control::Site> sites;
  std::map<std::string, SegmentIndex> segments;
  std::uint32_t generation = 1;
  std::uint32_t now_ms = 10'000;
  std::vector<std::unique_ptr<Place>> places;   // by worker
  std::vector<control::Team::Member*> members;  // by worker

 private:
  std::unique_ptr<control::Team> team_;
};

}  // namespace bulkhead::test
