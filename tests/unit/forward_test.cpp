// One batch from parse to egress: order, references, buffers, a full egress, events and the ledger.
#include "dataplane/forward.hpp"

#include <gtest/gtest.h>

#include "tests/unit/test_bridge.hpp"

namespace bulkhead {
namespace {

using test::Bytes;
using test::frame;
using test::kIpv4;
using test::mac;
using test::Outcome;
using test::TestBridge;

constexpr const char* kFour = R"(
[port.a]
device = "a"
mac = "02:00:00:00:00:61"
ip = "any"
[port.b]
device = "b"
mac = "02:00:00:00:00:62"
ip = "any"
[port.m]
device = "m"
mac = "any"
ip = "any"
[port.u]
device = "u"
trusted = true
)";

class ForwardTest : public ::testing::Test {
 protected:
  void inject(const char* from, const Bytes& bytes, std::size_t split = SIZE_MAX) {
    ASSERT_TRUE(bridge_.backend.inject(bridge_.port(from), bytes, split));
  }
  void round() { bridge_.worker->round(bridge_.now_ms); }
  void TearDown() override { EXPECT_EQ(bridge_.ledger_fault(), ""); }

  TestBridge bridge_{kFour};
};

TEST(BufferPoolTest, GivesEveryChunkOnceAndTakesItBack) {
  std::vector<std::uint8_t> memory(4 * 256);
  BufferPool pool(memory, 256);
  ASSERT_EQ(pool.chunk_count(), 4u);
  std::set<std::uint8_t*> starts;
  std::vector<Buffer*> taken;
  while (Buffer* buffer = pool.take()) {
    EXPECT_EQ(&pool.at(buffer->chunk), buffer);
    EXPECT_EQ(buffer->references, 1u);
    EXPECT_EQ(buffer->next, nullptr);
    starts.insert(pool.start_of(buffer->chunk));
    taken.push_back(buffer);
  }
  EXPECT_EQ(starts.size(), 4u);
  EXPECT_EQ(pool.free_count(), 0u);
  taken[0]->next = taken[1];
  taken[0]->references = 2;
  pool.release(taken[0]);
  EXPECT_EQ(pool.free_count(), 0u) << "somebody still needs it";
  pool.release(taken[0]);
  EXPECT_EQ(pool.free_count(), 2u) << "the whole chain";
  EXPECT_EQ(pool.take()->next, nullptr);
}

TEST_F(ForwardTest, CountsFramesAndBytes) {
  inject("a", frame('b', 'a', kIpv4, 60));
  inject("a", frame('*', 'a', kIpv4, 100));
  inject("a", frame('b', 'z', kIpv4, 200));
  round();
  const PortCounters& a = bridge_.counters("a");
  EXPECT_EQ(a.received, 3u);
  EXPECT_EQ(a.received_bytes, 360u);
  EXPECT_EQ(a.unicast, 1u);
  EXPECT_EQ(a.flooded, 1u);
  EXPECT_EQ(a.dropped[index_of(DropReason::spoofed_mac)], 1u);
  EXPECT_EQ(bridge_.counters("b").offered, 2u);
  EXPECT_EQ(bridge_.counters("b").sent, 2u);
  EXPECT_EQ(bridge_.counters("b").sent_bytes, 160u);
  EXPECT_EQ(bridge_.counters("u").sent_bytes, 100u);
}

TEST_F(ForwardTest, FloodsOneBufferToAll) {
  inject("a", frame('*', 'a'), 40);
  EXPECT_EQ(bridge_.pool.free_count(), TestBridge::kChunks - 2);
  round();
  const auto sent = bridge_.backend.take();
  ASSERT_EQ(sent.size(), 3u);
  for (const auto& [port, bytes] : sent) EXPECT_EQ(bytes, frame('*', 'a'));
  EXPECT_EQ(bridge_.pool.free_count(), TestBridge::kChunks);
}

// Forwarder::forward() without flush(): the frames are in flight, each with its references.
TEST_F(ForwardTest, CountsReferencesWhileAFloodIsInFlight) {
  Buffer* buffer = bridge_.pool.take();
  const Bytes bytes = frame('*', 'a');
  buffer->data = bridge_.pool.start_of(buffer->chunk);
  std::copy(bytes.begin(), bytes.end(), buffer->data);
  buffer->length = 60;
  const Frame flooded{buffer, 60, bridge_.port("a")};
  Forwarder& forwarder = bridge_.worker->forwarder();
  forwarder.forward(*bridge_.snapshot, *bridge_.fdb, {&flooded, 1}, bridge_.now_ms);
  EXPECT_EQ(buffer->references, 3u);
  forwarder.flush(*bridge_.snapshot);
  EXPECT_EQ(buffer->references, 0u);
}

TEST_F(ForwardTest, KeepsTheOrderOfFramesToAPort) {
  std::vector<Bytes> expected;
  for (std::uint8_t i = 0; i < 60; ++i) {
    Bytes bytes = frame('b', 'a');
    bytes.back() = i;
    inject("a", bytes);
    expected.push_back(bytes);
  }
  round();
  const auto sent = bridge_.backend.take();
  ASSERT_EQ(sent.size(), expected.size());
  for (std::size_t i = 0; i < sent.size(); ++i) EXPECT_EQ(sent[i].bytes, expected[i]) << i;
}

TEST_F(ForwardTest, LearnsWithinABatch) {
  inject("m", frame('a', 'z'));  // teaches where 'z' is
  inject("b", frame('z', 'b'));  // and this one uses it
  inject("u", frame('a', 'z'));  // moves it
  inject("b", frame('z', 'b'));
  round();
  EXPECT_EQ(bridge_.counters("m").sent, 1u);
  EXPECT_EQ(bridge_.counters("u").sent, 1u);
  EXPECT_EQ(bridge_.counters("b").unicast, 2u);
}

TEST_F(ForwardTest, TakesMoreThanABatchInSeveralRounds) {
  for (std::size_t i = 0; i < kBatchFrames + 10; ++i) inject("a", frame('b', 'a'));
  round();
  EXPECT_EQ(bridge_.counters("b").sent, kBatchFrames);
  round();
  EXPECT_EQ(bridge_.counters("b").sent, kBatchFrames + 10);
}

// More for one port in a round than a gathering holds: unicast and floods of two batches.
TEST_F(ForwardTest, FlushesAFullGatheringInBetween) {
  Forwarder& forwarder = bridge_.worker->forwarder();
  for (int batch = 0; batch < 3; ++batch) {
    for (std::size_t i = 0; i < kBatchFrames; ++i) {
      inject("a", i % 2 == 0 ? frame('b', 'a') : frame('*', 'a'));
    }
    std::array<Frame, kBatchFrames> frames;
    ASSERT_EQ(bridge_.backend.receive(frames), kBatchFrames);
    forwarder.forward(*bridge_.snapshot, *bridge_.fdb, frames, bridge_.now_ms);
  }
  EXPECT_EQ(bridge_.counters("b").sent, 2 * kBatchFrames);
  forwarder.flush(*bridge_.snapshot);
  EXPECT_EQ(bridge_.counters("b").sent, 3 * kBatchFrames);
  EXPECT_EQ(bridge_.counters("u").sent, 3 * kBatchFrames / 2);
}

TEST_F(ForwardTest, SendsUnicastBeforeCopiesOfFloods) {
  inject("a", frame('*', 'a'));
  inject("a", frame('*', 'a'));
  inject("u", frame('b', 'u'));
  round();
  const auto sent = bridge_.backend.take();
  ASSERT_EQ(sent.size(), 7u);
  EXPECT_EQ(sent[2].bytes, frame('b', 'u')) << "behind what came for the same port before it";
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(sent[i].port, bridge_.port("b")) << i;
}

TEST_F(ForwardTest, RefusesWhatTheBackendDoesNotTake) {
  bridge_.backend.set_room(3);
  for (int i = 0; i < 10; ++i) inject("a", frame('b', 'a', kIpv4, 100));
  for (int i = 0; i < 4; ++i) inject("a", frame('*', 'a', kIpv4, 100));
  round();
  const PortCounters& b = bridge_.counters("b");
  EXPECT_EQ(b.offered, 14u);
  EXPECT_EQ(b.sent, 3u);
  EXPECT_EQ(b.sent_bytes, 300u);
  EXPECT_EQ(bridge_.refused("b", DropReason::overrun), 11u);
  EXPECT_EQ(bridge_.refused("u", DropReason::overrun), 1u);
  EXPECT_EQ(bridge_.counters("a").unicast, 10u) << "the sender's ledger closes all the same";
  EXPECT_EQ(bridge_.pool.free_count(), TestBridge::kChunks);
  bridge_.backend.set_room(SIZE_MAX);
  EXPECT_EQ(bridge_.send("a", frame('b', 'a')), (Outcome{"unicast", "", {"b"}, {}}));
}

TEST_F(ForwardTest, TellsOfLearningAndMoves) {
  bridge_.send("m", frame('a', 'z'));
  bridge_.send("m", frame('a', 'z'));  // a refresh is nothing new
  bridge_.send("u", frame('a', 'z'));
  bridge_.send("a", frame('b', 'a'));  // a bound address is not learned
  const std::vector<Event> events = bridge_.events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].kind, Event::Kind::learned);
  EXPECT_EQ(events[0].port, bridge_.port("m"));
  EXPECT_EQ(events[0].mac, mac('z'));
  EXPECT_EQ(events[0].segment, bridge_.segments.at("default"));
  EXPECT_EQ(events[1].kind, Event::Kind::moved);
  EXPECT_EQ(events[1].port, bridge_.port("u"));
  EXPECT_EQ(events[1].from, bridge_.port("m"));
}

