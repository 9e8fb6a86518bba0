// What ports teach: learning, ageing in time, limits, ranks, moves, and what a reload leaves
// behind.
#include "dataplane/fdb.hpp"

#include <gtest/gtest.h>

#include <functional>

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

TEST_F(FdbTest, TakesOverASmallerTable) {
  snapshot_.ports[kGuest].mac_max = 3;
  snapshot_.segments[0].mac_limit = 5;
  for (const char name : {'a', 'b', 'c'}) see(kGuest, name);
  see(kUplink, 'd');
  see(kElse, 'a');
  see(kUplink, 'a');
  Fdb larger(1000, kKey);
  larger.take_over(fdb_);
  EXPECT_EQ(larger.size(), fdb_.size());
  EXPECT_GE(larger.room(), 1000u);
  fdb_ = std::move(larger);
  EXPECT_EQ(where('a'), kUplink);
  EXPECT_EQ(where('b'), kGuest);
  EXPECT_EQ(where('d'), kUplink);
  EXPECT_EQ(where('a', 1), kElse);
  EXPECT_EQ(fdb_.find(snapshot_, hashed(kGuest, mac('a')), now_)->moves, 1);
  EXPECT_EQ(see(kGuest, 'e'), Change::insert) << "one of three has moved away";
  EXPECT_EQ(refusal(kGuest, 'f'), DropReason::mac_limit) << "the port's count came along";
  EXPECT_EQ(refusal(kOther, 'f'), DropReason::mac_limit) << "the segment's too";
  now_ += kAgeing;
  EXPECT_EQ(where('b'), kNoPort) << "ages came along";
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
