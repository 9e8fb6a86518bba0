// `port add`, `port set`, `port del` and `port show`.
#include "control/rpc/method.hpp"
#include "control/rpc/parameters.hpp"

namespace bulkhead::control {
namespace {

/// A list of texts; with "any" before it if that is said.
template <class Values>
Json texts_json(const Values& values, bool any = false) {
  Json json = Json::array();
  if (any) json.push_back("any");
  for (const auto& value : values) json.push_back(config::to_text(value));
  return json;
}

Json shared_json(const config::Port& port) {
  Json json = texts_json(port.shared_macs);
  for (const auto& address : port.shared_addresses) json.push_back(config::to_text(address));
  return json;
}

Json link_local_json(const config::Port& port) {
  switch (port.link_local) {
    case config::LinkLocal::mac:
      return "mac";
    case config::LinkLocal::any:
      return "any";
    default:
      return texts_json(port.link_locals);
  }
}

/// What holds, whoever said it.
Json limit_json(const config::Port& port) {
  const config::Limit limit = port.limits();
  const auto rate_json = [](const config::Rate& rate) { return rate ? Json(*rate) : Json("none"); };
  return {{"broadcast", rate_json(limit.broadcast)},
          {"multicast", rate_json(limit.multicast)},
          {"arp_nd", rate_json(limit.arp_nd)},
          {"dhcp", rate_json(limit.dhcp)}};
}

/// The running configuration with one port more or other, put in force.
void put_port(const MethodContext& context, const config::Port& port) {
  config::Config next = context.bridge.config();
  next.ports[port.name] = port;
  context.change(std::move(next));
}

Json port_row(const MethodContext& context, const config::Port& port,
              const Engine::Totals& totals) {
  const PortStatus status = context.bridge.status_of(port.name);
  const PortCounters& counters = totals.ports[status.index];
  const Intake intake = context.bridge.intake_of(port.name, counters.received);
  const bulkhead_flow_port flows = context.bridge.engine().flow_counts(status.index);
  auto drops = counters.dropped;
  for (std::size_t i = 0; i < drops.size(); ++i) drops[i] += counters.refused[i];
  drops[index_of(DropReason::too_big)] += intake.too_big;
  drops[index_of(DropReason::malformed)] += intake.malformed;
  drops[index_of(DropReason::overrun)] += intake.overrun;
  Json row{{"name", port.name},
           {"segment", port.segment},
           {"device", port.device},
           {"attach", port.by_xdp() ? "xdp" : "conduit"},
           {"state", control::name_of(status.state)},
           {"worker", status.worker},
           {"trusted", port.trusted},
           {"isolated", port.isolated},
           {"transit", port.transit},
           {"unknown", port.unknown.value_or(port.trusted)},
           {"mac", texts_json(port.macs, port.any_mac)},
           {"ip", texts_json(port.addresses, port.any_ip)},
           {"prefixes", texts_json(port.prefixes)},
           {"routes", texts_json(port.routes)},
           {"link_local", link_local_json(port)},
           {"shared", shared_json(port)},
           {"allow", texts_json(port.allow)},
           {"limit", limit_json(port)},
           {"enforce", port.enforce},
           {"mtu", status.mtu},
           {"rx_frames", counters.received + flows.in_frames},
           {"rx_bytes", counters.received_bytes + flows.in_bytes},
           {"tx_frames", counters.sent + flows.out_frames},
           {"tx_bytes", counters.sent_bytes + flows.out_bytes},
           {"drops", drops_json(drops)}};
  if (status.queues) {
    row["queues"] = status.queues->count;
    row["zero_copy"] = status.queues->zero_copy;
  }
  constexpr std::array kRoads{"none", "redirect", "peer"};
  row["shortcut"] = kRoads.at(status.road);
  if (!status.why_no_road.empty()) row["shortcut_why"] = status.why_no_road;
  row["guard_restored"] = status.guard_restored;
  if (!status.why.empty()) row["why"] = status.why;
  return row;
}

}  // namespace

Json port_add(const MethodContext& context, const Json& json) {
  Parameters parameters("port.add", json);
  config::Port port;
  port.name = parameters.required_word("name");
  if (context.bridge.config().ports.contains(port.name)) {
    throw FailureError("port " + port.name + ": is there already; change it with `port set`");
  }
  port = config::apply_options(port, parameters.rest());
  put_port(context, port);
  return {{"name", port.name},
          {"state", control::name_of(context.bridge.status_of(port.name).state)}};
}

Json port_set(const MethodContext& context, const Json& json) {
  Parameters parameters("port.set", json);
  const std::string name = parameters.required_word("name");
  put_port(context, config::apply_options(context.port_named(name), parameters.rest()));
  return {{"name", name}, {"state", control::name_of(context.bridge.status_of(name).state)}};
}

Json port_del(const MethodContext& context, const Json& json) {
  Parameters parameters("port.del", json);
  const std::string name = parameters.required_word("name");
  parameters.finish();
  config::Config next = context.bridge.config();
  next.ports.erase(context.port_named(name).name);
  std::erase_if(next.statics, [&](const config::Static& entry) { return entry.port == name; });
  context.change(std::move(next));
  return {{"name", name}};
}

LongAnswer port_show(const MethodContext& context, const Json& json) {
  Parameters parameters("port.show", json);
  const auto only = parameters.word("name");
  parameters.finish();
  return context.list_ports(only, port_row);
}

}  // namespace bulkhead::control
