#include "control/rpc/methods.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace bulkhead::control {
namespace {

enum class Effect { reads, changes };

struct Method {
  std::string_view name;
  Effect effect;
  Json (*carry_out)(const MethodContext&, const Json&);  // nullptr: rpc.cpp's, which subscribes
};

constexpr std::array kMethods{
    Method{"status", Effect::reads, status},         Method{"port.add", Effect::changes, port_add},
    Method{"port.set", Effect::changes, port_set},   Method{"port.del", Effect::changes, port_del},
    Method{"port.show", Effect::reads, port_show},   Method{"fdb.show", Effect::reads, fdb_show},
    Method{"fdb.add", Effect::changes, fdb_add},     Method{"fdb.del", Effect::changes, fdb_del},
    Method{"fdb.flush", Effect::changes, fdb_flush}, Method{"stats", Effect::reads, stats},
    Method{"metrics", Effect::reads, metrics},       Method{"monitor", Effect::reads, nullptr},
    Method{"capture", Effect::reads, nullptr},       Method{"explain", Effect::reads, explain},
    Method{"reload", Effect::changes, reload},       Method{"save", Effect::reads, save},
};

const Method* find(const std::string& name) {
  const auto* found = std::ranges::find(kMethods, name, &Method::name);
  return found == kMethods.end() ? nullptr : found;
}

}  // namespace

Json Methods::call(const std::string& method, const Json& parameters) const {
  return find(method)->carry_out(context_, parameters);
}

bool Methods::knows(const std::string& method) {
  const Method* found = find(method);
  return found != nullptr && found->carry_out != nullptr;
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
  throw FailureError("port " + name + ": there is none; `bulkhead port show` lists them");
}

void MethodContext::require_segment(const std::string& name) const {
  if (bridge.config().segments.contains(name)) return;
  throw FailureError("segment " + name + ": there is none");
}

std::uint64_t MethodContext::uptime_seconds() const {
  const auto uptime = std::chrono::steady_clock::now() - started;
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::seconds>(uptime).count());
}

}  // namespace bulkhead::control
