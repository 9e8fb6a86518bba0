#include "control/engine.hpp"

#include <poll.h>
#include <sys/random.h>
#include <unistd.h>

#include "backends/error.hpp"

namespace bulkhead::control {

HashKey random_hash_key() {
  HashKey key;
  if (::getrandom(&key, sizeof key, 0) != sizeof key) {
    throw BackendError::from_errno("cannot draw random numbers");
  }
  return key;
}

Engine::Engine(std::unique_ptr<Snapshot> first, HashKey key, std::size_t fdb_entries,
               PollLoop::Options options)
    : key_(key),
      guard_(conduit_device_.ifindex()),
      receive_socket_(umem_, conduit_device_.peer_name()),
      conduit_(umem_, receive_socket_, guard_.slots().data()),
      nic_shares_{{&umem_, nic_poll_.fd()}},
      snapshot_(std::move(first)),
      fdb_(std::make_unique<Fdb>(fdb_entries, key)) {
  conduit_device_.connect(receive_socket_);
  worker_ = std::make_unique<Worker>(umem_.pool(), std::vector<Backend*>{&conduit_, &nic_},
                                     mailbox_, snapshot_.get(), fdb_.get());
  loop_ = std::make_unique<PollLoop>(*worker_, mailbox_,
                                     std::vector{receive_socket_.fd(), nic_poll_.fd()}, options);
}

Engine::~Engine() { loop_.reset(); }

void Engine::call(Command& command) {
  constexpr int kTries = 500;
  constexpr int kTryMilliseconds = 10;
  awaited_ = &command;
  mailbox_.commands.push(&command);
  loop_->wake();
  for (int i = 0; i < kTries && awaited_ != nullptr; ++i) {
    pollfd fd{loop_->event_fd(), POLLIN, 0};
    ::poll(&fd, 1, kTryMilliseconds);
    collect();
  }
  if (awaited_ == nullptr) return;
  // The worker still has a pointer to it: nothing can go on safely.
  throw std::logic_error("the worker does not answer");
}

void Engine::collect() {
  std::uint64_t count;
  [[maybe_unused]] const ssize_t got = ::read(loop_->event_fd(), &count, sizeof count);
  Event event;
  while (mailbox_.events.pop(event)) {
    if (event.kind == Event::Kind::done) {
      if (event.command == awaited_) awaited_ = nullptr;
    } else {
      events_.push_back(event);
    }
  }
}

std::deque<Event> Engine::take_events() {
  collect();
  return std::exchange(events_, {});
}

void Engine::swap(std::unique_ptr<Snapshot> next) {
  SwapSnapshot command(next.get());
  call(command);
  snapshot_ = std::move(next);  // frees the old one, which is back
}

void Engine::grow_fdb(std::size_t entries) {
  if (entries <= fdb_->room()) return;
  auto next = std::make_unique<Fdb>(entries, key_);
  ReplaceFdb command(next.get());
  call(command);
  fdb_ = std::move(next);
}

}  // namespace bulkhead::control
