// Config to Snapshot: who reaches whom, and what every option becomes.
#include "control/bridge/compile.hpp"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/test_bridge.hpp"

namespace bulkhead::control {
namespace {

using test::mac;
using test::TestBridge;

std::string port_text(const std::string& name, const std::string& options) {
  return "[port." + name + "]\ndevice = \"" + name + "\"\n" + options + "\n";
}

const std::string kGuest = "ip = \"any\"\nmac = \"any\"\n";
const std::string kUplink = "trusted = true\n";
const std::string kIsolated = "isolated = true\n";
const std::string kTransit = "transit = true\n";

/// May a port with these options reach one with those?
bool reach(const std::string& from, const std::string& to) {
  const TestBridge bridge(port_text("p", from) + port_text("q", to));
  const Snapshot& snapshot = *bridge.snapshot;
  const bool says = snapshot.reach[snapshot.ports[0].reach].contains(1);
  const config::Port& p = bridge.config.ports.at("p");
  const config::Port& q = bridge.config.ports.at("q");
  EXPECT_EQ(says, p.segment == q.segment && reaches(p, q));
  return says;
}

TEST(CompileReach, FollowsIsolatedTrustedAndTransit) {
  EXPECT_TRUE(reach(kGuest, kGuest));
  EXPECT_TRUE(reach(kGuest, kUplink));
  EXPECT_TRUE(reach(kUplink, kGuest));
  EXPECT_TRUE(reach(kGuest + kIsolated, kGuest));
  EXPECT_TRUE(reach(kGuest, kGuest + kIsolated));
  EXPECT_FALSE(reach(kGuest + kIsolated, kGuest + kIsolated));
  EXPECT_TRUE(reach(kGuest + kIsolated, kUplink));
  EXPECT_TRUE(reach(kUplink, kGuest + kIsolated));
  EXPECT_FALSE(reach(kGuest + kIsolated, kUplink + kIsolated));
  EXPECT_FALSE(reach(kUplink + kIsolated, kGuest + kIsolated));
  EXPECT_FALSE(reach(kUplink, kUplink));
  EXPECT_FALSE(reach(kUplink + kTransit, kUplink));
  EXPECT_FALSE(reach(kUplink, kUplink + kTransit));
  EXPECT_TRUE(reach(kUplink + kTransit, kUplink + kTransit));
  EXPECT_FALSE(reach(kUplink + kTransit + kIsolated, kUplink + kTransit + kIsolated));
}

TEST(CompileReach, EndsAtTheSegment) {
  EXPECT_FALSE(reach(kGuest + "segment = \"lan\"\n", kGuest));
  EXPECT_FALSE(reach(kUplink + kTransit + "segment = \"lan\"\n", kUplink + kTransit));
  EXPECT_TRUE(reach(kGuest + "segment = \"lan\"\n", kUplink + "segment = \"lan\"\n"));
}

/// Four kinds of ports, three of each but one, in two segments.
std::string many_ports() {
  std::string text;
  const std::string kinds[] = {kGuest, kGuest + kIsolated, kUplink, kUplink + kTransit};
  for (int i = 0; i < 24; ++i) {
    const std::string name = "p" + std::string(1, static_cast<char>('a' + i));
    text += port_text(name, kinds[i % 4] + (i % 2 == 0 ? "segment = \"lan\"\n" : ""));
  }
  return text;
}

TEST(CompileReach, SharesSetsWithoutMixingThem) {
  const TestBridge bridge(many_ports());
  const Snapshot& snapshot = *bridge.snapshot;
  EXPECT_EQ(snapshot.reach.size(), 4u) << "each segment has two of the four kinds";
  for (const auto& [from, from_port] : bridge.config.ports) {
    const ReachSet& set = snapshot.reach[snapshot.ports[bridge.port(from)].reach];
    for (const auto& [to, to_port] : bridge.config.ports) {
      const bool expected = from_port.segment == to_port.segment && reaches(from_port, to_port);
      EXPECT_EQ(set.contains(bridge.port(to)), expected) << from << " to " << to;
      EXPECT_EQ(std::ranges::count(set.flood, bridge.port(to)), expected) << from << " to " << to;
      EXPECT_EQ(std::ranges::count(set.unknown, bridge.port(to)), expected && to_port.trusted);
    }
  }
}

TEST(CompileReach, LeavesPortsThatAreDownOutOfFloods) {
  TestBridge bridge(port_text("p", kGuest) + port_text("q", kUplink) + port_text("r", kGuest));
  bridge.sites.at("q").up = false;
  bridge.reload();
  const Snapshot& snapshot = *bridge.snapshot;
  const ReachSet& set = snapshot.reach[snapshot.ports[bridge.port("p")].reach];
  EXPECT_TRUE(set.contains(bridge.port("q")));
  EXPECT_EQ(set.flood, (std::vector{bridge.port("p"), bridge.port("r")}));
  EXPECT_TRUE(set.unknown.empty());
  EXPECT_FALSE(snapshot.ports[bridge.port("q")].up);
  EXPECT_TRUE(snapshot.ports[bridge.port("p")].up);
}

TEST(CompileReach, KeepsIndicesBeyondTheFirstWords) {
  TestBridge bridge(port_text("p", kGuest) + port_text("q", kGuest));
  bridge.sites.at("p").index = 130;
  bridge.sites.at("q").index = kPortsMax - 1;
  bridge.reload();
  const Snapshot& snapshot = *bridge.snapshot;
  ASSERT_EQ(snapshot.ports.size(), kPortsMax);
  EXPECT_TRUE(snapshot.has(130));
  EXPECT_FALSE(snapshot.has(129));
  EXPECT_FALSE(snapshot.has(0));
  EXPECT_FALSE(snapshot.has(kNoPort));
  const ReachSet& set = snapshot.reach[snapshot.ports[130].reach];
  EXPECT_TRUE(set.contains(130));
  EXPECT_TRUE(set.contains(kPortsMax - 1));
  EXPECT_FALSE(set.contains(129));
  EXPECT_FALSE(set.contains(kNoPort));
}

const PortPolicy& policy_of(const TestBridge& bridge, const std::string& name) {
  return bridge.snapshot->ports[bridge.port(name)];
}

TEST(CompilePort, DoesWhatTheOptionsSay) {
  TestBridge bridge(
      "[segment.lan]\nmac_limit = 77\n" + port_text("any", kGuest + "segment = \"lan\"\n") +
      port_text("few", kGuest + "mac_max = 3\nunknown = true\n") +
      port_text("list",
                "ip = \"any\"\nmac = [\"02:00:00:00:00:61\", "
                "\"02:00:00:00:00:62\"]\n") +
      port_text("up", kUplink + "segment = \"lan\"\n") +
      port_text("uplist", kUplink + "mac = \"02:00:00:00:00:63\"\nunknown = false\n"));
  bridge.sites.at("any").mtu = 1400;
  bridge.sites.at("any").backend = 3;
  bridge.reload();
  const PortPolicy& any = policy_of(bridge, "any");
  EXPECT_TRUE(any.present && any.up && any.learns);
  EXPECT_FALSE(any.trusted || any.unknown);
  EXPECT_EQ(any.mac_max, 16u);
  EXPECT_EQ(any.frame_bytes_max, 1414u);
  EXPECT_EQ(any.backend, 3);
  EXPECT_EQ(any.segment, bridge.segments.at("lan"));
  EXPECT_EQ(any.mac_count, 0);

  const PortPolicy& few = policy_of(bridge, "few");
  EXPECT_EQ(few.mac_max, 3u);
  EXPECT_TRUE(few.unknown);
  EXPECT_EQ(few.segment, bridge.segments.at("default"));

  const PortPolicy& list = policy_of(bridge, "list");
  EXPECT_FALSE(list.learns || list.trusted);
  const auto macs = bridge.snapshot->macs_of(list);
  EXPECT_EQ(std::vector(macs.begin(), macs.end()), (std::vector{mac('a'), mac('b')}));

  const PortPolicy& up = policy_of(bridge, "up");
  EXPECT_TRUE(up.trusted && up.learns && up.unknown);
  EXPECT_EQ(up.mac_max, 77u) << "the segment's limit";
  EXPECT_FALSE(policy_of(bridge, "uplist").learns);
  EXPECT_FALSE(policy_of(bridge, "uplist").unknown);
  EXPECT_EQ(bridge.snapshot->macs_of(policy_of(bridge, "uplist"))[0], mac('c'));
}

TEST(CompileSegment, HasAgeingInMillisecondsAndTheLimit) {
  const TestBridge bridge("[segment.lan]\nageing = \"24h\"\nmac_limit = 77\n" +
                          port_text("p", kGuest + "segment = \"lan\"\n") + port_text("q", kGuest));
  const auto& lan = bridge.snapshot->segments[bridge.segments.at("lan")];
  EXPECT_EQ(lan.ageing_ms, 86'400'000u);
  EXPECT_EQ(lan.mac_limit, 77u);
  const auto& other = bridge.snapshot->segments[bridge.segments.at("default")];
  EXPECT_EQ(other.ageing_ms, 300'000u);
  EXPECT_EQ(other.mac_limit, 65'536u);
}

TEST(CompileBound, HasListsAndStaticsBySegment) {
  TestBridge bridge(
      port_text("p", "ip = \"any\"\nmac = \"02:00:00:00:00:61\"\n") +
      port_text("q", "ip = \"any\"\nmac = \"02:00:00:00:00:61\"\nsegment = \"lan\"\n") +
      port_text("u", kUplink));
  bridge.config.statics = {{mac('S'), "u"}};
  bridge.reload();
  const MacTable& bound = bridge.snapshot->bound;
  const SegmentIndex lan = bridge.segments.at("lan");
  const SegmentIndex other = bridge.segments.at("default");
  EXPECT_EQ(bound.used(), 3u);
  EXPECT_EQ(bound.find(mac('a'), other)->port, bridge.port("p"));
  EXPECT_EQ(bound.find(mac('a'), lan)->port, bridge.port("q"));
  EXPECT_EQ(bound.find(mac('a'), other)->kind, EntryKind::bound);
  EXPECT_EQ(bound.find(mac('S'), other)->port, bridge.port("u"));
  EXPECT_EQ(bound.find(mac('S'), other)->kind, EntryKind::fixed);
  EXPECT_EQ(bound.find(mac('S'), lan), nullptr);
}

// The key is drawn at start. With any of them a configuration is taken or is not.
TEST(CompileBound, TakesAFewPortsWhateverTheKey) {
  std::string text;
  for (int i = 0; i < 16; ++i) {
    const std::string digit(1, "0123456789abcdef"[i]);
    text += port_text("p" + digit, "ip = \"any\"\nmac = \"52:54:00:00:00:0" + digit + "\"\n");
  }
  const TestBridge bridge(text);
  std::mt19937_64 random(3);
  for (int i = 0; i < 1000; ++i) {
    const HashKey key{{random(), random()}};
    EXPECT_NO_THROW((void)compile(bridge.config, bridge.sites, bridge.segments, key));
  }
}

}  // namespace
}  // namespace bulkhead::control
