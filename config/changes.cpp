#include "config/changes.hpp"

#include <map>

namespace bulkhead::config {
namespace {

constexpr std::size_t kNamedMax = 10;

template <typename Thing, typename Same>
Changes::Names names_between(const std::map<std::string, Thing>& before,
                             const std::map<std::string, Thing>& after, Same same) {
  Changes::Names names;
  for (const auto& [name, thing] : after) {
    const auto old = before.find(name);
    if (old == before.end()) {
      names.added.push_back(name);
    } else if (!same(old->second, thing)) {
      names.changed.push_back(name);
    }
  }
  for (const auto& [name, thing] : before) {
    if (!after.contains(name)) names.removed.push_back(name);
  }
  return names;
}

std::map<std::string, bool> by_text(const std::vector<Static>& statics) {
  std::map<std::string, bool> texts;
  for (const Static& entry : statics) texts.emplace(to_text(entry.mac) + " on " + entry.port, true);
  return texts;
}

std::string listed(const std::string& verb, const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kNamedMax; ++i) {
    text += (i == 0 ? verb + ' ' : ", ") + names[i];
  }
  if (names.size() > kNamedMax)
    text += " and " + std::to_string(names.size() - kNamedMax) + " more";
  return text;
}

std::string to_text(const std::string& what, const Changes::Names& names) {
  std::string text, before = what + ": ";
  for (const std::string& part : {listed("added", names.added), listed("removed", names.removed),
                                  listed("changed", names.changed)}) {
    if (part.empty()) continue;
    text += before;
    text += part;
    before = ", ";
  }
  return text;
}

}  // namespace

Changes changes_between(const Config& before, const Config& after) {
  return {.ports = names_between(
              before.ports, after.ports,
              [](const Port& left, const Port& right) { return left.same_as(right); }),
          .segments = names_between(before.segments, after.segments,
                                    [](const Segment& left, const Segment& right) {
                                      return left.ageing == right.ageing &&
                                             left.mac_limit == right.mac_limit;
                                    }),
          .statics = names_between(by_text(before.statics), by_text(after.statics),
                                   [](bool, bool) { return true; })};
}

std::string to_text(const Changes& changes) {
  std::string text;
  for (const std::string& part :
       {to_text("ports", changes.ports), to_text("segments", changes.segments),
        to_text("static addresses", changes.statics)}) {
    if (!part.empty()) text += (text.empty() ? "" : "; ") + part;
  }
  return text.empty() ? "nothing changed" : text;
}

}  // namespace bulkhead::config
