// One batch of frames from parse to egress: the verdicts of decide(), carried out.
//
// Frames are decided and learned from one by one and in order, so that a batch means what its
// frames one after the other mean; then delivered in three plain loops. Frames for a port are
// gathered and handed to its backend once a round, by flush(). Frames for another worker's port
// cross to it, and arrive() there. Worker's thread only; no allocation, lock, log or system call.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/backend.hpp"
#include "dataplane/counters.hpp"
#include "dataplane/crossing.hpp"
#include "dataplane/decide.hpp"
#include "dataplane/drop_reporter.hpp"
#include "dataplane/fdb.hpp"
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

  [[nodiscard]] PortCounters& counters(PortIndex port) { return counters_[port]; }
  [[nodiscard]] DropReporter& reporter() { return reporter_; }
  [[nodiscard]] Limiter& limiter() { return limiter_; }

 private:
  struct Gathered {
    std::uint32_t count = 0;
    bool listed = false;  // in dirty_
    std::array<Frame, kBatchFrames> frames;
  };

  void arrive_unicast(const Snapshot& snapshot, const Fdb& fdb, const Crossing& crossing,
                      std::uint32_t now_ms);
  void arrive_flood(const Snapshot& snapshot, const Crossing& crossing);
  [[nodiscard]] static std::optional<DropReason> refusal(const Snapshot& snapshot, const Fdb& fdb,
                                                         const Crossing& crossing,
                                                         std::uint32_t now_ms);
  void remember(const Snapshot& snapshot, Fdb& fdb, const Frame& frame, const Parsed& parsed,
                const Verdict& verdict, std::uint32_t now_ms);
  void flood(const Snapshot& snapshot, const Frame& frame, const Parsed& parsed,
             const Verdict& verdict);
  void offer(const Snapshot& snapshot, const ReachSet& reach, const Parsed& parsed,
             const Frame& frame, PortIndex to);
  void drop(const Frame& frame, const Verdict& verdict);
  void claim(const Snapshot& snapshot, Fdb& fdb, PortIndex port, const Parsed& parsed);
  /// Hands a frame to the worker of `port`; takes over one reference.
  void cross(const Snapshot& snapshot, PortIndex port, const Frame& frame,
             MacAddress destination, std::uint32_t generation);
  /// Gathers a frame for `port`; takes over one reference.
  void deliver(const Snapshot& snapshot, PortIndex port, const Frame& frame);
  void refuse(PortIndex port, DropReason reason, const Frame& frame);
  void flush_port(const Snapshot& snapshot, PortIndex port);

  BufferPool& pool_;
  std::span<Backend* const> backends_;
  Mailbox& mailbox_;
  Crossings& crossings_;
  DropReporter reporter_;
  Limiter limiter_;
  std::vector<PortCounters> counters_;
  std::vector<Gathered> gathered_;           // by egress port
  std::array<Parsed, kBatchFrames> parsed_;  // of the batch; members, so that none is cleared
  std::array<Verdict, kBatchFrames> verdicts_;
  std::vector<PortIndex> dirty_;  // those of gathered_ to flush
};

}  // namespace bulkhead
