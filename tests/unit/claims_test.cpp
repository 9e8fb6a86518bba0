// Link-local addresses in use (docs/ISOLATION.md, law 4): whose they are, for how long, and who
// makes room for whom.
#include "dataplane/claims.hpp"

#include <gtest/gtest.h>

#include "tests/harness/house.hpp"
#include "tests/unit/test_bridge.hpp"

namespace bulkhead {
namespace {

using test::Bytes;
using test::House;
using test::mac;
using test::put;
using test::TestBridge;
using D = DropReason;

constexpr std::uint32_t kAgeingMilliseconds = 4000;

// l, k  guests that may use any link-local address; a  one with ip = "any"; s  one in shadow
// u, v  uplinks
constexpr const char* kHouse = R"(
[segment.default]
ageing = "4s"
[port.a]
device = "a"
mac = "02:00:00:00:00:61"
ip = "any"
[port.k]
device = "k"
mac = "02:00:00:00:00:6b"
ip = "2001:db8::6b/64"
link_local = "any"
[port.l]
device = "l"
mac = "02:00:00:00:00:6c"
ip = "2001:db8::6c/64"
link_local = "any"
[port.s]
device = "s"
mac = "02:00:00:00:00:73"
ip = "2001:db8::73/64"
enforce = false
[port.u]
device = "u"
trusted = true
[port.v]
device = "v"
trusted = true
)";

/// An ICMPv6 message to all nodes; 134 is a router advertisement, 136 an advertisement of `target`,
/// 135 with sender 0 a test of it, 143 a report.
Bytes icmp(MacAddress source, std::uint8_t type, std::uint64_t sender, std::uint64_t target = 0) {
  Bytes bytes(14 + 40 + 24);
  put(bytes, 0, 0x3333'0000'0001, 6);
  put(bytes, 6, source.value, 6);
  put(bytes, 12, 0x86dd'60, 3);
  put(bytes, 18, 24, 2);
  put(bytes, 20, 58, 1);
  put(bytes, 21, 255, 1);
  if (sender != 0) put(bytes, 22, 0xfe80, 2), put(bytes, 30, sender, 8);
  put(bytes, 38, 0xff02, 2);
  put(bytes, 53, 1, 1);
  put(bytes, 54, type, 1);
  if (type == 134) {
    bytes.resize(14 + 40 + 16);
    put(bytes, 18, 16, 2);
  }
  if (target != 0) put(bytes, 62, 0xfe80, 2), put(bytes, 70, target, 8);
  if (type == 135) {  // to the solicited-node group
    put(bytes, 49, 0x01'ff, 2);
    put(bytes, 51, target & 0xff'ffff, 3);
  }
  return bytes;
}

Bytes report(char source, std::uint64_t sender) { return icmp(mac(source), 143, sender); }

std::string use(TestBridge& bridge, const std::string& port, std::uint64_t sender) {
  const test::Outcome outcome = bridge.send(port, report(port[0], sender));
  return outcome.reason;
}

TEST(Claims, AreOfTheGuestThatWasFirst) {
  TestBridge bridge(kHouse);
  EXPECT_EQ(use(bridge, "l", 0x1234), "");
  EXPECT_EQ(use(bridge, "k", 0x1234), "spoofed_ip");
  EXPECT_EQ(use(bridge, "a", 0x1234), "spoofed_ip");
  EXPECT_EQ(use(bridge, "s", 0x1234), "spoofed_ip") << "in shadow, too";
  EXPECT_EQ(use(bridge, "l", 0x1234), "");
}

TEST(Claims, OfATrustedPortAreNoGuests) {
  TestBridge bridge(kHouse);
  EXPECT_EQ(use(bridge, "u", 1), "");
  for (const char* guest : {"a", "k", "l", "s"}) EXPECT_EQ(use(bridge, guest, 1), "spoofed_ip");
  const Bytes stolen = icmp(mac('l'), 136, 0x6c, 1);
  EXPECT_EQ(bridge.send("l", stolen).reason, "spoofed_nd");
  EXPECT_EQ(use(bridge, "v", 1), "") << "another trusted port may";
}

TEST(Claims, OfAGuestGoOverToATrustedPort) {
  TestBridge bridge(kHouse);
  EXPECT_EQ(use(bridge, "l", 1), "");
  // The router comes up and tests its address.
  EXPECT_EQ(bridge.send("u", icmp(mac('u'), 135, 0, 1)).reason, "");
  EXPECT_EQ(use(bridge, "l", 1), "spoofed_ip");
  EXPECT_EQ(bridge.send("l", icmp(mac('l'), 136, 0x77, 1)).reason, "spoofed_nd");
}

TEST(Claims, OfWhatIsBoundAreNone) {
  TestBridge bridge(kHouse);
  const std::uint64_t own = 0x0000'00ff'fe00'0061;  // a's by its MAC
  EXPECT_EQ(use(bridge, "u", own), "");
  EXPECT_EQ(use(bridge, "a", own), "");
}

TEST(Claims, EndWhenNothingHasUsedThemForTheAgeingTime) {
  TestBridge bridge(kHouse);
  EXPECT_EQ(use(bridge, "l", 0x1234), "");
  EXPECT_EQ(use(bridge, "u", 1), "");
  bridge.now_ms += kAgeingMilliseconds - 1;
  EXPECT_EQ(use(bridge, "k", 1), "spoofed_ip");
  EXPECT_EQ(use(bridge, "k", 0x1234), "spoofed_ip");
  EXPECT_EQ(use(bridge, "l", 0x1234), "");  // used again
  bridge.now_ms += 1;
  EXPECT_EQ(use(bridge, "k", 1), "");
  EXPECT_EQ(use(bridge, "k", 0x1234), "spoofed_ip");
}

TEST(Claims, EndWithTheirDevice) {
  TestBridge bridge(kHouse);
  bridge.sites.at("l").device = 7;
  bridge.reload();
  EXPECT_EQ(use(bridge, "l", 0x1234), "");
  bridge.sites.at("l").device = 0;  // gone
  bridge.reload();
  EXPECT_EQ(use(bridge, "k", 0x1234), "");
}

TEST(Claims, OfAGuestAreSixteenAndTheNextHasItsTurn) {
  TestBridge bridge(kHouse);
  for (std::uint64_t i = 1; i <= 16; ++i) {
    EXPECT_EQ(use(bridge, "l", i), "");
    bridge.now_ms += 10;
  }
  EXPECT_EQ(use(bridge, "l", 17), "spoofed_ip");
  EXPECT_EQ(use(bridge, "l", 16), "");
  bridge.now_ms += kAgeingMilliseconds - 160;  // the first is over
  EXPECT_EQ(use(bridge, "l", 17), "");
  EXPECT_EQ(use(bridge, "l", 18), "spoofed_ip");
  // One of its claims that it lost and got again is one.
  EXPECT_EQ(use(bridge, "u", 17), "");
  EXPECT_EQ(use(bridge, "l", 18), "");
}

TEST(Claims, OfAFloodShutNobodyOut) {
  TestBridge bridge(kHouse);
  EXPECT_EQ(bridge.send("u", icmp(mac('u'), 134, 1)).reason, "");  // a router
  EXPECT_EQ(use(bridge, "u", 2), "");                              // a host that goes on
  bridge.now_ms += 1100;
  EXPECT_EQ(use(bridge, "u", 2), "");
  for (std::uint64_t i = 0; i < 100'000; ++i) use(bridge, "u", 0x1'0000'0000 + i);
  EXPECT_EQ(use(bridge, "l", 1), "spoofed_ip");
  EXPECT_EQ(use(bridge, "l", 2), "spoofed_ip");
  // Who comes late: a router, a guest, another uplink.
  EXPECT_EQ(bridge.send("u", icmp(mac('u'), 134, 3)).reason, "");
  EXPECT_EQ(use(bridge, "l", 3), "spoofed_ip");
  EXPECT_EQ(use(bridge, "l", 0x1234), "");
  EXPECT_EQ(use(bridge, "v", 4), "");
  EXPECT_EQ(use(bridge, "l", 4), "spoofed_ip");
}

TEST(Claims, AskTrustedPortsForWhatOneUses) {
  TestBridge bridge(kHouse);
  use(bridge, "u", 1);
  const test::Outcome asked = bridge.send("k", [] {
    Bytes bytes = icmp(mac('k'), 135, 0x6b, 1);
    put(bytes, 0, 0x3333'ff00'0001, 6);
    return bytes;
  }());
  EXPECT_EQ(asked.ports, (std::set<std::string>{"u", "v"}));
}

constexpr const char* kTwo = R"(
[bulkhead]
workers = 2
[segment.default]
ageing = "4s"
[port.l]
device = "l"
mac = "02:00:00:00:00:6c"
ip = "2001:db8::6c/64"
link_local = "any"
worker = 0
[port.u]
device = "u"
trusted = true
worker = 1
)";

TEST(Claims, OfATrustedPortAreKnownToEveryWorker) {
  House house(kTwo);
  const auto dropped = [&] { return house.counters("l").dropped[index_of(D::spoofed_ip)]; };
  const auto send = [&](const std::string& port, std::uint64_t sender) {
    ASSERT_TRUE(house.inject(port, report(port[0], sender)));
    house.settle();
  };
  send("l", 1);
  EXPECT_EQ(dropped(), 0u);
  send("u", 1);  // takes it over
  send("l", 1);
  EXPECT_EQ(dropped(), 1u);
  for (int i = 0; i < 40; ++i) {  // in use for ten seconds: told again and again
    house.now_ms += 250;
    send("u", 1);
  }
  send("l", 1);
  EXPECT_EQ(dropped(), 2u);
  house.now_ms += kAgeingMilliseconds + kAgeingMilliseconds / 4;
  send("l", 1);
  EXPECT_EQ(dropped(), 2u) << "it has ended there, too";
}

TEST(Claims, OfAFloodAreAnnouncedAtALimitedRate) {
  House house(kTwo);
  for (std::uint64_t i = 1; i <= 2000; ++i) {
    house.inject("u", report('u', i));
    if (i % 32 == 0) house.settle();
  }
  house.settle();
  // The other worker has heard of some, and of a router that comes late.
  std::size_t heard = 0;
  house.members[0]->worker->forwarder().claims().visit(*house.members[0]->snapshot, house.port("u"),
                                                       house.now_ms, [&](const auto&) { ++heard; });
  EXPECT_GE(heard, 100u);
  EXPECT_LE(heard, 256u);
  ASSERT_TRUE(house.inject("u", icmp(mac('u'), 134, 5000)));
  house.settle();
  ASSERT_TRUE(house.inject("l", report('l', 5000)));
  house.settle();
  EXPECT_EQ(house.counters("l").dropped[index_of(D::spoofed_ip)], 1u);
}

}  // namespace
}  // namespace bulkhead
