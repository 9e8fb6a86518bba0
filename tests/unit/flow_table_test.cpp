// What the kernel may repeat, and for how long: the worker's side of the shortcut, over plain
// memory.
#include "dataplane/flow_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>

#include "control/bridge/flow_regions.hpp"
#include "tests/unit/test_bridge.hpp"

namespace bulkhead {
namespace {

using test::Bytes;
using test::TestBridge;

constexpr const char* kGuests = R"(
[segment.default]
ageing = "10s"
[port.a]
device = "a"
mac = ["02:00:00:00:00:0a"]
ip = ["10.0.0.1/24"]
prefixes = ["10.9.0.0/16"]
[port.b]
device = "b"
mac = ["02:00:00:00:00:0b"]
ip = ["10.0.0.2/24"]
[port.l]
device = "l"
mac = "any"
ip = "any"
[port.m]
device = "m"
mac = "any"
ip = "any"
)";

Bytes mac_bytes(std::uint64_t mac) {
  Bytes bytes;
  for (int shift = 40; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<std::uint8_t>(mac >> shift));
  }
  return bytes;
}

constexpr std::uint64_t kA = 0x0200'0000'000a, kB = 0x0200'0000'000b, kL = 0x0200'0000'00ee;
constexpr std::uint32_t kIpA = 0x0a00'0001, kIpB = 0x0a00'0002;

