#include "control/observe/example_frame.hpp"

#include <algorithm>
#include <stdexcept>

#include "config/nearest.hpp"
#include "control/observe/frame_bytes.hpp"
#include "control/observe/owner.hpp"

namespace bulkhead::control {
namespace {

using Kind = FrameWish::Kind;
using config::InterfaceAddress;

constexpr MacAddress kMadeUpSender{0x0200'0000'00fe};
constexpr MacAddress kMadeUpReceiver{0x0200'0000'00ff};

[[noreturn]] void refuse(const std::string& text) { throw std::invalid_argument(text); }

/// An end of the frame.
struct End {
  const config::Port* port = nullptr;  // null: nobody's
  std::optional<MacAddress> mac;       // if --to says it
  std::optional<InterfaceAddress> ip;  // if --to says it
};

std::string host_text(const InterfaceAddress& address) {
  const std::string text = config::to_text(address);
  return text.substr(0, text.find('/'));
}

/// Chooses the four addresses, and remembers which it made up.
class Chooser {
 public:
  Chooser(const config::Config& config, const config::Port& from, const LearnedOn& learned_on)
      : config_(config), from_(from), learned_on_(learned_on) {}

  MacAddress source() { return mac_of(&from_, kMadeUpSender); }

  FrameAddresses choose(const FrameWish& wish) {
    const End to = end_of(wish.to);
    const bool is_v6 = family(wish.kind, to);
    FrameAddresses addresses;
    addresses.source = source();
    const bool asks = wish.kind == Kind::arp || wish.kind == Kind::nd;  // it goes to a group
    if (!asks) addresses.destination = to.mac ? *to.mac : mac_of(to.port, kMadeUpReceiver);
    const auto sender = own_address(from_, is_v6);
    auto receiver = to.ip;
    if (!receiver && to.port != nullptr) receiver = own_address(*to.port, is_v6);
    addresses.sender = sender ? *sender : made_up(receiver, is_v6, kMadeUpSender);
    addresses.receiver = receiver ? *receiver : made_up(addresses.sender, is_v6, kMadeUpReceiver);
    return addresses;
  }

  [[nodiscard]] std::string made_up_text() const {
    std::string text;
    for (const std::string& one : made_up_) text += (text.empty() ? "; made up: " : ", ") + one;
    return text;
  }

 private:
  End end_of(const std::string& to) const {
    if (const auto place = config_.ports.find(to); place != config_.ports.end()) {
      if (place->second.segment == from_.segment) return {.port = &place->second, .mac{}, .ip{}};
      refuse("--to " + to + ": that port is in segment " + place->second.segment + ", port " +
             from_.name + " in " + from_.segment + "; nothing passes between segments");
    }
    if (const auto mac = config::parse_mac(to)) {
      return {.port = owner_of(config_, from_, *mac), .mac = mac, .ip{}};
    }
    if (const auto ip = config::parse_interface_address(to)) {
      return {.port = owner_of(config_, from_, config::host_of(*ip)), .mac{}, .ip = ip};
    }
    std::vector<std::string> names;
    for (const auto& [name, port] : config_.ports) names.push_back(name);
    refuse("--to \"" + to.substr(0, 64) + "\" is neither a port nor an address; " +
           config::suggestion(to, names));
  }

  /// Whether an address of the family can be found for the port. One without a binding takes any.
  static bool speaks(const config::Port* port, bool is_v6) {
    if (port == nullptr || port->speaks(is_v6)) return true;
    return port->trusted && !port->speaks(!is_v6);
  }

  bool family(Kind kind, const End& to) const {
    if (kind == Kind::arp || kind == Kind::nd) {
      const bool is_v6 = kind == Kind::nd;
      if (!to.ip || to.ip->is_v6 == is_v6) return is_v6;
      refuse(is_v6 ? "--nd asks for an IPv6 address; use --arp for IPv4"
                   : "--arp asks for an IPv4 address; use --nd for IPv6");
    }
    if (to.ip) return to.ip->is_v6;
    for (const bool is_v6 : {false, true}) {
      if (speaks(&from_, is_v6) && speaks(to.port, is_v6)) return is_v6;
    }
    refuse("port " + from_.name + " and port " + to.port->name +
           " have no IP version in common; name an address with --to");
  }

