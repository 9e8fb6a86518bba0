// The metrics as text: held against OpenMetrics 1.0 by a parser written from its ABNF and rules,
// and their numbers against what went in.
#include "control/observe/metrics.hpp"

#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace bulkhead::control {
namespace {

/// The text in parts of one port each.
std::string whole_text(const Metrics& metrics) {
  std::string text;
  for (std::size_t metric = 0; metric < metric_count(); ++metric) {
    Metrics part = metrics;
    part.ports.clear();
    text += openmetrics_text(part, metric, true);
    for (const PortMetrics& port : metrics.ports) {
      part.ports = {port};
      text += openmetrics_text(part, metric, false);
    }
  }
  return text + kMetricsEnd;
}

using Labels = std::map<std::string, std::string>;

struct Family {
  std::string type;
  std::string unit;
  std::string help;
  std::map<Labels, double> samples;
};

/// A strict reader: throws std::runtime_error with the line that is not as it must be.
class Parser {
 public:
  explicit Parser(const std::string& text) {
    if (!text.ends_with("# EOF\n")) throw std::runtime_error("no # EOF at the end");
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      line_ = line;
      if (ended_) fail("something behind # EOF");
      if (line == "# EOF") {
        ended_ = true;
      } else if (line.starts_with('#')) {
        read_descriptor();
      } else {
        read_sample();
      }
    }
  }

  std::map<std::string, Family> families;

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw std::runtime_error(why + ": " + line_);
  }

  // metric-descriptor = "# TYPE name type" / "# HELP name escaped-string" / "# UNIT name chars".
  // All of one family are together, each at most once and before its samples.
  void read_descriptor() {
    static const std::regex kForm("# (TYPE|HELP|UNIT) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)");
    std::smatch match;
    if (!std::regex_match(line_, match, kForm)) fail("no descriptor");
    const std::string word = match[1], name = match[2], rest = match[3];
    if (name != name_) {
      if (families.contains(name)) fail("a family in two places");
      name_ = name;
      said_.clear();
    }
    Family& family = families[name];
    if (!family.samples.empty()) fail("a descriptor behind samples");
    if (!said_.insert(word).second) fail("said twice");
    if (word == "TYPE") {
      static const std::set<std::string> kTypes{"counter", "gauge", "info", "stateset"};
      if (!kTypes.contains(rest)) fail("no type");
      family.type = rest;
    } else if (word == "UNIT") {
      if (!name.ends_with("_" + rest)) fail("the name does not end in its unit");
      family.unit = rest;
    } else {
      family.help = unescaped(rest);
    }
  }

  // sample = metricname [labels] SP number; no timestamps and exemplars here.
  void read_sample() {
    std::size_t at = line_.find_first_of("{ ");
    if (at == std::string::npos || !families.contains(name_)) fail("no sample of a family");
    Family& family = families[name_];
    const std::string suffix = family.type == "counter" ? "_total"
                               : family.type == "info"  ? "_info"
                                                        : "";
    if (line_.substr(0, at) != name_ + suffix) fail("not the family's name");
    Labels labels;
    if (line_[at] == '{') at = read_labels(at + 1, labels);
    if (line_[at] != ' ') fail("no space before the number");
    static const std::regex kNumber("[0-9]+(\\.[0-9]+)?");
    const std::string number = line_.substr(at + 1);
    if (!std::regex_match(number, kNumber)) fail("no number");
    if (family.type == "stateset" && !labels.contains(name_)) fail("a state without its label");
    if ((family.type == "stateset" || family.type == "info") && number != "1" && number != "0") {
      fail("neither 0 nor 1");
    }
    if (!family.samples.emplace(labels, std::stod(number)).second) fail("a sample twice");
  }

  std::size_t read_labels(std::size_t at, Labels& labels) {
    static const std::regex kName("[a-zA-Z_][a-zA-Z0-9_]*");
    for (;;) {
      const std::size_t equals = line_.find("=\"", at);
      if (equals == std::string::npos) fail("no label");
      const std::string name = line_.substr(at, equals - at);
      if (!std::regex_match(name, kName)) fail("no label name");
      std::size_t end = equals + 2;
      while (end < line_.size() && line_[end] != '"') end += line_[end] == '\\' ? 2 : 1;
      if (end >= line_.size()) fail("a label without an end");
      if (!labels.emplace(name, unescaped(line_.substr(equals + 2, end - equals - 2))).second) {
        fail("a label twice");
      }
      at = end + 2;
      if (line_[end + 1] == '}') return at;
      if (line_[end + 1] != ',') fail("neither comma nor end behind a label");
    }
  }

  std::string unescaped(const std::string& text) const {
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '"') fail("a quotation mark that is not escaped");
      if (text[i] != '\\') {
        result += text[i];
        continue;
      }
      if (++i == text.size()) fail("a backslash at the end");
      if (text[i] != 'n' && text[i] != '"' && text[i] != '\\') fail("no such escape");
      result += text[i] == 'n' ? '\n' : text[i];
    }
    return result;
  }

  std::string line_;
  std::string name_;
  std::set<std::string> said_;
  bool ended_ = false;
};

