// Answers as text: what is added to them for whoever reads it.
#include "control/client/report.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <sstream>

namespace bulkhead::control {
namespace {

using Json = nlohmann::json;

std::string shown(void (*show)(std::ostream&, const Json&), const Json& json) {
  std::ostringstream out;
  show(out, json);
  return out.str();
}

TEST(Report, StatsExplainsOnlyReasonsThatCountedSomething) {
  const Json in{{"handed", 3},
                {"shortcut", 0},
                {"before", {{"too_big", 0}, {"overrun", 1}, {"malformed", 0}}},
                {"in_flight", 0},
                {"window", 1920},
                {"received", 2},
                {"unicast", 1},
                {"flooded", 0},
                {"drops", {{"spoofed_ip", 1}}},
                {"shadow", Json::object()}};
  const Json egress{{"offered", 0}, {"tx", 0}, {"shortcut", 0}, {"drops", Json::object()}};
  const Json flows{{"refused", 0}, {"misses", {{"no_key", 0}}}};
  const std::string text = shown(
      show_stats,
      Json::array({{{"name", "vm1"}, {"ingress", in}, {"egress", egress}, {"flows", flows}}}));
  EXPECT_NE(text.find("\noverrun, "), std::string::npos) << text;
  EXPECT_NE(text.find("\nspoofed_ip, "), std::string::npos) << text;
  EXPECT_EQ(text.find("\ntoo_big, "), std::string::npos) << text;
  EXPECT_EQ(text.find("\nmalformed, "), std::string::npos) << text;
}

TEST(Report, AnEventBeginsWithItsTime) {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  const Json event{{"event", "drop"}, {"port", "vm1"}, {"time_us", 39'306'123'456}};
  EXPECT_EQ(shown(show_event, event), "10:55:06.123 drop port vm1\n");
}

TEST(Report, AReloadSaysWhatChanged) {
  EXPECT_EQ(shown(show_changes, {{"text", "ports: added vm3"}}), "ports: added vm3\n");
}

TEST(Report, AnExplanationBeginsWithTheFrameThatWasMade) {
  const Json explanation{{"verdict", "unicast"},
                         {"reason", nullptr},
                         {"ports", {"vm2"}},
                         {"checks", Json::array()},
                         {"made", {{"text", "a -> b"}}}};
  EXPECT_TRUE(shown(show_explanation, explanation).starts_with("a -> b\n"));
}

}  // namespace
}  // namespace bulkhead::control
