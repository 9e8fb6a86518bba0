// `status`, `stats` and `metrics`: what was counted, whole, by port, and for a time series.
#include "control/observe/metrics.hpp"
#include "control/rpc/method.hpp"
#include "control/rpc/parameters.hpp"
#include "control/version.hpp"
#include "dataplane/invariant.hpp"

namespace bulkhead::control {
namespace {

Json stats_row(const MethodContext& context, const config::Port& port,
               const Engine::Totals& totals) {
  const PortStatus status = context.bridge.status_of(port.name);
  const PortCounters& counters = totals.ports[status.index];
  const Intake intake = context.bridge.intake_of(port.name, counters.received);
  const bulkhead_flow_port flows = context.bridge.engine().flow_counts(status.index);
  return {{"name", port.name},
          {"segment", port.segment},
          {"state", control::name_of(status.state)},
          {"ingress",
           {{"handed", intake.handed + flows.in_frames},
            {"shortcut", flows.in_frames},
            {"shortcut_bytes", flows.in_bytes},
            {"before",
             {{"too_big", intake.too_big},
              {"malformed", intake.malformed},
              {"overrun", intake.overrun}}},
            {"in_flight", intake.in_flight},
            {"window", intake.window},
            {"received", counters.received},
            {"bytes", counters.received_bytes},
            {"unicast", counters.unicast},
            {"flooded", counters.flooded},
            {"drops", drops_json(counters.dropped)},
            {"shadow", drops_json(counters.shadowed)}}},
          {"egress",
           {{"offered", counters.offered + flows.out_frames},
            {"tx", counters.sent + flows.out_frames},
            {"bytes", counters.sent_bytes + flows.out_bytes},
            {"shortcut", flows.out_frames},
            {"shortcut_bytes", flows.out_bytes},
            {"drops", drops_json(counters.refused)}}},
          {"flows",
           {{"refused", counters.flows_refused},
            {"misses",
             {{"no_key", flows.no_key},
              {"no_entry", flows.no_entry},
              {"stale", flows.stale},
              {"closed", flows.closed}}}}}};
}

Metrics metrics_of(const MethodContext& context, const std::vector<const config::Port*>& ports,
                   bool is_first) {
  const Engine::Totals& totals = context.totals_for_piece(is_first);
  Metrics metrics{.version = kVersion,
                  .uptime_seconds = context.uptime_seconds(),
                  .learned = totals.learned,
                  .buffers_free = totals.buffers_free,
                  .events_lost = context.bridge.engine().events_lost(),
                  .breaches = breaches(),
                  .conduits_mended = context.bridge.engine().conduits_mended(),
                  .conduits_in_trouble = !context.bridge.engine().conduit_trouble().empty(),
                  .ports = {}};
  for (const config::Port* port : ports) {
    const PortStatus status = context.bridge.status_of(port->name);
    const PortCounters& counters = totals.ports[status.index];
    metrics.ports.push_back({port->name, port->segment, status.state, port->enforce,
                             context.bridge.intake_of(port->name, counters.received), counters,
                             context.bridge.engine().flow_counts(status.index),
                             status.guard_restored});
  }
  return metrics;
}

}  // namespace

Json status(const MethodContext& context, const Json& parameters) {
  Parameters("status", parameters).finish();
  const Engine::Totals totals = context.bridge.engine().totals();
  Json states{{"up", 0}, {"down", 0}, {"waiting", 0}};
  Json unprotected = Json::array(), by_xdp = Json::array(), notes = Json::array();
  Json conduits = Json::array();
  for (std::uint8_t worker = 0; worker < context.bridge.engine().worker_count(); ++worker) {
    conduits.push_back(context.bridge.engine().conduit(worker).name());
  }
  std::uint64_t received = 0, sent = 0, dropped = 0, shadowed = 0, guard_restored = 0;
  for (const auto& [name, port] : context.bridge.config().ports) {
    const PortStatus status = context.bridge.status_of(name);
    Json& count = states[control::name_of(status.state)];
    count = count.get<int>() + 1;
    if (!port.enforce) unprotected.push_back(name);
    if (port.by_xdp()) by_xdp.push_back(name);
    const PortCounters& counters = totals.ports[status.index];
    const bulkhead_flow_port flows = context.bridge.engine().flow_counts(status.index);
    received += counters.received + flows.in_frames;
    guard_restored += status.guard_restored;
    sent += counters.sent + flows.out_frames;
    for (const std::uint64_t drops : counters.dropped) dropped += drops;
    for (const std::uint64_t drops : counters.refused) dropped += drops;
    for (const std::uint64_t passed : counters.shadowed) shadowed += passed;
  }
  if (!by_xdp.empty()) {
    notes.push_back(
        "native XDP (attach = \"xdp\") was never run on hardware, only on veth and virtio_net");
  }
  if (const std::string trouble = context.bridge.engine().conduit_trouble(); !trouble.empty()) {
    notes.push_back(trouble);
  }
  return {
      {"version", kVersion},
      {"uptime_seconds", context.uptime_seconds()},
      {"workers", context.bridge.config().workers},
      {"poll", context.bridge.config().poll == config::Poll::busy ? "busy" : "adaptive"},
      {"backends", {"conduit", "nic", "memory"}},
      {"conduits", conduits},
      {"conduits_mended", context.bridge.engine().conduits_mended()},
      {"ports", states},
      {"unprotected", unprotected},
      {"by_xdp", by_xdp},
      {"notes", notes},
      {"giving_back", context.bridge.ports().giving_back()},
      {"fdb_learned", totals.learned},
      {"buffers_free", totals.buffers_free},
      {"events_lost", context.bridge.engine().events_lost()},
      {"breaches", breaches()},
      {"rx_frames", received},
      {"tx_frames", sent},
      {"drops", dropped},
      {"shadow", shadowed},
      {"guard_restored", guard_restored},
  };
}

LongAnswer stats(const MethodContext& context, const Json& json) {
  Parameters parameters("stats", json);
  const auto only = parameters.word("name");
  parameters.finish();
  return context.list_ports(only, stats_row);
}

LongAnswer metrics(const MethodContext& context, const Json& json) {
  Parameters("metrics", json).finish();
  const auto next = [&context, metric = std::size_t{0},
                     last = std::string()]() mutable -> std::optional<Json> {
    if (metric > metric_count()) return std::nullopt;
    if (metric == metric_count()) {
      ++metric;
      return kMetricsEnd;
    }
    const auto ports = context.ports_behind(last);
    Json text = openmetrics_text(metrics_of(context, ports, metric == 0 && last.empty()), metric,
                                 last.empty());
    const bool goes_on = !ports.empty() && has_ports(metric);
    metric += goes_on ? 0 : 1;
    last = goes_on ? ports.back()->name : "";
    return text;
  };
  return {.kind = LongAnswer::Kind::text, .next = next};
}

}  // namespace bulkhead::control