TEST_F(ForwardTest, TellsOfADropWithTheHeadOfTheFrame) {
  Bytes bytes = frame('b', 'z', kIpv4, 200);
  bytes[63] = 0xab;
  bridge_.send("a", bytes);
  bridge_.sites.at("b").up = false;
  bridge_.reload();
  bridge_.send("a", frame('b', 'a', kIpv4, 60));
  const std::vector<Event> events = bridge_.events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].kind, Event::Kind::dropped);
  EXPECT_EQ(events[0].reason, DropReason::spoofed_mac);
  EXPECT_FALSE(events[0].at_egress);
  EXPECT_EQ(events[0].port, bridge_.port("a"));
  EXPECT_EQ(events[0].from, bridge_.port("a"));
  EXPECT_EQ(events[0].length, 200u);
  ASSERT_EQ(events[0].head_length, Event::kHeadBytes);
  EXPECT_TRUE(std::equal(events[0].head.begin(), events[0].head.end(), bytes.begin()));
  EXPECT_EQ(events[1].reason, DropReason::port_down);
  EXPECT_TRUE(events[1].at_egress);
  EXPECT_EQ(events[1].port, bridge_.port("b"));
  EXPECT_EQ(events[1].from, bridge_.port("a"));
  EXPECT_EQ(events[1].head_length, 60u);
}

