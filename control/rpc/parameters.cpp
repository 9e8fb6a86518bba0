#include "control/rpc/parameters.hpp"

#include <algorithm>

#include "control/observe/explanation.hpp"

namespace bulkhead::control {
namespace {

constexpr std::size_t kWordMax = 64;
constexpr std::size_t kTextMax = kExplainBytesMax * 3;

config::OptionValue option_of(const Json& value) {
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
  } else if (value.is_array() &&
             std::ranges::all_of(value, [](const Json& element) { return element.is_string(); })) {
    option.kind = Kind::list;
    option.list = value.get<std::vector<std::string>>();
  }
  return option;
}

}  // namespace

Parameters::Parameters(const std::string& method, const Json& json) : method_(method), json_(json) {
  if (!json.is_object() && !json.is_null()) {
    throw UsageError(method + ": parameters must be an object");
  }
}

const Json* Parameters::find(const std::string& name) {
  seen_.insert(name);
  const auto place = json_.find(name);
  return json_.is_object() && place != json_.end() ? &*place : nullptr;
}

void Parameters::missing(const std::string& name) const {
  throw UsageError(method_ + ": " + name + " is missing");
}

std::optional<std::string> Parameters::text(const std::string& name) {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) throw UsageError(method_ + ": " + name + " must be a string");
  auto string = value->get<std::string>();
  if (string.size() > kTextMax) throw UsageError(method_ + ": " + name + " is too long");
  return string;
}

std::optional<std::string> Parameters::word(const std::string& name) {
  auto value = text(name);
  if (value && value->size() > kWordMax) {
    throw UsageError(method_ + ": " + name + " is longer than 64 characters");
  }
  return value;
}

std::string Parameters::required_word(const std::string& name) {
  if (auto value = word(name)) return *value;
  missing(name);
}

std::string Parameters::required_text(const std::string& name) {
  if (auto value = text(name)) return *value;
  missing(name);
}

std::optional<std::int64_t> Parameters::number(const std::string& name, std::int64_t min,
                                               std::int64_t max) {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  const bool is_number = value->is_number_integer() &&
                         !(value->is_number_unsigned() && value->get<std::uint64_t>() > INT64_MAX);
  if (is_number && *value >= min && *value <= max) return value->get<std::int64_t>();
  throw UsageError(method_ + ": " + name + " must be a number from " + std::to_string(min) +
                   " to " + std::to_string(max));
}

bool Parameters::flag(const std::string& name) {
  const Json* value = find(name);
  if (value == nullptr) return false;
  if (!value->is_boolean()) throw UsageError(method_ + ": " + name + " must be true or false");
  return value->get<bool>();
}

std::vector<std::string> Parameters::words(const std::string& name) {
  const Json* value = find(name);
  if (value == nullptr) return {};
  const auto is_word = [](const Json& element) {
    return element.is_string() && element.get_ref<const std::string&>().size() <= kWordMax;
  };
  if (!value->is_array() || !std::ranges::all_of(*value, is_word)) {
    throw UsageError(method_ + ": " + name + " must be a list of words");
  }
  return value->get<std::vector<std::string>>();
}

std::optional<MacAddress> Parameters::mac(const std::string& name) {
  const auto value = word(name);
  if (!value) return std::nullopt;
  if (const auto parsed = config::parse_mac(*value)) return *parsed;
  throw UsageError(method_ + ": \"" + *value +
                   "\" is not a MAC address; write it as 52:54:00:9f:5d:c1");
}

MacAddress Parameters::required_mac(const std::string& name) {
  if (const auto value = mac(name)) return *value;
  missing(name);
}

std::map<std::string, config::OptionValue> Parameters::rest() {
  std::map<std::string, config::OptionValue> options;
  for (const auto& [name, value] : json_.items()) {
    if (!seen_.contains(name)) options[name] = option_of(value);
    seen_.insert(name);
  }
  return options;
}

void Parameters::finish() const {
  for (const auto& [name, value] : json_.items()) {
    if (!seen_.contains(name)) throw UsageError(method_ + ": unknown parameter \"" + name + "\"");
  }
}

}  // namespace bulkhead::control
