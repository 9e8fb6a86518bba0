#include "config/nearest.hpp"

#include <algorithm>
#include <numeric>

namespace bulkhead::config {
namespace {

constexpr std::size_t kSlipsMax = 2;      // more make another word
constexpr std::size_t kBeginningMin = 3;  // letters: fewer begin too many words
constexpr std::size_t kComparedMax = 64;  // bytes: no word of ours is longer
constexpr std::size_t kListedMax = 32;    // words

/// Edits that turn one text into the other (Levenshtein).
std::size_t distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < from.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < to.size(); ++j) {
      const std::size_t replaced = diagonal + (from[i] == to[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& known) {
  if (known.empty() || word.size() > kComparedMax) return {};
  const auto farness = [&](const std::string& other) { return distance(word, other); };
  const auto best = std::min_element(
      known.begin(), known.end(),
      [&](const auto& left, const auto& right) { return farness(left) < farness(right); });
  // As many slips as there are letters make any word of any other.
  if (farness(*best) <= kSlipsMax && farness(*best) < best->size()) return *best;
  if (word.size() < kBeginningMin) return {};
  const auto longer = std::find_if(known.begin(), known.end(), [&](const std::string& other) {
    return other.starts_with(word);
  });
  if (longer == known.end()) return {};
  return *longer;
}

std::string suggestion(std::string_view word, const std::vector<std::string>& known, char quote) {
  if (known.empty()) return "none is known";
  if (const auto meant = nearest(word, known))
    return std::string("did you mean ") + quote + *meant + quote + '?';
  std::string list;
  for (std::size_t i = 0; i < known.size() && i < kListedMax; ++i) {
    list += (list.empty() ? "" : ", ") + known[i];
  }
  return "known are " + list + (known.size() > kListedMax ? ", ..." : "");
}

}  // namespace bulkhead::config
