#include "control/bridge/courier.hpp"

#include <poll.h>

#include <algorithm>
#include <string>
#include <utility>

#include "backends/poll_loop.hpp"

namespace bulkhead::control {

void Courier::call(std::uint8_t worker, Command& command) {
  awaited_ = &command;
  push(routes_[worker], command);
  wait(std::nullopt);
}

void Courier::post(std::uint8_t worker, std::unique_ptr<Command> command,
                   std::function<void()> done) {
  Route& route = routes_[worker];
  Command& posted = *command;
  route.own.push_back({std::move(command), std::move(done)});
  push(route, posted);
}

std::unique_ptr<Command> Courier::answer_of(std::uint8_t worker,
                                            std::unique_ptr<Command> question) {
  if (routes_[worker].own.size() >= kUnansweredMax) {
    throw WorkerIsLate("worker " + std::to_string(worker) +
                       " has not answered earlier questions yet; try again later");
  }
  awaited_ = question.get();
  post(worker, std::move(question));
  if (wait(Clock::now() + answer_time_)) return std::move(answer_);
  awaited_ = nullptr;  // collect() frees it when it is back
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(answer_time_);
  throw WorkerIsLate("worker " + std::to_string(worker) + " has not answered for " +
                     std::to_string(seconds.count()) + " s; it is busy, try again");
}

// The ring holds more than are ever on their way: but if not, the worker takes some.
void Courier::push(Route& route, Command& command) {
  while (!route.mailbox->commands.push(&command)) {
    route.wake();
    pollfd fd{events_fd_, POLLIN, 0};
    ::poll(&fd, 1, 1);
    collect();
  }
  route.wake();
}

bool Courier::wait(std::optional<Clock::time_point> deadline) {
  auto hook_due = Clock::now() + kPause;
  for (collect(); awaited_ != nullptr; collect()) {
    const auto now = Clock::now();
    if (deadline && now >= *deadline) return false;
    if (now >= hook_due) {
      if (hook_) hook_();
      hook_due = now + kPause;
    }
    const auto until = deadline ? std::min(*deadline, hook_due) : hook_due;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now);
    pollfd fd{events_fd_, POLLIN, 0};
    ::poll(&fd, 1, static_cast<int>(left.count()));
  }
  return true;
}

void Courier::collect() {
  clear_eventfd(events_fd_);
  Event event;
  for (Route& route : routes_) {
    while (route.mailbox->events.pop(event)) {
      if (event.kind != Event::Kind::done) {
        if (events_.size() < kEventsMax) {
          events_.push_back(event);
        } else {
          ++events_lost_;
        }
        continue;
      }
      const bool is_awaited = event.command == awaited_;
      if (is_awaited) awaited_ = nullptr;
      const auto is_back = [&](const Own& own) { return own.command.get() == event.command; };
      const auto own = std::ranges::find_if(route.own, is_back);
      if (own == route.own.end()) continue;
      Own back = std::move(*own);
      route.own.erase(own);
      if (is_awaited) answer_ = std::move(back.command);
      back.command.reset();
      if (back.done) back.done();
    }
  }
}

std::deque<Event> Courier::take_events() {
  collect();
  return std::exchange(events_, {});
}

std::uint64_t Courier::events_lost() const {
  std::uint64_t lost = events_lost_;
  for (const Route& route : routes_) lost += route.mailbox->events_lost;
  return lost;
}

}  // namespace bulkhead::control
