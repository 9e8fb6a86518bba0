#include "control/observe/pcap.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>
#include <utility>

#include "control/version.hpp"

namespace bulkhead::control {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::uint16_t kEthernet = 1;  // LINKTYPE_ETHERNET

// pcapng block types and options.
constexpr std::uint32_t kSectionHeader = 0x0a0d'0d0a;  // the same in both byte orders
constexpr std::uint32_t kByteOrderMagic = 0x1a2b'3c4d;
constexpr std::uint32_t kInterfaceDescription = 1;
constexpr std::uint32_t kObsoletePacket = 2;
constexpr std::uint32_t kSimplePacket = 3;
constexpr std::uint32_t kEnhancedPacket = 6;
constexpr std::uint16_t kEndOfOptions = 0;
constexpr std::uint16_t kComment = 1;
constexpr std::uint16_t kInterfaceName = 2;
constexpr std::uint16_t kFlags = 2;
constexpr std::uint16_t kUserApplication = 4;

constexpr std::uint32_t kPcapMicroseconds = 0xa1b2'c3d4;
constexpr std::uint32_t kPcapNanoseconds = 0xa1b2'3c4d;

/// Numbers out of bytes, in the byte order of their file. What is not there is an error.
class Fields {
 public:
  explicit Fields(Bytes bytes) : bytes_(bytes) {}

  void swap(bool swapped) { swapped_ = swapped; }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] std::uint16_t u16(std::size_t at) const {
    const auto value = load<std::uint16_t>(at);
    return swapped_ ? __builtin_bswap16(value) : value;
  }
  [[nodiscard]] std::uint32_t u32(std::size_t at) const {
    const auto value = load<std::uint32_t>(at);
    return swapped_ ? __builtin_bswap32(value) : value;
  }
  [[nodiscard]] Bytes part(std::size_t at, std::size_t count, const char* what) const {
    if (at > bytes_.size() || count > bytes_.size() - at) {
      throw PcapError(std::string(what) + " is cut short");
    }
    return bytes_.subspan(at, count);
  }
  [[nodiscard]] Fields within(std::size_t at, std::size_t count, const char* what) const {
    Fields fields(part(at, count, what));
    fields.swapped_ = swapped_;
    return fields;
  }

 private:
  template <class Number>
  [[nodiscard]] Number load(std::size_t at) const {
    Number value;
    std::memcpy(&value, part(at, sizeof value, "a header").data(), sizeof value);
    return value;
  }

  Bytes bytes_;
  bool swapped_ = false;
};

/// The frames found so far.
class Frames {
 public:
  void add(const Fields& fields, std::size_t at, std::uint32_t captured, std::uint32_t length,
           std::uint16_t link_type) {
    const std::string what = "frame " + std::to_string(found.size() + 1);
    const Bytes bytes = fields.part(at, captured, what.c_str());
    if (link_type != kEthernet) {
      throw PcapError(what + " is of link type " + std::to_string(link_type) +
                      "; only Ethernet (1) can be explained");
    }
    if (captured < length) {
      throw PcapError(what + " was captured short, " + std::to_string(captured) + " of " +
                      std::to_string(length) + " bytes; capture whole frames (tcpdump -s 0)");
    }
    found.push_back(bytes);
  }

  std::vector<Bytes> found;
};

void read_classic(Fields file, Frames& frames) {
  constexpr std::size_t kHeaderBytes = 24, kRecordBytes = 16;
  const auto link_type = static_cast<std::uint16_t>(file.u32(20));  // above: length of the FCS
  for (std::size_t at = kHeaderBytes; at < file.size();) {
    const std::uint32_t captured = file.u32(at + 8);
    frames.add(file, at + kRecordBytes, captured, file.u32(at + 12), link_type);
    at += kRecordBytes + captured;
  }
}

struct Interface {
  std::uint16_t link_type = 0;
  std::uint32_t snap_bytes = 0;  // 0: no limit
};

void read_block(const Fields& block, std::uint32_t type, std::vector<Interface>& interfaces,
                Frames& frames) {
  const auto interface = [&](std::uint32_t number) -> const Interface& {
    if (number < interfaces.size()) return interfaces[number];
    throw PcapError("a frame is of interface " + std::to_string(number) +
                    ", which is not described before it");
  };
  switch (type) {
    case kInterfaceDescription:
      interfaces.push_back({block.u16(0), block.u32(4)});
      break;
    case kEnhancedPacket:
      frames.add(block, 20, block.u32(12), block.u32(16), interface(block.u32(0)).link_type);
      break;
    case kObsoletePacket:
      frames.add(block, 20, block.u32(12), block.u32(16), interface(block.u16(0)).link_type);
      break;
    case kSimplePacket: {
      const Interface& first = interface(0);
      const std::uint32_t length = block.u32(0);
      const std::uint32_t captured =
          first.snap_bytes == 0 ? length : std::min(length, first.snap_bytes);
      frames.add(block, 4, captured, length, first.link_type);
      break;
    }
    default:
      break;  // names, statistics, secrets
  }
}

