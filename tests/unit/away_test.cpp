// Ports that are not what they were: away for long (trusted ports may have their addresses), and in
// shadow (as with mac = "any" and ip = "any", and counted).
#include <gtest/gtest.h>

#include "tests/unit/test_bridge.hpp"

namespace bulkhead {
namespace {

using test::Bytes;
using test::frame;
using test::kArp;
using test::kIpv4;
using test::mac;
using test::put;
using test::TestBridge;
using D = DropReason;
using Names = std::set<std::string>;

constexpr const char* kHouse = R"(
[port.a]
device = "a"
mac = "02:00:00:00:00:61"
ip = "10.0.0.97/24"
[port.b]
device = "b"
mac = "02:00:00:00:00:62"
ip = "10.0.0.98/24"
[port.m]
device = "m"
mac = "any"
ip = "any"
[port.s]
device = "s"
mac = "02:00:00:00:00:73"
ip = "10.0.0.115/24"
mac_max = 2
enforce = false
[port.u]
device = "u"
trusted = true
)";

Bytes question(char source, char about) {
  Bytes bytes = frame(about, source, kArp);
  put(bytes, 0, 0xffff'ffff'ffff, 6);
  return bytes;
}

/// "b" has moved to another host, behind the uplink.
void let_go(TestBridge& bridge, bool away) {
  bridge.sites.at("b").up = false;
  bridge.sites.at("b").away = away;
  bridge.reload();
}

TEST(Away, KeepsItsAddressesForAWhile) {
  TestBridge bridge(kHouse);
  let_go(bridge, false);
  EXPECT_EQ(bridge.send("u", frame('a', 'b')).reason, "spoofed_mac");
  EXPECT_EQ(bridge.send("a", question('a', 'b')).refused.at("b"), "port_down");
}

TEST(Away, LeavesItsAddressesToTrustedPorts) {
  TestBridge bridge(kHouse);
  let_go(bridge, true);
  EXPECT_EQ(bridge.send("a", question('a', 'b')).ports, Names{"u"});
  EXPECT_EQ(bridge.send("a", frame('b', 'a')).ports, Names{"u"}) << "unknown";
  EXPECT_EQ(bridge.send("u", frame('a', 'b')).ports, Names{"a"});
  EXPECT_EQ(bridge.send("a", frame('b', 'a')).verdict, "unicast");
  EXPECT_EQ(bridge.send("a", frame('b', 'a')).ports, Names{"u"}) << "learned";
  bridge.tick(2);
  EXPECT_EQ(bridge.learned().size(), 1u) << "a sweep leaves it alone";
}

TEST(Away, LeavesThemToNoGuest) {
  TestBridge bridge(kHouse);
  let_go(bridge, true);
  EXPECT_EQ(bridge.send("m", frame('a', 'b')).reason, "spoofed_mac");
  Bytes stolen = frame('a', 'z', kIpv4);
  put(stolen, 26, 0x0a00'0062, 4);
  EXPECT_EQ(bridge.send("m", stolen).reason, "spoofed_ip");
  EXPECT_EQ(bridge.send("s", question('b', 'a')).reason, "spoofed_mac");
}

TEST(Away, HasThemAgainWhenItIsBack) {
  TestBridge bridge(kHouse);
  let_go(bridge, true);
  bridge.send("u", frame('a', 'b'));
  bridge.sites.at("b").up = true;
  bridge.sites.at("b").away = false;
  bridge.reload();
  EXPECT_EQ(bridge.send("a", frame('b', 'a')).ports, Names{"b"});
  EXPECT_EQ(bridge.send("u", frame('a', 'b')).reason, "spoofed_mac");
  bridge.tick();
  EXPECT_TRUE(bridge.learned().empty());
}

std::uint64_t shadowed(TestBridge& bridge, D reason) {
  return bridge.counters("s").shadowed[index_of(reason)];
}

TEST(Shadow, TalksWithAnAddressThatIsNotListed) {
  TestBridge bridge(kHouse);
  EXPECT_EQ(bridge.send("s", question('z', 'a')).ports, Names{"a"});
  EXPECT_EQ(shadowed(bridge, D::spoofed_mac), 1u);
  Bytes answer = frame('z', 'a', kArp);
  put(answer, 20, 2, 2);
  put(answer, 32, mac('z').value, 6);
  EXPECT_EQ(bridge.send("a", answer).ports, Names{"s"});
  EXPECT_EQ(bridge.send("a", frame('z', 'a')).ports, Names{"s"});
  EXPECT_EQ(shadowed(bridge, D::not_addressee), 2u) << "on its way out, too";
  EXPECT_EQ(bridge.refused("s", D::not_addressee), 0u);
}

TEST(Shadow, IsAskedForWhatNobodyHas) {
  TestBridge bridge(kHouse);
  EXPECT_EQ(bridge.send("a", question('a', 'z')).ports, (Names{"m", "s", "u"}));
  EXPECT_EQ(bridge.send("a", question('a', 'b')).ports, Names{"b"});
}

TEST(Shadow, LearnsAsOneWithAnyMac) {
  TestBridge bridge(kHouse);
  EXPECT_EQ(bridge.send("s", frame('a', 'x')).reason, "");
  EXPECT_EQ(bridge.send("s", frame('a', 'y')).reason, "");
  EXPECT_EQ(bridge.send("s", frame('a', 'z')).reason, "mac_limit");
  EXPECT_EQ(bridge.send("s", frame('a', 's')).reason, "") << "its own needs no learning";
  EXPECT_EQ(bridge.learned().size(), 2u);
}

TEST(Shadow, TakesNothingOfOthers) {
  TestBridge bridge(kHouse);
  EXPECT_EQ(bridge.send("s", frame('a', 'b')).reason, "spoofed_mac");
  EXPECT_EQ(bridge.send("s", question('b', 'a')).reason, "spoofed_mac");
  Bytes stolen = frame('a', 'z');
  put(stolen, 26, 0x0a00'0062, 4);
  EXPECT_EQ(bridge.send("s", stolen).reason, "spoofed_mac") << "by the MAC that broke it first";
  bridge.send("s", frame('a', 'z'));
  Bytes others = frame('z', 'a');
  put(others, 30, 0x0a00'0062, 4);
  EXPECT_EQ(bridge.send("a", others).refused.at("s"), "not_addressee");
  EXPECT_EQ(bridge.ledger_fault(), "");
}

}  // namespace
}  // namespace bulkhead
