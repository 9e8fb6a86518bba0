// The client's command line: what each sort of word becomes, and what a wrong one is told.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "config/nearest.hpp"
#include "control/client/client.hpp"
#include "control/client/command_line.hpp"
#include "control/usage.hpp"

namespace bulkhead::control {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

CommandLine read(const Words& words) {
  std::vector<const char*> arguments{"bulkhead"};
  for (const std::string& word : words) arguments.push_back(word.c_str());
  return read_command_line(words_of(static_cast<int>(arguments.size()), arguments.data()));
}

/// The message, less its ending that is always the same.
std::string fault(const Words& words) {
  try {
    read(words);
  } catch (const ClientError& error) {
    EXPECT_EQ(error.exit_code(), kExitUsage);
    const std::string text = error.what();
    return text.substr(0, text.find("; see bulkhead --help"));
  }
  return "";
}

TEST(Nearest, IsTwoSlipsAwayOrBeginsWithTheWord) {
  const Words known{"port", "fdb", "dhcp-server", "ip"};
  EXPECT_EQ(config::nearest("prot", known), "port");
  EXPECT_EQ(config::nearest("dhcp", known), "dhcp-server");
  EXPECT_EQ(config::nearest("x", known), std::nullopt);
  EXPECT_EQ(config::nearest("frobnicate", known), std::nullopt);
  EXPECT_EQ(config::nearest("", known), std::nullopt);
  EXPECT_EQ(config::nearest(std::string(1'000'000, 'p'), known), std::nullopt);
  EXPECT_EQ(config::suggestion("fdp", known), "did you mean \"fdb\"?");
  EXPECT_EQ(config::suggestion("q", {"vm1", "vm2"}), "known are vm1, vm2");
  EXPECT_EQ(config::suggestion("q", {}), "none is known");
  const std::string of_many = config::suggestion("q", Words(100, "vm1"));
  EXPECT_TRUE(of_many.ends_with(", ...") && of_many.size() < 200) << of_many;
}

TEST(CommandLine, AWrongCommandIsNamedAndTheNearestSuggested) {
  EXPECT_EQ(fault({"prot", "show"}), "no command `prot`; did you mean `port`?");
  EXPECT_EQ(fault({"--json", "stast"}), "no command `stast`; did you mean `stats`?");
  EXPECT_EQ(fault({"port", "shwo"}), "no command `port shwo`; did you mean `port show`?");
  EXPECT_EQ(fault({"port", "list"}), "no command `port list`; did you mean `port show`?");
  EXPECT_EQ(fault({"port", "remove", "vm1"}), "no command `port remove`; did you mean `port del`?");
  EXPECT_EQ(fault({"fdb", "clear"}), "no command `fdb clear`; did you mean `fdb flush`?");
  EXPECT_EQ(fault({"help"}), "no command `help`; did you mean `--help`?");
  EXPECT_EQ(fault({"port", "frobnicate"}),
            "no command `port frobnicate`; known are add, set, del, show");
}

TEST(CommandLine, AMissingCommandIsAskedFor) {
  EXPECT_EQ(fault({"port"}), "port: a command is missing; known are add, set, del, show");
  EXPECT_TRUE(fault({}).starts_with("a command is missing; known are status, port, fdb, "));
  EXPECT_TRUE(fault({"--json"}).starts_with("a command is missing; "));
}

TEST(CommandLine, AWrongOptionIsNamedAndTheNearestSuggested) {
  EXPECT_EQ(fault({"port", "add", "x", "--ips", "1"}),
            "port add: no option `--ips`; did you mean `--ip`?");
  EXPECT_EQ(fault({"port", "set", "x", "--link_local=any"}),
            "port set: no option `--link_local`; did you mean `--link-local`?");
  EXPECT_EQ(fault({"--jsn", "status"}), "no option `--jsn`; did you mean `--json`?");
  EXPECT_EQ(fault({"fdb", "flush", "--segmant", "lan"}),
            "fdb flush: no option `--segmant`; did you mean `--segment`?");
  EXPECT_EQ(fault({"status", "--colour"}),
            "status: no option `--colour`; known are --help, --socket, --json, --version");
}

TEST(CommandLine, AMissingWordIsNamed) {
  EXPECT_EQ(fault({"port", "add"}), "port add: name is missing");
  EXPECT_EQ(fault({"port", "add", "--trusted"}), "port add: name is missing");
  EXPECT_EQ(fault({"fdb", "add", "52:54:00:00:00:01"}), "fdb add: --port is missing");
  EXPECT_EQ(fault({"capture"}), "capture: -w is missing");
  EXPECT_EQ(fault({"check"}), "check: file is missing");
  EXPECT_EQ(fault({"port", "add", "x", "--device"}), "port add: --device lacks its value");
  EXPECT_EQ(fault({"port", "add", "x", "--mac", "--ip", "any"}), "port add: --mac lacks its value");
  EXPECT_EQ(fault({"status", "--socket"}), "status: --socket lacks its value");
}

TEST(CommandLine, AWordTooManyIsNamed) {
  EXPECT_EQ(fault({"port", "show", "a", "b"}), "port show: `b` is one word too many");
  EXPECT_EQ(fault({"status", "now"}), "status: `now` is one word too many");
  EXPECT_EQ(fault({"port", "set", "x", "--trusted", "false"}),
            "port set: `false` is one word too many; write --trusted=false");
  EXPECT_EQ(fault({"port", "set", "x", "--device", "a", "--device", "b"}),
            "port set: --device is given twice; remove one");
}

TEST(CommandLine, AnAbsurdNumberIsRefusedWithWhatItMayBe) {
  for (const char* count : {"0", "-1", "x", "1.5", "99999999999"}) {
    EXPECT_EQ(fault({"top", "--count", count}),
              "top: --count must be a number from 1 to 4294967295");
    EXPECT_EQ(fault({"capture", "-w", "x", "--count", count}),
              "capture: --count must be a number from 1 to 4294967295");
  }
  for (const char* interval : {"2x", "10ms", "2h", "often", "", "1e9", "nan"}) {
    EXPECT_EQ(fault({"top", "--interval", interval}),
              "top: --interval must be from 100ms to 1h, such as 500ms, 2s or 1min");
  }
  EXPECT_EQ(fault({"top", "--sort", "colour"}), "top: --sort must be rate, drops or name");
  EXPECT_EQ(fault({"explain", "vm1", "--to", "vm2", "--tcp", "70000"}),
            "explain: --tcp must be a port number, 0 to 65535");
  EXPECT_EQ(fault({"explain", "vm1", "--to", "vm2", "--udp", "dns"}),
            "explain: --udp must be a port number, 0 to 65535");
}

TEST(CommandLine, ExplainAsksWhichFrame) {
  EXPECT_TRUE(fault({"explain", "vm1"}).starts_with("explain: which frame? Say --to PORT"));
  EXPECT_EQ(fault({"explain", "vm1", "--pcap", "f", "--arp"}),
            "explain: --pcap has the frames; leave the other options out");
  const Json made = read({"explain", "vm1", "--to", "vm2", "--tcp", "22"}).parameters;
  EXPECT_EQ(made, (Json{{"port", "vm1"}, {"to", "vm2"}, {"tcp", 22}}));
  EXPECT_EQ(read({"explain", "vm1", "--dhcp"}).parameters, (Json{{"port", "vm1"}, {"dhcp", true}}));
  EXPECT_EQ(read({"explain", "vm1", "ff ff", "00"}).parameters,
            (Json{{"port", "vm1"}, {"frame", "ff ff00"}}));
  EXPECT_EQ(read({"explain", "vm1", "--pcap", "f"}).file, "f");
}

TEST(CommandLine, AnEmptyWordEmptiesAList) {
  for (const std::string& key : config::port_option_names()) {
    const auto kind = config::option_kind(key);
    if (kind != config::OptionValue::Kind::list && kind != config::OptionValue::Kind::table) {
      continue;
    }
    std::string option = "--" + key;
    std::replace(option.begin(), option.end(), '_', '-');
    const Json expected{{"name", "vm1"}, {key, ""}};
    EXPECT_EQ(read({"port", "set", "vm1", option, ""}).parameters, expected) << key;
    EXPECT_EQ(read({"port", "set", option, "", "vm1"}).parameters, expected) << key;
    EXPECT_EQ(read({"port", "set", "vm1", option + "="}).parameters, expected) << key;
  }
}

TEST(CommandLine, APortsOptionsBecomeParameters) {
  const Json parameters =
      read({"port", "add", "vm1", "--mac", "a", "--mac", "b", "--ip", "any", "--mac-max", "5",
            "--trusted", "--unknown=false", "--isolated=maybe", "--limit", "arp_nd=9"})
          .parameters;
  EXPECT_EQ(parameters, (Json{{"name", "vm1"},
                              {"mac", {"a", "b"}},
                              {"ip", "any"},
                              {"mac_max", 5},
                              {"trusted", true},
                              {"unknown", false},
                              {"isolated", "maybe"},
                              {"limit", "arp_nd=9"}}));
}

TEST(CommandLine, WhatIsForAllCommandsMayStandBehindThem) {
  for (const Words& words : {Words{"--json", "--socket", "/s", "port", "show", "vm1"},
                             Words{"port", "show", "vm1", "--json", "--socket=/s"}}) {
    const CommandLine line = read(words);
    EXPECT_TRUE(line.as_json);
    EXPECT_EQ(line.socket, "/s");
    EXPECT_EQ(line.method, "port.show");
    EXPECT_EQ(line.parameters, (Json{{"name", "vm1"}}));
  }
}

TEST(CommandLine, MonitorAndFlushSayWhatTheyAreAbout) {
  EXPECT_EQ(read({"monitor", "drop", "port", "--port", "vm1"}).parameters,
            (Json{{"kinds", {"drop", "port"}}, {"port", "vm1"}}));
  EXPECT_EQ(read({"monitor"}).parameters, (Json{{"kinds", Json::array()}}));
  EXPECT_EQ(read({"fdb", "flush", "--segment", "lan"}).parameters, (Json{{"segment", "lan"}}));
}

/// Every command, "port add" and its like.
std::vector<Words> all_commands() {
  std::vector<Words> all;
  const std::string text = read({"--help"}).help;
  const std::regex command("\n  ([a-z]+) +[A-Za-z]");
  for (std::sregex_iterator at(text.begin(), text.end(), command), end; at != end; ++at) {
    const std::string word = (*at)[1];
    if (word != "port" && word != "fdb") {
      all.push_back({word});
      continue;
    }
    const std::string inner = read({word, "--help"}).help;
    for (std::sregex_iterator of(inner.begin(), inner.end(), command); of != end; ++of) {
      all.push_back({word, (*of)[1]});
    }
  }
  return all;
}

// A letter more, a letter less, two exchanged: each is told, and mostly what was meant.
TEST(CommandLine, EveryCommandMistypedIsNamed) {
  const std::vector<Words> all = all_commands();
  ASSERT_GE(all.size(), 17U);
  for (const Words& command : all) {
    for (std::size_t at = 0; at < command.size(); ++at) {
      const std::string& word = command[at];
      for (const std::string& mistyped : {word + word.back(), word.substr(1) + word.front()}) {
        Words words = command;
        words[at] = mistyped;
        EXPECT_NE(fault(words).find(mistyped + "`; "), std::string::npos) << mistyped;
      }
    }
  }
}

TEST(CommandLine, EveryOptionHasAHelpAndIsNamedWhenMistyped) {
  for (Words command : all_commands()) {
    std::string path = command[0] + (command.size() > 1 ? ' ' + command[1] : "");
    command.emplace_back("--help");
    const std::string text = read(command).help;
    command.pop_back();
    // An option's own line has its description on it, or else the next one has.
    const std::regex option("\n  (-[-a-zA-Z,]*)[^ ]*( [^ ]+)?( {2,}|\n {10,})([^ \n])");
    const std::regex any_option("\n  -");
    const auto count = [&](const std::regex& what) {
      return std::distance(std::sregex_iterator(text.begin(), text.end(), what), {});
    };
    EXPECT_EQ(count(option), count(any_option)) << text;
    for (std::sregex_iterator at(text.begin(), text.end(), option), end; at != end; ++at) {
      std::string name = (*at)[1];
      if (name.size() < 4 || name.find(',') != std::string::npos) continue;
      Words words = command;
      words.push_back(name + "q");
      EXPECT_TRUE(fault(words).starts_with(path + ": no option `" + name + "q`; did you mean `"))
          << fault(words);
    }
  }
}

// The page has the words of --help.
TEST(CommandLine, TheManualPageHasEveryOptionOfAPort) {
  std::ifstream file(BULKHEAD_SOURCE_DIR "/docs/man/bulkhead.8");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  for (const std::string& key : config::port_option_names()) {
    if (config::option_kind(key) == config::OptionValue::Kind::other) continue;
    const config::OptionHelp help = config::option_help(key);
    std::string option;
    for (const char letter : "--" + key) {
      option += letter == '-' || letter == '_' ? "\\-" : std::string(1, letter);
    }
    const std::string head = help.argument.empty()
                                 ? ".B " + option + "\n"
                                 : ".BI " + option + " \" " + help.argument + "\"\n";
    EXPECT_NE(page.find(".TP\n" + head + help.text + ".\n"), std::string::npos)
        << ".TP\n"
        << head << help.text << ".\n";
  }
}

}  // namespace
}  // namespace bulkhead::control
