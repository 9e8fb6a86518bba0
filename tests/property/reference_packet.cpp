#include "tests/property/reference_packet.hpp"

namespace bulkhead::reference {
namespace {

bool is_multicast(const Address& address) {
  return address.size() == 4 ? address[0] / 16 == 14 : address.size() == 16 && address[0] == 255;
}

bool is_zero(const Address& address) {
  for (const std::uint8_t octet : address) {
    if (octet != 0) return false;
  }
  return true;
}

}  // namespace

Bridge::Packet::Packet(const std::vector<std::uint8_t>& bytes, std::size_t head_bytes)
    : length(bytes.size()), head_(bytes.begin(), bytes.begin() + static_cast<long>(head_bytes)) {
  whole = head_.size() >= kHeaderBytes;
  if (!whole) return;
  destination = at(0, 6);
  source = at(6, 6);
  type = at(12, 2);
  for (const std::uint64_t tpid : {0x8100u, 0x88a8u, 0x9100u, 0x9200u, 0x9300u}) {
    if (type == tpid) kind = "tag";
  }
  if (type == 0x8035 && head_.size() >= 42 && is_qemu_announcement()) kind = "rarp";
  if (type == 0x0806) {
    kind = "arp";
    read_arp();
  } else if (type == 0x0800) {
    kind = "ipv4";
    read_ipv4();
  } else if (type == 0x86dd) {
    kind = "ipv6";
    read_ipv6();
  }
  if (!fault.empty()) says = "data";
}

bool Bridge::Packet::is_qemu_announcement() const {
  const bool is_rarp_for_ip =
      at(14, 2) == 1 && at(16, 2) == 0x0800 && at(18, 1) == 6 && at(19, 1) == 4 && at(20, 2) == 3;
  const bool has_no_addresses = at(28, 4) == 0 && at(38, 4) == 0;
  const bool is_of_itself = at(22, 6) == source && at(32, 6) == source;
  return destination == kBroadcast && is_rarp_for_ip && has_no_addresses && is_of_itself;
}

void Bridge::Packet::read_arp() {
  if (head_.size() < 42) return fail("arp", true);
  if (at(14, 2) != 1 || at(16, 2) != 0x0800) return fail("arp", true);
  if (at(18, 1) != 6 || at(19, 1) != 4) return fail("arp", true);
  const std::uint64_t operation = at(20, 2);
  if (operation != 1 && operation != 2) return fail("arp", true);
  claimed = at(22, 6);
  sender = address(28, 4);
  arp_target = at(32, 6);
  receiver = address(38, 4);
  addresses_read = true;
  says = operation == 2 ? "arp reply" : is_zero(sender) ? "arp probe" : "arp request";
  if (sender == receiver) says = "arp announcement";
}

void Bridge::Packet::read_ipv4() {
  if (head_.size() < 34) return fail("malformed", true);
  const std::size_t header = at(14, 1) % 16 * 4;
  const std::size_t total = at(16, 2);
  if (at(14, 1) / 16 != 4 || header < 20 || total < header) return fail("malformed", true);
  if (total > length - 14 || head_.size() < 14 + header) return fail("malformed", true);
  sender = address(26, 4);
  receiver = address(30, 4);
  addresses_read = true;
  for (std::size_t where = 34; where < 14 + header;) {
    const std::uint64_t option = at(where, 1);
    if (option == 0) break;
    if (option == 1) {
      ++where;
      continue;
    }
    if (where + 1 == 14 + header) return fail("malformed", false);
    const std::uint64_t size = at(where + 1, 1);
    if (size < 2 || where + size > 14 + header) return fail("malformed", false);
    bool harmless = false;
    for (const std::uint64_t known : {7u, 25u, 68u, 130u, 134u, 136u, 148u}) {
      if (option == known) harmless = true;
    }
    if (!harmless) return fail("malformed", false);
    where += size;
  }
  const bool more = at(20, 1) / 32 % 2 == 1;
  if (at(20, 2) % 8192 != 0) return;
  const std::size_t where = 14 + header;
  const std::size_t end = 14 + total;
  const std::uint64_t protocol = at(23, 1);
  std::size_t needed = 0;
  if (protocol == 17) needed = 8;
  if (protocol == 1 || protocol == 2 || protocol == 6) needed = 4;
  if (where + needed > end || where + needed > head_.size()) return fail("malformed", false);
  if (protocol == 17) read_udp(where, end, more);
  if (protocol == 2) {
    const std::uint64_t message = at(where, 1);
    says = "routing";
    if (message == 0x11) says = "igmp query";
    if (message == 0x12 || message == 0x16 || message == 0x17 || message == 0x22) {
      says = "igmp report";
    }
  }
  if (protocol == 1 && at(where, 1) == 5) says = "redirect";
  if (protocol == 1 && at(where, 1) == 9) says = "router advertisement";
  if (protocol == 112) says = "vrrp";
  if (protocol == 9 || protocol == 88 || protocol == 89 || protocol == 103) says = "routing";
}

void Bridge::Packet::read_udp(std::size_t where, std::size_t end, bool fragment) {
  const std::uint64_t from = at(where, 2);
  const std::uint64_t to = at(where + 2, 2);
  if (to == 520 || to == 521) says = "routing";
  if (to == 1985 || to == 2029 || to == 3222) says = "vrrp";
  const std::size_t limit = std::min(end, head_.size());
  if (kind == "ipv6") {
    if (to == 546) says = "dhcp server";
    if (to != 547) return;
    if (where + 8 >= limit) return fail("malformed", false);
    const std::uint64_t message = at(where + 8, 1);
    says = "dhcp client";
    if (message == 12) says = "dhcp relay";
    if (message == 2 || message == 7 || message == 10 || message == 13) says = "dhcp server";
    return;
  }
  if (to != 67 && to != 68) return;
  if (fragment) return fail("malformed", false);
  const bool is_whole = limit >= where + 8 + 34;
  const std::uint64_t operation = limit > where + 8 ? at(where + 8, 1) : 0;
  if (is_whole && at(where + 9, 1) == 1 && at(where + 10, 1) == 6) claimed = at(where + 8 + 28, 6);
  if (to == 68 || operation == 2) {
    says = "dhcp server";
    return;
  }
  if (!is_whole) return fail("malformed", false);
  if (from == 67 || at(where + 8 + 24, 4) != 0) {
    says = "dhcp relay";
    return;
  }
  says = "dhcp client";
  target = address(where + 8 + 12, 4);
  dhcp_from_nowhere = from == 68 && operation == 1 && destination == kBroadcast &&
                      receiver == Address{255, 255, 255, 255};
}

void Bridge::Packet::read_ipv6() {
  if (head_.size() < 54 || at(14, 1) / 16 != 6) return fail("malformed", true);
  if (at(18, 2) > length - 54) return fail("malformed", true);
  sender = address(22, 16);
  receiver = address(38, 16);
  addresses_read = true;
  const std::size_t end = 54 + at(18, 2);
  std::uint64_t next = at(20, 1);
  std::size_t where = 54;
  int headers = 0;
  bool is_fragment = false;
  const auto is_one_of = [&](std::initializer_list<std::uint64_t> list) {
    for (const std::uint64_t one : list) {
      if (next == one) return true;
    }
    return false;
  };
  while (is_one_of({0, 43, 44, 51, 60, 135, 139, 140, 253, 254})) {
    if (!is_one_of({0, 43, 44, 51, 60})) return fail("malformed", true);
    if (++headers > 8) return fail("malformed", true);
    if (next == 0 && headers != 1) return fail("malformed", true);
    if (where + 8 > end || where + 8 > head_.size()) return fail("malformed", true);
    std::size_t size = 8 + at(where + 1, 1) * 8;
    if (next == 44) size = 8;
    if (next == 51) size = 8 + at(where + 1, 1) * 4;
    if (where + size > end || where + size > head_.size()) return fail("malformed", true);
    if (next == 43 && (at(where + 2, 1) < 2 || at(where + 2, 1) > 4)) {
      return fail("malformed", true);
    }
    if (next == 0 || next == 60) {
      int options = 0;
      for (std::size_t option = where + 2; option < where + size;) {
        if (++options > 40) return fail("malformed", true);
        const std::uint64_t code = at(option, 1);
        if (code == 0) {
          ++option;
          continue;
        }
        bool harmless = false;
        for (const std::uint64_t known : {0x01u, 0x04u, 0x05u, 0x07u, 0x08u, 0x0fu, 0x11u, 0x12u,
                                          0x23u, 0x26u, 0x30u, 0x31u, 0x32u, 0x63u, 0x6du}) {
          if (code == known) harmless = true;
        }
        if (!harmless || option + 1 == where + size) return fail("malformed", true);
        option += 2 + at(option + 1, 1);
        if (option > where + size) return fail("malformed", true);
      }
    }
    const std::uint64_t of_this = next;
    next = at(where, 1);
    if (of_this == 44) {
      if (is_fragment) return fail("malformed", true);
      is_fragment = true;
      if (at(where + 2, 2) / 8 != 0) return;  // a later fragment: nothing more is known
    }
    where += size;
  }
  std::size_t needed = 0;
  if (next == 6) needed = 20;
  if (next == 17) needed = 8;
  if (next == 58 || next == 112) needed = 4;
  if (where + needed > end || where + needed > head_.size()) return fail("malformed", true);
  if (next == 17) read_udp(where, end, is_fragment);
  if (next == 58) read_icmpv6(where, end, headers > 0);
  if (next == 112) says = "vrrp";
  if (next == 9 || next == 88 || next == 89 || next == 103) says = "routing";
}

void Bridge::Packet::read_icmpv6(std::size_t where, std::size_t end, bool extended) {
  switch (at(where, 1)) {
    case 130:
      says = "mld query";
      return;
    case 131:
    case 132:
    case 143:
      says = "mld report";
      return;
    case 138:
    case 149:
      says = "router advertisement";
      return;
    case 141:
    case 142:
      return fail("nd", true);
    case 151:
    case 152:
    case 153:
    case 155:
      says = "routing";
      return;
    case 133:
    case 134:
    case 135:
    case 136:
    case 137:
      break;
    default:
      return;
  }
  if (extended) return fail("nd behind extension", true);
  read_discovery(where, end);
}

void Bridge::Packet::read_discovery(std::size_t where, std::size_t end) {
  const std::uint64_t message = at(where, 1);
  const bool is_dad = message == 135 && is_zero(sender);
  const auto broken = [&] { fail(is_dad ? "dad" : "nd", true); };
  std::size_t body = 0;
  if (message == 133) says = "router solicitation", body = 8;
  if (message == 134) says = "router advertisement", body = 16;
  if (message == 135) says = is_dad ? "dad" : "neighbor solicitation", body = 24;
  if (message == 136) says = "neighbor advertisement", body = 24;
  if (message == 137) says = "redirect", body = 40;
  if (at(21, 1) != 255 || at(where + 1, 1) != 0) return broken();
  if (where + body > end || end > head_.size()) return broken();
  if (body == 24) target = address(where + 8, 16);
  if (is_multicast(target)) return broken();
  std::set<std::uint64_t> seen;
  int options = 0;
  for (std::size_t option = where + body; option < end;) {
    if (++options > 40 || option + 2 > end) return broken();
    const std::uint64_t code = at(option, 1);
    const std::size_t size = at(option + 1, 1) * 8;
    if (size == 0 || option + size > end) return broken();
    const bool is_link_layer = code == 1 || code == 2;
    const bool again = !seen.insert(code).second;
    if (again && (message != 134 || is_link_layer)) return broken();
    const bool is_hosts = message == 133 || message == 135 || message == 136;
    const bool harmless = is_link_layer || (code >= 11 && code <= 16) || code == 33;
    if (is_hosts && !harmless) return broken();
    if (is_link_layer) {
      const std::uint64_t expected = message == 136 || message == 137 ? 2 : 1;
      if (code != expected || size != 8 || is_dad) return broken();
      claimed = at(option + 2, 6);
    }
    option += size;
  }
}

}  // namespace bulkhead::reference
