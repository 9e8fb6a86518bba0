#include "dataplane/mac_table.hpp"

#include <algorithm>

namespace bulkhead {

MacTable::MacTable(std::size_t entries, HashKey key)
    : hash_key_(key),
      mask_(static_cast<std::uint32_t>(
                std::bit_ceil(std::max<std::size_t>(4 * entries / kBucketEntries, 4))) -
            1),
      buckets_(std::size_t{mask_} + 1) {}

namespace {

bool is_free(const MacTable::Entry& entry) { return entry.key == 0; }

}  // namespace

bool MacTable::has_place(MacAddress mac, SegmentIndex segment) const {
  const Places places = places_of(hashed(mac, segment).hash);
  return std::ranges::any_of(buckets_[places.first].entries, is_free) ||
         std::ranges::any_of(buckets_[places.second].entries, is_free);
}

MacTable::Entry* MacTable::insert(MacAddress mac, SegmentIndex segment) {
  const auto [key, hash] = hashed(mac, segment);
  const Places places = places_of(hash);
  Bucket& first = buckets_[places.first].entries;
  Bucket& second = buckets_[places.second].entries;
  // The emptier of the two keeps the fullest bucket of the table short.
  Bucket& chosen = std::ranges::count_if(first, is_free) >= std::ranges::count_if(second, is_free)
                       ? first
                       : second;
  const auto place = std::ranges::find_if(chosen, is_free);
  if (place == chosen.end()) return nullptr;
  *place = Entry{};
  place->key = key;
  ++used_;
  return &*place;
}

}  // namespace bulkhead
