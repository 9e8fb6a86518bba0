#include "backends/poll_loop.hpp"

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <bit>
#include <ctime>
#include <string>

#include "backends/error.hpp"
#include "backends/privileges.hpp"

namespace bulkhead {
namespace {

std::int64_t monotonic_us() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

}  // namespace

int make_eventfd() {
  const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) throw BackendError::from_errno("eventfd");
  return fd;
}

void signal_eventfd(int fd) {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(fd, &one, sizeof one);
}

void clear_eventfd(int fd) {
  std::uint64_t count;
  [[maybe_unused]] const ssize_t got = ::read(fd, &count, sizeof count);
}

Bell::Bell() : fd_(make_eventfd()) {}

Bell::~Bell() { ::close(fd_); }

void Bell::ring() const { signal_eventfd(fd_); }

// The fence of one side and that of the other: one of them sees what the other has written.
void Bell::ring_if_asleep() const {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (asleep_.load(std::memory_order_relaxed)) ring();
}

void Bell::fall_asleep() {
  asleep_.store(true, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void Bell::wake_up() { asleep_.store(false, std::memory_order_relaxed); }

std::uint32_t monotonic_ms() { return static_cast<std::uint32_t>(monotonic_us() / 1000); }

Epoll::Epoll() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (fd_ < 0) throw BackendError::from_errno("epoll");
}

Epoll::~Epoll() { ::close(fd_); }

void Epoll::add(int fd) const {
  epoll_event event{};
  event.events = EPOLLIN;
  if (::epoll_ctl(fd_, EPOLL_CTL_ADD, fd, &event) != 0) throw BackendError::from_errno("epoll");
}

PollLoop::PollLoop(Worker& worker, Mailbox& mailbox, const std::vector<int>& frame_fds,
                   Options options)
    : worker_(worker), mailbox_(mailbox), options_(options), bell_(*options.bells[options.number]) {
  fds_.push_back({bell_.fd(), POLLIN, 0});
  for (const int fd : frame_fds) fds_.push_back({fd, POLLIN, 0});
  thread_ = std::thread([this] { start(); });
  ::pthread_setname_np(thread_.native_handle(),
                       ("bulkhead/" + std::to_string(options_.number)).c_str());
  try {
    confined_.get_future().get();
  } catch (...) {
    thread_.join();
    throw;
  }
  if (options_.cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(*options_.cpu, &set);
    const int error = ::pthread_setaffinity_np(thread_.native_handle(), sizeof set, &set);
    if (error != 0) {
      stop_ = true;
      wake();
      thread_.join();
      throw BackendError::from_errno("cannot pin worker " + std::to_string(options_.number) +
                                         " to cpu " + std::to_string(*options_.cpu),
                                     error);
    }
  }
}

PollLoop::~PollLoop() {
  stop_ = true;
  wake();
  thread_.join();
}

void PollLoop::wake() { bell_.ring(); }

// Nothing is taken from a guest before that.
void PollLoop::start() {
  try {
    confine_worker();
    confined_.set_value();
  } catch (...) {
    confined_.set_exception(std::current_exception());
    return;
  }
  run();
}

void PollLoop::run() {
  std::int64_t busy_us = monotonic_us();
  while (!stop_.load(std::memory_order_relaxed)) {
    const std::int64_t now_us = monotonic_us();
    rounds_.store(rounds() + 1, std::memory_order_relaxed);
    const Worker::Round round = worker_.round(static_cast<std::uint32_t>(now_us / 1000));
    tell_control(now_us);
    tell_workers(round.told);
    if (round.busy) {
      busy_us = now_us;
    } else if (!options_.busy && now_us - busy_us >= kIdleMicroseconds) {
      sleep(round.waiting);
      busy_us = monotonic_us();
    }
  }
}

// Control hears within a millisecond, and is not woken for each of many.
void PollLoop::tell_control(std::int64_t now_us) {
  constexpr std::int64_t kEveryMicroseconds = 1000;
  if (now_us - told_us_ < kEveryMicroseconds || mailbox_.events.read_available() == 0) return;
  signal_eventfd(options_.events_fd);
  told_us_ = now_us;
}

void PollLoop::tell_workers(std::uint32_t told) {
  for (; told != 0; told &= told - 1) {
    options_.bells[static_cast<std::size_t>(std::countr_zero(told))]->ring_if_asleep();
  }
}

void PollLoop::sleep(bool waiting) {
  if (mailbox_.events.read_available() != 0) signal_eventfd(options_.events_fd);
  bell_.fall_asleep();
  if (!worker_.crossings().has_arrivals()) {
    // While something waits for the kernel or a clock, look again soon; ageing has time.
    const int timeout_ms = waiting ? 1 : 250;
    ::poll(fds_.data(), fds_.size(), timeout_ms);
    if ((fds_.front().revents & POLLIN) != 0) clear_eventfd(bell_.fd());
  }
  bell_.wake_up();
}

}  // namespace bulkhead
