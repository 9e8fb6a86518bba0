#include "dataplane/address_table.hpp"

#include <algorithm>
#include <functional>
#include <tuple>

namespace bulkhead {

void AddressTable::add(SegmentIndex segment, bool is_v6, IpAddress address, std::uint8_t bits,
                       PortIndex owner) {
  pending_.push_back({{address.masked(is_v6, bits), segment, bits, is_v6, true, 0, 0}, owner});
}

void AddressTable::finish() {
  const auto key_of = [](const Owned& owned) {
    const Entry& entry = owned.entry;
    return std::tuple(entry.segment, entry.is_v6, entry.bits, entry.prefix.high, entry.prefix.low,
                      owned.owner);
  };
  std::ranges::sort(pending_, {}, key_of);
  for (const Owned& owned : pending_) {
    const auto& [prefix, segment, bits, is_v6, used, first, count] = owned.entry;
    Entry& entry = entries_[place_of(segment, is_v6, prefix, bits)];
    if (!entry.used) {
      entry = owned.entry;
      entry.first = static_cast<std::uint32_t>(owners_.size());
    } else if (owners_.back() == owned.owner) {
      continue;  // said twice
    }
    owners_.push_back(owned.owner);
    ++entry.count;
    if (lengths_.size() <= segment) lengths_.resize(segment + 1u);
    auto& lengths = is_v6 ? lengths_[segment].v6 : lengths_[segment].v4;
    if (std::ranges::find(lengths, bits) == lengths.end()) lengths.push_back(bits);
  }
  for (Lengths& lengths : lengths_) {
    std::ranges::sort(lengths.v4, std::greater{});
    std::ranges::sort(lengths.v6, std::greater{});
  }
  pending_.clear();
}

}  // namespace bulkhead
