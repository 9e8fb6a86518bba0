// Carries commands to the workers and brings back what they say.
//
// Invariant: a command lives until its worker has given it back. call() waits for that, however
// long it takes; what ask() and post() send is the courier's own. So a worker that is late costs
// time, never memory that is in use. Time is measured by the steady clock: how long a worker's
// rounds take is no measure. Called by the engine; control thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "backends/error.hpp"
#include "dataplane/mailbox.hpp"

namespace bulkhead::control {

/// A worker has not answered a question in time. It does what it was asked all the same.
class WorkerIsLate : public BackendError {
 public:
  using BackendError::BackendError;
};

class Courier {
 public:
  using Clock = std::chrono::steady_clock;
  /// Questions of one worker that may be unanswered at a time.
  static constexpr std::size_t kUnansweredMax = 8;
  /// Events that wait for take_events(); more are counted as lost.
  static constexpr std::size_t kEventsMax = 65'536;
  /// How often while_waiting() is called.
  static constexpr auto kPause = std::chrono::milliseconds(100);

  /// `events_fd` becomes readable when a worker has something to say.
  explicit Courier(int events_fd, Clock::duration answer_time = std::chrono::seconds(5))
      : events_fd_(events_fd), answer_time_(answer_time) {}

  /// The next worker: 0, 1 and so on. `wake` is called after each command.
  void add_worker(Mailbox& mailbox, std::function<void()> wake) {
    routes_.push_back({&mailbox, std::move(wake), {}});
  }
  /// Called ten times a second while a command is waited for, so that others know that this thread
  /// lives. It must not throw, nor send a command.
  void while_waiting(std::function<void()> hook) { hook_ = std::move(hook); }

  /// Has a command carried out, and waits for as long as that takes. For what must not be half
  /// done: throws nothing.
  void call(std::uint8_t worker, Command& command);
  /// Has a question answered. Throws WorkerIsLate after the answer time, or at once if so many wait
  /// already.
  template <class Question>
  std::unique_ptr<Question> ask(std::uint8_t worker, std::unique_ptr<Question> question) {
    return std::unique_ptr<Question>(
        static_cast<Question*>(answer_of(worker, std::move(question)).release()));
  }
  /// Has a command carried out some time. It is freed then, and `done` called.
  void post(std::uint8_t worker, std::unique_ptr<Command> command, std::function<void()> done = {});

  /// Everything that the workers have said since the last call, each in order.
  [[nodiscard]] std::deque<Event> take_events();
  [[nodiscard]] std::uint64_t events_lost() const;

 private:
  struct Own {
    std::unique_ptr<Command> command;
    std::function<void()> done;
  };
  struct Route {
    Mailbox* mailbox;
    std::function<void()> wake;
    std::vector<Own> own;  // that the worker has
  };

  [[nodiscard]] std::unique_ptr<Command> answer_of(std::uint8_t worker,
                                                   std::unique_ptr<Command> question);
  void push(Route& route, Command& command);
  /// Whether `awaited_` is back; gives up at the deadline.
  bool wait(std::optional<Clock::time_point> deadline);
  void collect();

  int events_fd_;
  Clock::duration answer_time_;
  std::function<void()> hook_;
  std::vector<Route> routes_;  // by worker
  std::deque<Event> events_;
  std::uint64_t events_lost_ = 0;  // here
  const Command* awaited_ = nullptr;
  std::unique_ptr<Command> answer_;  // what was awaited, if it is the courier's
};

}  // namespace bulkhead::control
