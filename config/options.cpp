// Every key of bulkhead.toml: its name, what it takes, and where the value goes.
//
// Start at the tables at the end; above them are the setters and getters that need more than a
// line. To build a key that is refused so far, give its row a kind, a sentence, a setter and a
// getter.
#include "config/options.hpp"

#include <charconv>
#include <utility>

#include "config/nearest.hpp"
#include "config/text.hpp"

namespace bulkhead::config {
namespace {

using Kind = OptionValue::Kind;

constexpr std::int64_t kCpuMax = 1023;
constexpr std::uint32_t kMacMaxMax = 65'536;
constexpr std::size_t kSocketPathLengthMax = 107;  // sockaddr_un, less the closing zero
constexpr std::size_t kStatePathLengthMax = 4000;  // PATH_MAX, less an ending

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
    case Kind::table:
      return "a table";
    case Kind::rate:
    case Kind::mode:
    case Kind::other:
      return value.string.empty() ? "a value of another kind" : value.string;
  }
  return {};
}

bool set_number(std::uint32_t& target, const OptionValue& value, std::uint32_t max) {
  if (value.integer < 1 || value.integer > max) return false;
  target = static_cast<std::uint32_t>(value.integer);
  return true;
}

using Said = std::optional<OptionValue>;

Said flag_said(bool boolean) {
  OptionValue value;
  value.kind = Kind::boolean;
  value.boolean = boolean;
  return value;
}

Said number_said(std::uint32_t number) {
  OptionValue value;
  value.kind = Kind::integer;
  value.integer = number;
  return value;
}

Said word_said(const std::string& word) {
  OptionValue value;
  value.kind = Kind::string;
  value.string = word;
  return value;
}

/// Said unless it is what a fresh Target has.
template <typename Target, auto member>
Said get_word(const Target& target) {
  if (target.*member == Target{}.*member) return {};
  return word_said(target.*member);
}

template <typename Items>
std::vector<std::string> texts_of(const Items& items) {
  std::vector<std::string> texts;
  for (const auto& item : items) texts.push_back(to_text(item));
  return texts;
}

Said list_said(const std::vector<std::string>& list) {
  OptionValue value;
  value.kind = Kind::list;
  value.list = list;
  return value;
}

/// A list that is empty unless it was given.
template <auto member>
Said get_list(const Port& port) {
  if ((port.*member).empty()) return {};
  return list_said(texts_of(port.*member));
}

// ---- [bulkhead] ----

bool is_path(const std::string& text, std::size_t length_max) {
  return !text.empty() && text.size() <= length_max && text.find('\0') == std::string::npos;
}

bool set_socket(Config& config, const OptionValue& value) {
  config.socket = value.string;
  return is_path(value.string, kSocketPathLengthMax);
}

bool set_state(Config& config, const OptionValue& value) {
  config.state = value.string;
  return is_path(value.string, kStatePathLengthMax);
}

bool set_workers(Config& config, const OptionValue& value) {
  return set_number(config.workers, value, kWorkersMax);
}

Said get_workers(const Config& config) {
  if (config.workers == Config{}.workers) return {};
  return number_said(config.workers);
}

bool set_cpus(Config& config, const OptionValue& value) {
  config.cpus.clear();
  for (const std::int64_t cpu : value.integers) {
    if (cpu < 0 || cpu > kCpuMax) return false;
    config.cpus.push_back(static_cast<std::uint32_t>(cpu));
  }
  return config.cpus.size() <= config.workers;  // the table has set workers before
}

Said get_cpus(const Config& config) {
  if (config.cpus.empty()) return {};
  OptionValue value;
  value.kind = Kind::integer_list;
  value.integers.assign(config.cpus.begin(), config.cpus.end());
  return value;
}

bool set_poll(Config& config, const OptionValue& value) {
  config.poll = value.string == "busy" ? Poll::busy : Poll::adaptive;
  return value.string == "busy" || value.string == "adaptive";
}

Said get_poll(const Config& config) {
  if (config.poll == Poll::adaptive) return {};
  return word_said("busy");
}

bool set_log(Config& config, const OptionValue& value) {
  config.log = value.string;
  const auto levels = {"trace", "debug", "info", "warning", "error"};
  return std::find(levels.begin(), levels.end(), value.string) != levels.end();
}

bool set_shortcut(Config& config, const OptionValue& value) {
  config.shortcut = value.boolean;
  return true;
}

