// `bulkhead top`: rates from counters, and text that fits the terminal.
#include "control/client/top.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>

#include "control/client/processor_time.hpp"

namespace bulkhead::control {
namespace {

using Json = nlohmann::json;

/// One port of an answer to `stats`.
Json port(const std::string& name, std::uint64_t rx, std::uint64_t tx, const Json& before = {},
          const Json& ingress = {}, const Json& egress = {}) {
  constexpr std::uint64_t kBytes = 100;  // a frame
  return {{"name", name},
          {"segment", "lan"},
          {"state", "up"},
          {"ingress",
           {{"received", rx - 1},  // and one by the shortcut
            {"shortcut", 1},
            {"bytes", (rx - 1) * kBytes},
            {"shortcut_bytes", kBytes},
            {"before", before},
            {"drops", ingress}}},
          {"egress", {{"tx", tx}, {"bytes", tx * kBytes}, {"drops", egress}}}};
}

std::vector<PortRates> second_look(const Json& before, const Json& now, double seconds) {
  RateMeter meter;
  EXPECT_FALSE(meter.measure(Json::array({before}), 1).front().rates);
  return meter.measure(Json::array({now}), seconds);
}

TEST(RateMeterTest, TheFirstLookHasPortsWithoutRates) {
  RateMeter meter;
  const auto ports = meter.measure(Json::array({port("a", 7, 7)}), 1);
  ASSERT_EQ(ports.size(), 1u);
  EXPECT_EQ(ports[0].name, "a");
  EXPECT_EQ(ports[0].segment, "lan");
  EXPECT_EQ(ports[0].state, "up");
  EXPECT_FALSE(ports[0].rates);
}

TEST(RateMeterTest, RatesAreDifferencesBySeconds) {
  const auto ports = second_look(port("a", 100, 10), port("a", 300, 60), 2);
  ASSERT_TRUE(ports[0].rates);
  EXPECT_DOUBLE_EQ(ports[0].rates->rx_frames, 100);
  EXPECT_DOUBLE_EQ(ports[0].rates->rx_bits, 80'000);
  EXPECT_DOUBLE_EQ(ports[0].rates->tx_frames, 25);
  EXPECT_DOUBLE_EQ(ports[0].rates->tx_bits, 20'000);
  EXPECT_DOUBLE_EQ(ports[0].rates->drops, 0);
  EXPECT_EQ(ports[0].reason, "");
}

TEST(RateMeterTest, DropsOfAllSidesCountAndTheLeadingReasonIsNamed) {
  const auto ports =
      second_look({port("a", 0, 0, {{"too_big", 5}}, {{"spoofed_mac", 1000}}, Json::object())},
                  {port("a", 0, 0, {{"too_big", 10}}, {{"spoofed_mac", 1010}, {"tagged", 75}},
                        {{"too_big", 10}})},
                  10);
  EXPECT_DOUBLE_EQ(ports[0].rates->drops, 10);
  EXPECT_EQ(ports[0].reason, "tagged");  // by what was added, not by what there is
  EXPECT_DOUBLE_EQ(ports[0].reason_share, 0.75);
}

TEST(RateMeterTest, CountersThatGoBackBeganAtZero) {
  const auto anew = second_look(port("a", 1000, 5, {}, {{"tagged", 3}}), port("a", 10, 10), 1);
  EXPECT_DOUBLE_EQ(anew[0].rates->rx_frames, 10);
  EXPECT_DOUBLE_EQ(anew[0].rates->tx_frames, 10);
  const auto by_drops =
      second_look(port("a", 5, 5, {}, {{"tagged", 3}}), port("a", 9, 9, {}, {{"tagged", 2}}), 1);
  EXPECT_DOUBLE_EQ(by_drops[0].rates->rx_frames, 9);
  EXPECT_DOUBLE_EQ(by_drops[0].rates->drops, 2);
}

TEST(RateMeterTest, PortsComeAndGo) {
  RateMeter meter;
  static_cast<void>(meter.measure(Json::array({port("a", 1, 1), port("b", 1, 1)}), 1));
  const auto ports = meter.measure(Json::array({port("b", 3, 1), port("c", 4, 1)}), 1);
  ASSERT_EQ(ports.size(), 2u);
  EXPECT_DOUBLE_EQ(ports[0].rates->rx_frames, 2);
  EXPECT_DOUBLE_EQ(ports[1].rates->rx_frames, 4);
  EXPECT_TRUE(meter.measure(Json::array(), 1).empty());
}

TEST(RateMeterTest, AnotherDaemonIsLookedAtForTheFirstTime) {
  RateMeter meter;
  static_cast<void>(meter.measure(Json::array({port("a", 5, 1)}), 1));
  meter.forget();
  EXPECT_FALSE(meter.measure(Json::array({port("a", 1000, 1000)}), 1)[0].rates);
}

TEST(RateMeterTest, NoTimeNoRate) {
  EXPECT_FALSE(second_look(port("a", 1, 1), port("a", 2, 2), 0)[0].rates);
}

PortRates row(const std::string& name, double rx, double drops,
              const std::string& segment = "lan") {
  return {.name = name,
          .segment = segment,
          .state = "up",
          .rates = Rates{.rx_frames = rx, .rx_bits = rx * 800, .drops = drops},
          .reason = drops > 0 ? "tagged" : "",
          .reason_share = drops > 0 ? 1.0 : 0.0};
}

std::string names(const std::vector<PortRates>& ports) {
  std::string text;
  for (const PortRates& port : ports) text += port.name;
  return text;
}

TEST(RateMeterTest, Order) {
  std::vector<PortRates> ports{row("b", 1, 9), row("d", 5, 0), row("a", 1, 9), row("c", 2, 20)};
  sort(ports, RateOrder::rate);
  EXPECT_EQ(names(ports), "dcab");
  sort(ports, RateOrder::drops);
  EXPECT_EQ(names(ports), "cabd");
  sort(ports, RateOrder::name);
  EXPECT_EQ(names(ports), "abcd");
}

TEST(TopTest, ShortNumbers) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(7), "7");
  EXPECT_EQ(short_number(0.25), "0.2");
  EXPECT_EQ(short_number(9.97), "10");
  EXPECT_EQ(short_number(999.4), "999");
  EXPECT_EQ(short_number(999.6), "1.0k");
  EXPECT_EQ(short_number(12'345), "12.3k");
  EXPECT_EQ(short_number(999'960), "1.0M");
  EXPECT_EQ(short_number(2.5e9), "2.5G");
  EXPECT_LE(short_number(1e20).size(), 6u);
}

std::vector<std::string> lines_of(std::size_t ports, TerminalSize size) {
  TopView view{"heading", {}};
  for (std::size_t i = 0; i < ports; ++i) view.ports.push_back(row("p" + std::to_string(i), 10, 1));
  return top_lines(view, size);
}

TEST(TopTest, APortIsALine) {
  const auto lines = lines_of(2, {});
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[0], "heading");
  EXPECT_EQ(lines[1], "total: in 20 frames/s, 16.0kbit/s; out 0 frames/s, 0bit/s; dropped 2/s");
  EXPECT_EQ(lines[2], "PORT     SEGMENT STATE     RX/s  RXb/s   TX/s  TXb/s DROP/s  REASON");
  EXPECT_EQ(lines[3], "p0       lan     up          10   8.0k      0      0      1  tagged");
}

TEST(TopTest, WithoutRatesThereAreDashesAndMixedDropsHaveAShare) {
  PortRates unknown = row("new", 0, 0);
  unknown.rates.reset();
  PortRates mixed = row("mixed", 0, 4);
  mixed.reason_share = 0.75;
  const auto lines = top_lines({"", {unknown, mixed}}, {});
  EXPECT_EQ(lines[3], "new      lan     up           -      -      -      -      -");
  EXPECT_TRUE(lines[4].ends_with("tagged 75%")) << lines[4];
}

TEST(TopTest, FitsEveryTerminal) {
  for (std::size_t columns = 1; columns < 120; columns += 7) {
    for (std::size_t lines = 1; lines < 40; ++lines) {
      for (const std::size_t ports : {0u, 1u, 5u, 30u, 1024u}) {
        const auto text = lines_of(ports, {columns, lines});
        EXPECT_LE(text.size(), lines);
        for (const std::string& line : text) EXPECT_LE(line.size(), columns);
      }
    }
  }
}

TEST(TopTest, PortsThatDoNotFitAreSummarised) {
  const auto lines = lines_of(30, {80, 24});
  ASSERT_EQ(lines.size(), 24u);
  EXPECT_EQ(lines.back(),
            "10 more: in 100 frames/s, 80.0kbit/s; out 0 frames/s, 0bit/s; dropped 10/s");
  EXPECT_EQ(lines_of(21, {80, 24}).back().substr(0, 3), "p20");
}

TEST(TopTest, LongNamesAreCutOnlyWhereThereIsNoRoom) {
  const std::string name(32, 'n'), segment(32, 's');
  const TopView view{"", {row(name, 1, 1, segment)}};
  EXPECT_NE(top_lines(view, {})[3].find(name + ' ' + segment), std::string::npos);
  const std::string narrow = top_lines(view, {80, 24})[3];
  EXPECT_TRUE(narrow.ends_with("tagged")) << narrow;
  EXPECT_NE(narrow.find("n+ "), std::string::npos) << narrow;
  EXPECT_NE(narrow.find("s+ "), std::string::npos) << narrow;
}

TEST(ProcessorTimeTest, TellsOfThisThread) {
  ProcessorTime time(::getpid());
  EXPECT_TRUE(time.measure(1).empty());
  const auto begin = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(200)) {
  }
  const auto threads = time.measure(0.2);
  ASSERT_FALSE(threads.empty());
  EXPECT_NE(threads.front().name, "");
  double share = 0;
  for (const auto& thread : threads) share += thread.share;
  EXPECT_GT(share, 0.05);
}

TEST(ProcessorTimeTest, OfNobodyThereIsNothing) {
  ProcessorTime time(0);
  EXPECT_TRUE(time.measure(1).empty());
  EXPECT_TRUE(time.measure(1).empty());
}

}  // namespace
}  // namespace bulkhead::control
