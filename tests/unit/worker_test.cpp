// The worker's round and the mailbox: every command, work in slices, and what is never lost.
#include "dataplane/worker.hpp"

#include <gtest/gtest.h>

#include <set>

#include "dataplane/commands.hpp"
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
[segment.default]
ageing = "10s"
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
mac_max = 60000
[port.u]
device = "u"
trusted = true
)";

class WorkerTest : public ::testing::Test {
 protected:
  explicit WorkerTest(std::size_t fdb_entries = 256) : bridge_(kFour, fdb_entries) {}

  /// Carries a command out; returns how many rounds it took.
  int run(Command& command) {
    EXPECT_TRUE(bridge_.mailbox->commands.push(&command));
    for (int rounds = 1; rounds < 10'000; ++rounds) {
      bridge_.worker->round(bridge_.now_ms);
      for (const Event& event : bridge_.events()) {
        if (event.kind == Event::Kind::done && event.command == &command) return rounds;
      }
    }
    ADD_FAILURE() << "the command never came back";
    return 0;
  }
  void learn_many(std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) bridge_.learn("m", {0x0600'0000'0000u + i});
  }

  TestBridge bridge_;
};

class LargeWorkerTest : public WorkerTest {
 protected:
  LargeWorkerTest() : WorkerTest(16'384) {}
};

TEST_F(WorkerTest, SwapsTheSnapshotAndGivesTheOldOneBack) {
  EXPECT_EQ(bridge_.send("a", frame('b', 'a')), (Outcome{"unicast", "", {"b"}, {}}));
  bridge_.config.ports.at("a").isolated = bridge_.config.ports.at("b").isolated = true;
  const auto next =
      control::compile(bridge_.config, bridge_.sites, bridge_.segments, bridge_.fdb->hash_key());
  SwapSnapshot command(next.get());
  EXPECT_EQ(run(command), 1);
  EXPECT_EQ(command.snapshot, bridge_.snapshot.get());
  EXPECT_EQ(&bridge_.worker->snapshot(), next.get());
  EXPECT_EQ(bridge_.send("a", frame('b', 'a')), (Outcome{"drop", "isolated", {}, {}}));
  SwapSnapshot back(bridge_.snapshot.get());
  run(back);
  EXPECT_EQ(back.snapshot, next.get());
}

// Between the policy without a port and the end of its device's socket frames of it still come.
TEST_F(WorkerTest, NothingComesInByAPortThatThePolicyDoesNotHave) {
  for (const char* name : {"u", "m", "b", "a"}) {  // the last place first, until there is none
    bridge_.config.ports.erase(name);
    bridge_.reload();
    for (const char* from : {"a", "b", "m", "u"}) {
      if (bridge_.config.ports.contains(from)) continue;
      const Outcome outcome = bridge_.send(from, frame('z', *from));
      EXPECT_EQ(outcome.verdict, "drop") << from << " without " << name;
      EXPECT_TRUE(outcome.ports.empty());
    }
  }
}

TEST_F(LargeWorkerTest, MovesIntoALargerTableBetweenRoundsAndForgetsNothing) {
  learn_many(2000);
  const auto slices = static_cast<int>(bridge_.fdb->bucket_count() / kMovedBucketsPerRound);
  ResizeFdb command(Fdb::Store(100'000, bridge_.fdb->hash_key()));
  bridge_.mailbox->commands.push(&command);
  int rounds = 0;
  for (bool done = false; !done; ++rounds) {
    const std::uint64_t any = static_cast<std::uint64_t>(rounds) * 37 % 2000;
    bridge_.worker->round(bridge_.now_ms);
    for (const Event& event : bridge_.events()) done |= event.command == &command;
    const Bytes to_learned = frame(MacAddress{0x0600'0000'0000u + any}, mac('a'));
    EXPECT_EQ(bridge_.backend.inject(bridge_.port("a"), to_learned), true);
    bridge_.worker->round(bridge_.now_ms);
    for (const Event& event : bridge_.events()) done |= event.command == &command;
    EXPECT_EQ(bridge_.backend.take().size(), 1u);
  }
  EXPECT_GE(rounds, slices / 2);
  EXPECT_EQ(bridge_.counters("a").unicast, static_cast<std::uint64_t>(rounds)) << "none flooded";
  EXPECT_EQ(bridge_.learned().size(), 2000u);
}

TEST_F(WorkerTest, AsksForALargerTableOnceAndAgainEachSecond) {
  const auto asked = [this] {
    bridge_.worker->round(bridge_.now_ms);
    std::vector<std::uint32_t> sizes;
    for (const Event& event : bridge_.events()) {
      if (event.kind == Event::Kind::resize) sizes.push_back(event.addresses);
    }
    return sizes;
  };
  learn_many(192);
  EXPECT_TRUE(asked().empty());
  learn_many(193);
  EXPECT_EQ(asked(), std::vector{193u});
  EXPECT_TRUE(asked().empty()) << "control has heard it";
  bridge_.now_ms += kSweepMilliseconds;
  EXPECT_EQ(asked(), std::vector{193u}) << "and may have had no memory";
  ResizeFdb command(Fdb::Store(512, bridge_.fdb->hash_key()));
  run(command);
  bridge_.now_ms += kSweepMilliseconds;
  EXPECT_TRUE(asked().empty());
}

TEST(Tables, AsksForASmallerOneWhenFewAddressesAreLeft) {
  TestBridge bridge(kFour, 8 * Fdb::kEntriesMin);
  EXPECT_EQ(bridge.events().size(), 1u) << "of the first round";
  bridge.now_ms += kSweepMilliseconds;
  bridge.worker->round(bridge.now_ms);
  const std::vector<Event> events = bridge.events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, Event::Kind::resize);
  EXPECT_EQ(events[0].addresses, 0u);
}

/// Remembers what was plugged, and has something for receive() and settle() to say.
class PlugBackend : public Backend {
 public:
  std::size_t receive(std::span<Frame>) override { return 0; }
  std::size_t send(PortIndex, std::span<const Frame>) override { return 0; }
  bool settle() override { return unsettled; }
  void plug(PortIndex port, Attachment* attachment) override { plugged[port] = attachment; }
  Attachment* unplug(PortIndex port) override {
    Attachment* was = plugged.contains(port) ? plugged[port] : nullptr;
    plugged.erase(port);
    return was;
  }
  bool unsettled = false;
  std::map<PortIndex, Attachment*> plugged;
};

TEST_F(WorkerTest, PlugsAndUnplugsAtTheBackendThatIsNamed) {
  PlugBackend first;
  PlugBackend second;
  Worker worker(bridge_.pool, {&first, &second}, *bridge_.mailbox, bridge_.snapshot.get(),
                bridge_.fdb.get());
  Attachment attachment;
  Plug plug(1, 7, &attachment);
  Unplug unplug(1, 7);
  Unplug again(1, 7);
  bridge_.mailbox->commands.push(&plug);
  worker.round(0);
  EXPECT_TRUE(first.plugged.empty());
  EXPECT_EQ(second.plugged.at(7), &attachment);
  bridge_.mailbox->commands.push(&unplug);
  bridge_.mailbox->commands.push(&again);
  worker.round(0);
  EXPECT_EQ(unplug.attachment, &attachment);
  EXPECT_EQ(again.attachment, nullptr);
  EXPECT_TRUE(second.plugged.empty());
}

TEST_F(WorkerTest, FlushesWhatItIsAskedTo) {
  const auto learned = [this] { return bridge_.learned().size(); };
  const auto teach = [this] {
    bridge_.learn("m", mac('y'));
    bridge_.learn("m", mac('z'));
    bridge_.learn("u", mac('k'));
  };
  teach();
  FlushFdb one({.segment = 0, .mac = mac('z')});
  EXPECT_EQ(run(one), 1);
  EXPECT_EQ(one.forgotten, 1u);
  EXPECT_EQ(learned(), 2u);

  FlushFdb elsewhere({.segment = 5, .mac = mac('y')});
  run(elsewhere);
  EXPECT_EQ(elsewhere.forgotten, 0u) << "another segment's address";

  FlushFdb not_there({.port = bridge_.port("u"), .segment = 0, .mac = mac('y')});
  run(not_there);
  EXPECT_EQ(not_there.forgotten, 0u) << "both must match";

  FlushFdb anywhere({.mac = mac('y')});
  run(anywhere);
  EXPECT_EQ(anywhere.forgotten, 1u) << "in whatever segment it is";

  teach();
  FlushFdb no_segment({.segment = 1});
  run(no_segment);
  EXPECT_EQ(no_segment.forgotten, 0u);
  FlushFdb segment({.segment = 0});
  run(segment);
  EXPECT_EQ(segment.forgotten, 3u);

  teach();
  FlushFdb port({.port = bridge_.port("m")});
  run(port);
  EXPECT_EQ(port.forgotten, 2u);
  EXPECT_EQ(learned(), 1u);

  teach();
  FlushFdb all({});
  run(all);
  EXPECT_EQ(all.forgotten, 3u);
  EXPECT_EQ(learned(), 0u);
}

TEST_F(WorkerTest, FlushResetsCountersOnlyIfAsked) {
  bridge_.send("a", frame('b', 'a'));
  FlushFdb flush({.port = bridge_.port("a")});
  run(flush);
  EXPECT_EQ(bridge_.counters("a").received, 1u);
  FlushFdb reset({.port = bridge_.port("a"), .reset = true});
  run(reset);
  EXPECT_EQ(bridge_.counters("a").received, 0u);
  EXPECT_EQ(bridge_.counters("b").sent, 1u) << "another's stay";
}

TEST_F(WorkerTest, CopiesWhatIsAliveWithAges) {
  bridge_.learn("u", mac('k'));
  bridge_.now_ms += 9'000;
  bridge_.learn("m", mac('z'));
  bridge_.now_ms += 1'000;  // 'k' is dead, swept or not
  CopyFdb copy(0, 100);
  run(copy);
  ASSERT_EQ(copy.rows.size(), 1u);
  EXPECT_EQ(copy.rows[0].mac, mac('z'));
  EXPECT_EQ(copy.rows[0].port, bridge_.port("m"));
  EXPECT_EQ(copy.rows[0].segment, 0);
  EXPECT_EQ(copy.rows[0].age_ms, 1'000u);
}

TEST_F(LargeWorkerTest, CopiesTheTableInSlices) {
  learn_many(2000);
  CopyFdb copy(0, 50'000);
  const auto slices = static_cast<int>(bridge_.fdb->bucket_count() / kTableBucketsPerRound);
  ASSERT_GT(slices, 10);
  EXPECT_EQ(run(copy), slices);
  EXPECT_EQ(copy.rows.size(), 2000u);
}

TEST_F(LargeWorkerTest, CopiesNoMoreThanThereIsRoomForAndGoesOnThere) {
  learn_many(2000);
  std::set<std::uint64_t> seen;
  std::uint32_t place = 0;
  int commands = 0;
  do {
    CopyFdb copy(place, 10);
    const CopyFdb::Row* room = copy.rows.data();
    run(copy);
    EXPECT_LE(copy.rows.size(), 10u);
    EXPECT_EQ(copy.rows.data(), room) << "nothing was allocated on the worker's thread";
    for (const CopyFdb::Row& row : copy.rows) EXPECT_TRUE(seen.insert(row.mac.value).second);
    place = copy.place;
  } while (place != 0 && ++commands < 10'000);
  EXPECT_EQ(seen.size(), 2000u);
}

TEST_F(LargeWorkerTest, CopiesNothingFromBeyondATableThatIsSmallerByNow) {
  learn_many(20);
  CopyFdb copy(bridge_.fdb->bucket_count(), 10);
  run(copy);
  EXPECT_TRUE(copy.rows.empty());
  EXPECT_EQ(copy.place, 0u);
}

// What a port that goes costs is what it has taught, however large the table is.
TEST_F(LargeWorkerTest, FlushesOneAddressOrAPortWithoutAnyAtOnce) {
  learn_many(2000);
  bridge_.learn("u", mac('k'));
  FlushFdb one({.segment = 0, .mac = mac('k')});
  EXPECT_EQ(run(one), 1);
  EXPECT_EQ(one.forgotten, 1u);
  FlushFdb port({.port = bridge_.port("u"), .reset = true});
  EXPECT_EQ(run(port), 1);
  EXPECT_EQ(port.forgotten, 0u);
  FlushFdb segment({.segment = 1});
  EXPECT_EQ(run(segment), 1);
  EXPECT_EQ(bridge_.learned().size(), 2000u);
}

TEST_F(LargeWorkerTest, FlushLooksNoFurtherThanTheLastOfThem) {
  for (std::uint32_t i = 0; i < 2000; ++i) bridge_.learn("u", {0x0400'0000'0000u + i});
  bridge_.learn("m", mac('z'));
  const auto slices = static_cast<int>(bridge_.fdb->bucket_count() / kTableBucketsPerRound);
  FlushFdb others({.port = bridge_.port("u")});
  EXPECT_LE(run(others), slices);
  EXPECT_EQ(others.forgotten, 2000u);
  FlushFdb last({.port = bridge_.port("m")});
  EXPECT_LT(run(last), slices);
  EXPECT_EQ(last.forgotten, 1u);
}

TEST_F(LargeWorkerTest, ForwardsBetweenTheSlicesOfACommand) {
  learn_many(2000);
  FlushFdb flush({});
  bridge_.mailbox->commands.push(&flush);
  bridge_.worker->round(bridge_.now_ms);
  EXPECT_TRUE(bridge_.events().empty()) << "not done yet";
  EXPECT_EQ(bridge_.send("a", frame('b', 'a')), (Outcome{"unicast", "", {"b"}, {}}));
  int rounds = 0;
  while (bridge_.events().empty() && ++rounds < 1000) bridge_.worker->round(bridge_.now_ms);
  EXPECT_EQ(flush.forgotten, 2000u);
}

TEST_F(WorkerTest, CopiesCountersOfAllPorts) {
  bridge_.send("a", frame('*', 'a'));
  bridge_.learn("m", mac('z'));
  CopyCounters copy;
  EXPECT_EQ(run(copy), static_cast<int>(kPortsMax / kCopiesPerRound));
  EXPECT_EQ(copy.counters.size(), kPortsMax);
  EXPECT_EQ(copy.counters[bridge_.port("a")].flooded, 1u);
  EXPECT_EQ(copy.counters[bridge_.port("u")].sent, 1u);
  EXPECT_EQ(copy.fdb_size, 1u);
  EXPECT_EQ(copy.buffers_free, TestBridge::kChunks);
  EXPECT_GE(copy.rounds, 3u);
}

TEST_F(WorkerTest, ExplainsWithoutChangingAnything) {
  const auto explain = [this](const char* from, const Bytes& bytes) {
    auto command = std::make_unique<Explain>(bridge_.port(from), bytes);
    run(*command);
    return command;
  };
  const auto flood = explain("m", frame('*', 'z'));
  EXPECT_EQ(flood->verdict.kind, Verdict::Kind::flood);
  EXPECT_EQ(flood->egress, (std::vector{bridge_.port("a"), bridge_.port("b"), bridge_.port("u")}));
  EXPECT_EQ(flood->parsed.source, mac('z'));
  EXPECT_EQ(flood->steps.back().check, Check::egress_length);  // u is trusted
  EXPECT_EQ(flood->steps.back().egress, bridge_.port("u"));
  const auto unicast = explain("a", frame('b', 'a'));
  EXPECT_EQ(unicast->verdict.kind, Verdict::Kind::unicast);
  EXPECT_EQ(unicast->egress, std::vector{bridge_.port("b")});
  const auto drop = explain("a", frame('b', 'z'));
  EXPECT_EQ(drop->verdict.kind, Verdict::Kind::drop);
  EXPECT_EQ(drop->verdict.reason, DropReason::spoofed_mac);
  EXPECT_TRUE(drop->egress.empty());
  EXPECT_FALSE(drop->steps.back().passed);
  EXPECT_EQ(explain("a", {})->verdict.reason, DropReason::malformed);
  EXPECT_TRUE(explain("a", Bytes(9000))->steps.size() > 1);
  EXPECT_TRUE(bridge_.learned().empty());
  EXPECT_EQ(bridge_.counters("a").received, 0u);
  EXPECT_EQ(bridge_.ledger_fault(), "");
}

TEST_F(WorkerTest, ExplainsNothingOfAPortThatIsNot) {
  Explain nobody(500, frame('b', 'a'));
  run(nobody);
  EXPECT_TRUE(nobody.steps.empty());
  EXPECT_EQ(nobody.verdict.kind, Verdict::Kind::drop);
}

TEST_F(WorkerTest, WatchesDropsAsCloselyAsAsked) {
  WatchDrops watch(10);
  run(watch);
  for (int i = 0; i < 50; ++i) bridge_.send("a", frame('b', 'z'));
  EXPECT_EQ(bridge_.events().size(), 10u);
}

/// Wants so many steps, and counts them.
class SlowCommand : public Command {
 public:
  explicit SlowCommand(int needed = 1) : needed_(needed) {}
  bool step(Worker&, std::uint32_t) override { return ++steps >= needed_; }
  int steps = 0;

 private:
  int needed_;
};

TEST_F(WorkerTest, TakesABoundedNumberOfCommandsARound) {
  std::array<SlowCommand, 3 * kCommandsPerRound> commands;
  for (SlowCommand& command : commands) bridge_.mailbox->commands.push(&command);
  for (std::size_t round = 1; round <= 3; ++round) {
    EXPECT_TRUE(bridge_.worker->round(bridge_.now_ms).busy);
    const auto done =
        std::ranges::count_if(commands, [](const SlowCommand& one) { return one.steps == 1; });
    EXPECT_EQ(done, static_cast<long>(round * kCommandsPerRound));
  }
  EXPECT_FALSE(bridge_.worker->round(bridge_.now_ms).busy);
  const std::vector<Event> events = bridge_.events();
  ASSERT_EQ(events.size(), commands.size());
  for (std::size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i].command, &commands[i]);
}

TEST_F(WorkerTest, StepsOnceARoundAndKeepsTheOrder) {
  SlowCommand slow(3);
  SlowCommand next;
  bridge_.mailbox->commands.push(&slow);
  bridge_.mailbox->commands.push(&next);
  for (int round = 1; round <= 2; ++round) {
    EXPECT_TRUE(bridge_.worker->round(bridge_.now_ms).waiting);
    EXPECT_EQ(slow.steps, round);
    EXPECT_EQ(next.steps, 0);
  }
  EXPECT_FALSE(bridge_.worker->round(bridge_.now_ms).waiting);
  EXPECT_EQ(slow.steps, 3);
  EXPECT_EQ(next.steps, 1);
}

TEST_F(WorkerTest, NeverLosesACompletionAndDoesNothingTwice) {
  Event filler;
  while (bridge_.mailbox->events.push(filler)) {
  }
  SlowCommand command;
  bridge_.mailbox->commands.push(&command);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(bridge_.worker->round(bridge_.now_ms).waiting);
  EXPECT_EQ(command.steps, 1);
  EXPECT_EQ(bridge_.send("a", frame('b', 'a')), (Outcome{"unicast", "", {"b"}, {}}))
      << "a control that does not listen stops nobody";
  bridge_.events();
  bridge_.worker->round(bridge_.now_ms);
  const std::vector<Event> events = bridge_.events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, Event::Kind::done);
  EXPECT_EQ(events[0].command, &command);
  EXPECT_EQ(command.steps, 1);
}

TEST_F(WorkerTest, SaysWhenABackendWaits) {
  PlugBackend backend;
  Worker worker(bridge_.pool, {&backend}, *bridge_.mailbox, bridge_.snapshot.get(),
                bridge_.fdb.get());
  EXPECT_FALSE(worker.round(0).waiting);
  backend.unsettled = true;
  const Worker::Round round = worker.round(0);
  EXPECT_TRUE(round.waiting);
  EXPECT_FALSE(round.busy);
}

TEST_F(WorkerTest, IsBusyOnlyWithFrames) {
  EXPECT_FALSE(bridge_.worker->round(bridge_.now_ms).busy);
  bridge_.backend.inject(bridge_.port("a"), frame('b', 'a'));
  EXPECT_TRUE(bridge_.worker->round(bridge_.now_ms).busy);
  EXPECT_FALSE(bridge_.worker->round(bridge_.now_ms).busy);
}

TEST_F(WorkerTest, TellsWhatAgedWithinASecond) {
  bridge_.learn("m", mac('z'));
  for (int i = 0; i < 99; ++i) {
    bridge_.now_ms += 100;
    bridge_.worker->round(bridge_.now_ms);
  }
  EXPECT_TRUE(bridge_.events().empty()) << "not before its time";
  for (int i = 0; i < 12; ++i) {
    bridge_.now_ms += 100;
    bridge_.worker->round(bridge_.now_ms);
  }
  const std::vector<Event> events = bridge_.events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, Event::Kind::aged);
  EXPECT_EQ(events[0].mac, mac('z'));
  EXPECT_EQ(events[0].port, bridge_.port("m"));
  EXPECT_EQ(bridge_.fdb->size(), 0u);
}

TEST_F(LargeWorkerTest, AgesInBoundedSlicesAndSaysThatMoreIsToDo) {
  learn_many(4000);
  bridge_.now_ms += 20'000;
  std::size_t before = bridge_.fdb->size();
  int rounds = 0;
  bool waiting = true;
  for (; waiting && rounds < 1000; ++rounds) {
    waiting = bridge_.worker->round(bridge_.now_ms).waiting;
    EXPECT_LE(before - bridge_.fdb->size(), kSweepBucketsPerRound * MacTable::kBucketEntries);
    before = bridge_.fdb->size();
  }
  EXPECT_EQ(before, 0u);
  EXPECT_EQ(rounds, static_cast<int>(bridge_.fdb->bucket_count() / kSweepBucketsPerRound));
}

}  // namespace
}  // namespace bulkhead
