// The frames that `explain` makes: that the bridge gives them to whom they are for, and what is
// said where none can be made.
#include "control/observe/example_frame.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

#include "control/observe/owner.hpp"
#include "dataplane/parse.hpp"
#include "tests/unit/test_bridge.hpp"

namespace bulkhead::control {
namespace {

using Kind = FrameWish::Kind;
using test::TestBridge;

constexpr const char* kConfig = R"([port.vm1]
device = "vm1"
mac = "52:54:00:00:00:01"
ip = ["10.0.0.1/24", "2001:db8::1/64"]
[port.vm2]
device = "vm2"
mac = "52:54:00:00:00:02"
ip = ["10.0.0.2/24", "2001:db8::2/64"]
[port.six]
device = "six"
mac = "52:54:00:00:00:06"
ip = []
prefixes = "2001:db8:6::/64"
[port.inner]
device = "inner"
mac = "52:54:00:00:00:07"
ip = []
prefixes = "2001:db8:6:0:8000::/68"
[port.free]
device = "free"
mac = "any"
ip = "any"
[port.uplink]
device = "uplink"
trusted = true
[port.away]
device = "away"
segment = "other"
trusted = true
)";

std::optional<MacAddress> nothing_learned(const std::string&) { return {}; }

class Example : public ::testing::Test {
 protected:
  ExampleFrame make(const std::string& from, const std::string& to, Kind kind,
                    std::uint16_t port = 0) {
    return example_frame(bridge.config, bridge.config.ports.at(from),
                         {.kind = kind, .port = port, .to = to}, nothing_learned);
  }
  std::string refusal(const std::string& from, const std::string& to, Kind kind) {
    try {
      make(from, to, kind);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  }
  /// Who gets it.
  std::set<std::string> reached(const std::string& from, const ExampleFrame& frame) {
    const test::Outcome outcome = bridge.send(from, frame.bytes);
    EXPECT_EQ(outcome.reason, "") << frame.text;
    return outcome.ports;
  }

  TestBridge bridge{kConfig};
};

using Ports = std::set<std::string>;

TEST_F(Example, ReachesThePortThatItIsFor) {
  for (const Kind kind : {Kind::tcp, Kind::udp, Kind::icmp, Kind::arp, Kind::nd}) {
    EXPECT_EQ(reached("vm1", make("vm1", "vm2", kind, 22)), Ports{"vm2"});
    EXPECT_EQ(reached("uplink", make("uplink", "vm2", kind, 22)), Ports{"vm2"});
  }
  EXPECT_EQ(make("vm1", "vm2", Kind::tcp, 22).text,
            "52:54:00:00:00:01 -> 52:54:00:00:00:02, 10.0.0.1 -> 10.0.0.2, TCP to port 22");
  EXPECT_EQ(make("vm1", "vm2", Kind::arp).text,
            "52:54:00:00:00:01, 10.0.0.1 asks who has 10.0.0.2 (ARP)");
}

TEST_F(Example, IsForAnAddressAndWhoeverOwnsIt) {
  EXPECT_EQ(reached("vm1", make("vm1", "10.0.0.2", Kind::tcp, 22)), Ports{"vm2"});
  EXPECT_EQ(reached("vm1", make("vm1", "2001:db8::2", Kind::icmp)), Ports{"vm2"});
  EXPECT_EQ(reached("vm1", make("vm1", "52:54:00:00:00:02", Kind::udp, 53)), Ports{"vm2"});
  EXPECT_EQ(reached("vm1", make("vm1", "2001:db8:6:0:8000::1", Kind::nd)), Ports{"inner"});
  EXPECT_EQ(reached("vm1", make("vm1", "2001:db8:6::1", Kind::nd)), Ports{"six"});
}

// An address that nobody has is behind an uplink.
TEST_F(Example, ForNobodysAddressGoesToTheUplink) {
  const ExampleFrame frame = make("vm1", "8.8.8.8", Kind::udp, 53);
  EXPECT_EQ(reached("vm1", frame), Ports{"uplink"});
  EXPECT_NE(frame.text.find("made up: 02:00:00:00:00:ff"), std::string::npos) << frame.text;
}

TEST_F(Example, LooksForADhcpServer) {
  EXPECT_EQ(reached("vm1", make("vm1", "", Kind::dhcp)), Ports{"uplink"});
}

TEST_F(Example, TakesWhatThePortsHaveAndMakesUpTheRest) {
  EXPECT_EQ(reached("six", make("six", "vm2", Kind::tcp, 80)), Ports{"vm2"});
  const ExampleFrame frame = make("uplink", "vm1", Kind::tcp, 80);
  EXPECT_NE(frame.text.find("; made up: 02:00:00:00:00:fe, 10.0.0.3"), std::string::npos)
      << frame.text;
  EXPECT_EQ(reached("free", make("free", "vm1", Kind::icmp)), Ports{"vm1"});
  const auto learned = [](const std::string& port) -> std::optional<MacAddress> {
    if (port == "uplink") return MacAddress{0x5254'0000'00ab};
    return {};
  };
  const ExampleFrame known =
      example_frame(bridge.config, bridge.config.ports.at("vm1"),
                    {.kind = Kind::icmp, .port = 0, .to = "uplink"}, learned);
  EXPECT_NE(known.text.find("-> 52:54:00:00:00:ab,"), std::string::npos) << known.text;
}

TEST_F(Example, SaysWhyNoneCanBeMade) {
  EXPECT_EQ(refusal("vm1", "vmm2", Kind::tcp),
            "--to \"vmm2\" is neither a port nor an address; did you mean \"vm2\"?");
  EXPECT_EQ(refusal("vm1", "away", Kind::tcp),
            "--to away: that port is in segment other, port vm1 in default; nothing passes between "
            "segments");
  EXPECT_EQ(refusal("vm1", "10.0.0.2", Kind::nd),
            "--nd asks for an IPv6 address; use --arp for IPv4");
  EXPECT_EQ(refusal("vm1", "2001:db8::2", Kind::arp),
            "--arp asks for an IPv4 address; use --nd for IPv6");
  EXPECT_EQ(refusal("six", "vm4", Kind::arp),
            "--to \"vm4\" is neither a port nor an address; did you mean \"vm1\"?");
  TestBridge four(
      "[port.vm1]\ndevice = \"a\"\nmac = \"52:54:00:00:00:01\"\nip = \"10.0.0.1/24\"\n"
      "[port.vm6]\ndevice = \"b\"\nmac = \"52:54:00:00:00:02\"\nip = \"fd00::1/64\"\n");
  try {
    example_frame(four.config, four.config.ports.at("vm1"),
                  {.kind = Kind::tcp, .port = 1, .to = "vm6"}, nothing_learned);
    ADD_FAILURE();
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(),
                 "port vm1 and port vm6 have no IP version in common; name an address with --to");
  }
}

TEST_F(Example, TheOwnerHasTheLongestPrefix) {
  const auto owner = [&](const std::string& asker, const std::string& address) {
    const config::Port* port = owner_of(bridge.config, bridge.config.ports.at(asker),
                                        config::parse_prefix(address + "/128").value());
    return port == nullptr ? "" : port->name;
  };
  EXPECT_EQ(owner("vm1", "2001:db8:6:0:8000::1"), "inner");
  EXPECT_EQ(owner("six", "2001:db8:6:0:8000::1"), "inner");
  EXPECT_EQ(owner("inner", "2001:db8:6::1"), "six");
  EXPECT_EQ(owner("vm1", "2001:db8:7::1"), "");
  EXPECT_EQ(owner("away", "2001:db8:6::1"), "");
  EXPECT_EQ(owner("vm2", "fe80::5054:ff:fe00:1"), "vm1");
}

}  // namespace
}  // namespace bulkhead::control
