#include "config/toml_fault.hpp"

#include <algorithm>

#include "config/text.hpp"

namespace bulkhead::config {
namespace {

std::string_view line_of(std::string_view text, std::uint32_t number) {
  for (std::uint32_t line = 1; line < number && !text.empty(); ++line) {
    const auto end = text.find('\n');
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  text = text.substr(0, text.find('\n'));
  return text.ends_with('\r') ? text.substr(0, text.size() - 1) : text;
}

/// Where the quote stands that no other one closes, from 0; npos if there is none.
std::size_t open_quote(std::string_view line) {
  std::size_t opened = std::string_view::npos;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (quote == 0) {
      if (line[i] == '#') break;
      if (line[i] == '"' || line[i] == '\'') quote = line[opened = i];
    } else if (quote == '"' && line[i] == '\\') {
      ++i;
    } else if (line[i] == quote) {
      quote = 0;
    }
  }
  return quote == 0 ? std::string_view::npos : opened;
}

/// The value that stands at this place (from 0), with nothing around it; empty if it has a quote.
std::string_view bare_value(std::string_view line, std::size_t at) {
  constexpr std::string_view kAround = " \t,=[]{}#";
  const auto before = line.substr(0, std::min(at, line.size())).find_last_of(kAround);
  const auto begin = before == std::string_view::npos ? 0 : before + 1;
  const auto end = std::min(line.find_first_of(kAround, begin), line.size());
  const std::string_view value = line.substr(begin, end - begin);
  return value.find_first_of("\"'") == std::string_view::npos ? value : std::string_view{};
}

}  // namespace

TomlFault toml_fault(std::string_view text, Position position, std::string_view description) {
  const std::string_view line = line_of(text, position.line);
  const auto says = [&](std::string_view words) {
    return description.find(words) != std::string_view::npos;
  };
  const bool in_string = says("parsing string") || says("parsing literal string");
  const bool in_list = says("parsing array") || says("parsing inline table");
  if (in_string || in_list) {
    const auto quote = open_quote(line);
    if (quote != std::string_view::npos) {
      return {{position.line, static_cast<std::uint32_t>(quote + 1)},
              std::string("a text begins here and never ends; close it with ") + line[quote]};
    }
  }
  if (in_string && says("control character")) {
    return {position, "a control character stands in this text; remove it, or write it as \\u001b"};
  }
  if (in_list && says("expected comma or closing")) {
    return {position, "a list is not closed before here; a comma or its ] is missing"};
  }
  const std::size_t at = position.column > 0 ? position.column - 1 : 0;
  const bool in_value = says("boolean") || says("value type") || says("time") || says("date") ||
                        says("integer") || says("floating");
  if (const std::string_view value = bare_value(line, at); in_value && !value.empty()) {
    const auto begin = static_cast<std::uint32_t>(value.data() - line.data() + 1);
    std::string words = quoted(value) + " is no number, true or false; texts stand in quotes";
    return {{position.line, begin}, std::move(words)};
  }
  if (says("expected value")) return {position, "a value is missing behind the ="};
  constexpr std::string_view kWhile = "Error while ";
  if (description.starts_with(kWhile)) description.remove_prefix(kWhile.size());
  return {position, "no TOML: " + printable(description)};
}

}  // namespace bulkhead::config
