// The policy, one case a line: what becomes of this frame from this port. The same list holds the
// first law: a dropped frame has changed nothing.
#include "dataplane/decide.hpp"

#include <gtest/gtest.h>

#include <sstream>

#include "tests/unit/test_bridge.hpp"

namespace bulkhead {
namespace {

using test::Bytes;
using test::frame;
using test::kArp;
using test::kIpv4;
using test::kIpv6;
using test::kRarp;
using test::mac;
using test::Outcome;
using test::put;
using test::qemu_announcement;
using test::TestBridge;

// a, b       guests bound to 'a'; to 'b' and 'B'
// c, d       isolated guests, bound to 'c', 'd'
// e          a guest bound to 'e', whose unknown = true cannot widen its binding
// m, n       guests that learn; n takes unknown unicast and is isolated
// u, v       uplinks without transit; v is isolated and has the static address 'S'
// q          a trusted port with a MAC list ('q'): takes unknown unicast, does not learn; transit
// w          an uplink with transit that takes no unknown unicast; isolated
// x, y       guests in another segment, where nobody takes unknown unicast
// t          an uplink in a third segment, alone with g, a guest
constexpr const char* kHouse = R"(
[segment.lan]
mac_limit = 6
[port.a]
segment = "lan"
device = "a"
mac = "02:00:00:00:00:61"
ip = "any"
[port.b]
segment = "lan"
device = "b"
mac = ["02:00:00:00:00:62", "02:00:00:00:00:42"]
ip = "any"
[port.c]
segment = "lan"
device = "c"
mac = "02:00:00:00:00:63"
ip = "any"
isolated = true
[port.d]
segment = "lan"
device = "d"
mac = "02:00:00:00:00:64"
ip = "any"
isolated = true
[port.e]
segment = "lan"
device = "e"
mac = "02:00:00:00:00:65"
ip = "any"
unknown = true
[port.m]
segment = "lan"
device = "m"
mac = "any"
ip = "any"
mac_max = 2
[port.n]
segment = "lan"
device = "n"
mac = "any"
ip = "any"
unknown = true
isolated = true
[port.u]
segment = "lan"
device = "u"
trusted = true
[port.v]
segment = "lan"
device = "v"
trusted = true
isolated = true
[port.q]
segment = "lan"
device = "q"
trusted = true
mac = "02:00:00:00:00:71"
transit = true
[port.w]
segment = "lan"
device = "w"
trusted = true
transit = true
unknown = false
isolated = true
[port.x]
segment = "other"
device = "x"
mac = "02:00:00:00:00:78"
ip = "any"
[port.y]
segment = "other"
device = "y"
mac = "any"
ip = "any"
[port.g]
segment = "third"
device = "g"
mac = "any"
ip = "any"
[port.t]
segment = "third"
device = "t"
trusted = true
)";

using Names = std::set<std::string>;
using Refusals = std::map<std::string, std::string>;

Outcome to(const std::string& port) { return {"unicast", "", {port}, {}}; }
Outcome flood(const Names& ports, const Refusals& refused = {}) {
  return {"flood", "", ports, refused};
}
Outcome drop(DropReason reason) { return {"drop", std::string(name_of(reason)), {}, {}}; }
/// It came in well, and its egress port refused it.
Outcome refused(const std::string& port, DropReason reason) {
  return {"unicast", "", {}, {{port, std::string(name_of(reason))}}};
}

const Refusals kNotE = {{"e", "not_addressee"}};
const Names kTakers = {"n", "q", "u", "v"};  // of what nobody has
const Names kFromA = {"b", "c", "d", "e", "m", "n", "q", "u", "v", "w"};
const Names kFromM = {"a", "b", "c", "d", "e", "n", "q", "u", "v", "w"};
const Names kFromU = {"a", "b", "c", "d", "e", "m", "n"};

Bytes announcement_with(std::size_t offset, std::uint64_t value, std::size_t size) {
  Bytes bytes = qemu_announcement(mac('a'));
  put(bytes, offset, value, size);
  return bytes;
}

using D = DropReason;

struct Case {
  const char* name;
  const char* given;  // beforehand: "m:z" m taught 'z'; "S=b" 'S' is static on b; "!b" b is down;
                      // "<b" b's MTU is 100; "~" 'z' moved as often as a second allows, to n
  const char* from;
  Bytes bytes;
  Outcome expected;
  std::size_t split = SIZE_MAX;  // bytes in the first buffer
};

void PrintTo(const Case& a_case, std::ostream* out) { *out << a_case.name; }

const std::vector<Case>& cases() {
  static const std::vector<Case> kCases = {
      // clang-format off: one case a line
      // Check 1
      {"an empty frame", "", "a", frame('b', 'a', kIpv4, 0), drop(D::malformed)},
      {"13 bytes", "", "a", frame('b', 'a', kIpv4, 13), drop(D::malformed)},
      {"13 bytes from an uplink", "", "u", frame('b', 'z', kIpv4, 13), drop(D::malformed)},
      {"a header in two buffers", "", "a", frame('b', 'a'), drop(D::malformed), 13},
      {"a header alone", "", "u", frame('b', 'z', kRarp, 14), to("b")},
      {"a body in two buffers", "", "a", frame('b', 'a'), to("b"), 34},
      {"the longest frame", "", "a", frame('b', 'a', kIpv4, 1514), to("b")},
      {"one byte too long", "", "a", frame('b', 'a', kIpv4, 1515), drop(D::too_big)},
      {"too long from an uplink", "", "u", frame('b', 'z', kIpv4, 1515), drop(D::too_big)},
      {"too long in two buffers", "", "a", frame('b', 'a', kIpv4, 1515), drop(D::too_big), 60},
      // Check 2
      {"from a group", "", "a", frame('b', '+'), drop(D::bad_source)},
      {"from broadcast", "", "m", frame('b', '*'), drop(D::bad_source)},
      {"from zero", "", "m", frame('b', '0'), drop(D::bad_source)},
      {"from its destination", "", "b", frame('b', 'b'), drop(D::bad_source)},
      {"from its destination, stolen", "", "a", frame('b', 'b'), drop(D::bad_source)},
      {"an uplink's from a group", "", "u", frame('b', '+'), drop(D::bad_source)},
      {"an uplink's from zero", "", "u", frame('b', '0'), drop(D::bad_source)},
      {"an uplink's from its destination", "", "u", frame('b', 'b'), drop(D::bad_source)},
      {"not in its list", "", "a", frame('b', 'z'), drop(D::spoofed_mac)},
      {"its second address", "", "b", frame('a', 'B'), to("a")},
      {"another's, from a bound port", "", "a", frame('c', 'b'), drop(D::spoofed_mac)},
      {"another's, from a learning port", "", "m", frame('a', 'b'), drop(D::spoofed_mac)},
      {"another's second, from a learning port", "", "m", frame('a', 'B'), drop(D::spoofed_mac)},
      {"another's, from an uplink", "", "u", frame('a', 'b'), drop(D::spoofed_mac)},
      {"another's, flooded from an uplink", "", "u", frame('*', 'b'), drop(D::spoofed_mac)},
      {"a trusted port's bound, from a guest", "", "m", frame('a', 'q'), drop(D::spoofed_mac)},
      {"another segment's", "", "m", frame('a', 'x'), to("a")},
      {"a listed uplink's own", "", "q", frame('a', 'q'), to("a")},
      {"a listed uplink's from anybody", "", "q", frame('a', 'z'), to("a")},
      {"a listed uplink's from a guest's", "", "q", frame('a', 'b'), drop(D::spoofed_mac)},
      {"a static's own", "S=v", "v", frame('a', 'S'), to("a")},
      {"a static's, from a guest", "S=v", "m", frame('a', 'S'), drop(D::spoofed_mac)},
      {"a static's, from an uplink", "S=v", "u", frame('a', 'S'), drop(D::spoofed_mac)},
      {"a guest's static, from an uplink", "S=m", "u", frame('a', 'S'), drop(D::spoofed_mac)},
      // Check 3
      {"a tag", "", "a", frame('b', 'a', 0x8100), drop(D::tagged)},
      {"a service tag", "", "a", frame('b', 'a', 0x88a8), drop(D::tagged)},
      {"an old tag", "", "a", frame('*', 'a', 0x9100), drop(D::tagged)},
      {"a tag to bridge control", "", "a", frame('#', 'a', 0x8100), drop(D::tagged)},
      {"a tag from an uplink", "", "u", frame('b', 'z', 0x8100), to("b")},
      // Check 4
      {"spanning tree", "", "a", frame('#', 'a', 38), drop(D::control_frame)},
      {"LLDP", "", "m", frame({0x0180'c200'000e}, mac('z'), 0x88cc), drop(D::control_frame)},
      {"CDP", "", "a", frame({0x0100'0ccc'cccc}, mac('a'), 100), drop(D::control_frame)},
      {"PVST+", "", "a", frame({0x0100'0ccc'cccd}, mac('a'), 100), drop(D::control_frame)},
      {"spanning tree from an uplink", "", "u", frame('#', 'z', 38), drop(D::control_frame)},
      {"IPv4 to bridge control", "", "u", frame('#', 'z', kIpv4), drop(D::control_frame)},
      {"headers in two buffers", "", "a", frame('b', 'a'), drop(D::malformed), 33},
      {"just beyond bridge control", "", "a", frame({0x0180'c200'0030}, mac('a')), flood(kFromA)},
      // Check 5
      {"IPv6", "", "a", frame('b', 'a', kIpv6), to("b")},
      {"ARP", "", "a", frame('b', 'a', kArp), to("b")},
      {"a length", "", "a", frame('b', 'a', 46), drop(D::ethertype)},
      {"SNAP", "", "a", frame('b', 'a', 0x05dc), drop(D::ethertype)},
      {"PPPoE", "", "a", frame('b', 'a', 0x8863), drop(D::ethertype)},
      {"MPLS", "", "m", frame('b', 'z', 0x8847), drop(D::ethertype)},
      {"a length from an uplink", "", "u", frame('b', 'z', 46), to("b")},
      {"QEMU's announcement", "", "a", qemu_announcement(mac('a')), flood(kFromA)},
      {"QEMU's announcement of a learner", "", "m", qemu_announcement(mac('z')), flood(kFromM)},
      {"QEMU's announcement of another", "", "a", qemu_announcement(mac('b')),
       drop(D::spoofed_mac)},
      {"RARP for another", "", "a", announcement_with(32, mac('b').value, 6), drop(D::ethertype)},
      {"RARP with an address", "", "a", announcement_with(28, 0x0a000001, 4), drop(D::ethertype)},
      {"RARP to a station", "", "a", announcement_with(0, mac('b').value, 6), drop(D::ethertype)},
      {"a RARP reply", "", "a", announcement_with(20, 4, 2), drop(D::ethertype)},
      {"any RARP from an uplink", "", "u", frame('b', 'z', kRarp), to("b")},
      // Learning
      {"a new address", "", "m", frame('a', 'z'), to("a")},
      {"the second of two", "m:z", "m", frame('a', 'y'), to("a")},
      {"the third of two", "m:z m:y", "m", frame('a', 'k'), drop(D::mac_limit)},
      {"the third of two, flooded", "m:z m:y", "m", frame('*', 'k'), drop(D::mac_limit)},
      {"a move to a full port", "m:z m:y n:k", "m", frame('a', 'k'), drop(D::mac_limit)},
      {"known of two", "m:z m:y", "m", frame('a', 'z'), to("a")},
      {"the segment is full", "u:1 u:2 u:3 u:4 u:5 u:6", "v", frame('a', 'z'), drop(D::mac_limit)},
      {"the segment is full, another's not", "u:1 u:2 u:3 u:4 u:5 u:6", "y", frame('x', 'z'),
       to("x")},
      {"a move in a full segment", "u:1 u:2 u:3 u:4 u:5 n:6", "m", frame('a', '6'), to("a")},
      {"an uplink's, from a guest", "u:z", "m", frame('a', 'z'), drop(D::spoofed_mac)},
      {"an uplink's, from an uplink", "u:z", "v", frame('a', 'z'), to("a")},
      {"a guest's, from an uplink", "m:z", "u", frame('a', 'z'), to("a")},
      {"a guest's, from a guest", "n:z", "m", frame('a', 'z'), to("a")},
      {"the move after too many", "m:z ~", "m", frame('a', 'z'), drop(D::flapping)},
      {"staying after too many moves", "m:z ~", "n", frame('a', 'z'), to("a")},
      {"a move to an uplink after too many", "m:z ~", "u", frame('a', 'z'), drop(D::flapping)},
      {"a static of its own adds nothing", "m:z m:y S=m", "m", frame('a', 'S'), to("a")},
      // Where it goes: a known address
      {"guest to guest", "", "a", frame('b', 'a'), to("b")},
      {"guest to a second address", "", "a", frame('B', 'a'), to("b")},
      {"guest to learner", "m:z", "a", frame('z', 'a'), to("m")},
      {"guest to uplink", "u:z", "a", frame('z', 'a'), to("u")},
      {"guest to a listed uplink", "", "a", frame('q', 'a'), to("q")},
      {"uplink to guest", "", "u", frame('a', 'z'), to("a")},
      {"to a static", "S=v", "a", frame('S', 'a'), to("v")},
      {"to a static on a learner", "S=m", "a", frame('S', 'a'), to("m")},
      {"isolated to isolated", "", "c", frame('d', 'c'), drop(D::isolated)},
      {"isolated to an isolated learner", "n:z", "c", frame('z', 'c'), drop(D::isolated)},
      {"isolated to an isolated uplink", "v:z", "c", frame('z', 'c'), drop(D::isolated)},
      {"isolated to guest", "", "c", frame('a', 'c'), to("a")},
      {"guest to isolated", "", "a", frame('c', 'a'), to("c")},
      {"isolated to uplink", "u:z", "c", frame('z', 'c'), to("u")},
      {"uplink to isolated", "", "u", frame('c', 'z'), to("c")},
      {"uplink to uplink", "v:y", "u", frame('y', 'z'), drop(D::isolated)},
      {"uplink to a transit uplink", "", "u", frame('q', 'z'), drop(D::isolated)},
      {"a transit uplink to uplink", "u:y", "q", frame('y', 'q'), drop(D::isolated)},
      {"transit to transit", "w:y", "q", frame('y', 'q'), to("w")},
      {"transit to transit, back", "", "w", frame('q', 'z'), to("q")},
      {"an isolated uplink to isolated", "", "v", frame('c', 'z'), drop(D::isolated)},
      {"hairpin of a learner", "m:z m:y", "m", frame('y', 'z'), drop(D::hairpin)},
      {"hairpin of a guest", "", "b", frame('B', 'b'), drop(D::hairpin)},
      {"hairpin of an uplink", "u:z u:y", "u", frame('y', 'z'), drop(D::hairpin)},
      {"hairpin of an isolated port", "n:z n:y", "n", frame('y', 'z'), drop(D::hairpin)},
      {"to another segment's", "", "a", frame('x', 'a'), flood(kTakers, kNotE)},
      // Where it goes: an unknown address
      {"unknown from a guest", "", "a", frame('k', 'a'), flood(kTakers, kNotE)},
      {"unknown from a learner", "", "m", frame('k', 'z'), flood(kTakers, kNotE)},
      {"unknown from an isolated", "", "c", frame('k', 'c'), flood({"q", "u"}, kNotE)},
      {"unknown from one that takes it", "", "n", frame('k', 'z'), flood({"q", "u"}, kNotE)},
      {"unknown from an uplink", "", "u", frame('k', 'z'), flood({"n"}, kNotE)},
      {"unknown, and nobody takes it", "", "x", frame('k', 'x'), drop(D::unknown_destination)},
      {"unknown, and only the sender takes it", "", "t", frame('k', 'z'),
       drop(D::unknown_destination)},
      {"unknown to the only uplink", "", "g", frame('k', 'z'), flood({"t"})},
      {"unknown, and its uplink is down", "!t", "g", frame('k', 'z'), drop(D::unknown_destination)},
      {"unknown, too big for one", "<v", "a", frame('k', 'a', kIpv4, 200),
       flood({"n", "q", "u"}, {{"e", "not_addressee"}, {"v", "too_big"}})},
      // Where it goes: a group
      {"broadcast from a guest", "", "a", frame('*', 'a'), flood(kFromA)},
      {"multicast from a guest", "", "a", frame('+', 'a', kIpv6), flood(kFromA)},
      {"broadcast from a learner", "", "m", frame('*', 'z'), flood(kFromM)},
      {"broadcast from isolated", "", "c", frame('*', 'c'), flood({"a", "b", "e", "m", "q", "u"})},
      {"broadcast from an uplink", "", "u", frame('*', 'z'), flood(kFromU)},
      {"broadcast from a transit uplink", "", "w", frame('*', 'z'),
       flood({"a", "b", "e", "m", "q"})},
      {"broadcast in another segment", "", "x", frame('*', 'x'), flood({"y"})},
      {"broadcast past a port that is down", "!y", "x", frame('*', 'x'), flood({})},
      {"broadcast too big for one", "<y", "x", frame('*', 'x', kIpv4, 115),
       flood({}, {{"y", "too_big"}})},
      {"broadcast that just fits", "<y", "x", frame('*', 'x', kIpv4, 114), flood({"y"})},
      // Check E
      {"to a port that is down", "!b", "a", frame('b', 'a'), refused("b", D::port_down)},
      {"to an uplink that is down", "u:z !u", "a", frame('z', 'a'), refused("u", D::port_down)},
      {"too big at egress", "<b", "a", frame('b', 'a', kIpv4, 115), refused("b", D::too_big)},
      {"just fits at egress", "<b", "a", frame('b', 'a', kIpv4, 114), to("b")},
      {"too big for an uplink", "u:z <u", "m", frame('z', 'y', kIpv4, 115),
       refused("u", D::too_big)},
      {"a new address to a port that is down", "!b", "m", frame('b', 'z'),
       refused("b", D::port_down)},
      {"a table entry cannot widen a binding", "S=b", "a", frame('S', 'a'),
       refused("b", D::not_addressee)},
      // clang-format on
  };
  return kCases;
}

/// A bridge as the case wants it, a millisecond after what was taught: before any sweep.
void prepare(TestBridge& bridge, const Case& a_case) {
  std::istringstream words(a_case.given);
  std::vector<std::pair<std::string, char>> taught;
  for (std::string word; words >> word;) {
    if (word[0] == '!') {
      bridge.sites.at(word.substr(1)).up = false;
    } else if (word[0] == '<') {
      bridge.sites.at(word.substr(1)).mtu = 100;
    } else if (word[0] == '~') {
      for (int i = 0; i < kMovesPerSweep; ++i) taught.emplace_back(i % 2 == 0 ? "n" : "m", 'z');
    } else if (word[1] == '=') {
      bridge.config.statics.push_back({mac(word[0]), word.substr(2)});
    } else {
      taught.emplace_back(word.substr(0, 1), word[2]);
    }
  }
  bridge.reload();
  for (const auto& [port, name] : taught) bridge.learn(port, mac(name));
  bridge.now_ms += 1;
}

class Decide : public ::testing::TestWithParam<Case> {};

TEST_P(Decide, SaysWhatBecomesOfIt) {
  TestBridge bridge(kHouse);
  prepare(bridge, GetParam());
  EXPECT_EQ(bridge.send(GetParam().from, GetParam().bytes, GetParam().split), GetParam().expected);
  EXPECT_EQ(bridge.ledger_fault(), "");
}

// Law 1. A frame that nobody refused does change something, if its port learns: so that the test
// can fail.
TEST_P(Decide, ChangesNothingIfItDrops) {
  TestBridge bridge(kHouse);
  prepare(bridge, GetParam());
  const auto before = bridge.learned();
  std::map<std::string, PortCounters> counters;
  for (const auto& [name, site] : bridge.sites) counters[name] = bridge.counters(name);
  const Outcome outcome = bridge.send(GetParam().from, GetParam().bytes, GetParam().split);
  const bool gone =
      outcome.verdict == "drop" || (outcome.verdict == "unicast" && outcome.ports.empty());
  const std::string from = GetParam().from;
  const PortPolicy& port = bridge.snapshot->ports[bridge.port(from)];
  Buffer buffer;
  Bytes bytes = GetParam().bytes;
  buffer.data = bytes.data();
  buffer.length = static_cast<std::uint32_t>(bytes.size());
  const Parsed parsed = parse({&buffer, buffer.length, bridge.port(from)});
  const bool is_fixed = bridge.snapshot->bound.find(parsed.source, port.segment) != nullptr;
  if (gone) {
    EXPECT_EQ(bridge.learned(), before);
    for (const auto& [name, site] : bridge.sites) {
      if (name == from || outcome.refused.contains(name)) continue;
      EXPECT_EQ(bridge.counters(name).offered, counters[name].offered) << name;
      EXPECT_EQ(bridge.counters(name).received, counters[name].received) << name;
    }
  } else if (port.learns && !is_fixed) {
    EXPECT_NE(bridge.learned(), before);
  } else {
    EXPECT_EQ(bridge.learned(), before) << "only ports that learn do";
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Decide, ::testing::ValuesIn(cases()), [](const auto& the_case) {
  std::string name = the_case.param.name;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return std::to_string(the_case.index) + '_' + name;
});

// The rest has its cases in the corpus, see corpus_test.cpp.
TEST(DecideList, NamesEveryReasonAboutEthernet) {
  std::set<std::string> given;
  for (const Case& a_case : cases()) {
    given.insert(a_case.expected.reason);
    for (const auto& [port, reason] : a_case.expected.refused) given.insert(reason);
  }
  for (const DropReasonText& reason : kDropReasons) {
    const std::set<std::string_view> elsewhere{
        "unbound_family", "spoofed_arp",  "spoofed_ip", "spoofed_dhcp",
        "spoofed_nd",     "rogue_router", "rogue_dhcp", "rogue_querier",
        "group_mac",      "rate_limited", "overrun"};  // the backend's to say, see
                                                       // forward_test.cpp
    if (elsewhere.contains(reason.name)) continue;
    EXPECT_TRUE(given.contains(std::string(reason.name))) << reason.name;
  }
}

TEST(DecideAgeing, FindsNobodyAfterIt) {
  TestBridge bridge(kHouse);
  bridge.learn("m", mac('z'));
  bridge.now_ms += 300'000 - 1;
  EXPECT_EQ(bridge.send("a", frame('z', 'a')), to("m"));
  bridge.now_ms += 1;
  EXPECT_EQ(bridge.send("a", frame('z', 'a')),
            flood({"n", "q", "u", "v"}, {{"e", "not_addressee"}}));
}

// The theorem's third clause stands by itself: whatever a table says, a guest gets what is its own.
TEST(Admit, AsksTheBindingAndNotTheTable) {
  TestBridge bridge(kHouse);
  const auto admitted = [&](const char* port, char destination, const char* located) {
    Parsed parsed;
    parsed.whole_header = true;
    parsed.length = 60;
    parsed.destination = mac(destination);
    const PortIndex at = located == nullptr ? kNoPort : bridge.port(located);
    return !admit(*bridge.snapshot, parsed, bridge.port(port), at);
  };
  EXPECT_TRUE(admitted("a", 'a', "a"));
  EXPECT_FALSE(admitted("a", 'b', "a"));
  EXPECT_FALSE(admitted("a", 'z', nullptr));
  EXPECT_FALSE(admitted("e", 'z', nullptr));
  EXPECT_TRUE(admitted("a", '*', nullptr));
  EXPECT_TRUE(admitted("m", 'z', "m"));
  EXPECT_FALSE(admitted("m", 'z', "n"));
  EXPECT_FALSE(admitted("m", 'z', nullptr));
  EXPECT_TRUE(admitted("n", 'z', nullptr));
  EXPECT_FALSE(admitted("n", 'z', "m"));
  EXPECT_TRUE(admitted("u", 'z', nullptr));
  EXPECT_TRUE(admitted("w", 'z', nullptr));
}

TEST(Trace, HearsEveryCheckInOrderAndTheOneThatFailedLast) {
  TestBridge bridge(kHouse);
  const auto checks_of = [&](Bytes bytes, const char* from) {
    std::vector<std::pair<Check, bool>> heard;
    const auto trace = [&](Check check, bool passed) {
      heard.emplace_back(check, passed);
      return passed;
    };
    Buffer buffer;
    buffer.data = bytes.data();
    buffer.length = static_cast<std::uint32_t>(bytes.size());
    const PortIndex port = bridge.port(from);
    const Parsed parsed = parse({&buffer, buffer.length, port});
    (void)decide(*bridge.snapshot, bridge.worker->forwarder().memory(*bridge.fdb), parsed, port,
                 bridge.now_ms, trace);
    return heard;
  };
  const auto good = checks_of(frame('b', 'm'), "m");
  const std::vector<std::pair<Check, bool>> expected = {
      {Check::whole_header, true},   {Check::length, true},        {Check::source_address, true},
      {Check::source_binding, true}, {Check::no_tag, true},        {Check::no_bridge_control, true},
      {Check::family, true},         {Check::ipv4_header, true},   {Check::ipv4_source, true},
      {Check::role, true},           {Check::group_mac, true},     {Check::rate, true},
      {Check::learning, true},       {Check::no_hairpin, true},    {Check::reach, true},
      {Check::egress_up, true},      {Check::egress_length, true}, {Check::egress_mac, true},
      {Check::egress_ip, true}};
  EXPECT_EQ(good, expected);
  const auto bad = checks_of(frame('b', 'z', 0x8100), "a");
  EXPECT_EQ(bad.back(), std::pair(Check::source_binding, false));
  EXPECT_EQ(bad.size(), 4u);
  EXPECT_EQ(checks_of(frame('k', 'x'), "x").back(), std::pair(Check::known_destination, false));
}

}  // namespace
}  // namespace bulkhead
