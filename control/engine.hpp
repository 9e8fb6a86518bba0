// The engine: the conduit, the NICs' backend, one worker and its thread, and the road to it. What
// the bridge drives.
//
// Control thread only. call() is how everything reaches the worker: it waits until the worker has
// carried the command out; what the worker says meanwhile waits in take_events().
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <string>

#include "backends/conduit.hpp"
#include "backends/guard.hpp"
#include "backends/nic.hpp"
#include "backends/poll_loop.hpp"
#include "backends/umem.hpp"
#include "dataplane/commands.hpp"

namespace bulkhead::control {

class Engine {
 public:
  static constexpr std::uint8_t kConduitBackend = 0;
  static constexpr std::uint8_t kNicBackend = 1;

  /// Makes the conduit and starts the worker. Throws BackendError.
  Engine(std::unique_ptr<Snapshot> first, HashKey key, std::size_t fdb_entries,
         PollLoop::Options options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Waits for the worker to do it. Throws BackendError if it does not within seconds.
  void call(Command& command);
  /// Puts a policy in force and frees the one before.
  void swap(std::unique_ptr<Snapshot> next);
  /// Makes room for so many learned addresses; what is learned stays.
  void grow_fdb(std::size_t entries);

  /// Everything the worker has said since the last call, in order.
  [[nodiscard]] std::deque<Event> take_events();
  /// Readable when there may be some.
  [[nodiscard]] int event_fd() const { return loop_->event_fd(); }
  [[nodiscard]] std::uint64_t events_lost() const { return mailbox_.events_lost; }

  [[nodiscard]] Umem& umem() { return umem_; }
  [[nodiscard]] Guard& guard() { return guard_; }
  [[nodiscard]] NicProgram& nics() { return nic_program_; }
  /// What each worker serves NICs with; queue i of a NIC goes to worker i modulo their number.
  [[nodiscard]] std::span<const NicDevice::Share> nic_shares() const { return nic_shares_; }
  [[nodiscard]] const ConduitDevice& conduit() const { return conduit_device_; }

 private:
  void collect();

  HashKey key_;
  ConduitDevice conduit_device_;
  Guard guard_;
  Umem umem_;
  ReceiveSocket receive_socket_;
  Conduit conduit_;
  NicProgram nic_program_;
  Nic nic_;
  Epoll nic_poll_;
  std::vector<NicDevice::Share> nic_shares_;
  Mailbox mailbox_;
  std::unique_ptr<const Snapshot> snapshot_;  // what the worker decides by
  std::unique_ptr<Fdb> fdb_;
  std::unique_ptr<Worker> worker_;
  std::unique_ptr<PollLoop> loop_;
  std::deque<Event> events_;
  Command* awaited_ = nullptr;
};

/// Numbers for the hash, that no guest can know.
[[nodiscard]] HashKey random_hash_key();

}  // namespace bulkhead::control
