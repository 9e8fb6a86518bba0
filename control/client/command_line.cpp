#include "control/client/command_line.hpp"

#include <CLI/CLI.hpp>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <stdexcept>

#include "config/config.hpp"
#include "control/client/client.hpp"
#include "control/client/port_options.hpp"
#include "control/client/report.hpp"
#include "control/usage.hpp"
#include "control/version.hpp"

namespace bulkhead::control {
namespace {

using Json = nlohmann::json;
using Show = void (*)(std::ostream&, const Json&);

constexpr std::array<const char*, 3> kOrders{"rate", "drops", "name"};
constexpr int kColumnWidth = 34;  // of --help: what --link-local ADDRESS... needs

[[noreturn]] void refuse(const std::string& text) { throw ClientError(kExitUsage, text); }

template <typename Number>
std::optional<Number> number_of(const std::string& text, Number min, Number max) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool is_whole = error == std::errc{} && end == text.data() + text.size();
  if (!is_whole || number < min || number > max) return {};
  return number;
}

/// "500ms", "1s", "2min", "1h", or a number of seconds.
std::optional<double> seconds_of(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit(end, text.data() + text.size());
  const std::map<std::string, double> units{{"", 1},   {"ms", 0.001}, {"s", 1},
                                            {"m", 60}, {"min", 60},   {"h", 3600}};
  if (error != std::errc{} || !units.contains(unit)) return {};
  return number * units.at(unit);
}

/// Declares the commands, then reads one line.
class Reader {
 public:
  Reader() {
    app_.name("bulkhead");
    app_.fallthrough();  // --json may follow the command
    app_.get_formatter()->column_width(kColumnWidth);
    app_.add_option("--socket", line_.socket, "control socket")->option_text("PATH");
    app_.add_flag("--json", line_.as_json, "print JSON");
    app_.set_version_flag("--version", std::string("bulkhead ") + kVersion);
    app_.require_subcommand(1);
    command(app_, "status", "version, uptime, ports and totals", "status", show_status);
    add_port();
    add_fdb();
    add_flow();
    CLI::App* stats =
        command(app_, "stats", "counters and drop reasons, with the ledger", "stats", show_stats);
    text(stats, "name", "NAME", "this port only");
    add_top();
    add_monitor();
    add_capture();
    add_explain();
    command(app_, "reload", "make the ports what the configuration file says", "reload",
            show_changes);
    CLI::App* check = command(app_, "check", "check a configuration file", "check", nullptr);
    file(check, "file", "bulkhead.toml")->required();
    check->add_flag("--devices", line_.check_devices, "look at the ports' devices, too, as root");
    command(app_, "metrics", "OpenMetrics text", "metrics", show_text);
    CLI::App* save =
        command(app_, "save", "the running configuration as a file", "save", show_text);
    file(save, "file", "where to; - or nothing is standard output");
  }

  CommandLine read(const std::vector<std::string>& words) {
    try {
      line_.help = parse_words(app_, words);
    } catch (const std::invalid_argument& fault) {
      refuse(fault.what());
    }
    if (!line_.help.empty()) return line_;
    for (const auto& [place, option] : texts_) {
      const auto& [method, name] = place;
      if (method == line_.method && option->count() > 0) {
        line_.parameters[name] = option->results().back();
      }
    }
    if (const auto file = files_.find(line_.method); file != files_.end()) {
      if (file->second->count() > 0) line_.file = file->second->results().back();
    }
    if (line_.method == "port.add") line_.parameters.update(add_options_.json());
    if (line_.method == "port.set") line_.parameters.update(set_options_.json());
    if (line_.method == "monitor") line_.parameters["kinds"] = kinds_->results();
    if (line_.method == "explain") read_explain();
    if (line_.method == "capture") line_.frames_max = count_of("capture", capture_count_);
    if (line_.method == "top") read_top();
    return line_;
  }

 private:
  CLI::App* command(CLI::App& parent, const std::string& word, const std::string& help,
                    const std::string& method, Show show) {
    CLI::App* command = parent.add_subcommand(word, help);
    methods_[command] = method;
    command->callback([this, method, show] {
      line_.method = method;
      line_.show = show;
    });
    return command;
  }

