// bulkhead: the client. Turns command words into one JSON-RPC request and its answer into a table,
// or, with --json, into JSON. `explain --pcap` asks once a frame; `monitor`, `capture` and
// `top` go on until they are interrupted.
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>
#include <system_error>

#include "config/config.hpp"
#include "control/client/client.hpp"
#include "control/client/report.hpp"
#include "control/client/top.hpp"
#include "control/observe/hex.hpp"
#include "control/observe/pcap.hpp"
#include "control/pending_file.hpp"
#include "control/version.hpp"

namespace {

using namespace bulkhead;
using Json = nlohmann::json;

/// One command line: what to ask for, and how to show the answer.
struct Request {
  std::string method;
  Json parameters = Json::object();
  void (*show)(std::ostream&, const Json&) = nullptr;  // nullptr: say nothing when it is done
};

/// The keys of a port as options, and what was given of them as parameters.
class PortOptions {
 public:
  void add_to(CLI::App* command) {
    for (const std::string& key : config::port_option_names()) {
      const auto kind = config::option_kind(key);
      std::string option = "--" + key;
      std::ranges::replace(option, '_', '-');
      if (kind == config::OptionValue::Kind::boolean) {
        command->add_flag(option + "{true}", texts_[key], "as in bulkhead.toml, or =false");
      } else {
        command->add_option(option, lists_[key], "as in bulkhead.toml");
      }
    }
  }

  [[nodiscard]] Json json() const {
    Json json = Json::object();
    for (const auto& [key, text] : texts_) {
      if (text == "true" || text == "false") json[key] = text == "true";
      if (!text.empty() && !json.contains(key)) json[key] = text;  // refused by the daemon, by name
    }
    for (const auto& [key, values] : lists_) {
      if (values.empty()) continue;
      const bool single = config::option_kind(key) != config::OptionValue::Kind::list;
      if (!single || values.size() > 1) {
        json[key] = values;
      } else {
        json[key] = config::option_kind(key) == config::OptionValue::Kind::integer
                        ? number_or_text(values.front())
                        : Json(values.front());
      }
    }
    return json;
  }

 private:
  static Json number_or_text(const std::string& text) {
    const Json number = Json::parse(text, nullptr, false);
    return number.is_number_integer() ? number : Json(text);
  }

  std::map<std::string, std::string> texts_;
  std::map<std::string, std::vector<std::string>> lists_;
};

/// The command words. Each subcommand fills in `request` when it is the one that was given.
class Commands {
 public:
  explicit Commands(CLI::App& app) {
    app.require_subcommand(1);
    simple(app, "status", "version, uptime, ports and totals", "status", control::show_status);
    add_port(app);
    add_fdb(app);
    CLI::App* stats = simple(app, "stats", "counters and drop reasons, with the ledger", "stats",
                             control::show_stats);
    stats->add_option("name", texts_["stats.name"], "this port only");
    add_top(app);
    CLI::App* monitor =
        simple(app, "monitor", "events as they happen, one a line", "monitor", nullptr);
    monitor->add_option("kinds", kinds_, "fdb, port, drop; all if none is given");
    CLI::App* explain = simple(app, "explain", "what would happen to a frame, check by check",
                               "explain", control::show_explanation);
    explain->add_option("port", texts_["explain.port"], "where the frame comes in")->required();
    CLI::Option* frame = explain->add_option("frame", hex_, "the frame's bytes in hexadecimal");
    explain->add_option("--pcap", pcap_file, "every frame of a pcap or pcapng file")
        ->excludes(frame);
    simple(app, "reload", "make the ports what the configuration file says", "reload", nullptr);
    CLI::App* check = simple(app, "check", "check a configuration file", "check", nullptr);
    check->add_option("file", check_file, "bulkhead.toml")->required();
    check->add_flag("--devices", check_devices, "look at the ports' devices, too, as root");
    simple(app, "metrics", "OpenMetrics text", "metrics", control::show_text);
    CLI::App* capture = simple(app, "capture", "dropped frames as pcapng, with port and reason",
                               "capture", nullptr);
    capture->add_option("--port", texts_["capture.port"], "of drops that count on this port");
    capture->add_option("--reason", texts_["capture.reason"], "of drops for this reason");
    capture->add_option("-w", capture_file, "where to; - is standard output")->required();
    capture->add_option("--count", capture_count, "end after so many frames")
        ->check(CLI::PositiveNumber);
    CLI::App* save =
        simple(app, "save", "the running configuration as a file", "save", control::show_text);
    save->add_option("file", save_file, "where to; - or nothing is standard output");
  }

