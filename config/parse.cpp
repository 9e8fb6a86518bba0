// TOML text → Config: the walk over tables, and the places that messages name.
//
// Invariant: nothing in a file is ignored: a table or key that nobody knows is an error. What a key
// takes is in options.cpp; this file only turns TOML values into OptionValues and remembers where
// they stood. Called by the daemon at start and on reload, by `check`, and by the fuzzer.
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <system_error>

#include "config/options.hpp"
#include "config/text.hpp"
#include "config/toml_fault.hpp"

namespace bulkhead::config {
namespace {

Position begin_of(const toml::source_region& region) {
  return {region.begin.line, region.begin.column};
}

[[noreturn]] void fail(const std::string& file, Position position, const std::string& text) {
  throw ConfigError(place(file, position) + text);
}

std::string name_of(const toml::key& key) { return std::string(key.str()); }

OptionValue other(const char* what) {
  OptionValue value;
  value.kind = OptionValue::Kind::other;
  value.string = what;
  return value;
}

OptionValue list_value(const toml::array& array) {
  OptionValue value;
  value.kind = OptionValue::Kind::list;
  if (!array.empty() && array.is_homogeneous<std::int64_t>()) {
    value.kind = OptionValue::Kind::integer_list;
    for (const auto& node : array) value.integers.push_back(**node.as_integer());
    return value;
  }
  for (const auto& node : array) {
    if (!node.is_string()) return other("a list with something else in it");
    value.list.push_back(**node.as_string());
  }
  return value;
}

/// Anything but a table.
OptionValue plain_value(const toml::node& node) {
  OptionValue value;
  switch (node.type()) {
    case toml::node_type::boolean:
      value.kind = OptionValue::Kind::boolean;
      value.boolean = **node.as_boolean();
      return value;
    case toml::node_type::integer:
      value.kind = OptionValue::Kind::integer;
      value.integer = **node.as_integer();
      return value;
    case toml::node_type::string:
      value.kind = OptionValue::Kind::string;
      value.string = **node.as_string();
      return value;
    case toml::node_type::array:
      return list_value(*node.as_array());
    case toml::node_type::table:
      return other("a table");
    case toml::node_type::floating_point:
      return other("a fraction");
    default:
      return other("a date or time");
  }
}

OptionValue option_value(const toml::node& node) {
  if (!node.is_table()) return plain_value(node);
  OptionValue value;
  value.kind = OptionValue::Kind::table;
  for (const auto& [key, entry] : *node.as_table()) {
    value.table.emplace(name_of(key), plain_value(entry));
  }
  return value;
}

/// Where a refused key, value, element of a list or entry of a table stands.
Position position_of(const toml::table& table, const Refusal& refusal) {
  const auto entry = table.find(refusal.key);
  const toml::table* inner = entry->second.as_table();
  if (refusal.entry && inner) {
    return position_of(*inner, {.text = {}, .key = *refusal.entry, .about_key = refusal.about_key});
  }
  if (refusal.about_key) return begin_of(entry->first.source());
  const toml::array* array = entry->second.as_array();
  if (refusal.element && array) return begin_of(array->get(*refusal.element)->source());
  return begin_of(entry->second.source());
}

/// Sets what the table says in `target`; messages begin with `about`, the thing that it describes.
template <typename Target>
void read_table(const std::string& file, const toml::table& table, const std::string& about,
                const std::vector<Key<Target>>& keys, Target& target) {
  std::map<std::string, OptionValue> values;
  for (const auto& [key, node] : table) values.emplace(name_of(key), option_value(node));
  try {
    apply(keys, target, values);
  } catch (const Refusal& refusal) {
    fail(file, position_of(table, refusal), about + ": " + refusal.text);
  }
}

/// Calls `read(name, table)` for each table of a section: [port.vm1], [segment.lan].
template <typename Read>
void read_section(const std::string& file, const std::string& section, const toml::node& node,
                  Read read) {
  const std::string wanted = section + " holds tables such as [" + section + ".NAME]";
  if (!node.is_table()) fail(file, begin_of(node.source()), wanted);
  for (const auto& [key, entry] : *node.as_table()) {
    if (!entry.is_table()) {
      fail(file, begin_of(key.source()), wanted + "; " + quoted(key.str()) + " is none");
    }
    read(name_of(key), *entry.as_table());
  }
}

void read_port(Config& config, const std::string& name, const toml::table& table) {
  for (const auto& [key, node] : table) {
    if (!node.is_table() || find(port_keys(), name_of(key))) continue;
    fail(config.file, begin_of(key.source()),
         thing("port", name) + ": unknown table " + quoted(key.str()) +
             "; a port's name with a dot needs quotes: [port.\"vm1.lan\"]");
  }
  Port port;
  port.name = name;
  port.position = begin_of(table.source());
  read_table(config.file, table, thing("port", name), port_keys(), port);
  config.ports.emplace(name, std::move(port));
}

void read_segment(Config& config, const std::string& name, const toml::table& table) {
  Segment segment;
  segment.name = name;
  segment.position = begin_of(table.source());
  read_table(config.file, table, thing("segment", name), segment_keys(), segment);
  config.segments.emplace(name, std::move(segment));
}

void read_statics(Config& config, const toml::node& node) {
  const toml::array* entries = node.as_array();
  const auto is_table = [](const toml::node& entry) { return entry.is_table(); };
  if (!entries || !std::all_of(entries->begin(), entries->end(), is_table)) {
    fail(config.file, begin_of(node.source()), "fdb holds tables such as [[fdb]]");
  }
  for (const auto& entry : *entries) {
    const toml::table& table = *entry.as_table();
    Static address;
    address.position = begin_of(table.source());
    for (const auto& key : static_keys()) {
      if (table.contains(key.name)) continue;
      fail(config.file, address.position, "fdb: `" + key.name + "` is missing; an entry has both");
    }
    read_table(config.file, table, "fdb", static_keys(), address);
    config.statics.push_back(std::move(address));
  }
}

toml::table read_toml(const std::string& text, const std::string& file) {
  try {
    return toml::parse(std::string_view(text));
  } catch (const toml::parse_error& error) {
    const TomlFault fault = toml_fault(text, begin_of(error.source()), error.description());
    fail(file, fault.position, fault.text);
  }
}

/// The sections named `sections`, in any order.
Config read_sections(const std::string& text, const std::string& file,
                     const std::vector<std::string>& sections) {
  const toml::table document = read_toml(text, file);
  Config config;
  config.file = file;
  for (const auto& [key, node] : document) {
    const std::string section = name_of(key);
    if (std::find(sections.begin(), sections.end(), section) == sections.end()) {
      fail(file, begin_of(key.source()),
           unknown(node.is_table() ? "table" : "key", section, sections));
    }
    if (section == "bulkhead") {
      if (!node.is_table()) fail(file, begin_of(node.source()), "bulkhead is a table: [bulkhead]");
      read_table(file, *node.as_table(), section, bulkhead_keys(), config);
    } else if (section == "segment") {
      read_section(file, section, node, [&](const std::string& name, const toml::table& table) {
        read_segment(config, name, table);
      });
    } else if (section == "port") {
      read_section(file, section, node, [&](const std::string& name, const toml::table& table) {
        read_port(config, name, table);
      });
    } else {
      read_statics(config, node);
    }
  }
  return config;
}

}  // namespace

Config parse(const std::string& text, const std::string& file) {
  Config config = read_sections(text, file, {"bulkhead", "segment", "port", "fdb"});
  add_missing_segments(config);
  check(config);
  return config;
}

Config parse_state(const std::string& text, const std::string& file) {
  Config config = read_sections(text, file, {"port", "fdb"});
  for (auto& [name, port] : config.ports) port.position = {};
  for (Static& entry : config.statics) entry.position = {};
  return config;
}

std::string state_path(const Config& config) {
  if (!config.state.empty()) return config.state;
  const auto slash = config.socket.rfind('/');
  return slash == std::string::npos ? "state" : config.socket.substr(0, slash + 1) + "state";
}

Config load(const std::string& path) {
  const auto refuse = [&](const std::string& reason) {
    throw ConfigError(path + ": cannot be read: " + reason);
  };
  std::ifstream stream(path, std::ios::binary);
  if (!stream) refuse(std::generic_category().message(errno));
  std::string text;
  std::array<char, 65'536> chunk;
  while (stream.read(chunk.data(), chunk.size()), stream.gcount() > 0) {
    text.append(chunk.data(), static_cast<std::size_t>(stream.gcount()));
    if (text.size() > kFileLengthMax) {
      refuse("more than " + std::to_string(kFileLengthMax >> 20) + " MiB");
    }
  }
  if (stream.bad()) refuse(std::generic_category().message(errno));  // a directory, for one
  // As a file is while it is written, or when the disk was full: no word to let go of all ports.
  if (text.empty()) refuse("it is empty; to have no ports, write [bulkhead]");
  return parse(text, path);
}

}  // namespace bulkhead::config
