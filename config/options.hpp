// The keys of a configuration, each described once. Private to config/.
//
// Invariant: a key's name, kind and rules are in one table and nowhere else; the TOML road
// (parse.cpp) and the command road (apply_options) differ only in where a value comes from. Rules
// that look at more than one key of a port, or at more than one port, are check.cpp's.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"

namespace bulkhead::config {

/// Why a key or its value is refused. Says nothing of places: whoever called apply() knows them.
struct Refusal {
  std::string text;
  std::string key{};                     // filled in by apply()
  std::optional<std::size_t> element{};  // of a list, where it is about one
  std::optional<std::string> entry{};    // of a table, where it is about one
  bool about_key = false;                // the key (or the entry's) itself, not its value
};

/// One key of a table whose values land in a Target.
template <typename Target>
struct Key {
  std::string name;
  OptionValue::Kind kind;
  std::string takes;  // ends the sentence "it must be …"
  /// False if the value is not what `takes` says; throws Refusal where there is more to say. Null
  /// if the key is in the contract and not built yet.
  bool (*set)(Target&, const OptionValue&);
  /// What set() would have to be given for a fresh Target to say the same; nothing if it says that
  /// already. Null if `set` is.
  std::optional<OptionValue> (*get)(const Target&);
  OptionHelp help{};  // of the keys that are options of a command, too
};

const std::vector<Key<Config>>& bulkhead_keys();
const std::vector<Key<Segment>>& segment_keys();
const std::vector<Key<Port>>& port_keys();
const std::vector<Key<LimitSaid>>& limit_keys();
const std::vector<Key<Static>>& static_keys();

/// `unknown key "macc"; did you mean "mac"?`, or the list of known names if none is near.
std::string unknown(std::string_view what, std::string_view name,
                    const std::vector<std::string>& known);

/// `name must be takes, not value`.
std::string must_be(const std::string& name, const std::string& takes, const OptionValue& value);

/// True if a value of this kind may be given to a key of that kind.
bool fits(const OptionValue& value, OptionValue::Kind kind);

template <typename Target>
const Key<Target>* find(const std::vector<Key<Target>>& keys, const std::string& name) {
  const auto found =
      std::find_if(keys.begin(), keys.end(), [&](const auto& key) { return key.name == name; });
  return found == keys.end() ? nullptr : &*found;
}

/// Sets every value in `target`, in the order of `keys`. Throws Refusal; then `target` is half
/// done.
template <typename Target>
void apply(const std::vector<Key<Target>>& keys, Target& target,
           const std::map<std::string, OptionValue>& values) {
  for (const auto& [name, value] : values) {
    const Key<Target>* key = find(keys, name);
    if (key && key->set) continue;
    std::vector<std::string> known;
    for (const auto& other : keys) {
      if (other.set) known.push_back(other.name);
    }
    const std::string text =
        key ? '`' + name + "` is not supported yet; remove it" : unknown("key", name, known);
    throw Refusal{.text = text, .key = name, .about_key = true};
  }
  for (const auto& key : keys) {
    const auto found = values.find(key.name);
    if (found == values.end()) continue;
    const OptionValue& value = found->second;
    try {
      if (!fits(value, key.kind) || !key.set(target, value)) {
        throw Refusal{.text = must_be(key.name, key.takes, value)};
      }
    } catch (Refusal& refusal) {
      refusal.key = key.name;
      throw;
    }
  }
}

}  // namespace bulkhead::config