void read_pcapng(Fields file, Frames& frames) {
  constexpr std::size_t kAroundBytes = 12;  // type and length before, length again behind
  std::vector<Interface> interfaces;        // of this section
  for (std::size_t at = 0; at < file.size();) {
    if (file.u32(at) == kSectionHeader) {
      file.swap(false);
      const std::uint32_t magic = file.u32(at + 8);
      if (magic != kByteOrderMagic && __builtin_bswap32(magic) != kByteOrderMagic) {
        throw PcapError("a section header has no byte-order magic");
      }
      file.swap(magic != kByteOrderMagic);
      interfaces.clear();
    }
    const std::uint32_t type = file.u32(at);
    const std::uint32_t bytes = file.u32(at + 4);
    if (bytes < kAroundBytes || bytes % 4 != 0) {
      throw PcapError("a block has a length of " + std::to_string(bytes));
    }
    const Fields block = file.within(at, bytes, "a block");
    if (block.u32(bytes - 4) != bytes) throw PcapError("a block's two lengths differ");
    read_block(block.within(8, bytes - kAroundBytes, "a block"), type, interfaces, frames);
    at += bytes;
  }
}

// Writing: little endian, as every machine that this runs on.

template <class Number>
void put(std::string& to, Number value) {
  static_assert(std::endian::native == std::endian::little);
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_padded(std::string& to, std::string_view bytes) {
  to.append(bytes);
  to.append((4 - bytes.size() % 4) % 4, '\0');
}

void put_option(std::string& to, std::uint16_t code, std::string_view value) {
  put(to, code);
  put(to, static_cast<std::uint16_t>(value.size()));
  put_padded(to, value);
}

std::string block_of(std::uint32_t type, const std::string& body) {
  const auto bytes = static_cast<std::uint32_t>(body.size() + 12);
  std::string block;
  put(block, type);
  put(block, bytes);
  block += body;
  put(block, bytes);
  return block;
}

}  // namespace

std::vector<Bytes> read_pcap(Bytes bytes) {
  Fields file(bytes);
  Frames frames;
  const std::uint32_t magic = bytes.size() < 4 ? 0 : file.u32(0);
  const std::uint32_t swapped = __builtin_bswap32(magic);
  const auto is_classic = [](std::uint32_t number) {
    return number == kPcapMicroseconds || number == kPcapNanoseconds;
  };
  if (magic == kSectionHeader) {
    read_pcapng(file, frames);
  } else if (is_classic(magic) || is_classic(swapped)) {
    file.swap(is_classic(swapped));
    read_classic(file, frames);
  } else {
    throw PcapError("no pcap or pcapng file");
  }
  return std::move(frames.found);
}

std::string PcapngWriter::header() const {
  std::string body;
  put(body, kByteOrderMagic);
  put(body, std::uint16_t{1});  // version 1.0
  put(body, std::uint16_t{0});
  put(body, ~std::uint64_t{0});  // the section's length: unknown
  put_option(body, kUserApplication, std::string("bulkhead ") + kVersion);
  put_option(body, kEndOfOptions, {});
  return block_of(kSectionHeader, body);
}

std::string PcapngWriter::frame(const PcapNote& note, Bytes bytes) {
  std::string blocks;
  const auto [interface, is_new] =
      interfaces_.try_emplace(note.interface, static_cast<std::uint32_t>(interfaces_.size()));
  if (is_new) {
    std::string body;
    put(body, kEthernet);
    put(body, std::uint16_t{0});
    put(body, std::uint32_t{0});  // no limit on a frame's length
    put_option(body, kInterfaceName, note.interface);
    put_option(body, kEndOfOptions, {});
    blocks += block_of(kInterfaceDescription, body);
  }
  std::string body;
  put(body, interface->second);
  put(body, static_cast<std::uint32_t>(note.time_us >> 32));
  put(body, static_cast<std::uint32_t>(note.time_us));
  put(body, static_cast<std::uint32_t>(bytes.size()));
  put(body, note.length);
  put_padded(body, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  put_option(body, kComment, note.comment);
  std::string flags;
  put(flags, std::uint32_t{note.outbound ? 2u : 1u});
  put_option(body, kFlags, flags);
  put_option(body, kEndOfOptions, {});
  return blocks + block_of(kEnhancedPacket, body);
}

}  // namespace bulkhead::control
