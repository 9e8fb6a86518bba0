// A worker: everything one polling thread owns, and its round. Pure: the thread that calls round(),
// reads the clock and sleeps is backends/poll_loop.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/backend.hpp"
#include "dataplane/fdb.hpp"
#include "dataplane/forward.hpp"
#include "dataplane/frame.hpp"
#include "dataplane/mailbox.hpp"
#include "dataplane/snapshot.hpp"

namespace bulkhead {

class Worker {
 public:
  struct Round {
    bool busy = false;     // something was done; call again at once
    bool waiting = false;  // a backend or command needs another round soon, though nothing was done
    std::uint32_t told = 0;  // workers that something was handed to, as bits
  };

  /// `snapshot` is the first one; SwapSnapshot gives it back. Without `crossings` it is a worker
  /// alone.
  Worker(BufferPool& pool, std::vector<Backend*> backends, Mailbox& mailbox,
         const Snapshot* snapshot, Fdb* fdb, std::unique_ptr<Crossings> crossings = nullptr);

  /// Takes commands, then, per backend, one batch in and everything out. Bounded work.
  Round round(std::uint32_t now_ms);

  /// The kernel repeats verdicts by that table from now on. Before the first round.
  void set_flows(FlowTable* flows);

  /// For commands, on the worker's thread.
  [[nodiscard]] const Snapshot& snapshot() const { return *snapshot_; }
  const Snapshot* swap_snapshot(const Snapshot* next) { return std::exchange(snapshot_, next); }
  [[nodiscard]] Fdb& fdb() { return *fdb_; }
  [[nodiscard]] Forwarder& forwarder() { return forwarder_; }
  [[nodiscard]] Backend& backend(std::uint8_t index) { return *backends_[index]; }
  [[nodiscard]] const BufferPool& pool() const { return pool_; }
  [[nodiscard]] std::uint64_t rounds() const { return rounds_; }
  [[nodiscard]] Crossings& crossings() { return *crossings_; }
  void announce(const Event& event);
  /// An address of this worker's is to be forgotten: tells the other workers. There must be room.
  void announce_aged(const MacTable::Entry& entry);
  /// The same, and tells control.
  void tell_aged(const MacTable::Entry& entry);

 private:
  bool take_commands(std::uint32_t now_ms);
  void sweep(std::uint32_t now_ms);
  void ask_for_table(bool is_second_over);

  BufferPool& pool_;
  std::vector<Backend*> backends_;
  Mailbox& mailbox_;
  const Snapshot* snapshot_;
  Fdb* fdb_;
  std::unique_ptr<Crossings> crossings_;
  Forwarder forwarder_;
  std::array<Frame, kBatchFrames> batch_;  // a member, so that no round clears it
  Command* command_ = nullptr;             // the one being carried out
  bool command_done_ = false;              // and only waits for room in the ring back
  std::uint32_t swept_ms_ = 0;             // up to when ageing has been paid for
  std::uint32_t sweep_debt_ = 0;           // buckets still to sweep
  std::uint32_t renewed_ms_ = 0;           // when the drop reports were last renewed
  std::size_t asked_room_ = 0;             // of the table in whose place another one was asked for
  std::uint64_t rounds_ = 0;
};

}  // namespace bulkhead
