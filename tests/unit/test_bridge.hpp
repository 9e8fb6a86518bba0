// A whole bridge without devices: configuration text → compile → a Worker over a MemoryBackend.
//
// Ports and segments get their indices in the order of their names. send() puts one frame in, runs
// one round and says what became of it, by names, from what the counters and the backend saw.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "backends/memory/memory.hpp"
#include "config/config.hpp"
#include "control/bridge/compile.hpp"
#include "dataplane/worker.hpp"
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

class TestBridge {
 public:
  static constexpr std::uint32_t kChunkBytes = 2048;
  static constexpr std::uint32_t kChunks = 256;
  static constexpr std::uint32_t kMtu = 1500;

  explicit TestBridge(const std::string& toml, std::size_t fdb_entries = 256)
      : TestBridge(config::parse(toml, "test.toml"), fdb_entries) {}
  explicit TestBridge(const config::Config& from, std::size_t fdb_entries = 256);

  /// Compiles config and sites anew and puts the result in force.
  void reload();

  [[nodiscard]] PortIndex port(const std::string& name) const { return sites.at(name).index; }
  [[nodiscard]] std::string name_of(PortIndex port) const;
  [[nodiscard]] const PortCounters& counters(const std::string& name) {
    return worker->forwarder().counters(port(name));
  }
  [[nodiscard]] std::uint64_t dropped(const std::string& name, DropReason reason) {
    return counters(name).dropped[index_of(reason)];
  }
  [[nodiscard]] std::uint64_t refused(const std::string& name, DropReason reason) {
    return counters(name).refused[index_of(reason)];
  }

  Outcome send(const std::string& from, const Bytes& bytes, std::size_t split = SIZE_MAX);
  /// Teaches, as a frame from `name` to nobody else's ears would.
  void learn(const std::string& name, MacAddress source);
  /// A whole second passes, with a sweep of everything at its end.
  void tick(std::uint32_t seconds = 1);
  [[nodiscard]] std::set<Learned> learned() const;
  std::vector<Event> events();
  /// "" if every port's counters agree and every buffer is free.
  std::string ledger_fault();

  config::Config config;
  std::map<std::string, control::Site> sites;
  std::map<std::string, SegmentIndex> segments;
  std::uint32_t now_ms = 10'000;

  std::vector<std::uint8_t> memory = std::vector<std::uint8_t>(kChunkBytes * kChunks);
  BufferPool pool{memory, kChunkBytes};
  MemoryBackend backend{pool};
  std::unique_ptr<Mailbox> mailbox = std::make_unique<Mailbox>();
  std::unique_ptr<Snapshot> snapshot;
  std::unique_ptr<Fdb> fdb;
  std::unique_ptr<Worker> worker;
};

}  // namespace bulkhead::test
