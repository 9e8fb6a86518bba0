// The list of drop reasons: names, help, and that every one of them is put to the test by name.
#include "dataplane/drop_reason.hpp"

#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

namespace bulkhead {
namespace {

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Whether `text` has `word`, and not as the beginning of a longer one.
bool uses(const std::string& text, const std::string& word) {
  for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    const char next = text[at + word.size()];
    if (next != '_' && std::isalnum(static_cast<unsigned char>(next)) == 0) return true;
  }
  return false;
}

TEST(DropReasons, AreInTheOrderOfTheList) {
  EXPECT_EQ(name_of(DropReason::malformed), "malformed");
  EXPECT_EQ(index_of(DropReason::malformed), 0u);
  EXPECT_EQ(name_of(DropReason::overrun), "overrun");
}

TEST(DropReasons, HaveOneNameEachAndHelpThatSaysWhereItCountsAndWhatToDo) {
  std::set<std::string_view> names;
  for (const DropReasonText& reason : kDropReasons) {
    EXPECT_TRUE(names.insert(reason.name).second) << reason.name;
    EXPECT_TRUE(reason.help.starts_with("ingress") || reason.help.starts_with("egress"))
        << reason.name;
    EXPECT_NE(reason.help.find(": "), std::string_view::npos) << reason.name;
    EXPECT_NE(reason.help.find("; "), std::string_view::npos) << reason.name;
  }
}

// As an enumerator in an expectation or a row of a list, not as a word in a remark.
TEST(DropReasons, AreEachExercisedByATest) {
  std::string tests;
  for (const auto& entry : std::filesystem::directory_iterator(BULKHEAD_SOURCE_DIR "/tests/unit")) {
    const auto path = entry.path();
    if (path.extension() != ".cpp" || path.filename() == "drop_reason_test.cpp") continue;
    tests += text_of(path);
  }
  const std::string corpus = text_of(BULKHEAD_SOURCE_DIR "/tests/corpus/cases.txt");
  ASSERT_GT(tests.size(), 10'000u) << "the sources are not where they were at build time";
  for (const DropReasonText& reason : kDropReasons) {
    const std::string use = "D::" + std::string(reason.name);
    const std::string long_use = "DropReason::" + std::string(reason.name);
    const std::string verdict = " | " + std::string(reason.name);
    EXPECT_TRUE(uses(tests, use) || uses(tests, long_use) || uses(corpus, verdict)) << reason.name;
  }
}

// The manual page carries the list's own words; docs/ISOLATION.md says which check gives the
// reason.
TEST(DropReasons, AreEachDocumented) {
  const std::string page = text_of(BULKHEAD_SOURCE_DIR "/docs/man/bulkhead.8");
  const std::string policy = text_of(BULKHEAD_SOURCE_DIR "/docs/ISOLATION.md");
  for (const DropReasonText& reason : kDropReasons) {
    const std::string name(reason.name);
    std::string help(reason.help);
    std::erase(help, '`');
    EXPECT_NE(page.find(".B " + name + "\n" + help + ".\n"), std::string::npos) << name;
    EXPECT_NE(policy.find('`' + name + '`'), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace bulkhead
