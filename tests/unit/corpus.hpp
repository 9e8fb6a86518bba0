// The corpus, tests/corpus/cases.txt, read: frames of hosts and of attackers, one a line.
#pragma once

#include <fstream>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/unit/frames.hpp"

namespace bulkhead::test {

struct Case {
  std::string name;
  std::string from;
  Bytes bytes;
  std::string expected;
};
inline void PrintTo(const Case& a_case, std::ostream* out) { *out << a_case.name; }

/// The text of cases.txt or config.toml.
inline std::string corpus_text(const std::string& file) {
  std::ifstream stream(BULKHEAD_SOURCE_DIR "/tests/corpus/" + file);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

inline Bytes bytes_of(const std::string& hex) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

inline const std::vector<Case>& corpus() {
  static const std::vector<Case> kCases = [] {
    std::vector<Case> all;
    std::istringstream lines(corpus_text("cases.txt"));
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with('#')) continue;
      std::vector<std::string> fields;
      std::size_t at = 0;
      for (std::size_t bar = 0; (bar = line.find(" | ", at)) != std::string::npos; at = bar + 3) {
        fields.push_back(line.substr(at, bar - at));
      }
      fields.push_back(line.substr(at));
      all.push_back({fields.at(0), fields.at(1), bytes_of(fields.at(2)), fields.at(3)});
    }
    return all;
  }();
  return kCases;
}

}  // namespace bulkhead::test