  CLI::Option* option(CLI::App* command, const std::string& name, const std::string& argument,
                      const std::string& help) {
    return command->add_option(name)->description(help)->option_text(argument);
  }
  /// An option that is a parameter of the command's method, as it is.
  CLI::Option* text(CLI::App* command, const std::string& name, const std::string& argument,
                    const std::string& help) {
    CLI::Option* made = option(command, name, argument, help);
    texts_[{methods_.at(command), name.substr(name.find_first_not_of('-'))}] = made;
    return made;
  }
  CLI::Option* file(CLI::App* command, const std::string& name, const std::string& help) {
    return files_[methods_.at(command)] = option(command, name, "FILE", help);
  }

  void add_port() {
    CLI::App* port = app_.add_subcommand("port", "ports")->require_subcommand(1);
    CLI::App* add = command(*port, "add", "add a port", "port.add", show_port_state);
    text(add, "name", "NAME", "what it is to be called")->required();
    add_options_.add_to(*add);
    CLI::App* set = command(*port, "set", "change a port; an empty word empties a list", "port.set",
                            show_port_state);
    text(set, "name", "NAME", "which port")->required();
    set_options_.add_to(*set);
    CLI::App* del =
        command(*port, "del", "delete a port; its device is the host's again", "port.del", nullptr);
    text(del, "name", "NAME", "which port")->required();
    CLI::App* show = command(*port, "show", "the ports", "port.show", show_ports);
    text(show, "name", "NAME", "this port only");
  }

  void add_fdb() {
    CLI::App* fdb = app_.add_subcommand("fdb", "the MAC table")->require_subcommand(1);
    CLI::App* show =
        command(*fdb, "show", "bound, static and learned addresses", "fdb.show", show_fdb);
    text(show, "--port", "NAME", "of this port only");
    text(show, "--segment", "NAME", "of this segment only");
    CLI::App* add = command(*fdb, "add", "add a static address", "fdb.add", nullptr);
    text(add, "mac", "MAC", "the address")->required();
    text(add, "--port", "NAME", "the port that it is to be on")->required();
    CLI::App* del = command(*fdb, "del", "delete a static or learned address", "fdb.del", nullptr);
    text(del, "mac", "MAC", "the address")->required();
    text(del, "--segment", "NAME", "in this segment only");
    CLI::App* flush = command(*fdb, "flush", "forget learned addresses", "fdb.flush", nullptr);
    text(flush, "--port", "NAME", "of this port only");
    text(flush, "--segment", "NAME", "of this segment only");
  }

  void add_flow() {
    CLI::App* flow =
        app_.add_subcommand("flow", "what the kernel forwards by itself")->require_subcommand(1);
    CLI::App* show =
        command(*flow, "show", "pairs that the kernel forwards by itself", "flow.show", show_flows);
    text(show, "name", "NAME", "from and to this port only");
    command(*flow, "flush", "have bulkhead judge all of them anew", "flow.flush", nullptr);
  }

  void add_top() {
    CLI::App* top = command(app_, "top", "ports, rates and drops, again and again", "top", nullptr);
    top_interval_ = option(top, "--interval", "DURATION", "between refreshes, such as 500ms; 1s");
    top_count_ = option(top, "--count", "N", "end after so many refreshes");
    top_order_ = option(top, "--sort", "ORDER", "by what: rate, drops or name; rate");
  }

  void add_monitor() {
    CLI::App* monitor =
        command(app_, "monitor", "events as they happen, one a line", "monitor", nullptr);
    kinds_ = option(monitor, "kinds", "KIND...", "fdb, port, drop; all if none is given");
    kinds_->expected(1, kWordsMax)->allow_extra_args();
    text(monitor, "--port", "NAME", "of this port only");
  }

  void add_capture() {
    CLI::App* capture = command(app_, "capture", "dropped frames as pcapng, with port and reason",
                                "capture", nullptr);
    text(capture, "--port", "NAME", "of drops that count on this port");
    text(capture, "--reason", "REASON", "of drops for this reason");
    file(capture, "-w", "where to; - is standard output")->required();
    capture_count_ = option(capture, "--count", "N", "end after so many frames");
  }

