// Who owns which IP address: every bound address and prefix of every segment, for longest-prefix
// look-up. Filled once by compile(), immutable afterwards.
//
// One hash table for all prefix lengths, keyed like the MAC table's; find() asks it once for each
// length that the segment has, longest first. Guests with addresses only have one length a family.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/ip_address.hpp"
#include "dataplane/limits.hpp"
#include "dataplane/mac_table.hpp"

namespace bulkhead {

class AddressTable {
 public:
  struct Entry {
    IpAddress prefix;  // masked to `bits`
    SegmentIndex segment = 0;
    std::uint8_t bits = 0;
    bool is_v6 = false;
    bool used = false;
    std::uint32_t first = 0;  // owners: one, or those that share it, in AddressTable::owners()
    std::uint32_t count = 0;
  };

  /// Room for `entries` at most half full.
  AddressTable(std::size_t entries, HashKey key)
      : key_(key), mask_(std::bit_ceil(2 * entries + 8) - 1), entries_(mask_ + 1) {}

  /// Adds an owner; of several, all share it.
  void add(SegmentIndex segment, bool is_v6, IpAddress address, std::uint8_t bits, PortIndex owner);
  /// To be called after the last add().
  void finish();

  /// The owners of the longest prefix that covers the address; empty if nobody has it.
  [[nodiscard]] std::span<const PortIndex> owners(SegmentIndex segment, bool is_v6,
                                                  IpAddress address) const {
    if (segment >= lengths_.size()) return {};
    for (const std::uint8_t bits : lengths_[segment].of(is_v6)) {
      const Entry& entry = entries_[place_of(segment, is_v6, address.masked(is_v6, bits), bits)];
      if (entry.used) return {owners_.data() + entry.first, entry.count};
    }
    return {};
  }

 private:
  struct alignas(64) Lengths {
    std::vector<std::uint8_t> v4, v6;  // longest first
    [[nodiscard]] const std::vector<std::uint8_t>& of(bool is_v6) const { return is_v6 ? v6 : v4; }
  };
  struct Owned {
    Entry entry;
    PortIndex owner;
  };

  /// Where the entry is, or the free place where it would be.
  [[nodiscard]] std::size_t place_of(SegmentIndex segment, bool is_v6, IpAddress prefix,
                                     std::uint8_t bits) const {
    __extension__ using Wide = unsigned __int128;
    const std::uint64_t about =
        std::uint64_t{segment} << 16 | std::uint64_t{bits} << 8 | static_cast<std::uint64_t>(is_v6);
    const Wide one = static_cast<Wide>(prefix.low ^ key_.words[0]) *
                     (prefix.high ^ std::rotl(about, 40) ^ key_.words[1]);
    const auto hash = static_cast<std::uint64_t>(one) ^ static_cast<std::uint64_t>(one >> 64);
    for (std::size_t place = hash & mask_;; place = (place + 1) & mask_) {
      const Entry& entry = entries_[place];
      if (!entry.used || (entry.prefix == prefix && entry.segment == segment &&
                          entry.bits == bits && entry.is_v6 == is_v6)) {
        return place;
      }
    }
  }

  HashKey key_;
  std::size_t mask_;
  std::vector<Entry> entries_;
  std::vector<Lengths> lengths_;  // by segment
  std::vector<PortIndex> owners_;
  std::vector<Owned> pending_;  // until finish()
};

}  // namespace bulkhead
