// The commands that control sends through the mailbox. Each is made by control, carried out on the
// worker's thread between two batches, and comes back with its result in it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "dataplane/counters.hpp"
#include "dataplane/decide.hpp"
#include "dataplane/drop_reporter.hpp"
#include "dataplane/mailbox.hpp"
#include "dataplane/worker.hpp"

namespace bulkhead {

/// Is done when everything has been taken that other workers had sent before.
class Drain : public Command {
 public:
  bool step(Worker& worker, std::uint32_t now_ms) override;

 private:
  std::vector<std::uint64_t> marks_ = std::vector<std::uint64_t>(kWorkersMax);  // by worker
  bool marked_ = false;
};

/// Puts a new policy in force; afterwards `snapshot` is the old one.
class SwapSnapshot : public Command {
 public:
  explicit SwapSnapshot(const Snapshot* next) : snapshot(next) {}
  bool step(Worker& worker, std::uint32_t now_ms) override;
  const Snapshot* snapshot;
};

/// Moves the learned addresses into a larger or a smaller table, kMovedBucketsPerRound a round.
/// Meanwhile they are found in either. The old table goes with the command.
class ResizeFdb : public Command {
 public:
  explicit ResizeFdb(Fdb::Store&& next) : store_(std::move(next)) {}
  bool step(Worker& worker, std::uint32_t now_ms) override;

 private:
  Fdb::Store store_;
  bool has_begun_ = false;
};

/// Gives a backend what it needs to serve a port.
class Plug : public Command {
 public:
  Plug(std::uint8_t to_backend, PortIndex as_port, Attachment* what)
      : backend(to_backend), port(as_port), attachment(what) {}
  bool step(Worker& worker, std::uint32_t now_ms) override;
  std::uint8_t backend;
  PortIndex port;
  Attachment* attachment;
};

/// Takes it back; afterwards `attachment` is what was plugged, or nullptr.
class Unplug : public Command {
 public:
  Unplug(std::uint8_t from_backend, PortIndex which) : backend(from_backend), port(which) {}
  bool step(Worker& worker, std::uint32_t now_ms) override;
  std::uint8_t backend;
  PortIndex port;
  Attachment* attachment = nullptr;
};

/// Forgets learned addresses, as far as they are the worker's own; the others hear of it. One
/// address is found by its hash. For more the table is looked through, kTableBucketsPerRound a
/// round, until there are no more such addresses: a port that has taught nothing costs nothing.
class FlushFdb : public Command {
 public:
  /// Which ones: all that is said must be so.
  struct What {
    PortIndex port = kNoPort;  // kNoPort: any
    std::optional<SegmentIndex> segment = std::nullopt;
    std::optional<MacAddress> mac = std::nullopt;
    bool reset = false;  // `port` itself too: its place is to be used for another
  };
  explicit FlushFdb(const What& what) : what_(what) {}
  bool step(Worker& worker, std::uint32_t now_ms) override;
  std::uint32_t forgotten = 0;  // result

 private:
  [[nodiscard]] bool concerns(const MacTable::Entry& entry) const;
  [[nodiscard]] bool may_find_more(const Fdb& fdb) const;
  bool forget_one(Worker& worker);
  bool forget_many(Worker& worker);
  void forget(Worker& worker, const MacTable::Entry& entry);

  What what_;
  std::uint32_t place_ = 0;
};

/// Copies what the worker's ports have taught and is alive, with ages: from bucket `place` of the
/// table on, as many rows as were asked for or a few less. Afterwards `place` is where to go on; 0
/// at the end.
class CopyFdb : public Command {
 public:
  struct Row {
    MacAddress mac;
    SegmentIndex segment;
    PortIndex port;
    std::uint32_t age_ms;
  };
  /// `rows_max`: a bucket's entries at least; the room is reserved here, on the control thread.
  CopyFdb(std::uint32_t from, std::size_t rows_max) : place(from), rows_max_(rows_max) {
    rows.reserve(rows_max);
  }
  bool step(Worker& worker, std::uint32_t now_ms) override;
  std::uint32_t place;
  std::vector<Row> rows;

 private:
  std::size_t rows_max_;
};

/// Copies the counters of all ports; each port's agree with each other.
class CopyCounters : public Command {
 public:
  CopyCounters() : counters(kPortsMax) {}
  bool step(Worker& worker, std::uint32_t now_ms) override;
  std::vector<PortCounters> counters;  // by port index
  std::size_t fdb_size = 0;  // learned addresses, without those that other workers' ports taught
  std::uint32_t buffers_free = 0;
  std::uint64_t rounds = 0;

 private:
  std::size_t next_ = 0;
};

/// What decide() says of a frame, check by check, with the worker's own state. Changes nothing.
class Explain : public Command {
 public:
  struct Step {
    Check check;
    bool passed;
    PortIndex egress;  // kNoPort: a check on the way in
  };
  Explain(PortIndex from, std::vector<std::uint8_t> bytes);
  bool step(Worker& worker, std::uint32_t now_ms) override;

  PortIndex from;
  std::vector<std::uint8_t> bytes;
  Parsed parsed;
  Verdict verdict;                // `ports` and `owners` are cleared: see `egress`
  std::vector<PortIndex> egress;  // ports that would get it
  std::vector<Step> steps;        // in order
};

/// Lends the worker a ring for dropped frames, or takes it back: see DropReporter::set_capture().
class SetCapture : public Command {
 public:
  SetCapture(CaptureRing* before, CaptureRing* after) : before_(before), after_(after) {}
  bool step(Worker& worker, std::uint32_t now_ms) override;
  bool done = false;  // result: false if there are kCapturesMax already

 private:
  CaptureRing* before_;
  CaptureRing* after_;
};

/// How many drops a second and port are reported.
class WatchDrops : public Command {
 public:
  explicit WatchDrops(std::uint16_t reports_per_sweep) : limit_(reports_per_sweep) {}
  bool step(Worker& worker, std::uint32_t now_ms) override;

 private:
  std::uint16_t limit_;
};

}  // namespace bulkhead
