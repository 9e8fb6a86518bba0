// A house with one worker, frame by frame: send() puts one in, runs one round and says what became
// of it, by names, from what the counters and the backend saw.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "tests/harness/house.hpp"
#include "tests/unit/frames.hpp"

namespace bulkhead::test {

/// What became of a frame.
struct Outcome {
  std::string verdict;                         // "unicast", "flood", "drop"
  std::string reason;                          // of a drop, at ingress
  std::set<std::string> ports;                 // that got it
  std::map<std::string, std::string> refused;  // at egress: port to reason
  bool operator==(const Outcome&) const = default;
};

std::string to_text(const Outcome& outcome);
inline void PrintTo(const Outcome& outcome, std::ostream* out) { *out << to_text(outcome); }

/// mac, segment, port, seen, moves: an Fdb entry by value.
using Learned = std::tuple<std::uint64_t, SegmentIndex, PortIndex, std::uint32_t, std::uint8_t>;

/// The same configuration, whatever it says of workers.
inline config::Config with_one_worker(config::Config config) {
  config.workers = 1;
  for (auto& [name, port] : config.ports) port.worker.reset();
  return config;
}

class TestBridge : public House {
 public:
  static constexpr std::uint32_t kChunks = 256;

  explicit TestBridge(const std::string& toml, std::size_t fdb_entries = 256)
      : TestBridge(config::parse(toml, "test.toml"), fdb_entries) {}
  explicit TestBridge(const config::Config& from, std::size_t fdb_entries = 256)
      : House(with_one_worker(from), {.fdb_entries = fdb_entries, .chunks = kChunks}) {}

  [[nodiscard]] const PortCounters& counters(const std::string& name) {
    return worker->forwarder().counters(port(name));
  }
  [[nodiscard]] std::uint64_t dropped(const std::string& name, DropReason reason) {
    return counters(name).dropped[index_of(reason)];
  }

  Outcome send(const std::string& from, const Bytes& bytes, std::size_t split = SIZE_MAX);
  /// Teaches, as a frame from `name` to nobody else's ears would.
  void learn(const std::string& name, MacAddress source);
  /// A whole second passes, with a sweep of everything at its end.
  void tick(std::uint32_t seconds = 1);
  [[nodiscard]] std::set<Learned> learned() const;
  std::vector<Event> events();

  // The one worker's.
  BufferPool& pool = places[0]->pool;
  MemoryBackend& backend = places[0]->backend;
  Mailbox* const mailbox = &members[0]->mailbox;
  const std::unique_ptr<const Snapshot>& snapshot = members[0]->snapshot;
  const std::unique_ptr<Fdb>& fdb = members[0]->fdb;
  const std::unique_ptr<Worker>& worker = members[0]->worker;
};

}  // namespace bulkhead::test
