// How an address that moves or is forgotten takes the kernel's entries about it with it.
//
// Each address of the MAC table has a number, by its hash, and each number an epoch that counts
// such events; an entry holds the sum of its two addresses' epochs, and is dead when that has
// changed. Two addresses with one number cost each other an entry now and then, and nothing more.
// Every worker counts what it changes and what it hears of: an entry that a worker has made before
// it heard is dead when it hears. In memory that the workers and the tc programs share.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/flow_entry.h"

namespace bulkhead {

class FlowEpochs {
 public:
  FlowEpochs() = default;
  /// BULKHEAD_FLOW_EPOCHS of them.
  explicit FlowEpochs(std::span<std::uint64_t> epochs) : epochs_(epochs) {}

  /// Of an address with that hash (MacTable::Hashed): never 0, which is of those that stay.
  [[nodiscard]] static std::uint16_t number_of(std::uint64_t hash) {
    const auto number = static_cast<std::uint16_t>(hash >> 40);
    return number == 0 ? std::uint16_t{1} : number;
  }
  [[nodiscard]] std::uint64_t sum(std::uint16_t one, std::uint16_t other) const {
    return __atomic_load_n(&epochs_[one], __ATOMIC_ACQUIRE) +
           __atomic_load_n(&epochs_[other], __ATOMIC_ACQUIRE);
  }
  /// Its address has moved, or is forgotten.
  void advance(std::uint64_t hash) {
    if (!epochs_.empty()) __atomic_fetch_add(&epochs_[number_of(hash)], 1, __ATOMIC_RELEASE);
  }

 private:
  std::span<std::uint64_t> epochs_;  // empty: nobody repeats verdicts
};

}  // namespace bulkhead
