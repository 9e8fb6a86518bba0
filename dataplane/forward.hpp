// One batch of frames from parse to egress: the verdicts of decide(), carried out.
//
// All are parsed and what they will need is prefetched; then, one by one and in order, each is
// decided, learned from and delivered, so that a batch means what its frames one after the other
// mean. Frames for a port are gathered and handed to its backend once a round, by flush(): to ports
// that only get copies of floods after all others. Frames for another worker's port cross to it,
// and arrive() there. Worker's thread only; no allocation, lock, log or system call.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/backend.hpp"
#include "dataplane/copy_budget.hpp"
#include "dataplane/counters.hpp"
#include "dataplane/crossing.hpp"
#include "dataplane/decide.hpp"
#include "dataplane/drop_reporter.hpp"
#include "dataplane/fdb.hpp"
#include "dataplane/flow_table.hpp"
#include "dataplane/mailbox.hpp"
#include "dataplane/snapshot.hpp"

namespace bulkhead {

class Forwarder {
 public:
  Forwarder(BufferPool& pool, std::span<Backend* const> backends, Mailbox& mailbox,
            Crossings& crossings);

  /// Takes over the references of `frames`, at most kBatchFrames.
  void forward(const Snapshot& snapshot, Fdb& fdb, std::span<const Frame> frames,
               std::uint32_t now_ms);
  /// What another worker has sent; takes over the reference of a frame.
  void arrive(const Snapshot& snapshot, Fdb& fdb, const Crossing& crossing, std::uint32_t now_ms);
  /// Hands everything gathered to the backends.
  void flush(const Snapshot& snapshot);

  /// Where verdicts are noted for the kernel; nowhere if that is nullptr.
  void set_flows(FlowTable* flows) { flows_ = flows; }
  [[nodiscard]] FlowTable* flows() { return flows_; }

  [[nodiscard]] PortCounters& counters(PortIndex port) { return counters_[port]; }
  [[nodiscard]] DropReporter& reporter() { return reporter_; }
  [[nodiscard]] Limiter& limiter() { return limiter_; }
  [[nodiscard]] CopyBudget& copy_budget() { return copy_budget_; }
  [[nodiscard]] Claims& claims() { return claims_; }
  [[nodiscard]] Memory memory(const Fdb& fdb) const { return {fdb, limiter_, claims_}; }

 private:
  /// The first frames are in one cache line with the count.
  struct alignas(64) Gathered {
    std::uint16_t count = 0;
    bool listed = false;   // in dirty_
    bool flooded = false;  // in flooded_
    std::uint32_t bytes = 0;
    std::array<Frame, kBatchFrames> frames;
  };

  /// Of the batch: members, so that none is cleared.
  struct Read {
    Parsed parsed;
    Hashes hashes;
  };

  void arrive_unicast(const Snapshot& snapshot, const Fdb& fdb, const Crossing& crossing,
                      std::uint32_t now_ms);
  void arrive_flood(const Snapshot& snapshot, const Crossing& crossing, std::uint32_t now_ms);
  [[nodiscard]] static Refusal refusal(const Snapshot& snapshot, const Fdb& fdb,
                                       const Crossing& crossing, std::uint32_t now_ms);
  // The rare ones take the verdict by value, so that forward() can keep it in registers.
  [[gnu::noinline]] void remember(const Snapshot& snapshot, Fdb& fdb, const Frame& frame,
                                  const Read& read, Verdict verdict, std::uint32_t now_ms);
  /// Whether the sender of a flood has a share of the copies left, as far as it takes any.
  [[nodiscard, gnu::noinline]] bool has_share(const Snapshot& snapshot, PortIndex from,
                                              std::size_t copies, std::uint32_t now_ms);
  [[gnu::noinline]] void flood(const Snapshot& snapshot, const Frame& frame, const Parsed& parsed,
                               Verdict verdict, std::uint32_t now_ms);
  /// A verdict that leaves no mark: the kernel may repeat it, if both ports take part.
  [[gnu::noinline]] void note(const Snapshot& snapshot, const Frame& frame, const Read& read,
                              PortIndex to, std::uint32_t now_ms);
  [[gnu::noinline]] void drop(const Frame& frame, Verdict verdict);
  void drop(const Frame& frame, DropReason reason);
  /// Says whether the port was given it.
  bool offer(const Snapshot& snapshot, const ReachSet& reach, const Parsed& parsed,
             const Frame& frame, PortIndex to);
  void claim(const Snapshot& snapshot, PortIndex port, const Parsed& parsed, std::uint32_t now_ms);
  /// Hands a frame to the worker of `port`; takes over one reference.
  [[gnu::noinline]] void cross(const Snapshot& snapshot, PortIndex port, const Frame& frame,
                               MacAddress destination, std::uint32_t generation);
  /// Gathers a frame for `port`; takes over one reference.
  void deliver(const Snapshot& snapshot, PortIndex port, const Frame& frame);
  /// The same of a flooded one.
  void deliver_copy(const Snapshot& snapshot, PortIndex port, const Frame& frame);
  void gather(const Snapshot& snapshot, PortIndex port, const Frame& frame);
  /// Counts and tells that `port` does not get a frame that it was offered.
  [[gnu::noinline]] void refuse(PortIndex port, DropReason reason, const Frame& frame);
  /// Counts and tells what `port`, in shadow, would have refused.
  [[gnu::noinline]] void excuse(PortIndex port, DropReason reason, bool egress, const Frame& frame);
  [[gnu::noinline]] void overrun(PortIndex port, std::span<const Frame> frames);
  [[gnu::noinline]] void flush_port(const Snapshot& snapshot, PortIndex port);

  BufferPool& pool_;
  std::span<Backend* const> backends_;
  Mailbox& mailbox_;
  Crossings& crossings_;
  DropReporter reporter_;
  Limiter limiter_;
  CopyBudget copy_budget_;
  Claims claims_;
  FlowTable* flows_ = nullptr;
  std::vector<PortCounters> counters_;
  std::vector<Gathered> gathered_;  // by egress port
  std::vector<PortIndex> dirty_;    // those of gathered_ to flush
  std::vector<PortIndex> flooded_;  // and those behind them
  std::array<Read, kBatchFrames> batch_;
};

}  // namespace bulkhead
