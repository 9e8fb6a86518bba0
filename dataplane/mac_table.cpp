#include "dataplane/mac_table.hpp"

#include <algorithm>

namespace bulkhead {

MacTable::MacTable(std::size_t entries, HashKey key)
    : hash_key_(key),
      mask_(static_cast<std::uint32_t>(
                std::bit_ceil(std::max<std::size_t>(4 * entries / kBucketEntries, 4))) -
            1),
      buckets_(std::size_t{mask_} + 1) {}

bool MacTable::has_place(const Hashed& address) const {
  return std::ranges::any_of(buckets_[first_place(address.hash)].entries, &Entry::is_free) ||
         std::ranges::any_of(buckets_[second_place(address.hash)].entries, &Entry::is_free);
}

MacTable::Entry* MacTable::insert(const Hashed& address) {
  const auto free_in = [](const Bucket& bucket) {
    return std::ranges::count_if(bucket, &Entry::is_free);
  };
  Bucket& first = buckets_[first_place(address.hash)].entries;
  Bucket& second = buckets_[second_place(address.hash)].entries;
  // Beyond half, the emptier of the two keeps the fullest bucket of the table short.
  const bool fits = free_in(first) > std::ptrdiff_t{kBucketEntries / 2};
  Bucket& chosen = fits || free_in(first) >= free_in(second) ? first : second;
  const auto place = std::ranges::find_if(chosen, &Entry::is_free);
  if (place == chosen.end()) return nullptr;
  *place = Entry{};
  place->key = address.key;
  ++used_;
  return &*place;
}

}  // namespace bulkhead
