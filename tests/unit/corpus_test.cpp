// The corpus, tests/corpus/cases.txt: frames of hosts and of attackers, one a line, through a whole
// worker. The same lines run over the wire and through `bulkhead explain` in tests/e2e.
#include <gtest/gtest.h>

#include <sstream>

#include "tests/unit/corpus.hpp"
#include "tests/unit/test_bridge.hpp"

namespace bulkhead {
namespace {

using test::Case;
using test::corpus;
using test::Outcome;
using test::TestBridge;

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
  static const config::Config kConfig =
      config::parse(test::corpus_text("config.toml"), "config.toml");
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

INSTANTIATE_TEST_SUITE_P(Cases, Corpus, ::testing::ValuesIn(corpus()), [](const auto& the_case) {
  std::string name = the_case.param.name;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return std::to_string(the_case.index) + '_' + name;
});

// Those that one frame can cause; the others have their tests elsewhere.
TEST(CorpusList, HasEveryReason) {
  std::set<std::string> given;
  for (const Case& a_case : corpus()) {
    given.insert(a_case.expected.substr(0, a_case.expected.find('@')));
  }
  for (const DropReasonText& reason : kDropReasons) {
    const std::set<std::string> elsewhere{"mac_limit", "flapping", "hairpin", "overrun"};
    if (elsewhere.contains(std::string(reason.name))) continue;
    EXPECT_TRUE(given.contains(std::string(reason.name))) << reason.name;
  }
  EXPECT_GE(corpus().size(), 200u);
}

}  // namespace
}  // namespace bulkhead
