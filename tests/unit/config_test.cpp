// The rules between keys and between ports, and the command road.
#include <gtest/gtest.h>

#include "config/config.hpp"

namespace bulkhead::config {
namespace {

using Kind = OptionValue::Kind;
using Options = std::map<std::string, OptionValue>;

std::string error_of(const std::string& text) {
  try {
    parse(text, "b.toml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

std::string error_of(const Config& config) {
  try {
    check(config);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

OptionValue word(const std::string& text) {
  OptionValue value;
  value.kind = Kind::string;
  value.string = text;
  return value;
}

OptionValue words(const std::vector<std::string>& list) {
  OptionValue value;
  value.kind = Kind::list;
  value.list = list;
  return value;
}

OptionValue flag(bool boolean) {
  OptionValue value;
  value.kind = Kind::boolean;
  value.boolean = boolean;
  return value;
}

OptionValue number(std::int64_t integer) {
  OptionValue value;
  value.kind = Kind::integer;
  value.integer = integer;
  return value;
}

Port named(const std::string& name) {
  Port port;
  port.name = name;
  return port;
}

std::string error_of(const Options& options) {
  try {
    apply_options(named("vm1"), options);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

Port guest(const std::string& name, const std::string& device) {
  Port port = named(name);
  port.device = device;
  port.any_mac = port.any_ip = true;
  return port;
}

// ---- one port ----

TEST(Check, AGuestIsBound) {
  const std::string device = "[port.vm1]\ndevice = \"tap1\"\n";
  const std::string need =
      "b.toml:1:1: port vm1: a guest needs `mac` and `ip` (or \"any\"); say trusted = true to give "
      "up isolation";
  EXPECT_EQ(error_of(device), need);
  EXPECT_EQ(error_of(device + "mac = \"any\"\n"), need);
  EXPECT_EQ(error_of(device + "ip = \"any\"\n"), need);
  EXPECT_EQ(error_of(device + "trusted = false\n"), need);
  EXPECT_EQ(error_of(device + "mac = \"any\"\nip = \"any\"\n"), "");
  EXPECT_EQ(error_of(device + "trusted = true\n"), "");
  EXPECT_EQ(error_of(device + "trusted = true\nmac = \"52:54:00:00:00:01\"\n"), "");
  EXPECT_EQ(error_of(device + "trusted = true\nip = \"10.0.0.1/8\"\n"), "");
}

TEST(Check, APortHasADevice) {
  EXPECT_EQ(error_of("\n [port.vm1]\ntrusted = true\n"),
            "b.toml:2:2: port vm1: `device` is missing; name a network device, such as device = "
            "\"tap1\"");
}

TEST(Check, TransitIsForTrustedPorts) {
  EXPECT_EQ(error_of("[port.vm1]\ndevice = \"t\"\nmac = \"any\"\nip = \"any\"\ntransit = true\n"),
            "b.toml:1:1: port vm1: transit = true is for trusted ports; remove it");
  EXPECT_EQ(error_of("[port.vm1]\ndevice = \"t\"\ntrusted = true\ntransit = true\n"), "");
}

TEST(Check, MacMaxIsForPortsThatLearn) {
  const std::string rest = "device = \"t\"\nip = \"any\"\nmac_max = 5\n";
  const std::string error =
      "b.toml:1:1: port vm1: mac_max is for ports that learn, and this one has a `mac` list; "
      "remove "
      "it";
  EXPECT_EQ(error_of("[port.vm1]\nmac = \"52:54:00:00:00:01\"\n" + rest), error);
  EXPECT_EQ(error_of("[port.vm1]\ntrusted = true\nmac = \"52:54:00:00:00:01\"\n" + rest), error);
  EXPECT_EQ(error_of("[port.vm1]\nmac = \"any\"\n" + rest), "");
  EXPECT_EQ(error_of("[port.vm1]\ntrusted = true\n" + rest), "");
}

/// A guest with a MAC, and these lines.
std::string error_in_guest(const std::string& lines) {
  return error_of("[port.vm1]\ndevice = \"tap1\"\nmac = \"52:54:00:00:00:01\"\n" + lines);
}

TEST(Check, AWorkerIsOneThatThereIs) {
  const std::string rest = "device = \"t\"\nmac = \"52:54:00:00:00:01\"\nip = \"any\"\n";
  EXPECT_EQ(error_of("[port.vm1]\n" + rest + "worker = 1\n"),
            "b.toml:1:1: port vm1: worker = 1, and there is only worker 0; raise `workers` or "
            "remove it");
  const std::string three = "[bulkhead]\nworkers = 3\n[port.vm1]\n" + rest;
  EXPECT_EQ(error_of(three + "worker = 2\n"), "");
  EXPECT_EQ(error_of(three + "worker = 3\n"),
            "b.toml:3:1: port vm1: worker = 3, and there are workers 0 to 2; choose one of them or "
            "raise `workers`");
  EXPECT_EQ(error_of(three + "worker = 16\n"),
            "b.toml:7:10: port vm1: worker must be 0 to 15, not 16");
}

TEST(Check, PortsThatClaimAddressesShareAWorker) {
  const auto text = [](const std::string& second) {
    return "[bulkhead]\nworkers = 2\n[port.vm1]\ndevice = \"t\"\nmac = \"any\"\nip = \"any\"\n"
           "link_local = \"any\"\nworker = 0\n[port.vm2]\ndevice = \"u\"\nmac = \"any\"\n"
           "ip = \"any\"\nlink_local = \"any\"\n" +
           second;
  };
  EXPECT_EQ(error_of(text("worker = 1\n")),
            "b.toml:9:1: port vm2: worker = 1, and port vm1 has 0: ports of one segment with "
            "link_local = \"any\" share a worker; say the same for both");
  EXPECT_EQ(error_of(text("worker = 0\n")), "");
  EXPECT_EQ(error_of(text("worker = 1\nsegment = \"other\"\n")), "");
  EXPECT_EQ(error_of(text("")), "");
}

TEST(Check, AnEmptyIpNeedsAddressesElsewhere) {
  const std::string nothing =
      "b.toml:1:1: port vm1: ip = [] leaves the port without an address; give it `ip`, `prefixes`, "
      "`routes` or `shared` addresses, or say ip = \"any\"";
  const std::string unsaid =
      "b.toml:1:1: port vm1: a guest needs `ip`; say ip = [] if all its addresses are in "
      "`prefixes`, `routes` and `shared`";
  EXPECT_EQ(error_in_guest("ip = []\n"), nothing);
  EXPECT_EQ(error_in_guest("ip = \"\"\n"), nothing);
  EXPECT_EQ(error_in_guest("ip = []\ntrusted = true\n"), nothing);
  EXPECT_EQ(error_in_guest("ip = []\nshared = [\"00:00:5e:00:01:01\"]\n"), nothing);
  for (const std::string other : {"prefixes = [\"2001:db8::/64\"]\n", "routes = [\"10.0.0.0/8\"]\n",
                                  "shared = [\"10.0.0.1\"]\n"}) {
    EXPECT_EQ(error_in_guest("ip = []\n" + other), "");
    EXPECT_EQ(error_in_guest(other), unsaid);
    EXPECT_EQ(error_of("[port.vm1]\ndevice = \"tap1\"\nip = []\n" + other),
              "b.toml:1:1: port vm1: a guest needs `mac` and `ip` (or \"any\"); say trusted = true "
              "to give up isolation");
  }
}

TEST(Check, RoutesAreForBoundGuests) {
  const std::string routes = "routes = [\"0.0.0.0/0\"]\n";
  EXPECT_EQ(error_in_guest("ip = \"any\"\n" + routes),
            "b.toml:1:1: port vm1: routes adds nothing to ip = \"any\"; remove one of them");
  EXPECT_EQ(error_in_guest("trusted = true\n" + routes),
            "b.toml:1:1: port vm1: routes is for guests, a trusted port may send from every "
            "address; remove it");
  EXPECT_EQ(error_in_guest("ip = \"10.0.0.1/8\"\n" + routes), "");
}

TEST(Check, TrustedPortsMayOwnShareAndBeLimited) {
  EXPECT_EQ(
      error_in_guest("trusted = true\nlink_local = \"any\"\n"),
      "b.toml:1:1: port vm1: link_local = \"any\" is for guests, a trusted port may use every "
      "one; remove it");
  for (const std::string line :
       {"prefixes = [\"10.0.0.0/8\"]\n", "shared = [\"10.0.0.1\"]\n", "allow = [\"router\"]\n",
        "limit = { broadcast = 5 }\n", "link_local = [\"fe80::1\"]\n", "enforce = false\n"}) {
    EXPECT_EQ(error_in_guest("trusted = true\n" + line), "");
  }
  const Config config =
      parse("[port.u]\ndevice = \"u\"\ntrusted = true\nlimit = { broadcast = 5 }\n", "b.toml");
  EXPECT_EQ(config.ports.at("u").limits(),
            (Limit{.broadcast = 5, .multicast = {}, .arp_nd = {}, .dhcp = {}}));
}

TEST(Check, WhatIsSharedIsNotAPortsOwn) {
  const auto error = [](const std::string& own, const std::string& shared) {
    return error_in_guest("ip = \"10.0.0.1/8\"\n" + own + "shared = [\"" + shared + "\"]\n");
  };
  const auto refusal = [](const std::string& shared) {
    return "b.toml:1:1: port vm1: shared " + shared +
           " is bound as the port's own too; remove it from one of them";
  };
  EXPECT_EQ(error("", "52-54-00-00-00-01"), refusal("52:54:00:00:00:01"));
  EXPECT_EQ(error("", "10.0.0.1/16"), refusal("10.0.0.1/16"));
  EXPECT_EQ(error("prefixes = [\"10.0.0.2/32\"]\n", "10.0.0.2"), refusal("10.0.0.2/32"));
  EXPECT_EQ(error("link_local = \"fe80::1\"\n", "fe80::1/64"), refusal("fe80::1/64"));
  EXPECT_EQ(error("", "fe80::5054:ff:fe00:1"), refusal("fe80::5054:ff:fe00:1/128"));
  EXPECT_EQ(error("link_local = \"any\"\n", "fe80::5054:ff:fe00:1"), "");
  EXPECT_EQ(error("", "10.0.0.2"), "");
  EXPECT_EQ(error("", "00:00:5e:00:01:01"), "");
}

TEST(Check, APortsOwnPrefixNeedsNoRoute) {
  const std::string ip = "ip = \"10.0.0.1/8\"\nprefixes = [\"10.1.0.0/16\"]\n";
  EXPECT_EQ(error_in_guest(ip + "routes = [\"10.1.0.0/16\"]\n"),
            "b.toml:1:1: port vm1: 10.1.0.0/16 is in `prefixes` and `routes`; the port's own needs "
            "no route, remove that");
  EXPECT_EQ(error_in_guest(ip + "routes = [\"10.0.0.0/8\"]\n"), "");
}

TEST(Check, NamesOfPortsAndSegments) {
  const std::string rest = "]\ndevice = \"t\"\ntrusted = true\n";
  EXPECT_EQ(error_of("[port." + std::string(32, 'a') + rest), "");
  EXPECT_EQ(error_of("[port.\"A-z_0.9\"" + rest), "");
  const std::string rule = ": a name is 1 to 32 letters, digits, '_', '.' or '-'";
  EXPECT_EQ(error_of("[port.\"a b\"" + rest), "b.toml:1:1: port \"a b\"" + rule);
  EXPECT_EQ(error_of("[port.\"\"" + rest), "b.toml:1:1: port \"\"" + rule);
  EXPECT_EQ(error_of("[port.\"a\\nb\"" + rest), "b.toml:1:1: port \"a\\x0ab\"" + rule);
  const std::string name(33, 'a');
  EXPECT_EQ(error_of("[port." + name + rest), "b.toml:1:1: port \"" + name + "\"" + rule);
  EXPECT_EQ(error_of("\n[segment.\"a/b\"]\n"), "b.toml:2:1: segment \"a/b\"" + rule);
}

// ---- between ports ----

std::string two_guests(const std::string& first, const std::string& second) {
  return "[port.vm2]\ndevice = \"tap2\"\n" + first + "\n[port.vm1]\ndevice = \"tap1\"\n" + second;
}

TEST(Check, AMacHasOnePortInASegment) {
  const std::string mac = "ip = \"any\"\nmac = [\"52:54:00:00:00:09\", \"52:54:00:00:00:01\"]\n";
  const std::string same = "ip = \"any\"\nmac = \"52-54-00-00-00-01\"\n";
  // The later one in the file is told, whatever the names are.
  EXPECT_EQ(
      error_of(two_guests(mac, same)),
      "b.toml:6:1: port vm1: mac 52:54:00:00:00:01 already belongs to port vm2; a MAC has one "
      "port in a segment, unless both list it in `shared`");
  EXPECT_EQ(error_of(two_guests(mac, same + "segment = \"lan\"\n")), "");
  EXPECT_EQ(
      error_of(two_guests(mac + "segment = \"lan\"\n", same + "segment = \"lan\"\n")),
      "b.toml:7:1: port vm1: mac 52:54:00:00:00:01 already belongs to port vm2; a MAC has one "
      "port in a segment, unless both list it in `shared`");
  EXPECT_NE(error_of(two_guests(mac, same + "trusted = true\n")), "");
}

TEST(Check, AnAddressHasOnePortInASegment) {
  const std::string ip = "mac = \"any\"\nip = \"192.168.50.13/24\"\n";
  const std::string same = "mac = \"any\"\nip = [\"2001:db8::1\", \"192.168.50.13/16\"]\n";
  EXPECT_EQ(error_of(two_guests(ip, same)),
            "b.toml:6:1: port vm1: ip 192.168.50.13/16 already belongs to port vm2; an address has "
            "one port in a segment, unless both list it in `shared`");
  EXPECT_EQ(error_of(two_guests(ip, same + "segment = \"lan\"\n")), "");
  // An IPv6 address that begins with the bytes of an IPv4 address is another one.
  EXPECT_EQ(error_of(two_guests(ip, "mac = \"any\"\nip = \"c0a8:320d::\"\n")), "");
}

TEST(Check, SharedIsSharedByAllWhoSayIt) {
  const std::string any = "mac = \"any\"\nip = \"any\"\n";
  const std::string shared = any + "shared = [\"00:00:5e:00:01:01\", \"10.0.0.1/8\"]\n";
  EXPECT_EQ(error_of(two_guests(shared, shared)), "");
  EXPECT_EQ(error_of(two_guests(shared, shared + "trusted = true\n")), "");
  EXPECT_EQ(error_of(two_guests(shared, "mac = \"any\"\nip = \"10.0.0.1/24\"\n")),
            "b.toml:7:1: port vm1: ip 10.0.0.1/24 already belongs to port vm2; an address has one "
            "port in a segment, unless both list it in `shared`");
  EXPECT_EQ(error_of(two_guests("mac = \"any\"\nip = \"10.0.0.1/24\"\n", shared)),
            "b.toml:6:1: port vm1: shared 10.0.0.1/8 already belongs to port vm2; an address has "
            "one port in a segment, unless both list it in `shared`");
  EXPECT_EQ(error_of(two_guests("mac = \"00:00:5e:00:01:01\"\nip = \"any\"\n", shared)),
            "b.toml:6:1: port vm1: shared 00:00:5e:00:01:01 already belongs to port vm2; a MAC has "
            "one port in a segment, unless both list it in `shared`");
  EXPECT_EQ(error_of(two_guests(shared, any + "segment = \"lan\"\n")), "");
}

TEST(Check, APrefixHasOnePortInASegment) {
  const std::string any = "mac = \"any\"\nip = \"any\"\n";
  const std::string own = any + "prefixes = [\"10.1.0.0/16\"]\n";
  EXPECT_EQ(error_of(two_guests(own, own)),
            "b.toml:7:1: port vm1: prefixes 10.1.0.0/16 already belongs to port vm2; a prefix has "
            "one port in a segment");
  EXPECT_EQ(error_of(two_guests(own, own + "segment = \"lan\"\n")), "");
  // The longest prefix decides, so one within another is no clash; routes own nothing.
  EXPECT_EQ(error_of(two_guests(own, any + "prefixes = [\"10.1.0.0/17\"]\n")), "");
  EXPECT_EQ(error_of(two_guests(own, "mac = \"any\"\nip = \"10.1.0.1/16\"\n")), "");
  const std::string gateway = "mac = \"any\"\nip = []\nroutes = [\"10.1.0.0/16\"]\n";
  EXPECT_EQ(error_of(two_guests(own, gateway)), "");
  EXPECT_EQ(error_of(two_guests(gateway, gateway)), "");
  // A prefix of full length is an address.
  EXPECT_EQ(error_of(two_guests("mac = \"any\"\nip = \"10.1.0.1/16\"\n",
                                any + "prefixes = [\"10.1.0.1/32\"]\n")),
            "b.toml:6:1: port vm1: prefixes 10.1.0.1/32 already belongs to port vm2; a prefix has "
            "one port in a segment");
}

TEST(Check, LinkLocalAddressesHaveOnePortInASegment) {
  const std::string any = "ip = \"any\"\n";
  const std::string list = "mac = \"any\"\nlink_local = [\"fe80::5054:ff:fe00:1\"]\n" + any;
  const std::string mac = "mac = \"52:54:00:00:00:01\"\n" + any;
  EXPECT_EQ(
      error_of(two_guests(list, list)),
      "b.toml:7:1: port vm1: link_local fe80::5054:ff:fe00:1/128 already belongs to port vm2; "
      "an address has one port in a segment, unless both list it in `shared`");
  // The EUI-64 of a bound MAC is as good as written there.
  EXPECT_EQ(
      error_of(two_guests(mac, list)),
      "b.toml:6:1: port vm1: link_local fe80::5054:ff:fe00:1/128 already belongs to port vm2; "
      "an address has one port in a segment, unless both list it in `shared`");
  EXPECT_EQ(error_of(two_guests(list, mac)),
            "b.toml:7:1: port vm1: link-local address fe80::5054:ff:fe00:1/64 already belongs to "
            "port vm2; list what this port uses instead in `link_local`");
  EXPECT_EQ(error_of(two_guests(list, mac + "link_local = \"any\"\n")), "");
  EXPECT_EQ(error_of(two_guests(list, mac + "link_local = \"fe80::2\"\n")), "");
}

TEST(Check, ADeviceAttachesOnePort) {
  const std::string text =
      "[port.a]\ndevice = \"tap1\"\ntrusted = true\n"
      "[port.b]\ndevice = \"tap1\"\ntrusted = true\nsegment = \"other\"\n";
  EXPECT_EQ(
      error_of(text),
      "b.toml:4:1: port b: device tap1 already belongs to port a; a device attaches one port");
}

TEST(Check, WhatCameByCommandCameLast) {
  Config config = parse(two_guests("trusted = true", "trusted = true"), "b.toml");
  config.ports["added"] = guest("added", "tap1");
  EXPECT_EQ(error_of(config),
            "port added: device tap1 already belongs to port vm1; a device attaches one port");
}

TEST(Check, PlacesNeedAFile) {
  Config config = parse("[port.vm1]\ndevice = \"t\"\ntrusted = true\n", "b.toml");
  config.ports["vm1"].trusted = false;
  EXPECT_EQ(error_of(config).substr(0, 22), "b.toml:1:1: port vm1: ");
  config.file.clear();
  EXPECT_EQ(error_of(config).substr(0, 10), "port vm1: ");
}

TEST(Check, StaticAddressesAreForPortsThatLearn) {
  const std::string ports =
      "[port.up]\ndevice = \"e\"\ntrusted = true\n"
      "[port.vm]\ndevice = \"t\"\nmac = \"52:54:00:00:00:01\"\nip = \"any\"\n"
      "shared = \"52:54:00:00:00:03\"\n"
      "[port.far]\ndevice = \"f\"\ntrusted = true\nsegment = \"far\"\n";
  const auto error = [&](const std::string& mac, const std::string& port) {
    return error_of(ports +
                    "[[fdb]]\nmac = \"52:54:00:00:00:02\"\nport = \"up\"\n[[fdb]]\nmac = \"" + mac +
                    "\"\nport = \"" + port + "\"\n");
  };
  const std::string where = "b.toml:16:1: address 52:54:00:00:00:0";
  const std::string remove = " of the same segment; remove one of them";
  EXPECT_EQ(error("52:54:00:00:00:04", "up"), "");
  EXPECT_EQ(error("52:54:00:00:00:01", "far"), "");
  EXPECT_EQ(error("52:54:00:00:00:02", "far"), "");
  EXPECT_EQ(error("52:54:00:00:00:01", "up"), where + "1: is bound to port vm" + remove);
  EXPECT_EQ(error("52:54:00:00:00:03", "up"), where + "3: is shared by port vm" + remove);
  EXPECT_EQ(error("52:54:00:00:00:02", "up"), where + "2: is static on port up" + remove);
  EXPECT_EQ(error("52:54:00:00:00:04", "vm"),
            where +
                "4: port vm has a MAC list; add it there (port set --mac), or name a port that "
                "learns");
  EXPECT_EQ(error("52:54:00:00:00:04", "who"),
            where + "4: there is no port who; name one that learns");
}

TEST(Check, StaticAddressesAreLimited) {
  Config config;
  config.ports["u"] = guest("u", "u");
  for (std::uint64_t i = 1; i <= kStaticsMax; ++i) config.statics.push_back({MacAddress{i}, "u"});
  EXPECT_EQ(error_of(config), "");
  config.statics.push_back({MacAddress{0x0200'0000'0000}, "u"});
  EXPECT_EQ(error_of(config), "address 02:00:00:00:00:00: one too many; at most 65536 are allowed");
}

TEST(Check, OverruledStaticAddressesCanBeRemoved) {
  Config config;
  config.ports["u"] = guest("u", "u");
  config.ports["w"] = guest("w", "w");
  config.statics = {{MacAddress{2}, "u"}, {MacAddress{4}, "w"}, {MacAddress{6}, "x"}};
  config.ports["w"].any_mac = false;
  config.ports["w"].macs = {MacAddress{8}};
  EXPECT_EQ(remove_overruled_statics(config).size(), 2U);
  ASSERT_EQ(config.statics.size(), 1U);
  EXPECT_EQ(config.statics[0].mac, MacAddress{2});
  config.ports["w"].macs = {MacAddress{2}};
  EXPECT_EQ(remove_overruled_statics(config),
            std::vector<std::string>{"address 00:00:00:00:00:02: is bound to port w of the same "
                                     "segment; remove one of them"});
  EXPECT_TRUE(remove_overruled_statics(config).empty());
}

TEST(Check, PortsAndSegmentsAreLimited) {
  Config config;
  for (int i = 0; i < 1024; ++i) {
    const std::string name = "p" + std::to_string(i);
    config.ports[name] = guest(name, name);
  }
  EXPECT_EQ(error_of(config), "");
  config.ports["z"] = guest("z", "z");
  EXPECT_EQ(error_of(config), "port z: one port too many; at most 1024 are allowed");

  config.ports.clear();
  for (int i = 0; i < 1024; ++i) config.segments["s" + std::to_string(i)];
  EXPECT_EQ(error_of(config), "");
  config.segments["z"];
  EXPECT_EQ(error_of(config), "segment z: one segment too many; at most 1024 are allowed");
}

TEST(AddMissingSegments, MakesThemWithDefaultsAndKeepsTheOthers) {
  Config config;
  config.segments["lan"].ageing = std::chrono::seconds(7);
  config.ports["a"].segment = "lan";
  config.ports["b"].segment = "wan";
  add_missing_segments(config);
  EXPECT_EQ(config.segments.size(), 3U);
  EXPECT_EQ(config.segments.at("lan").ageing, std::chrono::seconds(7));
  EXPECT_EQ(config.segments.at("wan").name, "wan");
  EXPECT_EQ(config.segments.at("default").name, "default");
}

// ---- by command ----

TEST(ApplyOptions, TakesEveryKey) {
  const Port port =
      apply_options(named("vm1"), {{"segment", word("lan")},
                                   {"device", word("tap1")},
                                   {"attach", word("xdp")},
                                   {"mac", words({"52:54:00:00:00:01", "52:54:00:00:00:02"})},
                                   {"ip", word("10.0.0.1/8")},
                                   {"mac_max", number(9)},
                                   {"trusted", flag(true)},
                                   {"isolated", flag(true)},
                                   {"enforce", flag(false)},
                                   {"prefixes", word("10.1.0.0/16")},
                                   {"routes", words({"::/0"})},
                                   {"link_local", word("any")},
                                   {"shared", words({"10.0.0.2", "00:00:5e:00:01:01"})},
                                   {"allow", words({"router", "routing"})},
                                   {"limit", word("broadcast=none")},
                                   {"unknown", flag(false)},
                                   {"transit", flag(true)},
                                   {"take_over", flag(true)}});
  EXPECT_EQ(port.name, "vm1");
  EXPECT_EQ(port.attach, Attach::xdp);
  EXPECT_EQ(port.segment, "lan");
  EXPECT_EQ(port.device, "tap1");
  EXPECT_EQ(port.macs.size(), 2U);
  EXPECT_EQ(port.addresses.size(), 1U);
  EXPECT_EQ(port.prefixes, std::vector{parse_prefix("10.1.0.0/16").value()});
  EXPECT_EQ(port.routes, std::vector{parse_prefix("::/0").value()});
  EXPECT_EQ(port.link_local, LinkLocal::any);
  EXPECT_EQ(port.shared_macs.size(), 1U);
  EXPECT_EQ(port.shared_addresses.size(), 1U);
  EXPECT_EQ(port.allow, (std::set{Role::router, Role::routing}));
  EXPECT_EQ(port.limits(), Limit{});
  EXPECT_FALSE(port.enforce);
  EXPECT_EQ(port.mac_max, 9U);
  EXPECT_EQ(port.unknown, false);
  EXPECT_TRUE(port.trusted && port.isolated && port.transit && port.take_over);
}

TEST(ApplyOptions, ReplacesWhatIsSaidAndKeepsTheRest) {
  Port port = apply_options(
      named("vm1"),
      {{"device", word("tap1")}, {"mac", word("52:54:00:00:00:01")}, {"ip", word("any")}});
  port.position = {7, 1};
  const Port any = apply_options(port, {{"mac", words({"any"})}, {"ip", word("10.0.0.1/8")}});
  EXPECT_TRUE(any.any_mac && any.macs.empty());
  EXPECT_TRUE(!any.any_ip && any.addresses.size() == 1);
  EXPECT_EQ(any.device, "tap1");
  EXPECT_EQ(any.position, (Position{7, 1}));
  const Port bound = apply_options(any, {{"mac", word("52:54:00:00:00:02")}});
  EXPECT_FALSE(bound.any_mac);
  EXPECT_EQ(bound.macs, std::vector{parse_mac("52:54:00:00:00:02").value()});
}

TEST(ApplyOptions, RefusesWithoutAPlace) {
  EXPECT_EQ(error_of(Options{{"ip", words({"10.0.0.1", "192.168.50.300"})}}),
            "port vm1: ip \"192.168.50.300\" is not an address");
  EXPECT_EQ(error_of(Options{{"macc", flag(true)}}),
            "port vm1: unknown key \"macc\"; did you mean \"mac\"?");
  EXPECT_EQ(error_of(Options{{"trusted", word("yes")}}),
            "port vm1: trusted must be true or false, not \"yes\"");
  EXPECT_EQ(error_of(Options{{"mac_max", number(0)}}),
            "port vm1: mac_max must be 1 to 65536, not 0");
  OptionValue other;
  other.kind = Kind::other;
  EXPECT_EQ(error_of(Options{{"device", other}}),
            "port vm1: device must be a network device's name: 1 to 15 bytes without '/', ':' and "
            "white space, not a value of another kind");
  for (const std::string key : {"vhost", "vhost_mode"}) {
    EXPECT_EQ(error_of(Options{{key, word("x")}}),
              "port vm1: `" + key + "` is not supported yet; remove it");
  }
}

TEST(ApplyOptions, LimitComesAsWordsAndMergesByKind) {
  Port port = apply_options(named("vm1"), {{"limit", words({"broadcast=100", "arp_nd=none"})}});
  EXPECT_EQ(port.limits(), (Limit{.broadcast = 100, .multicast = 2000, .arp_nd = {}, .dhcp = 50}));
  port = apply_options(port, {{"limit", word("dhcp=0")}});
  EXPECT_EQ(port.limits(), (Limit{.broadcast = 100, .multicast = 2000, .arp_nd = {}, .dhcp = 0}));
  port = apply_options(port, {{"trusted", flag(true)}});
  EXPECT_EQ(port.limits(), (Limit{.broadcast = 100, .multicast = {}, .arp_nd = {}, .dhcp = 0}));
  port = apply_options(port, {{"limit", word("")}});
  EXPECT_EQ(port.limits(), Limit{});
  port = apply_options(port, {{"trusted", flag(false)}});
  EXPECT_EQ(port.limits(), kGuestLimit);

  OptionValue table;
  table.kind = Kind::table;
  table.table = {{"multicast", number(3)}, {"dhcp", word("none")}};
  EXPECT_EQ(apply_options(port, {{"limit", table}}).limits(),
            (Limit{.broadcast = 500, .multicast = 3, .arp_nd = 500, .dhcp = {}}));
}

TEST(ApplyOptions, RefusesWordsOfLimitByName) {
  const auto error = [](const std::vector<std::string>& list) {
    return error_of(Options{{"limit", words(list)}});
  };
  EXPECT_EQ(error({"broadcast"}),
            "port vm1: limit \"broadcast\" lacks its rate; write it as broadcast=500 or "
            "broadcast=none");
  EXPECT_EQ(error({"dhcp=1", "dhcp=2"}),
            "port vm1: limit \"dhcp=2\" is of a kind that is given twice; remove one");
  EXPECT_EQ(error({"arp-nd=1"}),
            "port vm1: limit: unknown key \"arp-nd\"; did you mean \"arp_nd\"?");
  const std::string rate = "port vm1: limit: dhcp must be 0 to 10000000 or \"none\", not ";
  EXPECT_EQ(error({"dhcp=-1"}), rate + "-1");
  EXPECT_EQ(error({"dhcp=1k"}), rate + "\"1k\"");
  EXPECT_EQ(error({"dhcp="}), rate + "\"\"");
  EXPECT_EQ(error({"dhcp=99999999999999999999"}), rate + "\"99999999999999999999\"");
}

TEST(ApplyOptions, TheEmptyWordEmptiesAList) {
  const Port full =
      apply_options(named("vm1"), {{"ip", word("10.0.0.1/8")},
                                   {"prefixes", word("10.1.0.0/16")},
                                   {"routes", words({"10.2.0.0/16"})},
                                   {"link_local", word("fe80::1")},
                                   {"shared", words({"10.0.0.2", "02:00:00:00:00:01"})},
                                   {"allow", word("router")}});
  const Port bare = apply_options(full, {{"ip", word("")},
                                         {"prefixes", word("")},
                                         {"routes", words({})},
                                         {"link_local", word("mac")},
                                         {"shared", word("")},
                                         {"allow", word("")}});
  EXPECT_FALSE(full.no_ip);
  EXPECT_TRUE(bare.no_ip && bare.addresses.empty());
  EXPECT_TRUE(bare.prefixes.empty() && bare.routes.empty() && bare.allow.empty());
  EXPECT_TRUE(bare.link_local == LinkLocal::mac && bare.link_locals.empty());
  EXPECT_TRUE(bare.shared_macs.empty() && bare.shared_addresses.empty());
  EXPECT_FALSE(apply_options(bare, {{"ip", word("any")}}).no_ip);
}

TEST(OptionKind, SaysWhatAKeyTakes) {
  EXPECT_EQ(option_kind("trusted"), Kind::boolean);
  EXPECT_EQ(option_kind("mac_max"), Kind::integer);
  EXPECT_EQ(option_kind("device"), Kind::string);
  EXPECT_EQ(option_kind("ip"), Kind::list);
  EXPECT_EQ(option_kind("shared"), Kind::list);
  EXPECT_EQ(option_kind("limit"), Kind::table);
  EXPECT_EQ(option_kind("vhost"), Kind::other);
  EXPECT_EQ(option_kind("macc"), std::nullopt);
}

TEST(OptionHelp, SaysOfEveryOptionWhatItIsInALine) {
  for (const std::string& key : port_option_names()) {
    const OptionHelp help = option_help(key);
    EXPECT_FALSE(help.text.empty()) << key;
    EXPECT_EQ(help.text.find('\n'), std::string::npos) << key;
    EXPECT_EQ(help.argument.empty(), option_kind(key) == Kind::boolean) << key;
  }
  EXPECT_EQ(option_help("macc").text, "");
}

TEST(SameAs, ComparesEverythingButThePosition) {
  const Port port = guest("vm1", "tap1");
  Port other = port;
  other.position = {3, 4};
  EXPECT_TRUE(port.same_as(other));
  const std::vector<void (*)(Port&)> changes = {
      [](Port& p) { p.name = "x"; },
      [](Port& p) { p.segment = "x"; },
      [](Port& p) { p.device = "x"; },
      [](Port& p) { p.any_mac = false; },
      [](Port& p) { p.macs.push_back({}); },
      [](Port& p) { p.any_ip = false; },
      [](Port& p) { p.addresses.push_back({}); },
      [](Port& p) { p.trusted = true; },
      [](Port& p) { p.isolated = true; },
      [](Port& p) { p.transit = true; },
      [](Port& p) { p.take_over = true; },
      [](Port& p) { p.unknown = false; },
      [](Port& p) { p.mac_max = 1; },
      [](Port& p) { p.no_ip = true; },
      [](Port& p) { p.prefixes.push_back({}); },
      [](Port& p) { p.routes.push_back({}); },
      [](Port& p) { p.link_local = LinkLocal::any; },
      [](Port& p) { p.link_locals.push_back({}); },
      [](Port& p) { p.shared_macs.push_back({}); },
      [](Port& p) { p.shared_addresses.push_back({}); },
      [](Port& p) { p.allow.insert(Role::vrrp); },
      [](Port& p) { p.limit.broadcast = 1; },
      [](Port& p) { p.limit.multicast = 1; },
      [](Port& p) { p.limit.arp_nd = 1; },
      [](Port& p) { p.limit.dhcp.emplace(); },
      [](Port& p) { p.enforce = false; },
  };
  for (const auto change : changes) {
    Port changed = port;
    change(changed);
    EXPECT_FALSE(port.same_as(changed));
  }
}

}  // namespace
}  // namespace bulkhead::config
