#include "control/client/port_options.hpp"

#include <algorithm>
#include <vector>

#include "config/config.hpp"

namespace bulkhead::control {
namespace {

using Json = nlohmann::json;
using Kind = config::OptionValue::Kind;

constexpr int kWordsMax = 1 << 20;  // in a list; the daemon knows how many are too many

bool is_list(Kind kind) { return kind == Kind::list || kind == Kind::table; }

Json value_of(Kind kind, const std::vector<std::string>& words) {
  if (is_list(kind)) return words.size() == 1 ? Json(words.front()) : Json(words);
  const std::string& word = words.back();
  if (kind == Kind::boolean && (word == "true" || word == "false")) return word == "true";
  if (kind == Kind::integer) {
    Json number = Json::parse(word, nullptr, false);
    if (number.is_number_integer()) return number;
  }
  return word;
}

}  // namespace

void PortOptions::add_to(CLI::App& command) {
  for (const std::string& key : config::port_option_names()) {
    const auto kind = config::option_kind(key);
    const config::OptionHelp help = config::option_help(key);
    std::string name = "--" + key;
    std::ranges::replace(name, '_', '-');
    if (kind == Kind::boolean) {
      options_[key] = command.add_flag(name)->description(help.text);
      continue;
    }
    CLI::Option* option = command.add_option(name)->description(help.text);
    option->option_text(help.argument + (is_list(*kind) ? "..." : ""));
    option->expected(1, is_list(*kind) ? kWordsMax : 1);
    options_[key] = option;
  }
}

Json PortOptions::json() const {
  Json json = Json::object();
  for (const auto& [key, option] : options_) {
    if (option->count() > 0) json[key] = value_of(*config::option_kind(key), option->results());
  }
  return json;
}

}  // namespace bulkhead::control