  /// After parsing: the request that was meant.
  [[nodiscard]] Request request() const {
    Request request = request_;
    for (const auto& [key, text] : texts_) {
      const std::size_t dot = key.rfind('.');
      if (key.substr(0, dot) == request.method && !text.empty()) {
        request.parameters[key.substr(dot + 1)] = text;
      }
    }
    if (request.method == "port.add") request.parameters.update(add_options_.json());
    if (request.method == "port.set") request.parameters.update(set_options_.json());
    if (request.method == "monitor") request.parameters["kinds"] = kinds_;
    if (request.method == "explain" && pcap_file.empty()) {
      if (hex_.empty()) {
        throw control::ClientError(control::kExitUsage,
                                   "explain: say the frame in hexadecimal, or --pcap FILE");
      }
      std::string frame;
      for (const std::string& part : hex_) frame += part;
      request.parameters["frame"] = frame;
    }
    return request;
  }

  [[nodiscard]] control::TopOptions top_options() const {
    const std::string& sort = texts_.at("top.sort");
    const auto order = sort == "name"    ? control::RateOrder::name
                       : sort == "drops" ? control::RateOrder::drops
                                         : control::RateOrder::rate;
    return {std::chrono::duration<double>(top_seconds_), top_count_, order};
  }

  std::string check_file;
  bool check_devices = false;
  std::string pcap_file;
  std::string capture_file;
  std::string save_file;
  std::uint64_t capture_count = 0;  // 0: until interrupted

 private:
  CLI::App* simple(CLI::App& parent, const std::string& word, const std::string& help,
                   const std::string& method, void (*show)(std::ostream&, const Json&)) {
    CLI::App* command = parent.add_subcommand(word, help);
    command->callback([this, method, show] {
      request_.method = method;
      request_.show = show;
    });
    return command;
  }

  void add_top(CLI::App& app) {
    CLI::App* top = simple(app, "top", "ports, rates and drops, again and again", "top", nullptr);
    top->add_option("--interval", top_seconds_, "between refreshes, such as 500ms; default 1s")
        ->transform(CLI::AsNumberWithUnit(
            std::map<std::string, double>{{"ms", 0.001}, {"s", 1}, {"min", 60}, {"h", 3600}}))
        ->check([](const std::string& text) {
          constexpr double kSecondsMin = 0.1, kSecondsMax = 3600;
          const double seconds = std::strtod(text.c_str(), nullptr);
          const bool is_sound = seconds >= kSecondsMin && seconds <= kSecondsMax;
          return std::string(is_sound ? "" : "must be from 100ms to 1h");
        })
        ->option_text("DURATION");
    top->add_option("--count", top_count_, "end after so many refreshes")
        ->check(CLI::Range(1u, std::numeric_limits<unsigned>::max()));
    top->add_option("--sort", texts_["top.sort"], "by what: rate, drops or name; default rate")
        ->check(CLI::IsMember(std::vector<std::string>{"rate", "drops", "name"}));
  }

  void add_port(CLI::App& app) {
    CLI::App* port = app.add_subcommand("port", "ports")->require_subcommand(1);
    CLI::App* add = simple(*port, "add", "add a port", "port.add", control::show_port_state);
    add->add_option("name", texts_["port.add.name"])->required();
    add_options_.add_to(add);
    CLI::App* set = simple(*port, "set", "change a port", "port.set", control::show_port_state);
    set->add_option("name", texts_["port.set.name"])->required();
    set_options_.add_to(set);
    CLI::App* del =
        simple(*port, "del", "delete a port; its device is the host's again", "port.del", nullptr);
    del->add_option("name", texts_["port.del.name"])->required();
    CLI::App* show = simple(*port, "show", "the ports", "port.show", control::show_ports);
    show->add_option("name", texts_["port.show.name"], "this port only");
  }

  void add_fdb(CLI::App& app) {
    CLI::App* fdb = app.add_subcommand("fdb", "the MAC table")->require_subcommand(1);
    CLI::App* show =
        simple(*fdb, "show", "bound, static and learned addresses", "fdb.show", control::show_fdb);
    show->add_option("--port", texts_["fdb.show.port"]);
    show->add_option("--segment", texts_["fdb.show.segment"]);
    CLI::App* add = simple(*fdb, "add", "a static address", "fdb.add", nullptr);
    add->add_option("mac", texts_["fdb.add.mac"])->required();
    add->add_option("--port", texts_["fdb.add.port"])->required();
    CLI::App* del = simple(*fdb, "del", "delete a static or learned address", "fdb.del", nullptr);
    del->add_option("mac", texts_["fdb.del.mac"])->required();
    del->add_option("--segment", texts_["fdb.del.segment"]);
    CLI::App* flush = simple(*fdb, "flush", "forget learned addresses", "fdb.flush", nullptr);
    flush->add_option("--port", texts_["fdb.flush.port"]);
  }

