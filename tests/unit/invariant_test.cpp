// What a fault of our own does: a debug build aborts, a release build counts it and goes on,
// safely.
#include "dataplane/invariant.hpp"

#include <gtest/gtest.h>

#include "tests/harness/house.hpp"
#include "tests/unit/frames.hpp"

namespace bulkhead {
namespace {

using test::frame;
using test::House;

constexpr const char* kTwo = R"(
[bulkhead]
workers = 2
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
)";

#ifdef NDEBUG
#define EXPECT_BREACH(statement)             \
  do {                                       \
    const std::uint64_t before = breaches(); \
    statement;                               \
    EXPECT_EQ(breaches(), before + 1);       \
  } while (false)
#else
#define EXPECT_BREACH(statement) EXPECT_DEATH(statement, "invariant")
#endif

TEST(Invariant, ABufferThatIsGivenBackTwiceIsFreeOnce) {
  std::vector<std::uint8_t> memory(4 * 64);
  BufferPool pool(memory, 64);
  Buffer* buffer = pool.take();
  pool.release(buffer);
  EXPECT_BREACH(pool.release(buffer));
  EXPECT_EQ(pool.free_count(), 4u);
  for (int i = 0; i < 4; ++i) EXPECT_NE(pool.take(), nullptr);
  EXPECT_EQ(pool.take(), nullptr) << "nobody else has it";
}

TEST(Invariant, ABorrowedBufferIsGivenBackOnce) {
  House house(kTwo);
  house.inject("a", frame('b', 'a'));
  house.round(0);
  BufferPool& borrower = house.places[1]->pool;
  Buffer* lent = &house.places[0]->pool.at(0);
  EXPECT_BREACH(borrower.release(lent));  // it has not arrived yet
  house.settle();
  EXPECT_EQ(house.taken()["b"], 1);
  EXPECT_EQ(house.ledger_fault(), "");
}

TEST(Invariant, WhatIsNoListOfAReachSetIsFloodedToNobody) {
  const ReachSet reach;
  const std::vector<PortIndex> other{1, 2};
  EXPECT_BREACH(EXPECT_EQ(reach.number_of(other), ReachSet::kNoList));
}

TEST(Invariant, AnAnnouncementWithoutRoomIsLeftOut) {
  House house(kTwo);
  Crossings& crossings = house.members[0]->worker->crossings();
  Crossing news;
  news.kind = Crossing::Kind::aged;
  news.from = 0;
  for (std::size_t i = crossings.room(); i > 0; --i) crossings.announce(news);
  EXPECT_BREACH(crossings.announce(news));
  crossings.flush();
  EXPECT_EQ(house.members[1]->worker->crossings().arrived(0), Passage::kCrossings);
}

}  // namespace
}  // namespace bulkhead
