#include "dataplane/parse.hpp"

#include <array>
#include <bit>
#include <cstring>

namespace bulkhead {
namespace {

constexpr std::uint16_t kEthertypeIpv4 = 0x0800;
constexpr std::uint16_t kEthertypeArp = 0x0806;
constexpr std::uint16_t kEthertypeRarp = 0x8035;
constexpr std::uint16_t kEthertypeIpv6 = 0x86dd;

/// The one range-checked way to touch bytes: what lies outside reads as zero and clears whole().
class Reader {
 public:
  explicit Reader(const Buffer& buffer) : data_(buffer.data), length_(buffer.length) {}

  [[nodiscard]] bool holds(std::uint32_t bytes) const { return length_ >= bytes; }
  [[nodiscard]] std::uint16_t u16(std::uint32_t offset) const {
    return static_cast<std::uint16_t>(big_endian(offset, 2));
  }
  [[nodiscard]] std::uint32_t u32(std::uint32_t offset) const {
    return static_cast<std::uint32_t>(big_endian(offset, 4));
  }
  [[nodiscard]] MacAddress mac(std::uint32_t offset) const { return {big_endian(offset, 6)}; }

 private:
  [[nodiscard]] std::uint64_t big_endian(std::uint32_t offset, std::uint32_t bytes) const {
    if (offset > length_ || length_ - offset < bytes) return 0;
    std::uint64_t value = 0;
    std::memcpy(&value, data_ + offset, bytes);
    return __builtin_bswap64(value) >> (64 - 8 * bytes);
  }

  const std::uint8_t* data_;
  std::uint32_t length_;
};

struct AddressRange {
  std::uint64_t first;
  std::uint64_t last;
};

/// Bridges and switches talk to each other here; no guest does, and what a trusted port says here
/// is meant for the device at the other end of its wire.
constexpr std::array kBridgeControl{
    AddressRange{0x0180'c200'0000, 0x0180'c200'002f},  // IEEE 802.1Q-2022 tables 8-1 to 8-3, GMRP
    AddressRange{0x0100'0c00'0000, 0x0100'0cff'ffff},  // Cisco: CDP, VTP, DTP, UDLD, PVST+, ISL
    AddressRange{0x0100'8100'0100, 0x0100'8100'0101},  // Nortel discovery (SONMP)
    AddressRange{0x0119'a700'0000, 0x0119'a700'00ff},  // ITU-T G.8032 ring protection (R-APS)
    AddressRange{0x01e0'2b00'0000, 0x01e0'2b00'0004},  // Extreme discovery and ring protection
    AddressRange{0x01e0'52cc'cccc, 0x01e0'52cc'cccc},  // Foundry discovery
};

bool is_bridge_control(MacAddress destination) {
  if (!destination.is_group()) return false;
  for (const AddressRange& range : kBridgeControl) {
    if (destination.value >= range.first && destination.value <= range.last) return true;
  }
  return false;
}

/// QEMU net/announce.c, qemu_announce_self_create(): a broadcast RARP request for itself.
bool is_rarp_announcement(const Reader& reader, MacAddress destination, MacAddress source) {
  constexpr std::uint32_t kBodyEnd = kEthernetHeaderBytes + 28;
  return destination.is_broadcast() && reader.holds(kBodyEnd) &&  //
         reader.u16(14) == 1 && reader.u16(16) == kEthertypeIpv4 && reader.u16(18) == 0x0604 &&
         reader.u16(20) == 3 &&                              // sizes, reverse request
         reader.mac(22) == source && reader.u32(28) == 0 &&  // SHA, SPA
         reader.mac(32) == source && reader.u32(38) == 0;    // THA, TPA
}

Payload payload_of(const Reader& reader, const Parsed& parsed) {
  switch (parsed.ethertype) {
    case kEthertypeIpv4:
      return Payload::ipv4;
    case kEthertypeArp:
      return Payload::arp;
    case kEthertypeIpv6:
      return Payload::ipv6;
    case kEthertypeRarp:
      return is_rarp_announcement(reader, parsed.destination, parsed.source)
                 ? Payload::rarp_announcement
                 : Payload::other;
    case 0x8100:  // 802.1Q
    case 0x88a8:  // 802.1ad
    case 0x9100:  // older double tags
    case 0x9200:
    case 0x9300:
      return Payload::tag;
    default:
      return Payload::other;
  }
}

}  // namespace

Parsed parse(const Frame& frame) {
  const Reader reader(*frame.head);
  Parsed parsed;
  parsed.length = frame.length;
  parsed.whole_header = reader.holds(kEthernetHeaderBytes);
  if (!parsed.whole_header) return parsed;
  parsed.destination = reader.mac(0);
  parsed.source = reader.mac(6);
  parsed.ethertype = reader.u16(12);
  parsed.payload = payload_of(reader, parsed);
  parsed.bridge_control = is_bridge_control(parsed.destination);
  return parsed;
}

}  // namespace bulkhead
