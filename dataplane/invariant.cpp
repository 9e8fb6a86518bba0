#include "dataplane/invariant.hpp"

#include <atomic>
#include <cassert>

namespace bulkhead {
namespace {

std::atomic<std::uint64_t> count{0};

}  // namespace

std::uint64_t breaches() { return count.load(std::memory_order_relaxed); }

[[gnu::cold, gnu::noinline]] void count_breach() {
  assert(false && "an invariant of the dataplane");
  count.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace bulkhead
