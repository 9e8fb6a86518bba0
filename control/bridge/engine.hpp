// The engine: the workers with a conduit, the NICs' queues, a MAC table, buffers and a thread each,
// the rings between them, and the road to them. What the bridge drives.
//
// Control thread only. Everything reaches a worker by the courier. What changes something is waited
// for until it is done; what only asks is given up after some seconds, and throws WorkerIsLate.
// What workers say meanwhile waits in take_events().
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backends/conduit/conduit.hpp"
#include "backends/conduit/conduit_way.hpp"
#include "backends/device/guard.hpp"
#include "backends/nic/nic_way.hpp"
#include "backends/poll_loop.hpp"
#include "backends/umem.hpp"
#include "control/bridge/courier.hpp"
#include "control/bridge/flow_regions.hpp"
#include "control/bridge/team.hpp"
#include "dataplane/commands.hpp"

namespace bulkhead::control {

class Engine {
 public:
  static constexpr std::uint8_t kConduitBackend = 0;
  static constexpr std::uint8_t kNicBackend = 1;

  struct Options {
    std::uint32_t workers = 1;
    std::vector<std::uint32_t> cpus;  // by worker; none for those beyond
    bool busy = false;
    std::string owner = "";        // of the guards: backends/device/pins
    std::size_t flow_entries = 0;  // that the kernel may forward by; 0: no shortcut
  };
  /// What all workers have counted.
  struct Totals {
    std::vector<PortCounters> ports = std::vector<PortCounters>(kPortsMax);  // by index
    std::uint64_t learned = 0;
    std::uint64_t buffers_free = 0;
  };

