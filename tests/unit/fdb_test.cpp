// What ports teach: learning, ageing in time, limits, ranks, moves, and what a reload leaves
// behind.
#include "dataplane/fdb.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "tests/unit/frames.hpp"

namespace bulkhead {
namespace {

using test::mac;
using Change = Fdb::Change;

constexpr HashKey kKey{{1, 2}};
constexpr std::uint32_t kAgeing = 5000;
constexpr PortIndex kGuest = 0;
constexpr PortIndex kOther = 1;
constexpr PortIndex kUplink = 2;  // trusted
constexpr PortIndex kElse = 3;    // in another segment
constexpr PortIndex kBound = 4;   // does not learn

class FdbTest : public ::testing::Test {
 protected:
  FdbTest() {
    snapshot_.segments = {{kAgeing, 100}, {2 * kAgeing, 100}};
    for (PortIndex port = kGuest; port <= kBound; ++port) {
      PortPolicy policy;
      policy.present = policy.up = true;
      policy.learns = port != kBound;
      policy.trusted = port == kUplink;
      policy.segment = port == kElse ? 1 : 0;
      policy.mac_max = 10;
      snapshot_.ports[port] = policy;
    }
  }

  MacTable::Hashed hashed(PortIndex from, MacAddress source) const {
    return fdb_.hashed(snapshot_, from, source);
  }
  Fdb::Judgement judge(PortIndex from, char name) const {
    return fdb_.judge(snapshot_, from, hashed(from, mac(name)), false, now_);
  }
  /// Judges and learns. Says what changed.
  Change see(PortIndex from, char name) {
    const Change change = judge(from, name).change;
    before_ = fdb_.learn(snapshot_, from, hashed(from, mac(name)), false, change, now_);
    return change;
  }
  DropReason refusal(PortIndex from, char name) const {
    const Fdb::Judgement judgement = judge(from, name);
    EXPECT_EQ(judgement.change, Change::refuse);
    return judgement.reason;
  }
  PortIndex where(char name, SegmentIndex segment = 0) const {
    const MacTable::Entry* entry =
        fdb_.find(snapshot_, snapshot_.bound.hashed(mac(name), segment), now_);
    return entry == nullptr ? kNoPort : entry->port;
  }
  /// Sweeps the whole table; returns how many entries went.
  int sweep() {
    int aged = 0;
    fdb_.sweep(snapshot_, now_, fdb_.bucket_count(), [&](const MacTable::Entry&) { ++aged; });
    return aged;
  }

