// `explain`, `capture` and the events of `monitor`: single frames.
#include <algorithm>
#include <array>
#include <stdexcept>

#include "config/nearest.hpp"
#include "control/observe/example_frame.hpp"
#include "control/observe/explanation.hpp"
#include "control/observe/hex.hpp"
#include "control/rpc/methods.hpp"
#include "control/rpc/parameters.hpp"

namespace bulkhead::control {
namespace {

constexpr std::array kEventKinds{"fdb", "port", "drop"};

/// What is to be explained: the bytes themselves, or what example_frame() makes.
struct Asked {
  std::vector<std::uint8_t> bytes;
  std::string made;  // the frame in words, if it was made
};

std::vector<std::uint8_t> bytes_of(const std::string& hex) {
  const auto bytes = parse_hex(hex);
  if (!bytes) throw UsageError("explain: the frame must be hexadecimal digits, two a byte");
  if (bytes->size() > kExplainBytesMax) throw UsageError("explain: more than 65536 bytes");
  return *bytes;
}

/// The kind that was said, if one was.
std::optional<FrameWish> wish_of(Parameters& parameters) {
  using Kind = FrameWish::Kind;
  std::optional<FrameWish> wish;
  const auto say = [&](const char* name, Kind kind, std::uint16_t port) {
    if (wish) throw UsageError(std::string("explain: one kind of frame at a time; remove ") + name);
    wish = FrameWish{.kind = kind, .port = port, .to{}};
  };
  for (const auto& [name, kind] : {std::pair{"tcp", Kind::tcp}, {"udp", Kind::udp}}) {
    if (const auto port = parameters.number(name, 0, 65'535)) {
      say(name, kind, static_cast<std::uint16_t>(*port));
    }
  }
  for (const auto& [name, kind] : {std::pair{"icmp", Kind::icmp},
                                   {"arp", Kind::arp},
                                   {"nd", Kind::nd},
                                   {"dhcp", Kind::dhcp}}) {
    if (parameters.flag(name)) say(name, kind, 0);
  }
  return wish;
}

Asked asked_for(const MethodContext& context, const config::Port& from, Parameters& parameters) {
  const auto hex = parameters.text("frame");
  const auto to = parameters.word("to");
  auto wish = wish_of(parameters);
  parameters.finish();
  if (hex && (to || wish))
    throw UsageError("explain: the frame is given; leave out what makes one");
  if (hex) return {bytes_of(*hex), ""};
  if (!wish && !to) {
    throw UsageError(
        "explain: which frame? Say `to` with tcp, udp, icmp, arp or nd; dhcp; or frame");
  }
  if (!wish) wish = FrameWish{};
  const bool is_dhcp = wish->kind == FrameWish::Kind::dhcp;
  if (is_dhcp && to) throw UsageError("explain: dhcp goes to everybody; leave `to` out");
  if (!is_dhcp && !to) throw UsageError("explain: where to? Say `to` with a port or an address");
  wish->to = to.value_or("");
  const auto learned_on = [&](const std::string& port) -> std::optional<MacAddress> {
    const PortIndex index = context.bridge.status_of(port).index;
    for (Engine::FdbPlace place; !place.at_end;) {
      for (const CopyFdb::Row& row : context.bridge.engine().learned(place)) {
        if (row.port == index) return row.mac;
      }
    }
    return std::nullopt;
  };
  try {
    ExampleFrame frame = example_frame(context.bridge.config(), from, *wish, learned_on);
    return {std::move(frame.bytes), std::move(frame.text)};
  } catch (const std::invalid_argument& error) {
    throw UsageError(std::string("explain: ") + error.what());
  }
}

}  // namespace

Subscription Methods::subscription(const Json& json) const {
  Parameters parameters("monitor", json);
  Subscription subscription{.kinds = parameters.words("kinds"), .port = parameters.word("port")};
  parameters.finish();
  const std::vector<std::string> known(kEventKinds.begin(), kEventKinds.end());
  for (const std::string& kind : subscription.kinds) {
    if (std::ranges::find(known, kind) != known.end()) continue;
    throw UsageError("monitor: there are no events \"" + kind + "\"; " +
                     config::suggestion(kind, known));
  }
  if (subscription.kinds.empty()) subscription.kinds = known;
  if (subscription.port) context_.require_port(*subscription.port);
  return subscription;
}

std::unique_ptr<Capture> Methods::capture(const Json& json) const {
  Parameters parameters("capture", json);
  const auto port = parameters.word("port");
  const auto reason = parameters.word("reason");
  parameters.finish();
  std::vector<std::string> ports;
  for (const auto& [name, settings] : context_.bridge.config().ports) ports.push_back(name);
  if (port && std::ranges::find(ports, *port) == ports.end()) {
    throw UsageError("capture: there is no port \"" + *port + "\"; " +
                     config::suggestion(*port, ports));
  }
  if (!reason) return std::make_unique<Capture>(context_.bridge, port, std::nullopt);
  std::vector<std::string> known;
  for (const DropReasonText& text : kDropReasons) known.emplace_back(text.name);
  const auto place = std::ranges::find(known, *reason);
  if (place == known.end()) {
    throw UsageError("capture: there is no reason \"" + *reason + "\"; " +
                     config::suggestion(*reason, known));
  }
  return std::make_unique<Capture>(context_.bridge, port,
                                   static_cast<DropReason>(place - known.begin()));
}

Json explain(const MethodContext& context, const Json& json) {
  Parameters parameters("explain", json);
  const config::Port& from = context.port_named(parameters.required_word("port"));
  const Asked asked = asked_for(context, from, parameters);
  const PortStatus status = context.bridge.status_of(from.name);
  const auto explained = context.bridge.engine().ask(
      status.worker, std::make_unique<Explain>(status.index, asked.bytes));
  Json answer = explanation_json(*explained, context.bridge);
  if (!asked.made.empty()) answer["made"] = {{"text", asked.made}, {"bytes", to_hex(asked.bytes)}};
  return answer;
}

Json Methods::event_json(const Event& event) const {
  const auto port = context_.bridge.name_of(event.port);
  if (!port) return nullptr;
  Json json{{"port", *port}};
  switch (event.kind) {
    case Event::Kind::learned:
      json["event"] = "learned";
      break;
    case Event::Kind::aged:
      json["event"] = "aged";
      break;
    case Event::Kind::moved:
      json["event"] = "moved";
      json["from"] = context_.bridge.name_of(event.from).value_or("?");
      break;
    case Event::Kind::dropped: {
      json["event"] = "drop";
      json["shadow"] = event.shadow;
      json["reason"] = std::string(bulkhead::name_of(event.reason));
      json["side"] = event.at_egress ? "egress" : "ingress";
      json["from"] = context_.bridge.name_of(event.from).value_or("?");
      json["length"] = event.length;
      describe_head(json, {event.head.data(), event.head_length}, event.length);
      return json;
    }
    case Event::Kind::resize:
    case Event::Kind::done:
      return nullptr;
  }
  json["mac"] = config::to_text(event.mac);
  json["segment"] = context_.bridge.segment_name(event.segment);
  return json;
}

Json Methods::port_event_json(const std::string& port, PortState state) {
  return {{"event", control::name_of(state)}, {"port", port}};
}

}  // namespace bulkhead::control
