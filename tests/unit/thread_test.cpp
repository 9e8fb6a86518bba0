// The worker on one thread, control on another: for the thread sanitizer, and for what control may
// rely on while traffic flows.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "dataplane/commands.hpp"
#include "tests/unit/test_bridge.hpp"

namespace bulkhead {
namespace {

using test::Bytes;
using test::frame;
using test::TestBridge;

constexpr const char* kThree = R"(
[port.a]
device = "a"
mac = "02:00:00:00:00:61"
ip = "any"
[port.m]
device = "m"
mac = "any"
ip = "any"
[port.u]
device = "u"
trusted = true
)";

/// Always has frames: from a to everybody, from m under ever new addresses, and bad ones.
class EndlessBackend : public Backend {
 public:
  explicit EndlessBackend(BufferPool& pool) : pool_(pool) {}

  std::size_t receive(std::span<Frame> batch) override {
    for (Frame& one : batch) {
      ++count_;
      const MacAddress visitor{0x0600'0000'0000 + count_ % 20};
      const Bytes bytes = count_ % 3 == 0   ? frame('*', 'a')
                          : count_ % 3 == 1 ? frame(test::mac('a'), visitor)
                                            : frame('a', 'z', 0x8100);
      Buffer* buffer = pool_.take();
      buffer->data = pool_.start_of(buffer->chunk);
      buffer->length = static_cast<std::uint32_t>(bytes.size());
      std::copy(bytes.begin(), bytes.end(), buffer->data);
      one = {buffer, buffer->length, static_cast<PortIndex>(count_ % 3)};
    }
    return batch.size();
  }
  std::size_t send(PortIndex, std::span<const Frame> frames) override {
    for (const Frame& one : frames) pool_.release(one.head);
    return frames.size();
  }
  bool settle() override { return false; }
  void plug(PortIndex, Attachment*) override {}
  Attachment* unplug(PortIndex) override { return nullptr; }

 private:
  BufferPool& pool_;
  std::uint64_t count_ = 0;
};

std::uint64_t sum(const std::array<std::uint64_t, kDropReasonCount>& counts) {
  std::uint64_t total = 0;
  for (const std::uint64_t count : counts) total += count;
  return total;
}

TEST(Threads, ControlCommandsAWorkerUnderTraffic) {
  TestBridge bridge(kThree);
  EndlessBackend backend(bridge.pool);
  auto mailbox = std::make_unique<Mailbox>();
  auto snapshot = control::compile(bridge.config, bridge.sites, bridge.segments, {});
  auto fdb = std::make_unique<Fdb>(64, HashKey{});
  Worker worker(bridge.pool, {&backend}, *mailbox, snapshot.get(), fdb.get());
  std::atomic<bool> stop = false;
  std::thread thread([&] {
    for (std::uint32_t now_ms = 0; !stop.load(std::memory_order_relaxed); now_ms += 10) {
      worker.round(now_ms);
    }
  });
  std::uint64_t announced = 0;
  const auto call = [&](Command& command) {
    while (!mailbox->commands.push(&command)) std::this_thread::yield();
    for (bool done = false; !done;) {
      mailbox->events.consume_all([&](const Event& event) {
        if (event.kind == Event::Kind::done) {
          done = event.command == &command;
        } else {
          ++announced;
        }
      });
      std::this_thread::yield();
    }
  };
  std::uint64_t received = 0;
  for (int turn = 0; turn < 30; ++turn) {
    bridge.config.ports.at("m").isolated = turn % 2 == 0;
    auto next = control::compile(bridge.config, bridge.sites, bridge.segments, {});
    SwapSnapshot swap(next.get());
    call(swap);
    EXPECT_EQ(swap.snapshot, snapshot.get());
    snapshot = std::move(next);  // frees the old one: the worker must be done with it

    ResizeFdb resize(Fdb::Store(turn % 2 == 0 ? 256 : 64, HashKey{}));
    call(resize);

    CopyCounters copy;
    call(copy);
    for (const PortCounters& of : copy.counters) {
      EXPECT_EQ(of.received, of.unicast + of.flooded + sum(of.dropped));
      EXPECT_EQ(of.offered, of.sent + sum(of.refused));
    }
    EXPECT_GT(copy.counters[0].received, received);
    received = copy.counters[0].received;
    EXPECT_EQ(copy.buffers_free, bridge.pool.chunk_count());

    CopyFdb rows(0, 100);
    call(rows);
    EXPECT_LE(rows.rows.size(), 20u);
    Explain explain(bridge.port("a"), frame('*', 'a'));
    call(explain);
    EXPECT_EQ(explain.egress.size(), 2u);
    WatchDrops watch(static_cast<std::uint16_t>(turn));
    call(watch);
    FlushFdb flush({});
    call(flush);
  }
  stop = true;
  thread.join();
  EXPECT_GT(announced, 0u);
  EXPECT_EQ(bridge.pool.free_count(), bridge.pool.chunk_count());
}

}  // namespace
}  // namespace bulkhead