Said get_shortcut(const Config& config) {
  if (config.shortcut == Config{}.shortcut) return {};
  return flag_said(config.shortcut);
}

bool set_shortcut_entries(Config& config, const OptionValue& value) {
  return set_number(config.shortcut_entries, value, kShortcutEntriesMax) &&
         config.shortcut_entries >= kShortcutEntriesMin;
}

Said get_shortcut_entries(const Config& config) {
  if (config.shortcut_entries == kShortcutEntriesMin) return {};
  return number_said(config.shortcut_entries);
}

bool set_linger(Config& config, const OptionValue& value) {
  const auto duration = parse_duration(value.string);
  if (!duration || *duration > kLingerMax) return false;
  config.linger = *duration;
  return true;
}

Said get_linger(const Config& config) {
  if (config.linger == Config{}.linger) return {};
  return word_said(to_text(config.linger));
}

// ---- [segment.NAME] ----

bool set_ageing(Segment& segment, const OptionValue& value) {
  const auto duration = parse_duration(value.string);
  if (!duration || *duration < kAgeingMin || *duration > kAgeingMax) return false;
  segment.ageing = *duration;
  return true;
}

Said get_ageing(const Segment& segment) {
  if (segment.ageing == Segment{}.ageing) return {};
  return word_said(to_text(segment.ageing));
}

bool set_mac_limit(Segment& segment, const OptionValue& value) {
  return set_number(segment.mac_limit, value, kMacLimitMax);
}

