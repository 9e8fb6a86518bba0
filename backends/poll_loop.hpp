// The polling thread: rounds of one worker, the clock, and sleep.
//
// Adaptive: after kIdleMicroseconds with nothing to do it sleeps until a frame, a command or the
// next slice of ageing; the first frame after a pause waits in the ring meanwhile. Busy: it never
// sleeps.
#pragma once

#include <poll.h>

#include <atomic>
#include <cstdint>
#include <future>
#include <optional>
#include <thread>
#include <vector>

#include "dataplane/worker.hpp"

namespace bulkhead {

class PollLoop {
 public:
  static constexpr std::int64_t kIdleMicroseconds = 100;

  struct Options {
    bool busy = false;
    std::optional<std::uint32_t> cpu;
  };

  /// `frame_fds` become readable when frames wait. Throws BackendError.
  PollLoop(Worker& worker, Mailbox& mailbox, const std::vector<int>& frame_fds, Options options);
  /// Ends the thread.
  ~PollLoop();
  PollLoop(const PollLoop&) = delete;
  PollLoop& operator=(const PollLoop&) = delete;

  /// Control pushed a command: wakes the thread if it sleeps.
  void wake();
  /// Readable when the worker has events for control.
  [[nodiscard]] int event_fd() const { return events_fd_; }

 private:
  void start();
  void run();
  void sleep(bool waiting);
  void tell_control(std::int64_t now_us);

  Worker& worker_;
  Mailbox& mailbox_;
  std::vector<pollfd> fds_;  // the wake-up first, then the backends'
  Options options_;
  int wake_fd_ = -1;
  int events_fd_ = -1;
  std::int64_t told_us_ = 0;
  std::atomic<bool> stop_ = false;
  std::promise<void> confined_;
  std::thread thread_;
};

/// One fd in place of many that come and go: readable while one of them is.
class Epoll {
 public:
  /// Throws BackendError.
  Epoll();
  ~Epoll();
  Epoll(const Epoll&) = delete;
  Epoll& operator=(const Epoll&) = delete;

  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

/// Milliseconds of the monotonic clock, as the worker counts them.
[[nodiscard]] std::uint32_t monotonic_ms();

}  // namespace bulkhead
