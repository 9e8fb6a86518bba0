// `fdb show`, `fdb add`, `fdb del` and `fdb flush`: the MAC table.
#include <algorithm>
#include <set>
#include <utility>

#include "control/rpc/method.hpp"
#include "control/rpc/parameters.hpp"

namespace bulkhead::control {
namespace {

/// Which rows of the MAC table are asked for.
struct FdbFilter {
  std::optional<std::string> port;
  std::optional<std::string> segment;

  void add(Json& rows, MacAddress mac, const std::string& on, const std::string& in,
           const char* kind, std::uint32_t age_seconds) const {
    if ((port && on != *port) || (segment && in != *segment)) return;
    rows.push_back({{"mac", config::to_text(mac)},
                    {"vlan", nullptr},
                    {"segment", in},
                    {"port", on},
                    {"kind", kind},
                    {"age_seconds", age_seconds}});
  }
};

/// The address in that segment, or in every one if it is empty. False if there is none.
bool remove_statics(config::Config& config, MacAddress mac, const std::string& segment) {
  return std::erase_if(config.statics, [&](const config::Static& entry) {
           return entry.mac == mac &&
                  (segment.empty() || config.ports.at(entry.port).segment == segment);
         }) > 0;
}

}  // namespace

// In this order: what is bound, port by port; what is static; what is learned. A static address is
// not said again where a worker has learned it.
LongAnswer fdb_show(const MethodContext& context, const Json& json) {
  Parameters parameters("fdb.show", json);
  const FdbFilter filter{parameters.word("port"), parameters.word("segment")};
  parameters.finish();
  if (filter.port) context.require_port(*filter.port);
  if (filter.segment) context.require_segment(*filter.segment);
  const auto next =
      [&context, filter, bound = std::string(), fixed = std::size_t{0},
       learned = Engine::FdbPlace{},
       said = std::set<std::pair<std::string, MacAddress>>()]() mutable -> std::optional<Json> {
    Json rows = Json::array();
    const auto& statics = context.bridge.config().statics;
    if (const auto ports = context.ports_behind(bound); !ports.empty()) {
      for (const config::Port* port : ports) {
        for (const MacAddress mac : port->macs) {
          filter.add(rows, mac, port->name, port->segment, "bound", 0);
        }
      }
      bound = ports.back()->name;
    } else if (fixed < statics.size()) {
      for (std::size_t i = 0; i < LongAnswer::kRowsPerPiece && fixed < statics.size(); ++i) {
        const config::Static& entry = statics[fixed++];
        const std::string& segment = context.port_named(entry.port).segment;
        said.insert({segment, entry.mac});
        filter.add(rows, entry.mac, entry.port, segment, "static", 0);
      }
    } else if (!learned.at_end) {
      for (const CopyFdb::Row& row : context.bridge.engine().learned(learned)) {
        const std::string segment = context.bridge.segment_name(row.segment);
        if (said.contains({segment, row.mac})) continue;
        filter.add(rows, row.mac, context.bridge.name_of(row.port).value_or("?"), segment,
                   "learned", row.age_ms / 1000);
      }
    } else {
      return std::nullopt;
    }
    return rows;
  };
  return {.next = next};
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
  FlushFdb::What flush;
  flush.mac = mac;
  if (!segment.empty()) flush.segment = context.bridge.segment_index(segment);
  any |= context.bridge.engine().flush(flush) > 0;
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
  const auto segment = parameters.word("segment");
  parameters.finish();
  if (segment) context.require_segment(*segment);
  FlushFdb::What flush;
  if (segment) flush.segment = context.bridge.segment_index(*segment);
  if (port) flush.port = context.bridge.status_of(context.port_named(*port).name).index;
  return {{"flushed", context.bridge.engine().flush(flush)}};
}

}  // namespace bulkhead::control
