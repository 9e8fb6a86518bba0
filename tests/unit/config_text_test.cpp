// The text forms of MACs, addresses, prefixes, roles and durations: what is one, what is none, and
// the way back. Also how prefixes relate.
#include <gtest/gtest.h>

#include "config/config.hpp"

namespace bulkhead::config {
namespace {

using std::chrono::seconds;

TEST(ParseMac, TakesColonsOrDashesAndBothCases) {
  const MacAddress mac{0x5254009f5dc1};
  EXPECT_EQ(parse_mac("52:54:00:9f:5d:c1"), mac);
  EXPECT_EQ(parse_mac("52-54-00-9F-5D-C1"), mac);
  EXPECT_EQ(to_text(mac), "52:54:00:9f:5d:c1");
}

TEST(ParseMac, RefusesWhatIsNone) {
  for (const std::string text :
       {"", "any", "52:54:00:9f:5d", "52:54:00:9f:5d:c1:", "52:54:00:9f:5d:c1:00",
        "52:54-00:9f:5d:c1", "52.54.00.9f.5d.c1", "5254009f5dc1", "52:54:00:9f:5d:g1",
        "52:54:00:9f:5d: 1", "52:54:00:9f:5d:+1", "52:54:00:9f:5d:-1", " 2:54:00:9f:5d:c1",
        "0x:54:00:9f:5d:c1", "2:54:000:9f:5d:c1"}) {
    EXPECT_FALSE(parse_mac(text)) << text;
  }
  EXPECT_FALSE(parse_mac(std::string("52:54:00:9f:5d:c\0", 17)));
}

TEST(ParseMac, RoundTrips) {
  for (int bit = 0; bit < 48; ++bit) {
    for (const MacAddress mac : {MacAddress{1ULL << bit}, MacAddress{(1ULL << bit) - 1}}) {
      EXPECT_EQ(parse_mac(to_text(mac)), mac) << to_text(mac);
    }
  }
}

TEST(ParseInterfaceAddress, ReadsIpv4) {
  const auto address = parse_interface_address("192.168.50.13/24");
  ASSERT_TRUE(address);
  EXPECT_FALSE(address->is_v6);
  EXPECT_EQ(address->bytes, (std::array<std::uint8_t, 16>{192, 168, 50, 13}));
  EXPECT_EQ(address->prefix_length, 24);
  EXPECT_EQ(to_text(*address), "192.168.50.13/24");
}

TEST(ParseInterfaceAddress, ReadsIpv6) {
  const auto address = parse_interface_address("2001:DB8:50:0::13/64");
  ASSERT_TRUE(address);
  EXPECT_TRUE(address->is_v6);
  EXPECT_EQ(address->bytes, (std::array<std::uint8_t, 16>{0x20, 0x01, 0x0d, 0xb8, 0x00, 0x50, 0, 0,
                                                          0, 0, 0, 0, 0, 0, 0, 0x13}));
  EXPECT_EQ(address->prefix_length, 64);
  EXPECT_EQ(to_text(*address), "2001:db8:50::13/64");
}

TEST(ParseInterfaceAddress, WithoutALengthIsAHost) {
  EXPECT_EQ(to_text(parse_interface_address("10.0.0.1").value()), "10.0.0.1/32");
  EXPECT_EQ(to_text(parse_interface_address("2001:db8::1").value()), "2001:db8::1/128");
}

TEST(ParseInterfaceAddress, RefusesWhatIsNone) {
  for (const std::string text : {"",
                                 "/",
                                 "/24",
                                 "any",
                                 "192.168.50.300",
                                 "192.168.50",
                                 "192.168.50.1.1",
                                 "192.168.050.1",
                                 "0x7f000001",
                                 "192.168.50.1/",
                                 "192.168.50.1/33",
                                 "192.168.50.1/024",
                                 "192.168.50.1/-1",
                                 "192.168.50.1/+8",
                                 "192.168.50.1/ 8",
                                 "192.168.50.1/8/8",
                                 "192.168.50.1/256",
                                 "192.168.50.1/4294967304",
                                 "192.168.50.1/255.255.255.0",
                                 " 192.168.50.1",
                                 "192.168.50.1 ",
                                 "2001:db8::1/129",
                                 "2001:db8::1::2",
                                 "fe80::1%eth0",
                                 "[2001:db8::1]",
                                 "2001:db8:1",
                                 ":"}) {
    EXPECT_FALSE(parse_interface_address(text)) << text;
  }
  EXPECT_FALSE(parse_interface_address(std::string("10.0.0.1\0/8", 11)));
  EXPECT_FALSE(parse_interface_address(std::string("10.0.0.1/8\0", 11)));
}

TEST(ParseInterfaceAddress, RoundTrips) {
  for (const std::string text : {"0.0.0.0/0", "10.0.0.1/8", "255.255.255.255/32", "::/0",
                                 "2001:db8::1/127", "fe80::5054:ff:fe9f:5dc1/64"}) {
    const auto address = parse_interface_address(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(to_text(*address), text);
    EXPECT_EQ(parse_interface_address(to_text(*address)), address);
  }
}

TEST(ParsePrefix, NeedsALengthAndNoHostBits) {
  const auto prefix = parse_prefix("10.32.0.0/11");
  ASSERT_TRUE(prefix);
  EXPECT_EQ(*prefix, (Prefix{.is_v6 = false, .bytes = {10, 32}, .length = 11}));
  for (const std::string text : {"0.0.0.0/0", "10.0.0.0/8", "192.168.50.13/32", "::/0",
                                 "2001:db8:50:1::/64", "2001:db8::1/128"}) {
    ASSERT_TRUE(parse_prefix(text)) << text;
    EXPECT_EQ(to_text(parse_prefix(text).value()), text);
  }
  for (const std::string text :
       {"", "any", "10.0.0.0", "2001:db8::", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08",
        "10.0.0.1/8", "10.128.0.0/8", "1.0.0.0/0", "2001:db8::1/64", "2001:db8::/129"}) {
    EXPECT_FALSE(parse_prefix(text)) << text;
  }
}

TEST(Covers, ComparesFamilyLengthAndBits) {
  const auto holds = [](const std::string& outer, const std::string& inner) {
    return covers(parse_prefix(outer).value(), parse_prefix(inner).value());
  };
  EXPECT_TRUE(holds("10.0.0.0/8", "10.0.0.0/8"));
  EXPECT_TRUE(holds("10.0.0.0/8", "10.255.255.255/32"));
  EXPECT_TRUE(holds("fe80::/10", "febf::/16"));
  EXPECT_TRUE(holds("::/0", "2001:db8::/32"));
  EXPECT_FALSE(holds("10.0.0.0/8", "11.0.0.0/8"));
  EXPECT_FALSE(holds("10.0.0.0/8", "10.0.0.0/7"));
  EXPECT_FALSE(holds("fe80::/10", "fec0::/16"));
  EXPECT_FALSE(holds("::/0", "0.0.0.0/0"));
  EXPECT_FALSE(holds("0.0.0.0/0", "a00::/8"));
}

TEST(PrefixOf, ClearsTheHost) {
  const auto subnet = [](const std::string& text) {
    return to_text(prefix_of(parse_interface_address(text).value()));
  };
  EXPECT_EQ(subnet("192.168.50.13/24"), "192.168.50.0/24");
  EXPECT_EQ(subnet("192.168.50.13/29"), "192.168.50.8/29");
  EXPECT_EQ(subnet("192.168.50.13/0"), "0.0.0.0/0");
  EXPECT_EQ(subnet("2001:db8:50::13/65"), "2001:db8:50::/65");
  EXPECT_EQ(to_text(host_of(parse_interface_address("10.0.0.1/8").value())), "10.0.0.1/32");
  EXPECT_EQ(to_text(host_of(parse_interface_address("fe80::1/64").value())), "fe80::1/128");
}

TEST(LinkLocalOf, IsTheModifiedEui64) {
  // The example of RFC 4291, appendix A, and a local MAC, whose bit is flipped the other way.
  EXPECT_EQ(to_text(link_local_of(MacAddress{0x34567890abcd})), "fe80::3656:78ff:fe90:abcd/64");
  EXPECT_EQ(to_text(link_local_of(MacAddress{0x5254009f5dc1})), "fe80::5054:ff:fe9f:5dc1/64");
}

TEST(ParseRole, RoundTrips) {
  for (const Role role : kRoles) EXPECT_EQ(parse_role(to_text(role)), role);
  EXPECT_EQ(parse_role("dhcp-server"), Role::dhcp_server);
  for (const std::string text : {"", "Router", "dhcp_server", "dns"}) {
    EXPECT_FALSE(parse_role(text)) << text;
  }
}

TEST(ParseDuration, KnowsItsUnits) {
  EXPECT_EQ(parse_duration("300s"), seconds(300));
  EXPECT_EQ(parse_duration("5min"), seconds(300));
  EXPECT_EQ(parse_duration("5m"), seconds(300));
  EXPECT_EQ(parse_duration("24h"), seconds(86'400));
  EXPECT_EQ(parse_duration("1d"), seconds(86'400));
  EXPECT_EQ(parse_duration("0s"), seconds(0));
  EXPECT_EQ(parse_duration("4294967295d"), seconds(4'294'967'295 * 86'400));  // no overflow
}

TEST(ParseDuration, RefusesWhatIsNone) {
  for (const std::string text : {"", "300", "s", "300 s", "-1s", "+1s", "1.5s", "500ms", "1us",
                                 "1w", "1S", "1s1s", "01s", "4294967296s", "1sec", " 1s", "1s "}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

TEST(ParseDuration, RoundTrips) {
  for (const seconds duration : {seconds(1), seconds(90), seconds(300), seconds(86'400)}) {
    EXPECT_EQ(parse_duration(to_text(duration)), duration);
  }
  EXPECT_EQ(to_text(seconds(300)), "300s");
}

}  // namespace
}  // namespace bulkhead::config