  MacAddress mac_of(const config::Port* port, MacAddress otherwise) {
    if (port != nullptr && !port->macs.empty()) return port->macs.front();
    for (const auto& [name, other] : config_.ports) {
      // An address that is nobody's is behind an uplink.
      const bool may_have =
          port != nullptr ? &other == port
                          : other.trusted && &other != &from_ && other.segment == from_.segment;
      if (!may_have) continue;
      if (const auto mac = learned_on_(name)) return *mac;
    }
    made_up_.push_back(config::to_text(otherwise));
    return otherwise;
  }

  static std::optional<InterfaceAddress> own_address(const config::Port& port, bool is_v6) {
    for (const auto* list : {&port.addresses, &port.shared_addresses}) {
      for (const InterfaceAddress& address : *list) {
        if (address.is_v6 == is_v6) return address;
      }
    }
    for (const auto* list : {&port.prefixes, &port.routes}) {
      for (const config::Prefix& prefix : *list) {
        if (prefix.is_v6 == is_v6) return host_in(prefix, 1);
      }
    }
    for (const InterfaceAddress& address : port.link_locals) {
      if (is_v6) return address;
    }
    return {};
  }

  /// The host of that number in the prefix; of a single address itself.
  static InterfaceAddress host_in(const config::Prefix& prefix, std::uint8_t number) {
    InterfaceAddress address{prefix.is_v6, prefix.bytes, prefix.length};
    const int bits = (prefix.is_v6 ? 128 : 32) - prefix.length;
    const unsigned mask = bits >= 8 ? 0xff : (1U << bits) - 1;
    std::uint8_t& last = address.bytes[prefix.is_v6 ? 15 : 3];
    last = static_cast<std::uint8_t>(last | (number & mask));
    return address;
  }

  /// An address that nobody has, in the subnet of `other`.
  InterfaceAddress made_up(const std::optional<InterfaceAddress>& other, bool is_v6,
                           MacAddress whose) {
    static const auto kDocumentation4 = config::parse_prefix("192.0.2.0/24").value();
    static const auto kDocumentation6 = config::parse_prefix("2001:db8::/64").value();
    const config::Prefix subnet = other   ? config::prefix_of(*other)
                                  : is_v6 ? kDocumentation6
                                          : kDocumentation4;
    constexpr int kTries = 254;
    InterfaceAddress address{};
    for (int i = 0; i < kTries; ++i) {
      const int number = whose == kMadeUpSender ? 1 + i : kTries - i;
      address = host_in(subnet, static_cast<std::uint8_t>(number));
      const config::Prefix host = config::host_of(address);
      const bool is_other = other && config::host_of(*other) == host;
      if (!is_other && owner_of(config_, from_, host) == nullptr) break;
    }
    made_up_.push_back(host_text(address));
    return address;
  }

  const config::Config& config_;
  const config::Port& from_;
  const LearnedOn& learned_on_;
  std::vector<std::string> made_up_;
};

}  // namespace

ExampleFrame example_frame(const config::Config& config, const config::Port& from,
                           const FrameWish& wish, const LearnedOn& learned_on) {
  Chooser chooser(config, from, learned_on);
  if (wish.kind == Kind::dhcp) {
    const MacAddress source = chooser.source();
    return {dhcp_frame(source), config::to_text(source) + " looks for a DHCP server (broadcast)" +
                                    chooser.made_up_text()};
  }
  const FrameAddresses addresses = chooser.choose(wish);
  const std::string ends = config::to_text(addresses.source) + " -> " +
                           config::to_text(addresses.destination) + ", " +
                           host_text(addresses.sender) + " -> " + host_text(addresses.receiver);
  const std::string asks = config::to_text(addresses.source) + ", " + host_text(addresses.sender) +
                           " asks who has " + host_text(addresses.receiver);
  const std::string made_up = chooser.made_up_text();
  switch (wish.kind) {
    case Kind::tcp:
      return {tcp_frame(addresses, wish.port),
              ends + ", TCP to port " + std::to_string(wish.port) + made_up};
    case Kind::udp:
      return {udp_frame(addresses, wish.port),
              ends + ", UDP to port " + std::to_string(wish.port) + made_up};
    case Kind::arp:
      return {arp_frame(addresses), asks + " (ARP)" + made_up};
    case Kind::nd:
      return {nd_frame(addresses), asks + " (ND)" + made_up};
    default:
      return {ping_frame(addresses), ends + ", ping" + made_up};
  }
}

}  // namespace bulkhead::control
