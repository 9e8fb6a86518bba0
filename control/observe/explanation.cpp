#include "control/observe/explanation.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "control/observe/owner.hpp"
#include "dataplane/parse.hpp"

namespace bulkhead::control {
namespace {

using Json = nlohmann::json;

constexpr std::array kCheckTexts{
#define CHECK(name, text) text,
#include "dataplane/checks.def"
#undef CHECK
};

constexpr std::array kKeylessTexts{
#define KEYLESS(name, text) text,
#include "dataplane/keyless.def"
#undef KEYLESS
};

constexpr std::array kFlawTexts{
#define FLAW(name, text) text,
#include "dataplane/flaws.def"
#undef FLAW
};

/// Everything that the port may use as an address.
std::string join_ips(const config::Port& port) {
  if (port.any_ip) return "any that nobody else has";
  std::string text;
  const auto add = [&text](const std::string& what) { text += (text.empty() ? "" : ", ") + what; };
  for (const auto& address : port.addresses) add(config::to_text(address));
  for (const auto& address : port.shared_addresses) add("shared " + config::to_text(address));
  for (const auto& prefix : port.prefixes) add("prefix " + config::to_text(prefix));
  for (const auto& route : port.routes) add("route " + config::to_text(route));
  if (port.link_local == config::LinkLocal::any) add("link-local any");
  for (const auto& address : port.link_locals) add(config::to_text(address));
  if (port.link_local == config::LinkLocal::mac && !port.trusted && port.speaks(true)) {
    for (const MacAddress mac : port.macs) add(config::to_text(config::link_local_of(mac)));
  }
  return text.empty() ? "no address" : text;
}

std::string join_macs(const config::Port& port) {
  if (port.learns()) return "any";
  std::string text;
  for (const MacAddress mac : port.macs) text += (text.empty() ? "" : ", ") + config::to_text(mac);
  for (const MacAddress mac : port.shared_macs) text += ", shared " + config::to_text(mac);
  return text;
}

std::string join_roles(const config::Port& port) {
  std::string text;
  for (const config::Role role : port.allow) {
    text += (text.empty() ? "" : ", ") + std::string(config::to_text(role));
  }
  return text.empty() ? "no role" : text;
}

/// ", which is port vm2's", if an address that `from` may not use has an owner.
std::string whose(const config::Port* owner, const config::Port& from) {
  return owner == nullptr || owner->name == from.name ? ""
                                                      : ", which is port " + owner->name + "'s";
}

std::string owner_text(const Bridge& bridge, const config::Port& from, MacAddress mac) {
  return whose(owner_of(bridge.config(), from, mac), from);
}

std::string owner_text(const Bridge& bridge, const config::Port& from, bool is_v6,
                       IpAddress address) {
  const auto host = config::parse_prefix(ip_text(is_v6, address) + (is_v6 ? "/128" : "/32"));
  return host ? whose(owner_of(bridge.config(), from, *host), from) : "";
}

/// The rate that holds for what the frame is, as budget_of() in dataplane/decide.hpp counts it.
std::string limit_text(const config::Port& port, const Parsed& frame) {
  const config::Limit limit = port.limits();
  const auto text = [](const char* what, const config::Rate& rate) {
    return rate ? fmt::format("{} = {} a second", what, *rate) : fmt::format("{} = none", what);
  };
  switch (detail::budget_of(frame)) {
    case Budget::broadcast:
      return text("broadcast", limit.broadcast);
    case Budget::multicast:
      return text("multicast", limit.multicast);
    case Budget::arp_nd:
      return text("arp_nd", limit.arp_nd);
    case Budget::dhcp:
      return text("dhcp", limit.dhcp);
    default:
      return "none for unicast";
  }
}

const char* name_of(Message message) {
  constexpr std::array kNames{"data",
                              "ARP request",
                              "ARP probe",
                              "ARP announcement",
                              "ARP reply",
                              "DHCP client message",
                              "DHCP relay message",
                              "DHCP server message",
                              "DHCPv6 client message",
                              "DHCPv6 relay message",
                              "DHCPv6 server message",
                              "IGMP report",
                              "IGMP query",
                              "MLD report",
                              "MLD query",
                              "router solicitation",
                              "router advertisement",
                              "neighbour solicitation",
                              "duplicate address detection",
                              "neighbour advertisement",
                              "redirect",
                              "VRRP, CARP, HSRP or GLBP",
                              "routing protocol"};
  static_assert(kNames.size() == static_cast<std::size_t>(Message::routing_protocol) + 1);
  return kNames[static_cast<std::size_t>(message)];
}

/// What was compared with what.
std::string detail_of(const Explain::Step& step, const Explain& explain, const Bridge& bridge) {
  const Parsed& frame = explain.parsed;
  const auto port_at = [&](PortIndex index) -> const config::Port* {
    const auto name = bridge.name_of(index);
    return name ? &bridge.config().ports.at(*name) : nullptr;
  };
  const config::Port* from = port_at(explain.from);
  const PortIndex egress_index = step.egress != kNoPort ? step.egress : explain.verdict.port;
  const config::Port* egress = port_at(egress_index);
  const auto mtu = [&](const config::Port* port) {
    return port == nullptr ? 0 : bridge.status_of(port->name).mtu;
  };
  const bool v6 = frame.payload == Payload::ipv6;
  const std::string mac = config::to_text(frame.source);
  const std::string to = config::to_text(frame.destination);
  const std::string at = egress == nullptr ? "?" : egress->name;
  const char* flaw = kFlawTexts[static_cast<std::size_t>(frame.flaw)];
  const auto owner_if_failed = [&](bool is_v6, IpAddress address) {
    return step.passed ? std::string() : owner_text(bridge, *from, is_v6, address);
  };
  switch (step.check) {
    case Check::whole_header:
      return fmt::format("{} bytes, an Ethernet header has 14", frame.length);
    case Check::length:
      return fmt::format("{} bytes, MTU {} and 14", frame.length, mtu(from));
    case Check::source_address:
      return fmt::format("source {}, destination {}", mac, to);
    case Check::source_binding:
      return fmt::format("source {}{}, port {} has {}", mac,
                         step.passed ? std::string() : owner_text(bridge, *from, frame.source),
                         from->name, join_macs(*from));
    case Check::no_tag:
    case Check::ethertype:
      return fmt::format("ethertype 0x{:04x}", frame.ethertype);
    case Check::family:
      return fmt::format("{}, port {} has {}", v6 ? "IPv6" : "IPv4", from->name, join_ips(*from));
    case Check::arp_sender_mac:
      return fmt::format("sender {}, source {}, port {} has {}", config::to_text(frame.claimed),
                         mac, from->name, join_macs(*from));
    case Check::arp_sender_ip:
      if (frame.message == Message::arp_probe) {
        return fmt::format("probed {}{}, port {} has {}", ip_text(false, frame.receiver),
                           owner_if_failed(false, frame.receiver), from->name, join_ips(*from));
      }
      return fmt::format("sender {}{}, port {} has {}", ip_text(false, frame.sender),
                         owner_if_failed(false, frame.sender), from->name, join_ips(*from));
    case Check::arp_form:
    case Check::ipv4_header:
    case Check::ipv6_header:
    case Check::nd_alone:
    case Check::nd_form:
      return step.passed ? kFlawTexts[0] : flaw;  // it may have one that a later check is about
    case Check::ipv4_source:
    case Check::ipv6_source:
      return fmt::format("source {}{}, port {} has {}", ip_text(v6, frame.sender),
                         owner_if_failed(v6, frame.sender), from->name, join_ips(*from));
    case Check::dhcp_client:
      return fmt::format("client {} at {}{}, port {} has {} and {}",
                         frame.has_claimed ? config::to_text(frame.claimed) : "not of Ethernet",
                         ip_text(false, frame.target), owner_if_failed(false, frame.target),
                         from->name, join_macs(*from), join_ips(*from));
    case Check::dad_target:
      if (frame.flaw != Flaw::none) return flaw;
      return fmt::format("target {}{} to {}, port {} has {}", ip_text(true, frame.target),
                         owner_if_failed(true, frame.target), ip_text(true, frame.receiver),
                         from->name, join_ips(*from));
    case Check::na_target:
      return fmt::format("target {}{}, port {} has {}", ip_text(true, frame.target),
                         owner_if_failed(true, frame.target), from->name, join_ips(*from));
    case Check::nd_link_layer:
      return frame.has_claimed
                 ? fmt::format("link-layer address {}, port {} has {}",
                               config::to_text(frame.claimed), from->name, join_macs(*from))
                 : "no link-layer address";
    case Check::role:
      return fmt::format("{}, port {} allows {}", name_of(frame.message), from->name,
                         join_roles(*from));
    case Check::group_mac:
      return fmt::format("destination {}, {}", to, ip_text(v6, frame.receiver));
    case Check::rate:
      return fmt::format("{}: limit {}", name_of(frame.message), limit_text(*from, frame));
    case Check::learning:
      return fmt::format("source {}", mac);
    case Check::no_hairpin:
    case Check::reach:
      if (frame.destination.is_group() && (frame.message == Message::arp_request ||
                                           frame.message == Message::neighbor_solicitation)) {
        const IpAddress asked = v6 ? frame.target : frame.receiver;
        return fmt::format("asks for {}{}", ip_text(v6, asked),
                           owner_text(bridge, *from, v6, asked));
      }
      return fmt::format("destination {}{}", to, owner_text(bridge, *from, frame.destination));
    case Check::arp_destination:
    case Check::no_bridge_control:
    case Check::known_destination:
      return fmt::format("destination {}", to);
    case Check::egress_up:
      return fmt::format("port {}", at);
    case Check::egress_length:
      return fmt::format("port {}: {} bytes, MTU {} and 14", at, frame.length, mtu(egress));
    case Check::egress_mac:
      return fmt::format("port {}: destination {}, it has {}", at, to,
                         egress == nullptr ? "?" : join_macs(*egress));
    case Check::egress_ip:
      if (!frame.is_ip() && frame.payload != Payload::arp) return fmt::format("port {}", at);
      return fmt::format("port {}: destination {}, it has {}", at, ip_text(v6, frame.receiver),
                         egress == nullptr ? "?" : join_ips(*egress));
  }
  return {};
}

/// Why the kernel does not forward such frames by itself; nothing if it does.
std::string why_no_shortcut(const Explain& explain, const Bridge& bridge) {
  if (const auto why = keyless(explain.parsed)) {
    return kKeylessTexts[static_cast<std::size_t>(*why)];
  }
  const Verdict& verdict = explain.verdict;
  if (verdict.kind != Verdict::Kind::unicast) return "it does not go to one port";
  if (verdict.leaves_a_mark()) return "this one teaches or costs something; the next may";
  for (const PortIndex index : {explain.from, verdict.port}) {
    const auto name = bridge.name_of(index);
    if (!name) continue;
    const PortStatus status = bridge.status_of(*name);
    if (!status.why_no_road.empty()) return "port " + *name + ": " + status.why_no_road;
  }
  return {};
}

}  // namespace

std::string ip_text(bool is_v6, IpAddress address) {
  std::array<std::uint8_t, 16> bytes{};
  const auto put = [&](std::uint64_t value, std::size_t first, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      bytes[first + i] = static_cast<std::uint8_t>(value >> (8 * (count - 1 - i)));
    }
  };
  if (is_v6) put(address.high, 0, 8);
  put(address.low, is_v6 ? 8 : 0, is_v6 ? 8 : 4);
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(is_v6 ? AF_INET6 : AF_INET, bytes.data(), text.data(), text.size());
  return text.data();
}

