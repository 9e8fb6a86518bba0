// Rings of dropped frames: what they take, whole, and that two threads may use one.
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "dataplane/commands.hpp"
#include "tests/unit/test_bridge.hpp"

namespace bulkhead::test {
namespace {

constexpr const char* kPorts = R"(
[port.a]
device = "a"
mac = ["02:00:00:00:00:61"]
ip = "any"
[port.b]
device = "b"
mac = ["02:00:00:00:00:62"]
ip = "any"
)";

class CaptureTest : public ::testing::Test {
 protected:
  bool set(CaptureRing* before, CaptureRing* after) {
    SetCapture command(before, after);
    command.step(*bridge_.worker, bridge_.now_ms);
    return command.done;
  }
  std::vector<Bytes> taken(CaptureRing& ring) {
    std::vector<Bytes> frames;
    while (const CaptureRing::Slot* slot = ring.front()) {
      frames.emplace_back(slot->bytes.begin(), slot->bytes.begin() + slot->length);
      ring.pop();
    }
    return frames;
  }

  TestBridge bridge_{kPorts};
  CaptureRing ring_{std::nullopt};
};

TEST_F(CaptureTest, TakesWholeFramesOfManyBuffersWhileItIsLent) {
  Bytes bytes = frame('b', 'z', kIpv4, 900);
  for (std::size_t i = 14; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i);
  bridge_.send("a", bytes);
  ASSERT_TRUE(set(nullptr, &ring_));
  bridge_.send("a", bytes);
  bridge_.send("a", bytes, 300);  // in two buffers
  bridge_.send("a", frame('b', 'a', kArp, 60), 14);
  ASSERT_TRUE(set(&ring_, nullptr));
  bridge_.send("a", bytes);
  const std::vector<Bytes> frames = taken(ring_);
  ASSERT_GE(frames.size(), 2u);
  EXPECT_EQ(frames[0], bytes);
  EXPECT_EQ(frames[1], bytes);
}

TEST_F(CaptureTest, TakesWhatItIsAbout) {
  CaptureRing of_b(std::nullopt), spoofed(DropReason::spoofed_mac);
  of_b.set_port(bridge_.port("b"));
  ASSERT_TRUE(set(nullptr, &ring_) && set(nullptr, &of_b) && set(nullptr, &spoofed));
  bridge_.send("a", frame('b', 'z'));
  bridge_.send("a", frame('b', 'a', 0x8100));
  bridge_.sites.at("b").up = false;
  bridge_.reload();
  bridge_.send("a", qemu_announcement(mac('a')));
  EXPECT_EQ(taken(ring_).size(), 2u);
  EXPECT_EQ(taken(spoofed).size(), 1u);
  EXPECT_EQ(taken(of_b).size(), 0u);
}

TEST_F(CaptureTest, CountsWhatFindsItFullAndGoesBeyondTheReportLimit) {
  ASSERT_TRUE(set(nullptr, &ring_));
  for (std::size_t i = 0; i < CaptureRing::kSlots + 7; ++i) bridge_.send("a", frame('b', 'z'));
  EXPECT_EQ(ring_.lost(), 7u);
  EXPECT_EQ(taken(ring_).size(), CaptureRing::kSlots);
  bridge_.send("a", frame('b', 'z'));
  EXPECT_EQ(taken(ring_).size(), 1u);
}

TEST_F(CaptureTest, SoManyAtATime) {
  std::vector<std::unique_ptr<CaptureRing>> rings;
  for (std::size_t i = 0; i < kCapturesMax; ++i) {
    rings.push_back(std::make_unique<CaptureRing>(std::nullopt));
    EXPECT_TRUE(set(nullptr, rings.back().get()));
  }
  EXPECT_FALSE(set(nullptr, &ring_));
  EXPECT_TRUE(set(rings[1].get(), nullptr));
  EXPECT_FALSE(set(rings[1].get(), nullptr)) << "it is not there any more";
  EXPECT_TRUE(set(nullptr, &ring_));
}

TEST(CaptureRing, HasAWriterAndAReaderOnTwoThreads) {
  constexpr std::uint32_t kFrames = 20'000;
  CaptureRing ring(std::nullopt);
  std::thread writer([&ring] {
    std::vector<std::uint8_t> bytes(200);
    Buffer buffer;
    buffer.data = bytes.data();
    buffer.length = static_cast<std::uint32_t>(bytes.size());
    for (std::uint32_t i = 0; i < kFrames; ++i) {
      std::ranges::fill(bytes, static_cast<std::uint8_t>(i));
      Event event;
      event.length = i;
      ring.offer(event, Frame{&buffer, buffer.length, 0});
    }
  });
  std::uint64_t seen = 0;
  std::uint32_t next = 0;
  while (seen + ring.lost() < kFrames || ring.front() != nullptr) {
    const CaptureRing::Slot* slot = ring.front();
    if (slot == nullptr) continue;
    EXPECT_GE(slot->event.length, next);
    next = slot->event.length + 1;
    EXPECT_EQ(slot->bytes[0], static_cast<std::uint8_t>(slot->event.length));
    EXPECT_EQ(slot->bytes[199], slot->bytes[0]);
    ring.pop();
    ++seen;
  }
  writer.join();
  EXPECT_EQ(seen + ring.lost(), kFrames);
}

}  // namespace
}  // namespace bulkhead::test
