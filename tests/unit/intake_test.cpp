// A port's slot on the conduit as the control thread looks after it: losses, and the window.
#include "control/bridge/intake.hpp"

#include <gtest/gtest.h>

#include "backends/device/guard.hpp"

namespace bulkhead::control {
namespace {

constexpr int kSilentTicks = 20;
constexpr int kFloodTicks = 3;
constexpr int kCalmTicks = 10;

struct Keeping {
  Keeping() { slot.window = Guard::kWindowFrames; }

  /// A tick in which so many frames pass and arrive, and so many are beyond the window.
  void tick(std::uint64_t passed, std::uint64_t overrun, bool is_alone) {
    slot.passed += passed;
    slot.received += passed;
    slot.overrun += overrun;
    keeper.look(slot);
    keeper.set_window(slot, is_alone);
  }

  bulkhead_slot slot{};
  SlotKeeper keeper;
};

TEST(SlotKeeper, sets_a_small_window_while_a_flood_goes_on_beside_others) {
  Keeping port;
  for (int i = 1; i < kFloodTicks; ++i) port.tick(1000, 100, false);
  EXPECT_EQ(port.slot.window, Guard::kWindowFrames);
  port.tick(1000, 100, false);
  EXPECT_EQ(port.slot.window, Guard::kFloodWindowFrames);
  for (int i = 1; i < kCalmTicks; ++i) port.tick(1000, 0, false);
  EXPECT_EQ(port.slot.window, Guard::kFloodWindowFrames);
  port.tick(1000, 0, false);
  EXPECT_EQ(port.slot.window, Guard::kWindowFrames);
}

TEST(SlotKeeper, leaves_the_window_to_who_loses_a_frame_in_thirty_two) {
  Keeping port;
  for (int i = 0; i < 5; ++i) port.tick(3200, 100, false);
  EXPECT_EQ(port.slot.window, Guard::kWindowFrames);
  for (int i = 0; i < 5; ++i) port.tick(3200, 101, false);
  EXPECT_EQ(port.slot.window, Guard::kFloodWindowFrames);
}

TEST(SlotKeeper, starts_to_count_anew_when_a_flood_pauses) {
  Keeping port;
  for (int i = 0; i < 10; ++i) port.tick(1000, i % kFloodTicks == 0 ? 0 : 1000, false);
  EXPECT_EQ(port.slot.window, Guard::kWindowFrames);
}

TEST(SlotKeeper, gives_a_large_window_to_a_lone_sender) {
  Keeping port;
  port.tick(1000, 0, true);
  EXPECT_EQ(port.slot.window, Guard::kLoneWindowFrames);
  port.tick(1000, 0, false);
  EXPECT_EQ(port.slot.window, Guard::kWindowFrames);
  for (int i = 0; i < kFloodTicks; ++i) port.tick(1000, 1000, true);
  EXPECT_EQ(port.slot.window, Guard::kLoneWindowFrames);
  port.tick(1000, 1000, false);  // it has been a flood for long
  EXPECT_EQ(port.slot.window, Guard::kFloodWindowFrames);
}

TEST(SlotKeeper, opens_no_closed_port) {
  Keeping port;
  port.slot.window = 0;
  for (const bool is_alone : {true, false}) {
    for (int i = 0; i < 2 * kCalmTicks; ++i) port.tick(1000, 1000, is_alone);
    EXPECT_EQ(port.slot.window, 0);
  }
}

TEST(SlotKeeper, knows_who_sends) {
  Keeping port;
  port.tick(2, 0, false);
  for (int i = 1; i < kSilentTicks; ++i) port.tick(1, 0, false);
  EXPECT_TRUE(port.keeper.is_sending());
  port.tick(1, 0, false);
  EXPECT_FALSE(port.keeper.is_sending()) << "a frame in a tick is not much";
  port.tick(2, 0, false);
  EXPECT_TRUE(port.keeper.is_sending());
}

TEST(SlotKeeper, measures_what_arrives) {
  Keeping port;
  for (int i = 0; i < 100; ++i) port.tick(500, 0, false);
  EXPECT_NEAR(port.keeper.frames_per_tick(), 500, 1);
}

TEST(SlotKeeper, counts_as_lost_what_has_not_arrived_by_the_next_look) {
  Keeping port;
  port.slot.passed = 10;
  port.slot.received = 7;
  port.keeper.look(port.slot);
  EXPECT_EQ(port.slot.lost, 0);  // still on its way
  EXPECT_EQ(conduit_intake(port.slot, 7).in_flight, 3);
  port.slot.passed = 12;
  port.keeper.look(port.slot);
  EXPECT_EQ(port.slot.lost, 3);
  const Intake intake = conduit_intake(port.slot, 7);
  EXPECT_EQ(intake.in_flight, 2);
  EXPECT_EQ(intake.overrun, 3);
  EXPECT_EQ(intake.handed, 12);
}

TEST(ConduitIntake, hides_nothing_that_arrived_uncounted) {
  bulkhead_slot slot{};
  slot.passed = 10;
  slot.received = 12;
  const Intake intake = conduit_intake(slot, 12);
  EXPECT_EQ(intake.handed, 10);
  EXPECT_EQ(intake.in_flight, 0);
}

TEST(SlotKeeper, takes_back_a_loss_that_arrived_after_all) {
  Keeping port;
  port.slot.passed = 10;
  port.keeper.look(port.slot);
  port.keeper.look(port.slot);
  EXPECT_EQ(port.slot.lost, 10);
  port.slot.received = 4;
  port.keeper.look(port.slot);
  EXPECT_EQ(port.slot.lost, 6);
}

}  // namespace
}  // namespace bulkhead::control