TEST_F(ForwardTest, ReportsSoManyDropsASweepAndPort) {
  for (int i = 0; i < 50; ++i) inject("a", frame('b', 'z'));
  inject("b", frame('a', 'z'));
  round();
  std::map<PortIndex, int> told;
  for (const Event& event : bridge_.events()) ++told[event.from];
  EXPECT_EQ(told[bridge_.port("a")], DropReporter::kQuiet);
  EXPECT_EQ(told[bridge_.port("b")], 1) << "one that floods does not use up another's";
  EXPECT_EQ(bridge_.dropped("a", DropReason::spoofed_mac), 50u) << "all of them count";
  bridge_.tick();
  bridge_.send("a", frame('b', 'z'));
  EXPECT_EQ(bridge_.events().size(), 1u);
}

TEST_F(ForwardTest, CountsAnnouncementsThatFindTheRingFull) {
  bridge_.worker->forwarder().reporter().set_limit(65'535);
  for (int i = 0; i < 5000; ++i) bridge_.send("a", frame('b', 'z'));
  const std::size_t heard = bridge_.events().size();
  EXPECT_LT(heard, 5000u);
  EXPECT_EQ(heard + bridge_.mailbox->events_lost.load(), 5000u);
}

// Everything at once, so that an imbalance anywhere shows.
TEST_F(ForwardTest, KeepsTheLedgerUnderAMixture) {
  bridge_.sites.at("u").mtu = 100;
  bridge_.reload();
  bridge_.backend.set_room(2);
  const Bytes kinds[] = {frame('b', 'a'), frame('*', 'a'),          frame('k', 'a'),
                         frame('b', 'z'), frame('*', 'a', 0x8100),  frame('*', 'a', kIpv4, 1000),
                         frame('a', 'a'), frame('b', 'a', kIpv4, 5)};
  for (int i = 0; i < 100; ++i) {
    for (const Bytes& bytes : kinds) inject(i % 2 == 0 ? "a" : "m", bytes);
    round();
    bridge_.backend.take();
  }
  EXPECT_EQ(bridge_.counters("a").received, 400u);
  EXPECT_EQ(bridge_.counters("m").received, 400u);
}

}  // namespace
}  // namespace bulkhead
