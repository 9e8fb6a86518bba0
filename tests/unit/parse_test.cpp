// The canonical parser: every field, and every way in which a frame can fall short of it.
#include "dataplane/parse.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "tests/unit/frames.hpp"

namespace bulkhead {
namespace {

using test::Bytes;
using test::frame;
using test::kRarp;
using test::mac;
using test::put;
using test::qemu_announcement;

/// Parses with the first `split` bytes in one buffer, the rest in another. Each buffer is an
/// allocation of its own and exact, so that the sanitizer sees a read beyond it.
Parsed parse_bytes(const Bytes& bytes, std::size_t split = SIZE_MAX) {
  const std::size_t head_length = std::min(split, bytes.size());
  const auto store = [](std::span<const std::uint8_t> part) {
    auto memory = std::make_unique<std::uint8_t[]>(part.size());
    std::copy(part.begin(), part.end(), memory.get());
    return memory;
  };
  const auto head_memory = store(std::span(bytes).first(head_length));
  const auto rest_memory = store(std::span(bytes).subspan(head_length));
  Buffer rest;
  rest.data = rest_memory.get();
  rest.length = static_cast<std::uint32_t>(bytes.size() - head_length);
  Buffer head;
  head.data = head_memory.get();
  head.length = static_cast<std::uint32_t>(head_length);
  if (rest.length > 0) head.next = &rest;
  return parse({&head, static_cast<std::uint32_t>(bytes.size()), 0});
}

Payload payload_of(std::uint16_t ethertype) {
  return parse_bytes(frame('b', 'a', ethertype)).payload;
}

bool is_control(std::uint64_t destination) {
  return parse_bytes(frame({destination}, mac('a'))).bridge_control;
}

TEST(Parse, ReadsEveryField) {
  const Parsed parsed =
      parse_bytes(frame(MacAddress{0x0123'4567'89ab}, MacAddress{0xfedc'ba98'7654}, 0x86dd, 1514));
  EXPECT_TRUE(parsed.whole_header);
  EXPECT_EQ(parsed.destination.value, 0x0123'4567'89abu);
  EXPECT_EQ(parsed.source.value, 0xfedc'ba98'7654u);
  EXPECT_EQ(parsed.ethertype, 0x86dd);
  EXPECT_EQ(parsed.length, 1514u);
  EXPECT_EQ(parsed.payload, Payload::ipv6);
  EXPECT_FALSE(parsed.bridge_control);
}

/// The bytes of an upper layer: ports 0x1234 and 0x5678, or an ICMP type of 0x12.
Bytes with_upper(std::uint16_t ethertype, std::uint8_t protocol, std::size_t at) {
  Bytes bytes = frame('b', 'a', ethertype, 128);
  put(bytes, ethertype == test::kIpv4 ? 23 : 20, protocol, 1);
  put(bytes, at, 0x1234'5678, 4);
  return bytes;
}

struct Upper {
  std::uint8_t protocol;
  std::uint32_t ports;
  std::uint8_t icmp_type;
};

TEST(Parse, SaysWhatAnIpFrameCarriesAndWhereItsHeadersEnd) {
  for (const Upper upper : {Upper{6, 0x1234'5678, 0}, {17, 0x1234'5678, 0}, {1, 0, 0x12}}) {
    const Parsed parsed = parse_bytes(with_upper(test::kIpv4, upper.protocol, 34));
    EXPECT_EQ(parsed.protocol, upper.protocol);
    EXPECT_EQ(parsed.upper_at, 34);
    EXPECT_EQ(parsed.ports, upper.ports);
    EXPECT_EQ(parsed.icmp_type, upper.icmp_type);
    EXPECT_FALSE(parsed.is_fragment);
  }
  for (const Upper upper : {Upper{6, 0x1234'5678, 0}, {17, 0x1234'5678, 0}, {58, 0, 0x12}}) {
    const Parsed parsed = parse_bytes(with_upper(test::kIpv6, upper.protocol, 54));
    EXPECT_EQ(parsed.protocol, upper.protocol);
    EXPECT_EQ(parsed.upper_at, 54);
    EXPECT_EQ(parsed.ports, upper.ports);
    EXPECT_EQ(parsed.icmp_type, upper.icmp_type);
    EXPECT_FALSE(parsed.is_fragment);
  }
  const Parsed parsed = parse_bytes(with_upper(test::kIpv4, 17, 34));
  EXPECT_EQ(parsed.source_port(), 0x1234);
  EXPECT_EQ(parsed.destination_port(), 0x5678);
}

TEST(Parse, SaysWhereHeadersEndBehindOptionsAndExtensionHeaders) {
  Bytes options = with_upper(test::kIpv4, 6, 38);
  put(options, 14, 0x46, 1);
  put(options, 34, 0x0101'0101, 4);
  EXPECT_EQ(parse_bytes(options).upper_at, 38);
  EXPECT_EQ(parse_bytes(options).ports, 0x1234'5678u);
  Bytes extension = with_upper(test::kIpv6, 60, 62);
  put(extension, 54, 0x1100'0104'0000'0000, 8);  // destination options: padding; then UDP
  EXPECT_EQ(parse_bytes(extension).upper_at, 62);
  EXPECT_EQ(parse_bytes(extension).protocol, 17);
  EXPECT_EQ(parse_bytes(extension).ports, 0x1234'5678u);
}

TEST(Parse, KnowsAFragmentAndThatOnlyTheFirstHasTheUpperLayer) {
  for (const auto& [offset, upper_at] :
       std::vector<std::pair<std::uint16_t, std::uint16_t>>{{0x2000, 34}, {0x2001, 0}, {1, 0}}) {
    Bytes v4 = with_upper(test::kIpv4, 6, 34);
    put(v4, 20, offset, 2);
    EXPECT_TRUE(parse_bytes(v4).is_fragment);
    EXPECT_EQ(parse_bytes(v4).protocol, 6);
    EXPECT_EQ(parse_bytes(v4).upper_at, upper_at);
    EXPECT_EQ(parse_bytes(v4).ports, upper_at == 0 ? 0u : 0x1234'5678u);
  }
  for (const auto& [offset, upper_at] :
       std::vector<std::pair<std::uint16_t, std::uint16_t>>{{1, 62}, {9, 0}, {8, 0}}) {
    Bytes v6 = with_upper(test::kIpv6, 44, 62);
    put(v6, 54, 0x0600, 2);
    put(v6, 56, offset, 2);
    EXPECT_TRUE(parse_bytes(v6).is_fragment);
    EXPECT_EQ(parse_bytes(v6).protocol, 6);
    EXPECT_EQ(parse_bytes(v6).upper_at, upper_at);
    EXPECT_EQ(parse_bytes(v6).ports, upper_at == 0 ? 0u : 0x1234'5678u);
  }
  Bytes whole = with_upper(test::kIpv4, 6, 34);
  put(whole, 20, 0x4000, 2);  // not to be fragmented
  EXPECT_FALSE(parse_bytes(whole).is_fragment);
}

TEST(Parse, SaysNothingOfAnUpperLayerThatIsCutShort) {
  for (const auto& [protocol, least] :
       std::vector<std::pair<std::uint8_t, std::size_t>>{{6, 4}, {17, 8}, {1, 4}}) {
    Bytes bytes = with_upper(test::kIpv4, protocol, 34);
    bytes.resize(34 + least - 1);
    put(bytes, 16, 20 + least - 1, 2);
    const Parsed parsed = parse_bytes(bytes);
    EXPECT_EQ(parsed.flaw, Flaw::ipv4_payload);
    EXPECT_EQ(parsed.upper_at, 0);
    EXPECT_EQ(parsed.ports, 0u);
    EXPECT_EQ(parsed.icmp_type, 0);
  }
}

TEST(Parse, NamesThePayload) {
  EXPECT_EQ(payload_of(0x0800), Payload::ipv4);
  EXPECT_EQ(payload_of(0x0806), Payload::arp);
  EXPECT_EQ(payload_of(0x86dd), Payload::ipv6);
  for (const int tpid : {0x8100, 0x88a8, 0x9100, 0x9200, 0x9300}) {
    EXPECT_EQ(payload_of(static_cast<std::uint16_t>(tpid)), Payload::tag) << std::hex << tpid;
  }
}

TEST(Parse, KnowsNoOtherPayload) {
  constexpr std::uint16_t kKnown[] = {0x0800, 0x0806, 0x86dd, 0x8100,
                                      0x88a8, 0x9100, 0x9200, 0x9300};
  for (std::uint32_t ethertype = 0; ethertype <= 0xffff; ++ethertype) {
    if (std::ranges::count(kKnown, ethertype) > 0) continue;
    const Payload payload = payload_of(static_cast<std::uint16_t>(ethertype));
    ASSERT_EQ(payload, Payload::other) << std::hex << ethertype;
  }
}

TEST(Parse, SaysThatAHeaderIsShort) {
  const Bytes whole = frame('b', 'a');
  for (std::size_t length = 0; length < 14; ++length) {
    const Parsed parsed = parse_bytes(Bytes(whole.begin(), whole.begin() + long(length)));
    EXPECT_FALSE(parsed.whole_header) << length;
    EXPECT_EQ(parsed.length, length);
    EXPECT_TRUE(parsed.destination.is_zero());
    EXPECT_TRUE(parsed.source.is_zero());
  }
  EXPECT_TRUE(parse_bytes(Bytes(whole.begin(), whole.begin() + 14)).whole_header);
}

TEST(Parse, ReadsTheFirstBufferOnly) {
  const Bytes bytes = frame('b', 'a');
  for (std::size_t split = 0; split < 14; ++split) {
    EXPECT_FALSE(parse_bytes(bytes, split).whole_header) << split;
    EXPECT_EQ(parse_bytes(bytes, split).length, 60u);
  }
  EXPECT_TRUE(parse_bytes(bytes, 14).whole_header);
  EXPECT_EQ(parse_bytes(bytes, 14).payload, Payload::ipv4);
}

TEST(Parse, KnowsTheBridgeControlAddresses) {
  struct Range {
    std::uint64_t first;
    std::uint64_t last;
  };
  constexpr Range kRanges[] = {
      {0x0180'c200'0000, 0x0180'c200'002f}, {0x0100'0c00'0000, 0x0100'0cff'ffff},
      {0x0100'8100'0100, 0x0100'8100'0101}, {0x0119'a700'0000, 0x0119'a700'00ff},
      {0x01e0'2b00'0000, 0x01e0'2b00'0004}, {0x01e0'52cc'cccc, 0x01e0'52cc'cccc}};
  for (const Range& range : kRanges) {
    EXPECT_TRUE(is_control(range.first)) << std::hex << range.first;
    EXPECT_TRUE(is_control(range.last)) << std::hex << range.last;
    EXPECT_FALSE(is_control(range.first - 1)) << std::hex << range.first;
    EXPECT_FALSE(is_control(range.last + 1)) << std::hex << range.last;
  }
  for (std::uint64_t i = 0; i <= 0x2f; ++i) EXPECT_TRUE(is_control(0x0180'c200'0000 + i));
  EXPECT_TRUE(is_control(0x0100'0ccc'cccc));   // CDP, VTP, UDLD
  EXPECT_TRUE(is_control(0x0100'0ccc'cccd));   // PVST+
  EXPECT_FALSE(is_control(0x0080'c200'0000));  // the same without the group bit
  EXPECT_FALSE(is_control(0xffff'ffff'ffff));
  EXPECT_FALSE(is_control(0x0100'5e00'0001));
  EXPECT_FALSE(is_control(0x3333'0000'0001));
}

TEST(ParseRarp, TakesWhatQemuSends) {
  const Bytes bytes = qemu_announcement(mac('a'));
  ASSERT_EQ(bytes.size(), 60u);
  EXPECT_EQ(parse_bytes(bytes).payload, Payload::rarp_announcement);
}

TEST(ParseRarp, NeedsEveryBitOfTheBody) {
  const Bytes good = qemu_announcement(mac('a'));
  for (std::size_t bit = 0; bit < 42 * 8; ++bit) {
    Bytes bad = good;
    bad[bit / 8] = static_cast<std::uint8_t>(bad[bit / 8] ^ (1u << (bit % 8)));
    EXPECT_NE(parse_bytes(bad).payload, Payload::rarp_announcement)
        << "byte " << bit / 8 << " bit " << bit % 8;
  }
}

TEST(ParseRarp, IsNotAnotherOperationOrAddress) {
  const auto with = [](std::size_t offset, std::uint64_t value, std::size_t size) {
    Bytes bytes = qemu_announcement(mac('a'));
    put(bytes, offset, value, size);
    return parse_bytes(bytes).payload;
  };
  EXPECT_EQ(with(0, mac('+').value, 6), Payload::other) << "to a group";
  EXPECT_EQ(with(0, mac('b').value, 6), Payload::other) << "to a station";
  EXPECT_EQ(with(20, 4, 2), Payload::other) << "a reply";
  EXPECT_EQ(with(20, 1, 2), Payload::other) << "an ARP request";
  EXPECT_EQ(with(22, mac('b').value, 6), Payload::other) << "another's SHA";
  EXPECT_EQ(with(32, mac('b').value, 6), Payload::other) << "another's THA";
  EXPECT_EQ(with(28, 0x0a00'0001, 4), Payload::other) << "an SPA";
  EXPECT_EQ(with(38, 0x0a00'0001, 4), Payload::other) << "a TPA";
  EXPECT_EQ(with(12, 0x0806, 2), Payload::arp) << "as ARP";
}

TEST(ParseRarp, NeedsTheWholeBodyInTheFirstBuffer) {
  const Bytes good = qemu_announcement(mac('a'));
  for (std::size_t length = 14; length < 42; ++length) {
    const Bytes part(good.begin(), good.begin() + long(length));
    EXPECT_EQ(parse_bytes(part).payload, Payload::other) << length;
    EXPECT_EQ(parse_bytes(good, length).payload, Payload::other) << length;
  }
  EXPECT_EQ(parse_bytes(Bytes(good.begin(), good.begin() + 42)).payload,
            Payload::rarp_announcement);
  EXPECT_EQ(parse_bytes(good, 42).payload, Payload::rarp_announcement);
  EXPECT_EQ(parse_bytes(frame('*', 'a', kRarp)).payload, Payload::other) << "an empty body";
}

}  // namespace
}  // namespace bulkhead
