// Several workers: what crosses between them, in which order, and what they agree on afterwards.
#include "dataplane/crossing.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <random>
#include <thread>

#include "tests/unit/test_bridge.hpp"

namespace bulkhead {
namespace {

using test::Bytes;
using test::frame;
using test::House;
using test::mac;
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
    house.settle();
    EXPECT_EQ(house.ledger_fault(), "");
  }
  /// Puts a frame in and lets everybody finish; who got it.
  Ports send(const std::string& from, const Bytes& bytes) {
    house.taken();
    EXPECT_TRUE(house.inject(from, bytes));
    house.settle();
    return house.taken();
  }

  House house{kTwo, {.fdb_entries = 8192}};
};

TEST_F(TwoWorkers, AFrameCrossesAndItsBufferComesHome) {
  EXPECT_EQ(send("a", frame('b', 'a')), (Ports{{"b", 1}}));
  EXPECT_EQ(send("b", frame('a', 'b')), (Ports{{"a", 1}}));
  EXPECT_EQ(house.counters("a").unicast, 1u);
  EXPECT_EQ(house.counters("b").offered, 1u);
  EXPECT_EQ(house.counters("b").sent_bytes, 60u);
}

TEST_F(TwoWorkers, SaysWhomItTold) {
  house.inject("a", frame('b', 'a'));
  EXPECT_EQ(house.round(0).told, 2u);
  EXPECT_EQ(house.round(0).told, 0u);
  EXPECT_TRUE(house.members[1]->worker->crossings().has_arrivals());
  EXPECT_TRUE(house.round(0).waiting) << "its buffer is lent";
  house.settle();
  EXPECT_FALSE(house.members[1]->worker->crossings().has_arrivals());
  EXPECT_FALSE(house.round(0).waiting);
}

TEST_F(TwoWorkers, AFloodReachesTheOthersPortsOnceEach) {
  EXPECT_EQ(send("a", frame('*', 'a')), (Ports{{"b", 1}, {"m", 1}, {"n", 1}, {"u", 1}}));
  EXPECT_EQ(house.counters("a").flooded, 1u);
}

TEST_F(TwoWorkers, AnAddressIsAnnouncedAheadOfTheFrameThatTaughtIt) {
  house.inject("m", frame('b', 'x'));
  house.round(0);
  EXPECT_EQ(house.whereabouts(1, mac('x')), "");
  house.inject("b", frame('x', 'b'));  // in the round in which both arrive
  house.round(1);
  EXPECT_EQ(house.whereabouts(1, mac('x')), "m");
  house.settle();
  EXPECT_EQ(house.taken(), (Ports{{"b", 1}, {"m", 1}}));
}

TEST_F(TwoWorkers, OnlyTheOwnerAgesAnAddressAndTheOthersHear) {
  send("m", frame('b', 'x'));
  house.now_ms += 9'000;
  send("m", frame('b', 'x'));  // refreshed at the owner only
  house.now_ms += 9'000;
  house.settle();
  EXPECT_EQ(house.whereabouts(0, mac('x')), "m");
  EXPECT_EQ(house.whereabouts(1, mac('x')), "m");
  house.now_ms += 1'500;
  while (house.round(0).waiting || house.round(1).waiting) {
  }
  EXPECT_EQ(house.whereabouts(0, mac('x')), "");
  EXPECT_EQ(house.whereabouts(1, mac('x')), "");
  EXPECT_EQ(house.members[1]->fdb->size(), 0u);
}

TEST_F(TwoWorkers, TheOwnerHasTheLastWordOnWhereAnAddressIs) {
  send("m", frame('b', 'x'));
  house.now_ms += 10'500;  // dead at its owner, who has not said so yet
  house.inject("b", frame('x', 'b'));
  house.round(1);
  EXPECT_EQ(house.counters("b").unicast, 1u);
  house.settle();
  EXPECT_EQ(house.taken(), Ports{});
  EXPECT_EQ(house.refused("m", DropReason::not_addressee), 1u);
}

TEST_F(TwoWorkers, AnAddressMovesFromOneToTheOther) {
  send("m", frame('b', 'x'));
  house.now_ms += 10;
  EXPECT_EQ(send("n", frame('a', 'x')), (Ports{{"a", 1}}));
  for (std::uint8_t worker = 0; worker < 2; ++worker)
    EXPECT_EQ(house.whereabouts(worker, mac('x')), "n");
  EXPECT_EQ(house.members[0]->fdb->own_count(), 0u);
  EXPECT_EQ(house.members[1]->fdb->own_count(), 1u);
  Event last;
  house.members[1]->mailbox.events.consume_all([&](const Event& event) { last = event; });
  EXPECT_EQ(last.kind, Event::Kind::moved);
  EXPECT_EQ(last.from, house.port("m"));
}

