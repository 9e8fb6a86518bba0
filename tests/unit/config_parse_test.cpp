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
  ASSERT_EQ(config.ports.size(), 3U);
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
  EXPECT_EQ(error_of("[port.vm1]\ndevice = \n"),
            "b.toml:2:10: Error while parsing key-value pair: expected value, saw '\\n'");
  EXPECT_EQ(error_of("[port.vm1]\n[port.vm1]\n"),
            "b.toml:2:1: Error while parsing table header: cannot redefine existing table "
            "'port.vm1'");
  EXPECT_EQ(error_of("a = \"x\ny\"").substr(0, 12), "b.toml:1:7: ");
  EXPECT_EQ(error_of("x = \xff\n").substr(0, 9), "b.toml:1:");
}

TEST(Parse, UnknownTablesAndKeysAreRefused) {
  EXPECT_EQ(error_of("\n[ports.vm1]\n"),
            "b.toml:2:2: unknown table \"ports\"; did you mean \"port\"?");
  EXPECT_EQ(error_of("[network]\n"),
            "b.toml:1:2: unknown table \"network\"; known are bulkhead, segment, port");
  EXPECT_EQ(error_of("log = 1\n"),
            "b.toml:1:1: unknown key \"log\"; known are bulkhead, segment, port");
  EXPECT_EQ(error_in_guest("  macc = 1"),
            "b.toml:5:3: port vm1: unknown key \"macc\"; did you mean \"mac\"?");
  EXPECT_EQ(error_in_guest("colour = 1"),
            "b.toml:5:1: port vm1: unknown key \"colour\"; known are segment, device, attach, mac, "
            "ip, mac_max, trusted, isolated, enforce, unknown, transit, take_over");
  EXPECT_EQ(error_of("[segment.lan]\nage = 1\n"),
            "b.toml:2:1: segment lan: unknown key \"age\"; known are ageing, mac_limit");
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
}

TEST(Parse, KeysNotBuiltYetAreRefusedByName) {
  for (const std::string line :
       {"vhost = \"/run/x\"", "vhost_mode = \"client\"", "prefixes = [\"2001:db8::/64\"]",
        "routes = []", "link_local = \"any\"", "shared = [\"192.168.50.1\"]",
        "allow = [\"router\"]", "limit = { broadcast = 500 }"}) {
    const std::string key = line.substr(0, line.find(' '));
    EXPECT_EQ(error_in_guest(line),
              "b.toml:5:1: port vm1: `" + key + "` is not supported yet; remove it");
  }
  EXPECT_EQ(error_in_guest("[port.vm1.limit]\nbroadcast = 500"),
            "b.toml:5:11: port vm1: `limit` is not supported yet; remove it");
  EXPECT_EQ(error_of("[bulkhead]\nstate = \"/run/bulkhead/state\"\n"),
            "b.toml:2:1: bulkhead: `state` is not supported yet; remove it");
}

TEST(Parse, ValuesNotBuiltYetAreRefusedByName) {
  EXPECT_EQ(error_in_guest("enforce = true"), "");
  EXPECT_EQ(error_in_guest("enforce = false"),
            "b.toml:5:11: port vm1: enforce = false is not supported yet; remove it");
  EXPECT_EQ(error_in_guest("attach = \"conduit\""), "");
  EXPECT_EQ(error_in_guest("attach = \"xdp\""),
            "b.toml:5:10: port vm1: attach = \"xdp\" is not supported yet; remove it");
  EXPECT_EQ(error_in_guest("attach = \"dpdk\""),
            "b.toml:5:10: port vm1: attach must be \"conduit\", not \"dpdk\"");
  EXPECT_EQ(error_of("[bulkhead]\nworkers = 2\n"),
            "b.toml:2:11: bulkhead: workers = 2 is not supported yet; use 1");
}

TEST(Parse, DaemonKeysSayWhatTheyTake) {
  const auto error = [](const std::string& line) { return error_of("[bulkhead]\n" + line + "\n"); };
  EXPECT_EQ(error("workers = 0"), "b.toml:2:11: bulkhead: workers must be 1, not 0");
  EXPECT_EQ(error("workers = \"1\""), "b.toml:2:11: bulkhead: workers must be 1, not \"1\"");
  EXPECT_EQ(error("poll = \"fast\""),
            "b.toml:2:8: bulkhead: poll must be \"adaptive\" or \"busy\", not \"fast\"");
  EXPECT_EQ(error("log = \"verbose\""),
            "b.toml:2:7: bulkhead: log must be \"trace\", \"debug\", \"info\", \"warning\" or "
            "\"error\", not \"verbose\"");
  EXPECT_EQ(error("socket = \"\""),
            "b.toml:2:10: bulkhead: socket must be a path of 1 to 107 bytes, not \"\"");
  EXPECT_EQ(error("socket = \"" + std::string(107, 'a') + "\""), "");
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
  EXPECT_EQ(error_of_ip("[]"),
            "b.toml:4:6: port vm1: ip must be an address such as \"192.168.50.13/24\", a list of "
            "them, or \"any\", not []");
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

TEST(Load, ReadsAFileOrSaysWhyNot) {
  const std::string path = testing::TempDir() + "bulkhead_config_test.toml";
  std::ofstream(path) << kExample;
  EXPECT_EQ(load(path).ports.size(), 3U);
  EXPECT_EQ(load(path).file, path);
  std::remove(path.c_str());
  const auto error = [](const std::string& name) -> std::string {
    try {
      load(name);
    } catch (const ConfigError& refused) {
      return refused.what();
    }
    return "";
  };
  EXPECT_EQ(error(path), path + ": cannot be read: No such file or directory");
  EXPECT_EQ(error("/"), "/: cannot be read: Is a directory");
  EXPECT_EQ(error("/dev/zero"), "/dev/zero: cannot be read: more than 16 MiB");
}

}  // namespace
}  // namespace bulkhead::config
