// The file road: what each key becomes, and what a file that cannot be used is told, with the
// place.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "config/config.hpp"

namespace bulkhead::config {
namespace {

/// The message for this text, or "" if it is a good configuration.
std::string error_of(const std::string& text) {
  try {
    parse(text, "b.toml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

/// The same for one line in a guest that is good without it; the line is number 5.
std::string error_in_guest(const std::string& line) {
  return error_of("[port.vm1]\ndevice = \"tap1\"\nmac = \"any\"\nip = \"any\"\n" + line + "\n");
}

std::string error_of_mac(const std::string& value) {
  return error_of("[port.vm1]\ndevice = \"tap1\"\nip = \"any\"\nmac = " + value + "\n");
}

std::string error_of_ip(const std::string& value) {
  return error_of("[port.vm1]\ndevice = \"tap1\"\nmac = \"any\"\nip = " + value + "\n");
}

MacAddress mac(const std::string& text) { return parse_mac(text).value(); }
Prefix prefix(const std::string& text) { return parse_prefix(text).value(); }
InterfaceAddress address(const std::string& text) { return parse_interface_address(text).value(); }

constexpr const char* kExample = R"([bulkhead]
socket  = "/tmp/control.sock"
workers = 1
cpus    = [1]
poll    = "busy"
log     = "debug"

[segment.lan]
ageing    = "5min"
mac_limit = 1024

[port.vm1]
segment  = "lan"
device   = "tap1"
mac      = ["52:54:00:9f:5d:c1", "52-54-00-9F-5D-C2"]
ip       = ["192.168.50.13/24", "2001:db8:50::13/64"]
isolated = true
enforce  = true
unknown  = true

[port.vm2]
device  = "tap2"
attach  = "conduit"
mac     = "any"
ip      = "any"
mac_max = 32

[port.gateway]
segment    = "lan"
device     = "tap3"
mac        = "52:54:00:00:00:03"
ip         = []
prefixes   = ["10.1.0.0/16", "2001:db8:50:1::/64"]
routes     = ["0.0.0.0/0", "::/0"]
link_local = ["fe80::3", "fe80::4/64"]
shared     = ["00:00:5e:00:01:07", "192.168.50.1/24", "fe80::1"]
allow      = ["vrrp", "router"]
limit      = { broadcast = 1000, arp_nd = "none", dhcp = 0 }
enforce    = false

[port.uplink]
segment = "wan"
device  = "eth1"
trusted = true
unknown = false
transit = true
take_over = true
)";

TEST(Parse, ReadsEveryKeyOfTheDaemonAndOfSegments) {
  const Config config = parse(kExample, "b.toml");
  EXPECT_EQ(config.file, "b.toml");
  EXPECT_EQ(config.socket, "/tmp/control.sock");
  EXPECT_EQ(config.workers, 1U);
  EXPECT_EQ(config.cpus, std::vector<std::uint32_t>{1});
  EXPECT_EQ(config.poll, Poll::busy);
  EXPECT_EQ(config.log, "debug");

  ASSERT_EQ(config.segments.size(), 3U);  // default, lan, and wan that only a port names
  const Segment& lan = config.segments.at("lan");
  EXPECT_EQ(lan.name, "lan");
  EXPECT_EQ(lan.ageing, std::chrono::seconds(300));
  EXPECT_EQ(lan.mac_limit, 1024U);
  EXPECT_EQ(lan.position, (Position{8, 1}));
  const Segment& wan = config.segments.at("wan");
  EXPECT_EQ(wan.name, "wan");
  EXPECT_EQ(wan.ageing, std::chrono::seconds(300));
  EXPECT_EQ(wan.mac_limit, 65'536U);
  EXPECT_EQ(config.segments.at("default").name, "default");
}

TEST(Parse, ReadsEveryKeyOfPorts) {
  const Config config = parse(kExample, "b.toml");
  ASSERT_EQ(config.ports.size(), 4U);
  const Port& vm1 = config.ports.at("vm1");
  EXPECT_EQ(vm1.name, "vm1");
  EXPECT_EQ(vm1.segment, "lan");
  EXPECT_EQ(vm1.device, "tap1");
  EXPECT_EQ(vm1.macs, (std::vector{mac("52:54:00:9f:5d:c1"), mac("52:54:00:9f:5d:c2")}));
  EXPECT_EQ(vm1.addresses,
            (std::vector{address("192.168.50.13/24"), address("2001:db8:50::13/64")}));
  EXPECT_FALSE(vm1.any_mac || vm1.any_ip || vm1.trusted || vm1.transit || vm1.take_over);
  EXPECT_FALSE(vm1.learns());
  EXPECT_TRUE(vm1.isolated);
  EXPECT_EQ(vm1.unknown, true);
  EXPECT_EQ(vm1.position, (Position{12, 1}));

  const Port& vm2 = config.ports.at("vm2");
  EXPECT_EQ(vm2.segment, "default");
  EXPECT_TRUE(vm2.any_mac && vm2.any_ip && vm2.learns());
  EXPECT_FALSE(vm2.isolated || vm2.trusted);
  EXPECT_EQ(vm2.mac_max, 32U);
  EXPECT_EQ(vm2.unknown, std::nullopt);

  const Port& uplink = config.ports.at("uplink");
  EXPECT_TRUE(uplink.trusted && uplink.transit && uplink.take_over && uplink.learns());
  EXPECT_FALSE(uplink.any_mac || uplink.any_ip);
  EXPECT_EQ(uplink.unknown, false);
}

TEST(Parse, ReadsTheKeysOfIsolation) {
  const Config config = parse(kExample, "b.toml");
  const Port& gateway = config.ports.at("gateway");
  EXPECT_TRUE(gateway.no_ip && gateway.addresses.empty() && !gateway.any_ip);
  EXPECT_EQ(gateway.prefixes, (std::vector{prefix("10.1.0.0/16"), prefix("2001:db8:50:1::/64")}));
  EXPECT_EQ(gateway.routes, (std::vector{prefix("0.0.0.0/0"), prefix("::/0")}));
  EXPECT_EQ(gateway.link_local, LinkLocal::list);
  EXPECT_EQ(gateway.link_locals, (std::vector{address("fe80::3"), address("fe80::4/64")}));
  EXPECT_EQ(gateway.shared_macs, std::vector{mac("00:00:5e:00:01:07")});
  EXPECT_EQ(gateway.shared_addresses,
            (std::vector{address("192.168.50.1/24"), address("fe80::1")}));
  EXPECT_EQ(gateway.allow, (std::set{Role::router, Role::vrrp}));
  EXPECT_EQ(gateway.limits(),
            (Limit{.broadcast = 1000, .multicast = 2000, .arp_nd = {}, .dhcp = 0}));
  EXPECT_FALSE(gateway.enforce);

  const Port& vm1 = config.ports.at("vm1");
  EXPECT_TRUE(vm1.enforce);
  EXPECT_TRUE(vm1.prefixes.empty() && vm1.routes.empty() && vm1.link_locals.empty());
  EXPECT_TRUE(vm1.shared_macs.empty() && vm1.shared_addresses.empty() && vm1.allow.empty());
  EXPECT_EQ(vm1.link_local, LinkLocal::mac);
  EXPECT_FALSE(vm1.no_ip);
  EXPECT_EQ(vm1.limits(), kGuestLimit);
  EXPECT_EQ(config.ports.at("uplink").limits(), Limit{});
}

TEST(Parse, AnEmptyFileIsAllDefaults) {
  const Config config = parse("", "b.toml");
  EXPECT_EQ(config.socket, "/run/bulkhead/control.sock");
  EXPECT_EQ(config.poll, Poll::adaptive);
  EXPECT_EQ(config.log, "info");
  EXPECT_TRUE(config.cpus.empty());
  EXPECT_EQ(config.segments.size(), 1U);
  EXPECT_EQ(config.segments.count("default"), 1U);
}

TEST(Parse, DefaultSegmentMayBeDeclared) {
  const Config config = parse("[segment.default]\nageing = \"1h\"\n", "b.toml");
  EXPECT_EQ(config.segments.at("default").ageing, std::chrono::hours(1));
}

TEST(Parse, SyntaxErrorsNameThePlaceOnOneLine) {
  EXPECT_EQ(error_of("[port.vm1]\ndevice = \n"), "b.toml:2:10: a value is missing behind the =");
  EXPECT_EQ(error_of("[port.vm1]\n[port.vm1]\n"),
            "b.toml:2:1: no TOML: parsing table header: cannot redefine existing table "
            "'port.vm1'");
  EXPECT_EQ(error_of("[port.vm1\n"),
            "b.toml:1:10: no TOML: parsing table header: expected ']', saw '\\n'");
  EXPECT_EQ(error_of("x = \xff\n").substr(0, 9), "b.toml:1:");
}

// The library says of these "unescaped control characters", "expected 'true'" and the like.
TEST(Parse, AMissingQuoteIsCalledOneWhereTheTextBegins) {
  const std::string fault = "a text begins here and never ends; close it with ";
  EXPECT_EQ(error_of("[port.vm1]\ndevice = \"tap1\nmac = \"any\"\n"),
            "b.toml:2:10: " + fault + '"');
  EXPECT_EQ(error_of("[port.vm1]\r\ndevice = \"tap1\r\n"), "b.toml:2:10: " + fault + '"');
  EXPECT_EQ(error_of("[port.vm1]\ndevice = \"tap1"), "b.toml:2:10: " + fault + '"');
  EXPECT_EQ(error_of("[port.vm1]\ndevice = 'tap1\n"), "b.toml:2:10: " + fault + '\'');
  EXPECT_EQ(error_of("[port.vm1]\nmac = [\"52:54:00:00:00:01, \"x\"]\n"),
            "b.toml:2:30: " + fault + '"');
  EXPECT_EQ(error_of("[port.vm1]\nip = [\"10.0.0.1/24\"\n[port.vm2]\n"),
            "b.toml:3:1: a list is not closed before here; a comma or its ] is missing");
}

TEST(Parse, AControlCharacterInATextIsCalledOne) {
  EXPECT_EQ(error_of("[port.vm1]\ndevice = \"a\x1b\"\n"),
            "b.toml:2:12: a control character stands in this text; remove it, or write it as "
            "\\u001b");
}

TEST(Parse, AValueWithoutQuotesIsNamed) {
  const std::string fault = " is no number, true or false; texts stand in quotes";
  EXPECT_EQ(error_of("[port.vm1]\ndevice = tap1\n"), "b.toml:2:10: \"tap1\"" + fault);
  EXPECT_EQ(error_of("[port.vm1]\ntrusted = True # yes\n"), "b.toml:2:11: \"True\"" + fault);
  EXPECT_EQ(error_of("[port.vm1]\nmac = 52:54:00:00:00:01\n"),
            "b.toml:2:7: \"52:54:00:00:00:01\"" + fault);
  EXPECT_EQ(error_of("[port.vm1]\nmac = [any]\n"), "b.toml:2:8: \"any\"" + fault);
}

TEST(Parse, UnknownTablesAndKeysAreRefused) {
  EXPECT_EQ(error_of("\n[ports.vm1]\n"),
            "b.toml:2:2: unknown table \"ports\"; did you mean \"port\"?");
  EXPECT_EQ(error_of("[network]\n"),
            "b.toml:1:2: unknown table \"network\"; known are bulkhead, segment, port, fdb");
  EXPECT_EQ(error_of("log = 1\n"),
            "b.toml:1:1: unknown key \"log\"; known are bulkhead, segment, port, fdb");
  EXPECT_EQ(error_in_guest("  macc = 1"),
            "b.toml:5:3: port vm1: unknown key \"macc\"; did you mean \"mac\"?");
  EXPECT_EQ(error_in_guest("colour = 1"),
            "b.toml:5:1: port vm1: unknown key \"colour\"; known are segment, device, attach, mac, "
            "ip, prefixes, routes, link_local, shared, allow, limit, mac_max, worker, trusted, "
            "isolated, enforce, unknown, transit, shortcut, take_over");
  EXPECT_EQ(error_of("[segment.lan]\nage = 1\n"),
            "b.toml:2:1: segment lan: unknown key \"age\"; did you mean \"ageing\"?");
  EXPECT_EQ(error_of("[segment.lan]\nsize = 1\n"),
            "b.toml:2:1: segment lan: unknown key \"size\"; known are ageing, mac_limit");
  EXPECT_EQ(error_of("[bulkhead]\nworker = 1\n"),
            "b.toml:2:1: bulkhead: unknown key \"worker\"; did you mean \"workers\"?");
  EXPECT_EQ(error_of("[port.eth0.100]\ndevice = \"eth0.100\"\n"),
            "b.toml:1:12: port eth0: unknown table \"100\"; a port's name with a dot needs quotes: "
            "[port.\"vm1.lan\"]");
}

TEST(Parse, MessagesStayOneLineOfAscii) {
  EXPECT_EQ(error_in_guest("\"a\\nb\\u009b\" = 1").substr(0, 50),
            "b.toml:5:1: port vm1: unknown key \"a\\x0ab\\xc2\\x9b\"");
  EXPECT_EQ(error_of_mac("\"" + std::string(200, 'z') + "\"").substr(0, 140),
            "b.toml:4:7: port vm1: mac \"" + std::string(100, 'z') + "...\" is not a");
}

TEST(Parse, SectionsHoldTables) {
  EXPECT_EQ(error_of("[port]\ndevice = \"tap1\"\n"),
            "b.toml:2:1: port holds tables such as [port.NAME]; \"device\" is none");
  EXPECT_EQ(error_of("[[port]]\ndevice = \"tap1\"\n"),
            "b.toml:1:1: port holds tables such as [port.NAME]");
  EXPECT_EQ(error_of("segment = 7\n"), "b.toml:1:11: segment holds tables such as [segment.NAME]");
  EXPECT_EQ(error_of("bulkhead = 7\n"), "b.toml:1:12: bulkhead is a table: [bulkhead]");
  for (const std::string line : {"fdb = 7", "fdb = [7]", "fdb = { a = 1 }"}) {
    EXPECT_EQ(error_of(line + "\n"), "b.toml:1:7: fdb holds tables such as [[fdb]]");
  }
  EXPECT_EQ(error_of("[fdb]\n"), "b.toml:1:1: fdb holds tables such as [[fdb]]");
  EXPECT_EQ(error_of("fdb = []\n"), "");
}

TEST(Parse, ReadsStaticAddresses) {
  const Config config = parse(
      "[port.up]\ndevice = \"e\"\ntrusted = true\n"
      "[[fdb]]\nmac = \"52-54-00-00-00-01\"\nport = \"up\"\n"
      "[[fdb]]\nport = \"up\"\nmac = \"52:54:00:00:00:02\"\n",
      "b.toml");
  ASSERT_EQ(config.statics.size(), 2U);
  EXPECT_EQ(config.statics[0].mac, mac("52:54:00:00:00:01"));
  EXPECT_EQ(config.statics[1].mac, mac("52:54:00:00:00:02"));
  EXPECT_EQ(config.statics[1].port, "up");
  EXPECT_EQ(config.statics[1].position, (Position{7, 1}));
  EXPECT_FALSE(config.statics[1].by_command());
}

TEST(Parse, StaticAddressesAreRefusedByName) {
  const auto error = [](const std::string& line) { return error_of("[[fdb]]\n" + line + "\n"); };
  const std::string mac_and = "mac = \"52:54:00:00:00:01\"\n";
  EXPECT_EQ(error(""), "b.toml:1:1: fdb: `mac` is missing; an entry has both");
  EXPECT_EQ(error(mac_and), "b.toml:1:1: fdb: `port` is missing; an entry has both");
  EXPECT_EQ(error(mac_and + "port = \"p q\""),
            "b.toml:3:8: fdb: port must be the name of a port, not \"p q\"");
  EXPECT_EQ(error("port = \"u\"\nmac = \"x\""),
            "b.toml:3:7: fdb: mac must be a MAC address such as \"52:54:00:9f:5d:c1\", not \"x\"");
  EXPECT_EQ(error("port = \"u\"\nmac = [\"52:54:00:00:00:01\"]").substr(0, 30),
            "b.toml:3:7: fdb: mac must be a");
  EXPECT_EQ(error("port = \"u\"\nmac = \"ff:ff:ff:ff:ff:ff\""),
            "b.toml:3:7: fdb: mac \"ff:ff:ff:ff:ff:ff\" is a group address; a port needs a "
            "unicast one");
  EXPECT_EQ(error(mac_and + "port = \"u\"\nvlan = 1"),
            "b.toml:4:1: fdb: unknown key \"vlan\"; known are mac, port");
}

TEST(Parse, KeysNotBuiltYetAreRefusedByName) {
  for (const std::string line : {"vhost = \"/run/x\"", "vhost_mode = \"client\""}) {
    const std::string key = line.substr(0, line.find(' '));
    EXPECT_EQ(error_in_guest(line),
              "b.toml:5:1: port vm1: `" + key + "` is not supported yet; remove it");
  }
}

TEST(Parse, ValuesNotBuiltYetAreRefusedByName) {}

TEST(Parse, WaysToAttach) {
  const auto attach_of = [](const std::string& line) {
    const std::string text = "[port.u]\ndevice = \"eth0\"\ntrusted = true\n" + line;
    return parse(text, "b.toml").ports.at("u");
  };
  EXPECT_EQ(attach_of("").attach, Attach::automatic);
  EXPECT_EQ(attach_of("attach = \"auto\"").attach, Attach::automatic);
  EXPECT_EQ(attach_of("attach = \"conduit\"").attach, Attach::conduit);
  EXPECT_EQ(attach_of("attach = \"xdp\"").attach, Attach::xdp);
  EXPECT_FALSE(attach_of("").by_xdp());  // no device is known for which it is right
  EXPECT_FALSE(attach_of("attach = \"conduit\"").by_xdp());
  EXPECT_TRUE(attach_of("attach = \"xdp\"").by_xdp());
  const std::string must =
      "b.toml:5:10: port vm1: attach must be \"auto\", \"conduit\" or \"xdp\", ";
  EXPECT_EQ(error_in_guest("attach = \"dpdk\""), must + "not \"dpdk\"");
  EXPECT_EQ(error_in_guest("attach = \"\""), must + "not \"\"");
  EXPECT_EQ(error_in_guest("attach = true"), must + "not true");
}

TEST(Parse, DaemonKeysSayWhatTheyTake) {
  const auto error = [](const std::string& line) { return error_of("[bulkhead]\n" + line + "\n"); };
  EXPECT_EQ(error("workers = 17"), "b.toml:2:11: bulkhead: workers must be 1 to 16, not 17");
  EXPECT_EQ(error("workers = 0"), "b.toml:2:11: bulkhead: workers must be 1 to 16, not 0");
  EXPECT_EQ(error("workers = \"1\""), "b.toml:2:11: bulkhead: workers must be 1 to 16, not \"1\"");
  EXPECT_EQ(error("poll = \"fast\""),
            "b.toml:2:8: bulkhead: poll must be \"adaptive\" or \"busy\", not \"fast\"");
  EXPECT_EQ(error("log = \"verbose\""),
            "b.toml:2:7: bulkhead: log must be \"trace\", \"debug\", \"info\", \"warning\" or "
            "\"error\", not \"verbose\"");
  EXPECT_EQ(error("socket = \"\""),
            "b.toml:2:10: bulkhead: socket must be a path of 1 to 107 bytes, not \"\"");
  EXPECT_EQ(error("socket = \"" + std::string(107, 'a') + "\""), "");
  EXPECT_EQ(error("state = \"\""),
            "b.toml:2:9: bulkhead: state must be a path of 1 to 4000 bytes, not \"\"");
  EXPECT_EQ(error("state = \"" + std::string(4000, 'a') + "\""), "");
  EXPECT_NE(error("state = \"" + std::string(4001, 'a') + "\""), "");
  EXPECT_NE(error("state = \"a\\u0000b\""), "");
  EXPECT_NE(error("socket = \"" + std::string(108, 'a') + "\""), "");
  EXPECT_NE(error("socket = \"a\\u0000b\""), "");
  for (const std::string level : {"trace", "debug", "info", "warning", "error"}) {
    EXPECT_EQ(error("log = \"" + level + "\""), "");
  }

  const std::string cpus = "cpus must be a list of CPUs from 0 to 1023, at most one a worker, not ";
  EXPECT_EQ(error("cpus = []"), "");
  EXPECT_EQ(error("cpus = [0]"), "");
  EXPECT_EQ(error("cpus = [1023]"), "");
  EXPECT_EQ(error("cpus = [1024]"), "b.toml:2:8: bulkhead: " + cpus + "[1024]");
  EXPECT_EQ(error("cpus = [-1]"), "b.toml:2:8: bulkhead: " + cpus + "[-1]");
  EXPECT_EQ(error("cpus = [1, 2]"), "b.toml:2:8: bulkhead: " + cpus + "[1, 2]");
  EXPECT_EQ(error("cpus = [\"1\"]"), "b.toml:2:8: bulkhead: " + cpus + "[\"1\"]");
  EXPECT_EQ(error("cpus = 1"), "b.toml:2:8: bulkhead: " + cpus + "1");
  EXPECT_EQ(error("cpus = [1, 2.5]"),
            "b.toml:2:8: bulkhead: " + cpus + "a list with something else in it");
}

TEST(Parse, SegmentKeysSayWhatTheyTake) {
  const auto error = [](const std::string& line) {
    return error_of("[segment.lan]\n" + line + "\n");
  };
  const std::string ageing =
      "b.toml:2:10: segment lan: ageing must be a duration from \"1s\" to \"24h\" in s, min, h or "
      "d, such as \"300s\", not ";
  for (const std::string good : {"1s", "24h", "1d", "86400s", "1440min"}) {
    EXPECT_EQ(error("ageing = \"" + good + "\""), "") << good;
  }
  for (const std::string bad : {"0s", "25h", "86401s", "2d", "500ms", "5000ms", "300", ""}) {
    EXPECT_EQ(error("ageing = \"" + bad + "\""), ageing + "\"" + bad + "\"");
  }
  EXPECT_EQ(error("ageing = 300"), ageing + "300");
  EXPECT_EQ(error("ageing = 1.5"), ageing + "a fraction");
  EXPECT_EQ(error("ageing = 10:00:00"), ageing + "a date or time");

  EXPECT_EQ(error("mac_limit = 1"), "");
  EXPECT_EQ(error("mac_limit = 1048576"), "");
  EXPECT_EQ(error("mac_limit = 0"),
            "b.toml:2:13: segment lan: mac_limit must be 1 to 1048576, not 0");
  EXPECT_EQ(error("mac_limit = 1048577"),
            "b.toml:2:13: segment lan: mac_limit must be 1 to 1048576, not 1048577");
  EXPECT_EQ(error("mac_limit = 4294967297"),
            "b.toml:2:13: segment lan: mac_limit must be 1 to 1048576, not 4294967297");
}

TEST(Parse, PortKeysSayWhatTheyTake) {
  EXPECT_EQ(error_in_guest("isolated = \"yes\""),
            "b.toml:5:12: port vm1: isolated must be true or false, not \"yes\"");
  for (const std::string key :
       {"trusted", "isolated", "enforce", "unknown", "transit", "take_over"}) {
    EXPECT_NE(error_in_guest(key + " = 1").find(key + " must be true or false, not 1"),
              std::string::npos);
  }
  EXPECT_EQ(error_in_guest("mac_max = 1"), "");
  EXPECT_EQ(error_in_guest("mac_max = 65536"), "");
  EXPECT_EQ(error_in_guest("mac_max = 0"),
            "b.toml:5:11: port vm1: mac_max must be 1 to 65536, not 0");
  EXPECT_EQ(error_in_guest("mac_max = 65537"),
            "b.toml:5:11: port vm1: mac_max must be 1 to 65536, not 65537");
  EXPECT_EQ(error_in_guest("segment = \"my lan\""),
            "b.toml:5:11: port vm1: segment must be a name: 1 to 32 letters, digits, '_', '.' or "
            "'-', not \"my lan\"");
}

TEST(Parse, DeviceNamesAreTheKernels) {
  const auto error = [](const std::string& name) {
    return error_of("[port.vm1]\nmac = \"any\"\nip = \"any\"\ndevice = \"" + name + "\"\n");
  };
  for (const std::string good : {"a", "eth0.100", "tap-vm_1", "abcdefghijklmno", "..."}) {
    EXPECT_EQ(error(good), "") << good;
  }
  EXPECT_EQ(error("a/b"),
            "b.toml:4:10: port vm1: device must be a network device's name: 1 to 15 bytes without "
            "'/', ':' and white space, not \"a/b\"");
  for (const std::string bad :
       {"", "abcdefghijklmnop", "a b", "a\\tb", "a\\u0000", "a:b", ".", ".."}) {
    EXPECT_EQ(error(bad).substr(0, 36), "b.toml:4:10: port vm1: device must b") << bad;
  }
}

TEST(Parse, MacIsOneOrAListOrAny) {
  EXPECT_EQ(error_of_mac("\"52:54:00:00:00:01\""), "");
  EXPECT_EQ(error_of_mac("[\"52:54:00:00:00:01\"]"), "");
  EXPECT_EQ(error_of_mac("\"any\""), "");
  EXPECT_EQ(error_of_mac("[\"any\"]"), "");
  EXPECT_EQ(error_of_mac("[\"52:54:00:00:00:01\",\n  \"52:54:00:00:00:0\"]"),
            "b.toml:5:3: port vm1: mac \"52:54:00:00:00:0\" is not a MAC address; write it as "
            "52:54:00:9f:5d:c1, or \"any\" alone");
  EXPECT_EQ(error_of_mac("[\"52:54:00:00:00:01\", \"any\"]"),
            "b.toml:4:29: port vm1: mac \"any\" is not a MAC address; write it as "
            "52:54:00:9f:5d:c1, or \"any\" alone");
  EXPECT_NE(error_of_mac("[\"any\", \"52:54:00:00:00:01\"]"), "");
  EXPECT_EQ(error_of_mac("\"01:00:5e:00:00:01\""),
            "b.toml:4:7: port vm1: mac \"01:00:5e:00:00:01\" is a group address; a port needs a "
            "unicast one");
  EXPECT_NE(error_of_mac("\"ff:ff:ff:ff:ff:ff\"").find("is a group address"), std::string::npos);
  EXPECT_EQ(error_of_mac("\"00:00:00:00:00:00\""),
            "b.toml:4:7: port vm1: mac \"00:00:00:00:00:00\" is no station's address; a port needs "
            "a unicast one");
  EXPECT_EQ(error_of_mac("[\"52:54:00:00:00:0a\", \"52-54-00-00-00-0A\"]"),
            "b.toml:4:29: port vm1: mac \"52-54-00-00-00-0A\" is listed twice; remove one");
  const std::string takes =
      "b.toml:4:7: port vm1: mac must be a MAC address such as \"52:54:00:9f:5d:c1\", a list of "
      "them, or \"any\", not ";
  EXPECT_EQ(error_of_mac("[]"), takes + "[]");
  EXPECT_EQ(error_of_mac("\"\""), takes + "\"\"");
  EXPECT_EQ(error_of_mac("1"), takes + "1");
  EXPECT_EQ(error_of_mac("[1, 2]"), takes + "[1, 2]");
  EXPECT_EQ(error_of_mac("{}"), takes + "a table");
}

TEST(Parse, MacsAndAddressesOfAPortAreLimited) {
  const auto list = [](int count, const std::string& start) {
    std::string text = "[";
    for (int i = 10; i < 10 + count; ++i) text += "\"" + start + std::to_string(i) + "\",";
    return text + "]";
  };
  EXPECT_EQ(error_of_mac(list(64, "52:54:00:00:00:")), "");
  EXPECT_EQ(error_of_mac(list(65, "52:54:00:00:00:")),
            "b.toml:4:7: port vm1: mac has 65 entries; at most 64 are allowed");
  EXPECT_EQ(error_of_ip(list(64, "10.0.0.")), "");
  EXPECT_EQ(error_of_ip(list(65, "10.0.0.")),
            "b.toml:4:6: port vm1: ip has 65 entries; at most 64 are allowed");
}

TEST(Parse, IpIsOneOrAListOrAny) {
  for (const std::string good :
       {"any", "192.168.50.13", "192.168.50.13/24", "192.168.50.0/32", "192.168.50.0/31",
        "192.168.50.1/31", "192.168.50.255/32", "192.168.50.255/16", "2001:db8::/128",
        "2001:db8::/127", "2001:db8::1/64", "2001:db8::ffff:ffff:ffff:ffff/64", "fe80::1/64"}) {
    EXPECT_EQ(error_of_ip("\"" + good + "\""), "") << good;
    EXPECT_EQ(error_of_ip("[\"" + good + "\"]"), "") << good;
  }
  EXPECT_EQ(error_of_ip("[\"192.168.50.300\"]"),
            "b.toml:4:7: port vm1: ip \"192.168.50.300\" is not an address");
  EXPECT_EQ(error_of_ip("[\"10.0.0.1\", \"any\"]"),
            "b.toml:4:19: port vm1: ip \"any\" is not an address");
  EXPECT_EQ(error_of_ip("[\"10.0.0.1/8\", \"10.0.0.1/24\"]"),
            "b.toml:4:21: port vm1: ip \"10.0.0.1/24\" is listed twice; remove one");
  EXPECT_EQ(error_of_ip("[1]"),
            "b.toml:4:6: port vm1: ip must be an address such as \"192.168.50.13/24\", a list of "
            "them, or \"any\", not [1]");
}

TEST(Parse, IpIsAHostsOwnAddress) {
  const std::string own = "; a port needs a unicast one";
  const std::string prefix =
      " is a prefix, not an address; `prefixes` and `routes` are for prefixes";
  const std::string broadcast = " is the broadcast of its subnet; name a host in it";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"192.168.50.0/24", prefix},
      {"192.168.50.4/30", prefix},
      {"128.0.0.0/1", prefix},
      {"2001:db8:50::/64", prefix},
      {"2001:db8::4/126", prefix},
      {"192.168.50.255/24", broadcast},
      {"192.168.50.7/30", broadcast},
      {"0.0.0.0", " is the unspecified address" + own},
      {"0.0.0.0/0", " is the unspecified address" + own},
      {"::", " is the unspecified address" + own},
      {"127.0.0.1/8", " is a loopback address" + own},
      {"::1", " is the loopback address" + own},
      {"224.0.0.1", " is a multicast address" + own},
      {"239.255.255.255", " is a multicast address" + own},
      {"ff02::1", " is a multicast address" + own},
      {"255.255.255.255", " is the limited broadcast" + own},
  };
  for (const auto& [text, reason] : cases) {
    EXPECT_EQ(error_of_ip("\"" + text + "\""),
              "b.toml:4:6: port vm1: ip \"" + text + "\"" + reason);
  }
}

/// The message about `line`, line 5 of a guest that has one MAC and one address.
std::string error_in_bound_guest(const std::string& line) {
  return error_of(
      "[port.vm1]\ndevice = \"tap1\"\nmac = \"52:54:00:00:00:01\"\nip = \"192.168.50.13/24\"\n" +
      line + "\n");
}

std::string error_of_word(const std::string& key, const std::string& word) {
  return error_in_bound_guest(key + " = \"" + word + "\"");
}

/// What error_of_word says when it is about the word.
std::string about_word(const std::string& key, const std::string& word, const std::string& reason) {
  return "b.toml:5:" + std::to_string(key.size() + 4) + ": port vm1: " + key + " \"" + word +
         "\" " + reason;
}

TEST(Parse, PrefixesAndRoutesAreListsOfPrefixes) {
  for (const std::string key : {"prefixes", "routes"}) {
    const auto expect = [&](const std::string& word, const std::string& reason) {
      EXPECT_EQ(error_of_word(key, word), about_word(key, word, reason));
    };
    for (const std::string good :
         {"10.0.0.0/8", "192.168.50.64/26", "192.168.50.1/32", "169.254.0.0/16", "2001::/16",
          "2001:db8:50:1::/64", "2001:db8::1/128", "fd00::/16"}) {
      EXPECT_EQ(error_of_word(key, good), "") << key << ' ' << good;
    }
    EXPECT_EQ(error_in_bound_guest(key + " = []"), "");
    const std::string form = "is not a prefix; write it as 10.0.0.0/8 or 2001:db8:50:1::/64";
    expect("10.0.0.0", form);
    expect("10.0.0.0/33", form);
    expect("any", form);
    expect("52:54:00:00:00:01", form);
    expect("10.0.0.1/8", "has host bits set; write 10.0.0.0/8, or the address in `ip`");
    expect("2001:db8::1/64", "has host bits set; write 2001:db8::/64, or the address in `ip`");
    expect("1.2.3.4/0", "has host bits set; write 0.0.0.0/0, or the address in `ip`");
    const std::string link_local = "is link-local; the key `link_local` is for those";
    expect("fe80::/10", link_local);
    expect("fe80::/64", link_local);
    expect("febf::/16", link_local);
    expect("fe80::1/128", link_local);
    const std::vector<std::pair<std::string, std::string>> specials = {
        {"224.0.0.0/4", "lies in 224.0.0.0/4, and a multicast address"},
        {"239.1.0.0/16", "lies in 224.0.0.0/4, and a multicast address"},
        {"127.0.0.0/8", "lies in 127.0.0.0/8, and a loopback address"},
        {"0.0.0.0/32", "lies in 0.0.0.0/32, and the unspecified address"},
        {"255.255.255.255/32", "lies in 255.255.255.255/32, and the limited broadcast"},
        {"::/128", "lies in ::/128, and the unspecified address"},
        {"::1/128", "lies in ::1/128, and the loopback address"},
        {"ff02::/16", "lies in ff00::/8, and a multicast address"},
    };
    for (const auto& [word, reason] : specials) {
      expect(word, reason + " is no port's own; remove it");
    }
    EXPECT_EQ(error_in_bound_guest(key + " = [\"10.0.0.0/8\",\n\"10.0.0.0/8\"]"),
              "b.toml:6:1: port vm1: " + key + " \"10.0.0.0/8\" is listed twice; remove one");
  }
  EXPECT_EQ(error_in_bound_guest("prefixes = 10"),
            "b.toml:5:12: port vm1: prefixes must be a prefix such as \"2001:db8:50:1::/64\", or a "
            "list of them, not 10");
  EXPECT_EQ(error_in_bound_guest("routes = true"),
            "b.toml:5:10: port vm1: routes must be a prefix such as \"10.0.0.0/8\", or a list of "
            "them, not true");
}

TEST(Parse, OnlyRoutesAreWide) {
  for (const std::string word : {"0.0.0.0/0", "128.0.0.0/1", "10.0.0.0/7"}) {
    EXPECT_EQ(error_of_word("routes", word), "");
    EXPECT_EQ(error_of_word("prefixes", word),
              about_word("prefixes", word,
                         "is too wide; /8 is the widest that a port may own (`routes` takes wider "
                         "ones)"));
  }
  for (const std::string word : {"::/0", "2000::/3", "2000::/15"}) {
    EXPECT_EQ(error_of_word("routes", word), "");
    EXPECT_EQ(error_of_word("prefixes", word),
              about_word("prefixes", word,
                         "is too wide; /16 is the widest that a port may own (`routes` takes wider "
                         "ones)"));
  }
  const std::vector<std::pair<std::string, std::string>> specials = {
      {"0.0.0.0/8", "holds 0.0.0.0/32, and the unspecified address"},
      {"255.0.0.0/8", "holds 255.255.255.255/32, and the limited broadcast"},
      {"::/16", "holds ::/128, and the unspecified address"},
  };
  for (const auto& [word, reason] : specials) {
    EXPECT_EQ(error_of_word("routes", word), "");
    EXPECT_EQ(error_of_word("prefixes", word),
              about_word("prefixes", word, reason + " is no port's own; name a narrower prefix"));
  }
}

TEST(Parse, LinkLocalIsMacOrAnyOrAList) {
  for (const std::string good : {"mac", "any", "fe80::1", "fe80::1/64", "fe80::1/128"}) {
    EXPECT_EQ(error_of_word("link_local", good), "") << good;
    EXPECT_EQ(error_in_bound_guest("link_local = [\"" + good + "\"]"), "") << good;
  }
  for (const std::string bad :
       {"none", "192.168.50.13", "2001:db8::1", "fe80:0:0:1::1", "fe81::1"}) {
    EXPECT_EQ(error_of_word("link_local", bad),
              about_word("link_local", bad,
                         "is not an address in fe80::/64; write it as fe80::1, or \"mac\" or "
                         "\"any\" alone"));
  }
  EXPECT_EQ(error_of_word("link_local", "fe80::/64"),
            about_word("link_local", "fe80::/64", "is the whole prefix; write \"any\" for that"));
  EXPECT_EQ(error_in_bound_guest("link_local = [\"fe80::1\", \"any\"]"),
            "b.toml:5:26: port vm1: link_local \"any\" is not an address in fe80::/64; write it as "
            "fe80::1, or \"mac\" or \"any\" alone");
  EXPECT_EQ(error_in_bound_guest("link_local = [\"fe80::1\", \"fe80::1/64\"]"),
            "b.toml:5:26: port vm1: link_local \"fe80::1/64\" is listed twice; remove one");
  EXPECT_EQ(error_in_bound_guest("link_local = []"),
            "b.toml:5:14: port vm1: link_local must be \"mac\", \"any\", or a list of addresses in "
            "fe80::/64, not []");
}

TEST(Parse, SharedMixesMacsAndAddresses) {
  for (const std::string good :
       {"[]", "\"192.168.50.1\"", "[\"00-00-5e-00-01-01\", \"2001:db8::1/64\", \"fe80::1\"]"}) {
    EXPECT_EQ(error_in_bound_guest("shared = " + good), "") << good;
  }
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"any", "is neither a MAC address nor an IP address"},
      {"00:00:5e:00:01", "is neither a MAC address nor an IP address"},
      {"01:00:5e:00:00:12", "is a group address; a port needs a unicast one"},
      {"00:00:00:00:00:00", "is no station's address; a port needs a unicast one"},
      {"ff02::12", "is a multicast address; a port needs a unicast one"},
      {"192.168.50.0/24", "is a prefix, not an address; `prefixes` and `routes` are for prefixes"},
      {"192.168.50.255/24", "is the broadcast of its subnet; name a host in it"},
  };
  for (const auto& [word, reason] : cases) {
    EXPECT_EQ(error_of_word("shared", word), about_word("shared", word, reason));
  }
  EXPECT_EQ(error_in_bound_guest("shared = [\"192.168.50.1\", \"192.168.50.1/24\"]"),
            "b.toml:5:27: port vm1: shared \"192.168.50.1/24\" is listed twice; remove one");
  EXPECT_EQ(error_in_bound_guest("shared = [\"00:00:5e:00:01:01\", \"00-00-5E-00-01-01\"]"),
            "b.toml:5:32: port vm1: shared \"00-00-5E-00-01-01\" is listed twice; remove one");
  EXPECT_EQ(
      error_in_bound_guest("shared = false"),
      "b.toml:5:10: port vm1: shared must be a MAC address, an IP address, or a list of such, "
      "not false");
}

TEST(Parse, AllowIsAListOfRoles) {
  for (const std::string role : {"dhcp-server", "router", "querier", "vrrp", "routing"}) {
    EXPECT_EQ(error_of_word("allow", role), "");
  }
  EXPECT_EQ(error_in_bound_guest("allow = []"), "");
  EXPECT_EQ(error_of_word("allow", "dhcp_server"),
            "b.toml:5:9: port vm1: allow: unknown role \"dhcp_server\"; did you mean "
            "\"dhcp-server\"?");
  EXPECT_EQ(error_in_bound_guest("allow = [\"router\", \"dns\"]"),
            "b.toml:5:20: port vm1: allow: unknown role \"dns\"; known are dhcp-server, router, "
            "querier, vrrp, routing");
  EXPECT_EQ(error_in_bound_guest("allow = [\"vrrp\", \"vrrp\"]"),
            "b.toml:5:18: port vm1: allow \"vrrp\" is listed twice; remove one");
  EXPECT_EQ(error_in_bound_guest("allow = true"),
            "b.toml:5:9: port vm1: allow must be a role such as \"router\", or a list of them, not "
            "true");
}

TEST(Parse, LimitIsATableOfRates) {
  EXPECT_EQ(error_in_bound_guest("limit = {}"), "");
  EXPECT_EQ(
      error_in_bound_guest("limit = { broadcast = 0, multicast = 10000000, dhcp = \"none\" }"), "");
  EXPECT_EQ(error_in_bound_guest("[port.vm1.limit]\narp_nd = 7"), "");
  EXPECT_EQ(error_in_bound_guest("limit.arp_nd = 7"), "");

  const std::string rate = " must be 0 to 10000000 or \"none\", not ";
  EXPECT_EQ(error_in_bound_guest("limit = { broadcast = -1 }"),
            "b.toml:5:23: port vm1: limit: broadcast" + rate + "-1");
  EXPECT_EQ(error_in_bound_guest("limit = { dhcp = 1, arp_nd = 10000001 }"),
            "b.toml:5:30: port vm1: limit: arp_nd" + rate + "10000001");
  EXPECT_EQ(error_in_bound_guest("limit = { multicast = \"lots\" }"),
            "b.toml:5:23: port vm1: limit: multicast" + rate + "\"lots\"");
  EXPECT_EQ(error_in_bound_guest("limit = { dhcp = 1.5 }"),
            "b.toml:5:18: port vm1: limit: dhcp" + rate + "a fraction");
  EXPECT_EQ(error_in_bound_guest("limit = { dhcp = { a = 1 } }"),
            "b.toml:5:18: port vm1: limit: dhcp" + rate + "a table");
  EXPECT_EQ(error_in_bound_guest("[port.vm1.limit]\nbrodcast = 5"),
            "b.toml:6:1: port vm1: limit: unknown key \"brodcast\"; did you mean \"broadcast\"?");
  EXPECT_EQ(error_in_bound_guest("limit = { unknown_unicast = 5 }"),
            "b.toml:5:11: port vm1: limit: unknown key \"unknown_unicast\"; known are broadcast, "
            "multicast, arp_nd, dhcp");
  EXPECT_EQ(
      error_in_bound_guest("limit = { \"\" = 5 }"),
      "b.toml:5:11: port vm1: limit: unknown key \"\"; known are broadcast, multicast, arp_nd, "
      "dhcp");
  EXPECT_EQ(
      error_in_bound_guest("limit = 500"),
      "b.toml:5:9: port vm1: limit must be rates by kind, such as { broadcast = 500, arp_nd = "
      "\"none\" }, not 500");
}

TEST(Parse, ListsOfIsolationAreLimited) {
  const auto list = [](int count, const std::string& start, const std::string& end) {
    std::string text = "[";
    for (int i = 10; i < 10 + count; ++i) text += "\"" + start + std::to_string(i) + end + "\",";
    return text + "]";
  };
  const std::vector<std::array<std::string, 3>> cases = {{"prefixes", "10.", ".0.0/16"},
                                                         {"routes", "2001:db8:", "::/48"},
                                                         {"link_local", "fe80::", ""},
                                                         {"shared", "10.0.0.", "/8"}};
  for (const auto& [key, start, end] : cases) {
    EXPECT_EQ(error_in_bound_guest(key + " = " + list(64, start, end)), "");
    EXPECT_EQ(error_in_bound_guest(key + " = " + list(65, start, end)),
              "b.toml:5:" + std::to_string(key.size() + 4) + ": port vm1: " + key +
                  " has 65 entries; at most 64 are allowed");
  }
}

TEST(Load, ReadsAFileOrSaysWhyNot) {
  const std::string path = testing::TempDir() + "bulkhead_config_test.toml";
  std::ofstream(path) << kExample;
  EXPECT_EQ(load(path).ports.size(), 4U);
  EXPECT_EQ(load(path).file, path);
  std::ofstream{path};
  const auto error = [](const std::string& name) -> std::string {
    try {
      load(name);
    } catch (const ConfigError& refused) {
      return refused.what();
    }
    return "";
  };
  EXPECT_EQ(error(path),
            path + ": cannot be read: it is empty; to have no ports, write [bulkhead]");
  std::remove(path.c_str());
  EXPECT_EQ(error(path), path + ": cannot be read: No such file or directory");
  EXPECT_EQ(error("/"), "/: cannot be read: Is a directory");
  EXPECT_EQ(error("/dev/zero"), "/dev/zero: cannot be read: more than 16 MiB");
}

}  // namespace
}  // namespace bulkhead::config
