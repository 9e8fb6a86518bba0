// The polling thread: rounds of one worker, the clock, and sleep.
//
// Adaptive: after kIdleMicroseconds with nothing to do it sleeps until a frame, a command or the
// next slice of ageing; the first frame after a pause waits in the ring meanwhile. Busy: it never
// sleeps. A worker that hands something to another one rings its bell if that one sleeps.
#pragma once

#include <poll.h>

#include <atomic>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "dataplane/worker.hpp"

namespace bulkhead {

/// Wakes a worker that sleeps. Any thread.
class Bell {
 public:
  /// Throws BackendError.
  Bell();
  ~Bell();
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;

  void ring() const;
  /// After handing over what the sleeper must not miss.
  void ring_if_asleep() const;

  /// The sleeper: between the two, everybody rings; what came before must be looked for after
  /// fall_asleep().
  void fall_asleep();
  void wake_up();
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
  std::atomic<bool> asleep_ = false;
};

class PollLoop {
 public:
  static constexpr std::int64_t kIdleMicroseconds = 100;

  struct Options {
    bool busy = false;
    std::optional<std::uint32_t> cpu;
    std::uint8_t number = 0;                       // of the worker, in the name of its thread
    std::span<const std::unique_ptr<Bell>> bells;  // by worker
    int events_fd = -1;  // an eventfd: control is told there that it has events
  };

  /// `frame_fds` become readable when frames wait. Throws BackendError.
  PollLoop(Worker& worker, Mailbox& mailbox, const std::vector<int>& frame_fds, Options options);
  /// Ends the thread.
  ~PollLoop();
  PollLoop(const PollLoop&) = delete;
  PollLoop& operator=(const PollLoop&) = delete;

  /// Control pushed a command: wakes the thread if it sleeps.
  void wake();
  /// How many the worker has begun: shows that it lives. Any thread.
  [[nodiscard]] std::uint64_t rounds() const { return rounds_.load(std::memory_order_relaxed); }

 private:
  void start();
  void run();
  void sleep(bool waiting);
  void tell_control(std::int64_t now_us);
  void tell_workers(std::uint32_t told);

  Worker& worker_;
  Mailbox& mailbox_;
  Options options_;
  Bell& bell_;
  std::vector<pollfd> fds_;  // the bell first, then the backends'
  std::int64_t told_us_ = 0;
  std::atomic<bool> stop_ = false;
  std::atomic<std::uint64_t> rounds_ = 0;
  std::promise<void> confined_;
  std::thread thread_;
};

/// An eventfd that never blocks. Throws BackendError.
[[nodiscard]] int make_eventfd();
void signal_eventfd(int fd);
void clear_eventfd(int fd);

/// One fd in place of many that come and go: readable while one of them is.
class Epoll {
 public:
  /// Throws BackendError.
  Epoll();
  ~Epoll();
  Epoll(const Epoll&) = delete;
  Epoll& operator=(const Epoll&) = delete;

  [[nodiscard]] int fd() const { return fd_; }
  /// Throws BackendError.
  void add(int fd) const;

 private:
  int fd_;
};

/// Milliseconds of the monotonic clock, as the worker counts them.
[[nodiscard]] std::uint32_t monotonic_ms();

}  // namespace bulkhead
