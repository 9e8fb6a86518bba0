// Config → TOML text, for `save` and the state file.
//
// Invariant: parse(to_toml(config)) says what `config` says. Which keys there are and what they
// would have to be given is in options.cpp; this file only knows how TOML writes it.
#include "config/options.hpp"

namespace bulkhead::config {
namespace {

/// A basic string. What is not ASCII is UTF-8: it came from TOML or JSON.
std::string string_text(std::string_view text) {
  constexpr std::string_view kHexDigits = "0123456789abcdef";
  std::string result = "\"";
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (character == '"' || character == '\\') {
      result += {'\\', character};
    } else if (byte < 0x20 || byte == 0x7f) {
      result += {'\\', 'u', '0', '0', kHexDigits[byte >> 4], kHexDigits[byte & 15]};
    } else {
      result += character;
    }
  }
  return result + '"';
}

/// A name in a table's header: bare if TOML lets it be.
std::string name_text(const std::string& name) {
  return name.find('.') == std::string::npos ? name : string_text(name);
}

std::string value_text(const OptionValue& value) {
  using Kind = OptionValue::Kind;
  const auto join = [](const auto& items, auto text_of) {
    std::string text;
    for (const auto& item : items) text += (text.empty() ? "" : ", ") + text_of(item);
    return text;
  };
  switch (value.kind) {
    case Kind::boolean:
      return value.boolean ? "true" : "false";
    case Kind::integer:
      return std::to_string(value.integer);
    case Kind::string:
      return string_text(value.string);
    case Kind::list:
      return '[' + join(value.list, string_text) + ']';
    case Kind::integer_list:
      return '[' + join(value.integers, [](std::int64_t i) { return std::to_string(i); }) + ']';
    case Kind::table:
      return "{ " +
             join(
                 value.table,
                 [](const auto& entry) { return entry.first + " = " + value_text(entry.second); }) +
             " }";
    case Kind::rate:
    case Kind::mode:
    case Kind::other:
      break;
  }
  return "";  // no getter gives one
}

/// `header` and the keys that differ from their defaults.
template <typename Target>
std::string table_text(const std::string& header, const std::vector<Key<Target>>& keys,
                       const Target& target) {
  std::string text = header + '\n';
  for (const auto& key : keys) {
    const auto value = key.get ? key.get(target) : std::nullopt;
    if (value) text += key.name + " = " + value_text(*value) + '\n';
  }
  return text + '\n';
}

std::string port_text(const Port& port) {
  return table_text("[port." + name_text(port.name) + ']', port_keys(), port);
}

std::string static_text(const Static& entry) { return table_text("[[fdb]]", static_keys(), entry); }

}  // namespace

std::string to_toml(const Config& config) {
  std::string text = table_text("[bulkhead]", bulkhead_keys(), config);
  for (const auto& [name, segment] : config.segments) {
    const std::string header = "[segment." + name_text(name) + ']';
    const std::string table = table_text(header, segment_keys(), segment);
    const bool says_nothing = name == "default" && table == header + "\n\n";  // always there
    if (!says_nothing) text += table;
  }
  for (const auto& [name, port] : config.ports) text += port_text(port);
  for (const Static& entry : config.statics) text += static_text(entry);
  text.pop_back();  // the empty line after the last table
  return text;
}

std::string state_to_toml(const Config& config) {
  std::string text = "# What commands added. bulkheadd reads it at its start, and replaces it.\n\n";
  for (const auto& [name, port] : config.ports) {
    if (port.by_command()) text += port_text(port);
  }
  for (const Static& entry : config.statics) {
    if (entry.by_command()) text += static_text(entry);
  }
  text.pop_back();
  return text;
}

}  // namespace bulkhead::config
