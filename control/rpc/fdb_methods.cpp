// `fdb show`, `fdb add`, `fdb del` and `fdb flush`: the MAC table.
#include <algorithm>

#include "control/rpc/method.hpp"
#include "control/rpc/parameters.hpp"

namespace bulkhead::control {
namespace {

/// The address in that segment, or in every one if it is empty. False if there is none.
bool remove_statics(config::Config& config, MacAddress mac, const std::string& segment) {
  return std::erase_if(config.statics, [&](const config::Static& entry) {
           return entry.mac == mac &&
                  (segment.empty() || config.ports.at(entry.port).segment == segment);
         }) > 0;
}

}  // namespace

Json fdb_show(const MethodContext& context, const Json& json) {
  Parameters parameters("fdb.show", json);
  const auto port = parameters.word("port");
  const auto segment = parameters.word("segment");
  parameters.finish();
  if (port) context.require_port(*port);
  if (segment) context.require_segment(*segment);
  Json rows = Json::array();
  const auto add = [&](MacAddress mac, const std::string& on, const std::string& in,
                       const char* kind, std::uint32_t age_seconds) {
    if ((port && on != *port) || (segment && in != *segment)) return;
    rows.push_back({{"mac", config::to_text(mac)},
                    {"vlan", nullptr},
                    {"segment", in},
                    {"port", on},
                    {"kind", kind},
                    {"age_seconds", age_seconds}});
  };
  for (const auto& [name, bound] : context.bridge.config().ports) {
    for (const MacAddress mac : bound.macs) add(mac, name, bound.segment, "bound", 0);
  }
  for (const config::Static& entry : context.bridge.config().statics) {
    add(entry.mac, entry.port, context.port_named(entry.port).segment, "static", 0);
  }
  for (const CopyFdb::Row& row : context.bridge.engine().learned()) {
    add(row.mac, context.bridge.name_of(row.port).value_or("?"),
        context.bridge.segment_name(row.segment), "learned", row.age_ms / 1000);
  }
  return rows;
}

Json fdb_add(const MethodContext& context, const Json& json) {
  Parameters parameters("fdb.add", json);
  const MacAddress mac = parameters.required_mac("mac");
  const std::string port = parameters.required_word("port");
  parameters.finish();
  if (mac.is_group() || mac.is_zero()) {
    throw UsageError("fdb.add: " + config::to_text(mac) + " is no address of a station");
  }
  const std::string segment = context.port_named(port).segment;
  config::Config next = context.bridge.config();
  const auto is_same = [&](const config::Static& entry) {
    return entry.mac == mac && entry.port == port;
  };
  if (std::ranges::any_of(next.statics, is_same)) return Json::object();
  remove_statics(next, mac, segment);
  next.statics.push_back({mac, port});
  config::check(next);  // before context.change(), which forgets those that cannot be
  context.change(std::move(next));
  return Json::object();
}

Json fdb_del(const MethodContext& context, const Json& json) {
  Parameters parameters("fdb.del", json);
  const MacAddress mac = parameters.required_mac("mac");
  const std::string segment = parameters.word("segment").value_or("");
  parameters.finish();
  if (!segment.empty()) context.require_segment(segment);
  config::Config next = context.bridge.config();
  bool any = remove_statics(next, mac, segment);
  if (any) context.change(std::move(next));
  for (const auto& [name, settings] : context.bridge.config().segments) {
    if (!segment.empty() && name != segment) continue;
    FlushFdb flush;
    flush.any_mac = false;
    flush.mac = mac;
    flush.segment = context.bridge.segment_index(name);
    any |= context.bridge.engine().flush(flush) > 0;
  }
  if (any) return Json::object();
  for (const auto& [name, port] : context.bridge.config().ports) {
    if (std::ranges::find(port.macs, mac) != port.macs.end()) {
      throw FailureError("address " + config::to_text(mac) + ": is bound to port " + name +
                         "; take it off with `port set`");
    }
  }
  throw FailureError("address " + config::to_text(mac) + ": nobody has it");
}

Json fdb_flush(const MethodContext& context, const Json& json) {
  Parameters parameters("fdb.flush", json);
  const auto port = parameters.word("port");
  parameters.finish();
  FlushFdb flush;
  if (port) flush.port = context.bridge.status_of(context.port_named(*port).name).index;
  return {{"flushed", context.bridge.engine().flush(flush)}};
}

}  // namespace bulkhead::control