Json explanation_json(const Explain& explain, const Bridge& bridge) {
  constexpr std::array kVerdicts{"unicast", "flood", "drop"};
  const bool dropped = explain.verdict.kind == Verdict::Kind::drop;
  Json json{{"verdict", kVerdicts[static_cast<std::size_t>(explain.verdict.kind)]},
            {"reason", nullptr},
            {"ports", Json::array()},
            {"checks", Json::array()}};
  if (explain.verdict.shadow) {
    json["shadow"] = std::string(bulkhead::name_of(*explain.verdict.shadow));
  }
  if (dropped) {
    json["reason"] = std::string(bulkhead::name_of(explain.verdict.reason));
    if (const auto name = bridge.name_of(explain.verdict.port)) json["refused_by"] = *name;
  }
  for (const PortIndex port : explain.egress) {
    if (const auto name = bridge.name_of(port)) json["ports"].push_back(*name);
  }
  const std::string why_not = why_no_shortcut(explain, bridge);
  json["shortcut"] = {{"possible", why_not.empty()}, {"why_not", why_not}};
  for (const Explain::Step& step : explain.steps) {
    json["checks"].push_back({{"check", kCheckTexts[static_cast<std::size_t>(step.check)]},
                              {"passed", step.passed},
                              {"detail", detail_of(step, explain, bridge)}});
  }
  return json;
}

