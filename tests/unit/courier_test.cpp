// The road to the workers: what a worker that is late costs, and that nothing it holds is freed.
#include "control/bridge/courier.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

#include <atomic>
#include <thread>

#include "backends/poll_loop.hpp"
#include "dataplane/commands.hpp"
#include "tests/unit/test_bridge.hpp"

namespace bulkhead::control {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr const char* kOne = "[port.a]\ndevice = 'a'\nmac = '02:00:00:00:00:61'\nip = 'any'\n";

/// Takes so many steps, and tells how many there are, of all that were made.
class Step : public Command {
 public:
  explicit Step(int& alive, int needed = 1) : alive_(alive), needed_(needed) { ++alive_; }
  ~Step() override { --alive_; }
  bool step(Worker&, std::uint32_t) override { return ++steps >= needed_; }
  int steps = 0;

 private:
  int& alive_;
  int needed_;
};

class CourierTest : public ::testing::Test {
 protected:
  CourierTest() {
    courier_.add_worker(*bridge_.mailbox, [this] {
      if (answers_) work();
    });
  }
  ~CourierTest() override { ::close(events_fd_); }

  void work() {
    for (int i = 0; i < 10; ++i) bridge_.worker->round(bridge_.now_ms);
    signal_eventfd(events_fd_);
  }
  std::unique_ptr<Step> ask(int steps = 1) {
    return courier_.ask(0, std::make_unique<Step>(alive_, steps));
  }

  test::TestBridge bridge_{kOne};
  int alive_ = 0;
  int events_fd_ = make_eventfd();
  bool answers_ = true;  // the worker
  std::atomic<bool> stop_ = false;
  Courier courier_{events_fd_, 50ms};
};

TEST_F(CourierTest, GivesTheAnswerBack) {
  EXPECT_EQ(ask(3)->steps, 3);
  EXPECT_EQ(alive_, 0);
}

TEST_F(CourierTest, AQuestionThatIsLateLivesUntilItIsBack) {
  answers_ = false;
  const auto before = Clock::now();
  EXPECT_THROW(ask(), WorkerIsLate);
  EXPECT_GE(Clock::now() - before, 50ms) << "measured in time";
  EXPECT_EQ(alive_, 1) << "the worker has it";
  work();
  EXPECT_TRUE(courier_.take_events().empty());
  EXPECT_EQ(alive_, 0) << "and now it is back";
}

TEST_F(CourierTest, AnswersTheNextQuestionAfterALateOne) {
  answers_ = false;
  EXPECT_THROW(ask(7), WorkerIsLate);
  answers_ = true;
  EXPECT_EQ(ask(2)->steps, 2) << "not the answer to the one before";
  EXPECT_EQ(alive_, 0);
}

TEST_F(CourierTest, RefusesAtOnceWhenManyWait) {
  answers_ = false;
  for (std::size_t i = 0; i < Courier::kUnansweredMax; ++i) EXPECT_THROW(ask(), WorkerIsLate);
  const auto before = Clock::now();
  EXPECT_THROW(ask(), WorkerIsLate);
  EXPECT_LT(Clock::now() - before, 50ms);
  EXPECT_EQ(alive_, static_cast<int>(Courier::kUnansweredMax));
  answers_ = true;
  work();
  EXPECT_TRUE(courier_.take_events().empty());
  EXPECT_EQ(ask()->steps, 1);
}

TEST_F(CourierTest, AChangeIsWaitedForAndOthersHearMeanwhile) {
  answers_ = false;
  int called = 0;
  courier_.while_waiting([&] {
    if (++called == 3) work();
  });
  Step command(alive_);
  courier_.call(0, command);
  EXPECT_EQ(command.steps, 1);
  EXPECT_EQ(called, 3) << "longer than a question may take, ten times a second";
}

TEST_F(CourierTest, WhatWaitsForAFullRingIsNotLost) {
  answers_ = false;
  constexpr int kMore = 300;  // than the ring holds
  std::thread late([this] {
    std::this_thread::sleep_for(20ms);
    for (int i = 0; i < 1000 && !stop_; ++i) {
      work();
      std::this_thread::sleep_for(1ms);
    }
  });
  for (int i = 0; i < kMore; ++i) courier_.post(0, std::make_unique<Step>(alive_));
  Step last(alive_);
  courier_.call(0, last);
  stop_ = true;
  late.join();
  EXPECT_EQ(last.steps, 1);
  EXPECT_EQ(alive_, 1) << "posted ones are freed when they are done";
}

TEST_F(CourierTest, KeepsABoundedNumberOfEvents) {
  Event event;
  event.kind = Event::Kind::learned;
  for (std::size_t i = 0; i < Courier::kEventsMax + 10; ++i) {
    ASSERT_TRUE(bridge_.mailbox->events.push(event));
    if (i % 1000 == 999) ask();
  }
  EXPECT_EQ(courier_.take_events().size(), Courier::kEventsMax);
  EXPECT_EQ(courier_.events_lost(), 10u);
}

}  // namespace
}  // namespace bulkhead::control
