#include "control/rpc/methods.hpp"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>

#include "control/observe/explanation.hpp"
#include "control/observe/hex.hpp"
#include "control/observe/metrics.hpp"
#include "control/version.hpp"

namespace bulkhead::control {
namespace {

/// The parameters of one request: every one must be asked for, or finish() refuses it by name.
class Parameters {
 public:
  Parameters(const std::string& method, const Json& json) : method_(method), json_(json) {
    if (!json.is_object() && !json.is_null()) {
      throw UsageError(method + ": parameters must be an object");
    }
  }

  std::optional<std::string> text(const std::string& name) {
    const Json* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_string()) throw UsageError(method_ + ": " + name + " must be a string");
    auto string = value->get<std::string>();
    if (string.size() > kExplainBytesMax * 3) {
      throw UsageError(method_ + ": " + name + " is too long");
    }
    return string;
  }
  /// A name of something, too short to fill a log or an answer.
  std::optional<std::string> word(const std::string& name) {
    auto value = text(name);
    constexpr std::size_t kWordMax = 64;
    if (value && value->size() > kWordMax) {
      throw UsageError(method_ + ": " + name + " is longer than 64 characters");
    }
    return value;
  }
  std::string required_word(const std::string& name) {
    if (auto value = word(name)) return *value;
    throw UsageError(method_ + ": " + name + " is missing");
  }
  std::string required_text(const std::string& name) {
    if (auto value = text(name)) return *value;
    throw UsageError(method_ + ": " + name + " is missing");
  }
  std::optional<MacAddress> mac(const std::string& name) {
    const auto value = word(name);
    if (!value) return std::nullopt;
    if (const auto parsed = config::parse_mac(*value)) return *parsed;
    throw UsageError(method_ + ": \"" + *value + "\" is not a MAC address");
  }
  /// What is left, as options of a port.
  std::map<std::string, config::OptionValue> rest() {
    std::map<std::string, config::OptionValue> options;
    for (const auto& [name, value] : json_.items()) {
      if (!seen_.contains(name)) options[name] = option_of(value);
      seen_.insert(name);
    }
    return options;
  }
  void finish() const {
    for (const auto& [name, value] : json_.items()) {
      if (!seen_.contains(name)) throw UsageError(method_ + ": unknown parameter \"" + name + "\"");
    }
  }

 private:
  const Json* find(const std::string& name) {
    seen_.insert(name);
    const auto place = json_.find(name);
    return json_.is_object() && place != json_.end() ? &*place : nullptr;
  }

  static config::OptionValue option_of(const Json& value) {
    using Kind = config::OptionValue::Kind;
    config::OptionValue option;
    option.kind = Kind::other;
    option.string = value.type_name();
    if (value.is_boolean()) {
      option.kind = Kind::boolean;
      option.boolean = value.get<bool>();
    } else if (value.is_number_integer()) {
      option.kind = Kind::integer;
      option.integer = value.get<std::int64_t>();
    } else if (value.is_string()) {
      option.kind = Kind::string;
      option.string = value.get<std::string>();
    } else if (value.is_object()) {
      option.kind = Kind::table;
      for (const auto& [name, element] : value.items()) option.table[name] = option_of(element);
    } else if (value.is_array() && std::ranges::all_of(value, [](const Json& element) {
                 return element.is_string();
               })) {
      option.kind = Kind::list;
      option.list = value.get<std::vector<std::string>>();
    }
    return option;
  }