  Snapshot snapshot_{16, 16, kKey};
  Fdb fdb_{64, kKey};
  std::uint32_t now_ = 1000;
  PortIndex before_ = kNoPort;
};

TEST_F(FdbTest, LearnsAndRefreshes) {
  EXPECT_EQ(where('a'), kNoPort);
  EXPECT_EQ(see(kGuest, 'a'), Change::insert);
  EXPECT_EQ(where('a'), kGuest);
  EXPECT_EQ(before_, kNoPort);
  EXPECT_EQ(fdb_.size(), 1u);
  now_ += 3000;
  EXPECT_EQ(see(kGuest, 'a'), Change::refresh);
  now_ += 3000;
  EXPECT_EQ(where('a'), kGuest) << "the refresh counts";
  EXPECT_EQ(fdb_.size(), 1u);
}

TEST_F(FdbTest, JudgingChangesNothing) {
  for (int i = 0; i < 100; ++i) EXPECT_EQ(judge(kGuest, 'a').change, Change::insert);
  EXPECT_EQ(where('a'), kNoPort);
  see(kGuest, 'a');
  for (int i = 0; i < 100; ++i) EXPECT_EQ(judge(kOther, 'a').change, Change::move);
  EXPECT_EQ(where('a'), kGuest);
  now_ += kAgeing - 1;
  EXPECT_EQ(judge(kGuest, 'a').change, Change::refresh);
  now_ += 1;
  EXPECT_EQ(where('a'), kNoPort) << "judging did not refresh";
}

TEST_F(FdbTest, RefusalsAndNothingTeachNothing) {
  fdb_.learn(snapshot_, kGuest, hashed(kGuest, mac('a')), false, Change::nothing, now_);
  fdb_.learn(snapshot_, kGuest, hashed(kGuest, mac('a')), false, Change::refuse, now_);
  EXPECT_EQ(fdb_.size(), 0u);
}

TEST_F(FdbTest, KeepsSegmentsApart) {
  see(kGuest, 'a');
  EXPECT_EQ(see(kElse, 'a'), Change::insert);
  EXPECT_EQ(where('a', 0), kGuest);
  EXPECT_EQ(where('a', 1), kElse);
}

TEST_F(FdbTest, AgesToTheMillisecond) {
  see(kGuest, 'a');
  see(kElse, 'a');
  now_ += kAgeing - 1;
  EXPECT_EQ(where('a'), kGuest);
  now_ += 1;
  EXPECT_EQ(where('a'), kNoPort);
  EXPECT_EQ(where('a', 1), kElse) << "its segment's ageing is twice as long";
  now_ += kAgeing;
  EXPECT_EQ(where('a', 1), kNoPort);
}

TEST_F(FdbTest, AgesAcrossTheEndOfTheClock) {
  now_ = 0u - 2000u;
  see(kGuest, 'a');
  now_ += kAgeing - 1;  // the clock has passed zero
  ASSERT_LT(now_, kAgeing);
  EXPECT_EQ(where('a'), kGuest);
  EXPECT_EQ(sweep(), 0);
  now_ += 1;
  EXPECT_EQ(where('a'), kNoPort);
  EXPECT_EQ(sweep(), 1);
}

TEST_F(FdbTest, SweepsOutWhatIsDeadAndTells) {
  see(kGuest, 'a');
  now_ += kAgeing;
  see(kGuest, 'b');
  EXPECT_EQ(fdb_.size(), 2u);
  std::vector<MacAddress> aged;
  fdb_.sweep(snapshot_, now_, fdb_.bucket_count(),
             [&](const MacTable::Entry& entry) { aged.push_back(entry.mac()); });
  EXPECT_EQ(aged, std::vector{mac('a')});
  EXPECT_EQ(fdb_.size(), 1u);
  EXPECT_EQ(where('b'), kGuest);
}

TEST_F(FdbTest, SweepsInSlicesThatCoverTheTable) {
  for (char name = 'a'; name < 'k'; ++name) see(kGuest, name);
  now_ += kAgeing;
  int aged = 0;
  for (std::uint32_t i = 0; i < fdb_.bucket_count(); ++i) {
    const std::size_t before = fdb_.size();
    fdb_.sweep(snapshot_, now_, 1, [&](const MacTable::Entry&) { ++aged; });
    EXPECT_LE(before - fdb_.size(), MacTable::kBucketEntries);
  }
  EXPECT_EQ(aged, 10);
  EXPECT_EQ(fdb_.size(), 0u);
}

TEST_F(FdbTest, HoldsAPortToMacMax) {
  snapshot_.ports[kGuest].mac_max = 2;
  see(kGuest, 'a');
  see(kGuest, 'b');
  EXPECT_EQ(refusal(kGuest, 'c'), DropReason::mac_limit);
  EXPECT_EQ(see(kGuest, 'a'), Change::nothing) << "what it has it may use";
  EXPECT_EQ(see(kOther, 'c'), Change::insert) << "the limit is the port's own";
  EXPECT_EQ(refusal(kGuest, 'c'), DropReason::mac_limit) << "nor by a move";
  see(kOther, 'b');  // moves away, and makes room
  EXPECT_EQ(see(kGuest, 'c'), Change::move);
  EXPECT_EQ(refusal(kGuest, 'd'), DropReason::mac_limit);
}

TEST_F(FdbTest, HoldsASegmentToMacLimit) {
  snapshot_.segments[0].mac_limit = 2;
  see(kGuest, 'a');
  see(kOther, 'b');
  EXPECT_EQ(refusal(kUplink, 'c'), DropReason::mac_limit);
  EXPECT_EQ(see(kOther, 'a'), Change::move) << "a move adds none";
  EXPECT_EQ(see(kElse, 'c'), Change::insert) << "the limit is the segment's own";
}

TEST_F(FdbTest, AgeingMakesRoomUnderBothLimits) {
  snapshot_.ports[kGuest].mac_max = 1;
  snapshot_.segments[0].mac_limit = 1;
  see(kGuest, 'a');
  now_ += kAgeing;
  sweep();
  EXPECT_EQ(see(kGuest, 'b'), Change::insert);
}

TEST_F(FdbTest, StopsWhenTheTableIsFull) {
  snapshot_.ports[kUplink].mac_max = 1'000'000;
  snapshot_.segments[0].mac_limit = 1'000'000;
  std::uint64_t value = 0x0400'0000'0000;
  for (; fdb_.size() < fdb_.room(); ++value) {
    const auto judgement = fdb_.judge(snapshot_, kUplink, hashed(kUplink, {value}), false, now_);
    fdb_.learn(snapshot_, kUplink, hashed(kUplink, {value}), false, judgement.change, now_);
  }
  const auto judgement = fdb_.judge(snapshot_, kUplink, hashed(kUplink, {value}), false, now_);
  EXPECT_EQ(judgement.change, Change::refuse);
  EXPECT_EQ(judgement.reason, DropReason::mac_limit);
}

TEST_F(FdbTest, MovesToEqualAndHigherRank) {
  see(kGuest, 'a');
  EXPECT_EQ(see(kOther, 'a'), Change::move);
  EXPECT_EQ(before_, kGuest);
  EXPECT_EQ(see(kUplink, 'a'), Change::move);
  EXPECT_EQ(before_, kOther);
  EXPECT_EQ(where('a'), kUplink);
}

TEST_F(FdbTest, NeverMovesToLowerRank) {
  see(kUplink, 'a');
  EXPECT_EQ(refusal(kGuest, 'a'), DropReason::spoofed_mac);
  EXPECT_EQ(see(kGuest, 'a'), Change::refuse);
  EXPECT_EQ(where('a'), kUplink);
  now_ += kAgeing;
  EXPECT_EQ(see(kGuest, 'a'), Change::move) << "what is dead has no rank";
  EXPECT_EQ(before_, kNoPort) << "and nothing has moved";
}

TEST_F(FdbTest, RefreshesWhatIsNotFresh) {
  see(kGuest, 'a');
  EXPECT_EQ(see(kGuest, 'a'), Change::nothing) << "seen in this millisecond";
  snapshot_.ports[kGuest].trusted = true;
  EXPECT_EQ(see(kGuest, 'a'), Change::refresh) << "of a higher rank now";
  ++now_;
  EXPECT_EQ(see(kGuest, 'a'), Change::refresh);
}

TEST_F(FdbTest, RanksByWhatThePortsAreNow) {
  see(kUplink, 'a');
  see(kGuest, 'b');
  snapshot_.ports[kUplink].trusted = false;
  snapshot_.ports[kGuest].trusted = true;
  EXPECT_EQ(see(kOther, 'a'), Change::move);
  EXPECT_EQ(refusal(kOther, 'b'), DropReason::spoofed_mac);
}

TEST_F(FdbTest, StopsFlappingUntilTheNextSweep) {
  see(kGuest, 'a');
  for (int i = 0; i < kMovesPerSweep; ++i) {
    EXPECT_EQ(see(i % 2 == 0 ? kOther : kGuest, 'a'), Change::move) << i;
  }
  const PortIndex at = where('a');
  const PortIndex away = at == kGuest ? kOther : kGuest;
  EXPECT_EQ(refusal(away, 'a'), DropReason::flapping);
  EXPECT_EQ(see(at, 'a'), Change::nothing) << "where it is, it may stay";
  EXPECT_EQ(refusal(away, 'a'), DropReason::flapping);
  sweep();
  EXPECT_EQ(see(away, 'a'), Change::move);
}

TEST_F(FdbTest, EntriesOfAPortThatNoLongerLearnsAreDead) {
  const auto dies = [this](const std::function<void(PortPolicy&)>& change) {
    const PortPolicy before = snapshot_.ports[kGuest];
    see(kGuest, 'a');
    EXPECT_EQ(where('a'), kGuest);
    change(snapshot_.ports[kGuest]);
    EXPECT_EQ(where('a'), kNoPort);
    EXPECT_EQ(sweep(), 1);
    snapshot_.ports[kGuest] = before;
  };
  dies([](PortPolicy& port) { port.present = false; });
  dies([](PortPolicy& port) { port.learns = false; });
  dies([](PortPolicy& port) { port.segment = 1; });
  EXPECT_EQ(see(kGuest, 'a'), Change::insert) << "its counts were given back";
  snapshot_.ports.assign(kPortsMax, PortPolicy());
  EXPECT_EQ(where('a'), kNoPort);
}

TEST_F(FdbTest, DeadEntriesMakeWayWithoutAMove) {
  see(kGuest, 'a');
  snapshot_.ports[kGuest].present = false;
  EXPECT_EQ(see(kOther, 'a'), Change::move);
  EXPECT_EQ(before_, kNoPort);
  EXPECT_EQ(where('a'), kOther);
  snapshot_.ports[kOther].mac_max = 1;
  EXPECT_EQ(refusal(kOther, 'b'), DropReason::mac_limit) << "it counts where it is now";
}

TEST_F(FdbTest, SweepsOutWhatIsBoundMeanwhile) {
  see(kGuest, 'a');
  snapshot_.bound.insert(mac('a'), 0)->port = kBound;
  EXPECT_EQ(sweep(), 1);
  EXPECT_EQ(fdb_.size(), 0u);
}

TEST_F(FdbTest, MovesIntoAnotherTableInSlicesAndIsTheSameAllTheWhile) {
  snapshot_.ports[kGuest].mac_max = 3;
  snapshot_.segments[0].mac_limit = 5;
  for (const char name : {'a', 'b', 'c'}) see(kGuest, name);
  see(kUplink, 'd');
  see(kElse, 'a');
  see(kUplink, 'a');
  const std::size_t room = fdb_.room();
  Fdb::Store other(1000, kKey);
  fdb_.begin_move(other);
  EXPECT_GT(fdb_.room(), room);
  int slices = 0;
  for (bool done = false; !done; ++slices) {
    EXPECT_EQ(fdb_.size(), 5u);
    EXPECT_EQ(fdb_.own_count_on(kGuest), 2u);
    EXPECT_EQ(where('a'), kUplink);
    EXPECT_EQ(where('b'), kGuest);
    EXPECT_EQ(where('d'), kUplink);
    EXPECT_EQ(where('a', 1), kElse);
    EXPECT_EQ(fdb_.find(snapshot_, hashed(kGuest, mac('a')), now_)->moves, 1);
    EXPECT_EQ(judge(kGuest, 'e').change, Change::insert) << "one of three has moved away";
    done = fdb_.move(1, [](const MacTable::Entry&) { FAIL() << "all find a place"; });
  }
  EXPECT_EQ(slices, static_cast<int>(other.table.bucket_count()));
  EXPECT_EQ(other.table.used(), 0u);
  EXPECT_EQ(see(kGuest, 'e'), Change::insert);
  EXPECT_EQ(refusal(kGuest, 'f'), DropReason::mac_limit) << "the port's count came along";
  EXPECT_EQ(refusal(kOther, 'f'), DropReason::mac_limit) << "the segment's too";
  now_ += kAgeing;
  EXPECT_EQ(where('b'), kNoPort) << "ages came along";
}

// Whatever happens while entries move, one that does not move has the same to say.
TEST_F(FdbTest, AMovingTableAnswersAsOneAtRest) {
  std::mt19937 random(7);
  Fdb rest(4096, kKey);
  for (PortIndex port = kGuest; port <= kUplink; ++port) snapshot_.ports[port].mac_max = 10'000;
  snapshot_.segments[0].mac_limit = 10'000;
  const auto any_mac = [&] { return MacAddress{0x0200'0000'0000 + random() % 700}; };
  Fdb::Store other(2048, kKey);
  bool moving = false;
  for (int turn = 0; turn < 60'000; ++turn) {
    const PortIndex from = static_cast<PortIndex>(random() % 2);
    const MacAddress address = any_mac();
    const MacTable::Hashed source = fdb_.hashed(snapshot_, from, address);
    now_ += random() % 3 == 0;
    if (turn % 4000 == 0 && !moving) {
      other = Fdb::Store(turn % 8000 == 0 ? 2048 : 512, kKey);
      fdb_.begin_move(other);
      moving = true;
    } else if (moving && turn % 5 == 0) {
      moving = !fdb_.move(1 + random() % 8, [](const MacTable::Entry&) { FAIL(); });
    }
    switch (random() % 4) {
      case 0: {
        const std::uint64_t stamp = (random() % 1'000'000) * kWorkersMax + 3;
        fdb_.hear(address, 0, from, EntryKind::learned_guest, stamp);
        rest.hear(address, 0, from, EntryKind::learned_guest, stamp);
        break;
      }
      case 1:
        if (const auto* entry = rest.find(snapshot_, source, now_); entry != nullptr) {
          const std::uint64_t stamp = rest.stamp_of(*entry);
          ASSERT_EQ(fdb_.stamp_of(*fdb_.find(snapshot_, source, now_)), stamp) << turn;
          fdb_.forget_heard(address, 0, stamp);
          rest.forget_heard(address, 0, stamp);
        }
        break;
      default: {
        const Change change = rest.judge(snapshot_, from, source, false, now_).change;
        ASSERT_EQ(fdb_.judge(snapshot_, from, source, false, now_).change, change) << turn;
        ASSERT_EQ(fdb_.learn(snapshot_, from, source, false, change, now_),
                  rest.learn(snapshot_, from, source, false, change, now_));
      }
    }
    ASSERT_EQ(fdb_.size(), rest.size()) << turn;
    ASSERT_EQ(fdb_.own_count(), rest.own_count());
    ASSERT_EQ(fdb_.own_count_on(from), rest.own_count_on(from));
    const auto* one = fdb_.find(snapshot_, source, now_);
    const auto* same = rest.find(snapshot_, source, now_);
    ASSERT_EQ(one == nullptr, same == nullptr) << turn;
    if (one != nullptr) {
      ASSERT_EQ(one->port, same->port) << turn;
      ASSERT_EQ(one->seen_ms, same->seen_ms);
    }
  }
}

TEST_F(FdbTest, WhatFindsNoPlaceInASmallerTableIsForgotten) {
  Fdb fdb(4096, kKey);
  snapshot_.ports[kUplink].mac_max = snapshot_.segments[0].mac_limit = 10'000;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const MacTable::Hashed source = fdb.hashed(snapshot_, kUplink, {0x0200'0000'0000 + i});
    fdb.learn(snapshot_, kUplink, source, false, Change::insert, now_);
  }
  Fdb::Store tiny(1, kKey);
  const std::size_t places = tiny.stamps.size();
  fdb.begin_move(tiny);
  std::size_t lost = 0;
  while (!fdb.move(100, [&](const MacTable::Entry&) { ++lost; })) {
  }
  EXPECT_GT(fdb.size(), places / 2);
  EXPECT_EQ(fdb.size() + lost, 1000u);
  EXPECT_EQ(fdb.own_count_on(kUplink), fdb.size());
  EXPECT_EQ(tiny.table.used(), 0u);
}

TEST_F(FdbTest, SaysWhenAnotherTableWouldBeRight) {
  Fdb fdb(2 * Fdb::kEntriesMin, kKey);
  snapshot_.ports[kUplink].mac_max = snapshot_.segments[0].mac_limit = 1'000'000;
  EXPECT_TRUE(fdb.is_sparse());
  std::uint64_t count = 0;
  for (; !fdb.is_crowded(); ++count) {
    const MacTable::Hashed source = fdb.hashed(snapshot_, kUplink, {0x0200'0000'0000 + count});
    ASSERT_EQ(fdb.judge(snapshot_, kUplink, source, false, now_).change, Change::insert);
    fdb.learn(snapshot_, kUplink, source, false, Change::insert, now_);
  }
  EXPECT_EQ(count, 2 * Fdb::kEntriesMin / 4 * 3 + 1);
  EXPECT_FALSE(fdb.is_sparse());
  EXPECT_LT(count, fdb.room() / 2) << "there is time to make it";
  Fdb::Store larger(Fdb::kRoomFactor * count, kKey);
  fdb.begin_move(larger);
  EXPECT_FALSE(fdb.is_crowded()) << "while they move, too";
  while (!fdb.move(1000, [](const MacTable::Entry&) {})) {
  }
  EXPECT_FALSE(fdb.is_crowded());
  EXPECT_FALSE(fdb.is_sparse());
  EXPECT_FALSE(fdb_.is_sparse()) << "the least there is";
}

TEST_F(FdbTest, VisitsEveryEntryOnceInSlices) {
  for (char name = 'a'; name < 'k'; ++name) see(kGuest, name);
  std::uint32_t place = 0;
  int visited = 0;
  int slices = 0;
  do {
    place = fdb_.visit(place, 3, [&](const MacTable::Entry& entry) {
      ++visited;
      return entry.mac() == mac('c');
    });
    ++slices;
  } while (place != 0);
  EXPECT_EQ(visited, 10);
  EXPECT_EQ(slices, static_cast<int>((fdb_.bucket_count() + 2) / 3));
  EXPECT_EQ(fdb_.size(), 9u);
  EXPECT_EQ(where('c'), kNoPort);
  EXPECT_EQ(see(kGuest, 'z'), Change::insert) << "and its count was given back";
}

}  // namespace
}  // namespace bulkhead