Said get_mac_limit(const Segment& segment) {
  if (segment.mac_limit == Segment{}.mac_limit) return {};
  return number_said(segment.mac_limit);
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

bool set_attach(Port& port, const OptionValue& value) {
  port.attach = value.string == "xdp"       ? Attach::xdp
                : value.string == "conduit" ? Attach::conduit
                                            : Attach::automatic;
  return value.string == "xdp" || value.string == "conduit" || value.string == "auto";
}

Said get_attach(const Port& port) {
  if (port.attach == Attach::automatic) return {};
  return word_said(port.attach == Attach::xdp ? "xdp" : "conduit");
}

// Lists. A word that is refused is named with its place in the list.

/// The words of a list, or the single one. "" alone is the empty list, as in systemd's files: a
/// command has no other way to say it.
std::vector<std::string> words_of(const OptionValue& value) {
  if (value.kind != Kind::string) return value.list;
  if (value.string.empty()) return {};
  return {value.string};
}

[[noreturn]] void refuse(const std::string& key, const std::string& word,
                         const std::string& reason) {
  throw Refusal{key + ' ' + quoted(word) + ' ' + reason};
}

/// Calls take(word) for each of them.
template <typename Take>
void take_each(const std::string& key, const std::vector<std::string>& words, std::size_t count_max,
               Take take) {
  if (words.size() > count_max) {
    throw Refusal{key + " has " + std::to_string(words.size()) + " entries; at most " +
                  std::to_string(count_max) + " are allowed"};
  }
  for (std::size_t i = 0; i < words.size(); ++i) {
    try {
      take(words[i]);
    } catch (Refusal& refusal) {
      refusal.element = i;
      throw;
    }
  }
}

// Two ways to write the same thing: an address is the same with another length.
bool are_same(const InterfaceAddress& left, const InterfaceAddress& right) {
  return host_of(left) == host_of(right);
}
bool are_same(MacAddress left, MacAddress right) { return left == right; }
bool are_same(const Prefix& left, const Prefix& right) { return left == right; }

template <typename Item>
void add(std::vector<Item>& items, const Item& item, const std::string& key,
         const std::string& word) {
  if (std::any_of(items.begin(), items.end(),
                  [&](const Item& other) { return are_same(item, other); })) {
    refuse(key, word, "is listed twice; remove one");
  }
  items.push_back(item);
}

/// The common case: the words replace what was in `items`; read(key, word) makes one.
template <typename Item, typename Read>
void set_items(const std::string& key, const std::vector<std::string>& words, std::size_t count_max,
               std::vector<Item>& items, Read read) {
  items.clear();
  take_each(key, words, count_max,
            [&](const std::string& word) { add(items, read(key, word), key, word); });
}

// MACs, addresses and prefixes.

MacAddress require_station(const std::string& key, const std::string& word, MacAddress mac) {
  if (mac.is_group()) refuse(key, word, "is a group address; a port needs a unicast one");
  if (mac.is_zero()) refuse(key, word, "is no station's address; a port needs a unicast one");
  return mac;
}

MacAddress read_mac(const std::string& key, const std::string& word) {
  const auto mac = parse_mac(word);
  if (!mac) {
    refuse(key, word, "is not a MAC address; write it as 52:54:00:9f:5d:c1, or \"any\" alone");
  }
  return require_station(key, word, *mac);
}

/// What no port can hold as its own.
struct Special {
  Prefix prefix;
  const char* what;
};

const std::vector<Special>& specials() {
  static const std::vector<Special> table = {
      {parse_prefix("0.0.0.0/32").value(), "the unspecified address"},
      {parse_prefix("127.0.0.0/8").value(), "a loopback address"},
      {parse_prefix("224.0.0.0/4").value(), "a multicast address"},
      {parse_prefix("255.255.255.255/32").value(), "the limited broadcast"},
      {parse_prefix("::/128").value(), "the unspecified address"},
      {parse_prefix("::1/128").value(), "the loopback address"},
      {parse_prefix("ff00::/8").value(), "a multicast address"},
  };
  return table;
}

/// The last address of an IPv4 subnet: every bit after the length is one.
bool is_broadcast(const InterfaceAddress& address) {
  InterfaceAddress inverse = address;
  for (std::size_t i = 0; i < 4; ++i) inverse.bytes[i] ^= 0xff;
  return prefix_of(inverse).bytes == inverse.bytes;
}

InterfaceAddress require_host(const std::string& key, const std::string& word,
                              const InterfaceAddress& address) {
  for (const Special& special : specials()) {
    if (!covers(special.prefix, host_of(address))) continue;
    refuse(key, word, std::string("is ") + special.what + "; a port needs a unicast one");
  }
  // /31 and /32, /127 and /128 have no subnet or broadcast address (RFC 3021, RFC 6164).
  if (address.prefix_length >= (address.is_v6 ? 127 : 31)) return address;
  if (prefix_of(address).bytes == address.bytes) {
    refuse(key, word, "is a prefix, not an address; `prefixes` and `routes` are for prefixes");
  }
  if (!address.is_v6 && is_broadcast(address)) {
    refuse(key, word, "is the broadcast of its subnet; name a host in it");
  }
  return address;
}

InterfaceAddress read_address(const std::string& key, const std::string& word) {
  const auto address = parse_interface_address(word);
  if (!address) refuse(key, word, "is not an address");
  return require_host(key, word, *address);
}

constexpr Prefix kLinkLocals{.is_v6 = true, .bytes = {0xfe, 0x80}, .length = 10};
constexpr Prefix kUsedLinkLocals{.is_v6 = true, .bytes = {0xfe, 0x80}, .length = 64};

InterfaceAddress read_link_local(const std::string& key, const std::string& word) {
  const auto address = parse_interface_address(word);
  if (!address || !covers(kUsedLinkLocals, host_of(*address))) {
    refuse(key, word,
           "is not an address in fe80::/64; write it as fe80::1, or \"mac\" or \"any\" alone");
  }
  if (host_of(*address).bytes == kUsedLinkLocals.bytes) {
    refuse(key, word, "is the whole prefix; write \"any\" for that");
  }
  return *address;
}

/// A prefix of the usual sort, as both `prefixes` and `routes` take it.
Prefix read_prefix(const std::string& key, const std::string& word) {
  const auto address = parse_interface_address(word);
  if (!address || word.find('/') == std::string::npos) {
    refuse(key, word, "is not a prefix; write it as 10.0.0.0/8 or 2001:db8:50:1::/64");
  }
  const Prefix prefix = prefix_of(*address);
  if (prefix.bytes != address->bytes) {
    refuse(key, word, "has host bits set; write " + to_text(prefix) + ", or the address in `ip`");
  }
  if (covers(kLinkLocals, prefix)) {
    refuse(key, word, "is link-local; the key `link_local` is for those");
  }
  for (const Special& special : specials()) {
    if (!covers(special.prefix, prefix)) continue;
    refuse(key, word,
           "lies in " + to_text(special.prefix) + ", and " + special.what +
               " is no port's own; remove it");
  }
  return prefix;
}

/// One that a port may claim whole: not so wide, and with nothing special in it.
Prefix read_own_prefix(const std::string& key, const std::string& word) {
  const Prefix prefix = read_prefix(key, word);
  const unsigned length_min = prefix.is_v6 ? 16 : 8;
  if (prefix.length < length_min) {
    refuse(key, word,
           "is too wide; /" + std::to_string(length_min) +
               " is the widest that a port may own (`routes` takes wider ones)");
  }
  for (const Special& special : specials()) {
    if (!covers(prefix, special.prefix)) continue;
    refuse(key, word,
           "holds " + to_text(special.prefix) + ", and " + special.what +
               " is no port's own; name a narrower prefix");
  }
  return prefix;
}

bool set_mac(Port& port, const OptionValue& value) {
  const auto words = words_of(value);
  port.any_mac = words.size() == 1 && words[0] == "any";
  set_items("mac", port.any_mac ? std::vector<std::string>{} : words, kMacsPerPortMax, port.macs,
            read_mac);
  return !words.empty();  // nothing said is said by leaving the key out
}

Said get_mac(const Port& port) {
  return port.any_mac ? word_said("any") : get_list<&Port::macs>(port);
}

bool set_ip(Port& port, const OptionValue& value) {
  const auto words = words_of(value);
  port.no_ip = words.empty();  // check() knows whether other keys make up for it
  port.any_ip = words.size() == 1 && words[0] == "any";
  set_items("ip", port.any_ip ? std::vector<std::string>{} : words, kAddressesPerPortMax,
            port.addresses, read_address);
  return true;
}

Said get_ip(const Port& port) {
  if (port.any_ip) return word_said("any");
  return port.no_ip ? list_said({}) : get_list<&Port::addresses>(port);
}

bool set_prefixes(Port& port, const OptionValue& value) {
  set_items("prefixes", words_of(value), kPrefixesPerPortMax, port.prefixes, read_own_prefix);
  return true;
}

bool set_routes(Port& port, const OptionValue& value) {
  set_items("routes", words_of(value), kPrefixesPerPortMax, port.routes, read_prefix);
  return true;
}

bool set_link_local(Port& port, const OptionValue& value) {
  auto words = words_of(value);
  if (words.empty()) return false;
  port.link_local = LinkLocal::list;
  if (words.size() == 1 && words[0] == "mac") port.link_local = LinkLocal::mac;
  if (words.size() == 1 && words[0] == "any") port.link_local = LinkLocal::any;
  if (port.link_local != LinkLocal::list) words.clear();
  set_items("link_local", words, kAddressesPerPortMax, port.link_locals, read_link_local);
  return true;
}

Said get_link_local(const Port& port) {
  return port.link_local == LinkLocal::any ? word_said("any") : get_list<&Port::link_locals>(port);
}

bool set_shared(Port& port, const OptionValue& value) {
  const std::string key = "shared";
  port.shared_macs.clear();
  port.shared_addresses.clear();
  take_each(key, words_of(value), kSharedPerPortMax, [&](const std::string& word) {
    if (const auto mac = parse_mac(word)) {
      add(port.shared_macs, require_station(key, word, *mac), key, word);
    } else if (const auto address = parse_interface_address(word)) {
      add(port.shared_addresses, require_host(key, word, *address), key, word);
    } else {
      refuse(key, word, "is neither a MAC address nor an IP address");
    }
  });
  return true;
}

Said get_shared(const Port& port) {
  auto texts = texts_of(port.shared_macs);
  for (const auto& address : port.shared_addresses) texts.push_back(to_text(address));
  if (texts.empty()) return {};
  return list_said(texts);
}

// Roles and rates.

std::vector<std::string> role_names() {
  std::vector<std::string> names;
  for (const Role role : kRoles) names.push_back(to_text(role));
  return names;
}

bool set_allow(Port& port, const OptionValue& value) {
  const std::string key = "allow";
  port.allow.clear();
  take_each(key, words_of(value), kRoles.size(), [&](const std::string& word) {
    const auto role = parse_role(word);
    if (!role) throw Refusal{key + ": " + unknown("role", word, role_names())};
    if (!port.allow.insert(*role).second) refuse(key, word, "is listed twice; remove one");
  });
  return true;
}

/// A rate of `limit`, which a command gives as a word.
template <auto member>
bool set_rate(LimitSaid& limit, const OptionValue& value) {
  Rate& rate = (limit.*member).emplace();
  if (value.kind == Kind::string) return value.string == "none";
  if (value.integer < 0 || value.integer > kRateMax) return false;
  rate = static_cast<std::uint32_t>(value.integer);
  return true;
}

template <auto member>
Said get_rate(const LimitSaid& limit) {
  const auto& said = limit.*member;
  if (!said) return {};
  return *said ? number_said(**said) : word_said("none");
}

/// "broadcast=500" and "arp_nd=none" as the table of a file has them.
std::map<std::string, OptionValue> table_of(const std::vector<std::string>& words) {
  std::map<std::string, OptionValue> table;
  for (const std::string& word : words) {
    const auto equals = word.find('=');
    if (equals == std::string::npos) {
      refuse("limit", word, "lacks its rate; write it as broadcast=500 or broadcast=none");
    }
    OptionValue value;
    value.kind = Kind::string;
    value.string = word.substr(equals + 1);
    const char* end = value.string.data() + value.string.size();
    const auto [stop, error] = std::from_chars(value.string.data(), end, value.integer);
    if (error == std::errc{} && stop == end) value.kind = Kind::integer;
    if (!table.emplace(word.substr(0, equals), value).second) {
      refuse("limit", word, "is of a kind that is given twice; remove one");
    }
  }
  return table;
}

bool set_limit(Port& port, const OptionValue& value) {
  const auto table = value.kind == Kind::table ? value.table : table_of(words_of(value));
  if (table.empty()) port.limit = {};
  try {
    apply(limit_keys(), port.limit, table);
  } catch (Refusal& refusal) {
    refusal.text = "limit: " + refusal.text;
    refusal.entry = std::move(refusal.key);
    throw;
  }
  return true;
}

Said get_limit(const Port& port) {
  OptionValue value;
  value.kind = Kind::table;
  for (const auto& key : limit_keys()) {
    if (const auto rate = key.get(port.limit)) value.table.emplace(key.name, *rate);
  }
  if (value.table.empty()) return {};
  return value;
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

bool set_worker(Port& port, const OptionValue& value) {
  port.worker = static_cast<std::uint32_t>(value.integer);
  return value.integer >= 0 && value.integer < kWorkersMax;
}

Said get_worker(const Port& port) {
  if (!port.worker) return {};
  return number_said(*port.worker);
}

Said get_mac_max(const Port& port) {
  if (!port.mac_max) return {};
  return number_said(*port.mac_max);
}

/// A flag of a port.
template <auto member>
bool set_flag(Port& port, const OptionValue& value) {
  port.*member = value.boolean;
  return true;
}

template <auto member>
Said get_flag(const Port& port) {
  if (port.*member == Port{}.*member) return {};
  return flag_said(port.*member);
}

bool set_port_shortcut(Port& port, const OptionValue& value) {
  if (value.kind == OptionValue::Kind::boolean) {
    port.shortcut = value.boolean ? ShortcutUse::full : ShortcutUse::none;
    return true;
  }
  if (value.string == "redirect") port.shortcut = ShortcutUse::redirect;
  if (value.string == "true") port.shortcut = ShortcutUse::full;
  if (value.string == "false") port.shortcut = ShortcutUse::none;
  return value.string == "redirect" || value.string == "true" || value.string == "false";
}

Said get_port_shortcut(const Port& port) {
  switch (port.shortcut) {
    case ShortcutUse::none:
      return flag_said(false);
    case ShortcutUse::redirect:
      return word_said("redirect");
    default:
      return {};
  }
}

Said get_unknown(const Port& port) {
  if (!port.unknown) return {};
  return flag_said(*port.unknown);
}

// ---- [[fdb]] ----

bool set_static_mac(Static& entry, const OptionValue& value) {
  const auto mac = parse_mac(value.string);
  if (mac) entry.mac = require_station("mac", value.string, *mac);
  return mac.has_value();
}

Said get_static_mac(const Static& entry) { return word_said(to_text(entry.mac)); }

bool set_static_port(Static& entry, const OptionValue& value) {
  entry.port = value.string;
  return is_name(value.string);
}

}  // namespace

const std::vector<Key<Config>>& bulkhead_keys() {
  static const std::vector<Key<Config>> keys = {
      {"socket", Kind::string, "a path of 1 to 107 bytes", set_socket,
       get_word<Config, &Config::socket>},
      {"state", Kind::string, "a path of 1 to 4000 bytes", set_state,
       get_word<Config, &Config::state>},
      {"workers", Kind::integer, "1 to " + std::to_string(kWorkersMax), set_workers, get_workers},
      {"cpus", Kind::integer_list, "a list of CPUs from 0 to 1023, at most one a worker", set_cpus,
       get_cpus},
      {"poll", Kind::string, "\"adaptive\" or \"busy\"", set_poll, get_poll},
      {"shortcut", Kind::boolean, "true or false", set_shortcut, get_shortcut},
      {"shortcut_entries", Kind::integer,
       std::to_string(kShortcutEntriesMin) + " to " + std::to_string(kShortcutEntriesMax),
       set_shortcut_entries, get_shortcut_entries},
      {"linger", Kind::string, "a duration from \"0s\" to \"1h\", such as \"60s\"", set_linger,
       get_linger},
      {"log", Kind::string, "\"trace\", \"debug\", \"info\", \"warning\" or \"error\"", set_log,
       get_word<Config, &Config::log>},
  };
  return keys;
}

const std::vector<Key<Segment>>& segment_keys() {
  static const std::vector<Key<Segment>> keys = {
      {"ageing", Kind::string,
       "a duration from \"1s\" to \"24h\" in s, min, h or d, such as \"300s\"", set_ageing,
       get_ageing},
      {"mac_limit", Kind::integer, "1 to " + std::to_string(kMacLimitMax), set_mac_limit,
       get_mac_limit},
  };
  return keys;
}

const std::vector<Key<Port>>& port_keys() {
  const std::string flag = "true or false";
  static const std::vector<Key<Port>> keys = {
      {"segment",
       Kind::string,
       "a name: 1 to 32 letters, digits, '_', '.' or '-'",
       set_segment,
       get_word<Port, &Port::segment>,
       {"NAME", "the network that the port is in; default without it"}},
      {"device",
       Kind::string,
       "a network device's name: 1 to 15 bytes without '/', ':' and white space",
       set_device,
       get_word<Port, &Port::device>,
       {"DEVICE", "the network device that becomes the port, such as tap1"}},
      {"attach",
       Kind::string,
       "\"auto\", \"conduit\" or \"xdp\"",
       set_attach,
       get_attach,
       {"WAY", "auto, conduit, or xdp for a NIC that can"}},
      {"vhost", Kind::other, "", nullptr, nullptr, {"PATH", "not supported yet"}},
      {"vhost_mode", Kind::other, "", nullptr, nullptr, {"MODE", "not supported yet"}},
      {"mac",
       Kind::list,
       "a MAC address such as \"52:54:00:9f:5d:c1\", a list of them, or \"any\"",
       set_mac,
       get_mac,
       {"MAC", "MAC addresses that the port may use; any: it is not checked"}},
      {"ip",
       Kind::list,
       "an address such as \"192.168.50.13/24\", a list of them, or \"any\"",
       set_ip,
       get_ip,
       {"ADDRESS",
        "IP addresses that the port may use, with the length of the subnet; any: they are not "
        "checked"}},
      {"prefixes",
       Kind::list,
       "a prefix such as \"2001:db8:50:1::/64\", or a list of them",
       set_prefixes,
       get_list<&Port::prefixes>,
       {"PREFIX", "whole prefixes that are the port's own"}},
      {"routes",
       Kind::list,
       "a prefix such as \"10.0.0.0/8\", or a list of them",
       set_routes,
       get_list<&Port::routes>,
       {"PREFIX", "prefixes that it may send from and be sent to as a router"}},
      {"link_local",
       Kind::list,
       "\"mac\", \"any\", or a list of addresses in fe80::/64",
       set_link_local,
       get_link_local,
       {"ADDRESS", "mac: those made of its MACs; any: what nobody else has; or a list"}},
      {"shared",
       Kind::list,
       "a MAC address, an IP address, or a list of such",
       set_shared,
       get_shared,
       {"ADDRESS", "MACs and IP addresses that several ports hold by turns, as VRRP has them"}},
      {"allow",
       Kind::list,
       "a role such as \"router\", or a list of them",
       set_allow,
       get_list<&Port::allow>,
       {"ROLE", "what it may be: dhcp-server, router, querier, vrrp, routing"}},
      {"limit",
       Kind::table,
       "rates by kind, such as { broadcast = 500, arp_nd = \"none\" }",
       set_limit,
       get_limit,
       {"KIND=RATE",
        "frames a second of broadcast, multicast, arp_nd or dhcp; 0 forbids, none lifts"}},
      {"mac_max",
       Kind::integer,
       "1 to " + std::to_string(kMacMaxMax),
       set_mac_max,
       get_mac_max,
       {"N", "how many addresses are learned on it at most"}},
      {"worker",
       Kind::integer,
       "0 to " + std::to_string(kWorkersMax - 1),
       set_worker,
       get_worker,
       {"N", "the worker that has the port; else one is chosen"}},
      {"trusted",
       Kind::boolean,
       flag,
       set_flag<&Port::trusted>,
       get_flag<&Port::trusted>,
       {"", "an uplink or a host: its sources are not checked"}},
      {"isolated",
       Kind::boolean,
       flag,
       set_flag<&Port::isolated>,
       get_flag<&Port::isolated>,
       {"", "reaches only ports that are not isolated"}},
      {"enforce",
       Kind::boolean,
       flag,
       set_flag<&Port::enforce>,
       get_flag<&Port::enforce>,
       {"", "false: shadow mode, which counts what it would drop"}},
      {"unknown",
       Kind::boolean,
       flag,
       set_flag<&Port::unknown>,
       get_unknown,
       {"", "frames to an address that nobody has go there, too"}},
      {"transit",
       Kind::boolean,
       flag,
       set_flag<&Port::transit>,
       get_flag<&Port::transit>,
       {"", "trusted ports that both say so reach each other"}},
      {"shortcut",
       Kind::mode,
       "true, false or \"redirect\"",
       set_port_shortcut,
       get_port_shortcut,
       {"USE",
        "true: the kernel may forward what bulkhead has judged by itself; redirect: not past the "
        "guest's own XDP programs; false: not at all"}},
      {"take_over",
       Kind::boolean,
       flag,
       set_flag<&Port::take_over>,
       get_flag<&Port::take_over>,
       {"", "the device may carry addresses or the default route of the host"}},
  };
  return keys;
}

const std::vector<Key<LimitSaid>>& limit_keys() {
  const std::string rate = "0 to " + std::to_string(kRateMax) + " or \"none\"";
  static const std::vector<Key<LimitSaid>> keys = {
      {"broadcast", Kind::rate, rate, set_rate<&LimitSaid::broadcast>,
       get_rate<&LimitSaid::broadcast>},
      {"multicast", Kind::rate, rate, set_rate<&LimitSaid::multicast>,
       get_rate<&LimitSaid::multicast>},
      {"arp_nd", Kind::rate, rate, set_rate<&LimitSaid::arp_nd>, get_rate<&LimitSaid::arp_nd>},
      {"dhcp", Kind::rate, rate, set_rate<&LimitSaid::dhcp>, get_rate<&LimitSaid::dhcp>},
  };
  return keys;
}

const std::vector<Key<Static>>& static_keys() {
  static const std::vector<Key<Static>> keys = {
      {"mac", Kind::string, "a MAC address such as \"52:54:00:9f:5d:c1\"", set_static_mac,
       get_static_mac},
      {"port", Kind::string, "the name of a port", set_static_port,
       get_word<Static, &Static::port>},
  };
  return keys;
}

std::string unknown(std::string_view what, std::string_view name,
                    const std::vector<std::string>& known) {
  return "unknown " + std::string(what) + ' ' + quoted(name) + "; " + suggestion(name, known);
}

std::string must_be(const std::string& name, const std::string& takes, const OptionValue& value) {
  return name + " must be " + takes + ", not " + describe(value);
}

bool fits(const OptionValue& value, OptionValue::Kind kind) {
  if (value.kind == kind) return true;
  if (kind == Kind::list) return value.kind == Kind::string;
  if (kind == Kind::table) return value.kind == Kind::list || value.kind == Kind::string;
  if (kind == Kind::mode) return value.kind == Kind::boolean || value.kind == Kind::string;
  if (kind == Kind::rate) return value.kind == Kind::integer || value.kind == Kind::string;
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

OptionHelp option_help(const std::string& key) {
  const Key<Port>* found = find(port_keys(), key);
  return found ? found->help : OptionHelp{};
}

std::optional<OptionValue::Kind> option_kind(const std::string& key) {
  const Key<Port>* found = find(port_keys(), key);
  if (!found) return {};
  return found->kind;
}

}  // namespace bulkhead::config