  std::string method_;
  const Json& json_;
  std::set<std::string> seen_;
};

Json drops_json(const std::array<std::uint64_t, kDropReasonCount>& drops) {
  Json json = Json::object();
  for (std::size_t i = 0; i < drops.size(); ++i) {
    if (drops[i] != 0) json[std::string(kDropReasons[i].name)] = drops[i];
  }
  return json;
}

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

/// The address in that segment, or in every one if it is empty. False if there is none.
bool remove_statics(config::Config& config, MacAddress mac, const std::string& segment) {
  return std::erase_if(config.statics, [&](const config::Static& entry) {
           return entry.mac == mac &&
                  (segment.empty() || config.ports.at(entry.port).segment == segment);
         }) > 0;
}

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

Methods::Methods(Bridge& bridge, std::function<void(config::Config)> change,
                 std::function<void()> reload)
    : bridge_(bridge),
      change_(std::move(change)),
      reload_(std::move(reload)),
      methods_{
          {"status", &Methods::status},       {"port.add", &Methods::port_add},
          {"port.set", &Methods::port_set},   {"port.del", &Methods::port_del},
          {"port.show", &Methods::port_show}, {"fdb.show", &Methods::fdb_show},
          {"fdb.add", &Methods::fdb_add},     {"fdb.del", &Methods::fdb_del},
          {"fdb.flush", &Methods::fdb_flush}, {"stats", &Methods::stats},
          {"explain", &Methods::explain},     {"reload", &Methods::reload},
          {"metrics", &Methods::metrics},     {"save", &Methods::save},
      } {}

Json Methods::call(const std::string& method, const Json& parameters) {
  return (this->*methods_.at(method))(parameters);
}

bool Methods::changes(const std::string& method) {
  static const std::set<std::string> kReading{"status",  "port.show", "fdb.show",
                                              "stats",   "metrics",   "explain",
                                              "monitor", "capture",   "save"};
  return !kReading.contains(method);
}

const config::Port& Methods::port_named(const std::string& name) const {
  const auto place = bridge_.config().ports.find(name);
  if (place != bridge_.config().ports.end()) return place->second;
  throw FailureError("port " + name + ": there is none; `bulkhead port show` lists them");
}

std::string Methods::port_text(PortIndex index) const {
  return bridge_.name_of(index).value_or("?");
}

Json Methods::status(const Json& parameters) {
  Parameters("status", parameters).finish();
  const Engine::Totals totals = bridge_.engine().totals();
  Json states{{"up", 0}, {"down", 0}, {"waiting", 0}};
  Json unprotected = Json::array(), by_xdp = Json::array(), notes = Json::array();
  Json conduits = Json::array();
  for (std::uint8_t worker = 0; worker < bridge_.engine().worker_count(); ++worker) {
    conduits.push_back(bridge_.engine().conduit(worker).name());
  }
  std::uint64_t received = 0, sent = 0, dropped = 0, shadowed = 0;
  for (const auto& [name, port] : bridge_.config().ports) {
    const PortStatus status = bridge_.status_of(name);
    Json& count = states[control::name_of(status.state)];
    count = count.get<int>() + 1;
    if (!port.enforce) unprotected.push_back(name);
    if (port.by_xdp()) by_xdp.push_back(name);
    const PortCounters& counters = totals.ports[status.index];
    received += counters.received;
    sent += counters.sent;
    for (const std::uint64_t drops : counters.dropped) dropped += drops;
    for (const std::uint64_t drops : counters.refused) dropped += drops;
    for (const std::uint64_t passed : counters.shadowed) shadowed += passed;
  }
  if (!by_xdp.empty()) {
    notes.push_back(
        "native XDP (attach = \"xdp\") was never run on hardware, only on veth and virtio_net");
  }
  return {
      {"version", kVersion},
      {"uptime_seconds", uptime_seconds()},
      {"workers", bridge_.config().workers},
      {"poll", bridge_.config().poll == config::Poll::busy ? "busy" : "adaptive"},
      {"backends", {"conduit", "nic", "memory"}},
      {"conduits", conduits},
      {"ports", states},
      {"unprotected", unprotected},
      {"by_xdp", by_xdp},
      {"notes", notes},
      {"fdb_learned", totals.learned},
      {"buffers_free", totals.buffers_free},
      {"events_lost", bridge_.engine().events_lost()},
      {"rx_frames", received},
      {"tx_frames", sent},
      {"drops", dropped},
      {"shadow", shadowed},
  };
}

std::uint64_t Methods::uptime_seconds() const {
  const auto uptime = std::chrono::steady_clock::now() - started_;
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::seconds>(uptime).count());
}

void Methods::put_port(const config::Port& port) {
  config::Config next = bridge_.config();
  next.ports[port.name] = port;
  change_(std::move(next));
}

Json Methods::port_add(const Json& json) {
  Parameters parameters("port.add", json);
  config::Port port;
  port.name = parameters.required_word("name");
  if (bridge_.config().ports.contains(port.name)) {
    throw FailureError("port " + port.name + ": is there already; change it with `port set`");
  }
  port = config::apply_options(port, parameters.rest());
  put_port(port);
  return {{"name", port.name}, {"state", control::name_of(bridge_.status_of(port.name).state)}};
}

Json Methods::port_set(const Json& json) {
  Parameters parameters("port.set", json);
  const std::string name = parameters.required_word("name");
  put_port(config::apply_options(port_named(name), parameters.rest()));
  return {{"name", name}, {"state", control::name_of(bridge_.status_of(name).state)}};
}

