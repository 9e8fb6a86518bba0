// `flow show` and `flow flush`: what the kernel forwards by itself.
#include <array>
#include <utility>

#include "control/observe/explanation.hpp"
#include "control/rpc/method.hpp"
#include "control/rpc/parameters.hpp"

namespace bulkhead::control {
namespace {

/// An address of a key; null where it says nothing.
Json address_json(bool is_v6, std::uint64_t high, std::uint64_t low, bool any) {
  if (any) return nullptr;
  return ip_text(is_v6, {high, low});
}

Json flow_row(const MethodContext& context, const Engine::Flow& flow) {
  const auto& key = flow.entry.key;
  const bool is_v6 = (key[0] & BULKHEAD_FLOW_IPV6) != 0;
  const bool any_destination = (key[0] & BULKHEAD_FLOW_ANY_DESTINATION) != 0;
  const auto name = [&](PortIndex port) { return context.bridge.name_of(port).value_or("?"); };
  return {{"from", name(flow.from)},
          {"to", name(flow.entry.to)},
          {"source_mac", config::to_text(MacAddress{key[1]})},
          {"destination_mac", config::to_text(MacAddress{key[0] >> 16})},
          {"family", is_v6 ? "ipv6" : "ipv4"},
          {"source", address_json(is_v6, key[2], key[3], flow.any_source)},
          {"destination", address_json(is_v6, key[4], key[5], any_destination)},
          {"frames", flow.entry.frames},
          {"bytes", flow.entry.bytes},
          {"age_seconds", flow.age_seconds}};
}

}  // namespace

LongAnswer flow_show(const MethodContext& context, const Json& json) {
  Parameters parameters("flow.show", json);
  const auto only = parameters.word("name");
  parameters.finish();
  if (only) context.require_port(*only);
  const auto next = [&context, only, place = std::size_t{0}]() mutable -> std::optional<Json> {
    Engine& engine = context.bridge.engine();
    if (place >= engine.flow_places()) return std::nullopt;
    Json rows = Json::array();
    for (const Engine::Flow& flow : engine.flows(place, LongAnswer::kRowsPerPiece)) {
      Json row = flow_row(context, flow);
      if (!only || row["from"] == *only || row["to"] == *only) rows.push_back(std::move(row));
    }
    return rows;
  };
  return {.next = next};
}

Json flow_flush(const MethodContext& context, const Json& json) {
  Parameters("flow.flush", json).finish();
  context.bridge.forget_flows();
  return Json::object();
}

}  // namespace bulkhead::control
