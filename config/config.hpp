// What a configuration says, as values: the result of reading bulkhead.toml or the words of a
// `port add`, before anything is compiled into policy.
//
// These types know TOML positions and text, nothing of frames. `parse()` makes a Config from text,
// `check()` holds it against the rules that need no kernel, and control/compile turns a checked
// Config into a Snapshot. Control thread only.
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "dataplane/mac_address.hpp"

namespace bulkhead::config {

/// Limits, by name. A configuration beyond one of them is refused with a message that states it.
inline constexpr std::size_t kPortsMax = 1024;
inline constexpr std::size_t kSegmentsMax = 1024;
inline constexpr std::size_t kMacsPerPortMax = 64;
inline constexpr std::size_t kAddressesPerPortMax = 64;  // in each of ip and link_local
inline constexpr std::size_t kPrefixesPerPortMax = 64;   // in each of prefixes and routes
inline constexpr std::size_t kSharedPerPortMax = 64;     // MACs and addresses together
inline constexpr std::size_t kStaticsMax = 65'536;
inline constexpr std::uint32_t kRateMax = 10'000'000;  // of `limit`, frames a second
inline constexpr std::size_t kNameLengthMax = 32;
inline constexpr std::size_t kDeviceNameLengthMax = 15;  // IFNAMSIZ - 1
inline constexpr std::size_t kFileLengthMax = 16 << 20;  // bytes
inline constexpr std::uint32_t kWorkersMax = 16;
inline constexpr std::uint32_t kMacLimitMax = 1'048'576;
inline constexpr std::uint32_t kShortcutEntriesMin = 65'536;
inline constexpr std::uint32_t kShortcutEntriesMax = 4'194'304;
inline constexpr std::chrono::seconds kLingerMax{3600};
inline constexpr std::chrono::seconds kAgeingMin{1};
inline constexpr std::chrono::seconds kAgeingMax{24 * 3600};

/// Where a value stands in its file; line 0 means "given by command".
struct Position {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  bool operator==(const Position&) const = default;
};

/// A configuration that cannot be used. what() is one line that names the place, the thing and the
/// way out: `bulkhead.toml:12:9: port vm1: ip "192.168.50.300" is not an address`.
class ConfigError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An address as in `ip addr add`: the address itself and the length of its subnet's prefix.
struct InterfaceAddress {
  bool is_v6 = false;
  std::array<std::uint8_t, 16> bytes{};  // IPv4 uses the first four
  std::uint8_t prefix_length = 0;        // bits: 0 to 32, or 0 to 128
  auto operator<=>(const InterfaceAddress&) const = default;
};

/// All addresses that begin with the same bits. Invariant: the bits after `length` are zero.
struct Prefix {
  bool is_v6 = false;
  std::array<std::uint8_t, 16> bytes{};  // IPv4 uses the first four
  std::uint8_t length = 0;               // bits: 0 to 32, or 0 to 128
  auto operator<=>(const Prefix&) const = default;
};

/// Which addresses of fe80::/64 a port may use: the EUI-64 of its MACs, any that nobody else has,
/// or those of a list.
enum class LinkLocal : std::uint8_t { mac, any, list };

/// How a port's device is attached. `automatic` is the conduit: nobody has tried native XDP on real
/// hardware yet, and on a veth or tap it is wrong (docs/ARCHITECTURE.md).
enum class Attach : std::uint8_t { automatic, conduit, xdp };

/// Whether the kernel may repeat verdicts about a port's frames: not, or not past the XDP programs
/// of the guest itself, or on the shortest road.
enum class ShortcutUse : std::uint8_t { none, redirect, full };

/// What a guest may do beyond a host's part.
enum class Role : std::uint8_t {
  dhcp_server,  // messages of DHCP servers, both versions
  router,       // router advertisements and redirects
  querier,      // IGMP and MLD queries
  vrrp,         // VRRP, CARP and their like
  routing,      // OSPF, EIGRP, RIP, PIM and their like
};
inline constexpr std::array kRoles = {Role::dhcp_server, Role::router, Role::querier, Role::vrrp,
                                      Role::routing};

/// Frames a second, burst of one second. 0 forbids; no value is no limit.
using Rate = std::optional<std::uint32_t>;

struct Limit {
  Rate broadcast;
  Rate multicast;
  Rate arp_nd;
  Rate dhcp;
  bool operator==(const Limit&) const = default;
};
inline constexpr Limit kGuestLimit{.broadcast = 500, .multicast = 2000, .arp_nd = 500, .dhcp = 50};

/// What `limit` says; what it does not say depends on whether the port is trusted.
struct LimitSaid {
  std::optional<Rate> broadcast;
  std::optional<Rate> multicast;
  std::optional<Rate> arp_nd;
  std::optional<Rate> dhcp;
  bool operator==(const LimitSaid&) const = default;
};

struct Port {
  std::string name;
  std::string segment = "default";
  std::string device;
  Attach attach = Attach::automatic;
  bool any_mac = false;          // mac = "any": no MAC check, and the port learns
  std::vector<MacAddress> macs;  // empty if any_mac, or if the port is trusted and says none
  bool any_ip = false;           // ip = "any": MACs only
  bool no_ip = false;            // ip = []: its addresses are in prefixes, routes and shared
  std::vector<InterfaceAddress> addresses;
  std::vector<Prefix> prefixes;  // the port's own, every address in them
  std::vector<Prefix> routes;    // may send from and be sent to, never claims
  LinkLocal link_local = LinkLocal::mac;
  std::vector<InterfaceAddress> link_locals;  // of LinkLocal::list
  std::vector<MacAddress> shared_macs;        // held by turns with other ports that list them
  std::vector<InterfaceAddress> shared_addresses;
  std::set<Role> allow;
  LimitSaid limit;  // limits() is what holds
  bool trusted = false;
  bool isolated = false;
  bool enforce = true;  // false: shadow mode
  bool transit = false;
  bool take_over = false;
  ShortcutUse shortcut = ShortcutUse::full;
  std::optional<bool> unknown;           // default: trusted
  std::optional<std::uint32_t> mac_max;  // default: 16; trusted: the segment's limit
  std::optional<std::uint32_t> worker;   // default: where there is the least to do
  Position position;                     // of the table's header

