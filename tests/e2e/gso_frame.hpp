// A frame that its sender leaves to the kernel to cut, of any kind that virtio_net_hdr can name, or
// one that lies about itself. Named by text, so that a test can ask for each:
//
//   gso:KIND:SEGMENT:PAYLOAD[:LIE]     KIND tcp4, tcp6, ufo4, ufo6, uso4, uso6; sizes in bytes
//
// Called by tap_guest only. Throws std::invalid_argument for a text that is none of these.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace gso {

/// virtio 1.2, 5.1.6: in the machine's byte order. <linux/virtio_net.h> is not C++ (a member
/// `class`).
struct VirtioNetHeader {
  static constexpr std::uint8_t kNeedsChecksum = 1, kTcp4 = 1, kUdp = 3, kTcp6 = 4, kUdpL4 = 5;
  std::uint8_t flags, gso_type;
  std::uint16_t header_length, gso_size, checksum_start, checksum_offset, buffers;
};
static_assert(sizeof(VirtioNetHeader) == 12);  // as QEMU uses

using Bytes = std::vector<std::uint8_t>;

struct Recipe {
  std::string kind, lie;
  unsigned segment = 0, payload = 0;

  [[nodiscard]] bool is_ip6() const { return kind.back() == '6'; }
  [[nodiscard]] bool is_tcp() const { return kind.starts_with("tcp"); }
};

inline Recipe recipe_of(const std::string& text) {
  std::istringstream words(text);
  std::array<std::string, 5> parts;
  for (std::string& part : parts) std::getline(words, part, ':');
  Recipe recipe{parts[1], parts[4], 0, 0};
  recipe.segment = static_cast<unsigned>(std::stoul(parts[2]));
  recipe.payload = static_cast<unsigned>(std::stoul(parts[3]));
  return recipe;
}

inline void append(Bytes& bytes, std::initializer_list<int> values) {
  for (const int value : values) bytes.push_back(static_cast<std::uint8_t>(value));
}

inline void append16(Bytes& bytes, std::size_t value) {
  bytes.push_back(static_cast<std::uint8_t>(value >> 8));
  bytes.push_back(static_cast<std::uint8_t>(value));
}

/// The IP header, with what the lie adds to it.
inline void append_ip(Bytes& bytes, const Recipe& recipe, std::uint8_t protocol,
                      std::size_t l4_bytes) {
  const bool is_extended = recipe.lie == "extension";
  if (recipe.is_ip6()) {
    append(bytes, {0x60, 0, 0, 0});
    append16(bytes, l4_bytes + (is_extended ? 8 : 0));
    append(bytes, {is_extended ? 60 : protocol, 64});
    for (const int last : {1, 2}) {
      append(bytes, {0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last});
    }
    if (is_extended) append(bytes, {protocol, 0, 1, 4, 0, 0, 0, 0});  // PadN
    return;
  }
  const int words = recipe.lie == "ihl" ? 15 : is_extended ? 6 : 5;
  append(bytes, {0x40 | words, 0});
  append16(bytes, 20 + (is_extended ? 4 : 0) + l4_bytes);
  append16(bytes, 7);
  append16(bytes, recipe.lie == "fragment" ? 0x2000 : 0);
  append(bytes, {64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2});
  if (is_extended) append(bytes, {1, 1, 1, 0});  // no operation, end
}

inline void append_l4(Bytes& bytes, const Recipe& recipe) {
  append16(bytes, 4009);
  append16(bytes, 9);
  if (recipe.is_tcp()) {
    const int words = recipe.lie == "doff15" ? 15 : recipe.lie == "doff0" ? 0 : 5;
    append(bytes, {0, 0, 0, 1, 0, 0, 0, 0, words << 4, 0x10, 0, 0, 0, 0, 0, 0});
  } else {
    append16(bytes, recipe.payload + 8);
    append16(bytes, 0xffff);
  }
}

/// A virtio_net_hdr and the frame. `macs`: destination and source.
inline Bytes make(const Recipe& recipe, const Bytes& macs) {
  Bytes bytes(sizeof(VirtioNetHeader));
  for (const std::uint8_t octet : macs) bytes.push_back(octet);
  if (recipe.lie == "tag") append(bytes, {0x81, 0, 0, 5});
  append16(bytes, recipe.lie == "ethertype" ? 0x1234 : recipe.is_ip6() ? 0x86dd : 0x0800);
  const bool speaks_tcp = recipe.is_tcp() != (recipe.lie == "protocol");
  const std::size_t l4_header = recipe.is_tcp() ? 20 : 8;
  append_ip(bytes, recipe, speaks_tcp ? 6 : 17, l4_header + recipe.payload);
  VirtioNetHeader header{};
  header.flags = recipe.lie == "nochecksum" ? 0 : VirtioNetHeader::kNeedsChecksum;
  header.checksum_start = static_cast<std::uint16_t>(bytes.size() - sizeof header);
  header.checksum_offset = recipe.is_tcp() ? 16 : 6;
  header.header_length = static_cast<std::uint16_t>(header.checksum_start + l4_header);
  if (recipe.lie == "headerlength") header.header_length = 1000;
  if (recipe.lie == "checksum") header.checksum_start += 400;
  header.gso_size = static_cast<std::uint16_t>(recipe.segment);
  if (recipe.is_tcp()) {
    header.gso_type = recipe.is_ip6() ? VirtioNetHeader::kTcp6 : VirtioNetHeader::kTcp4;
  } else if (recipe.kind.starts_with("ufo")) {
    header.gso_type = VirtioNetHeader::kUdp;
  } else if (recipe.kind.starts_with("uso")) {
    header.gso_type = VirtioNetHeader::kUdpL4;
  } else {
    throw std::invalid_argument(recipe.kind);
  }
  append_l4(bytes, recipe);
  bytes.resize(bytes.size() + recipe.payload);
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

}  // namespace gso
