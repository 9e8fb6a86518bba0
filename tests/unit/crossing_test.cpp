// Several workers: what crosses between them, in which order, and what they agree on afterwards.
#include "dataplane/crossing.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <random>
#include <thread>

#include "tests/unit/team.hpp"
#include "tests/unit/test_bridge.hpp"

namespace bulkhead {
namespace {

using test::Bytes;
using test::frame;
using test::mac;
using test::Team;
using Ports = std::map<std::string, int>;

// a and b are bound, m, n and u learn; worker 0 has a and m.
constexpr const char* kTwo = R"(
[bulkhead]
workers = 2
[segment.default]
ageing = "10s"
[port.a]
device = "a"
mac = "02:00:00:00:00:61"
ip = "any"
worker = 0
[port.b]
device = "b"
mac = "02:00:00:00:00:62"
ip = "any"
worker = 1
[port.m]
device = "m"
mac = "any"
ip = "any"
worker = 0
mac_max = 60000
[port.n]
device = "n"
mac = "any"
ip = "any"
worker = 1
mac_max = 60000
[port.u]
device = "u"
trusted = true
worker = 1
)";

class TwoWorkers : public ::testing::Test {
 protected:
  void TearDown() override {
    team.settle();
    EXPECT_EQ(team.ledger_fault(), "");
  }
  /// Puts a frame in and lets everybody finish; who got it.
  Ports send(const std::string& from, const Bytes& bytes) {
    team.taken();
    EXPECT_TRUE(team.inject(from, bytes));
    team.settle();
    return team.taken();
  }

