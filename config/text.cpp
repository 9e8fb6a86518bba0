// Text forms of addresses, roles and durations, the text of messages, and how prefixes relate.
//
// Invariant: parse_*(to_text(value)) == value for every value that parse_* can return, and parse_*
// takes the whole text or nothing. Called by the rest of config/ and by control's reports.
#include "config/text.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace bulkhead::config {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::size_t kQuotedLengthMax = 100;

/// A decimal number without sign, white space or leading zeros.
template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  if (text.empty() || (text[0] == '0' && text.size() > 1)) return {};
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return {};
  }
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return {};  // too large
  return number;
}

std::optional<std::uint8_t> parse_hex_octet(std::string_view text) {
  std::uint8_t octet = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), octet, 16);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return octet;
}

std::string_view name_of(Role role) {
  switch (role) {
    case Role::dhcp_server:
      return "dhcp-server";
    case Role::router:
      return "router";
    case Role::querier:
      return "querier";
    case Role::vrrp:
      return "vrrp";
    case Role::routing:
      return "routing";
  }
  return {};
}

std::string address_text(bool is_v6, const std::array<std::uint8_t, 16>& bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(is_v6 ? AF_INET6 : AF_INET, bytes.data(), text.data(), text.size());
  return text.data();
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result;
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte >= 0x20 && byte < 0x7f) {
      result += character;
    } else {
      result += {'\\', 'x', kHexDigits[byte >> 4], kHexDigits[byte & 15]};
    }
  }
  return result;
}

std::string quoted(std::string_view text) {
  const bool long_text = text.size() > kQuotedLengthMax;
  return '"' + printable(text.substr(0, kQuotedLengthMax)) + (long_text ? "...\"" : "\"");
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kNameLengthMax &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '.' || c == '-';
         });
}

std::string thing(std::string_view kind, std::string_view name) {
  return std::string(kind) + ' ' + (is_name(name) ? std::string(name) : quoted(name));
}

std::string place(const std::string& file, Position position) {
  if (file.empty() || position.line == 0) return {};
  return file + ':' + std::to_string(position.line) + ':' + std::to_string(position.column) + ": ";
}

std::optional<MacAddress> parse_mac(const std::string& text) {
  if (text.size() != 17 || (text[2] != ':' && text[2] != '-')) return {};
  MacAddress mac;
  for (std::size_t start = 0; start < text.size(); start += 3) {
    const auto octet = parse_hex_octet(std::string_view(text).substr(start, 2));
    if (!octet) return {};
    if (start > 0 && text[start - 1] != text[2]) return {};  // one separator throughout
    mac.value = mac.value << 8 | *octet;
  }
  return mac;
}

std::string to_text(MacAddress mac) {
  std::string text;
  for (int shift = 40; shift >= 0; shift -= 8) {
    const auto octet = static_cast<std::uint8_t>(mac.value >> shift);
    text += {kHexDigits[octet >> 4], kHexDigits[octet & 15], ':'};
  }
  text.pop_back();
  return text;
}

std::optional<InterfaceAddress> parse_interface_address(const std::string& text) {
  const auto slash = text.find('/');
  const std::string host = text.substr(0, slash);
  if (host.find('\0') != std::string::npos) return {};  // inet_pton would stop there

  InterfaceAddress address;
  address.is_v6 = host.find(':') != std::string::npos;
  if (inet_pton(address.is_v6 ? AF_INET6 : AF_INET, host.c_str(), address.bytes.data()) != 1) {
    return {};
  }
  const std::uint8_t length_max = address.is_v6 ? 128 : 32;
  address.prefix_length = length_max;
  if (slash == std::string::npos) return address;

  const auto length = parse_number<std::uint8_t>(std::string_view(text).substr(slash + 1));
  if (!length || *length > length_max) return {};
  address.prefix_length = *length;
  return address;
}

std::string to_text(const InterfaceAddress& address) {
  return address_text(address.is_v6, address.bytes) + '/' + std::to_string(address.prefix_length);
}

std::optional<Prefix> parse_prefix(const std::string& text) {
  const auto address = parse_interface_address(text);
  if (!address || text.find('/') == std::string::npos) return {};
  const Prefix prefix = prefix_of(*address);
  if (prefix.bytes != address->bytes) return {};
  return prefix;
}

std::string to_text(const Prefix& prefix) {
  return address_text(prefix.is_v6, prefix.bytes) + '/' + std::to_string(prefix.length);
}

std::optional<Role> parse_role(const std::string& text) {
  const auto* found =
      std::find_if(kRoles.begin(), kRoles.end(), [&](Role role) { return name_of(role) == text; });
  if (found == kRoles.end()) return {};
  return *found;
}

std::string to_text(Role role) { return std::string(name_of(role)); }

std::optional<std::chrono::seconds> parse_duration(const std::string& text) {
  const auto unit_start = text.find_first_not_of("0123456789");
  if (unit_start == std::string::npos) return {};
  const std::string unit = text.substr(unit_start);
  // 32 bits of days in seconds fit 64 bits.
  const auto count = parse_number<std::uint32_t>(std::string_view(text).substr(0, unit_start));
  if (!count) return {};
  if (unit == "s") return std::chrono::seconds(*count);
  if (unit == "m" || unit == "min") return std::chrono::minutes(*count);
  if (unit == "h") return std::chrono::hours(*count);
  if (unit == "d") return std::chrono::hours(24) * static_cast<std::int64_t>(*count);
  return {};
}

std::string to_text(std::chrono::seconds duration) {
  return std::to_string(duration.count()) + 's';
}

Prefix prefix_of(const InterfaceAddress& address) {
  Prefix prefix{address.is_v6, address.bytes, address.prefix_length};
  for (unsigned bit = prefix.length; bit < 128; ++bit) {
    prefix.bytes[bit / 8] &= static_cast<std::uint8_t>(~(0x80U >> bit % 8));
  }
  return prefix;
}

Prefix host_of(const InterfaceAddress& address) {
  return {address.is_v6, address.bytes, static_cast<std::uint8_t>(address.is_v6 ? 128 : 32)};
}

bool covers(const Prefix& outer, const Prefix& inner) {
  return inner.is_v6 == outer.is_v6 && inner.length >= outer.length &&
         prefix_of({inner.is_v6, inner.bytes, outer.length}) == outer;
}

InterfaceAddress link_local_of(MacAddress mac) {
  const auto octet = [mac](int index) {
    return static_cast<std::uint8_t>(mac.value >> (40 - 8 * index));
  };
  InterfaceAddress address{.is_v6 = true, .bytes = {0xfe, 0x80}, .prefix_length = 64};
  const std::array<std::uint8_t, 8> eui64 = {static_cast<std::uint8_t>(octet(0) ^ 0x02),
                                             octet(1),
                                             octet(2),
                                             0xff,
                                             0xfe,
                                             octet(3),
                                             octet(4),
                                             octet(5)};
  std::copy(eui64.begin(), eui64.end(), address.bytes.begin() + 8);
  return address;
}

}  // namespace bulkhead::config