  /// Makes the conduits and starts the workers. Throws BackendError.
  Engine(const Snapshot& first, HashKey key, const Options& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  [[nodiscard]] std::uint8_t worker_count() const {
    return static_cast<std::uint8_t>(workers_.size());
  }
  /// Has it done, and waits for that: see Courier.
  void call(std::uint8_t worker, Command& command) { courier_.call(worker, command); }
  template <class Question>
  std::unique_ptr<Question> ask(std::uint8_t worker, std::unique_ptr<Question> question) {
    return courier_.ask(worker, std::move(question));
  }
  /// Called ten times a second while a command is waited for: see Courier.
  void while_waiting(std::function<void()> hook) { courier_.while_waiting(std::move(hook)); }
  /// Whether every worker has begun a round since the last time that this said so. One that sleeps
  /// does it four times a second.
  [[nodiscard]] bool workers_get_on();
  /// A command for every worker, one after the other: `make(worker)` makes it and `done(command)`
  /// hears of the result.
  template <class Make, class Done>
  void call_all(Make&& make, Done&& done) {
    for (std::uint8_t worker = 0; worker < worker_count(); ++worker) {
      auto command = make(worker);
      call(worker, *command);
      done(*command);
    }
  }
  template <class Make>
  void call_all(Make&& make) {
    call_all(make, [](const auto&) {});
  }

  /// Puts a policy in force and frees the one before.
  void swap(std::unique_ptr<Snapshot> next);
  /// An entry by which the kernel forwards, and what its port makes of it.
  struct Flow {
    bulkhead_flow entry;
    PortIndex from;
    bool any_source;
    std::uint32_t age_seconds;
  };
  /// Those in force from `place` of the table on, `rows` at most, maybe none before the end;
  /// afterwards `place` is where to go on.
  [[nodiscard]] std::vector<Flow> flows(std::size_t& place, std::size_t rows) const;
  [[nodiscard]] std::size_t flow_places() const { return shortcut_ ? shortcut_->places() : 0; }
  /// What the kernel has forwarded from and to a port by itself; nothing without a shortcut.
  [[nodiscard]] bulkhead_flow_port flow_counts(PortIndex port) const {
    return shortcut_ ? shortcut_->counts_of(port) : bulkhead_flow_port{};
  }
  /// nullptr without one.
  [[nodiscard]] Shortcut* shortcut() { return shortcut_.get(); }
  /// Waits until nothing is on its way between workers that was when it began.
  void drain();
  /// Forgets learned addresses; nothing of them is known to any worker then.
  std::uint32_t flush(const FlushFdb::What& what);

  /// These two throw WorkerIsLate.
  [[nodiscard]] Totals totals();
  /// Learned addresses from `place` on, which goes on behind them; some hundred at most, and maybe
  /// none before the end. What is learned, moves or is forgotten meanwhile is in it or not, and
  /// while the table gets another size something may be in it twice or not at all.
  struct FdbPlace {
    std::uint8_t worker = 0;
    std::uint32_t bucket = 0;
    bool at_end = false;
  };
  [[nodiscard]] std::vector<CopyFdb::Row> learned(FdbPlace& place);

  /// Everything the workers have said since the last call, each in order. To be called ten times
  /// a second at least: that is when the MAC tables are made larger and smaller.
  [[nodiscard]] std::deque<Event> take_events();
  /// Readable when there may be some.
  [[nodiscard]] int event_fd() const { return events_fd_; }
  [[nodiscard]] std::uint64_t events_lost() const { return courier_.events_lost(); }

  [[nodiscard]] Umem& umem() { return umem_; }
  [[nodiscard]] Guard& guard() { return guard_; }
  [[nodiscard]] const ConduitDevice& conduit(std::uint8_t worker) const {
    return workers_[worker]->device;
  }
  /// Mends what somebody did to the conduits' devices. What was wrong, or is and cannot be mended
  /// yet, a line each for the log. To be called once a second.
  std::vector<std::string> look_after_conduits();
  [[nodiscard]] std::uint64_t conduits_mended() const { return conduits_mended_; }
  /// A conduit that cannot be mended at the moment, and why; empty if there is none.
  [[nodiscard]] std::string conduit_trouble() const;

  /// The ways of ports over one of the backends, by its number.
  [[nodiscard]] Ways& ways(std::uint8_t backend) { return *ways_[backend]; }
  [[nodiscard]] std::span<const std::unique_ptr<Ways>> all_ways() const { return ways_; }

 private:
  /// What a worker has beside what every one in a team has.
  struct Running {
    ConduitDevice device;
    std::unique_ptr<ReceiveSocket> socket;
    std::unique_ptr<Conduit> conduit;
    Nic nic;
    Epoll poll;           // of its conduit's socket and its NICs' queues
    std::string trouble;  // of the conduit, if it cannot be mended
    std::unique_ptr<PollLoop> loop;
    std::uint64_t rounds_seen = 0;  // by workers_get_on()
  };

  [[nodiscard]] std::vector<Team::Place> places();
  void make_ways();
  void fit_tables();
  void hand_out(const Snapshot& next);
  std::string mend_conduit(std::uint8_t worker);
  void renew_conduit(std::uint8_t worker);

  HashKey key_;
  Umem umem_;
  int events_fd_;
  std::vector<std::unique_ptr<Bell>> bells_;  // by worker
  std::unique_ptr<Shortcut> shortcut_;
  FlowRegions flow_regions_;
  std::vector<std::unique_ptr<FlowTable>> flow_tables_;  // by worker
  std::optional<Team> team_;                             // outlives the threads, in workers_
  std::vector<std::unique_ptr<Running>> workers_;
  Guard guard_;
  std::array<std::unique_ptr<Ways>, 2> ways_;  // by backend
  std::optional<std::size_t> known_;           // addresses, that want tables of another size
  std::uint32_t resizing_ = 0;                 // workers that move into one
  std::uint64_t breaches_told_ = 0;            // in the log
  Courier courier_;
  std::uint64_t conduits_mended_ = 0;
};

/// Numbers for the hash, that no guest can know.
[[nodiscard]] HashKey random_hash_key();

}  // namespace bulkhead::control
