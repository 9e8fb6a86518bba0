// A port's way over the conduit: what is lost on it, whose turn it is, and what control says of it.
#include "backends/intake.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "backends/conduit/conduit_way.hpp"
#include "backends/conduit/fair_queue.hpp"
#include "backends/conduit/losses.hpp"
#include "control/bridge/port.hpp"

namespace bulkhead {
namespace {

using control::ArrivalRate;

TEST(Losses, are_what_has_not_arrived_by_the_next_look) {
  Losses losses;
  bulkhead_u64 lost = 0;
  EXPECT_TRUE(losses.look(10, 7, lost)) << "still on its way";
  EXPECT_EQ(lost, 0);
  EXPECT_TRUE(losses.look(12, 7, lost));
  EXPECT_EQ(lost, 3);
  EXPECT_FALSE(losses.look(12, 9, lost));
  EXPECT_EQ(lost, 3);
}

TEST(Losses, are_taken_back_when_something_arrives_after_all) {
  Losses losses;
  bulkhead_u64 lost = 0;
  losses.look(10, 0, lost);
  EXPECT_FALSE(losses.look(10, 0, lost));
  EXPECT_EQ(lost, 10);
  losses.look(10, 4, lost);
  EXPECT_EQ(lost, 6);
}

TEST(ConduitIntake, says_what_waits_and_what_may) {
  bulkhead_slot slot{};
  bulkhead_conduit conduit{};
  slot.open = 1;
  slot.passed = 12;
  slot.lost = 3;
  slot.overrun = 2;
  conduit.passed = 1000;
  conduit.received = 900;
  conduit.lost = 3;
  const Intake intake = conduit_intake(slot, conduit, 7);
  EXPECT_EQ(intake.in_flight, 2);
  EXPECT_EQ(intake.overrun, 5);
  EXPECT_EQ(intake.handed, 14);
  EXPECT_EQ(intake.window, BULKHEAD_CONDUIT_FRAMES - 97);
  slot.open = 0;
  EXPECT_EQ(conduit_intake(slot, conduit, 7).window, 0);
}

TEST(ConduitIntake, hides_nothing_that_arrived_uncounted) {
  bulkhead_slot slot{};
  slot.passed = 10;
  const Intake intake = conduit_intake(slot, bulkhead_conduit{}, 12);
  EXPECT_EQ(intake.handed, 10);
  EXPECT_EQ(intake.in_flight, 0);
}

TEST(ArrivalRate, measures_what_arrives) {
  ArrivalRate rate;
  for (std::uint64_t i = 1; i <= 100; ++i) rate.look(500 * i);
  EXPECT_NEAR(rate.frames_per_tick(), 500, 1);
}

struct Line {
  /// So many frames of a port, numbered by their length.
  void push(PortIndex port, std::uint32_t first, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      buffers.push_back(std::make_unique<Buffer>());
      buffers.back()->length = first + i;
      queue.push(port, buffers.back().get());
    }
  }
  /// Ports of the next frames, in order.
  std::vector<PortIndex> pop(std::size_t count) {
    std::vector<Frame> batch(count);
    batch.resize(queue.pop(batch));
    std::vector<PortIndex> ports;
    for (const Frame& frame : batch) {
      ports.push_back(frame.from);
      EXPECT_EQ(frame.head->next, nullptr);
      EXPECT_GT(frame.length, std::exchange(last[frame.from], frame.length)) << "out of order";
    }
    return ports;
  }

  FairQueue queue;
  std::vector<std::unique_ptr<Buffer>> buffers;
  std::map<PortIndex, std::uint32_t> last;
};

TEST(FairQueue, serves_ports_in_turns) {
  Line line;
  line.push(1, 1, 100);
  line.push(2, 1, 100);
  const std::vector<PortIndex> ports = line.pop(200);
  ASSERT_EQ(ports.size(), 200);
  for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(ports[i], i / FairQueue::kTurnFrames % 2 + 1);
  EXPECT_EQ(line.queue.size(), 0);
}

TEST(FairQueue, serves_who_had_nothing_waiting_first) {
  Line line;
  line.push(1, 1, 1000);
  line.pop(100);
  line.push(2, 1, 1);
  const std::vector<PortIndex> ports = line.pop(10);
  EXPECT_EQ(ports.front(), 2);
  EXPECT_EQ(std::ranges::count(ports, 1), 9);
}

TEST(FairQueue, does_not_serve_first_who_comes_frame_by_frame_all_the_time) {
  Line line;
  line.push(1, 1, 1000);
  std::size_t others = 0;
  for (std::uint32_t i = 1; i <= 100; ++i) {
    line.push(2, i, 1);
    for (const PortIndex port : line.pop(2)) others += port == 1 ? 1 : 0;
  }
  EXPECT_GE(others, 90);
}

TEST(FairQueue, gives_all_of_a_port_back) {
  Line line;
  line.push(1, 1, 20);
  line.push(2, 1, 5);
  std::size_t count = 0;
  for (const Buffer* buffer = line.queue.take_all(1); buffer != nullptr; buffer = buffer->next) {
    ++count;
  }
  EXPECT_EQ(count, 20);
  EXPECT_EQ(line.pop(50), std::vector<PortIndex>(5, 2));
  line.push(1, 21, 1);
  EXPECT_EQ(line.pop(50), std::vector<PortIndex>(1, 1));
}

}  // namespace
}  // namespace bulkhead