Metrics some() {
  Metrics metrics{.version = "1.2\"\\\n3",
                  .uptime_seconds = 77,
                  .learned = 5,
                  .buffers_free = 900,
                  .events_lost = 4,
                  .breaches = 6,
                  .ports = {}};
  PortMetrics port;
  port.name = "vm1";
  port.segment = "lan";
  port.state = PortState::up;
  port.intake = {.handed = 100, .in_flight = 3, .too_big = 1, .malformed = 2, .overrun = 4};
  port.counters.received = 90;
  port.counters.received_bytes = 9000;
  port.counters.sent = 80;
  port.counters.sent_bytes = 8000;
  port.flows.in_frames = 1000;
  port.flows.out_frames = 2000;
  port.flows.no_key = 21;
  port.counters.flows_refused = 22;
  port.counters.dropped[index_of(DropReason::spoofed_mac)] = 11;
  port.counters.refused[index_of(DropReason::not_addressee)] = 12;
  metrics.ports.push_back(port);
  port = {};
  port.name = "vm2";
  port.segment = "lan";
  port.enforced = false;
  port.counters.shadowed[index_of(DropReason::spoofed_ip)] = 13;
  metrics.ports.push_back(port);
  return metrics;
}

TEST(Metrics, AreOpenMetrics) {
  const Parser parser(whole_text(some()));
  EXPECT_GE(parser.families.size(), 15u);
  for (const auto& [name, family] : parser.families) {
    EXPECT_FALSE(family.type.empty()) << name;
    EXPECT_FALSE(family.help.empty()) << name;
    EXPECT_FALSE(family.samples.empty()) << name;
    const bool counts = name.ends_with("_frames") || name.ends_with("_bytes");
    EXPECT_EQ(!family.unit.empty(), counts || name.ends_with("_seconds")) << name;
  }
}

TEST(Metrics, ParserIsStrict) {
  const std::string head = "# TYPE a counter\n# HELP a x\n";
  const auto refused = [](const std::string& text) {
    EXPECT_THROW(Parser{text}, std::runtime_error) << text;
  };
  EXPECT_NO_THROW(Parser{head + "a_total{b=\"c\"} 1\n# EOF\n"});
  refused(head + "a_total 1\n");
  refused(head + "a_total 1\n# EOF\n\n");
  refused(head + "a 1\n# EOF\n");
  refused(head + "a_total 1\na_total 1\n# EOF\n");
  refused(head + "a_total{b=\"c} 1\n# EOF\n");
  refused(head + "a_total{b=\"c\",} 1\n# EOF\n");
  refused(head + "a_total{b=\"\\q\"} 1\n# EOF\n");
  refused(head + "a_total one\n# EOF\n");
  refused(head + "# UNIT a frames\n# EOF\n");
  refused(head + "a_total 1\n# TYPE b gauge\nb 1\n# TYPE a counter\n# EOF\n");
}

TEST(Metrics, SayWhatWentIn) {
  auto families = Parser(whole_text(some())).families;
  const auto value = [&](const std::string& name, const Labels& labels) {
    const auto& samples = families[name].samples;
    const auto place = samples.find(labels);
    return place == samples.end() ? -1.0 : place->second;
  };
  const Labels vm1{{"port", "vm1"}, {"segment", "lan"}};
  const auto with = [](Labels labels, const std::string& name, const std::string& text) {
    labels[name] = text;
    return labels;
  };
  const auto drop = [&](const Labels& port, const std::string& reason, const std::string& side) {
    return with(with(port, "reason", reason), "side", side);
  };
  EXPECT_EQ(value("bulkhead_build", {{"version", "1.2\"\\\n3"}}), 1);
  EXPECT_EQ(value("bulkhead_uptime_seconds", {}), 77);
  EXPECT_EQ(value("bulkhead_learned_addresses", {}), 5);
  EXPECT_EQ(value("bulkhead_free_buffers", {}), 900);
  EXPECT_EQ(value("bulkhead_lost_events", {}), 4);
  EXPECT_EQ(value("bulkhead_port_handed_frames", vm1), 1100);
  EXPECT_EQ(value("bulkhead_port_in_flight_frames", vm1), 3);
  EXPECT_EQ(value("bulkhead_port_before_dropped_frames", drop(vm1, "overrun", "ingress")), 4);
  EXPECT_EQ(value("bulkhead_port_receive_frames", vm1), 1090);
  EXPECT_EQ(value("bulkhead_port_receive_bytes", vm1), 9000);
  EXPECT_EQ(value("bulkhead_port_transmit_frames", vm1), 2080);
  EXPECT_EQ(value("bulkhead_port_transmit_bytes", vm1), 8000);
  const std::string shortcut = "bulkhead_port_shortcut_";
  EXPECT_EQ(value(shortcut + "frames", with(vm1, "side", "ingress")), 1000);
  EXPECT_EQ(value(shortcut + "frames", with(vm1, "side", "egress")), 2000);
  EXPECT_EQ(value(shortcut + "missed_frames", with(vm1, "reason", "no_key")), 21);
  EXPECT_EQ(value(shortcut + "refused_frames", vm1), 22);
  EXPECT_EQ(value("bulkhead_port_state", with(vm1, "bulkhead_port_state", "up")), 1);
  EXPECT_EQ(value("bulkhead_port_state", with(vm1, "bulkhead_port_state", "down")), 0);
  EXPECT_EQ(value("bulkhead_port_dropped_frames", drop(vm1, "spoofed_mac", "ingress")), 11);
  EXPECT_EQ(value("bulkhead_port_dropped_frames", drop(vm1, "not_addressee", "egress")), 12);
  EXPECT_EQ(value("bulkhead_port_dropped_frames", drop(vm1, "tagged", "ingress")), 0);
  EXPECT_EQ(value("bulkhead_port_dropped_frames", drop(vm1, "tagged", "egress")), -1);
  const Labels vm2{{"port", "vm2"}, {"segment", "lan"}};
  EXPECT_EQ(value("bulkhead_port_enforced", vm1), 1);
  EXPECT_EQ(value("bulkhead_port_enforced", vm2), 0);
  EXPECT_EQ(value("bulkhead_port_shadow_frames", drop(vm2, "spoofed_ip", "ingress")), 13);
}

}  // namespace
}  // namespace bulkhead::control