TEST_F(TwoWorkers, WhoKnewOfTheOthersLessonHasTheLaterOne) {
  for (const char* from : {"m", "n", "m", "n"}) {  // all in one millisecond
    send(from, frame(*from == 'm' ? 'b' : 'a', 'x'));
    for (std::uint8_t worker = 0; worker < 2; ++worker) {
      EXPECT_EQ(house.whereabouts(worker, mac('x')), from);
    }
  }
}

TEST_F(TwoWorkers, AllAgreeOnAnAddressThatTwoLearnAtOnce) {
  const Snapshot& snapshot = *house.members[0]->snapshot;
  const MacTable::Hashed x = snapshot.bound.hashed(mac('x'), 0);
  const PortIndex m = house.port("m"), n = house.port("n");
  for (const bool first_hears_first : {false, true}) {
    Fdb first(256, test::kHouseKey, 0), second(256, test::kHouseKey, 1),
        third(256, test::kHouseKey, 2);
    first.learn(snapshot, m, x, false, Fdb::Change::insert, house.now_ms);
    second.learn(snapshot, n, x, false, Fdb::Change::insert, house.now_ms + 1);
    const auto announce = [&](const Fdb& from, PortIndex port, Fdb& to) {
      const auto* entry = from.find(snapshot, x, house.now_ms + 1);
      to.hear(mac('x'), 0, port, entry->kind, from.stamp_of(*entry));
    };
    announce(first_hears_first ? first : second, first_hears_first ? m : n, third);
    announce(first_hears_first ? second : first, first_hears_first ? n : m, third);
    const auto* lesson = second.find(snapshot, x, house.now_ms + 1);
    const std::uint64_t stamp = second.stamp_of(*lesson);
    announce(first, m, second);
    first.hear(mac('x'), 0, n, EntryKind::learned_guest, stamp);
    for (const Fdb* fdb : {&first, &second, &third}) {
      EXPECT_EQ(fdb->find(snapshot, x, house.now_ms + 1)->port, m) << "the lower worker's";
    }
    EXPECT_EQ(first.own_count(), 1u);
    EXPECT_EQ(second.own_count(), 0u);
    // An older lesson that ends does not end the one that counts.
    second.forget_heard(mac('x'), 0, stamp);
    EXPECT_NE(second.find(snapshot, x, house.now_ms + 1), nullptr);
  }
}