void describe_head(Json& json, std::span<const std::uint8_t> head, std::uint32_t length) {
  std::vector<std::uint8_t> bytes(head.begin(), head.end());
  Buffer buffer;
  buffer.data = bytes.data();
  buffer.length = static_cast<std::uint32_t>(bytes.size());
  const Parsed parsed = parse(Frame{&buffer, length, kNoPort});
  if (!parsed.whole_header) return;
  json["source"] = config::to_text(parsed.source);
  json["mac"] = json["source"];  // as other events name the address that they are about
  json["destination"] = config::to_text(parsed.destination);
  json["ethertype"] = fmt::format("0x{:04x}", parsed.ethertype);
  const bool is_whole = head.size() == length;  // else what is missing would look like a flaw
  if (parsed.flaw != Flaw::none && is_whole) {
    json["flaw"] = kFlawTexts[static_cast<std::size_t>(parsed.flaw)];
  }
  if (parsed.is_ip() || (parsed.payload == Payload::arp && parsed.flaw == Flaw::none)) {
    const bool v6 = parsed.payload == Payload::ipv6;
    json["sender"] = ip_text(v6, parsed.sender);
    json["receiver"] = ip_text(v6, parsed.receiver);
    if (!parsed.target.is_zero()) json["target"] = ip_text(v6, parsed.target);
    json["message"] = name_of(parsed.message);
  }
}

std::string binding_text(const config::Port& port) {
  return "mac " + join_macs(port) + "; ip " + join_ips(port);
}

}  // namespace bulkhead::control
