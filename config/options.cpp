// Every key of bulkhead.toml: its name, what it takes, and where the value goes.
//
// Start at the three tables at the end; above them are the setters that need more than a line. To
// build a key that is refused so far, give its row a kind, a sentence and a setter.
#include "config/options.hpp"

#include <functional>
#include <numeric>

#include "config/text.hpp"

namespace bulkhead::config {
namespace {

using Kind = OptionValue::Kind;

constexpr std::int64_t kCpuMax = 1023;
constexpr std::uint32_t kMacMaxMax = 65'536;
constexpr std::size_t kSocketPathLengthMax = 107;  // sockaddr_un, less the closing zero

std::string describe(const OptionValue& value) {
  const auto join = [](const auto& list, auto text_of) {
    std::string text;
    for (const auto& item : list) text += (text.empty() ? "" : ", ") + text_of(item);
    return '[' + text + ']';
  };
  switch (value.kind) {
    case Kind::boolean:
      return value.boolean ? "true" : "false";
    case Kind::integer:
      return std::to_string(value.integer);
    case Kind::string:
      return quoted(value.string);
    case Kind::list:
      return join(value.list, [](const std::string& text) { return quoted(text); });
    case Kind::integer_list:
      return join(value.integers, [](std::int64_t number) { return std::to_string(number); });
    case Kind::other:
      return value.string.empty() ? "a value of another kind" : value.string;
  }
  return {};
}

/// Edits that turn one text into the other (Levenshtein).
std::size_t distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < from.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < to.size(); ++j) {
      const std::size_t replaced = diagonal + (from[i] == to[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

bool set_number(std::uint32_t& target, const OptionValue& value, std::uint32_t max) {
  if (value.integer < 1 || value.integer > max) return false;
  target = static_cast<std::uint32_t>(value.integer);
  return true;
}

// ---- [bulkhead] ----

bool set_socket(Config& config, const OptionValue& value) {
  config.socket = value.string;
  return !value.string.empty() && value.string.size() <= kSocketPathLengthMax &&
         value.string.find('\0') == std::string::npos;
}

bool set_workers(Config& config, const OptionValue& value) {
  if (value.integer > 1) {
    throw Refusal{"workers = " + std::to_string(value.integer) + " is not supported yet; use 1"};
  }
  return set_number(config.workers, value, 1);
}

bool set_cpus(Config& config, const OptionValue& value) {
  config.cpus.clear();
  for (const std::int64_t cpu : value.integers) {
    if (cpu < 0 || cpu > kCpuMax) return false;
    config.cpus.push_back(static_cast<std::uint32_t>(cpu));
  }
  return config.cpus.size() <= config.workers;  // the table has set workers before
}

bool set_poll(Config& config, const OptionValue& value) {
  config.poll = value.string == "busy" ? Poll::busy : Poll::adaptive;
  return value.string == "busy" || value.string == "adaptive";
}

bool set_log(Config& config, const OptionValue& value) {
  config.log = value.string;
  const auto levels = {"trace", "debug", "info", "warning", "error"};
  return std::find(levels.begin(), levels.end(), value.string) != levels.end();
}

// ---- [segment.NAME] ----

bool set_ageing(Segment& segment, const OptionValue& value) {
  const auto duration = parse_duration(value.string);
  if (!duration || *duration < kAgeingMin || *duration > kAgeingMax) return false;
  segment.ageing = *duration;
  return true;
}

// ---- [port.NAME] ----

/// dev_valid_name() of Linux net/core/dev.c.
bool is_device_name(const std::string& text) {
  return !text.empty() && text.size() <= kDeviceNameLengthMax && text != "." && text != ".." &&
         std::all_of(text.begin(), text.end(), [](char c) {
           const auto byte = static_cast<unsigned char>(c);
           return byte > 0x20 && byte != 0x7f && byte != 0xa0 && c != '/' && c != ':';
         });
}

bool set_attach(Port&, const OptionValue& value) {
  if (value.string == "xdp") throw Refusal{"attach = \"xdp\" is not supported yet; remove it"};
  return value.string == "conduit";
}

bool set_enforce(Port&, const OptionValue& value) {
  if (!value.boolean) throw Refusal{"enforce = false is not supported yet; remove it"};
  return true;
}

MacAddress read_mac(const std::string& text) {
  const auto mac = parse_mac(text);
  if (!mac) {
    throw Refusal{"mac " + quoted(text) +
                  " is not a MAC address; write it as 52:54:00:9f:5d:c1, or \"any\" alone"};
  }
  if (mac->is_group()) {
    throw Refusal{"mac " + quoted(text) + " is a group address; a port needs a unicast one"};
  }
  if (mac->is_zero()) {
    throw Refusal{"mac " + quoted(text) + " is no station's address; a port needs a unicast one"};
  }
  return *mac;
}

/// True if the bits from `length` to the end of the address all have that value.
bool host_bits_are(const InterfaceAddress& address, bool ones) {
  const unsigned bits = address.is_v6 ? 128 : 32;
  for (unsigned bit = address.prefix_length; bit < bits; ++bit) {
    const bool one = (address.bytes[bit / 8] >> (7 - bit % 8) & 1) != 0;
    if (one != ones) return false;
  }
  return true;
}

/// What kind of address no port can hold as its own, or null.
const char* unusable(const InterfaceAddress& address) {
  const auto& bytes = address.bytes;
  const auto is_all = [&](std::size_t from, std::size_t to, int value) {
    return std::all_of(bytes.begin() + from, bytes.begin() + to,
                       [value](std::uint8_t byte) { return byte == value; });
  };
  if (address.is_v6) {
    if (is_all(0, 16, 0)) return "the unspecified address";
    if (is_all(0, 15, 0) && bytes[15] == 1) return "the loopback address";
    return bytes[0] == 0xff ? "a multicast address" : nullptr;
  }
  if (is_all(0, 4, 0)) return "the unspecified address";
  if (bytes[0] == 127) return "a loopback address";
  if (bytes[0] >= 224 && bytes[0] < 240) return "a multicast address";
  return is_all(0, 4, 255) ? "the limited broadcast" : nullptr;
}

InterfaceAddress read_address(const std::string& text) {
  const auto address = parse_interface_address(text);
  if (!address) throw Refusal{"ip " + quoted(text) + " is not an address"};
  if (const char* reason = unusable(*address)) {
    throw Refusal{"ip " + quoted(text) + " is " + reason + "; a port needs a unicast one"};
  }
  // /31 and /32, /127 and /128 have no subnet or broadcast address (RFC 3021, RFC 6164).
  if (address->prefix_length >= (address->is_v6 ? 127 : 31)) return *address;
  if (host_bits_are(*address, false)) {
    throw Refusal{"ip " + quoted(text) +
                  " is a prefix, not an address; `prefixes` and `routes` are for prefixes"};
  }
  if (!address->is_v6 && host_bits_are(*address, true)) {
    throw Refusal{"ip " + quoted(text) + " is the broadcast of its subnet; name a host in it"};
  }
  return *address;
}

/// `mac` and `ip` alike: "any", one, or a list without repetition that replaces what was there.
template <typename Item, typename Read, typename Same>
bool set_binding(const char* key, const OptionValue& value, std::size_t count_max, bool& any,
                 std::vector<Item>& items, Read read, Same same) {
  std::vector<std::string> texts = value.list;
  if (value.kind == Kind::string) texts = {value.string};
  if (texts.empty()) return false;  // nothing said is said by leaving the key out
  if (texts.size() > count_max) {
    throw Refusal{std::string(key) + " has " + std::to_string(texts.size()) + " entries; at most " +
                  std::to_string(count_max) + " are allowed"};
  }
  items.clear();
  any = texts.size() == 1 && texts[0] == "any";
  if (any) return true;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    try {
      const Item item = read(texts[i]);
      if (std::any_of(items.begin(), items.end(), [&](auto& other) { return same(item, other); })) {
        throw Refusal{std::string(key) + ' ' + quoted(texts[i]) + " is listed twice; remove one"};
      }
      items.push_back(item);
    } catch (Refusal& refusal) {
      refusal.element = i;
      throw;
    }
  }
  return true;
}

bool set_mac(Port& port, const OptionValue& value) {
  return set_binding("mac", value, kMacsPerPortMax, port.any_mac, port.macs, read_mac,
                     std::equal_to<>());
}

bool set_ip(Port& port, const OptionValue& value) {
  return set_binding("ip", value, kAddressesPerPortMax, port.any_ip, port.addresses, read_address,
                     [](const InterfaceAddress& left, const InterfaceAddress& right) {
                       return left.is_v6 == right.is_v6 && left.bytes == right.bytes;
                     });
}

bool set_segment(Port& port, const OptionValue& value) {
  port.segment = value.string;
  return is_name(value.string);
}

bool set_device(Port& port, const OptionValue& value) {
  port.device = value.string;
  return is_device_name(value.string);
}

bool set_mac_max(Port& port, const OptionValue& value) {
  return set_number(port.mac_max.emplace(), value, kMacMaxMax);
}

/// A flag of a port.
template <auto member>
bool set_flag(Port& port, const OptionValue& value) {
  port.*member = value.boolean;
  return true;
}

}  // namespace

const std::vector<Key<Config>>& bulkhead_keys() {
  static const std::vector<Key<Config>> keys = {
      {"socket", Kind::string, "a path of 1 to 107 bytes", set_socket},
      {"state", Kind::other, "", nullptr},
      {"workers", Kind::integer, "1", set_workers},
      {"cpus", Kind::integer_list, "a list of CPUs from 0 to 1023, at most one a worker", set_cpus},
      {"poll", Kind::string, "\"adaptive\" or \"busy\"", set_poll},
      {"log", Kind::string, "\"trace\", \"debug\", \"info\", \"warning\" or \"error\"", set_log},
  };
  return keys;
}

const std::vector<Key<Segment>>& segment_keys() {
  static const std::vector<Key<Segment>> keys = {
      {"ageing", Kind::string,
       "a duration from \"1s\" to \"24h\" in s, min, h or d, such as \"300s\"", set_ageing},
      {"mac_limit", Kind::integer, "1 to " + std::to_string(kMacLimitMax),
       [](Segment& segment, const OptionValue& value) {
         return set_number(segment.mac_limit, value, kMacLimitMax);
       }},
  };
  return keys;
}

const std::vector<Key<Port>>& port_keys() {
  const std::string flag = "true or false";
  static const std::vector<Key<Port>> keys = {
      {"segment", Kind::string, "a name: 1 to 32 letters, digits, '_', '.' or '-'", set_segment},
      {"device", Kind::string,
       "a network device's name: 1 to 15 bytes without '/', ':' and white space", set_device},
      {"attach", Kind::string, "\"conduit\"", set_attach},
      {"vhost", Kind::other, "", nullptr},
      {"vhost_mode", Kind::other, "", nullptr},
      {"mac", Kind::list, "a MAC address such as \"52:54:00:9f:5d:c1\", a list of them, or \"any\"",
       set_mac},
      {"ip", Kind::list, "an address such as \"192.168.50.13/24\", a list of them, or \"any\"",
       set_ip},
      {"prefixes", Kind::other, "", nullptr},
      {"routes", Kind::other, "", nullptr},
      {"link_local", Kind::other, "", nullptr},
      {"shared", Kind::other, "", nullptr},
      {"allow", Kind::other, "", nullptr},
      {"limit", Kind::other, "", nullptr},
      {"mac_max", Kind::integer, "1 to " + std::to_string(kMacMaxMax), set_mac_max},
      {"trusted", Kind::boolean, flag, set_flag<&Port::trusted>},
      {"isolated", Kind::boolean, flag, set_flag<&Port::isolated>},
      {"enforce", Kind::boolean, flag, set_enforce},
      {"unknown", Kind::boolean, flag, set_flag<&Port::unknown>},
      {"transit", Kind::boolean, flag, set_flag<&Port::transit>},
      {"take_over", Kind::boolean, flag, set_flag<&Port::take_over>},
  };
  return keys;
}

std::string unknown(std::string_view what, std::string_view name,
                    const std::vector<std::string>& known) {
  const std::string text = "unknown " + std::string(what) + ' ' + quoted(name) + "; ";
  const auto farness = [&](const std::string& other) { return distance(name, other); };
  const auto nearest = std::min_element(
      known.begin(), known.end(),
      [&](const auto& left, const auto& right) { return farness(left) < farness(right); });
  // Two slips make a typing error; more, or as many as there are letters, another word.
  if (farness(*nearest) <= 2 && farness(*nearest) < nearest->size()) {
    return text + "did you mean " + quoted(*nearest) + '?';
  }
  std::string list;
  for (const auto& other : known) list += (list.empty() ? "" : ", ") + other;
  return text + "known are " + list;
}

std::string must_be(const std::string& name, const std::string& takes, const OptionValue& value) {
  return name + " must be " + takes + ", not " + describe(value);
}

bool fits(const OptionValue& value, OptionValue::Kind kind) {
  if (value.kind == kind) return true;
  if (kind == Kind::list) return value.kind == Kind::string;
  return kind == Kind::integer_list && value.kind == Kind::list && value.list.empty();
}

Port apply_options(Port base, const std::map<std::string, OptionValue>& options) {
  try {
    apply(port_keys(), base, options);
  } catch (const Refusal& refusal) {
    throw ConfigError(thing("port", base.name) + ": " + refusal.text);
  }
  return base;
}

std::vector<std::string> port_option_names() {
  std::vector<std::string> names;
  for (const auto& key : port_keys()) names.push_back(key.name);
  return names;
}

std::optional<OptionValue::Kind> option_kind(const std::string& key) {
  const Key<Port>* found = find(port_keys(), key);
  if (!found) return {};
  return found->kind;
}

}  // namespace bulkhead::config