// An entry that nobody has touched for 134 million lessons, and more: 2^31 and 2^32 stamps ago.
TEST_F(TwoWorkers, ALessonIsLaterHoweverMuchWasLearnedInBetween) {
  const Snapshot& snapshot = *house.members[0]->snapshot;
  const MacTable::Hashed x = snapshot.bound.hashed(mac('x'), 0);
  for (const std::uint64_t others : {0x7fff'fff0u, 0x8000'0000u, 0xffff'fff0u}) {
    Fdb first(256, test::kHouseKey, 0), second(256, test::kHouseKey, 1);
    first.learn(snapshot, house.port("m"), x, false, Fdb::Change::insert, house.now_ms);
    second.hear(mac('y'), 0, house.port("m"), EntryKind::learned_guest, others);
    for (int i = 0; i < 3; ++i) {  // on both sides of the limit
      second.learn(snapshot, house.port("n"), x, false,
                   i == 0 ? Fdb::Change::insert : Fdb::Change::move, house.now_ms);
      const std::uint64_t stamp = second.stamp_of(*second.find(snapshot, x, house.now_ms));
      first.hear(mac('x'), 0, house.port("n"), EntryKind::learned_guest, stamp);
      EXPECT_EQ(first.find(snapshot, x, house.now_ms)->port, house.port("n")) << others << '+' << i;
      EXPECT_EQ(first.stamp_of(*first.find(snapshot, x, house.now_ms)), stamp);
    }
  }
}

TEST_F(TwoWorkers, ForgetsForAllWhenTheOwnerIsTold) {
  send("m", frame('b', 'x'));
  FlushFdb other({});
  house.run(1, other);
  EXPECT_EQ(other.forgotten, 0u) << "it is not its own";
  FlushFdb flush({});
  house.run(0, flush);
  EXPECT_EQ(flush.forgotten, 1u);
  Drain drain;
  house.run(1, drain);
  EXPECT_EQ(house.whereabouts(1, mac('x')), "");
}

TEST_F(TwoWorkers, DrainWaitsForWhatWasSentBefore) {
  for (int i = 0; i < 200; ++i) house.inject("a", frame('b', 'a'));
  for (int i = 0; i < 4; ++i) house.round(0);
  Drain drain;
  house.members[1]->mailbox.commands.push(&drain);
  int rounds = 0;
  for (bool done = false; !done; ++rounds) {
    house.round(1);
    house.members[1]->mailbox.events.consume_all(
        [&](const Event& event) { done |= event.kind == Event::Kind::done; });
  }
  EXPECT_EQ(rounds, 5) << "64 crossings a round, and the look at the end";
  EXPECT_EQ(house.counters("b").offered, 200u);
}

constexpr std::uint32_t kPlaces = Passage::kCrossings - Crossings::kReserved;

TEST(FullRing, DropsAtTheEgressSideAndLosesNoAnnouncement) {
  constexpr std::uint32_t kFits = kPlaces / 2;  // of one port: as much as it leaves to the others
  constexpr std::uint32_t kNews = Passage::kCrossings - kFits;
  House house(kTwo, {.fdb_entries = 8192, .chunks = Passage::kCrossings});
  for (std::uint32_t i = 0; i < kFits + 10; ++i) ASSERT_TRUE(house.inject("a", frame('b', 'a')));
  ASSERT_TRUE(house.inject("a", frame('*', 'a')));
  for (std::uint32_t i = 0; i < kFits / kBatchFrames + 2; ++i) house.round(0);
  EXPECT_EQ(house.refused("b", DropReason::overrun), 11u);
  EXPECT_EQ(house.refused("n", DropReason::overrun), 1u) << "of the broadcast";
  house.inject("m", frame('a', 'x'));  // there is room for news
  house.round(0);
  for (std::uint32_t i = 1; i < kNews; ++i) {
    ASSERT_TRUE(house.inject("m", frame(mac('a'), {0x0600'0000'0000u + i})));
    house.round(0);
  }
  EXPECT_EQ(house.members[0]->fdb->own_count(), kNews);
  house.inject("m", frame('a', 'y'));  // and now none: it is forwarded and teaches nothing
  house.round(0);
  EXPECT_EQ(house.whereabouts(0, mac('y')), "");
  EXPECT_EQ(house.counters("a").sent, kNews + 1);
  FlushFdb flush({});  // neither is anything forgotten that could not be announced
  house.members[0]->mailbox.commands.push(&flush);
  house.round(0);
  EXPECT_EQ(flush.forgotten, 0u);
  house.settle();
  EXPECT_EQ(flush.forgotten, kNews);
  EXPECT_EQ(house.taken()["b"], static_cast<int>(kFits));
  EXPECT_EQ(house.members[1]->fdb->size(), 0u);
  EXPECT_EQ(house.ledger_fault(), "");
  house.inject("m", frame('b', 'y'));
  house.settle();
  EXPECT_EQ(house.whereabouts(1, mac('y')), "m");
}

// Ports of worker 0 that send more and more to one of worker 1, which has no turn.
class Shares : public ::testing::Test {
 protected:
  void TearDown() override {
    house.settle();
    EXPECT_EQ(house.ledger_fault(), "");
  }
  /// How many of so many frames found a place.
  std::uint64_t send(char from, std::uint32_t frames) {
    const std::uint64_t before = house.refused("z", DropReason::overrun);
    for (std::uint32_t i = 0; i < frames; ++i) {
      EXPECT_TRUE(house.inject(std::string(1, from), frame('z', from)));
      if (i % kBatchFrames == kBatchFrames - 1) house.round(0);
    }
    house.round(0);
    return frames - (house.refused("z", DropReason::overrun) - before);
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

  House house{toml(), {.chunks = 4 * Passage::kCrossings}};
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
  house.round(1);
  EXPECT_EQ(send('a', kPlaces), Crossings::kBatchCrossings);
  house.settle();
  EXPECT_EQ(send('a', 2 * kPlaces), kPlaces / 2);
}

TEST_F(TwoWorkers, JudgesAgainUnderAnotherPolicy) {
  const auto cross_under_new_policy = [&] {
    house.inject("a", frame('b', 'a'));
    house.round(0);
    ++house.generation;
    house.reload(1);
    house.settle();
    const Ports got = house.taken();
    house.reload(0);
    return got;
  };
  EXPECT_EQ(cross_under_new_policy(), (Ports{{"b", 1}})) << "another one that says the same";

  house.config.ports.at("a").isolated = house.config.ports.at("b").isolated = true;
  EXPECT_EQ(cross_under_new_policy(), Ports{});
  EXPECT_EQ(house.refused("b", DropReason::isolated), 1u);
  house.config.ports.at("b").isolated = false;
  EXPECT_EQ(cross_under_new_policy(), Ports{});  // worker 0 still isolates
  house.sites.at("b").mtu = 40;
  EXPECT_EQ(cross_under_new_policy(), Ports{});
  EXPECT_EQ(house.refused("b", DropReason::too_big), 1u);
  house.sites.at("b").mtu = 1500;
  house.sites.at("b").up = false;
  house.reload(0);
  house.sites.at("b").up = true;
  house.reload(0);
  house.sites.at("b").up = false;
  EXPECT_EQ(cross_under_new_policy(), Ports{});
  EXPECT_EQ(house.refused("b", DropReason::port_down), 1u);
}

TEST_F(TwoWorkers, AnswersForAPortThatHasGone) {
  for (const bool flooded : {false, true}) {
    house.inject("a", frame(flooded ? '*' : 'b', 'a'));
    house.round(0);
    const config::Config before = house.config;
    house.config.ports.erase("a");
    house.config.ports.erase("b");
    ++house.generation;
    house.reload(1);
    house.settle();
    EXPECT_EQ(house.taken(), (flooded ? Ports{{"m", 1}} : Ports{}));
    house.config = before;
    ++house.generation;
    house.reload(0);
    house.reload(1);
  }
  EXPECT_EQ(house.refused("b", DropReason::port_down), 1u);
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
  House house(toml);
  std::uint32_t sum = 0;
  std::vector<std::uint32_t> parts;
  for (const auto* member : house.members) {
    parts.push_back(member->snapshot->segments[0].mac_limit);
    sum += parts.back();
  }
  EXPECT_EQ(sum, 10u);
  EXPECT_EQ(parts, (std::vector<std::uint32_t>{4, 1, 0, 5}));
  house.config.ports.at("d").mac_max = 160;  // who may learn more has more of it
  EXPECT_EQ(house.snapshot_of(1)->segments[0].mac_limit, 7u);
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
    House house(toml);
    test::TestBridge alone(toml);
    std::map<std::string, int> expected;
    for (int i = 0; i < 150; ++i) {
      const char from = static_cast<char>('a' + random() % 8);
      const Bytes bytes = random_frame(random, from, false);
      // h learns its own address: that all know it from the start is a matter of order.
      if (i < 8) continue;
      if (from == 'h') continue;
      ASSERT_TRUE(house.inject(std::string(1, from), bytes));
      for (const std::string& port : alone.send(std::string(1, from), bytes).ports) {
        ++expected[port];
      }
      for (unsigned turns = random() % 3; turns > 0; --turns) {
        house.round(static_cast<std::uint8_t>(random() % house.members.size()));
      }
    }
    house.settle();
    EXPECT_EQ(house.taken(), expected) << "seed " << seed;
    EXPECT_EQ(house.ledger_fault(), "") << "seed " << seed;
    for (const auto& [name, site] : house.sites) {
      const PortCounters many = house.counters(name), one = alone.counters(name);
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
    House house(toml);
    test::TestBridge alone(toml);
    for (int i = 0; i < 200; ++i) {
      const std::string from(1, static_cast<char>('a' + random() % 8));
      const Bytes bytes = random_frame(random, from[0], true);
      house.taken();
      house.inject(from, bytes);
      house.settle();
      std::map<std::string, int> expected;
      for (const std::string& port : alone.send(from, bytes).ports) expected[port] = 1;
      ASSERT_EQ(house.taken(), expected) << "seed " << seed << " frame " << i << " from " << from;
      if (random() % 20 == 0) {
        house.now_ms += 1000;
        alone.tick();
        while (std::ranges::any_of(house.members, [&](const auto& member) {
          return member->worker->round(house.now_ms).waiting;
        })) {
        }
        house.settle();
      }
    }
    EXPECT_EQ(house.ledger_fault(), "") << "seed " << seed;
  }
}

// Under roaming addresses, reloads at one worker after the other and silence: the theorem, the
// ledger, and at every quiet moment all know the same.
TEST_P(Interleavings, KeepTheTheoremAndAgreeAtQuietMoments) {
  for (unsigned seed = 0; seed < 12; ++seed) {
    Random random(seed);
    House house(random_toml(random, GetParam(), true));
    for (int i = 0; i < 300; ++i) {
      const std::string from(1, static_cast<char>('a' + random() % 8));
      house.inject(from, random_frame(random, from[0], true));
      for (unsigned turns = random() % 4; turns > 0; --turns) {
        house.round(static_cast<std::uint8_t>(random() % house.members.size()));
      }
      if (random() % 10 == 0) house.now_ms += random() % 50;
      if (random() % 40 == 0) {  // a reload, seen by one after the other
        auto& port = house.config.ports.at(std::string(1, static_cast<char>('a' + random() % 7)));
        port.isolated = !port.isolated;
        ++house.generation;
        for (std::uint8_t worker = 0; worker < house.members.size(); ++worker) {
          house.reload(worker);
          if (random() % 2 == 0) house.round(worker);
        }
      }
      for (std::size_t worker = 0; worker < house.members.size(); ++worker) {
        const auto* member = house.members[worker];
        for (const auto& sent : house.places[worker]->backend.take()) {
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
    house.settle();
    EXPECT_EQ(house.ledger_fault(), "") << "seed " << seed;
    for (char address = 'a'; address < 'k'; ++address) {
      for (std::uint8_t worker = 1; worker < house.members.size(); ++worker) {
        EXPECT_EQ(house.whereabouts(worker, mac(address)), house.whereabouts(0, mac(address)))
            << "seed " << seed << " address " << address;
      }
    }
  }
}

// Frames of a flow stay in order, whoever has his turn.
TEST_P(Interleavings, KeepTheOrderOfAFlow) {
  Random random(7);
  House house(random_toml(random, GetParam(), false));
  std::map<std::tuple<std::uint8_t, std::uint8_t, PortIndex>, std::uint8_t> last;
  for (int i = 0; i < 2000; ++i) {
    const char from = static_cast<char>('a' + random() % 7);
    Bytes bytes = random_frame(random, from, false);
    bytes[59] = static_cast<std::uint8_t>(i / 10);
    if (!house.inject(std::string(1, from), bytes)) house.settle();
    house.round(static_cast<std::uint8_t>(random() % house.members.size()));
    if (i % 10 != 9) continue;
    for (const auto& place : house.places) {
      for (const auto& sent : place->backend.take()) {
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
  House house(random_toml(random, workers, true), {.fdb_entries = 4096});
  std::atomic<bool> stop = false;
  std::atomic<bool> quiet = false;
  std::vector<std::thread> threads;
  for (std::uint8_t i = 0; i < workers; ++i) {
    threads.emplace_back([&, i] {
      Random own(i);
      control::Team::Member& member = *house.members[i];
      MemoryBackend& backend = house.places[i]->backend;
      std::vector<std::string> ports;
      for (const auto& [name, site] : house.sites) {
        if (site.worker == i) ports.push_back(name);
      }
      for (std::uint32_t now_ms = 10'000; !stop.load(); ++now_ms) {
        for (int frames = 0; frames < 8 && !ports.empty() && !quiet.load(); ++frames) {
          const std::string& from = ports[own() % ports.size()];
          backend.inject(house.port(from), random_frame(own, from[0], true));
        }
        member.worker->round(now_ms);
        backend.take();
      }
    });
  }
  const auto call = [&](std::uint8_t worker, Command& command) {
    Mailbox& mailbox = house.members[worker]->mailbox;
    while (!mailbox.commands.push(&command)) std::this_thread::yield();
    for (bool done = false; !done; std::this_thread::yield()) {
      for (auto* member : house.members) {
        member->mailbox.events.consume_all([&](const Event& event) {
          done |= event.kind == Event::Kind::done && event.command == &command;
        });
      }
    }
  };
  for (int turn = 0; turn < 20; ++turn) {
    house.config.ports.at("a").isolated = turn % 2 == 0;
    ++house.generation;
    for (std::uint8_t i = 0; i < workers; ++i) {
      auto next = house.snapshot_of(i);
      SwapSnapshot swap(next.get());
      call(i, swap);
      house.members[i]->snapshot = std::move(next);
      ResizeFdb resize(Fdb::Store(turn % 2 == 0 ? 16'384 : 4096, test::kHouseKey));
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
  house.now_ms = 10'000'000;
  house.settle();
  EXPECT_EQ(house.ledger_fault(), "");
  std::uint64_t received = 0;
  for (const auto& [name, site] : house.sites) received += house.counters(name).received;
  EXPECT_GT(received, 1000u);
}

INSTANTIATE_TEST_SUITE_P(Workers, ManyThreads, ::testing::Values(2, 4));

}  // namespace
}  // namespace bulkhead