/// UDP over IPv4.
Bytes datagram(std::uint64_t to, std::uint64_t from, std::uint32_t source,
               std::uint32_t destination, std::uint16_t port = 9) {
  Bytes bytes = mac_bytes(to);
  const Bytes own = mac_bytes(from);
  bytes.insert(bytes.end(), own.begin(), own.end());
  const auto put = [&](std::uint32_t value, int octets) {
    for (int shift = 8 * (octets - 1); shift >= 0; shift -= 8) {
      bytes.push_back(static_cast<std::uint8_t>(value >> shift));
    }
  };
  put(0x0800'4500, 4);
  put(28, 2);
  put(0, 4);
  put(0x4011, 2);
  put(0, 2);
  put(source, 4);
  put(destination, 4);
  put(1000, 2);
  put(port, 2);
  put(8, 2);
  put(0, 2);
  bytes.resize(60);
  return bytes;
}

class FlowTableTest : public ::testing::Test {
 protected:
  explicit FlowTableTest(std::size_t places = 1024)
      : flows_(places), epochs_(BULKHEAD_FLOW_EPOCHS), regions_(places) {
    bridge_.worker->set_flows(&table_);
    for (auto& [name, site] : bridge_.sites) site.road = BULKHEAD_ROAD_PEER;
    put_in_force();
  }

  void put_in_force() {
    bridge_.reload();
    // The house knows nothing of regions.
    auto& snapshot = const_cast<Snapshot&>(*bridge_.snapshot);
    regions_.plan(snapshot);
  }

  /// What the program would find for the frame: nothing, or where it goes.
  [[nodiscard]] std::optional<std::string> repeats(const std::string& from, const Bytes& bytes) {
    Bytes copy = bytes;
    Buffer buffer;
    buffer.data = copy.data();
    buffer.length = static_cast<std::uint32_t>(copy.size());
    const auto common = flow_key(parse(Frame{&buffer, buffer.length, 0}));
    if (!common) return std::nullopt;
    const PortIndex port = bridge_.port(from);
    const PortPolicy& policy = bridge_.snapshot->ports[port];
    const FlowKey key = common->from(port, policy.trusted);
    for (const FlowKey& asked : {key, key.to_any_destination()}) {
      const std::uint64_t hash = bulkhead_flow_hash(asked.words.data(), kHashKey);
      for (int nth = 0; nth < BULKHEAD_FLOW_PLACES; ++nth) {
        const bulkhead_flow& flow =
            flows_[bulkhead_flow_place(policy.flow_first, policy.flow_sets, hash, nth)];
        if (std::ranges::equal(flow.key, asked.words) &&
            flow.generation == bridge_.snapshot->generation &&
            FlowEpochs(epochs_).sum(flow.source, flow.destination) == flow.epochs) {
          return bridge_.name_of(flow.to);
        }
      }
    }
    return std::nullopt;
  }

  /// The worker has a round, `milliseconds` later.
  void pass(std::uint32_t milliseconds) {
    bridge_.now_ms += milliseconds;
    bridge_.round(0);
  }

  static constexpr std::uint64_t kHashKey = 77;
  std::vector<bulkhead_flow> flows_;
  std::vector<std::uint64_t> epochs_;
  control::FlowRegions regions_;
  FlowTable table_{{flows_, FlowEpochs(epochs_), kHashKey}};
  TestBridge bridge_{kGuests};
};

TEST_F(FlowTableTest, RepeatsAVerdictForTheSameKeyAndNoOther) {
  const Bytes frame = datagram(kB, kA, kIpA, kIpB);
  EXPECT_EQ(repeats("a", frame), std::nullopt);
  bridge_.send("a", frame);
  EXPECT_EQ(repeats("a", frame), "b");
  EXPECT_EQ(repeats("a", datagram(kB, kA, kIpA, kIpB, 53)), "b");  // ports say nothing
  EXPECT_EQ(repeats("a", datagram(kB, kA, 0x0a09'0001, kIpB)), std::nullopt);
  EXPECT_EQ(repeats("a", datagram(kB, kA, kIpA, kIpA)), std::nullopt);
  EXPECT_EQ(repeats("a", datagram(kB, kL, kIpA, kIpB)), std::nullopt);
  EXPECT_EQ(repeats("l", frame), std::nullopt);
  EXPECT_EQ(repeats("a", datagram(kB, kA, kIpA, kIpB, 67)), std::nullopt);  // has no key
  EXPECT_EQ(table_.count_of(bridge_.port("a")), 1u);
}

TEST_F(FlowTableTest, ADropIsNotRepeated) {
  const Bytes spoofed = datagram(kB, kA, 0x0a00'0063, kIpB);
  EXPECT_EQ(bridge_.send("a", spoofed).reason, "spoofed_ip");
  EXPECT_EQ(repeats("a", spoofed), std::nullopt);
}

TEST_F(FlowTableTest, ALessonIsNotRepeatedAndTheNextFrameIs) {
  const Bytes frame = datagram(kB, kL, 0x0a00'0009, kIpB);
  bridge_.send("l", frame);
  EXPECT_EQ(repeats("l", frame), std::nullopt);
  bridge_.send("l", frame);
  EXPECT_EQ(repeats("l", frame), "b");
}

TEST_F(FlowTableTest, EndsWithThePolicy) {
  const Bytes frame = datagram(kB, kA, kIpA, kIpB);
  bridge_.send("a", frame);
  ++bridge_.generation;
  put_in_force();
  EXPECT_EQ(repeats("a", frame), std::nullopt);
  pass(300);
  EXPECT_EQ(table_.count_of(bridge_.port("a")), 0u);
}

TEST_F(FlowTableTest, EndsWhenItsDestinationMoves) {
  bridge_.learn("l", {kL});
  const Bytes frame = datagram(kL, kA, kIpA, 0x0a00'0009);
  bridge_.send("a", frame);
  EXPECT_EQ(repeats("a", frame), "l");
  bridge_.learn("m", {kL});
  EXPECT_EQ(repeats("a", frame), std::nullopt);
  bridge_.send("a", frame);
  EXPECT_EQ(repeats("a", frame), "m");
}

TEST_F(FlowTableTest, EndsWhenAnAddressIsFlushed) {
  bridge_.learn("l", {kL});
  const Bytes to = datagram(kL, kA, kIpA, 0x0a00'0009), from = datagram(kB, kL, 0x0a00'0009, kIpB);
  bridge_.send("a", to);
  bridge_.send("l", from);
  EXPECT_EQ(repeats("a", to), "l");
  EXPECT_EQ(repeats("l", from), "b");
  FlushFdb flush({});
  bridge_.run(0, flush);
  EXPECT_EQ(repeats("a", to), std::nullopt);
  EXPECT_EQ(repeats("l", from), std::nullopt);
}

TEST_F(FlowTableTest, EndsWithinAQuarterOfASecondWhenAnAddressAges) {
  bridge_.learn("l", {kL});
  const Bytes frame = datagram(kL, kA, kIpA, 0x0a00'0009);
  bridge_.send("a", frame);
  const std::uint32_t learned_ms = bridge_.now_ms;
  while (bridge_.now_ms - learned_ms < 10'000 + 250) {
    for (bulkhead_flow& flow : flows_) flow.frames += flow.generation != 0;  // in use all the time
    pass(10);
  }
  EXPECT_EQ(repeats("a", frame), std::nullopt);
}

TEST_F(FlowTableTest, ASourceStaysYoungWhileTheKernelForwardsAndNobodyElse) {
  bridge_.learn("l", {kL});
  bridge_.learn("m", {kL + 1});
  const Bytes frame = datagram(kB, kL, 0x0a00'0009, kIpB);
  bridge_.send("l", frame);
  for (int i = 0; i < 150; ++i) {  // 15 s
    for (bulkhead_flow& flow : flows_) flow.frames += flow.generation != 0;
    pass(100);
  }
  EXPECT_EQ(bridge_.whereabouts(0, {kL}), "l");
  EXPECT_EQ(bridge_.whereabouts(0, {kL + 1}), "");
  EXPECT_EQ(repeats("l", frame), "b");
}

TEST_F(FlowTableTest, IsFreeWhenNobodyHasUsedItForHalfAMinute) {
  const Bytes frame = datagram(kB, kA, kIpA, kIpB);
  bridge_.send("a", frame);
  for (int i = 0; i < 290; ++i) pass(100);
  EXPECT_EQ(repeats("a", frame), "b");
  for (int i = 0; i < 20; ++i) pass(100);
  EXPECT_EQ(repeats("a", frame), std::nullopt);
  EXPECT_EQ(table_.count_of(bridge_.port("a")), 0u);
}

TEST_F(FlowTableTest, AFullRegionRefusesAndTakesNoPlaceOfOthers) {
  const Bytes other = datagram(kA, kB, kIpB, kIpA);
  bridge_.send("b", other);
  const PortPolicy& policy = bridge_.snapshot->ports[bridge_.port("a")];
  const std::uint32_t places = policy.flow_sets * BULKHEAD_FLOW_SET;
  for (std::uint32_t i = 1; i < 8 * places; ++i) {
    bridge_.send("a", datagram(kB, kA, 0x0a09'0000 + i, kIpB));
  }
  EXPECT_GT(bridge_.counters("a").flows_refused, 0u);
  EXPECT_EQ(table_.count_of(bridge_.port("a")), places);
  for (std::uint32_t place = 0; place < flows_.size(); ++place) {
    const bool is_own = place >= policy.flow_first && place - policy.flow_first < places;
    if (!is_own && flows_[place].generation != 0) {
      EXPECT_EQ(flows_[place].key[0] & BULKHEAD_FLOW_PORT, bridge_.port("b"));
    }
  }
  EXPECT_EQ(repeats("b", other), "a");
  EXPECT_EQ(bridge_.counters("b").flows_refused, 0u);
}

// --- regions -----------------------------------------------------------------------------------

Snapshot with_ports(std::size_t count) {
  Snapshot snapshot(1, 1, test::kHouseKey);
  for (std::size_t i = 0; i < count; ++i) {
    snapshot.ports[i].present = true;
    snapshot.ports[i].road = BULKHEAD_ROAD_PEER;
  }
  return snapshot;
}

TEST(FlowRegions, AreEqualAndApart) {
  for (const std::size_t ports : {1u, 2u, 3u, 100u, 1024u}) {
    control::FlowRegions regions(131'072);
    Snapshot snapshot = with_ports(ports);
    regions.plan(snapshot);
    std::vector<bool> taken(131'072);
    for (std::size_t i = 0; i < ports; ++i) {
      const PortPolicy& port = snapshot.ports[i];
      EXPECT_EQ(port.flow_sets, snapshot.ports[0].flow_sets);
      EXPECT_GE(port.flow_sets * BULKHEAD_FLOW_SET, 64u);
      for (std::uint32_t p = 0; p < port.flow_sets * BULKHEAD_FLOW_SET; ++p) {
        ASSERT_FALSE(taken.at(port.flow_first + p));
        taken[port.flow_first + p] = true;
      }
    }
  }
}

TEST(FlowRegions, StayWhileTheSizeDoesAndAreNotHandedOnAtOnce) {
  control::FlowRegions regions(1024);
  Snapshot first = with_ports(3);
  EXPECT_FALSE(regions.plan(first));
  Snapshot second = with_ports(4);
  second.ports[1].present = false;  // one goes, one comes
  EXPECT_FALSE(regions.plan(second));
  EXPECT_EQ(second.ports[0].flow_first, first.ports[0].flow_first);
  EXPECT_EQ(second.ports[2].flow_first, first.ports[2].flow_first);
  EXPECT_NE(second.ports[3].flow_first, first.ports[1].flow_first);
  Snapshot third = with_ports(64);
  EXPECT_TRUE(regions.plan(third));  // all get new ones
}

TEST(FlowRegions, ATableThatIsTooSmallIsNobodys) {
  control::FlowRegions regions(8);
  Snapshot snapshot = with_ports(5);
  EXPECT_FALSE(regions.plan(snapshot));
  EXPECT_EQ(snapshot.ports[0].flow_sets, 0u);
}

}  // namespace
}  // namespace bulkhead
