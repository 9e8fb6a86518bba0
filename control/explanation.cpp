#include "control/explanation.hpp"

#include <fmt/format.h>

#include <array>
#include <cctype>

#include "dataplane/parse.hpp"

namespace bulkhead::control {
namespace {

using Json = nlohmann::json;

const char* name_of(Check check) {
  switch (check) {
    case Check::whole_header:
      return "whole header";
    case Check::length:
      return "length";
    case Check::source_address:
      return "source address";
    case Check::source_binding:
      return "source binding";
    case Check::no_tag:
      return "no tag";
    case Check::no_bridge_control:
      return "no bridge-control destination";
    case Check::ethertype:
      return "ethertype";
    case Check::learning:
      return "learning";
    case Check::known_destination:
      return "known destination";
    case Check::no_hairpin:
      return "no hairpin";
    case Check::reach:
      return "reach";
    case Check::egress_up:
      return "egress: up";
    case Check::egress_length:
      return "egress: length";
    case Check::egress_address:
      return "egress: address";
  }
  return "?";
}

std::string join_macs(const config::Port& port) {
  if (port.learns()) return "any";
  std::string text;
  for (const MacAddress mac : port.macs) text += (text.empty() ? "" : ", ") + config::to_text(mac);
  return text;
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
  switch (step.check) {
    case Check::whole_header:
      return fmt::format("{} bytes, an Ethernet header has 14", frame.length);
    case Check::length:
      return fmt::format("{} bytes, MTU {} and 14", frame.length, mtu(from));
    case Check::source_address:
      return fmt::format("source {}, destination {}", config::to_text(frame.source),
                         config::to_text(frame.destination));
    case Check::source_binding:
      return fmt::format("source {}, port {} has {}", config::to_text(frame.source), from->name,
                         join_macs(*from));
    case Check::no_tag:
    case Check::ethertype:
      return fmt::format("ethertype 0x{:04x}", frame.ethertype);
    case Check::learning:
      return fmt::format("source {}", config::to_text(frame.source));
    case Check::no_bridge_control:
    case Check::known_destination:
      return fmt::format("destination {}", config::to_text(frame.destination));
    case Check::no_hairpin:
    case Check::reach:
      return fmt::format("destination {}", config::to_text(frame.destination));
    case Check::egress_up:
      return fmt::format("port {}", egress == nullptr ? "?" : egress->name);
    case Check::egress_length:
      return fmt::format("port {}: {} bytes, MTU {} and 14", egress == nullptr ? "?" : egress->name,
                         frame.length, mtu(egress));
    case Check::egress_address:
      return fmt::format("port {}: destination {}, it has {}",
                         egress == nullptr ? "?" : egress->name, config::to_text(frame.destination),
                         egress == nullptr ? "?" : join_macs(*egress));
  }
  return {};
}

}  // namespace

std::optional<std::vector<std::uint8_t>> parse_hex(const std::string& text) {
  std::vector<std::uint8_t> bytes;
  int high = -1;
  for (const char character : text) {
    if (std::isspace(static_cast<unsigned char>(character)) != 0 || character == ':') continue;
    if (std::isxdigit(static_cast<unsigned char>(character)) == 0) return std::nullopt;
    const int digit = character <= '9' ? character - '0' : (character | 0x20) - 'a' + 10;
    if (high < 0) {
      high = digit;
    } else {
      bytes.push_back(static_cast<std::uint8_t>(high << 4 | digit));
      high = -1;
    }
  }
  if (high >= 0) return std::nullopt;
  return bytes;
}

Json explanation_json(const Explain& explain, const Bridge& bridge) {
  constexpr std::array kVerdicts{"unicast", "flood", "drop"};
  const bool dropped = explain.verdict.kind == Verdict::Kind::drop;
  Json json{{"verdict", kVerdicts[static_cast<std::size_t>(explain.verdict.kind)]},
            {"reason", nullptr},
            {"ports", Json::array()},
            {"checks", Json::array()}};
  if (dropped) json["reason"] = std::string(bulkhead::name_of(explain.verdict.reason));
  for (const PortIndex port : explain.egress) {
    if (const auto name = bridge.name_of(port)) json["ports"].push_back(*name);
  }
  for (const Explain::Step& step : explain.steps) {
    json["checks"].push_back({{"check", name_of(step.check)},
                              {"passed", step.passed},
                              {"detail", detail_of(step, explain, bridge)}});
  }
  return json;
}

void describe_head(Json& json, std::span<const std::uint8_t> head) {
  std::vector<std::uint8_t> bytes(head.begin(), head.end());
  Buffer buffer;
  buffer.data = bytes.data();
  buffer.length = static_cast<std::uint32_t>(bytes.size());
  const Parsed parsed = parse(Frame{&buffer, buffer.length, kNoPort});
  if (!parsed.whole_header) return;
  json["source"] = config::to_text(parsed.source);
  json["destination"] = config::to_text(parsed.destination);
  json["ethertype"] = fmt::format("0x{:04x}", parsed.ethertype);
}

}  // namespace bulkhead::control
