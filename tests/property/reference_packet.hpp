// The reference's own reading of a frame: nothing of dataplane/parse. Private to the reference.
#pragma once

#include <optional>
#include <stdexcept>

#include "tests/property/reference_bridge.hpp"

namespace bulkhead::reference {

constexpr std::uint32_t kHeaderBytes = 14;
constexpr Mac kBroadcast = 0xffffffffffff;

inline std::uint64_t number(const std::vector<std::uint8_t>& bytes, std::size_t at,
                            std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value = value * 256 + bytes.at(at + i);
  return value;
}

inline bool is_group(Mac mac) { return (mac >> 40) % 2 == 1; }

struct Bridge::Packet {
  bool whole = false;
  std::uint64_t length = 0;
  Mac destination = 0;
  Mac source = 0;
  std::uint64_t type = 0;
  std::string kind = "other";  // ipv4, ipv6, arp, rarp (QEMU's), tag, other
  std::string fault;           // arp, malformed, nd behind extension, nd
  bool addresses_read = false;
  bool hides = false;  // has a fault behind which there may be addresses
  std::string says = "data";
  Address sender, receiver;
  Address target;  // of neighbour discovery; of a DHCP client: ciaddr
  std::optional<Mac> claimed;
  Mac arp_target = 0;
  bool dhcp_from_nowhere = false;

  Packet(const std::vector<std::uint8_t>& bytes, std::size_t head_bytes);

  [[nodiscard]] int family() const { return kind == "ipv6" ? 6 : 4; }

 private:
  // What a buffer beyond the first holds is not looked at: at() throws.
  std::vector<std::uint8_t> head_;

  [[nodiscard]] std::uint64_t at(std::size_t where, std::size_t count) const {
    return number(head_, where, count);
  }
  [[nodiscard]] Address address(std::size_t where, std::size_t count) const {
    if (where + count > head_.size()) throw std::out_of_range("address");
    const auto begin = head_.begin() + static_cast<long>(where);
    return {begin, begin + static_cast<long>(count)};
  }
  void fail(const std::string& what, bool hiding) {
    fault = what;
    hides = hiding;
  }
  [[nodiscard]] bool is_qemu_announcement() const;
  void read_arp();
  void read_ipv4();
  void read_ipv6();
  void read_udp(std::size_t where, std::size_t end, bool fragment);
  void read_icmpv6(std::size_t where, std::size_t end, bool extended);
  void read_discovery(std::size_t where, std::size_t end);
};

}  // namespace bulkhead::reference
