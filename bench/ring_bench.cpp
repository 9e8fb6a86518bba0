// The rings between workers: Boost.Lockfree's against one that caches the other side's index, one
// at a time and in batches. Two threads, a core each; time is per crossing.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/lockfree/spsc_queue.hpp>
#include <thread>

#include "dataplane/crossing.hpp"

namespace bulkhead {
namespace {

constexpr std::size_t kEntries = Passage::kCrossings;
constexpr std::size_t kBatch = Crossings::kBatchCrossings;

class BoostRing {
 public:
  std::size_t push(const Crossing* from, std::size_t count) { return ring_.push(from, count); }
  std::size_t pop(Crossing* to, std::size_t count) { return ring_.pop(to, count); }

 private:
  boost::lockfree::spsc_queue<Crossing, boost::lockfree::capacity<kEntries>> ring_;
};

/// Asks for the other side's index only when what it knew of it is used up.
class CachedRing {
 public:
  std::size_t push(const Crossing* from, std::size_t count) {
    const std::uint64_t put = put_.load(std::memory_order_relaxed);
    if (put + count - taken_seen_ > kEntries) taken_seen_ = taken_.load(std::memory_order_acquire);
    count = std::min<std::size_t>(count, kEntries - (put - taken_seen_));
    for (std::size_t i = 0; i < count; ++i) slots_[(put + i) % kEntries] = from[i];
    put_.store(put + count, std::memory_order_release);
    return count;
  }
  std::size_t pop(Crossing* to, std::size_t count) {
    const std::uint64_t taken = taken_.load(std::memory_order_relaxed);
    if (put_seen_ - taken < count) put_seen_ = put_.load(std::memory_order_acquire);
    count = std::min<std::size_t>(count, put_seen_ - taken);
    for (std::size_t i = 0; i < count; ++i) to[i] = slots_[(taken + i) % kEntries];
    taken_.store(taken + count, std::memory_order_release);
    return count;
  }

 private:
  alignas(64) std::atomic<std::uint64_t> put_{0};
  std::uint64_t taken_seen_ = 0;
  alignas(64) std::atomic<std::uint64_t> taken_{0};
  std::uint64_t put_seen_ = 0;
  alignas(64) std::array<Crossing, kEntries> slots_;
};

template <class Ring>
void bm_ring(benchmark::State& state) {
  const auto batch = static_cast<std::size_t>(state.range(0));
  auto ring = std::make_unique<Ring>();
  std::atomic<bool> stop = false;
  std::thread producer([&] {
    std::array<Crossing, kBatch> crossings;
    while (!stop.load(std::memory_order_relaxed)) ring->push(crossings.data(), batch);
  });
  std::array<Crossing, kBatch> crossings;
  std::int64_t taken = 0;
  for (auto _ : state) {
    std::size_t count = 0;
    while (count < kBatch) count += ring->pop(crossings.data(), std::min(batch, kBatch - count));
    benchmark::DoNotOptimize(crossings);
    taken += static_cast<std::int64_t>(count);
  }
  stop = true;
  producer.join();
  state.SetItemsProcessed(taken);
}

BENCHMARK(bm_ring<BoostRing>)->Arg(1)->Arg(8)->Arg(kBatch)->UseRealTime();
BENCHMARK(bm_ring<CachedRing>)->Arg(1)->Arg(8)->Arg(kBatch)->UseRealTime();

}  // namespace
}  // namespace bulkhead

BENCHMARK_MAIN();
