// The corpus, tests/corpus/cases.txt: frames of hosts and of attackers, one a line, through a whole
// worker. The same lines run over the wire and through `bulkhead explain` in tests/e2e.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/unit/test_bridge.hpp"

namespace bulkhead {
namespace {

using test::Bytes;
using test::Outcome;
using test::TestBridge;

constexpr const char* kDirectory = BULKHEAD_SOURCE_DIR "/tests/corpus/";

struct Case {
  std::string name;
  std::string from;
  Bytes bytes;
  std::string expected;
};

void PrintTo(const Case& a_case, std::ostream* out) { *out << a_case.name; }

std::string text_of(const std::string& file) {
  std::ifstream stream(kDirectory + file);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

Bytes bytes_of(const std::string& hex) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

const std::vector<Case>& cases() {
  static const std::vector<Case> kCases = [] {
    std::vector<Case> all;
    std::istringstream lines(text_of("cases.txt"));
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

/// As the corpus writes it.
std::string to_corpus_text(const Outcome& outcome) {
  if (outcome.verdict == "drop") return outcome.reason;
  if (outcome.verdict == "unicast" && outcome.ports.empty() && outcome.refused.size() == 1) {
    return outcome.refused.begin()->second + '@' + outcome.refused.begin()->first;
  }
  std::string text;
  for (const std::string& port : outcome.ports) text += (text.empty() ? "" : ",") + port;
  return outcome.verdict + ':' + text;
}

/// Its list of ports in the order of their names.
std::string in_order(const std::string& expected) {
  if (!expected.starts_with("flood:")) return expected;
  std::istringstream words(expected.substr(6));
  std::set<std::string> ports;
  for (std::string port; std::getline(words, port, ',');) ports.insert(port);
  return to_corpus_text({"flood", "", ports, {}});
}

class Corpus : public ::testing::TestWithParam<Case> {};

TEST_P(Corpus, SaysWhatBecomesOfIt) {
  static const config::Config kConfig = config::parse(text_of("config.toml"), "config.toml");
  TestBridge bridge(kConfig);
  bridge.sites.at("absent").up = false;
  bridge.reload();
  const Outcome outcome = bridge.send(GetParam().from, GetParam().bytes);
  EXPECT_EQ(to_corpus_text(outcome), in_order(GetParam().expected)) << test::to_text(outcome);
  EXPECT_EQ(bridge.ledger_fault(), "");
  if (outcome.verdict == "drop") {
    EXPECT_TRUE(bridge.learned().empty());
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Corpus, ::testing::ValuesIn(cases()), [](const auto& the_case) {
  std::string name = the_case.param.name;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return std::to_string(the_case.index) + '_' + name;
});

// Those that one frame can cause; the others have their tests elsewhere.
TEST(CorpusList, HasEveryReason) {
  std::set<std::string> given;
  for (const Case& a_case : cases()) {
    given.insert(a_case.expected.substr(0, a_case.expected.find('@')));
  }
  for (const DropReasonText& reason : kDropReasons) {
    const std::set<std::string> elsewhere{"mac_limit", "flapping", "hairpin", "overrun"};
    if (elsewhere.contains(std::string(reason.name))) continue;
    EXPECT_TRUE(given.contains(std::string(reason.name))) << reason.name;
  }
  EXPECT_GE(cases().size(), 200u);
}

}  // namespace
}  // namespace bulkhead
