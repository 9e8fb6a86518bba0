// Frames for `explain`, made from what ports are bound to: the first one of a TCP connection, a
// ping, a question who has an address. Control thread only; changes nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"

namespace bulkhead::control {

struct FrameWish {
  enum class Kind : std::uint8_t { tcp, udp, icmp, arp, nd, dhcp };
  Kind kind = Kind::icmp;
  std::uint16_t port = 0;  // of tcp and udp: the destination's
  std::string to;          // a port's name, an IP address or a MAC address; not for dhcp
};

struct ExampleFrame {
  std::vector<std::uint8_t> bytes;  // whole, checksums right
  std::string text;                 // one line: what it is, and which addresses are made up
};

/// A MAC that was learned on the port, or nothing.
using LearnedOn = std::function<std::optional<MacAddress>(const std::string& port)>;

/// The frame as the guest behind `from` would send it. Where a port has no list of its own (a
/// trusted one), it takes what was learned there or makes an address up. Throws
/// std::invalid_argument with one line that names the way out.
ExampleFrame example_frame(const config::Config& config, const config::Port& from,
                           const FrameWish& wish, const LearnedOn& learned_on);

}  // namespace bulkhead::control
