// Configurations as text: what is written reads back as the same, whatever is in it.
#include <gtest/gtest.h>

#include <random>

#include "config/config.hpp"

namespace bulkhead::config {
namespace {

/// What `left` and `right` disagree about, or nothing; places do not count.
std::string difference(const Config& left, const Config& right) {
  const bool same_daemon = left.socket == right.socket && left.state == right.state &&
                           left.workers == right.workers && left.cpus == right.cpus &&
                           left.poll == right.poll && left.log == right.log;
  if (!same_daemon) return "[bulkhead]";
  const auto same_segment = [](const auto& a, const auto& b) {
    return a.first == b.first && a.second.name == b.second.name &&
           a.second.ageing == b.second.ageing && a.second.mac_limit == b.second.mac_limit;
  };
  if (!std::equal(left.segments.begin(), left.segments.end(), right.segments.begin(),
                  right.segments.end(), same_segment)) {
    return "segments";
  }
  const auto same_port = [](const auto& a, const auto& b) { return a.second.same_as(b.second); };
  if (!std::equal(left.ports.begin(), left.ports.end(), right.ports.begin(), right.ports.end(),
                  same_port)) {
    return "ports";
  }
  const auto same_static = [](const Static& a, const Static& b) {
    return a.mac == b.mac && a.port == b.port;
  };
  return std::equal(left.statics.begin(), left.statics.end(), right.statics.begin(),
                    right.statics.end(), same_static)
             ? ""
             : "statics";
}

constexpr const char* kEveryKey = R"([bulkhead]
socket = "/tmp/a \"b\"\\c\u0009\u007fé/control.sock"
state = "/var/lib/bulkhead/state"
workers = 2
cpus = [1]
poll = "busy"
log = "debug"

[segment.default]
ageing = "60s"

[segment.lan]

[segment."up.stairs"]
ageing = "3600s"
mac_limit = 7

[port.all]
segment = "lan"
device = "a\"\\é"
mac = ["52:54:00:00:00:01", "52:54:00:00:00:02"]
ip = ["192.168.50.13/24", "2001:db8:50::13/64"]
prefixes = ["10.1.0.0/16"]
routes = ["0.0.0.0/0", "::/0"]
link_local = ["fe80::3/128", "fe80::4/64"]
shared = ["00:00:5e:00:01:07", "192.168.50.1/24"]
allow = ["router", "vrrp"]
limit = { arp_nd = "none", broadcast = 1000, dhcp = 0 }
worker = 1
isolated = true
enforce = false
unknown = true
shortcut = "redirect"
take_over = true

[port."any.thing"]
device = "tap2"
attach = "conduit"
mac = "any"
ip = "any"
link_local = "any"
mac_max = 3
unknown = false
shortcut = false

[port.no_ip]
device = "tap3"
mac = ["52:54:00:00:00:03"]
ip = []
prefixes = ["2001:db8:1::/64"]

[port.uplink]
device = "eth0"
attach = "xdp"
trusted = true
transit = true

[[fdb]]
mac = "52:54:00:00:00:09"
port = "uplink"

[[fdb]]
mac = "52:54:00:00:00:08"
port = "any.thing"
)";

TEST(Write, SaysEveryKeyInOrder) { EXPECT_EQ(to_toml(parse(kEveryKey, "b.toml")), kEveryKey); }

TEST(Write, KnowsEveryKeyOfAPort) {
  for (const std::string& key : port_option_names()) {
    if (option_kind(key) == OptionValue::Kind::other) continue;
    EXPECT_NE(std::string(kEveryKey).find("\n" + key + " = "), std::string::npos) << key;
  }
}

TEST(Write, LeavesDefaultsOut) {
  EXPECT_EQ(to_toml(parse("", "b.toml")), "[bulkhead]\n");
  const std::string text = "[port.u]\nattach = \"auto\"\ndevice = \"eth0\"\ntrusted = true\n";
  EXPECT_EQ(to_toml(parse(text, "b.toml")),
            "[bulkhead]\n\n[port.u]\ndevice = \"eth0\"\ntrusted = true\n");
}

/// Draws ports with whatever keys; what check() refuses is drawn again.
class Draw {
 public:
  explicit Draw(std::uint32_t seed) : random_(seed) {}

