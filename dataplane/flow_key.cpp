#include "dataplane/flow_key.hpp"

#include <algorithm>
#include <array>

namespace bulkhead {
namespace {

constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpv6 = 58;  // IANA

#define PORT(number) number,
constexpr std::array<std::uint16_t, 9> kSpeakingPorts{BULKHEAD_SPEAKING_PORTS(PORT)};
#undef PORT

/// RFC 792, RFC 4443 section 4.
bool is_echo(const Parsed& frame) {
  if (frame.payload == Payload::ipv4) return frame.icmp_type == 8 || frame.icmp_type == 0;
  return frame.icmp_type == 128 || frame.icmp_type == 129;
}

bool has_known_protocol(const Parsed& frame) {
  switch (frame.protocol) {
    case kTcp:
    case kUdp:
      return true;
    case kIcmp:
      return frame.payload == Payload::ipv4 && is_echo(frame);
    case kIcmpv6:
      return frame.payload == Payload::ipv6 && is_echo(frame);
    default:
      return false;
  }
}

}  // namespace

std::optional<Keyless> keyless(const Parsed& frame) {
  constexpr std::uint32_t kIpv4Upper = kEthernetHeaderBytes + 20;
  constexpr std::uint32_t kIpv6Upper = kEthernetHeaderBytes + 40;
  if (!frame.whole_header) return Keyless::malformed;
  if (!frame.is_ip()) return Keyless::not_ip;
  if (frame.destination.is_group()) return Keyless::group;
  if (frame.flaw != Flaw::none) return Keyless::malformed;
  if (frame.is_fragment) return Keyless::fragment;
  const bool is_v6 = frame.payload == Payload::ipv6;
  if (frame.upper_at != (is_v6 ? kIpv6Upper : kIpv4Upper)) return Keyless::options;
  if (is_v6 && frame.sender.is_v6_link_local()) return Keyless::link_local;
  if (!has_known_protocol(frame)) return Keyless::protocol;
  const bool speaks =
      frame.protocol == kUdp &&
      std::ranges::find(kSpeakingPorts, frame.destination_port()) != kSpeakingPorts.end();
  if (speaks || frame.message != Message::data) return Keyless::message;
  return std::nullopt;
}

std::optional<FlowKey> flow_key(const Parsed& frame) {
  if (keyless(frame)) return std::nullopt;
  FlowKey key;
  key.words[0] = frame.destination.value << 16;
  if (frame.payload == Payload::ipv6) key.words[0] |= BULKHEAD_FLOW_IPV6;
  key.words[1] = frame.source.value;
  key.words[2] = frame.sender.high;
  key.words[3] = frame.sender.low;
  key.words[4] = frame.receiver.high;
  key.words[5] = frame.receiver.low;
  return key;
}

}  // namespace bulkhead