  void add_explain() {
    CLI::App* explain = command(app_, "explain", "what would happen to a frame, check by check",
                                "explain", show_explanation);
    text(explain, "port", "PORT", "where the frame comes in")->required();
    hex_ = option(explain, "frame", "HEX...", "the bytes of the frame in hexadecimal");
    hex_->expected(1, kWordsMax)->allow_extra_args();
    text(explain, "--to", "PORT|ADDRESS", "make a frame for this port, IP or MAC address");
    const std::pair<const char*, const char*> with_port[] = {
        {"--tcp", "a TCP connection to this port number"},
        {"--udp", "a UDP message to this port number"}};
    for (const auto& [name, help] : with_port) {
      frame_ports_[std::string(name).substr(2)] = option(explain, name, "N", help);
    }
    const std::pair<const char*, const char*> without[] = {
        {"--icmp", "a ping"},
        {"--arp", "the question who has the address (IPv4)"},
        {"--nd", "the question who has the address (IPv6)"},
        {"--dhcp", "the search for a DHCP server; needs no --to"}};
    for (const auto& [name, help] : without) {
      frame_flags_[std::string(name).substr(2)] = explain->add_flag(name, help);
    }
    file(explain, "--pcap", "every frame of a pcap or pcapng file");
  }

  void read_explain() {
    constexpr int kPortNumberMax = 65'535;
    Json& parameters = line_.parameters;
    std::string frame;
    for (const std::string& part : hex_->results()) frame += part;
    if (!frame.empty()) parameters["frame"] = frame;
    for (const auto& [name, option] : frame_ports_) {
      if (option->count() == 0) continue;
      const auto number = number_of(option->results().back(), 0, kPortNumberMax);
      if (!number) refuse("explain: --" + name + " must be a port number, 0 to 65535");
      parameters[name] = *number;
    }
    for (const auto& [name, option] : frame_flags_) {
      if (option->count() > 0) parameters[name] = true;
    }
    if (!line_.file.empty() && parameters.size() > 1) {
      refuse("explain: --pcap has the frames; leave the other options out");
    }
    if (line_.file.empty() && parameters.size() == 1) {
      refuse(
          "explain: which frame? Say --to PORT --tcp 22 (or --udp N, --icmp, --arp, --nd), --dhcp, "
          "its bytes in hexadecimal, or --pcap FILE");
    }
  }

  static std::uint64_t count_of(const std::string& command, const CLI::Option* option) {
    constexpr std::uint64_t kCountMax = UINT32_MAX;
    if (option->count() == 0) return 0;
    const auto count = number_of<std::uint64_t>(option->results().back(), 1, kCountMax);
    if (!count) refuse(command + ": --count must be a number from 1 to 4294967295");
    return *count;
  }

  void read_top() {
    constexpr double kSecondsMin = 0.1, kSecondsMax = 3600;
    if (top_interval_->count() > 0) {
      const auto seconds = seconds_of(top_interval_->results().back());
      if (!seconds || !(*seconds >= kSecondsMin && *seconds <= kSecondsMax)) {
        refuse("top: --interval must be from 100ms to 1h, such as 500ms, 2s or 1min");
      }
      line_.top.interval = std::chrono::duration<double>(*seconds);
    }
    line_.top.count = count_of("top", top_count_);
    if (top_order_->count() == 0) return;
    const std::string order = top_order_->results().back();
    if (std::find(kOrders.begin(), kOrders.end(), order) == kOrders.end()) {
      refuse("top: --sort must be rate, drops or name");
    }
    line_.top.order = order == "name"    ? RateOrder::name
                      : order == "drops" ? RateOrder::drops
                                         : RateOrder::rate;
  }

  static constexpr int kWordsMax = 1 << 20;

  CommandLine line_;
  CLI::App app_{"bulkhead: speaks to bulkheadd, the bridge"};
  std::map<const CLI::App*, std::string> methods_;
  std::map<std::pair<std::string, std::string>, CLI::Option*> texts_;  // by method and parameter
  std::map<std::string, CLI::Option*> files_;                          // by method
  std::map<std::string, CLI::Option*> frame_ports_, frame_flags_;      // of explain, by parameter
  CLI::Option *hex_ = nullptr, *kinds_ = nullptr, *capture_count_ = nullptr;
  CLI::Option *top_interval_ = nullptr, *top_count_ = nullptr, *top_order_ = nullptr;
  PortOptions add_options_;
  PortOptions set_options_;
};

}  // namespace

CommandLine read_command_line(const std::vector<std::string>& words) {
  return Reader().read(words);
}

}  // namespace bulkhead::control
