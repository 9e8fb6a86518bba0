// The MAC table by itself: against std::map, at its limits, and how rarely it has no place.
#include "dataplane/mac_table.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "tests/unit/frames.hpp"

namespace bulkhead {
namespace {

using test::mac;

constexpr HashKey kKey{{0x0123'4567'89ab'cdef, 0xfedc'ba98'7654'3211}};

TEST(MacTable, FindsWhatWasInserted) {
  MacTable table(16, kKey);
  EXPECT_EQ(table.find(mac('a'), 0), nullptr);
  MacTable::Entry* entry = table.insert(mac('a'), 3);
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->mac(), mac('a'));
  EXPECT_EQ(entry->segment(), 3);
  EXPECT_EQ(entry->port, kNoPort);
  EXPECT_EQ(entry->moves, 0);
  EXPECT_EQ(table.find(mac('a'), 3), entry);
  EXPECT_EQ(table.used(), 1u);
}

TEST(MacTable, ForgetsWhatWasErased) {
  MacTable table(16, kKey);
  table.insert(mac('a'), 0);
  table.erase(*table.find(mac('a'), 0));
  EXPECT_EQ(table.find(mac('a'), 0), nullptr);
  EXPECT_EQ(table.used(), 0u);
}

TEST(MacTable, KeepsSegmentsApart) {
  MacTable table(16, kKey);
  table.insert(mac('a'), 0)->port = 10;
  table.insert(mac('a'), 1)->port = 11;
  table.insert(mac('a'), kSegmentsMax - 1)->port = 12;
  EXPECT_EQ(table.find(mac('a'), 0)->port, 10);
  EXPECT_EQ(table.find(mac('a'), 1)->port, 11);
  EXPECT_EQ(table.find(mac('a'), kSegmentsMax - 1)->port, 12);
  EXPECT_EQ(table.find(mac('a'), 2), nullptr);
  table.erase(*table.find(mac('a'), 1));
  EXPECT_EQ(table.find(mac('a'), 0)->port, 10);
  EXPECT_EQ(table.find(mac('a'), 1), nullptr);
}

TEST(MacTable, HoldsTheSmallestAndLargestAddress) {
  MacTable table(16, kKey);
  for (const std::uint64_t value : {0x0000'0000'0000ull, 0xffff'ffff'ffffull}) {
    EXPECT_EQ(table.find({value}, 0), nullptr) << "a free entry is nobody's";
    ASSERT_NE(table.insert({value}, 0), nullptr);
    EXPECT_EQ(table.find({value}, 0)->mac().value, value);
  }
}

TEST(MacTable, RefusesWhenBothBucketsAreFull) {
  MacTable table(1, kKey);  // as small as they are
  const std::size_t places = table.bucket_count() * MacTable::kBucketEntries;
  ASSERT_EQ(places, 64u);
  std::size_t refused = 0;
  std::set<std::uint64_t> held;
  for (std::uint64_t value = 1; value <= 1000; ++value) {
    const bool has_place = table.has_place(table.hashed({value}, 0));
    EXPECT_EQ(table.insert({value}, 0) != nullptr, has_place);
    if (has_place) held.insert(value);
    refused += !has_place;
  }
  EXPECT_EQ(held.size(), places) << "every place is somebody's first or second choice";
  EXPECT_EQ(table.used(), places);
  EXPECT_EQ(refused, 1000u - places);
  for (std::uint64_t value = 1; value <= 1000; ++value) {
    EXPECT_EQ(table.find({value}, 0) != nullptr, held.contains(value));
  }
  table.erase(*table.find({*held.begin()}, 0));
  EXPECT_TRUE(table.has_place(table.hashed({*held.begin()}, 0)));
}

TEST(MacTable, HasRoomForWhatItsMakerAskedFor) {
  for (const std::size_t entries : {1u, 4u, 5u, 64u, 100u, 1000u, 65'536u}) {
    const MacTable table(entries, kKey);
    EXPECT_GE(table.room(), entries);
    EXPECT_GE(table.bucket_count() * MacTable::kBucketEntries, MacTable::kPlacesAnEntry * entries);
  }
}

// A bridge that does not start for one key in a hundred is worse than one that never does.
TEST(MacTable, TakesAllWhateverTheKey) {
  std::mt19937_64 random(1);
  for (const std::size_t entries : {5u, 8u, 12u, 16u, 64u, 256u}) {
    for (int round = 0; round < 2000; ++round) {
      MacTable table(entries, {{random(), random()}});
      for (std::size_t i = 0; i < entries; ++i) {
        ASSERT_NE(table.insert({0x5254'0000'0000 + i}, 0), nullptr) << i << " of " << entries;
      }
    }
  }
}

TEST(MacTable, TakesAllOfALargeSegment) {
  constexpr std::size_t kEntries = 262'144;
  MacTable table(kEntries, kKey);
  for (std::size_t i = 0; i < kEntries; ++i) {
    ASSERT_NE(table.insert({0x5254'0000'0000 + i}, 0), nullptr) << i;
  }
}

TEST(MacTable, DoesAsAMapOverALongRun) {
  constexpr int kSteps = 300'000;
  MacTable table(256, kKey);
  std::map<std::pair<std::uint64_t, SegmentIndex>, PortIndex> model;
  std::mt19937_64 random(2);
  std::size_t most = 0;
  for (int step = 0; step < kSteps; ++step) {
    const MacAddress address{0x0200'0000'0000 | (random() % 150)};
    const auto segment = static_cast<SegmentIndex>(random() % 3);
    const auto known = model.find({address.value, segment});
    MacTable::Entry* entry = table.find(address, segment);
    ASSERT_EQ(entry != nullptr, known != model.end());
    if (entry != nullptr) {
      ASSERT_EQ(entry->port, known->second);
      if (random() % 2 != 0) {
        table.erase(*entry);
        model.erase(known);
      }
    } else if ((entry = table.insert(address, segment)) != nullptr) {
      entry->port = static_cast<PortIndex>(random() % 1000);
      model[{address.value, segment}] = entry->port;
    }
    ASSERT_EQ(table.used(), model.size());
    most = std::max(most, model.size());
  }
  EXPECT_GT(most, 200u);
  std::size_t visited = 0;
  for (std::uint32_t place = 0; place < table.bucket_count(); ++place) {
    for (const MacTable::Entry& entry : table.bucket(place)) {
      if (entry.is_free()) continue;
      ++visited;
      EXPECT_EQ(model.at({entry.mac().value, entry.segment()}), entry.port);
    }
  }
  EXPECT_EQ(visited, model.size());
}

}  // namespace
}  // namespace bulkhead
