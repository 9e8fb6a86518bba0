// The MAC table: who is where, by address and segment. Used twice: filled once by compile() with
// what is bound (Snapshot::bound), and changing as ports learn (Fdb).
//
// Two-choice hashing into buckets of four entries, one cache line each: a look-up reads at most two
// lines however full the table is and whatever guests choose as addresses, because the hash is
// keyed with numbers drawn at start. In its first bucket an address has one place of its own, and
// it is somewhere else only if that one was taken. So most look-ups end with the first comparison,
// those of addresses that are not there too, and always in the same way: where in a bucket
// something is would be a branch that no processor predicts. Fixed capacity: when both buckets are
// full, insert() fails. At the load that its makers keep (at most an eighth) that does not happen
// in practice: at a quarter it fails about once in a million entries, at half once in 2000. (A.
// Broder, M. Mitzenmacher, "Using multiple hash functions to improve IP lookups", 2001.)
//
// A table may take the place of another one whose entries come over little by little: until
// end_move() a look-up that finds nothing here goes on there.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "dataplane/limits.hpp"
#include "dataplane/mac_address.hpp"

namespace bulkhead {

/// Who put an entry there, in the order of rank: an address moves only to an equal or higher one.
/// `shared` is both: in Snapshot::bound it says that the address is of several ports by turns, in
/// the Fdb which of them has it. `away` is in Snapshot::bound: of a port whose device has been gone
/// for long, so that trusted ports may have it meanwhile.
enum class EntryKind : std::uint8_t { learned_guest, learned_trusted, shared, away, fixed, bound };

/// Whether an address in Snapshot::bound is where its entry says, and nowhere else.
[[nodiscard]] constexpr bool stays(EntryKind kind) { return kind >= EntryKind::fixed; }

struct HashKey {
  std::array<std::uint64_t, 2> words{};
  bool operator==(const HashKey&) const = default;
};

class MacTable {
 public:
  struct Entry {
    std::uint64_t key = kNeverUsed;  // or segment + 1 in the upper 16 bits, address below
    std::uint32_t seen_ms = 0;
    PortIndex port = kNoPort;
    EntryKind kind = EntryKind::learned_guest;
    std::uint8_t moves : 7 = 0;  // since the last sweep
    bool heard : 1 = false;      // another worker's port has taught it

    static constexpr std::uint64_t kNeverUsed = 0;
    static constexpr std::uint64_t kErased = ~std::uint64_t{0};
    static constexpr std::uint64_t kNoKey = kErased - 1;  // never there
    [[nodiscard]] bool is_free() const { return key == kNeverUsed || key == kErased; }
    [[nodiscard]] MacAddress mac() const { return {key & 0xffff'ffff'ffffULL}; }
    [[nodiscard]] SegmentIndex segment() const {
      return static_cast<SegmentIndex>((key >> 48) - 1);
    }
  };
  static constexpr std::size_t kBucketEntries = 4;
  using Bucket = std::array<Entry, kBucketEntries>;
  static constexpr std::size_t kPlacesAnEntry = 8;

  /// Room for eight times `entries`, so that at most an eighth is ever used.
  MacTable(std::size_t entries, HashKey key);

  /// An address with its hash, good for every table with the same HashKey.
  struct Hashed {
    std::uint64_t key;
    std::uint64_t hash;
  };
  [[nodiscard]] Hashed hashed(MacAddress mac, SegmentIndex segment) const {
    const std::uint64_t key = mac.value | (std::uint64_t{segment} + 1) << 48;
    return {key, hash_of(key)};
  }

  [[nodiscard]] const Entry* find(const Hashed& address) const {
    const Entry& own = own_place(address.hash);
    if (own.key == address.key) return &own;
    return own.key == nowhere_else_ ? nullptr : find_elsewhere(address);
  }
  [[nodiscard]] Entry* find(const Hashed& address) {
    return const_cast<Entry*>(std::as_const(*this).find(address));
  }
  [[nodiscard]] const Entry* find(MacAddress mac, SegmentIndex segment) const {
    return find(hashed(mac, segment));
  }
  [[nodiscard]] Entry* find(MacAddress mac, SegmentIndex segment) {
    return find(hashed(mac, segment));
  }