  Team team{kTwo, 8192};
};

TEST_F(TwoWorkers, AFrameCrossesAndItsBufferComesHome) {
  EXPECT_EQ(send("a", frame('b', 'a')), (Ports{{"b", 1}}));
  EXPECT_EQ(send("b", frame('a', 'b')), (Ports{{"a", 1}}));
  EXPECT_EQ(team.counters("a").unicast, 1u);
  EXPECT_EQ(team.counters("b").offered, 1u);
  EXPECT_EQ(team.counters("b").sent_bytes, 60u);
}

TEST_F(TwoWorkers, SaysWhomItTold) {
  team.inject("a", frame('b', 'a'));
  EXPECT_EQ(team.round(0).told, 2u);
  EXPECT_EQ(team.round(0).told, 0u);
  EXPECT_TRUE(team.members[1]->worker->crossings().has_arrivals());
  EXPECT_TRUE(team.round(0).waiting) << "its buffer is lent";
  team.settle();
  EXPECT_FALSE(team.members[1]->worker->crossings().has_arrivals());
  EXPECT_FALSE(team.round(0).waiting);
}

TEST_F(TwoWorkers, AFloodReachesTheOthersPortsOnceEach) {
  EXPECT_EQ(send("a", frame('*', 'a')), (Ports{{"b", 1}, {"m", 1}, {"n", 1}, {"u", 1}}));
  EXPECT_EQ(team.counters("a").flooded, 1u);
}

TEST_F(TwoWorkers, AnAddressIsAnnouncedAheadOfTheFrameThatTaughtIt) {
  team.inject("m", frame('b', 'x'));
  team.round(0);
  EXPECT_EQ(team.whereabouts(1, mac('x')), "");
  team.inject("b", frame('x', 'b'));  // in the round in which both arrive
  team.round(1);
  EXPECT_EQ(team.whereabouts(1, mac('x')), "m");
  team.settle();
  EXPECT_EQ(team.taken(), (Ports{{"b", 1}, {"m", 1}}));
}

TEST_F(TwoWorkers, OnlyTheOwnerAgesAnAddressAndTheOthersHear) {
  send("m", frame('b', 'x'));
  team.now_ms += 9'000;
  send("m", frame('b', 'x'));  // refreshed at the owner only
  team.now_ms += 9'000;
  team.settle();
  EXPECT_EQ(team.whereabouts(0, mac('x')), "m");
  EXPECT_EQ(team.whereabouts(1, mac('x')), "m");
  team.now_ms += 1'500;
  while (team.round(0).waiting || team.round(1).waiting) {
  }
  EXPECT_EQ(team.whereabouts(0, mac('x')), "");
  EXPECT_EQ(team.whereabouts(1, mac('x')), "");
  EXPECT_EQ(team.members[1]->fdb->size(), 0u);
}

TEST_F(TwoWorkers, TheOwnerHasTheLastWordOnWhereAnAddressIs) {
  send("m", frame('b', 'x'));
  team.now_ms += 10'500;  // dead at its owner, who has not said so yet
  team.inject("b", frame('x', 'b'));
  team.round(1);
  EXPECT_EQ(team.counters("b").unicast, 1u);
  team.settle();
  EXPECT_EQ(team.taken(), Ports{});
  EXPECT_EQ(team.refused("m", DropReason::not_addressee), 1u);
}

TEST_F(TwoWorkers, AnAddressMovesFromOneToTheOther) {
  send("m", frame('b', 'x'));
  team.now_ms += 10;
  EXPECT_EQ(send("n", frame('a', 'x')), (Ports{{"a", 1}}));
  for (std::uint8_t worker = 0; worker < 2; ++worker)
    EXPECT_EQ(team.whereabouts(worker, mac('x')), "n");
  EXPECT_EQ(team.members[0]->fdb->own_count(), 0u);
  EXPECT_EQ(team.members[1]->fdb->own_count(), 1u);
  Event last;
  team.members[1]->mailbox.events.consume_all([&](const Event& event) { last = event; });
  EXPECT_EQ(last.kind, Event::Kind::moved);
  EXPECT_EQ(last.from, team.port("m"));
}

TEST_F(TwoWorkers, WhoKnewOfTheOthersLessonHasTheLaterOne) {
  for (const char* from : {"m", "n", "m", "n"}) {  // all in one millisecond
    send(from, frame(*from == 'm' ? 'b' : 'a', 'x'));
    for (std::uint8_t worker = 0; worker < 2; ++worker) {
      EXPECT_EQ(team.whereabouts(worker, mac('x')), from);
    }
  }
}

TEST_F(TwoWorkers, AllAgreeOnAnAddressThatTwoLearnAtOnce) {
  const Snapshot& snapshot = *team.members[0]->snapshot;
  const MacTable::Hashed x = snapshot.bound.hashed(mac('x'), 0);
  const PortIndex m = team.port("m"), n = team.port("n");
  for (const bool first_hears_first : {false, true}) {
    Fdb first(256, team.key, 0), second(256, team.key, 1), third(256, team.key, 2);
    first.learn(snapshot, m, x, false, Fdb::Change::insert, team.now_ms);
    second.learn(snapshot, n, x, false, Fdb::Change::insert, team.now_ms + 1);
    const auto announce = [&](const Fdb& from, PortIndex port, Fdb& to) {
      const auto* entry = from.find(snapshot, x, team.now_ms + 1);
      to.hear(mac('x'), 0, port, entry->kind, from.stamp_of(*entry));
    };
    announce(first_hears_first ? first : second, first_hears_first ? m : n, third);
    announce(first_hears_first ? second : first, first_hears_first ? n : m, third);
    const auto* lesson = second.find(snapshot, x, team.now_ms + 1);
    const std::uint64_t stamp = second.stamp_of(*lesson);
    announce(first, m, second);
    first.hear(mac('x'), 0, n, EntryKind::learned_guest, stamp);
    for (const Fdb* fdb : {&first, &second, &third}) {
      EXPECT_EQ(fdb->find(snapshot, x, team.now_ms + 1)->port, m) << "the lower worker's";
    }
    EXPECT_EQ(first.own_count(), 1u);
    EXPECT_EQ(second.own_count(), 0u);
    // An older lesson that ends does not end the one that counts.
    second.forget_heard(mac('x'), 0, stamp);
    EXPECT_NE(second.find(snapshot, x, team.now_ms + 1), nullptr);
  }
}

// An entry that nobody has touched for 134 million lessons, and more: 2^31 and 2^32 stamps ago.
TEST_F(TwoWorkers, ALessonIsLaterHoweverMuchWasLearnedInBetween) {
  const Snapshot& snapshot = *team.members[0]->snapshot;
  const MacTable::Hashed x = snapshot.bound.hashed(mac('x'), 0);
  for (const std::uint64_t others : {0x7fff'fff0u, 0x8000'0000u, 0xffff'fff0u}) {
    Fdb first(256, team.key, 0), second(256, team.key, 1);
    first.learn(snapshot, team.port("m"), x, false, Fdb::Change::insert, team.now_ms);
    second.hear(mac('y'), 0, team.port("m"), EntryKind::learned_guest, others);
    for (int i = 0; i < 3; ++i) {  // on both sides of the limit
      second.learn(snapshot, team.port("n"), x, false,
                   i == 0 ? Fdb::Change::insert : Fdb::Change::move, team.now_ms);
      const std::uint64_t stamp = second.stamp_of(*second.find(snapshot, x, team.now_ms));
      first.hear(mac('x'), 0, team.port("n"), EntryKind::learned_guest, stamp);
      EXPECT_EQ(first.find(snapshot, x, team.now_ms)->port, team.port("n")) << others << '+' << i;
      EXPECT_EQ(first.stamp_of(*first.find(snapshot, x, team.now_ms)), stamp);
    }
  }
}

TEST_F(TwoWorkers, ForgetsForAllWhenTheOwnerIsTold) {
  send("m", frame('b', 'x'));
  FlushFdb other({});
  team.run(1, other);
  EXPECT_EQ(other.forgotten, 0u) << "it is not its own";
  FlushFdb flush({});
  team.run(0, flush);
  EXPECT_EQ(flush.forgotten, 1u);
  Drain drain;
  team.run(1, drain);
  EXPECT_EQ(team.whereabouts(1, mac('x')), "");
}

TEST_F(TwoWorkers, DrainWaitsForWhatWasSentBefore) {
  for (int i = 0; i < 200; ++i) team.inject("a", frame('b', 'a'));
  for (int i = 0; i < 4; ++i) team.round(0);
  Drain drain;
  team.members[1]->mailbox.commands.push(&drain);
  int rounds = 0;
  for (bool done = false; !done; ++rounds) {
    team.round(1);
    team.members[1]->mailbox.events.consume_all(
        [&](const Event& event) { done |= event.kind == Event::Kind::done; });
  }
  EXPECT_EQ(rounds, 5) << "64 crossings a round, and the look at the end";
  EXPECT_EQ(team.counters("b").offered, 200u);
}

constexpr std::uint32_t kPlaces = Passage::kCrossings - Crossings::kReserved;

TEST(FullRing, DropsAtTheEgressSideAndLosesNoAnnouncement) {
  constexpr std::uint32_t kFits = kPlaces / 2;  // of one port: as much as it leaves to the others
  constexpr std::uint32_t kNews = Passage::kCrossings - kFits;
  Team team(kTwo, 8192, Passage::kCrossings);
  for (std::uint32_t i = 0; i < kFits + 10; ++i) ASSERT_TRUE(team.inject("a", frame('b', 'a')));
  ASSERT_TRUE(team.inject("a", frame('*', 'a')));
  for (std::uint32_t i = 0; i < kFits / kBatchFrames + 2; ++i) team.round(0);
  EXPECT_EQ(team.refused("b", DropReason::overrun), 11u);
  EXPECT_EQ(team.refused("n", DropReason::overrun), 1u) << "of the broadcast";
  team.inject("m", frame('a', 'x'));  // there is room for news
  team.round(0);
  for (std::uint32_t i = 1; i < kNews; ++i) {
    ASSERT_TRUE(team.inject("m", frame(mac('a'), {0x0600'0000'0000u + i})));
    team.round(0);
  }
  EXPECT_EQ(team.members[0]->fdb->own_count(), kNews);
  team.inject("m", frame('a', 'y'));  // and now none: it is forwarded and teaches nothing
  team.round(0);
  EXPECT_EQ(team.whereabouts(0, mac('y')), "");
  EXPECT_EQ(team.counters("a").sent, kNews + 1);
  FlushFdb flush({});  // neither is anything forgotten that could not be announced
  team.members[0]->mailbox.commands.push(&flush);
  team.round(0);
  EXPECT_EQ(flush.forgotten, 0u);
  team.settle();
  EXPECT_EQ(flush.forgotten, kNews);
  EXPECT_EQ(team.taken()["b"], static_cast<int>(kFits));
  EXPECT_EQ(team.members[1]->fdb->size(), 0u);
  EXPECT_EQ(team.ledger_fault(), "");
  team.inject("m", frame('b', 'y'));
  team.settle();
  EXPECT_EQ(team.whereabouts(1, mac('y')), "m");
}

// Ports of worker 0 that send more and more to one of worker 1, which has no turn.
class Shares : public ::testing::Test {
 protected:
  void TearDown() override {
    team.settle();
    EXPECT_EQ(team.ledger_fault(), "");
  }
  /// How many of so many frames found a place.
  std::uint64_t send(char from, std::uint32_t frames) {
    const std::uint64_t before = team.refused("z", DropReason::overrun);
    for (std::uint32_t i = 0; i < frames; ++i) {
      EXPECT_TRUE(team.inject(std::string(1, from), frame('z', from)));
      if (i % kBatchFrames == kBatchFrames - 1) team.round(0);
    }
    team.round(0);
    return frames - (team.refused("z", DropReason::overrun) - before);
  }
  static std::string toml() {
    std::string text = "[bulkhead]\nworkers = 2\n";
    for (const char name : std::string("abcdefghijklmz")) {
      char port[100];
      std::snprintf(
          port, sizeof port,
          "[port.%c]\ndevice = '%c'\nip = 'any'\nmac = '02:00:00:00:00:%x'\nworker = %d\n", name,
          name, name, name == 'z' ? 1 : 0);
      text += port;
    }
    return text;
  }

  Team team{toml(), 256, 4 * Passage::kCrossings};
};

TEST_F(Shares, AFloodLeavesAsManyPlacesAsItTakes) {
  EXPECT_EQ(send('a', 2 * kPlaces), kPlaces / 2);
  EXPECT_EQ(send('b', 100), 100u) << "of another";
  EXPECT_EQ(send('a', 10), 0u) << "has its share, and what b took is no more free";
}

TEST_F(Shares, EachMoreGetsHalfOfWhatIsLeft) {
  std::uint64_t free = kPlaces;
  for (const char from : std::string("abcdefghijkl")) {
    const std::uint64_t share = (free + 1) / 2;
    EXPECT_EQ(send(from, kPlaces), share) << from;
    free -= share;
  }
  EXPECT_EQ(free, 0u);
  EXPECT_EQ(send('m', 1), 0u) << "the rest is for announcements";
}

TEST_F(Shares, WhatWasTakenCountsNoMore) {
  send('a', 2 * kPlaces);
  team.round(1);
  EXPECT_EQ(send('a', kPlaces), Crossings::kBatchCrossings);
  team.settle();
  EXPECT_EQ(send('a', 2 * kPlaces), kPlaces / 2);
}

TEST_F(TwoWorkers, JudgesAgainUnderAnotherPolicy) {
  const auto cross_under_new_policy = [&] {
    team.inject("a", frame('b', 'a'));
    team.round(0);
    ++team.generation;
    team.reload(1);
    team.settle();
    const Ports got = team.taken();
    team.reload(0);
    return got;
  };
  EXPECT_EQ(cross_under_new_policy(), (Ports{{"b", 1}})) << "another one that says the same";

  team.config.ports.at("a").isolated = team.config.ports.at("b").isolated = true;
  EXPECT_EQ(cross_under_new_policy(), Ports{});
  EXPECT_EQ(team.refused("b", DropReason::isolated), 1u);
  team.config.ports.at("b").isolated = false;
  EXPECT_EQ(cross_under_new_policy(), Ports{});  // worker 0 still isolates
  team.sites.at("b").mtu = 40;
  EXPECT_EQ(cross_under_new_policy(), Ports{});
  EXPECT_EQ(team.refused("b", DropReason::too_big), 1u);
  team.sites.at("b").mtu = 1500;
  team.sites.at("b").up = false;
  team.reload(0);
  team.sites.at("b").up = true;
  team.reload(0);
  team.sites.at("b").up = false;
  EXPECT_EQ(cross_under_new_policy(), Ports{});
  EXPECT_EQ(team.refused("b", DropReason::port_down), 1u);
}

TEST_F(TwoWorkers, AnswersForAPortThatHasGone) {
  for (const bool flooded : {false, true}) {
    team.inject("a", frame(flooded ? '*' : 'b', 'a'));
    team.round(0);
    const config::Config before = team.config;
    team.config.ports.erase("a");
    team.config.ports.erase("b");
    ++team.generation;
    team.reload(1);
    team.settle();
    EXPECT_EQ(team.taken(), (flooded ? Ports{{"m", 1}} : Ports{}));
    team.config = before;
    ++team.generation;
    team.reload(0);
    team.reload(1);
  }
  EXPECT_EQ(team.refused("b", DropReason::port_down), 1u);
}

TEST(PartOf, DividesALimitAmongTheWorkersWithPortsThatLearn) {
  std::string toml = "[bulkhead]\nworkers = 4\n[segment.default]\nmac_limit = 10\n";
  const int workers[] = {0, 0, 0, 1, 3, 3, 3};
  for (int i = 0; i < 7; ++i) {
    const std::string name(1, static_cast<char>('a' + i));
    toml += "[port." + name + "]\ndevice = \"" + name +
            "\"\nmac = \"any\"\nip = \"any\"\nworker = " + std::to_string(workers[i]) + "\n";
  }
  toml += "[port.z]\ndevice = \"z\"\nmac = \"02:00:00:00:00:7a\"\nip = \"any\"\nworker = 2\n";
  Team team(toml);
  std::uint32_t sum = 0;
  std::vector<std::uint32_t> parts;
  for (const auto& member : team.members) {
    parts.push_back(member->snapshot->segments[0].mac_limit);
    sum += parts.back();
  }
  EXPECT_EQ(sum, 10u);
  EXPECT_EQ(parts, (std::vector<std::uint32_t>{4, 1, 0, 5}));
  team.config.ports.at("d").mac_max = 160;  // who may learn more has more of it
  EXPECT_EQ(team.snapshot_of(1)->segments[0].mac_limit, 7u);
}

// Any interleaving: who has his turn when, and how much he gets to see, is drawn.

/// Random()() % n, as the integer that is wanted.
class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  unsigned operator()() { return static_cast<unsigned>(engine_()); }

 private:
  std::mt19937 engine_;
};

std::string random_toml(Random& random, int workers, bool learning) {
  std::string toml = "[bulkhead]\nworkers = " + std::to_string(workers) + "\n";
  for (char name = 'a'; name < 'i'; ++name) {
    const std::string text(1, name);
    toml += "[port." + text + "]\ndevice = \"" + text + "\"\nip = \"any\"\nworker = " +
            std::to_string(random() % static_cast<unsigned>(workers)) + "\n";
    if (name == 'h') {
      toml += "trusted = true\n";
    } else if (learning && random() % 2 == 0) {
      toml += "mac = \"any\"\n";
    } else {
      toml +=
          "mac = \"02:00:00:00:00:" + std::string("6") + std::to_string(name - 'a' + 1) + "\"\n";
    }
    if (random() % 4 == 0) toml += "isolated = true\n";
    if (random() % 4 == 0) toml += "limit = { broadcast = \"none\" }\n";
  }
  return toml;
}

Bytes random_frame(Random& random, char from, bool roams) {
  const char to = random() % 6 == 0 ? '*' : static_cast<char>('a' + random() % 10);
  const char source = roams && random() % 3 == 0 ? static_cast<char>('a' + random() % 10) : from;
  return frame(mac(to), mac(source));
}

class Interleavings : public ::testing::TestWithParam<int> {};

// Where nothing is learned a verdict depends on nothing but the frame: every order is serial.
TEST_P(Interleavings, GiveEveryFrameTheVerdictOfOneWorker) {
  for (unsigned seed = 0; seed < 12; ++seed) {
    Random random(seed);
    const std::string toml = random_toml(random, GetParam(), false);
    Team team(toml);
    test::TestBridge alone(toml);
    std::map<std::string, int> expected;
    for (int i = 0; i < 150; ++i) {
      const char from = static_cast<char>('a' + random() % 8);
      const Bytes bytes = random_frame(random, from, false);
      // h learns its own address: that all know it from the start is a matter of order.
      if (i < 8) continue;
      if (from == 'h') continue;
      ASSERT_TRUE(team.inject(std::string(1, from), bytes));
      for (const std::string& port : alone.send(std::string(1, from), bytes).ports) {
        ++expected[port];
      }
      for (unsigned turns = random() % 3; turns > 0; --turns) {
        team.round(static_cast<std::uint8_t>(random() % team.members.size()));
      }
    }
    team.settle();
    EXPECT_EQ(team.taken(), expected) << "seed " << seed;
    EXPECT_EQ(team.ledger_fault(), "") << "seed " << seed;
    for (const auto& [name, site] : team.sites) {
      const PortCounters many = team.counters(name), one = alone.counters(name);
      EXPECT_EQ(many.dropped, one.dropped) << "seed " << seed << " port " << name;
      EXPECT_EQ(many.refused, one.refused) << "seed " << seed << " port " << name;
    }
  }
}

// Frame by frame, with time to hear of everything, several workers are one.
TEST_P(Interleavings, OneFrameAfterTheOtherAreOneWorker) {
  for (unsigned seed = 0; seed < 10; ++seed) {
    Random random(seed);
    const std::string toml = random_toml(random, GetParam(), true);
    Team team(toml);
    test::TestBridge alone(toml);
    for (int i = 0; i < 200; ++i) {
      const std::string from(1, static_cast<char>('a' + random() % 8));
      const Bytes bytes = random_frame(random, from[0], true);
      team.taken();
      team.inject(from, bytes);
      team.settle();
      std::map<std::string, int> expected;
      for (const std::string& port : alone.send(from, bytes).ports) expected[port] = 1;
      ASSERT_EQ(team.taken(), expected) << "seed " << seed << " frame " << i << " from " << from;
      if (random() % 20 == 0) {
        team.now_ms += 1000;
        alone.tick();
        while (std::ranges::any_of(team.members, [&](const auto& member) {
          return member->worker->round(team.now_ms).waiting;
        })) {
        }
        team.settle();
      }
    }
    EXPECT_EQ(team.ledger_fault(), "") << "seed " << seed;
  }
}

// Under roaming addresses, reloads at one worker after the other and silence: the theorem, the
// ledger, and at every quiet moment all know the same.
TEST_P(Interleavings, KeepTheTheoremAndAgreeAtQuietMoments) {
  for (unsigned seed = 0; seed < 12; ++seed) {
    Random random(seed);
    Team team(random_toml(random, GetParam(), true));
    for (int i = 0; i < 300; ++i) {
      const std::string from(1, static_cast<char>('a' + random() % 8));
      team.inject(from, random_frame(random, from[0], true));
      for (unsigned turns = random() % 4; turns > 0; --turns) {
        team.round(static_cast<std::uint8_t>(random() % team.members.size()));
      }
      if (random() % 10 == 0) team.now_ms += random() % 50;
      if (random() % 40 == 0) {  // a reload, seen by one after the other
        auto& port = team.config.ports.at(std::string(1, static_cast<char>('a' + random() % 7)));
        port.isolated = !port.isolated;
        ++team.generation;
        for (std::uint8_t worker = 0; worker < team.members.size(); ++worker) {
          team.reload(worker);
          if (random() % 2 == 0) team.round(worker);
        }
      }
      for (const auto& member : team.members) {
        for (const auto& sent : member->backend.take()) {
          MacAddress to{0};
          for (int octet = 0; octet < 6; ++octet) to.value = to.value << 8 | sent.bytes[octet];
          const PortPolicy& port = member->snapshot->ports[sent.port];
          EXPECT_TRUE(member->snapshot->is_local(sent.port));
          if (to.is_group() || port.learns) continue;
          const auto macs = member->snapshot->macs_of(port);
          EXPECT_NE(std::ranges::find(macs, to), macs.end()) << "seed " << seed;
        }
      }
    }
    team.settle();
    EXPECT_EQ(team.ledger_fault(), "") << "seed " << seed;
    for (char address = 'a'; address < 'k'; ++address) {
      for (std::uint8_t worker = 1; worker < team.members.size(); ++worker) {
        EXPECT_EQ(team.whereabouts(worker, mac(address)), team.whereabouts(0, mac(address)))
            << "seed " << seed << " address " << address;
      }
    }
  }
}

// Frames of a flow stay in order, whoever has his turn.
TEST_P(Interleavings, KeepTheOrderOfAFlow) {
  Random random(7);
  Team team(random_toml(random, GetParam(), false));
  std::map<std::tuple<std::uint8_t, std::uint8_t, PortIndex>, std::uint8_t> last;
  for (int i = 0; i < 2000; ++i) {
    const char from = static_cast<char>('a' + random() % 7);
    Bytes bytes = random_frame(random, from, false);
    bytes[59] = static_cast<std::uint8_t>(i / 10);
    if (!team.inject(std::string(1, from), bytes)) team.settle();
    team.round(static_cast<std::uint8_t>(random() % team.members.size()));
    if (i % 10 != 9) continue;
    for (const auto& member : team.members) {
      for (const auto& sent : member->backend.take()) {
        std::uint8_t& before = last[{sent.bytes[5], sent.bytes[11], sent.port}];
        EXPECT_LE(static_cast<std::uint8_t>(sent.bytes[59] - before), 128) << "overtaken";
        before = sent.bytes[59];
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Workers, Interleavings, ::testing::Values(2, 3, 4));

// On threads, for the thread sanitizer: traffic of all kinds from everywhere, and control that
// reloads, copies and forgets meanwhile.
class ManyThreads : public ::testing::TestWithParam<int> {};

TEST_P(ManyThreads, ForwardWhileControlReloads) {
  const int workers = GetParam();
  Random random(11);
  Team team(random_toml(random, workers, true), 4096);
  std::atomic<bool> stop = false;
  std::atomic<bool> quiet = false;
  std::vector<std::thread> threads;
  for (std::uint8_t i = 0; i < workers; ++i) {
    threads.emplace_back([&, i] {
      Random own(i);
      Team::Member& member = *team.members[i];
      std::vector<std::string> ports;
      for (const auto& [name, site] : team.sites) {
        if (site.worker == i) ports.push_back(name);
      }
      for (std::uint32_t now_ms = 10'000; !stop.load(); ++now_ms) {
        for (int frames = 0; frames < 8 && !ports.empty() && !quiet.load(); ++frames) {
          const std::string& from = ports[own() % ports.size()];
          member.backend.inject(team.port(from), random_frame(own, from[0], true));
        }
        member.worker->round(now_ms);
        member.backend.take();
      }
    });
  }
  const auto call = [&](std::uint8_t worker, Command& command) {
    Mailbox& mailbox = team.members[worker]->mailbox;
    while (!mailbox.commands.push(&command)) std::this_thread::yield();
    for (bool done = false; !done; std::this_thread::yield()) {
      for (const auto& member : team.members) {
        member->mailbox.events.consume_all([&](const Event& event) {
          done |= event.kind == Event::Kind::done && event.command == &command;
        });
      }
    }
  };
  for (int turn = 0; turn < 20; ++turn) {
    team.config.ports.at("a").isolated = turn % 2 == 0;
    ++team.generation;
    for (std::uint8_t i = 0; i < workers; ++i) {
      auto next = team.snapshot_of(i);
      SwapSnapshot swap(next.get());
      call(i, swap);
      team.members[i]->snapshot = std::move(next);
      ResizeFdb resize(Fdb::Store(turn % 2 == 0 ? 16'384 : 4096, team.key));
      call(i, resize);
      CopyCounters copy;
      call(i, copy);
      FlushFdb flush({});
      call(i, flush);
      Drain drain;
      call(i, drain);
    }
  }
  quiet = true;
  for (int turn = 0; turn < 20; ++turn) {
    for (std::uint8_t i = 0; i < workers; ++i) {
      Drain drain;
      call(i, drain);
    }
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  team.now_ms = 10'000'000;
  team.settle();
  EXPECT_EQ(team.ledger_fault(), "");
  std::uint64_t received = 0;
  for (const auto& [name, site] : team.sites) received += team.counters(name).received;
  EXPECT_GT(received, 1000u);
}

INSTANTIATE_TEST_SUITE_P(Workers, ManyThreads, ::testing::Values(2, 4));

}  // namespace
}  // namespace bulkhead
