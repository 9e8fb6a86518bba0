#include "control/rpc/methods.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "config/nearest.hpp"

namespace bulkhead::control {
namespace {

enum class Effect { reads, changes };

struct Method {
  std::string_view name;
  Effect effect;
  Json (*carry_out)(const MethodContext&, const Json&);  // nullptr: rpc.cpp's, which subscribes
  LongAnswer (*carry_out_long)(const MethodContext&, const Json&) = nullptr;  // in its place
};

constexpr std::array kMethods{
    Method{"status", Effect::reads, status},
    Method{"port.add", Effect::changes, port_add},
    Method{"port.set", Effect::changes, port_set},
    Method{"port.del", Effect::changes, port_del},
    Method{"port.show", Effect::reads, nullptr, port_show},
    Method{"fdb.show", Effect::reads, nullptr, fdb_show},
    Method{"fdb.add", Effect::changes, fdb_add},
    Method{"fdb.del", Effect::changes, fdb_del},
    Method{"fdb.flush", Effect::changes, fdb_flush},
    Method{"flow.show", Effect::reads, nullptr, flow_show},
    Method{"flow.flush", Effect::changes, flow_flush},
    Method{"stats", Effect::reads, nullptr, stats},
    Method{"metrics", Effect::reads, nullptr, metrics},
    Method{"monitor", Effect::reads, nullptr},
    Method{"capture", Effect::reads, nullptr},
    Method{"explain", Effect::reads, explain},
    Method{"reload", Effect::changes, reload},
    Method{"save", Effect::reads, save},
};

template <class Things>
std::vector<std::string> names_of(const std::map<std::string, Things>& things) {
  std::vector<std::string> names;
  for (const auto& [name, thing] : things) names.push_back(name);
  return names;
}

const Method* find(const std::string& name) {
  const auto* found = std::ranges::find(kMethods, name, &Method::name);
  return found == kMethods.end() ? nullptr : found;
}

}  // namespace

Json Methods::call(const std::string& method, const Json& parameters) const {
  return find(method)->carry_out(context_, parameters);
}

LongAnswer Methods::call_long(const std::string& method, const Json& parameters) const {
  return find(method)->carry_out_long(context_, parameters);
}

bool Methods::answers_at_length(const std::string& method) {
  const Method* found = find(method);
  return found != nullptr && found->carry_out_long != nullptr;
}

std::vector<std::string> Methods::names() {
  std::vector<std::string> names;
  for (const Method& method : kMethods) names.emplace_back(method.name);
  return names;
}

bool Methods::knows(const std::string& method) {
  const Method* found = find(method);
  return found != nullptr && (found->carry_out != nullptr || found->carry_out_long != nullptr);
}

bool Methods::changes(const std::string& method) {
  const Method* found = find(method);
  return found == nullptr || found->effect == Effect::changes;
}

Json drops_json(const std::array<std::uint64_t, kDropReasonCount>& drops) {
  Json json = Json::object();
  for (std::size_t i = 0; i < drops.size(); ++i) {
    if (drops[i] != 0) json[std::string(kDropReasons[i].name)] = drops[i];
  }
  return json;
}

const config::Port& MethodContext::port_named(const std::string& name) const {
  const auto place = bridge.config().ports.find(name);
  if (place != bridge.config().ports.end()) return place->second;
  const auto meant = config::nearest(name, names_of(bridge.config().ports));
  throw FailureError("port " + name + ": there is none; " +
                     (meant ? "did you mean \"" + *meant + "\"?"
                            : std::string("`bulkhead port show` lists them")));
}

// By name: ports may come and go between two pieces.
std::vector<const config::Port*> MethodContext::ports_behind(const std::string& name) const {
  const auto& all = bridge.config().ports;
  std::vector<const config::Port*> ports;
  for (auto place = all.upper_bound(name);
       place != all.end() && ports.size() < LongAnswer::kPortsPerPiece; ++place) {
    ports.push_back(&place->second);
  }
  return ports;
}

LongAnswer MethodContext::list_ports(const std::optional<std::string>& only, PortRow row) const {
  if (only) {
    return {.next = [this, name = port_named(*only).name, row,
                     is_done = false]() mutable -> std::optional<Json> {
      if (std::exchange(is_done, true)) return std::nullopt;
      return Json::array({row(*this, port_named(name), bridge.engine().totals())});
    }};
  }
  return {.next = [this, row, last = std::string()]() mutable -> std::optional<Json> {
    const auto ports = ports_behind(last);
    if (ports.empty()) return std::nullopt;
    const Engine::Totals& counts = totals_for_piece(last.empty());
    Json rows = Json::array();
    for (const config::Port* port : ports) rows.push_back(row(*this, *port, counts));
    last = ports.back()->name;
    return rows;
  }};
}

const Engine::Totals& MethodContext::totals_for_piece(bool is_first) const {
  constexpr auto kAgeMax = std::chrono::seconds(1);
  const auto now = std::chrono::steady_clock::now();
  if (is_first || now - counted > kAgeMax) {
    totals = bridge.engine().totals();
    counted = now;
  }
  return totals;
}

void MethodContext::require_segment(const std::string& name) const {
  if (bridge.config().segments.contains(name)) return;
  throw FailureError("segment " + name + ": there is none; " +
                     config::suggestion(name, names_of(bridge.config().segments)));
}

std::uint64_t MethodContext::uptime_seconds() const {
  const auto uptime = std::chrono::steady_clock::now() - started;
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::seconds>(uptime).count());
}

}  // namespace bulkhead::control