Json Methods::port_del(const Json& json) {
  Parameters parameters("port.del", json);
  const std::string name = parameters.required_word("name");
  parameters.finish();
  config::Config next = bridge_.config();
  next.ports.erase(port_named(name).name);
  std::erase_if(next.statics, [&](const config::Static& entry) { return entry.port == name; });
  change_(std::move(next));
  return {{"name", name}};
}

Json Methods::port_show(const Json& json) {
  Parameters parameters("port.show", json);
  const auto only = parameters.word("name");
  parameters.finish();
  if (only) port_named(*only);
  const Engine::Totals totals = bridge_.engine().totals();
  Json rows = Json::array();
  for (const auto& [name, port] : bridge_.config().ports) {
    if (only && name != *only) continue;
    const PortStatus status = bridge_.status_of(name);
    const PortCounters& counters = totals.ports[status.index];
    const Intake intake = bridge_.intake_of(name, counters.received);
    auto drops = counters.dropped;
    for (std::size_t i = 0; i < drops.size(); ++i) drops[i] += counters.refused[i];
    drops[index_of(DropReason::too_big)] += intake.too_big;
    drops[index_of(DropReason::malformed)] += intake.malformed;
    drops[index_of(DropReason::overrun)] += intake.overrun;
    Json row{{"name", name},
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
             {"rx_frames", counters.received},
             {"rx_bytes", counters.received_bytes},
             {"tx_frames", counters.sent},
             {"tx_bytes", counters.sent_bytes},
             {"drops", drops_json(drops)}};
    if (status.nic != nullptr && status.state == PortState::up) {
      row["queues"] = status.nic->queues().rx;
      row["zero_copy"] = status.nic->is_zero_copy();
    }
    if (!status.why_waiting.empty()) row["why"] = status.why_waiting;
    rows.push_back(std::move(row));
  }
  return rows;
}

Json Methods::fdb_show(const Json& json) {
  Parameters parameters("fdb.show", json);
  const auto port = parameters.word("port");
  const auto segment = parameters.word("segment");
  parameters.finish();
  if (port) port_named(*port);
  if (segment && !bridge_.config().segments.contains(*segment)) {
    throw FailureError("segment " + *segment + ": there is none");
  }
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
  for (const auto& [name, bound] : bridge_.config().ports) {
    for (const MacAddress mac : bound.macs) add(mac, name, bound.segment, "bound", 0);
  }
  for (const config::Static& entry : bridge_.config().statics) {
    add(entry.mac, entry.port, port_named(entry.port).segment, "static", 0);
  }
  for (const CopyFdb::Row& row : bridge_.engine().learned()) {
    add(row.mac, port_text(row.port), bridge_.segment_name(row.segment), "learned",
        row.age_ms / 1000);
  }
  return rows;
}

Json Methods::fdb_add(const Json& json) {
  Parameters parameters("fdb.add", json);
  const auto mac = parameters.mac("mac");
  const std::string port = parameters.required_word("port");
  parameters.finish();
  if (!mac) throw UsageError("fdb.add: mac is missing");
  if (mac->is_group() || mac->is_zero()) {
    throw UsageError("fdb.add: " + config::to_text(*mac) + " is no address of a station");
  }
  const std::string segment = port_named(port).segment;
  config::Config next = bridge_.config();
  const auto is_same = [&](const config::Static& entry) {
    return entry.mac == *mac && entry.port == port;
  };
  if (std::ranges::any_of(next.statics, is_same)) return Json::object();
  remove_statics(next, *mac, segment);
  next.statics.push_back({*mac, port});
  config::check(next);  // before change_(), which forgets those that cannot be
  change_(std::move(next));
  return Json::object();
}

Json Methods::fdb_del(const Json& json) {
  Parameters parameters("fdb.del", json);
  const auto mac = parameters.mac("mac");
  const std::string segment = parameters.word("segment").value_or("");
  parameters.finish();
  if (!mac) throw UsageError("fdb.del: mac is missing");
  if (!segment.empty() && !bridge_.config().segments.contains(segment)) {
    throw FailureError("segment " + segment + ": there is none");
  }
  config::Config next = bridge_.config();
  bool any = remove_statics(next, *mac, segment);
  if (any) change_(std::move(next));
  for (const auto& [name, settings] : bridge_.config().segments) {
    if (!segment.empty() && name != segment) continue;
    FlushFdb flush;
    flush.any_mac = false;
    flush.mac = *mac;
    flush.segment = bridge_.segment_index(name);
    any |= bridge_.engine().flush(flush) > 0;
  }
  if (any) return Json::object();
  for (const auto& [name, port] : bridge_.config().ports) {
    if (std::ranges::find(port.macs, *mac) != port.macs.end()) {
      throw FailureError("address " + config::to_text(*mac) + ": is bound to port " + name +
                         "; take it off with `port set`");
    }
  }
  throw FailureError("address " + config::to_text(*mac) + ": nobody has it");
}

