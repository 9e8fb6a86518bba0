// Copies of floods: how many a worker makes, and whose. By itself first, then in a bridge.
#include "dataplane/copy_budget.hpp"

#include <gtest/gtest.h>

#include <map>

#include "tests/unit/test_bridge.hpp"

namespace bulkhead {
namespace {

using test::Bytes;
using test::frame;
using test::House;
using test::mac;
using test::TestBridge;

/// Ports that flood so often a second each, to so many ports of their segment.
struct Sender {
  PortIndex port;
  SegmentIndex segment;
  std::uint32_t rate;
  std::uint32_t copies;
};

/// How many of each sender's floods are allowed, a second on average, from the fifth second to the
/// end. All of a millisecond come in an order that is another one each time.
std::map<PortIndex, double> steady_rates(const std::vector<Sender>& senders, int seconds = 15) {
  constexpr int kFirstSecond = 5;
  CopyBudget budget;
  std::map<PortIndex, double> rates;
  std::vector<std::uint32_t> due(senders.size());
  const int milliseconds = 1000 * seconds;
  for (int ms = 0; ms < milliseconds; ++ms) {
    for (std::size_t i = 0; i < senders.size(); ++i) {
      const std::size_t which = (i + static_cast<std::size_t>(ms) * 7) % senders.size();
      const Sender& sender = senders[which];
      for (due[which] += sender.rate; due[which] >= 1000; due[which] -= 1000) {
        const auto now_ms = static_cast<std::uint32_t>(ms);
        if (!budget.allows(sender.port, sender.segment, now_ms)) continue;
        budget.charge(sender.port, sender.segment, sender.copies, now_ms);
        if (ms >= 1000 * kFirstSecond) rates[sender.port] += 1.0 / (seconds - kFirstSecond);
      }
    }
  }
  return rates;
}

std::vector<Sender> many(PortIndex count, std::uint32_t rate, std::uint32_t copies) {
  std::vector<Sender> senders;
  for (PortIndex port = 0; port < count; ++port) senders.push_back({port, 0, rate, copies});
  return senders;
}

double sum(const std::map<PortIndex, double>& rates) {
  double all = 0;
  for (const auto& [port, rate] : rates) all += rate;
  return all;
}

TEST(CopyBudget, LeavesOrdinaryBroadcastsAlone) {
  EXPECT_NEAR(steady_rates(many(1, 500, 140))[0], 500, 1) << "one guest, 140 ports, at its limit";
  EXPECT_NEAR(sum(steady_rates(many(200, 2, 200))), 400, 10) << "two a second of 200 guests";
  EXPECT_NEAR(sum(steady_rates(many(1000, 1, 60))), 1000, 20);
}

TEST(CopyBudget, LimitsTheCopiesOfOneOfASegmentAndOfAll) {
  constexpr double kOften = CopyBudget::kCopiesOfOften;
  EXPECT_NEAR(sum(steady_rates(many(1, 2000, 1000))) * 1000, kOften / 3, 2000);
  EXPECT_NEAR(sum(steady_rates(many(50, 480, 50))) * 50, kOften / 2, kOften / 40);
  std::vector<Sender> everywhere = many(200, 480, 50);
  for (Sender& sender : everywhere) sender.segment = sender.port % 20;
  const double all = sum(steady_rates(everywhere)) * 50;
  EXPECT_GT(all, kOften * 0.85);
  EXPECT_LE(all, CopyBudget::kCopies);
}

TEST(CopyBudget, GivesThoseWhoFloodAlikeAlike) {
  std::map<PortIndex, double> rates = steady_rates(many(50, 480, 50));
  const double fair = sum(rates) / 50;
  for (PortIndex port = 0; port < 50; ++port) EXPECT_NEAR(rates[port], fair, fair / 4) << port;
}

TEST(CopyBudget, ServesWhoFloodsSeldomBesideAnyNumberOfOthers) {
  for (const PortIndex others : {PortIndex{1}, PortIndex{50}, PortIndex{1000}}) {
    std::vector<Sender> senders = many(others, 480, others);
    senders.push_back({2000, 0, 3, others});
    EXPECT_NEAR(steady_rates(senders)[2000], 3, 0.2) << others;
    senders.back() = {2000, 1, 3, others};
    EXPECT_NEAR(steady_rates(senders)[2000], 3, 0.2) << others << ", another segment";
  }
}

TEST(CopyBudget, DropsWhoeverSendsMostFirst) {
  std::vector<Sender> senders = many(4, 480, 400);
  senders.push_back({10, 0, 30, 400});
  std::map<PortIndex, double> rates = steady_rates(senders);
  EXPECT_NEAR(rates[10], 30, 1.5) << "less than a fair share, and served";
  EXPECT_LT(rates[0], 100);
}

TEST(CopyBudget, KeepsASegmentsShareFromAnothersFloods) {
  std::vector<Sender> senders = many(50, 480, 50);
  senders.push_back({60, 1, 480, 50});
  std::map<PortIndex, double> rates = steady_rates(senders);
  EXPECT_NEAR(rates[60], 480, 10) << "alone in its segment: 24,000 copies";
}

TEST(CopyBudget, HasAllGuestsBootAtOnce) {
  CopyBudget budget;
  int allowed = 0;
  for (std::uint32_t ms = 0; ms < 4000; ms += 400) {  // ten floods each in four seconds
    for (PortIndex port = 0; port < 200; ++port) {
      if (!budget.allows(port, 0, ms + port)) continue;
      budget.charge(port, 0, 200, ms + port);
      ++allowed;
    }
  }
  EXPECT_EQ(allowed, 2000);
}

TEST(CopyBudget, ForgetsWhatIsLongAgoAndAPortThatIsReset) {
  CopyBudget budget;
  const auto spend_all = [&](std::uint32_t now_ms) {
    while (budget.allows(1, 0, now_ms)) budget.charge(1, 0, 1000, now_ms);
  };
  spend_all(5);
  EXPECT_TRUE(budget.allows(2, 0, 5)) << "another one has a share";
  EXPECT_TRUE(budget.allows(1, 0, 20'005));
  spend_all(20'005);
  EXPECT_FALSE(budget.allows(1, 0, 20'005));
  budget.reset(1);
  EXPECT_TRUE(budget.allows(1, 0, 20'005));
}

// In a bridge.

/// `count` guests, g0 to gN, by turns on the workers if there are several.
std::string guests(int count, int workers) {
  std::string toml = "[bulkhead]\nworkers = " + std::to_string(workers) + "\n";
  for (int i = 0; i < count; ++i) {
    const std::string name = "g" + std::to_string(i);
    toml.append("[port.").append(name).append("]\ndevice = \"").append(name);
    toml.append("\"\nmac = \"any\"\nip = \"any\"\nlimit = { broadcast = \"none\" }\nworker = ");
    toml.append(std::to_string(i % workers)).append("\n");
  }
  return toml;
}

TEST(CopyBudgetInABridge, DropsAFloodBeforeItTeachesAnything) {
  TestBridge bridge(guests(100, 1));
  std::uint64_t sent = 0;
  for (; bridge.dropped("g0", DropReason::rate_limited) == 0; ++sent) {
    ASSERT_LT(sent, 2000u) << "no end of copies";
    ASSERT_TRUE(bridge.inject("g0", frame('*', 'a')));
    bridge.round(0);
    bridge.backend.take();
  }
  EXPECT_EQ(bridge.counters("g0").flooded, sent - 1);
  EXPECT_NEAR(99.0 * static_cast<double>(sent), CopyBudget::kCopiesOfOften / 3, 200);
  EXPECT_EQ(bridge.send("g0", frame('*', 'z')).reason, "rate_limited");
  EXPECT_EQ(bridge.whereabouts(0, mac('z')), "") << "it has taught where it is";
  EXPECT_EQ(bridge.send("g1", frame('*', 'b')).verdict, "flood") << "another port's are its own";
  EXPECT_EQ(bridge.send("g1", frame('a', 'b')).verdict, "unicast");
  bridge.tick(5);
  EXPECT_EQ(bridge.send("g0", frame('*', 'z')).verdict, "flood");
  EXPECT_EQ(bridge.ledger_fault(), "");
}

TEST(CopyBudgetInABridge, DoesNotCountWhatGoesToOnePort) {
  TestBridge bridge(guests(2, 1));
  for (int i = 0; i < 120'000; ++i) {
    ASSERT_TRUE(bridge.inject("g0", frame('*', 'a')));
    bridge.round(0);
    if (i % 1000 == 0) bridge.backend.take();
  }
  EXPECT_EQ(bridge.dropped("g0", DropReason::rate_limited), 0u);
}

// A worker whose own ports are few makes copies for those of others all the same.
TEST(CopyBudgetInABridge, HoldsForCopiesThatCross) {
  std::string toml = guests(1, 1);
  toml.replace(toml.find("workers = 1"), 11, "workers = 2");
  for (int i = 1; i < 100; ++i) {
    const std::string name = "h" + std::to_string(i);
    toml.append("[port.").append(name).append("]\ndevice = \"").append(name);
    toml.append("\"\nmac = \"any\"\nip = \"any\"\nworker = 1\n");
  }
  House house(toml);
  int heard = 0;
  constexpr int kFloods = 3000;
  for (int i = 0; i < kFloods; ++i) {
    ASSERT_TRUE(house.inject("g0", frame('*', 'a')));
    house.settle();
    heard += house.taken()["h7"];
  }
  EXPECT_NEAR(99.0 * heard, CopyBudget::kCopiesOfOften / 3, 200);
  EXPECT_EQ(house.refused("h7", DropReason::rate_limited), static_cast<unsigned>(kFloods - heard));
  EXPECT_EQ(house.ledger_fault(), "");
}

}  // namespace
}  // namespace bulkhead