  /// Whether insert() would find a place.
  [[nodiscard]] bool has_place(const Hashed& address) const;
  /// A new entry with its key set; nullptr if there is no room. The key must not be there yet.
  Entry* insert(const Hashed& address);
  Entry* insert(MacAddress mac, SegmentIndex segment) { return insert(hashed(mac, segment)); }
  void erase(Entry& entry) {
    entry = Entry{};
    entry.key = Entry::kErased;
    --used_;
  }

  /// From now on what is not here is looked for in `before`, which must not move meanwhile.
  void begin_move(const MacTable& before) {
    before_ = &before;
    nowhere_else_ = Entry::kNoKey;
  }
  /// Nothing is in the table before any more.
  void end_move() {
    before_ = nullptr;
    nowhere_else_ = Entry::kNeverUsed;
  }

  void prefetch(const Hashed& address) const { __builtin_prefetch(&own_place(address.hash)); }

  [[nodiscard]] std::uint32_t bucket_count() const {
    return static_cast<std::uint32_t>(buckets_.size());
  }
  /// The number of an entry's place, below bucket_count() * kBucketEntries.
  [[nodiscard]] std::size_t place_of(const Entry& entry) const {
    return static_cast<std::size_t>(&entry - buckets_.front().entries.data());
  }
  /// Whether the entry is one of this table's places.
  [[nodiscard]] bool holds(const Entry& entry) const {
    const std::less<> before;
    return !before(&entry, buckets_.front().entries.data()) &&
           !before(buckets_.back().entries.data() + kBucketEntries - 1, &entry);
  }
  [[nodiscard]] Bucket& bucket(std::uint32_t place) { return buckets_[place].entries; }
  [[nodiscard]] std::size_t used() const { return used_; }
  [[nodiscard]] std::size_t room() const {
    return buckets_.size() * kBucketEntries / kPlacesAnEntry;
  }
  [[nodiscard]] HashKey hash_key() const { return hash_key_; }

 private:
  struct alignas(64) Line {
    Bucket entries;
  };

  /// Folded 64x64 multiplication with secret operands, as in wyhash, and a second one, for without
  /// it some keys spread neighbouring addresses badly.
  [[nodiscard]] std::uint64_t hash_of(std::uint64_t key) const {
    __extension__ using Wide = unsigned __int128;
    const Wide product =
        static_cast<Wide>(key ^ hash_key_.words[0]) * (std::rotl(key, 32) ^ hash_key_.words[1]);
    auto hash = static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
    hash = (hash ^ hash >> 32) * 0x9e37'79b9'7f4a'7c15;
    return hash ^ hash >> 32;
  }
  [[nodiscard]] const Entry& own_place(std::uint64_t hash) const {
    return buckets_.front().entries.data()[hash & place_mask_];  // of all, numbered through
  }
  [[nodiscard]] std::uint32_t first_place(std::uint64_t hash) const {
    return static_cast<std::uint32_t>((hash & place_mask_) / kBucketEntries);
  }
  /// Differs from the first.
  [[nodiscard]] std::uint32_t second_place(std::uint64_t hash) const {
    const std::uint32_t mask = bucket_count() - 1;
    const auto step = static_cast<std::uint32_t>((hash >> 32) * mask >> 32) + 1;  // 1 to mask
    return (first_place(hash) + step) & mask;
  }

  /// find() of an address whose own place is taken, or was.
  [[nodiscard, gnu::cold]] const Entry* find_elsewhere(const Hashed& address) const;

  HashKey hash_key_;
  std::uint64_t place_mask_ = 0;  // of all places: buckets and their entries
  // What an address' own place says if the address is not in the table at all.
  std::uint64_t nowhere_else_ = Entry::kNeverUsed;
  const MacTable* before_ = nullptr;  // whose entries are coming over
  std::vector<Line> buckets_;
  std::size_t used_ = 0;
};

}  // namespace bulkhead