  /// Whether the device is taken by native XDP; else over the conduit.
  [[nodiscard]] bool by_xdp() const { return attach == Attach::xdp; }
  /// Ports that learn have no MAC list of their own: mac = "any", or trusted without `mac`.
  [[nodiscard]] bool learns() const { return macs.empty(); }
  /// Whether it has addresses of the family; a binding without one blocks it.
  [[nodiscard]] bool speaks(bool is_v6) const;
  /// The rates that hold: what `limit` says, else kGuestLimit; trusted: else none.
  [[nodiscard]] Limit limits() const;
  /// Equal in everything but where it was written.
  [[nodiscard]] bool same_as(const Port& other) const;
  /// Not of the configuration file: it lives in the state file, and a reload leaves it alone.
  [[nodiscard]] bool by_command() const { return position.line == 0; }

 private:
  bool operator==(const Port&) const = default;  // position included: not for callers
};

struct Segment {
  std::string name;
  std::chrono::seconds ageing{300};
  std::uint32_t mac_limit = 65'536;
  Position position;  // of the table's header, or of the port that made it by naming it
};

/// An address pinned to a port that learns: `fdb add`, or [[fdb]] in a file.
struct Static {
  MacAddress mac;
  std::string port;
  Position position{};  // of the table's header

  [[nodiscard]] bool by_command() const { return position.line == 0; }
};

enum class Poll { adaptive, busy };

struct Config {
  std::string file;  // as messages name it; empty if there is none
  std::string socket = "/run/bulkhead/control.sock";
  std::string state;  // as it was given; state_path() is where it is
  std::uint32_t workers = 1;
  std::vector<std::uint32_t> cpus;
  Poll poll = Poll::adaptive;
  bool shortcut = true;  // the kernel may repeat verdicts
  std::uint32_t shortcut_entries = kShortcutEntriesMin;
  std::chrono::seconds linger{60};          // how long it does without a daemon
  std::string log = "info";                 // trace, debug, info, warning, error
  std::map<std::string, Segment> segments;  // "default" is always there; others must be declared or
                                            // are made with defaults when a port names them
  std::map<std::string, Port> ports;        // by name
  std::vector<Static> statics;              // a MAC once a segment
};

/// Reads TOML text. `file` is what messages call it. Throws ConfigError with line and column.
/// Ends with check().
Config parse(const std::string& text, const std::string& file);

/// Reads the file, then parse(). Throws ConfigError also if it cannot be read.
Config load(const std::string& path);

/// Reads what state_to_toml() wrote: ports and static addresses, all by_command(). Throws
/// ConfigError with line and column. What looks at more than one value is not checked.
Config parse_state(const std::string& text, const std::string& file);

/// Where the state file is: what `state` says, else "state" beside the control socket.
std::string state_path(const Config& config);

/// The text of a file that says the same: parse() makes the same configuration of it.
std::string to_toml(const Config& config);

/// What commands added, as parse_state() takes it.
std::string state_to_toml(const Config& config);

/// Makes "default" and every segment that a port names and nobody declared. parse() has done it;
/// after a command has changed a port it comes before check().
void add_missing_segments(Config& config);

/// The rules that look at more than one value: a MAC, address or prefix on two ports of a segment
/// that do not share it, a device on two ports, a port that is neither bound nor trusted, keys that
/// contradict each other, static addresses without a port that learns, names, limits. Throws
/// ConfigError, with the place of the port if it is in a file and `config.file` says which. A clash
/// is reported at the port that came later; what was given by command came last.
void check(const Config& config);

/// Takes out static addresses that check() would refuse, as a port was deleted, learns no more or
/// has the address bound. Says why, a line for each.
std::vector<std::string> remove_overruled_statics(Config& config);

/// The value of one key, from a file or from the words of a command.
class OptionValue {
 public:
  enum class Kind { boolean, integer, string, list, integer_list, table, rate, mode, other };
  Kind kind = Kind::boolean;  // never `rate` or `mode`: keys of these kinds take an integer or a
                              // string, and a boolean or a string
  bool boolean = false;
  std::int64_t integer = 0;
  std::string string;             // of Kind::other: what it is, "a table"
  std::vector<std::string> list;  // an empty list of any sort is a Kind::list
  std::vector<std::int64_t> integers;
  std::map<std::string, OptionValue> table;
};

/// A port's options as words, from `port add` and `port set`: key as in the file with its value as
/// JSON text would carry it (bool, number, string, list of strings); a table also as a list of
/// words, "broadcast=500". What is said replaces what was there, of `limit` kind by kind; an empty
/// list, or "" alone, empties a list, and puts `limit` back to its defaults. `base` is what the
/// port was (a fresh Port{name} for add) and keeps its position: a port of the file remains one.
/// Throws ConfigError whose text starts with `port NAME: `. The rules between keys and between
/// ports are check()'s.
Port apply_options(Port base, const std::map<std::string, OptionValue>& options);

/// All keys of a port, in the order of the documentation, those refused by name too.
std::vector<std::string> port_option_names();

/// What `--help` and the manual page say of an option.
struct OptionHelp {
  std::string argument;  // what stands for the value, "MAC"; empty for a flag
  std::string text;      // one line
};

/// Of a key of a port; nothing if it is not one.
OptionHelp option_help(const std::string& key);

/// What a port's key takes, so that a client can turn words into values; nothing if it is not a
/// key. Kind::list and Kind::table take a single string or a list of them too. Keys that are
/// refused by name are Kind::other.
std::optional<OptionValue::Kind> option_kind(const std::string& key);

// Text forms, also used by reports. parse_* return nothing if the text is not one.
std::optional<MacAddress> parse_mac(const std::string& text);  // 52:54:00:9f:5d:c1 (also - for :)
std::string to_text(MacAddress mac);
std::optional<InterfaceAddress> parse_interface_address(const std::string& text);
std::string to_text(const InterfaceAddress& address);
std::optional<Prefix> parse_prefix(const std::string& text);  // with its length, no host bits
std::string to_text(const Prefix& prefix);
std::optional<Role> parse_role(const std::string& text);  // "dhcp-server"
std::string to_text(Role role);
// A whole number and s, m, min, h or d: "300s", "5min", "1h".
std::optional<std::chrono::seconds> parse_duration(const std::string& text);
std::string to_text(std::chrono::seconds duration);

/// The subnet of an address: the bits after its prefix length cleared.
Prefix prefix_of(const InterfaceAddress& address);
/// The address alone, as a prefix of full length.
Prefix host_of(const InterfaceAddress& address);
/// True if every address of `inner` is one of `outer`.
bool covers(const Prefix& outer, const Prefix& inner);
/// fe80::/64 with the modified EUI-64 of the MAC (RFC 4291, appendix A).
InterfaceAddress link_local_of(MacAddress mac);

}  // namespace bulkhead::config