  Request request_;
  std::map<std::string, std::string> texts_;  // by method and parameter
  std::vector<std::string> kinds_;
  std::vector<std::string> hex_;
  double top_seconds_ = 1;
  unsigned top_count_ = 0;  // 0: until interrupted
  PortOptions add_options_;
  PortOptions set_options_;
};

int fail(int code, const std::string& message) {
  std::cerr << "bulkhead: " << message << std::endl;
  return code;
}

/// A descriptor that becomes readable when the user or the system wants an end; what was begun is
/// finished then.
int interrupt_fd() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  return ::signalfd(-1, &signals, SFD_CLOEXEC);
}

int monitor(control::Client& client, bool as_json) {
  for (;;) {
    const Json event = *client.next_event();
    if (as_json) {
      std::cout << event.dump() << std::endl;
    } else {
      control::show_event(std::cout, event);
    }
    if (!std::cout) return control::kExitDone;  // whoever read has gone
  }
}

control::PcapNote note_of(const Json& event) {
  const std::string side = event.value("side", "?");
  std::string comment = "reason=" + event.value("reason", "?") + " side=" + side +
                        " from=" + event.value("from", "?");
  if (event.value("shadow", false)) comment += " shadow";
  return {event.value("port", "?"), event.value("time_us", std::uint64_t{0}),
          event.value("length", std::uint32_t{0}), side == "egress", comment};
}

/// Writes what comes until interrupted, or until so many frames have. The file is whole after each.
int capture(control::Client& client, const Commands& commands, bool as_json) {
  const bool to_stdout = commands.capture_file == "-";
  std::ofstream file;
  if (!to_stdout) {
    file.open(commands.capture_file, std::ios::binary | std::ios::trunc);
    if (!file) {
      throw control::ClientError(control::kExitFailed,
                                 commands.capture_file + ": " + std::strerror(errno));
    }
  }
  std::ostream& out = to_stdout ? std::cout : file;
  ::signal(SIGPIPE, SIG_IGN);  // whoever read has gone: an end like another
  const int interrupt = interrupt_fd();
  control::PcapngWriter writer;
  std::uint64_t frames = 0, lost = 0;
  out << writer.header() << std::flush;
  while (out && (commands.capture_count == 0 || frames < commands.capture_count)) {
    const auto event = client.next_event(interrupt);
    if (!event) break;
    if (event->value("event", "") == "lost") lost = event->value("frames", lost);
    const auto bytes = control::parse_hex(event->value("frame", ""));
    if (!bytes || bytes->empty()) continue;
    out << writer.frame(note_of(*event), *bytes) << std::flush;
    ++frames;
  }
  if (!out && !to_stdout) {
    throw control::ClientError(control::kExitFailed, commands.capture_file + ": cannot be written");
  }
  if (as_json && !to_stdout) {
    std::cout << Json{{"frames", frames}, {"lost", lost}}.dump() << '\n';
  } else {
    std::cerr << "bulkhead: " << frames << " frames captured, " << lost << " lost" << std::endl;
  }
  return control::kExitDone;
}

std::vector<std::uint8_t> bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<std::uint8_t> bytes(control::kPcapBytesMax + 1);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (file.bad() || (file.gcount() == 0 && !file.eof())) {
    throw control::PcapError(std::strerror(errno));
  }
  bytes.resize(static_cast<std::size_t>(file.gcount()));
  if (bytes.size() > control::kPcapBytesMax) {
    throw control::PcapError("longer than 64 MiB; cut it with editcap");
  }
  return bytes;
}