Json Methods::fdb_flush(const Json& json) {
  Parameters parameters("fdb.flush", json);
  const auto port = parameters.word("port");
  parameters.finish();
  FlushFdb flush;
  if (port) flush.port = bridge_.status_of(port_named(*port).name).index;
  return {{"flushed", bridge_.engine().flush(flush)}};
}

Json Methods::stats(const Json& json) {
  Parameters parameters("stats", json);
  const auto only = parameters.word("name");
  parameters.finish();
  if (only) port_named(*only);
  const Engine::Totals totals = bridge_.engine().totals();
  Json rows = Json::array();
  for (const auto& [name, port] : bridge_.config().ports) {
    if (only && name != *only) continue;
    const PortStatus status = bridge_.status_of(name);
    const PortCounters& counters = totals.ports[status.index];
    const Intake intake = bridge_.intake_of(name, counters.received);
    rows.push_back({{"name", name},
                    {"segment", port.segment},
                    {"state", control::name_of(status.state)},
                    {"ingress",
                     {{"handed", intake.handed},
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
                     {{"offered", counters.offered},
                      {"tx", counters.sent},
                      {"bytes", counters.sent_bytes},
                      {"drops", drops_json(counters.refused)}}}});
  }
  return rows;
}

Json Methods::metrics(const Json& json) {
  Parameters("metrics", json).finish();
  const Engine::Totals totals = bridge_.engine().totals();
  Metrics metrics{.version = kVersion,
                  .uptime_seconds = uptime_seconds(),
                  .learned = totals.learned,
                  .buffers_free = totals.buffers_free,
                  .events_lost = bridge_.engine().events_lost(),
                  .ports = {}};
  for (const auto& [name, port] : bridge_.config().ports) {
    const PortStatus status = bridge_.status_of(name);
    const PortCounters& counters = totals.ports[status.index];
    metrics.ports.push_back({name, port.segment, status.state, port.enforce,
                             bridge_.intake_of(name, counters.received), counters});
  }
  return openmetrics_text(metrics);
}

std::unique_ptr<Capture> Methods::capture(const Json& json) {
  Parameters parameters("capture", json);
  const auto port = parameters.word("port");
  const auto reason = parameters.word("reason");
  parameters.finish();
  const auto& ports = bridge_.config().ports;
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
  return std::make_unique<Capture>(bridge_, port, wanted);
}

Json Methods::explain(const Json& json) {
  Parameters parameters("explain", json);
  const std::string name = parameters.required_word("port");
  const std::string hex = parameters.required_text("frame");
  parameters.finish();
  const PortStatus status = bridge_.status_of(port_named(name).name);
  const auto bytes = parse_hex(hex);
  if (!bytes) throw UsageError("explain: the frame must be hexadecimal digits, two a byte");
  if (bytes->size() > kExplainBytesMax) throw UsageError("explain: more than 65536 bytes");
  Explain command(status.index, *bytes);
  bridge_.engine().call(status.worker, command);
  return explanation_json(command, bridge_);
}

Json Methods::reload(const Json& json) {
  Parameters("reload", json).finish();
  reload_();
  return Json::object();
}

Json Methods::save(const Json& json) {
  Parameters("save", json).finish();
  return config::to_toml(bridge_.config());
}

Json Methods::event_json(const Event& event) const {
  const auto port = bridge_.name_of(event.port);
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
      json["from"] = port_text(event.from);
      break;
    case Event::Kind::dropped: {
      json["event"] = "drop";
      json["shadow"] = event.shadow;
      json["reason"] = std::string(bulkhead::name_of(event.reason));
      json["side"] = event.at_egress ? "egress" : "ingress";
      json["from"] = port_text(event.from);
      json["length"] = event.length;
      describe_head(json, {event.head.data(), event.head_length}, event.length);
      return json;
    }
    case Event::Kind::done:
      return nullptr;
  }
  json["mac"] = config::to_text(event.mac);
  json["segment"] = bridge_.segment_name(event.segment);
  return json;
}

Json Methods::port_event_json(const std::string& port, PortState state) {
  return {{"event", control::name_of(state)}, {"port", port}};
}

}  // namespace bulkhead::control
