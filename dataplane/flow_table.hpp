// The worker's side of the shortcut: which verdicts the kernel may repeat, for how long.
//
// note() makes an entry of a verdict that leaves no mark: unicast, without a budget, a claim, a
// lesson or a shadow. The ports' tc programs look it up by the frame's key (dataplane/flow_key) and
// redirect. An entry dies
//   - with the policy that it was judged by: it has that one's generation, and control says which
//     one is in force before it puts another one there;
//   - with its addresses' places in the MAC table (dataplane/flow_epochs), within a quarter of a
//     second if they age out;
//   - when nobody has used it for kIdleMilliseconds: then its place is free.
// A port has a region of the table to itself (PortPolicy::flow_first), and what finds no place
// there gets none. So nobody evicts another port's entry, nor one of his own that is in use. Where
// regions change, control sees to it that no two workers write to one place.
//
// visit() keeps the sources of what the kernel forwards young in the MAC table, for the worker does
// not see those frames. One worker writes a port's region: the one that has the port. Worker's
// thread only; no allocation after start.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/decide.hpp"
#include "dataplane/fdb.hpp"
#include "dataplane/flow_epochs.hpp"
#include "dataplane/flow_key.hpp"
#include "dataplane/snapshot.hpp"

namespace bulkhead {

class FlowTable {
 public:
  static constexpr std::uint32_t kIdleMilliseconds = 30'000;

  /// Shared with the programs, and with the tables of the other workers.
  struct Memory {
    std::span<bulkhead_flow> flows;
    FlowEpochs epochs;
    std::uint64_t hash_key = 0;
  };
  enum class Noted : std::uint8_t { keyless, known, made, refused };

  explicit FlowTable(const Memory& memory);
  FlowTable(const FlowTable&) = delete;
  FlowTable& operator=(const FlowTable&) = delete;

  [[nodiscard]] FlowEpochs epochs() const { return memory_.epochs; }

  /// The frame from `from` has got the verdict that it goes to `to`, by the snapshot. Both take
  /// part in the shortcut.
  Noted note(const Snapshot& snapshot, const Parsed& frame, const Hashes& hashes, PortIndex from,
             PortIndex to, std::uint32_t now_ms);

  /// Some of the entries, so that each has its turn every quarter of a second: those in use keep
  /// their source young, others make place.
  void visit(const Snapshot& snapshot, Fdb& fdb, std::uint32_t now_ms);

  /// Entries of the port that are alive, or were at the last visit.
  [[nodiscard]] std::uint32_t count_of(PortIndex port) const { return counts_[port]; }

 private:
  static constexpr std::uint32_t kVisitMilliseconds = 250;
  static constexpr std::uint32_t kVisitsPerRound = 1024;

  /// What only this worker knows of a place.
  struct Note {
    std::uint64_t frames = 0;   // that were counted at the last visit
    std::uint32_t used_ms = 0;  // when that had last grown
    PortIndex port = kNoPort;   // whose it is, if listed
    bool listed = false;        // in live_
  };

  [[nodiscard]] bool is_alive(const Snapshot& snapshot, const bulkhead_flow& flow) const;
  void list(std::uint32_t place, PortIndex port, std::uint32_t now_ms);
  [[nodiscard]] static bool is_of(const Snapshot& snapshot, PortIndex port, std::uint32_t place);
  void free_place(std::uint32_t place);
  void unlist(std::uint32_t place);
  [[nodiscard]] static bool is_in_place(const Snapshot& snapshot, const Fdb& fdb,
                                        const bulkhead_flow& flow, std::uint32_t now_ms);
  static void keep_young(const Snapshot& snapshot, Fdb& fdb, const bulkhead_flow& flow,
                         std::uint32_t now_ms);

  Memory memory_;
  std::vector<Note> notes_;            // by place
  std::vector<std::uint32_t> live_;    // places in use, in no order
  std::vector<std::uint32_t> counts_;  // of them, by port
  std::size_t next_ = 0;               // of live_, to be visited
  std::uint32_t begun_ms_ = 0;         // when the visits to all began
};

}  // namespace bulkhead