  Config config() {
    Config config;
    config.poll = chance() ? Poll::busy : Poll::adaptive;
    if (chance()) config.cpus = {number(1023)};
    if (chance()) config.state = text();
    config.socket = "/" + text();
    config.segments["default"].name = "default";
    for (std::uint32_t i = number(20); i > 0; --i) {
      Config with_one_more = config;
      const Port drawn = port("port" + std::to_string(i) + (chance() ? ".x" : ""));
      with_one_more.ports[drawn.name] = drawn;
      if (drawn.learns() && chance()) {
        with_one_more.statics.push_back(
            {MacAddress{0x0200'0000'0000ULL + number(255)}, drawn.name});
      }
      add_missing_segments(with_one_more);
      for (auto& [name, segment] : with_one_more.segments) {
        if (chance()) segment.ageing = std::chrono::seconds(1 + number(86'399));
        if (chance()) segment.mac_limit = 1 + number(1000);
      }
      try {
        check(with_one_more);
        config = with_one_more;
      } catch (const ConfigError&) {
      }
    }
    return config;
  }

 private:
  bool chance() { return number(1) == 0; }
  std::uint32_t number(std::uint32_t max) {
    return static_cast<std::uint32_t>(random_() % (max + 1));
  }
  std::string text() {
    static const std::vector<std::string> letters = {
        "a", "Z", "\"", "\\", "'", "\n", "\t", "\x01", "\x7f", "é", "€", "😀", "#", "]", "=", "$"};
    std::string result = "x";
    for (std::uint32_t i = number(5); i > 0; --i) result += letters[number(15)];
    return result;
  }
  /// Some of these, each at most once.
  std::vector<std::string> some(const std::vector<std::string>& of) {
    std::vector<std::string> chosen;
    for (const std::string& word : of) {
      if (chance()) chosen.push_back(word);
    }
    return chosen;
  }
  OptionValue list(const std::vector<std::string>& words) {
    OptionValue value;
    value.kind = OptionValue::Kind::list;
    value.list = words;
    return value;
  }
  OptionValue flag() {
    OptionValue value;
    value.kind = OptionValue::Kind::boolean;
    value.boolean = chance();
    return value;
  }
  Port port(const std::string& name) {
    const std::string id = std::to_string(1 + number(200));
    std::map<std::string, OptionValue> options;
    options["segment"] = list({});
    options["segment"].kind = OptionValue::Kind::string;
    options["segment"].string = "s" + std::to_string(number(3)) + (chance() ? ".y" : "");
    options["device"] = options["segment"];
    options["device"].string = "e\"" + id;
    options["mac"] =
        list(chance() ? std::vector<std::string>{"any"}
                      : std::vector<std::string>{"52:54:00:00:00:" + id.substr(0, 1) + "a"});
    options["ip"] =
        list(chance() ? std::vector<std::string>{"any"}
                      : some({"10.0.0." + id + "/24", "2001:db8::" + id, "fd00::1/127"}));
    const std::map<std::string, std::vector<std::string>> lists = {
        {"prefixes", {"10." + id + ".0.0/16", "2001:db8:" + id + "::/48", "fd00::/64"}},
        {"routes", {"0.0.0.0/0", "::/0", "10.99.0.0/16"}},
        {"link_local", {"fe80::" + id, "fe80::1:1/64"}},
        {"shared", {"00:00:5e:00:01:01", "10.77.0.1/24", "fe80::99"}},
        {"allow", {"router", "vrrp", "dhcp-server", "querier", "routing"}},
        {"limit", {"broadcast=" + id, "multicast=none", "arp_nd=0", "dhcp=none"}}};
    for (const auto& [key, words] : lists) {
      const auto chosen = some(words);
      if (!chosen.empty() && chance()) options[key] = list(chosen);
    }
    if (chance()) {
      options["attach"] = options["device"];
      options["attach"].string = chance() ? "xdp" : "conduit";
    }
    for (const char* key : {"trusted", "isolated", "enforce", "unknown", "transit", "take_over"}) {
      if (chance()) options[key] = flag();
    }
    Port port;
    port.name = name;
    return apply_options(port, options);
  }

  std::mt19937 random_;
};

TEST(Write, ReadsBackAsTheSame) {
  std::size_t ports = 0, statics = 0;
  for (std::uint32_t seed = 0; seed < 300; ++seed) {
    const Config config = Draw(seed).config();
    ports += config.ports.size();
    statics += config.statics.size();
    const std::string text = to_toml(config);
    const Config read = parse(text, "b.toml");
    ASSERT_EQ(difference(config, read), "") << text;
    ASSERT_EQ(to_toml(read), text);
  }
  EXPECT_GT(ports, 500U);  // enough of them were sound
  EXPECT_GT(statics, 100U);
}

TEST(Write, TheStateHasWhatIsByCommand) {
  Config config = parse(kEveryKey, "b.toml");
  const std::string comment =
      "# What commands added. bulkheadd reads it at its start, and replaces it.\n";
  EXPECT_EQ(state_to_toml(config), comment);
  config.ports.at("uplink").position = {};
  config.statics[1].position = {};
  EXPECT_EQ(state_to_toml(config),
            comment +
                "\n[port.uplink]\ndevice = \"eth0\"\nattach = \"xdp\"\ntrusted = true\n"
                "transit = true\n"
                "\n[[fdb]]\nmac = \"52:54:00:00:00:08\"\nport = \"any.thing\"\n");
  const Config read = parse_state(state_to_toml(config), "state");
  ASSERT_EQ(read.ports.size(), 1U);
  EXPECT_TRUE(read.ports.at("uplink").same_as(config.ports.at("uplink")));
  EXPECT_TRUE(read.ports.at("uplink").by_command());
  ASSERT_EQ(read.statics.size(), 1U);
  EXPECT_TRUE(read.statics[0].by_command());
}

TEST(Write, AStateHasPortsAndStaticsOnly) {
  const auto error = [](const std::string& text) -> std::string {
    try {
      parse_state(text, "state");
    } catch (const ConfigError& refused) {
      return refused.what();
    }
    return "";
  };
  EXPECT_EQ(error(""), "");
  EXPECT_EQ(error("[bulkhead]\n"), "state:1:2: unknown table \"bulkhead\"; known are port, fdb");
  EXPECT_EQ(error("[port.a]\nmac = 1\n").substr(0, 17), "state:2:7: port a");
  EXPECT_EQ(error("[port.a\n").substr(0, 8), "state:1:");
  EXPECT_EQ(error("[[fdb]]\nport = \"nobody\"\nmac = \"52:54:00:00:00:01\"\n"), "");
}

TEST(StatePath, IsBesideTheSocketUnlessSaid) {
  Config config;
  EXPECT_EQ(state_path(config), "/run/bulkhead/state");
  config.socket = "/tmp/x/y.sock";
  EXPECT_EQ(state_path(config), "/tmp/x/state");
  config.socket = "y.sock";
  EXPECT_EQ(state_path(config), "state");
  config.socket = "/y.sock";
  EXPECT_EQ(state_path(config), "/state");
  config.state = "elsewhere";
  EXPECT_EQ(state_path(config), "elsewhere");
}

}  // namespace
}  // namespace bulkhead::config
