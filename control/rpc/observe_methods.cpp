// `explain`, `capture` and the events of `monitor`: single frames.
#include <algorithm>
#include <functional>

#include "control/observe/explanation.hpp"
#include "control/observe/hex.hpp"
#include "control/rpc/methods.hpp"
#include "control/rpc/parameters.hpp"

namespace bulkhead::control {
namespace {

/// "vm1, vm2": what there is, for a message about what there is not.
template <class Things, class Name>
std::string listed(const Things& things, Name name_of_thing) {
  std::string text;
  for (const auto& thing : things) {
    text += (text.empty() ? "" : ", ") + std::string(std::invoke(name_of_thing, thing));
  }
  return text.empty() ? "none" : text;
}

}  // namespace

std::unique_ptr<Capture> Methods::capture(const Json& json) const {
  Parameters parameters("capture", json);
  const auto port = parameters.word("port");
  const auto reason = parameters.word("reason");
  parameters.finish();
  const auto& ports = context_.bridge.config().ports;
  if (port && !ports.contains(*port)) {
    throw UsageError("capture: there is no port \"" + *port + "\"; choose of " +
                     listed(ports, [](const auto& entry) { return entry.first; }));
  }
  std::optional<DropReason> wanted;
  if (reason) {
    const auto place = std::ranges::find(kDropReasons, *reason, &DropReasonText::name);
    if (place == kDropReasons.end()) {
      throw UsageError("capture: there is no reason \"" + *reason + "\"; choose of " +
                       listed(kDropReasons, &DropReasonText::name));
    }
    wanted = static_cast<DropReason>(place - kDropReasons.begin());
  }
  return std::make_unique<Capture>(context_.bridge, port, wanted);
}

Json explain(const MethodContext& context, const Json& json) {
  Parameters parameters("explain", json);
  const std::string name = parameters.required_word("port");
  const std::string hex = parameters.required_text("frame");
  parameters.finish();
  const PortStatus status = context.bridge.status_of(context.port_named(name).name);
  const auto bytes = parse_hex(hex);
  if (!bytes) throw UsageError("explain: the frame must be hexadecimal digits, two a byte");
  if (bytes->size() > kExplainBytesMax) throw UsageError("explain: more than 65536 bytes");
  const auto explained =
      context.bridge.engine().ask(status.worker, std::make_unique<Explain>(status.index, *bytes));
  return explanation_json(*explained, context.bridge);
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