/// `explain` for every frame of a file, once the whole file is known to be sound.
int explain_file(control::Client& client, const std::string& path, Json parameters, bool as_json) {
  try {
    const std::vector<std::uint8_t> bytes = bytes_of(path);
    const auto frames = control::read_pcap(bytes);
    if (as_json) std::cout << '[';
    for (std::size_t i = 0; i < frames.size(); ++i) {
      parameters["frame"] = control::to_hex(frames[i]);
      Json explanation = client.call("explain", parameters);
      if (as_json) {
        explanation["frame"] = i + 1;
        std::cout << (i == 0 ? "" : ",\n ") << explanation.dump();
      } else {
        std::cout << (i == 0 ? "" : "\n") << "frame " << i + 1 << ", " << frames[i].size()
                  << " bytes\n";
        control::show_explanation(std::cout, explanation);
      }
    }
    if (as_json) std::cout << "]\n";
  } catch (const control::PcapError& error) {
    throw control::ClientError(control::kExitUsage, path + ": " + error.what());
  }
  return control::kExitDone;
}

/// Replaces the file as a whole, keeping its mode; a link to it stays one. What is no file, such as
/// /dev/stdout, is written to.
void write_file(const std::string& name, const std::string& text) {
  const auto fail = [&](int error) {
    throw control::ClientError(control::kExitFailed,
                               name + ": cannot be written: " + std::strerror(error));
  };
  struct stat info {};
  const bool is_there = ::stat(name.c_str(), &info) == 0;
  if (is_there && !S_ISREG(info.st_mode)) {
    errno = 0;
    std::ofstream file(name, std::ios::binary);
    if (!(file << text << std::flush)) fail(errno);
    return;
  }
  constexpr mode_t kMode = 0644;
  const std::string path = is_there ? std::filesystem::canonical(name).string() : name;
  try {
    control::PendingFile file(path, path + '.' + std::to_string(::getpid()), text,
                              is_there ? info.st_mode & 07777 : kMode);
    file.commit();
  } catch (const std::system_error& error) {
    fail(error.code().value());
  }
}

/// By bulkheadd, which knows devices: it takes the place of this process. Installed it is beside us
/// or in sbin.
[[noreturn]] void look_at_devices(const std::string& file) {
  std::error_code error;
  const auto here = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (const auto& program : {here / "bulkheadd", here.parent_path() / "sbin" / "bulkheadd"}) {
    ::execl(program.c_str(), "bulkheadd", "--config", file.c_str(), "--check", "--devices",
            static_cast<char*>(nullptr));
  }
  throw control::ClientError(control::kExitFailed, "check: there is no bulkheadd beside " +
                                                       (here / "bulkhead").string() +
                                                       " to look at devices");
}

int run(const Commands& commands, const std::string& socket, bool as_json) {
  const Request request = commands.request();
  if (request.method == "check") {
    config::load(commands.check_file);
    if (commands.check_devices) look_at_devices(commands.check_file);
    if (as_json) std::cout << "{}\n";
    return control::kExitDone;
  }
  if (request.method == "capture" && commands.capture_file == "-" && ::isatty(STDOUT_FILENO)) {
    throw control::ClientError(control::kExitUsage,
                               "capture: standard output is a terminal; pipe it, or say -w FILE");
  }
  if (request.method == "top") return control::top(socket, commands.top_options(), as_json);
  control::Client client(socket);
  if (!commands.pcap_file.empty()) {
    return explain_file(client, commands.pcap_file, request.parameters, as_json);
  }
  const Json result = client.call(request.method, request.parameters);
  if (request.method == "monitor") return monitor(client, as_json);
  if (request.method == "capture") return capture(client, commands, as_json);
  if (request.method == "save" && !commands.save_file.empty() && commands.save_file != "-") {
    write_file(commands.save_file, result.get<std::string>());
    if (as_json) std::cout << "{}\n";
    return control::kExitDone;
  }
  if (as_json) {
    std::cout << result.dump() << '\n';
  } else if (request.show != nullptr) {
    request.show(std::cout, result);
  }
  return control::kExitDone;
}

}  // namespace

int main(int argc, char** argv) {
  std::string socket = "/run/bulkhead/control.sock";
  bool as_json = false;
  CLI::App app{"bulkhead: speaks to bulkheadd, the bridge"};
  app.add_option("--socket", socket, "control socket");
  app.add_flag("--json", as_json, "print JSON");
  app.set_version_flag("--version", std::string("bulkhead ") + control::kVersion);
  Commands commands(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    return app.exit(done);
  } catch (const CLI::ParseError& error) {
    return fail(control::kExitUsage, std::string(error.what()) + "; see bulkhead --help");
  }
  try {
    return run(commands, socket, as_json);
  } catch (const control::ClientError& error) {
    return fail(error.exit_code(), error.what());
  } catch (const config::ConfigError& error) {
    return fail(control::kExitUsage, error.what());
  } catch (const std::exception& error) {
    return fail(control::kExitFailed, error.what());
  }
}
