#include "dataplane/mac_table.hpp"

#include <algorithm>

namespace bulkhead {

namespace {

constexpr std::size_t kBucketsMin = 16;  // in so few, too, two addresses seldom want one place

}  // namespace

MacTable::MacTable(std::size_t entries, HashKey key)
    : hash_key_(key),
      buckets_(std::bit_ceil(std::max(kPlacesAnEntry * entries / kBucketEntries, kBucketsMin))) {
  place_mask_ = buckets_.size() * kBucketEntries - 1;
}

bool MacTable::has_place(const Hashed& address) const {
  return std::ranges::any_of(buckets_[first_place(address.hash)].entries, &Entry::is_free) ||
         std::ranges::any_of(buckets_[second_place(address.hash)].entries, &Entry::is_free);
}

const MacTable::Entry* MacTable::find_elsewhere(const Hashed& address) const {
  std::size_t never_used = 0;
  for (const Entry& entry : buckets_[first_place(address.hash)].entries) {
    if (entry.key == address.key) return &entry;
    if (entry.key == Entry::kNeverUsed) ++never_used;
  }
  if (never_used <= kBucketEntries / 2) {  // otherwise insert() did not go on either
    for (const Entry& entry : buckets_[second_place(address.hash)].entries) {
      if (entry.key == address.key) return &entry;
    }
  }
  return before_ == nullptr ? nullptr : before_->find(address);
}

MacTable::Entry* MacTable::insert(const Hashed& address) {
  const auto free_in = [](const Bucket& bucket) {
    return std::ranges::count_if(bucket, &Entry::is_free);
  };
  Entry* place = const_cast<Entry*>(&own_place(address.hash));
  if (!place->is_free()) {
    Bucket& first = buckets_[first_place(address.hash)].entries;
    Bucket& second = buckets_[second_place(address.hash)].entries;
    // Beyond half, the emptier of the two keeps the fullest bucket of the table short.
    const bool fits = free_in(first) > std::ptrdiff_t{kBucketEntries / 2};
    Bucket& chosen = fits || free_in(first) >= free_in(second) ? first : second;
    place = std::ranges::find_if(chosen, &Entry::is_free);
    if (place == chosen.end()) return nullptr;
  }
  *place = Entry{};
  place->key = address.key;
  ++used_;
  return place;
}

}  // namespace bulkhead
